"""A lease: units on their way through one worker, and what its facts mean for the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from testkit.core.events import Fact, FixtureFinished, Outcome, SubTestFinished, TestFinished
from testkit.selection.order import Test, Unit


class Lease:
    """Units that one worker has, and which of their tests are still to be heard of.

    With ``retries`` it decides which outcomes are final: a test that failed may be tried again.
    """

    def __init__(self, units: Sequence[Unit], retries: int = 0) -> None:
        """``retries`` is how many attempts a test has after its first one."""
        self.units = tuple(units)
        self.attempt = units[0].attempt
        self.finished: list[str] = []
        """The tests that ended, in their order."""
        self._tries_again = self.attempt <= retries
        self._counts = frozenset(id for unit in units for id in (unit.only or (id for id, _ in unit.tests)))
        self._pending = Counter(id for unit in units for id, _ in unit.tests)
        self._failed: set[str] = set()
        self._subtests: list[SubTestFinished] = []

    @property
    def tests(self) -> list[Test]:
        """The tests, in the order of their run."""
        return [test for unit in self.units for test in unit.tests]

    def heard(self, fact: Fact) -> Iterator[Fact]:
        """Take in ``fact``, and yield what is to be published for it."""
        if isinstance(fact, SubTestFinished):
            # Whether it counts is known when its test has ended.
            self._subtests.append(fact)
        elif isinstance(fact, TestFinished):
            yield from self._test_finished(fact)
        elif isinstance(fact, FixtureFinished):
            yield from self._fixture_finished(fact)
        else:
            yield fact

    def _test_finished(self, fact: TestFinished) -> Iterator[Fact]:
        self._settle(fact.id)
        self.finished.append(fact.id)
        if self._tries_again and fact.outcome.is_bad and fact.id in self._counts:
            self._failed.add(fact.id)
        final = fact.id in self._counts and fact.id not in self._failed
        subtests, self._subtests = self._subtests, []
        yield from subtests if final else (subtest._replace(final=False) for subtest in subtests)
        yield fact if final else fact._replace(final=False)

    def _fixture_finished(self, fact: FixtureFinished) -> Iterator[Fact]:
        if fact.outcome is Outcome.PASSED or not fact.phase.startswith("setUp") or fact.interrupted:
            yield fact
            return
        below = [id for id in self.left() if id.startswith(f"{fact.id}.")]
        for id in below:
            self._settle(id)
        if not (self._tries_again and fact.outcome.is_bad):
            yield fact
            return
        yield fact._replace(final=False)
        for id in below:
            if id in self._counts:
                self._failed.add(id)
                # An attempt like any other to whoever counts attempts.
                yield TestFinished(
                    id=id,
                    class_id=fact.id,
                    at=fact.at,
                    seconds=0.0,
                    outcome=fact.outcome,
                    problems=fact.problems,
                    attempt=self.attempt,
                    final=False,
                    worker=fact.worker,
                )

    def _settle(self, id: str) -> None:
        if self._pending[id] > 1:
            self._pending[id] -= 1
        else:
            del self._pending[id]

    def left(self) -> list[str]:
        """Return the ids of the tests that are still to be heard of."""
        return list(self._pending)

    def rest(self) -> Iterator[Unit]:
        """Yield the units as they are still to run, when the worker is gone."""
        for unit in self.units:
            left = tuple(test for test in unit.tests if test[0] in self._pending)
            if left:
                share = len(left) / len(unit.tests)
                yield unit._replace(tests=left, seconds=unit.set_up + (unit.seconds - unit.set_up) * share)

    def retries(self, worker: str, not_before: float) -> Iterator[Unit]:
        """Yield what is to be tried again: of a class with a state of its own all tests, else those that failed."""
        for unit in self.units:
            failed = frozenset(id for id, _ in unit.tests if id in self._failed)
            if failed:
                tests = unit.tests if unit.whole else tuple(test for test in unit.tests if test[0] in failed)
                yield unit._replace(
                    tests=tests, only=failed, attempt=self.attempt + 1, avoid=worker, not_before=not_before
                )
