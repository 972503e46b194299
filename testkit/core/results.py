"""What became of each test in a run: one result for all its attempts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from testkit.core.attempts import Attempts
from testkit.core.events import Fact, FixtureFinished, Outcome, RunFinished, TestFinished


class Result(NamedTuple):
    """What became of a test, or of a class's or module's fixture, in one run.

    ``outcome`` is that of the attempt that counts, ``bad`` how many of all ``attempts`` were bad, and ``seconds`` what
    the attempt that counts took. A run that has a test several times (``--repeat``) has the worst of the outcomes, all
    attempts, and the mean of the seconds.
    """

    outcome: Outcome
    attempts: int = 1
    bad: int = 0
    seconds: float = 0.0
    times: int = 1

    @property
    def is_flaky(self) -> bool:
        """Whether it failed and passed in this one run."""
        return 0 < self.bad < self.attempts

    def joined(self, other: Result) -> Result:
        """Return what this and ``other``, of the same test, come to."""
        times = self.times + other.times
        return Result(
            other.outcome if other.outcome.is_bad or self.outcome is Outcome.SKIPPED else self.outcome,
            self.attempts + other.attempts,
            self.bad + other.bad,
            (self.seconds * self.times + other.seconds * other.times) / times,
            times,
        )


class Results:
    """Listens to the facts of a run and keeps the results of tests by id, and of fixtures by :func:`fixture_name`."""

    def __init__(self) -> None:
        self.tests: dict[str, Result] = {}
        self.fixtures: dict[str, Result] = {}
        self._attempts = Attempts()

    def __call__(self, fact: Fact) -> None:
        if isinstance(fact, TestFinished):
            _add(self.tests, fact.id, self._attempts.of_test(fact))
        elif isinstance(fact, FixtureFinished):
            _add(self.fixtures, fixture_name(fact), self._attempts.of_fixture(fact))
        elif isinstance(fact, RunFinished):
            for attempts in self._attempts.unfinished():
                _add(self.tests, attempts[-1].id, attempts)


def fixture_name(fact: FixtureFinished) -> str:
    """Return what a fixture is called among tests: ``shop.tests.CartTests (setUpClass)``."""
    return f"{fact.id} ({fact.phase})"


def _add(results: dict[str, Result], name: str, attempts: Sequence[TestFinished | FixtureFinished]) -> None:
    if not attempts:
        return
    last = attempts[-1]
    bad = sum(attempt.outcome.is_bad for attempt in attempts)
    result = Result(last.outcome, len(attempts), bad, last.seconds)
    results[name] = results[name].joined(result) if name in results else result
