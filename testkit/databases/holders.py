"""Who holds a connection: which thread, opened where and by which test; and tear-down that says so and goes on.

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
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from types import CodeType, FrameType
from typing import Any, NamedTuple

from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from testkit.core.clock import clock
from testkit.core.errors import TestkitError
from testkit.core.events import Fact, FixtureFinished, FixtureStarted, TestFinished, TestStarted
from testkit.databases.leftovers import end_sessions
from testkit.databases.targets import family_of, target_of
from testkit.queries.origins import find_origin, is_own_code

LOCK_WAIT = 2
"""Seconds that MySQL and MariaDB wait for the locks that others have on a database that is to be dropped."""
GOING = 0.5
"""Seconds in which a session ends whose connection has just been closed."""
_MOST = 500
"""At so many connections, those that are closed or gone are forgotten."""
_SHOWN_QUERY = 120
_SHOWN_FRAMES = 3
_LOCK_TIMED_OUT = 1205  # ER_LOCK_WAIT_TIMEOUT


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


def blockers(connection: BaseDatabaseWrapper, name: str) -> list[str]:
    """Return a line for each other session at the database ``name`` of the server of ``connection``.

    Sessions of this process are told by thread and test, others by what the server says of them. What the values in a
    query are is not told.
    """
    creation: Any = connection.creation
    with creation._nodb_cursor() as cursor:
        return [_tell(connection, session) for session in _sessions(connection, cursor, name)]


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


@contextmanager
def explained(to_drop: Iterable[BaseDatabaseWrapper], tell: Callable[[str], None]) -> Iterator[None]:
    """Let Django drop test databases for the block, also those that something is connected to: it is named, and ended.

    Sessions that end within ``GOING`` seconds are not told. Only this user's own are ended.

    Args:
        to_drop: a connection for each test database.
        tell: gets a text for each database that something has kept open.

    Raises:
        TestkitError: a database cannot be dropped all the same; who is connected to it is named.
    """
    with ExitStack() as stack:
        for connection in to_drop:
            if family_of(connection) in {"postgresql", "mysql"}:
                explain = partial(_drop, connection, connection.creation._destroy_test_db, tell)  # type: ignore[attr-defined]
                stack.enter_context(_replaced(connection.creation, "_destroy_test_db", explain))
        yield


def _drop(
    connection: BaseDatabaseWrapper,
    drop: Callable[..., None],
    tell: Callable[[str], None],
    name: str,
    *args: Any,
    **kwargs: Any,
) -> None:
    """Drop the database ``name`` by Django's ``drop``, and end the sessions that keep it from that."""
    is_postgres = family_of(connection) == "postgresql"
    prepare = partial(_free, connection, name, tell) if is_postgres else _bound_wait
    for is_last in (True,) if is_postgres else (False, True):
        try:
            with _preparing(connection.creation, prepare):
                drop(name, *args, **kwargs)
            return
        except DatabaseError as error:
            held = blockers(connection, name)
            if not held:
                raise
            if is_last:
                raise TestkitError(
                    f'the test database {name} of "{connection.alias}" cannot be dropped: {str(error).strip()}'
                    f"\nConnected to it: {_listed(held)}"
                ) from error
        _end(connection, name, held, tell)


def _free(connection: BaseDatabaseWrapper, name: str, tell: Callable[[str], None], cursor: Any) -> None:
    """End what is connected to ``name``: PostgreSQL would wait for 5 s and then refuse."""
    deadline = clock.seconds() + GOING
    while sessions := _sessions(connection, cursor, name):
        if clock.seconds() > deadline:
            _end(connection, name, [_tell(connection, session) for session in sessions], tell)
            return
        time.sleep(GOING / 20)


def _bound_wait(cursor: Any) -> None:
    """Let MySQL and MariaDB not wait for ever for a transaction in another thread, of which nobody knows."""
    cursor.execute("SET SESSION lock_wait_timeout = %s", [LOCK_WAIT])


def _end(connection: BaseDatabaseWrapper, name: str, held: list[str], tell: Callable[[str], None]) -> None:
    tell(
        f'the test database {name} of "{connection.alias}" was to be dropped and still in use; ended were: {_listed(held)}'
        "\nEnd threads in the tests that start them, and let a thread close what it has opened: connections.close_all()"
    )
    end_sessions(connection, name)


def _listed(lines: list[str]) -> str:
    return "".join(f"\n- {line}" for line in lines)


@contextmanager
def _preparing(creation: Any, prepare: Callable[[Any], None]) -> Iterator[None]:
    """Let the first administrative cursor of the block be prepared by ``prepare``."""
    nodb_cursor = creation._nodb_cursor

    @contextmanager
    def prepared() -> Iterator[Any]:
        vars(creation)["_nodb_cursor"] = nodb_cursor  # what prepares may need one for itself
        with nodb_cursor() as cursor:
            prepare(cursor)
            yield cursor

    with _replaced(creation, "_nodb_cursor", prepared):
        yield


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Give ``owner`` an attribute of its own in the place of its class's, for the block."""
    before = vars(owner).get(name)
    vars(owner)[name] = value
    try:
        yield
    finally:
        if before is None:
            vars(owner).pop(name, None)
        else:
            vars(owner)[name] = before
