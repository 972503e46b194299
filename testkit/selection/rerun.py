"""Choosing tests by how they ended when they last ran."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from testkit.core.events import Fact, FixtureFinished, FixtureStarted, SubTestFinished, TestFinished, TestStarted
from testkit.core.options import OptionGroup, option

T = TypeVar("T")


class RerunOptions(OptionGroup):
    """Options that look at the last runs."""

    last_failed: bool = option(
        default=False,
        help="Run only the tests that failed when they last ran (all, when none did).",
        aliases=("--failed", "--lf"),
    )
    failed_first: bool = option(
        default=False, help="Run the tests that failed when they last ran before the others.", aliases=("--ff",)
    )


def failed_ids(facts: Iterable[Fact]) -> frozenset[str]:
    """Return the ids of tests, classes and modules that ended badly, or were begun and never ended (killed).

    ``facts`` may be those of several runs, the oldest first: what failed once counts until it ends well.
    """
    failed: set[str] = set()
    for fact in facts:
        match fact:
            case TestStarted() | FixtureStarted():
                failed.add(fact.id)
            case TestFinished() | FixtureFinished():
                failed.discard(fact.id)
                if fact.outcome.is_bad:
                    failed.add(fact.id)
            case SubTestFinished() if fact.outcome.is_bad:
                failed.add(fact.test)
    return frozenset(failed)


def is_below(id: str, ids: frozenset[str]) -> bool:
    """Return whether ``id`` is one of ``ids`` or lies below one of them (a test in a class, a class in a module)."""
    while id:
        if id in ids:
            return True
        id = id.rpartition(".")[0]
    return False


def last_failed(tests: Sequence[T], failed: frozenset[str], id_of: Callable[[T], str]) -> list[T]:
    """Return those of ``tests`` that are in ``failed``, in their order."""
    return [test for test in tests if is_below(id_of(test), failed)]


def failed_first(
    tests: Iterable[T], failed: frozenset[str], id_of: Callable[[T], str], class_of: Callable[[T], object]
) -> list[T]:
    """Return ``tests`` with the classes that have failed ones first, and in these the failed tests first.

    Classes stay whole, so that each is set up once.
    """
    tests = list(tests)
    ids = [id_of(test) for test in tests]
    bad_classes = {class_of(test) for test, id in zip(tests, ids, strict=True) if is_below(id, failed)}
    front: dict[object, tuple[list[T], list[T]]] = {}
    rest = []
    for test, id in zip(tests, ids, strict=True):
        if class_of(test) in bad_classes:
            bad, good = front.setdefault(class_of(test), ([], []))
            (bad if is_below(id, failed) else good).append(test)
        else:
            rest.append(test)
    return [test for bad, good in front.values() for test in (*bad, *good)] + rest
