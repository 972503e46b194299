"""Hears of each request that a test makes, by the test client or through a live server, and notes it on the test.

The methods of Django that answer a request are wrapped for a block; no test is edited and no middleware put in.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import cache, wraps
from typing import Any

from django.core.handlers.base import BaseHandler

from testkit.core import current
from testkit.coverage.routes.calls import class_views_heard, function_views, functions_heard
from testkit.coverage.routes.users import has_user
from testkit.endpoints.routes import key_of
from testkit.endpoints.views import name_of
from testkit.endpoints.wrapping import wrapped

MEASURE = "routes"
"""The measure of a test: ``asked``, with the statuses of its requests by endpoint and by whether there was a user, and
``called``, with the views that it called past their routes."""
USER, ANONYMOUS = "user", "anonymous"

_handled: ContextVar[bool] = ContextVar("testkit_handled", default=False)
"""Whether a handler is at work on a request: then views are called by their routes."""


class Noting:
    """Notes what is asked for on the test, or the fixture, that runs."""

    def __init__(self) -> None:
        from django.conf import settings

        self._settings: Any = settings
        self._urlconf = getattr(settings, "ROOT_URLCONF", None)
        self._lock = threading.Lock()
        self._early: dict[str, Any] = {}
        """What is asked while nothing runs that could be noted on: it goes to what runs next."""

    def asked(self, request: Any, status: int) -> None:
        """Note that ``request`` was answered with ``status``."""
        # What a test's own URLconf answers is no route of the project, nor what a middleware leads to another one.
        urlconf, given = self._urlconf, getattr(request, "urlconf", None)
        if urlconf != self._settings.ROOT_URLCONF or not (given is None or given == urlconf):
            return
        key = key_of(request)
        if not key:
            return
        kind = USER if has_user(request, self._settings.SESSION_COOKIE_NAME) else ANONYMOUS
        with self._lock:
            statuses = self._measure().setdefault("asked", {}).setdefault(key, {}).setdefault(kind, [])
            if status not in statuses:
                statuses.append(status)

    def called(self, view: str | type) -> None:
        """Note that ``view`` was called, unless by a handler."""
        if _handled.get():
            return
        name = view if isinstance(view, str) else name_of(view)
        with self._lock:
            views = self._measure().setdefault("called", [])
            if name not in views:
                views.append(name)

    def _measure(self) -> dict[str, Any]:
        notes = current.current()
        if notes is None:
            return self._early
        measure: dict[str, Any] | None = notes.measures.get(MEASURE)
        if measure is None:
            measure = notes.measures[MEASURE] = self._early
            self._early = {}
        return measure


@contextmanager
def heard(worker: str = "", data: object = None) -> Iterator[None]:
    """Note on the tests of this process what they ask for, for the block."""
    noting = Noting()
    with ExitStack() as stack:
        stack.enter_context(
            wrapped(
                (BaseHandler, "get_response", lambda real: _answering(real, noting.asked)),
                (BaseHandler, "get_response_async", lambda real: _answering_async(real, noting.asked)),
            )
        )
        stack.enter_context(functions_heard(function_views(), noting.called))
        stack.enter_context(class_views_heard(noting.called))
        yield


Note = Callable[[Any, int], None]


def _answering(real: Callable[..., Any], note: Note) -> Callable[..., Any]:
    @wraps(real)
    def get_response(handler: Any, request: Any) -> Any:
        before = _handled.set(True)
        status = 500  # an exception may be let through (DEBUG_PROPAGATE_EXCEPTIONS)
        try:
            response = real(handler, request)
            status = response.status_code
        finally:
            _handled.reset(before)
            _noted(note, request, status)
        return response

    return get_response


def _answering_async(real: Callable[..., Any], note: Note) -> Callable[..., Any]:
    @wraps(real)
    async def get_response_async(handler: Any, request: Any) -> Any:
        before = _handled.set(True)
        status = 500
        try:
            response = await real(handler, request)
            status = response.status_code
        finally:
            _handled.reset(before)
            _noted(note, request, status)
        return response

    return get_response_async


def _noted(note: Note, request: Any, status: int) -> None:
    """Let ``note`` have the request; what goes wrong there is told, and does not take the place of the response."""
    try:
        note(request, status)
    except Exception as error:
        _tell(f"testkit: not all routes could be noted: {type(error).__name__}: {error} (at {request.path})")


@cache
def _tell(text: str) -> None:
    """Print ``text``, once; a warning could be one that is an error."""
    print(text, file=sys.stderr)
