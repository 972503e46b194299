"""Tests that fail and pass on the same code, by how much one can rely on that."""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt
from typing import NamedTuple

from testkit.core.events import Outcome
from testkit.core.results import Result, RunRecord

_DEVIATIONS = 1.96
"""Of a normal distribution, so that 95 of 100 intervals have the rate in them."""


class FlakyTest(NamedTuple):
    """A test that fails and passes on the same code.

    Counted are its ``executions`` (each attempt is one) on code with which it can pass, and how many of these
    ``failures`` were: where it always fails, the code is broken and not the test. ``low`` and ``high`` are the ends of the
    interval that the failure rate is in. ``retried`` is in how many runs it was tried again; the others are of
    the last run in which it failed.
    """

    name: str
    failures: int
    executions: int
    low: float
    high: float
    runs: int
    retried: int
    last_at: float
    last_run: str
    last_commit: str

    @property
    def rate(self) -> float:
        """The share of its executions that failed."""
        return self.failures / self.executions


class _Code:
    """What a test did on one state of the code."""

    __slots__ = ("failures", "last", "passes", "retried", "runs")

    def __init__(self) -> None:
        self.failures = self.passes = self.retried = self.runs = 0
        self.last: tuple[float, str, str] = (0.0, "", "")
        """When it failed last, in which run, and of which commit."""

    def add(self, run: RunRecord, result: Result) -> None:
        self.runs += 1
        self.failures += result.bad
        self.passes += result.attempts - result.bad if result.outcome is not Outcome.SKIPPED else 0
        self.retried += result.attempts > result.rounds
        if result.bad:
            self.last = max(self.last, (run.at, run.run, run.commit))


def flaky_tests(runs: Iterable[RunRecord], *, same_code: bool = False) -> list[FlakyTest]:
    """Return the flaky tests of ``runs``, the surest first.

    A test is flaky if it failed and passed in the attempts of one run, or in runs of the same code: of one commit, with
    nothing changed. ``same_code``: all runs are of the same code.

    They are in the order of the lower end of Wilson's interval of their failure rate (E. B. Wilson, 1927,
    https://doi.org/10.2307/2276774): a failure in two executions says less than twenty in a hundred.
    """
    told: dict[str, dict[str, _Code]] = {}
    for run in runs:
        code = "" if same_code else run.code or f"run {run.run}"
        for name, result in run.results.items():
            told.setdefault(name, {}).setdefault(code, _Code()).add(run, result)
    found = [_flaky_test(name, codes.values()) for name, codes in told.items()]
    return sorted(filter(None, found), key=lambda test: (-test.low, -test.failures, test.name))


def _flaky_test(name: str, codes: Iterable[_Code]) -> FlakyTest | None:
    passing = [code for code in codes if code.passes]
    failures = sum(code.failures for code in passing)
    if not failures:
        return None
    executions = failures + sum(code.passes for code in passing)
    low, high = wilson(failures, executions)
    runs, retried = sum(code.runs for code in passing), sum(code.retried for code in passing)
    return FlakyTest(name, failures, executions, low, high, runs, retried, *max(code.last for code in passing))


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """Return the ends of the interval that a rate is in, of which ``hits`` in ``trials`` were seen."""
    square = _DEVIATIONS**2
    rate = hits / trials
    centre = (rate + square / (2 * trials)) / (1 + square / trials)
    half = _DEVIATIONS * sqrt(rate * (1 - rate) / trials + square / (4 * trials**2)) / (1 + square / trials)
    return max(centre - half, 0.0), min(centre + half, 1.0)
