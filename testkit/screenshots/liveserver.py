"""A live server that knows its requests: none is still being answered when the database is emptied.

Django's live server answers each connection in a thread of its own, and a test ends whenever it likes. A request that
is still on its way then finds its rows gone, or writes new ones into the next test's database.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.testing import StaticLiveServerTestCase
from django.core.signals import got_request_exception
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import LiveServerTestCase, override_settings

from testkit.screenshots.requests import Requests, Turn, WSGIApplication

_PLAIN_STORAGE = "django.contrib.staticfiles.storage.StaticFilesStorage"
_LONGEST_END = 5.0
"""Seconds for the threads of connections to end with the server."""


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
