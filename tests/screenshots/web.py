"""A server on loopback for the browser: pages given by tests or lying beside them, and answers that come late or fail."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs, urlsplit

from PIL import Image

from testkit.screenshots import browsers
from tests.screenshots.images import png

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver

PAGES = Path(__file__).parent / "pages"
TYPES = {".html": "text/html", ".ttf": "font/ttf", ".png": "image/png", ".gif": "image/gif", ".css": "text/css"}
HEAD = "<!doctype html><html lang=en><meta charset=utf-8><link rel=icon href='data:,'><title>Page</title>"
HUNG = 30
"""Seconds after which a request that hangs is given up, if the test has not ended before."""


class Answer(NamedTuple):
    """What is answered to a path."""

    content: bytes
    type: str = "text/html"
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


def leased(settings: browsers.Settings) -> WebDriver:
    """Return this process's browser with a fresh context, as a test case begins with it."""
    return browsers.renewed(browsers.shared(settings), lambda: browsers.shared(settings))


def swatch(colour: str, size: tuple[int, int] = (60, 40)) -> bytes:
    """Return a PNG of one colour."""
    return png(Image.new("RGB", size, colour))


class Web:
    """Answers with what was given for a path, else with the file of that name in ``pages``.

    ``/swatch/COLOUR.png`` is an image; ``?wait=SECONDS`` answers late, ``?hang`` never, ``?status=N`` with that status.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: Counter[str] = Counter()
        """How often each path was asked for, without its query."""
        self.headers: list[Mapping[str, str]] = []
        """Of each request."""
        self.over = threading.Event()
        """Ends what hangs."""
        self._answers: dict[str, Answer] = {}

    def page(self, body: str, path: str = "/page", **options: object) -> str:
        """Answer to ``path`` with a page, and return its address."""
        return self.give(path, Answer((HEAD + body).encode(), **options))  # type: ignore[arg-type]

    def give(self, path: str, answer: Answer) -> str:
        """Answer to ``path``, and return its address."""
        self._answers[path] = answer
        return self.url + path

    def answer(self, path: str) -> Answer:
        """Return what is answered to ``path``."""
        if path in self._answers:
            return self._answers[path]
        if path.startswith("/swatch/"):
            return Answer(swatch(Path(path).stem), "image/png")
        file = PAGES / path[1:]
        if path.count("/") == 1 and file.is_file():
            return Answer(file.read_bytes(), TYPES[file.suffix])
        return Answer(b"there is no such page", "text/plain", 404)


@contextmanager
def serving() -> Iterator[Web]:
    """Serve on a free port of loopback for the block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            address = urlsplit(self.path)
            query = parse_qs(address.query, keep_blank_values=True)
            web.asked[address.path] += 1
            web.headers.append(dict(self.headers))
            if "hang" in query:
                web.over.wait(HUNG)
            time.sleep(float(query.get("wait", ["0"])[0]))
            answer = web.answer(address.path)
            self.send_response(int(query.get("status", [answer.status])[0]))
            headers = {"Content-Type": answer.type, "Content-Length": str(len(answer.content)), **dict(answer.headers)}
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.content)

        do_POST = do_GET

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except ConnectionError:  # the browser has left the page
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    web = Web(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield web
    finally:
        web.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
