"""Which queries ran, what each took, and which line of code asked for it.

One wrapper (``connection.execute_wrappers``) on every connection, which does next to nothing while nobody records. What
is recorded belongs to a context (:mod:`contextvars`), so that concurrent requests are kept apart; threads that begin
with an empty context, such as a live server's, count for what the process records.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextvars import ContextVar
from functools import cache
from types import CodeType
from typing import Any, NamedTuple, Self, overload

import django
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from testkit.core.clock import clock
from testkit.queries.fingerprint import fingerprint

Row = tuple[Any, Any, BaseDatabaseWrapper, float, CodeType | None, int, bool]
"""SQL, parameters, connection, seconds, the code and line that asked for it, and whether it is an ``executemany``."""
Sink = Callable[[Row], object]

_CONTROL = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE SAVEPOINT", "START TRANSACTION", "SET ")
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
        """The line of code that asked for it: ``path:line in function``, from the working directory if it lies there."""
        if not self.path:
            return "(unknown)"
        path = os.path.relpath(self.path) if self.path.startswith(os.getcwd() + os.sep) else self.path
        return f"{path}:{self.line} in {self.function}"


# What is recorded. A context that has not begun a scope of its own counts for the process's.
_in_context: ContextVar[tuple[Sink, ...] | None] = ContextVar("testkit_queries", default=None)
_of_process: tuple[Sink, ...] = ()
_of_lone_request: tuple[Sink, ...] = ()
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
        global _of_lone_request, _of_process
        install()
        self._before = _in_context.get()
        with _lock:
            around = _of_process if self._before is None else self._before
            if not self._is_request:
                _of_process = (*_of_process, self._sink)
            elif not _of_lone_request:
                _of_lone_request = (self._sink,)
        _in_context.set((*around, self._sink))
        return self

    def __exit__(self, *error: object) -> None:
        global _of_lone_request, _of_process
        with _lock:
            _of_process = tuple(sink for sink in _of_process if sink is not self._sink)
            _of_lone_request = tuple(sink for sink in _of_lone_request if sink is not self._sink)
        _in_context.set(self._before)


class Recording(Sequence[Query]):
    """The queries of a ``with`` block, in their order, those of threads that it starts included.

    Transaction control (BEGIN, SAVEPOINT, …) is no query. Blocks may lie within each other: a query counts in all.
    """

    def __init__(self, using: str | Collection[str] | None = None) -> None:
        """``using`` is an alias or several of them; None stands for all."""
        self._aliases = {using} if isinstance(using, str) else using
        self._rows: list[Row] = []
        self._scope = Scope(self._rows.append)

    def __enter__(self) -> Self:
        self._rows.clear()
        self._scope.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._scope.__exit__(*error)

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
    path, function = ("", "") if code is None else (code.co_filename, code.co_qualname)
    return Query(text, params, connection.alias, connection.vendor, seconds, path, line, function, many)


def _text_of(sql: Any, connection: BaseDatabaseWrapper) -> str:
    """Return the text of what psycopg composes from parts."""
    as_string = getattr(sql, "as_string", None)
    return str(sql) if as_string is None else str(as_string(connection.connection))


def install() -> None:
    """Put the wrapper on the connections of this thread, and on every one that is opened from now on."""
    _follow_new_connections()
    for connection in connections.all(initialized_only=True):
        _wrap(connection)


@cache
def _follow_new_connections() -> None:
    connection_created.connect(_wrap_new, dispatch_uid="testkit.queries")


def _wrap_new(connection: BaseDatabaseWrapper, **_: Any) -> None:
    _wrap(connection)


def _wrap(connection: BaseDatabaseWrapper) -> None:
    # As the first: the end of an execute_wrapper() block, in which a connection may be opened, removes the last.
    if _record not in connection.execute_wrappers:
        connection.execute_wrappers.insert(0, _record)


def _record(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
    sinks = _in_context.get()
    if sinks is None:
        sinks = _of_process + _of_lone_request
    if not sinks:
        return execute(sql, params, many, context)
    started = clock.seconds()
    try:
        return execute(sql, params, many, context)
    finally:
        seconds = clock.seconds() - started
        if not (isinstance(sql, str) and sql.startswith(_CONTROL)):
            code, line = _caller()
            row = (sql, params, context["connection"], seconds, code, line, many)
            for sink in sinks:
                sink(row)


_USERS, _LIBRARY, _DATABASE = range(3)
_kinds: dict[str, int] = {}
"""Whose code is in a file: the user's, a library's, or Django's database layer."""


def _caller() -> tuple[CodeType | None, int]:
    """Return the innermost line of the user's code, or of a library's where there is none."""
    frame: Any = sys._getframe(2)
    code, line = None, 0
    while frame is not None:
        name = frame.f_code.co_filename
        kind = _kinds.get(name)
        if kind is None:
            kind = _kinds[name] = _kind_of(name)
        if kind == _USERS:
            return frame.f_code, frame.f_lineno
        if kind == _LIBRARY and code is None:
            code, line = frame.f_code, frame.f_lineno
        frame = frame.f_back
    return code, line


def _kind_of(filename: str) -> int:
    if filename.startswith(_database_layer()):
        return _DATABASE
    installed = "/site-packages/" in filename or "/dist-packages/" in filename
    return _LIBRARY if installed or filename.startswith(_libraries()) else _USERS


@cache
def _database_layer() -> tuple[str, ...]:
    return tuple(os.path.join(folder, "") for folder in (f"{os.path.dirname(django.__file__)}/db", os.path.dirname(__file__)))


@cache
def _libraries() -> tuple[str, ...]:
    """Return how the names of files begin that are not the user's: Python's, Django's and ours, wherever they lie."""
    python = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    ours = {os.path.dirname(django.__file__), os.path.dirname(os.path.dirname(__file__))}
    return ("<", *(os.path.join(folder, "") for folder in python | ours))
