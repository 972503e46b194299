"""Which queries ran, what each took, and which line of code asked for it.

One wrapper (``connection.execute_wrappers``) on every connection, which does next to nothing while nobody records. What
is recorded belongs to a context (:mod:`contextvars`), so that concurrent requests are kept apart; threads that begin
with an empty context, such as a live server's, count for what the process records.

What sets up a connection that is opened counts for nobody: it is not the work of the code that happens to come first.
"""

from __future__ import annotations

import inspect
import os
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from contextvars import ContextVar
from types import CodeType, FrameType
from typing import Any, NamedTuple, Self, overload

from django.db import Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from testkit.core.clock import clock
from testkit.queries.fingerprint import fingerprint
from testkit.queries.origins import find_origin, find_origin_of

Row = tuple[Any, Any, BaseDatabaseWrapper, float, CodeType | str | None, int, bool]
"""SQL, parameters, connection, seconds, the code (or the template's path) and line that asked for it, and whether it is
an ``executemany``."""
Sink = Callable[[Row], object]

CONTROL = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE SAVEPOINT", "START TRANSACTION", "SET ", "PRAGMA ")
"""How statements begin that say how to work rather than what to do; the backends of Django differ in these."""


class Query(NamedTuple):
    """A query that ran. ``seconds`` is the time until the database answered, which may be before it has all rows."""

    sql: str
    params: Any
    alias: str
    vendor: str
    seconds: float
    path: str = ""
    line: int = 0
    function: str = ""
    many: bool = False

    @property
    def fingerprint(self) -> str:
        """The SQL without what may differ between two runs of the same query."""
        return fingerprint(self.sql)

    @property
    def origin(self) -> str:
        """The line that asked for it: ``path:line in function``, or ``path:line`` in a template.

        The path begins at the working directory, or at the package if it is of one that is installed.
        """
        if not self.path:
            return "(unknown)"
        folder, _, path = self.path.rpartition("/site-packages/")
        if not folder:
            path = self.path
            with suppress(FileNotFoundError):  # the working directory was removed
                path = path.removeprefix(os.path.join(os.getcwd(), ""))
        return f"{path}:{self.line}" + (f" in {self.function}" if self.function else "")


# What is recorded. A context that has not begun a scope of its own counts for the process's.
_in_context: ContextVar[tuple[Sink, ...] | None] = ContextVar("testkit_queries", default=None)
_of_process: tuple[Sink, ...] = ()
_requests: list[tuple[Sink, ...]] = []
"""The scopes of each request that is being answered; they may lie within each other."""
_of_threads: tuple[Sink, ...] = ()
"""What threads without a scope count for: the process's, and those of a request if there is but one."""
_lock = threading.Lock()


class Scope:
    """Sends each query of this context, and of threads without one, to a sink, for a ``with`` block.

    The scope of a request does not hear of the queries of other requests. Threads that it starts count for it while
    it is the only one that is being answered.
    """

    def __init__(self, sink: Sink, *, is_request: bool = False) -> None:
        """``sink`` is called with the :data:`Row` of each query."""
        self._sink, self._is_request = sink, is_request
        self._before: tuple[Sink, ...] | None = None

    def __enter__(self) -> Self:
        global _of_process
        install()
        self._before = _in_context.get()
        with _lock:
            around = _of_process if self._before is None else self._before
            if self._is_request:
                _add_to_requests(self._sink, around)
            else:
                _of_process = (*_of_process, self._sink)
            _decide_for_threads()
        _in_context.set((*around, self._sink))
        return self

    def __exit__(self, *error: object) -> None:
        global _of_process
        with _lock:
            _of_process = _without(self._sink, _of_process)
            _requests[:] = filter(None, (_without(self._sink, request) for request in _requests))
            _decide_for_threads()
        _in_context.set(self._before)


def _add_to_requests(sink: Sink, around: tuple[Sink, ...]) -> None:
    for index, request in enumerate(_requests):
        if any(outer in around for outer in request):
            _requests[index] = (*request, sink)
            return
    _requests.append((sink,))


def _decide_for_threads() -> None:
    global _of_threads
    _of_threads = _of_process + _requests[0] if len(_requests) == 1 else _of_process


def _without(sink: Sink, sinks: tuple[Sink, ...]) -> tuple[Sink, ...]:
    return tuple(other for other in sinks if other is not sink)


class Recording(Sequence[Query]):
    """The queries of a ``with`` block, in their order, those of threads that it starts included.

    Transaction control (BEGIN, SAVEPOINT, …) is no query. Blocks may lie within each other: a query counts in all.
    """

    def __init__(self, using: str | Collection[str] | None = None) -> None:
        """``using`` is an alias or several of them; None stands for all."""
        self._aliases = {using} if isinstance(using, str) else using
        self._rows: list[Row] = []

    def __enter__(self) -> Self:
        self._rows = []
        self._scope = Scope(self._rows.append)
        self._scope.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._scope.__exit__(*error)
        # A task that was started in the block has a copy of its context, and may go on; that counts no more.
        self._rows = list(self._rows)

    def __len__(self) -> int:
        if self._aliases is None:
            return len(self._rows)
        return sum(connection.alias in self._aliases for _, _, connection, *_ in self._rows)

    def __iter__(self) -> Iterator[Query]:
        for row in self._rows:
            if self._aliases is None or row[2].alias in self._aliases:
                yield query_of(row)

    @overload
    def __getitem__(self, index: int) -> Query: ...
    @overload
    def __getitem__(self, index: slice) -> list[Query]: ...
    def __getitem__(self, index: int | slice) -> Query | list[Query]:
        return list(self)[index]


def query_of(row: Row) -> Query:
    """Return what was recorded as a query."""
    sql, params, connection, seconds, code, line, many = row
    text = sql if isinstance(sql, str) else _text_of(sql, connection)
    path, function = (code.co_filename, code.co_qualname) if isinstance(code, CodeType) else (code or "", "")
    return Query(text, params, connection.alias, connection.vendor, seconds, path, line, function, many)


def _text_of(sql: Any, connection: BaseDatabaseWrapper) -> str:
    """Return the text of what psycopg composes from parts."""
    # Quoting asks the connection, which may be closed by now; psycopg 3 can do without.
    for context in (connection.connection, None) if hasattr(sql, "as_string") else ():
        with suppress(Error, TypeError), connection.wrap_database_errors:
            return str(sql.as_string(context))
    return str(sql)


def install() -> None:
    """Put the wrapper on the connections of this thread; those that are opened from now on, in any thread, have it."""
    for connection in connections.all(initialized_only=True):
        _wrap(connection)


def _wrap_new(connection: BaseDatabaseWrapper, **_: Any) -> None:
    _wrap(connection)


def _wrap(connection: BaseDatabaseWrapper) -> None:
    # As the first: the end of an execute_wrapper() block, in which a connection may be opened, removes the last.
    if not any(isinstance(wrapper, _Wrapper) for wrapper in connection.execute_wrappers):
        connection.execute_wrappers.insert(0, _Wrapper())


class _Wrapper:
    """What runs around each query of one connection."""

    __slots__ = ("_clock", "_opened")

    def __init__(self) -> None:
        # The driver's connection that is known to be set up. Kept itself: another one could get its id().
        self._opened: Any = None
        self._clock = clock.seconds

    def __call__(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
        sinks = _in_context.get()
        if sinks is None:
            sinks = _of_threads
        if not sinks:
            return execute(sql, params, many, context)
        started = self._clock()
        try:
            return execute(sql, params, many, context)
        finally:
            seconds = self._clock() - started
            connection = context["connection"]
            opened = connection.connection is self._opened or self._is_opened(connection)
            if opened and (type(sql) is not str or sql.startswith("SELECT") or not sql.startswith(CONTROL)):
                # Behind two frames of Django's cursor. What psycopg composes is no text, and may have no hash.
                code, line = find_origin_of(sql, 3) if type(sql) is str else find_origin(sys._getframe(3))
                row = (sql, params, connection, seconds, code, line, many)
                for sink in sinks:
                    sink(row)

    def _is_opened(self, connection: BaseDatabaseWrapper) -> bool:
        """Tell whether the first query of a driver's connection comes from outside of what Django does to open it."""
        frame: FrameType | None = sys._getframe(2)
        while frame is not None:
            if frame.f_code is _CONNECT:
                return False
            frame = frame.f_back
        self._opened = connection.connection
        return True


_CONNECT = inspect.unwrap(BaseDatabaseWrapper.connect).__code__


# Now rather than with the first recording: other threads may have opened their connections by then.
connection_created.connect(_wrap_new, dispatch_uid="testkit.queries")
