"""What became of each test in a run: one result for all its attempts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from testkit.core.attempts import Attempts
from testkit.core.events import Fact, FixtureFinished, Outcome, RunFinished, RunMeasured, RunStarted, TestFinished

_PHASES = (" (setUpClass)", " (tearDownClass)", " (setUpModule)", " (tearDownModule)")


class Result(NamedTuple):
    """What became of a test, or of a class's or module's fixture, in one run.

    ``outcome`` is that of the attempt that counts, ``bad`` how many of all ``attempts`` were bad, and ``seconds`` what
    the attempt that counts took. A run that has a test in several ``rounds`` (``--repeat``) has the worst of the outcomes,
    all attempts, and the mean of the seconds.
    """

    outcome: Outcome
    attempts: int = 1
    bad: int = 0
    seconds: float = 0.0
    rounds: int = 1

    @property
    def is_flaky(self) -> bool:
        """Whether it failed and passed in this one run."""
        return 0 < self.bad < self.attempts

    def joined(self, other: Result) -> Result:
        """Return what this and ``other``, of the same test, come to."""
        rounds = self.rounds + other.rounds
        return Result(
            other.outcome if other.outcome.is_bad or self.outcome is Outcome.SKIPPED else self.outcome,
            self.attempts + other.attempts,
            self.bad + other.bad,
            (self.seconds * self.rounds + other.seconds * other.rounds) / rounds,
            rounds,
        )


class Results:
    """Listens to the facts of a run and keeps the results of tests by id, and of fixtures by :func:`fixture_name`."""

    def __init__(self) -> None:
        self.tests: dict[str, Result] = {}
        self.fixtures: dict[str, Result] = {}
        self._attempts = Attempts()

    def __call__(self, fact: Fact) -> None:
        if isinstance(fact, TestFinished):
            attempts, _ = self._attempts.of_test(fact)
            _add(self.tests, fact.id, attempts)
        elif isinstance(fact, FixtureFinished):
            _add(self.fixtures, fixture_name(fact), self._attempts.of_fixture(fact))
        elif isinstance(fact, RunFinished):
            for attempts in self._attempts.unfinished():
                _add(self.tests, attempts[-1].id, attempts)


class RunRecord(NamedTuple):
    """What is remembered of a run.

    ``results`` has tests and fixtures by name. ``commit`` and ``branch`` are empty where nothing told them; ``is_clean``
    says that the code was that of the commit. ``ended_early`` is why it did, if it did.
    """

    run: str
    at: float
    seconds: float
    results: Mapping[str, Result]
    commit: str = ""
    branch: str = ""
    is_clean: bool = False
    ended_early: str = ""

    @property
    def code(self) -> str:
        """What all runs of the same code have in common; empty if that cannot be told."""
        return self.commit if self.is_clean else ""


SOURCE = "source"
"""The section that tells of the code: ``commit``, ``branch``, and whether it is ``clean``."""


class Recorder:
    """Listens to the facts of a run, or of the shards of one, and gathers what is remembered of it."""

    def __init__(self) -> None:
        self.has_ended = False
        self._record = RunRecord("", 0.0, 0.0, {})
        self._results = Results()

    def __call__(self, fact: Fact) -> None:
        self._results(fact)
        record = self._record
        if isinstance(fact, RunStarted):
            self._record = record._replace(run=record.run or fact.run, at=min(record.at or fact.at, fact.at))
        elif isinstance(fact, RunMeasured) and fact.section == SOURCE:
            commit, branch = str(fact.data.get("commit", "")), str(fact.data.get("branch", ""))
            self._record = record._replace(commit=commit, branch=branch, is_clean=fact.data.get("clean") is True)
        elif isinstance(fact, RunFinished):
            early = record.ended_early or fact.interrupted or fact.stopped
            self._record = record._replace(seconds=max(record.seconds, fact.seconds), ended_early=early)
            self.has_ended = True

    @property
    def record(self) -> RunRecord:
        """What was gathered so far."""
        return self._record._replace(results={**self._results.tests, **self._results.fixtures})


def fixture_name(fact: FixtureFinished) -> str:
    """Return what a fixture is called among tests: ``shop.tests.CartTests (setUpClass)``."""
    return f"{fact.id} ({fact.phase})"


def is_fixture(name: str) -> bool:
    """Return whether ``name`` is that of a fixture."""
    return name.endswith(_PHASES)


def _add(results: dict[str, Result], name: str, attempts: Sequence[TestFinished | FixtureFinished]) -> None:
    if not attempts:
        return
    last = attempts[-1]
    bad = sum(attempt.outcome.is_bad for attempt in attempts)
    result = Result(last.outcome, len(attempts), bad, last.seconds)
    results[name] = results[name].joined(result) if name in results else result
