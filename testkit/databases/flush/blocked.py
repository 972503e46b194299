"""What is said when another session keeps the database from being emptied."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import import_module
from typing import NamedTuple

from django.core.management.base import CommandError
from django.db.backends.base.base import BaseDatabaseWrapper

_LONGEST_QUERY = 300
# A password may be in one. The server may have cut the statement off within a literal.
_LITERAL = re.compile(r"'(?:[^']|'')*(?:'|$)|\$(\w*)\$.*?(?:\$\1\$|$)", re.DOTALL)


class FlushBlocked(CommandError):
    """Another session holds locks on tables that are to be emptied. A CommandError, as what a flush of Django's raises."""


class Session(NamedTuple):
    """A session of the database's server that is in the way."""

    id: int
    user: str
    application: str
    """What it calls itself, or the host that it comes from."""
    state: str
    query: str
    """What it did last, or does; empty if that cannot be known."""
    tables: tuple[str, ...] = ()
    """Those on which it holds locks, as far as that can be known."""


def refusal(connection: BaseDatabaseWrapper, test: str, sessions: Iterable[Session], seconds: float) -> FlushBlocked:
    """Return the error for a flush after ``test`` that waited for others in vain.

    Args:
        connection: to the database that could not be emptied.
        test: the id of the test whose rows they are.
        sessions: those in the way, as far as they are known.
        seconds: how long it waited; 0 if that is not ours to say.
    """
    waited = f" within {seconds:g} s" if seconds else ""
    listed = [line for session in sessions for line in _describe(session, connection.alias)]
    if not listed:
        listed = ["  another connection, of a thread of this process or of another process, has a transaction open"]
    return FlushBlocked(
        "\n".join(
            [
                f'The database of "{connection.alias}" could not be emptied after {test}{waited}, as it is locked:',
                *listed,
                "What a test starts (a thread, a process) has to close its connections before the test ends.",
            ]
        )
    )


def _describe(session: Session, alias: str) -> Iterable[str]:
    named = [f"user {session.user}"] if session.user else []
    named += [session.application] if session.application else []
    tables = f", holds locks on {', '.join(session.tables)}" if session.tables else ""
    yield f"  session {session.id} ({', '.join(named)}): {session.state}{tables}"
    if session.query:
        from testkit.queries.shorten import shorten  # here, as few runs need it and its many rules

        query = _LITERAL.sub("'…'", shorten(session.query))
        yield f"    its last statement: {query if len(query) <= _LONGEST_QUERY else query[:_LONGEST_QUERY] + '…'}"
    yield from (f"    {line}" for line in _holder(alias, session.id).splitlines())


def _holder(alias: str, session: int) -> str:
    """Return whose connection the session is in this process, or nothing."""
    try:
        holders = import_module("testkit.databases.holders")
    except ModuleNotFoundError:
        return ""
    return str(holders.describe(alias, session))
