"""A live server that knows its requests: none is still being answered when the database is emptied.

Django's live server answers each connection in a thread of its own, and a test ends whenever it likes. A request that
is still on its way then finds its rows gone, or writes new ones into the next test's database.
"""

from __future__ import annotations

import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.staticfiles.testing import StaticLiveServerTestCase
from django.core.signals import got_request_exception
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import LiveServerTestCase, override_settings

WSGIApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_PLAIN_STORAGE = "django.contrib.staticfiles.storage.StaticFilesStorage"
_LATE = b"The test that this request was made in has ended.\n"
_LONGEST_END = 5.0
"""Seconds for the threads of connections to end with the server."""
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


class Requests:
    """The requests that a live server is answering."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running: dict[object, _Running] = {}
        self._failures: list[Failure] = []
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

    def note_failure(self, request: Any) -> None:
        """Note the exception that is being handled, of ``request``, if that came to the server: tests make others."""
        lines = "".join(traceback.format_exception(*sys.exc_info())[-2:]).rstrip()
        with self._changed:
            if any(running.thread == threading.get_ident() for running in self._running.values()):
                self._failures.append(Failure(request.method, request.get_full_path(), lines))

    def around(self, application: WSGIApplication, turn: Turn) -> WSGIApplication:
        """Return ``application``, whose requests are known here and take their turn."""

        def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            query = f"?{environ['QUERY_STRING']}" if environ.get("QUERY_STRING") else ""
            key = self._begin(f"{environ['REQUEST_METHOD']} {environ.get('PATH_INFO', '')}{query}")
            if key is None:
                start_response("503 Service Unavailable", [("Content-Length", str(len(_LATE)))])
                return [_LATE]
            try:
                with turn.taken():
                    parts = application(environ, start_response)
            except BaseException:
                self._end(key)
                raise
            return _Answer(parts, turn, lambda: self._end(key))

        return answer

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


def requests_of(cls: type) -> Requests | None:
    """Return the requests of the live server of ``cls``, if it has one of ours."""
    server = getattr(getattr(cls, "server_thread", None), "httpd", None)
    return getattr(server, "testkit_requests", None)


def follow(cls: type[Any]) -> None:
    """Have the live server of the test case ``cls``, which is not started yet, know its requests."""
    thread = getattr(cls, "server_thread_class", None)
    if thread is None or not issubclass(cls, LiveServerTestCase) or hasattr(thread.server_class, "testkit_requests"):
        return
    server = type(f"Following{thread.server_class.__name__}", (_Following, thread.server_class), {})
    cls.server_thread_class = type(thread.__name__, (thread,), {"server_class": server})


class _Following:
    """Put before Django's server class."""

    testkit_requests: Requests | None = None
    connections_override: Mapping[str, BaseDatabaseWrapper] | None

    def set_app(self, application: WSGIApplication) -> None:
        """Take the application that answers requests."""
        self.testkit_requests = requests = Requests()
        self._connected: dict[threading.Thread, socket.socket] = {}
        self._turn = turn = Turn((self.connections_override or {}).values())
        turn.begin()
        self._note = lambda sender, request=None, **_: requests.note_failure(
            request
        )  # signals keep no strong reference
        got_request_exception.connect(self._note)
        super().set_app(requests.around(application, turn))  # type: ignore[misc]

    def process_request_thread(self, request: socket.socket, client_address: Any) -> None:
        """Answer the requests that come by one connection; the browser keeps it for further ones."""
        self._connected[threading.current_thread()] = request
        try:
            super().process_request_thread(request, client_address)  # type: ignore[misc]
        finally:
            self._connected.pop(threading.current_thread(), None)

    def server_close(self) -> None:
        """End with the server, and with it all connections that the browser keeps.

        Their threads use the database once more as they end. It has to be there, and shared if it is in memory.
        """
        got_request_exception.disconnect(self._note)
        self._turn.end()
        super().server_close()  # type: ignore[misc]
        connected = list(self._connected.items())
        for _, request in connected:
            with suppress(OSError):  # closed by now
                request.shutdown(socket.SHUT_RDWR)
        end = monotonic() + _LONGEST_END
        for thread, _ in connected:
            thread.join(max(end - monotonic(), 0))


@contextmanager
def static_files(cls: type) -> Iterator[None]:
    """Let the static files that ``cls`` serves be those that its pages name, for the block.

    A ``StaticLiveServerTestCase`` serves what the finders find, under its own name; a storage that puts a hash into
    names knows them from the manifest of ``collectstatic``, which is absent, or of another day.
    """
    if not issubclass(cls, StaticLiveServerTestCase) or not _has_hashed_names():
        yield
        return
    storages = {**settings.STORAGES, "staticfiles": {"BACKEND": _PLAIN_STORAGE}}
    with override_settings(STORAGES=storages):
        yield


def _has_hashed_names() -> bool:
    from django.contrib.staticfiles.storage import HashedFilesMixin, staticfiles_storage

    return isinstance(staticfiles_storage, HashedFilesMixin)
