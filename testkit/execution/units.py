"""Cutting a suite into the units that workers get: whole classes as a rule."""

from __future__ import annotations

import sys
import unittest
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.test import SimpleTestCase, TestCase, TransactionTestCase
from django.test.testcases import SerializeMixin

from testkit.core.marks import may_be_split, resources_of
from testkit.execution.ids import class_id, is_failed_import, test_id
from testkit.selection.durations import Durations
from testkit.selection.order import Kind, Test, Unit, default_seconds, expected_seconds, set_up_seconds, split_long

_LIBRARIES = ("django", "unittest", "testkit")


def units_of(
    tests: Sequence[Any], known: Durations, workers: int, rank_of: Callable[[Any], int] | None = None
) -> list[Unit]:
    """Return the units of ``tests``, in their order; those longer than a worker's fair share are split if they may be.

    Args:
        tests: the test cases of the run, in its order.
        known: how long tests and set-ups took before.
        workers: between how many workers the run is shared.
        rank_of: gives a small number for tests that are to come before others whatever their length.
    """
    default = default_seconds(map(test_id, tests), known)
    grouped: dict[object, list[Any]] = {}
    for test in tests:
        grouped.setdefault(_group_of(test), []).append(test)
    seen: Counter[str] = Counter()
    units = [_unit(members, seen, known, default, rank_of) for members in grouped.values()]
    return split_long(units, workers, lambda id: known.tests.get(id, default))


def _group_of(test: Any) -> object:
    """Return what ``test`` shares its unit by: its class, or its module where that has fixtures of its own."""
    if is_failed_import(test):
        return test_id(test)
    cls = type(test)
    if _has_module_fixtures(cls):
        return cls.__module__, kind_of(cls)
    return (cls, class_id(test))  # all doctests have one class


def _has_module_fixtures(cls: type) -> bool:
    module = sys.modules.get(cls.__module__)
    return hasattr(module, "setUpModule") or hasattr(module, "tearDownModule")


def _unit(
    tests: Sequence[Any],
    seen: Counter[str],
    known: Durations,
    default: float,
    rank_of: Callable[[Any], int] | None,
) -> Unit:
    cls = type(tests[0])
    ids = [test_id(test) for test in tests]
    fixtures = {class_id(test) for test in tests}
    shares_module = _has_module_fixtures(cls)
    if shares_module:
        fixtures.add(cls.__module__)
    resources: dict[str, int] = {}
    for test in tests:
        for name, slots in resources_of(test).items():
            resources[name] = min(slots, resources.get(name, slots))
        if isinstance(test, SerializeMixin):
            # It would wait for its lock in the worker, which meanwhile could do something else.
            resources[f"lock {test.lockfile}"] = 1
    return Unit(
        key=cls.__module__ if shares_module else class_id(tests[0]) or ids[0],
        tests=tuple(_numbered(ids, seen)),
        seconds=expected_seconds(ids, fixtures, known, default),
        set_up=set_up_seconds(fixtures, known),
        kind=kind_of(cls),
        whole=shares_module or not _may_be_split(cls),
        resources=resources,
        rank=min(map(rank_of, tests)) if rank_of else 0,
    )


def _numbered(ids: Iterable[str], seen: Counter[str]) -> Iterable[Test]:
    for id in ids:
        yield id, seen[id]
        seen[id] += 1


def kind_of(cls: type) -> Kind:
    """Return what the tests of ``cls`` do to the database."""
    if cls.__module__ == "unittest.loader":
        return Kind.NEUTRAL
    if issubclass(cls, TestCase):
        return Kind.NEEDS_ROWS
    if issubclass(cls, SimpleTestCase) and not issubclass(cls, TransactionTestCase) and not cls.databases:
        return Kind.NEUTRAL
    return Kind.CHANGES_ROWS


def _may_be_split(cls: type) -> bool:
    """Return whether the tests of ``cls`` can do without each other: nothing in it says otherwise."""
    if not issubclass(cls, SimpleTestCase) or (issubclass(cls, TransactionTestCase) and not issubclass(cls, TestCase)):
        return False
    if issubclass(cls, SerializeMixin) or not may_be_split(cls):
        return False
    return not any(
        name in vars(base) for base in cls.__mro__ for name in ("setUpClass", "tearDownClass") if not _is_library(base)
    )


def _is_library(cls: type) -> bool:
    return cls.__module__.partition(".")[0] in _LIBRARIES or cls is unittest.TestCase
