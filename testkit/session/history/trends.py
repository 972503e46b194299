"""How failures and durations of tests and of the whole suite go over runs."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from math import isnan, nan
from statistics import median
from typing import NamedTuple

from testkit.core.events import Outcome
from testkit.core.results import Result, RunRecord, is_fixture
from testkit.session.comparison.timing import Rule, Timings, compare_times

ENDS = 10
"""How many of the oldest runs are compared with as many of the newest ones, to tell what got slower."""
PASSED, FAILED, FLAKY, SKIPPED, ABSENT = "pFfs-"


class RunPoint(NamedTuple):
    """A run: how many tests it had, how many failed, and how many passed only when they were tried again."""

    run: str
    at: float
    commit: str
    branch: str
    tests: int
    failed: int
    flaky: int
    seconds: float


class TestTrend:
    """One test over the runs: a letter for each run that says what became of it, and its seconds, NaN if it did not run."""

    __slots__ = ("name", "seconds", "states")
    __test__ = False

    def __init__(self, name: str) -> None:
        self.name = name
        self.states = bytearray()
        self.seconds = array("d")

    def add(self, run: int, result: Result) -> None:
        """Take what became of it in the run of that number, the next that it is in."""
        self.fill(run)
        self.states.append(ord(_state_of(result)))
        self.seconds.append(nan if result.outcome is Outcome.SKIPPED else result.seconds)

    def fill(self, runs: int) -> None:
        """Note that it was not in the further ones of so many runs."""
        missing = runs - len(self.states)
        self.states.extend(ABSENT.encode() * missing)
        self.seconds.extend([nan] * missing)

    @property
    def ran(self) -> int:
        """In how many runs it ran."""
        return sum(self.states.count(state.encode()) for state in (PASSED, FAILED, FLAKY))

    @property
    def failed(self) -> int:
        """In how many runs it failed, at first or to the end."""
        return sum(self.states.count(state.encode()) for state in (FAILED, FLAKY))

    @property
    def rate(self) -> float:
        """The share of the runs in which it failed."""
        return self.failed / self.ran if self.ran else 0.0

    @property
    def passed_seconds(self) -> list[float | None]:
        """Its seconds in each run; None where it did not pass."""
        good = f"{PASSED}{FLAKY}".encode()
        return [
            seconds if state in good and not isnan(seconds) else None
            for state, seconds in zip(self.states, self.seconds, strict=True)
        ]

    @property
    def ends(self) -> tuple[float, float] | None:
        """The medians of its seconds in the oldest and the newest runs that it passed in; None if it passed in none."""
        known = [seconds for seconds in self.passed_seconds if seconds is not None]
        some = min(ENDS, max(len(known) // 2, 1))
        return (median(known[:some]), median(known[-some:])) if known else None


class Trends(NamedTuple):
    """The runs, the oldest first; the tests by name; and which tests the newest runs have slower and faster."""

    runs: Sequence[RunPoint]
    tests: dict[str, TestTrend]
    timings: Timings

    def failing(self) -> list[TestTrend]:
        """Return the tests that failed, those that did so most often first."""
        bad = [test for test in self.tests.values() if test.failed]
        return sorted(bad, key=lambda test: (-test.rate, -test.failed, test.name))


def _state_of(result: Result) -> str:
    if result.is_flaky:
        return FLAKY
    if result.outcome is Outcome.SKIPPED:
        return SKIPPED
    return FAILED if result.outcome.is_bad else PASSED


def trends_of(runs: Iterable[RunRecord], wanted: Sequence[str] = ()) -> Trends:
    """Return the trends of ``runs``, which come in their order.

    ``wanted``: tests, or classes or modules of tests, to which the trends are limited; those of the runs are of all.
    """
    points: list[RunPoint] = []
    tests: dict[str, TestTrend] = {}
    for number, record in enumerate(runs):
        points.append(_point_of(record))
        for name, result in record.results.items():
            if not wanted or _is_below(name, wanted):
                test = tests.get(name)
                if test is None:
                    test = tests[name] = TestTrend(name)
                test.add(number, result)
    for test in tests.values():
        test.fill(len(points))
    return Trends(points, tests, _timings(tests, len(points)))


def _is_below(name: str, wanted: Iterable[str]) -> bool:
    return any(name == each or name.startswith((f"{each}.", f"{each} (")) for each in wanted)


def _point_of(record: RunRecord) -> RunPoint:
    results = record.results.values()
    return RunPoint(
        record.run,
        record.at,
        record.commit,
        record.branch,
        sum(not is_fixture(name) for name in record.results),
        sum(result.outcome.is_bad for result in results),
        sum(result.is_flaky and not result.outcome.is_bad for result in results),
        record.seconds,
    )


def _timings(tests: dict[str, TestTrend], count: int) -> Timings:
    some = min(ENDS, count // 2)
    if not some:
        return Timings(1.0, (), ())
    return compare_times(_times(tests, range(some)), _times(tests, range(count - some, count)), Rule())


def _times(tests: dict[str, TestTrend], runs: Iterable[int]) -> list[dict[str, float]]:
    passed = ord(PASSED)
    return [{test.name: test.seconds[run] for test in tests.values() if test.states[run] == passed} for run in runs]
