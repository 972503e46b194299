"""What a summary tells of a run, gathered from its facts."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from testkit.core.attempts import Attempts
from testkit.core.events import (
    Fact,
    FixtureFinished,
    Outcome,
    RunFinished,
    RunMeasured,
    RunStarted,
    SubTestFinished,
    TestFinished,
    TestStarted,
)
from testkit.core.text import cut_middle
from testkit.core.verdict import verdict

LONGEST_TRACEBACK = 3000  # characters, of up to four bytes
MOST_TRACEBACKS = 1000
"""How many failures are kept with their tracebacks: those that come after them are named alone."""
MOST_SLOW = 10
SHORTEST_SLOW = 0.05
"""Seconds below which a test is not worth a line among the slowest."""
_CHANGED = ("changed", "missing", "failed")


class Failure(NamedTuple):
    """A test, subtest or fixture that failed; all of it is text of the run."""

    name: str
    label: str
    """What runs it again: the id of the test, class or module; empty if nothing does."""
    type: str
    message: str
    file: str = ""
    line: int = 0
    """Where to look first: where it failed, or else where the test is."""
    text: str = ""
    """The tracebacks."""


class Flaky(NamedTuple):
    """A test that failed and passed when it was tried again, and how it failed."""

    id: str
    message: str
    file: str = ""
    line: int = 0


class Gathered:
    """Listens to the facts of one run."""

    def __init__(self) -> None:
        self.started = RunStarted(run="", at=0.0, ids=())
        self.end = RunFinished(at=0.0, seconds=0.0)
        self.outcomes: Counter[Outcome] = Counter()
        """How many tests ended with each outcome."""
        self.failed = 0
        """Tests and fixtures that failed, each once."""
        self.failures: list[Failure] = []
        self.flaky: list[Flaky] = []
        self.measured: dict[str, Mapping[str, Any]] = {}
        """What was measured about the run, by section."""
        self.screenshots: dict[str, Mapping[str, int]] = {}
        """Tests with screenshots that are not as they should be, and how many of each kind."""
        self._slowest: list[tuple[float, str]] = []
        self._attempts = Attempts()

    def __call__(self, fact: Fact) -> None:
        match fact:
            case TestFinished():
                self._take_test(fact)
            case TestStarted():
                self._attempts.hear(fact)
            case SubTestFinished() if fact.outcome.is_bad:
                self._attempts.hear(fact)
            case FixtureFinished() if self._attempts.of_fixture(fact):
                self._take_fixture(fact)
            case RunMeasured():
                self.measured[fact.section] = fact.data
            case RunStarted():
                self.started = fact
            case RunFinished():
                self.end = fact
                for attempts in self._attempts.unfinished():
                    self._count_test(attempts[-1], [])

    @property
    def not_run(self) -> list[str]:
        """The tests that an early end left out; one that was tried, and was to be tried again, is none of them."""
        return [id for id in self.end.not_run if id not in self._attempts]

    @property
    def tests(self) -> int:
        """How many tests ran, or were skipped."""
        return self.outcomes.total()

    @property
    def slowest(self) -> list[tuple[float, str]]:
        """The slowest tests and fixtures: their seconds and names, the slowest first."""
        return sorted(self._slowest, key=lambda item: (-item[0], item[1]))

    def status(self) -> tuple[int, str] | None:
        """Return the exit status of the run and its reason, if a fact has told them."""
        told = self.measured.get("status")
        return None if told is None else (int(told["status"]), str(told["reason"]))

    def _take_test(self, fact: TestFinished) -> None:
        attempts, subtests = self._attempts.of_test(fact)
        if not attempts:
            return
        bad = next((attempt for attempt in attempts[:-1] if attempt.outcome.is_bad), None)
        if bad is not None and not fact.outcome.is_bad:
            told = _failure(fact.id, fact.id, bad)
            self.flaky.append(Flaky(fact.id, f"{told.type}: {told.message}", told.file, told.line))
        self._count_test(fact, subtests)

    def _count_test(self, fact: TestFinished, subtests: Sequence[SubTestFinished]) -> None:
        self.outcomes[fact.outcome] += 1
        self.failed += fact.outcome.is_bad
        self._time(fact.seconds, fact.id)
        counts = fact.measures.get("screenshots", {})
        if isinstance(counts, Mapping) and any(counts.get(state) for state in _CHANGED):
            self.screenshots[fact.id] = {state: counts[state] for state in _CHANGED if counts.get(state)}
        for subtest in subtests:
            self._fail(subtest.id, fact.id, subtest)
        if fact.outcome.is_bad and (fact.problems or not subtests):
            self._fail(fact.id, fact.id, fact)

    def _take_fixture(self, fact: FixtureFinished) -> None:
        self._time(fact.seconds, f"{fact.id} ({fact.phase})")
        if fact.outcome.is_bad:
            self.failed += 1
            # Else it is the run itself whose process died.
            is_known = fact.phase.startswith(("setUp", "tearDown"))
            self._fail(f"{fact.id} ({fact.phase})", fact.id if is_known else "", fact)

    def _fail(self, name: str, label: str, fact: TestFinished | SubTestFinished | FixtureFinished) -> None:
        failure = _failure(name, label, fact)
        keeps_text = len(self.failures) < MOST_TRACEBACKS
        self.failures.append(failure if keeps_text else failure._replace(text=""))

    def _time(self, seconds: float, name: str) -> None:
        if seconds < SHORTEST_SLOW:
            return
        put = heapq.heappush if len(self._slowest) < MOST_SLOW else heapq.heappushpop
        put(self._slowest, (seconds, name))


def _failure(name: str, label: str, fact: TestFinished | SubTestFinished | FixtureFinished) -> Failure:
    said = verdict(fact)
    told = ((fact.problem,) if fact.problem else ()) if isinstance(fact, SubTestFinished) else fact.problems
    file, line = next(((at.file, at.line) for at in (*told, fact) if at.file), ("", 0))
    if said is None:
        return Failure(name, label, "", fact.outcome.value, file, line)
    return Failure(name, label, said.type, said.message, file, line, cut_middle(said.text, LONGEST_TRACEBACK))
