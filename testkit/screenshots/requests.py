"""The requests that a live server is answering, and whose turn it is with a database that all of them share."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

WSGIApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_LATE = b"The test that this request was made in has ended.\n"
_LONGEST_TURN = 10.0
"""Seconds after which a thread no longer waits for its turn with a database in memory: two may wait for each other."""


class RequestsHang(AssertionError):
    """Requests of a test are still being answered, long after it has ended."""


class _Running(NamedTuple):
    what: str
    since: float
    thread: int


class Failure(NamedTuple):
    """A request that ended with an exception."""

    method: str
    path: str
    """With its query."""
    error: str
    """The last lines of the traceback."""


class Refusal(NamedTuple):
    """A request that was answered with an error's status, and was for a page or for a part of one."""

    path: str
    """With its query."""
    status: int


class Requests:
    """The requests that a live server is answering."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running: dict[object, _Running] = {}
        self._failures: list[Failure] = []
        self._refusals: list[Refusal] = []
        self._is_open = True

    def open(self) -> None:
        """Let requests be answered."""
        with self._changed:
            self._is_open = True

    def close(self, timeout: float) -> None:
        """Wait until none is being answered, and let no other begin.

        Raises:
            RequestsHang: one has not ended after ``timeout`` seconds.
        """
        end = monotonic() + timeout
        with self._changed:
            self._is_open = False
            while self._running and (left := end - monotonic()) > 0:
                self._changed.wait(left)
            hanging = list(self._running.values())
            self._running.clear()  # they are told once: the next test has done nothing to them
        if hanging:
            raise RequestsHang("\n\n".join(_describe(one) for one in hanging))

    def take_failures(self) -> list[Failure]:
        """Return the requests that ended with an exception since the last call."""
        with self._changed:
            found, self._failures = self._failures, []
        return found

    def take_refusals(self) -> list[Refusal]:
        """Return what was answered with a status of 500 and above since the last call, and parts of pages with one from 400."""
        with self._changed:
            found, self._refusals = self._refusals, []
        return found

    def note_failure(self, request: Any) -> None:
        """Note the exception that is being handled, of ``request``, if that came to the server: tests make others."""
        lines = "".join(traceback.format_exception(*sys.exc_info())[-2:]).rstrip()
        with self._changed:
            if any(running.thread == threading.get_ident() for running in self._running.values()):
                self._failures.append(Failure(request.method, request.get_full_path(), lines))

    def around(self, application: WSGIApplication, turn: Turn) -> WSGIApplication:
        """Return ``application``, whose requests are known here and take their turn."""

        def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            def noting(status: str, *more: Any) -> Any:
                self._note_status(path, int(status[:3]), environ.get("HTTP_SEC_FETCH_DEST", ""))
                return start_response(status, *more)

            query = f"?{environ['QUERY_STRING']}" if environ.get("QUERY_STRING") else ""
            path = f"{environ.get('PATH_INFO', '')}{query}"
            key = self._begin(f"{environ['REQUEST_METHOD']} {path}")
            if key is None:
                start_response("503 Service Unavailable", [("Content-Length", str(len(_LATE)))])
                return [_LATE]
            try:
                with turn.taken():
                    parts = application(environ, noting)
            except BaseException:
                self._end(key)
                raise
            return _Answer(parts, turn, lambda: self._end(key))

        return answer

    def _note_status(self, path: str, status: int, destination: str) -> None:
        is_part = destination not in ("", "document", "empty")  # the last is what scripts ask for
        if status >= (400 if is_part else 500):
            with self._changed:
                self._refusals.append(Refusal(path, status))

    def _begin(self, what: str) -> object | None:
        with self._changed:
            if not self._is_open:
                return None
            key = object()
            self._running[key] = _Running(what, monotonic(), threading.get_ident())
            return key

    def _end(self, key: object) -> None:
        with self._changed:
            self._running.pop(key, None)
            self._changed.notify_all()


def _describe(one: _Running) -> str:
    text = f"{one.what} is still being answered, {monotonic() - one.since:.1f} s after it began; the test has ended."
    frame = sys._current_frames().get(one.thread)
    if frame is None:
        return text
    return f"{text} It is at:\n{''.join(traceback.format_stack(frame)[-3:]).rstrip()}"


class _Answer:
    """The parts of an answer, until the server closes it."""

    def __init__(self, parts: Iterable[bytes], turn: Turn, end: Callable[[], None]) -> None:
        self._parts, self._iterator, self._turn, self._end = parts, iter(parts), turn, end

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        with self._turn.taken():
            return next(self._iterator)

    def close(self) -> None:
        try:
            with self._turn.taken():
                getattr(self._parts, "close", lambda: None)()
        finally:
            self._end()


class Turn:
    """Whose turn it is with the connections that all threads share, as a database in memory has but one.

    A request has it while it is answered, a test while it makes a query. Without, two requests of a page run into each
    other's transactions.
    """

    def __init__(self, connections: Iterable[BaseDatabaseWrapper]) -> None:
        self._lock = threading.RLock()
        self._connections = list(connections)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Have it for the block."""
        has_it = bool(self._connections) and self._lock.acquire(timeout=_LONGEST_TURN)
        try:
            yield
        finally:
            if has_it:
                self._lock.release()

    def begin(self) -> None:
        """Give queries their turn, from now on."""
        for connection in self._connections:
            connection.execute_wrappers.append(self._execute)

    def end(self) -> None:
        """Leave the connections as they were."""
        for connection in self._connections:
            with suppress(ValueError):
                connection.execute_wrappers.remove(self._execute)

    def _execute(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        with self.taken():
            return execute(sql, params, many, context)
