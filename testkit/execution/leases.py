"""A lease: units on their way through one worker, and what its facts mean for the run."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from testkit.core.events import Fact, FixtureFinished, Outcome, SubTestFinished, TestFinished
from testkit.core.verdict import class_of
from testkit.selection.order import Test, Unit

_Entry = tuple[int, Test]
"""A test of a lease, and the number of its unit there."""


class Lease:
    """Units that one worker has, and which of their tests are still to be heard of.

    With ``retries`` it decides which outcomes are final: a test that failed may be tried again.
    """

    def __init__(self, units: Sequence[Unit], retries: int = 0, broken: set[tuple[str, str]] | None = None) -> None:
        """Follow ``units``.

        Args:
            units: what one worker has, all of one attempt.
            retries: how many attempts a test has after its first one.
            broken: the ids and phases of set-ups that are told to have failed, shared by the leases of a run: of a
                class that was split, each piece has the same set-up, and it counts once.
        """
        self.units = tuple(units)
        self.attempt = units[0].attempt
        self.finished: list[str] = []
        """The tests that ended, in their order."""
        self._tries_again = self.attempt <= retries
        # By id, in the order of the run: the same class may be there more than once (--repeat, classes of one name).
        self._pending: dict[str, deque[_Entry]] = {}
        for number, unit in enumerate(self.units):
            for test in unit.tests:
                self._pending.setdefault(test[0], deque()).append((number, test))
        self._failed: set[_Entry] = set()
        self._broken = set() if broken is None else broken
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
        entry = self._settle(fact.id)
        self.finished.append(fact.id)
        # One that a project's own suite class has added is tried once, and counts.
        final = entry is None or self._counts(entry)
        if entry is not None and final and self._tries_again and fact.outcome.is_bad:
            self._failed.add(entry)
            final = False
        subtests, self._subtests = self._subtests, []
        yield from subtests if final else (subtest._replace(final=False) for subtest in subtests)
        yield fact if final else fact._replace(final=False)

    def _fixture_finished(self, fact: FixtureFinished) -> Iterator[Fact]:
        if fact.outcome is Outcome.PASSED or not fact.phase.startswith("setUp") or fact.interrupted:
            yield fact
            return
        prefix = f"{fact.id}."
        below = [entry for id in self.left() if id.startswith(prefix) for entry in self._pending.pop(id)]
        counting = [entry for entry in below if self._counts(entry)]
        name = (fact.id, fact.phase)
        if name in self._broken or (below and not counting):
            # They are accounted for, or have their outcome and only were to lay the state for others.
            yield fact._replace(final=False)
            return
        is_awaited = counting or any(test[0].startswith(prefix) for _, test in self._failed)
        if not (self._tries_again and fact.outcome.is_bad and is_awaited):
            self._broken.add(name)
            yield fact
            return
        yield fact._replace(final=False)
        for entry in counting:
            self._failed.add(entry)
            id = entry[1][0]
            # An attempt like any other to whoever counts attempts.
            yield TestFinished(
                id=id,
                class_id=fact.id if fact.phase == "setUpClass" else class_of(id),
                at=fact.at,
                seconds=0.0,
                outcome=fact.outcome,
                problems=fact.problems,
                attempt=self.attempt,
                final=False,
                worker=fact.worker,
            )

    def _counts(self, entry: _Entry) -> bool:
        """Return whether the outcome of a test counts, or it only runs since it shares a state with one that does."""
        number, (id, _) = entry
        only = self.units[number].only
        return not only or id in only

    def _settle(self, id: str) -> _Entry | None:
        entries = self._pending.get(id)
        if not entries:
            return None
        entry = entries.popleft()
        if not entries:
            del self._pending[id]
        return entry

    def left(self) -> list[str]:
        """Return the ids of the tests that are still to be heard of."""
        return list(self._pending)

    def rest(self) -> Iterator[Unit]:
        """Yield the units as they are still to run, when the worker is gone."""
        left = {entry for entries in self._pending.values() for entry in entries}
        for number, unit in enumerate(self.units):
            entries = [(number, test) for test in unit.tests if (number, test) in left]
            if any(map(self._counts, entries)):
                tests = tuple(test for _, test in entries)
                yield unit._replace(tests=tests, seconds=_seconds_of(unit, tests))

    def retries(self, worker: str, not_before: float) -> Iterator[Unit]:
        """Yield what is to be tried again: of a class with a state of its own all tests, else those that failed."""
        for number, unit in enumerate(self.units):
            failed = tuple(test for test in unit.tests if (number, test) in self._failed)
            if failed:
                tests = unit.tests if unit.whole else failed
                yield unit._replace(
                    tests=tests,
                    seconds=_seconds_of(unit, tests),
                    only=frozenset(id for id, _ in failed),
                    attempt=self.attempt + 1,
                    avoid=worker,
                    not_before=not_before,
                )


def _seconds_of(unit: Unit, tests: Sequence[Test]) -> float:
    """Return how long ``tests`` of ``unit`` are expected to take, with its set-up."""
    return unit.set_up + (unit.seconds - unit.set_up) * len(tests) / len(unit.tests)
