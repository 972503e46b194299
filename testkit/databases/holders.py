"""Who holds a connection: which thread, opened where and by which test; and tear-down that says so.

Django's run fails when something is still connected to a test database that is to be dropped (PostgreSQL), or waits for
ever (MySQL, MariaDB), and does not say what it is.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any, NamedTuple

from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from testkit.core.clock import clock
from testkit.core.events import Fact, FixtureFinished, FixtureStarted, TestFinished, TestStarted
from testkit.databases.targets import family_of, target_of
from testkit.endpoints.code import is_own_code
from testkit.queries.origins import find_origin

GOING = 0.5
"""Seconds in which a session ends whose connection has just been closed."""
_MOST = 500
"""At so many connections, those that are closed or gone are forgotten."""
_SHOWN_QUERY = 120
_SHOWN_FRAMES = 3


class _Holder(NamedTuple):
    """A connection that was opened: by whom and where."""

    alias: str
    raw: weakref.ref[Any]
    thread: weakref.ref[threading.Thread]
    thread_name: str
    test: str
    code: CodeType | str | None
    line: int


_holders: dict[tuple[str, int], _Holder] = {}  # by alias and session


class Follower:
    """Notes who opens connections to servers. It hears the facts of a run, to know which test runs."""

    def __init__(self) -> None:
        self._running = ""

    def __call__(self, fact: Fact) -> None:
        kind = type(fact)
        if kind is TestStarted:
            self._running = fact.id  # type: ignore[union-attr]
        elif kind is FixtureStarted:
            self._running = f"{fact.id} ({fact.phase})"  # type: ignore[union-attr]
        elif kind is TestFinished or kind is FixtureFinished:
            self._running = ""

    def save(self) -> None:
        """Write nothing: what is noted is for this process alone."""

    def note(self, connection: BaseDatabaseWrapper, **_: Any) -> None:
        """Note who has just opened ``connection``: what Django's signal ``connection_created`` calls."""
        session = _session_of(connection.connection)
        if session is None:
            return
        thread = threading.current_thread()
        code, line = find_origin(sys._getframe(1))
        if len(_holders) >= _MOST:
            _forget_closed()
        key = (connection.alias, session)
        _holders.pop(key, None)  # the newest are last
        _holders[key] = _Holder(
            connection.alias,
            weakref.ref(connection.connection),
            weakref.ref(thread),
            thread.name,
            self._running,
            code,
            line,
        )


@contextmanager
def followed(worker: str = "", data: Any = None) -> Iterator[Follower]:
    """Note for the block who opens connections in this process, for :func:`describe`.

    What it gives has to hear the facts of the run. ``worker`` and ``data`` are those of a worker's surroundings, and
    nothing is read from them.
    """
    _holders.clear()  # in a fork they are the parent's
    follower = Follower()
    connection_created.connect(follower.note, weak=False)
    try:
        yield follower
    finally:
        connection_created.disconnect(follower.note)


def _session_of(raw: Any) -> int | None:
    """Return the server's number for the session of a driver's connection, without asking it; None for a file.

    Both drivers of PostgreSQL have the first, those of MySQL the second.
    """
    try:
        number = getattr(getattr(raw, "info", None), "backend_pid", None) or raw.thread_id()
    except Exception:  # no such thing, or closed
        return None
    return number if isinstance(number, int) and number > 0 else None


def _is_closed(raw: Any) -> bool:
    if hasattr(raw, "closed"):  # PostgreSQL's drivers
        return bool(raw.closed)
    return not getattr(raw, "open", True)  # MySQL's


def _forget_closed() -> None:
    """Forget connections that are closed, and the oldest ones if that is not enough."""
    for key, holder in list(_holders.items()):
        raw = holder.raw()
        if raw is None or _is_closed(raw):
            _holders.pop(key, None)
    for key in list(_holders)[: max(0, len(_holders) - _MOST + 1)]:
        _holders.pop(key, None)


# Telling


def describe(alias: str, session: int) -> str:
    """Return who has the connection of ``alias`` whose session on the server is ``session``; empty if nobody knows.

    Such as ``thread 'poller' (alive, at shop/tasks.py:31 in poll), connected by shop.tests.TaskTests.test_poll at
    shop/tasks.py:12``.
    """
    holder = _holders.get((alias, session))
    return _describe(holder) if holder is not None else ""


def _describe(holder: _Holder) -> str:
    thread = holder.thread()
    if thread is None or not thread.is_alive():
        doing = "ended"
    elif thread is threading.current_thread():
        doing = "this one"
    else:
        frames = _lines_of(sys._current_frames().get(thread.ident or 0))
        doing = f"alive{', at ' * bool(frames)}{', called at '.join(frames)}"
    by = f" by {holder.test}" if holder.test else ""
    at = f" at {_shown_path(holder.code)}:{holder.line}" if holder.code is not None else ""
    return f"thread {holder.thread_name!r} ({doing}), connected{by}{at}"


def _lines_of(frame: FrameType | None) -> list[str]:
    """Return the innermost lines of the project's code that a thread is at, or the innermost one of all."""
    own: list[str] = []
    innermost = frame
    while frame is not None and len(own) < _SHOWN_FRAMES:
        if is_own_code(frame.f_code.co_filename):
            own.append(_shown_line(frame))
        frame = frame.f_back
    return own or ([_shown_line(innermost)] if innermost is not None else [])


def _shown_line(frame: FrameType) -> str:
    return f"{_shown_path(frame.f_code)}:{frame.f_lineno} in {frame.f_code.co_name}"


def _shown_path(code: CodeType | str) -> str:
    path = code if isinstance(code, str) else code.co_filename
    below = os.path.relpath(path) if os.path.isabs(path) else path
    return path if below.startswith(os.pardir) else below


# Sessions on a server


class _Session(NamedTuple):
    """A session as the server tells of it."""

    number: int
    user: str
    application: str
    host: str
    state: str
    query: str


def _sessions(connection: BaseDatabaseWrapper, cursor: Any, name: str) -> list[_Session]:
    match family_of(connection):
        case "postgresql":
            cursor.execute(
                # Of other users' sessions all but number and user is NULL; the server's own have no user.
                "SELECT pid, usename, application_name, "
                "CASE WHEN backend_type IS NOT NULL THEN COALESCE(host(client_addr), 'local') END, state, query "
                "FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid() AND usename IS NOT NULL "
                "AND COALESCE(backend_type, 'client backend') = 'client backend' ORDER BY backend_start",
                [name],
            )
            rows = cursor.fetchall()
        case "mysql":
            cursor.execute("SHOW FULL PROCESSLIST")
            rows = [
                (row[0], row[1], "", str(row[2]).partition(":")[0], f"{row[4]} for {row[5]} s", row[7])
                for row in cursor.fetchall()
                if row[3] == name
            ]
        case _:
            rows = []
    return [_Session(int(row[0]), *(str(value or "") for value in row[1:])) for row in rows]


def _tell(connection: BaseDatabaseWrapper, session: _Session) -> str:
    text = describe(connection.alias, session.number)
    if not text:
        # A mirror, or a second alias for the same database.
        server = target_of(connection).server
        others = (alias for alias, number in list(_holders) if number == session.number and alias in connections)
        text = next((describe(alias, session.number) for alias in others if _is_at(alias, server)), "")
    query = _masked(connection, session.query)
    doing = ", ".join(filter(None, [session.state, f"last query: {query}" if query else ""]))
    if text:
        return f"{text} (session {session.number}, {doing})"
    host = f" from {session.host}" if session.host else ""
    application = f", application {session.application!r}" if session.application else ""
    doing = f" ({doing})" if doing else ""
    return f"session {session.number} of user {session.user!r}{host}{application}, not of this process{doing}"


def _is_at(alias: str, server: tuple[object, ...]) -> bool:
    return target_of(connections[alias]).server == server


def _masked(connection: BaseDatabaseWrapper, query: str) -> str:
    """Return a query on one line, up to the first literal in it, which may be a password."""
    literal = r"'|\$\w*\$" if family_of(connection) == "postgresql" else r"['\"]"
    shown = re.split(literal, " ".join(query.split()), maxsplit=1)[0][:_SHOWN_QUERY]
    return shown if len(shown) == len(query) else f"{shown}…"


# Tear-down


def explain_sessions(connection: BaseDatabaseWrapper, name: str, tell: Callable[[str], None]) -> None:
    """Tell who is still connected to the database ``name``, which is to be dropped, if that keeps it from being dropped.

    On PostgreSQL anybody does, on MySQL and MariaDB a transaction. Sessions that end within ``GOING`` seconds are not
    told. Whoever drops the database ends this user's own; to drop one that others are connected to fails.

    Args:
        connection: of the alias whose test database it is.
        name: of the database.
        tell: gets the text.
    """
    creation: Any = connection.creation
    if family_of(connection) not in {"postgresql", "mysql"}:
        return
    with creation._nodb_cursor() as cursor:
        deadline = clock.seconds() + GOING
        while held := _holding(connection, cursor, name):
            if clock.seconds() > deadline:
                lines = "".join(f"\n- {_tell(connection, session)}" for session in held)
                tell(
                    f'the test database {name} of "{connection.alias}" was to be dropped and still in use by:{lines}\n'
                    "Such sessions are ended. End threads in the tests that start them, and let a thread close what it "
                    "has opened: connections.close_all()"
                )
                return
            time.sleep(GOING / 20)


def _holding(connection: BaseDatabaseWrapper, cursor: Any, name: str) -> list[_Session]:
    """Return the sessions that keep the database ``name`` from being dropped."""
    sessions = _sessions(connection, cursor, name)
    if family_of(connection) == "postgresql" or not sessions:
        return sessions
    try:
        cursor.execute("SELECT trx_mysql_thread_id FROM information_schema.innodb_trx")
    except DatabaseError:  # no privilege to ask (PROCESS)
        return []
    busy = {number for (number,) in cursor.fetchall()}
    return [session for session in sessions if session.number in busy]
