"""Hears of each request that a test makes, by the test client or through a live server, and checks its budget.

No test is edited: the methods of Django that answer a request, and that run a test, are wrapped for a block.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial, wraps
from pathlib import Path
from typing import Any

from django.core.handlers.base import BaseHandler
from django.test import SimpleTestCase
from django.test.client import AsyncClientHandler, ClientHandler

from testkit.core import current
from testkit.queries.budgets import file
from testkit.queries.budgets.costs import Cost, cost_of, counted, join
from testkit.queries.budgets.routes import key_of
from testkit.queries.groups import describe
from testkit.queries.recorder import Row, Scope, query_of
from testkit.queries.streams import follow_parts

__unittest = True  # unittest leaves our lines out of tracebacks, as its own

MEASURE = "queries"
"""The measure of a test: ``total``, and ``routes`` with the cost of its requests by endpoint."""


class Ledger:
    """What the requests of this process cost, test by test."""

    def __init__(self, budgets: file.Budgets, publish: Callable[[Any, dict[str, Any]], None]) -> None:
        """``publish`` gets each test that made queries, and its measure."""
        from django.conf import settings

        self._budgets, self._publish = budgets, publish
        self._urlconf = settings.ROOT_URLCONF
        self._lock = threading.Lock()
        self._costs: dict[str, Cost] = {}
        self._unseen: list[str] = []
        self._total = 0

    # Tests

    @contextmanager
    def test(self, test: Any) -> Iterator[None]:
        """Count the queries of ``test``, which runs in the block; those of its class's set-up come before."""
        self._total = 0
        try:
            with Scope(self._count):
                yield
        finally:
            with self._lock:
                costs, self._costs = self._costs, {}
                self._unseen.clear()
            if self._total or costs:
                routes = {key: cost.to_plain() for key, cost in sorted(costs.items())}
                self._publish(test, {"total": self._total, "routes": routes})

    def _count(self, row: Row) -> None:
        self._total += 1

    def raise_unseen(self) -> None:
        """Raise what no test has seen yet: a live server answers in a thread of its own."""
        with self._lock:
            unseen = "\n\n".join(self._unseen)
            self._unseen.clear()
        if unseen:
            raise AssertionError(unseen)

    # Requests

    def ended(self, handler: Any, request: Any, response: Any, rows: Sequence[Row], *, is_first: bool = True) -> None:
        """Note what ``request`` cost, whose queries are ``rows``; not ``is_first`` when it was noted before.

        Raises:
            AssertionError: its budget is broken, and a test client waits for it.
        """
        from django.conf import settings

        key = key_of(request)
        # What a test's own URLconf answers is no endpoint of the project, and a view that fails is not done.
        if not key or self._urlconf != settings.ROOT_URLCONF or response.status_code >= 500:
            return
        own = counted(rows, self._budgets.ignored)
        cost = cost_of(own)
        with self._lock:
            join(self._costs, key, cost if is_first else cost._replace(requests=0))
        budget = self._budgets.of.get(key)
        broken = budget.broken_by(cost) if budget is not None else ""
        if budget is None or not broken:
            return
        text = _describe(key, broken, self._budgets, own)
        if isinstance(handler, ClientHandler | AsyncClientHandler):
            raise AssertionError(text)  # of that very class unittest leaves our frames out
        with self._lock:
            self._unseen.append(text)


def _describe(key: str, broken: str, budgets: file.Budgets, rows: Sequence[Row]) -> str:
    budget = budgets.of[key]
    reason = f" ({budget.reason})" if budget.reason else ""
    return (
        f"{key} made {broken}{reason}\n\n{describe([query_of(row) for row in rows])}\n\n"
        f"If it has to cost that much, raise its budget in {budgets.shown}, line {budget.line}."
    )


@contextmanager
def following(ledger: Ledger) -> Iterator[None]:
    """Let ``ledger`` hear of all requests and tests of this process for the block."""
    changed: list[tuple[type, str, Any]] = []

    def wrap(cls: type, name: str, wrapped: Callable[[Any], Any]) -> None:
        changed.append((cls, name, cls.__dict__.get(name)))
        setattr(cls, name, wrapped(getattr(cls, name)))

    wrap(BaseHandler, "get_response", lambda real: _answering(real, ledger))
    wrap(BaseHandler, "get_response_async", lambda real: _answering_async(real, ledger))
    wrap(SimpleTestCase, "__call__", lambda real: _running(real, ledger))
    wrap(SimpleTestCase, "_callTestMethod", lambda real: _calling(real, ledger))
    try:
        yield
    finally:
        for cls, name, before in reversed(changed):
            if before is None:
                delattr(cls, name)
            else:
                setattr(cls, name, before)


def _answering(real: Callable[..., Any], ledger: Ledger) -> Callable[..., Any]:
    @wraps(real)
    def get_response(handler: Any, request: Any) -> Any:
        rows: list[Row] = []
        with Scope(rows.append, is_request=True):
            response = real(handler, request)
        return _noted(ledger, handler, request, response, rows)

    return get_response


def _answering_async(real: Callable[..., Any], ledger: Ledger) -> Callable[..., Any]:
    @wraps(real)
    async def get_response_async(handler: Any, request: Any) -> Any:
        rows: list[Row] = []
        with Scope(rows.append, is_request=True):
            response = await real(handler, request)
        return _noted(ledger, handler, request, response, rows)

    return get_response_async


def _noted(ledger: Ledger, handler: Any, request: Any, response: Any, rows: list[Row]) -> Any:
    ledger.ended(handler, request, response, rows)
    if response.streaming:
        told = len(rows)

        def end(error: BaseException | None = None, *, handler: Any = handler) -> None:
            nonlocal told
            if len(rows) > told:
                told = len(rows)
                ledger.ended(handler, request, response, rows, is_first=False)

        # Nobody would see what is raised while a response is closed.
        follow_parts(response, Scope(rows.append, is_request=True), end, partial(end, handler=None))
    return response


def _running(real: Callable[..., Any], ledger: Ledger) -> Callable[..., Any]:
    @wraps(real)
    def __call__(test: Any, result: Any = None) -> Any:
        with ledger.test(test):
            return real(test, result)

    return __call__


def _calling(real: Callable[..., Any], ledger: Ledger) -> Callable[..., Any]:
    @wraps(real)
    def _callTestMethod(test: Any, method: Any) -> Any:
        returned = real(test, method)
        ledger.raise_unseen()
        return returned

    return _callTestMethod


def note_on_test(test: Any, measure: dict[str, Any]) -> None:
    """Add the measure to the running test's facts: how a ledger publishes within a run of testkit."""
    notes = current.current()
    if notes is not None:
        notes.measures[MEASURE] = measure


@contextmanager
def followed(worker: str, path: str) -> Iterator[None]:
    """Check the requests of this process by the file ``path`` and note them on its tests, for the block.

    Raises:
        OptionError: the file is not as it should be.
    """
    with following(Ledger(file.read(Path(path)), note_on_test)):
        yield
