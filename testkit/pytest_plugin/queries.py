"""Queries under pytest: the budgets of the suite, and those that a marker gives a test."""

from __future__ import annotations

import unittest
from collections.abc import Callable, Generator
from contextlib import ExitStack, suppress
from functools import partial
from inspect import iscoroutinefunction
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from testkit.pytest_plugin.state import State
from testkit.queries.assertions import assert_max_num_queries
from testkit.queries.budgets import file
from testkit.queries.budgets.hooks import Ledger, following, note_on_test
from testkit.queries.options import QueryOptions

MARKER = "max_num_queries"


class Budgets:
    """Checks requests by the suite's budgets, in each process where tests run."""

    def __init__(self, state: State) -> None:
        self._place = state.options[QueryOptions].query_budgets_file.absolute()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self) -> Generator[None, Any, Any]:
        self._ledger = Ledger(file.read(self._place), note_on_test)
        with following(self._ledger):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        if _is_case(item):  # which is followed as it is under every runner
            return (yield)
        test = _Test()
        with self._ledger.test(test):
            result = yield
        test.do_cleanups()
        return result


class _Test:
    """A test as a ledger needs it: something that cleans up."""

    def __init__(self) -> None:
        self._cleanups: list[Callable[[], object]] = []

    def addCleanup(self, cleanup: Callable[[], object]) -> None:
        self._cleanups.append(cleanup)

    def do_cleanups(self) -> None:
        while self._cleanups:
            self._cleanups.pop()()


def within_its_budget(item: pytest.Item) -> ExitStack:
    """Return the block to run ``item`` in, which fails it for more queries than its marker allows.

    Of a test case it is the test itself that counts, without what sets it up.
    """
    stack = ExitStack()
    for budget in _budgets_of(item):
        if _is_case(item):
            stack.enter_context(_around_method(item, budget))
        else:
            stack.enter_context(budget())
    return stack


def _budgets_of(item: pytest.Item) -> list[Callable[[], Any]]:
    found: dict[str, Callable[[], Any]] = {}
    for mark in item.iter_markers(MARKER):  # the closest comes first
        try:
            num, using = _read_marker(*mark.args, **mark.kwargs)
        except TypeError:
            num, using = -1, None
        if not isinstance(num, int) or num < 0:
            arguments = ", ".join(
                [*map(repr, mark.args), *(f"{name}={value!r}" for name, value in mark.kwargs.items())]
            )
            pytest.fail(
                f"@pytest.mark.{MARKER}({arguments}): give a number, and using=ALIAS if you like", pytrace=False
            )
        found.setdefault(repr(using), partial(assert_max_num_queries, num, using=using))
    return list(found.values())


def _read_marker(num: Any, *, using: Any = None) -> tuple[Any, Any]:
    return num, using


class _around_method:
    """Runs the method of a test case in blocks of what ``make`` gives."""

    def __init__(self, item: Any, make: Callable[[], Any]) -> None:
        self._item, self._make = item, make

    def __enter__(self) -> None:
        item, make = self._item, self._make
        self._before = before = item.obj

        called = async_to_sync(before) if iscoroutinefunction(before) else before  # as Django's test cases have it

        def run(*args: Any, **kwargs: Any) -> Any:
            with make():
                return called(*args, **kwargs)

        async def run_here(*args: Any, **kwargs: Any) -> Any:
            with make():
                return await before(*args, **kwargs)

        if isinstance(item.instance, unittest.IsolatedAsyncioTestCase) and iscoroutinefunction(before):
            run = run_here  # in the loop that its set-up has used

        item.obj = run  # which pytest calls
        setattr(item.instance, item.name, run)  # and pytest-django

    def __exit__(self, *error: object) -> None:
        self._item.obj = self._before
        with suppress(AttributeError):  # pytest has taken it away
            delattr(self._item.instance, self._item.name)


def _is_case(item: pytest.Item) -> bool:
    cls = getattr(item, "cls", None)
    return isinstance(cls, type) and issubclass(cls, unittest.TestCase)
