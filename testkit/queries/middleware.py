"""One line in the log for each request: what it took, and how much of it the database.

::

    Received request GET /library/books/, status 200, db_query_count=29, db_query_time_ms=136.421, duration_ms=192.56
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from difflib import get_close_matches
from typing import Any, cast
from urllib.parse import quote

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.http.response import HttpResponseBase, StreamingHttpResponse
from django.utils.deprecation import MiddlewareMixin

from testkit.core.clock import clock
from testkit.queries.streams import follow_parts
from testkit.queries.timer import Tally, figures_of, logger, text_of

_MOST_KEPT = 10_000
"""How many queries of a request are looked through for duplicates."""
_DEFAULTS: dict[str, Any] = {"SERVER_TIMING": False, "MAX_QUERIES": None}


class RequestLogMiddleware(MiddlewareMixin):
    """Logs each request, with its queries and times in milliseconds, to ``testkit.requests`` at level INFO.

    The record has the same as attributes: ``method``, ``path``, ``route``, ``status_code``, ``db_query_count``,
    ``db_query_time_ms`` and ``duration_ms``. The path is without its query string, and what could forge a line or a
    field of the log is percent-encoded in it. A streaming response is logged when it has been read or closed. Put the
    middleware first: what lies before it is not counted.

    ``TESTKIT_REQUEST_LOG`` in the settings is a dict with ``"MAX_QUERIES"``, above which the level is WARNING and the
    duplicate queries are told, and ``"SERVER_TIMING"``, whether the response has that header (of a streaming one: until
    its beginning). :exc:`~django.core.exceptions.ImproperlyConfigured` says what is wrong with it.
    """

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        super().__init__(get_response)
        options = _read_options()
        self._max_queries: int | None = options["MAX_QUERIES"]
        self._server_timing: bool = options["SERVER_TIMING"]

    def __call__(self, request: HttpRequest) -> Any:
        if self.async_mode:
            return self._answer_async(request)
        answer = self._begin(request)
        try:
            with answer.tally:
                response = cast(HttpResponseBase, self.get_response(request))
        except BaseException as error:
            answer.log(error)
            raise
        return self._follow(answer, response)

    async def _answer_async(self, request: HttpRequest) -> HttpResponseBase:
        answer = self._begin(request)
        try:
            with answer.tally:
                response = await cast(Awaitable[HttpResponseBase], self.get_response(request))
        except BaseException as error:
            # Of the server, such as the cancellation of the task when the client has gone away.
            answer.log(error)
            raise
        return self._follow(answer, response)

    def _begin(self, request: HttpRequest) -> _Answer:
        return _Answer(request, self._max_queries)

    def _follow(self, answer: _Answer, response: HttpResponseBase) -> HttpResponseBase:
        answer.status = response.status_code
        if self._server_timing:
            _add_server_timing(response, answer)
        if isinstance(response, StreamingHttpResponse):
            follow_parts(response, answer.tally, answer.log, answer.log)
        else:
            answer.log()
        return response


class _Answer:
    """What is known of a request while it is answered."""

    def __init__(self, request: HttpRequest, max_queries: int | None) -> None:
        self.tally = Tally(keep=0 if max_queries is None else _MOST_KEPT)
        self.status: int | None = None
        self._request, self._max_queries = request, max_queries
        self._began = clock.seconds()
        self._is_logged = False

    def figures(self) -> dict[str, Any]:
        return figures_of(self.tally, clock.seconds() - self._began)

    def log(self, error: BaseException | None = None) -> None:
        """Log the request, once: the parts of a response may end, and the response be closed after that."""
        if self._is_logged:
            return
        self._is_logged = True
        is_over = self._max_queries is not None and self.tally.count > self._max_queries
        level = logging.WARNING if is_over else logging.INFO
        if not logger.isEnabledFor(level):
            return
        figures = self.figures()
        method, path = _in_one_word(self._request.method or ""), _in_one_word(self._request.path)
        text = f"Received request {method} {path}, {self._outcome(error)}, {text_of(figures)}"
        match = self._request.resolver_match
        about = {"method": method, "path": path, "route": match.route if match else "", "status_code": self.status}
        logger.log(level, "%s", text + self._excess() if is_over else text, extra={**about, **figures})

    def _outcome(self, error: BaseException | None) -> str:
        if error is None:
            return f"status {self.status}"
        name = type(error).__name__
        return f"no response ({name})" if self.status is None else f"status {self.status} broken off ({name})"

    def _excess(self) -> str:
        """Return what is said about a request with too many queries."""
        from testkit.queries.groups import describe, duplicates_of

        duplicates = duplicates_of(self.tally.queries, at_least=3, writes=False)
        above = f": more than MAX_QUERIES = {self._max_queries}"
        if not duplicates:
            return f"{above}, no line of code asks for the same three times"
        return f"{above}\n{describe([query for group in duplicates for query in group.queries])}"


def _in_one_word(text: str) -> str:
    """Return the text with all that is not printable, and each space, percent-encoded as in an address."""
    if text.isprintable() and " " not in text:
        return text
    return "".join(c if c.isprintable() and c != " " else quote(c, errors="surrogatepass") for c in text)


def _add_server_timing(response: HttpResponseBase, answer: _Answer) -> None:
    figures = answer.figures()
    ours = (
        f'db;dur={figures["db_query_time_ms"]:.3f};desc="{figures["db_query_count"]} queries", '
        f"total;dur={figures['duration_ms']:.2f}"
    )
    theirs = response.headers.get("Server-Timing")
    response.headers["Server-Timing"] = f"{theirs}, {ours}" if theirs else ours


def _read_options() -> dict[str, Any]:
    given = getattr(settings, "TESTKIT_REQUEST_LOG", {})
    if not isinstance(given, dict):
        raise ImproperlyConfigured(f"TESTKIT_REQUEST_LOG in the settings is {given!r}: it must be a dict.")
    for name in given:
        if name not in _DEFAULTS:
            guess = get_close_matches(str(name).upper(), _DEFAULTS, 1)
            hint = f"Did you mean {guess[0]!r}?" if guess else f"It may have {' and '.join(map(repr, _DEFAULTS))}."
            raise ImproperlyConfigured(f"TESTKIT_REQUEST_LOG in the settings has an unknown key {name!r}. {hint}")
    options = {**_DEFAULTS, **given}
    most = options["MAX_QUERIES"]
    if not isinstance(options["SERVER_TIMING"], bool):
        raise ImproperlyConfigured(_wrong_value("SERVER_TIMING", options["SERVER_TIMING"], "True or False"))
    if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 0):
        raise ImproperlyConfigured(_wrong_value("MAX_QUERIES", most, "a number of queries from 0 on, or None"))
    return options


def _wrong_value(name: str, value: object, wanted: str) -> str:
    return f"TESTKIT_REQUEST_LOG[{name!r}] in the settings is {value!r}: it must be {wanted}."
