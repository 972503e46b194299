"""Counting what happened, as unittest counts it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from testkit.core.events import (
    Fact,
    FixtureFinished,
    Outcome,
    Problem,
    RunStarted,
    SubTestFinished,
    TestFinished,
)


class Tally:
    """Listens to the facts and counts: tests by outcome, problems by kind, and who is still to be heard of.

    ``failures`` and ``errors`` count problems, as the closing line of unittest does: a test that fails and whose
    tear-down then raises is one of each, and a test with two bad subtests is two.
    """

    def __init__(self) -> None:
        self.collected = 0
        self.ran = 0
        self.failures = 0
        self.errors = 0
        self.skipped = 0
        self.expected_failures = 0
        self.unexpected_successes = 0
        self.flaky = 0
        """Tests that failed, and passed when they were tried again."""
        self._awaited: dict[str, int] = {}
        self._fixtures: list[str] = []

    def __call__(self, fact: Fact) -> None:
        if isinstance(fact, TestFinished):
            if fact.final:
                self._count_test(fact)
        elif isinstance(fact, SubTestFinished):
            if fact.final:
                self._count_subtest(fact)
        elif isinstance(fact, FixtureFinished):
            if fact.final:
                self._count_fixture(fact)
        elif isinstance(fact, RunStarted):
            self.collected = len(fact.ids)
            self._awaited = Counter(fact.ids)  # two classes may have one name

    @property
    def is_good(self) -> bool:
        """Whether no test failed, as unittest's ``wasSuccessful`` has it."""
        return not (self.failures or self.errors or self.unexpected_successes)

    @property
    def nothing_ran(self) -> bool:
        """Whether no test was reported, nor a fixture that accounts for one."""
        return not (self.ran or self._fixtures)

    @property
    def bad(self) -> int:
        """How many problems fail the run."""
        return self.failures + self.errors + self.unexpected_successes

    def unaccounted(self) -> tuple[str, ...]:
        """Return the collected tests that no fact accounts for, in the order of the run."""
        below = tuple(f"{id}." for id in self._fixtures)
        return tuple(id for id in self._awaited if not id.startswith(below))

    def _count_test(self, fact: TestFinished) -> None:
        self.ran += 1
        self.flaky += fact.attempt > 1 and not fact.outcome.is_bad
        left = self._awaited.pop(fact.id, 1) - 1
        if left:
            self._awaited[fact.id] = left
        self._count_problems(fact.problems)
        match fact.outcome:
            case Outcome.SKIPPED:
                self.skipped += 1
            case Outcome.EXPECTED_FAILURE:
                self.expected_failures += 1
            case Outcome.UNEXPECTED_SUCCESS:
                self.unexpected_successes += 1
            case _ if fact.reason:
                self.skipped += 1  # and its tear-down raised then, which is both

    def _count_subtest(self, fact: SubTestFinished) -> None:
        if fact.problem is not None:
            self._count_problems([fact.problem])
        elif fact.outcome is Outcome.SKIPPED:
            self.skipped += 1

    def _count_fixture(self, fact: FixtureFinished) -> None:
        self._count_problems(fact.problems)
        if fact.outcome is Outcome.SKIPPED:
            self.skipped += 1
        if fact.outcome is not Outcome.PASSED and fact.phase.startswith("setUp") and not fact.interrupted:
            self._fixtures.append(fact.id)

    def _count_problems(self, problems: Iterable[Problem]) -> None:
        for problem in problems:
            if problem.outcome is Outcome.FAILED:
                self.failures += 1
            else:
                self.errors += 1
