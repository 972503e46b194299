"""``python -m testkit screenshots review``: the page on this machine alone, with buttons that approve.

Any page that a browser has open can send requests to a server on loopback, and so can any user of the machine. So every
address has a secret in it; what changes a file must also come from our own page, which can send a header that others
cannot; and the name in ``Host`` must be ours, or another site's name could be made to lead here (DNS rebinding).
"""

from __future__ import annotations

import json
import re
import secrets
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any, cast

from testkit.core.errors import TestkitError
from testkit.screenshots import results
from testkit.screenshots.errors import ScreenshotError
from testkit.screenshots.review.page import policy, render
from testkit.screenshots.review.shots import Shot, approve

LARGEST_REQUEST = 1_000_000  # bytes; an id is 16 characters, so some 50,000 screenshots
SECONDS_OF_SILENCE = 60
"""After so long a connection that says nothing is closed."""
_IMAGE = re.compile(r"images/(?P<id>[0-9a-f]{16})-(?P<kind>baseline|before|new|diff)\.png")


class ReviewServer(ThreadingHTTPServer):
    """Serves the review page of the run in ``folder`` on 127.0.0.1."""

    daemon_threads = True  # a browser keeps its connections open; they must not keep us
    block_on_close = False

    def __init__(self, folder: Path, port: int = 0, *, told: Callable[[Path], None] = lambda path: None) -> None:
        """``told`` is called with each baseline that was written; port 0 is any that is free.

        Raises:
            ScreenshotError: the port cannot be had.
        """
        self.folder = folder
        self.token = secrets.token_urlsafe(32)
        self.known: dict[str, Shot] = {}
        self._told = told
        self._one_at_a_time = Lock()
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except (OSError, OverflowError) as error:
            raise ScreenshotError(f"port {port} of 127.0.0.1 cannot be had ({error}): leave out --port") from error

    @property
    def address(self) -> str:
        """What to open in a browser."""
        return f"http://127.0.0.1:{self.server_port}/{self.token}/"

    @property
    def hosts(self) -> tuple[str, str]:
        """The names by which a browser of this machine may have come here."""
        return f"127.0.0.1:{self.server_port}", f"localhost:{self.server_port}"

    def server_bind(self) -> None:
        """Bind, without asking a name server who we are, as ``HTTPServer`` does."""
        socket.socket.bind(self.socket, self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "127.0.0.1", int(self.server_address[1])

    def read(self) -> dict[str, Shot]:
        """Return what the run in the folder compared, as it is now, by id."""
        self.known = {shot.id: shot for shot in (Shot(result, self.folder) for result in results.read(self.folder))}
        return self.known

    def approve(self, ids: Sequence[str]) -> tuple[list[str], list[dict[str, str]]]:
        """Make new images of the run baselines, and return the ids of these, and which were refused and why."""
        approved, refused = [], []
        with self._one_at_a_time:
            now = self.read()
            if not now.keys() >= set(ids):
                raise _Refused(HTTPStatus.CONFLICT, "tests have run since this page was opened: reload it")
            for id in dict.fromkeys(ids):
                try:
                    self._told(approve(now[id]))
                    approved.append(id)
                except TestkitError as error:
                    refused.append({"id": id, "why": str(error)})
        return approved, refused

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Pass over browsers that went away; anything else is a bug, and is told."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Refused(Exception):
    """A request is not answered as it wants to be."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "testkit", ""
    timeout = SECONDS_OF_SILENCE

    def do_GET(self) -> None:
        self._answer(self._get)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self._answer(self._post)

    def _answer(self, make: Callable[[str], tuple[str, bytes]]) -> None:
        try:
            kind, body = make(self._path_behind_token())
            status = HTTPStatus.OK
        except _Refused as refused:
            self.close_connection = True  # what else the request holds is not read
            status, kind, body = refused.status, "application/json", json.dumps({"error": str(refused)}).encode()
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Type": kind, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    @property
    def _review(self) -> ReviewServer:
        return cast(ReviewServer, self.server)

    def _path_behind_token(self) -> str:
        if self.headers.get("Host") not in self._review.hosts:
            raise _Refused(HTTPStatus.MISDIRECTED_REQUEST, "this server has another name: open the address it printed")
        token, slash, path = self.path.removeprefix("/").partition("/")
        if not slash or not self._is_token(token):
            raise _Refused(HTTPStatus.NOT_FOUND, "open the address that `testkit screenshots review` printed, whole")
        return path

    def _is_token(self, given: str) -> bool:
        return secrets.compare_digest(given.encode("utf-8", "backslashreplace"), self._review.token.encode())

    def _get(self, path: str) -> tuple[str, bytes]:
        if not path:
            return "text/html; charset=utf-8", render(list(self._review.read().values()), served=True).encode()
        # No path of a request becomes one of a file: there is nothing but what the results name.
        asked = _IMAGE.fullmatch(path)
        shot = self._review.known.get(asked["id"]) if asked else None
        file = shot.image(asked["kind"]) if asked and shot else None
        try:
            if file is not None:
                return "image/png", file.read_bytes()
        except OSError:
            pass
        raise _Refused(HTTPStatus.NOT_FOUND, "there is no such image in this run: reload the page")

    def _post(self, path: str) -> tuple[str, bytes]:
        if path != "approve":
            raise _Refused(HTTPStatus.NOT_FOUND, "only approve takes a POST")
        if self.headers.get("Origin") != f"http://{self.headers['Host']}":
            raise _Refused(HTTPStatus.FORBIDDEN, "this did not come from the review page")
        if not self._is_token(self.headers.get("X-Testkit-Token", "")):
            raise _Refused(HTTPStatus.FORBIDDEN, "this did not come from the review page: its token is missing")
        approved, refused = self._review.approve(self._ids())
        return "application/json", json.dumps({"approved": approved, "refused": refused}).encode()

    def _ids(self) -> list[str]:
        """Return the ids that the request's body gives."""
        length = self.headers.get("Content-Length", "")
        if self.headers.get_content_type() != "application/json" or not length.isdecimal():
            raise _Refused(HTTPStatus.BAD_REQUEST, "send JSON, and say how long it is")
        if int(length) > LARGEST_REQUEST:
            raise _Refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too many screenshots at once: filter, and go on in parts"
            )
        try:
            ids = json.loads(self.rfile.read(int(length)))["ids"]
        except (ValueError, KeyError, TypeError, RecursionError):
            ids = None
        if not isinstance(ids, list) or not all(isinstance(id, str) for id in ids):
            raise _Refused(HTTPStatus.BAD_REQUEST, 'send {"ids": ["…"]}')
        return ids

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing: the addresses have the token in them."""


_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": f"{policy(served=True)}; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
