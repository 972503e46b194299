"""Hears of each request that a test makes, by the test client or through a live server, and checks its budget.

No test is edited: the methods of Django that answer a request, and that run a test, are wrapped for a block.
"""

from __future__ import annotations

import threading
import unittest
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial, wraps
from pathlib import Path
from typing import Any

from django.core.handlers.base import BaseHandler
from django.test.client import AsyncClientHandler, ClientHandler

from testkit.core import current
from testkit.endpoints.routes import key_of
from testkit.endpoints.wrapping import wrapped
from testkit.queries.budgets import file
from testkit.queries.budgets.costs import Cost, cost_of, counted, join
from testkit.queries.groups import describe
from testkit.queries.recorder import Row, Scope, query_of
from testkit.queries.streams import follow_parts

__unittest = True  # unittest leaves our lines out of tracebacks, as its own
__tracebackhide__ = True  # and so does pytest

MEASURE = "queries"
"""The measure of a test: ``total``, and ``routes`` with the cost of its requests by endpoint."""


class _Running:
    """What a running test has cost so far."""

    def __init__(self) -> None:
        self.total = 0
        self.costs: dict[str, Cost] = {}

    def count(self, row: Row) -> None:
        self.total += 1


class Ledger:
    """What the requests of this process cost, test by test."""

    def __init__(self, budgets: file.Budgets, publish: Callable[[Any, dict[str, Any]], None]) -> None:
        """``publish`` gets each test that made queries, and its measure."""
        from django.conf import settings

        self._budgets, self._publish = budgets, publish
        self._urlconf = getattr(settings, "ROOT_URLCONF", None)
        self._lock = threading.Lock()
        self._running = [_Running()]  # the first one is for what comes before a test: the set-up of its class
        self._unseen: list[str] = []

    # Tests

    @contextmanager
    def test(self, test: Any) -> Iterator[None]:
        """Count the queries of ``test``, which runs in the block, and of requests that its class's set-up made."""
        running = self._begin()
        test.addCleanup(self._raise_unseen)  # the first to be added is the last to run
        try:
            with Scope(running.count):
                yield
        finally:
            self._end(running)
            if running.total or running.costs:
                routes = {key: cost.to_plain() for key, cost in sorted(running.costs.items())}
                self._publish(test, {"total": running.total, "routes": routes})

    def _begin(self) -> _Running:
        running, around = _Running(), self._running[-1]
        with self._lock:
            if len(self._running) == 1:
                running.costs, around.costs = around.costs, {}
                self._unseen.clear()  # what came after the end of the last test is in its costs
            self._running.append(running)
        return running

    def _end(self, running: _Running) -> None:
        with self._lock:
            self._running.remove(running)
            if len(self._running) > 1:  # a test that runs a test has cost what both have
                for key, cost in running.costs.items():
                    join(self._running[-1].costs, key, cost)

    def _raise_unseen(self) -> None:
        """Raise what the test has not seen yet: a live server answers in a thread of its own."""
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
            join(self._running[-1].costs, key, cost if is_first else cost._replace(requests=0))
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
    reason = budgets.of[key].reason
    reason = f" ({reason})" if reason else ""
    return (
        f"{key} made {broken}{reason}\n\n{describe([query_of(row) for row in rows])}\n\n"
        f"If it has to cost that much, raise its budget in {budgets.place_of(key)}."
    )


@contextmanager
def following(ledger: Ledger) -> Iterator[None]:
    """Let ``ledger`` hear of all requests and tests of this process for the block."""
    with wrapped(
        (BaseHandler, "get_response", lambda real: _answering(real, ledger)),
        (BaseHandler, "get_response_async", lambda real: _answering_async(real, ledger)),
        (unittest.TestCase, "run", lambda real: _running(real, ledger)),
    ):
        yield


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
    def run(test: Any, result: Any = None) -> Any:
        with ledger.test(test):
            return real(test, result)

    return run


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
