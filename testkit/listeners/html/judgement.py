"""How the run ended, in words for the top of the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from testkit.core.events import RunFinished
from testkit.core.tally import Tally


class Judgement(NamedTuple):
    """``state`` is ``passed``, ``failed`` or ``broken`` (no verdict on the tests: it was cut short)."""

    state: str
    word: str
    why: str


def judge(end: RunFinished, tally: Tally, sections: Mapping[str, Mapping[str, Any]]) -> Judgement:
    """Return the verdict that the facts come to; what is none (too little coverage, a flaky gate) is not in it."""
    if end.interrupted:
        return Judgement("broken", "Interrupted", f"by {end.interrupted}, {_tests(len(end.not_run))} not run")
    if end.lost:
        return Judgement("broken", "Incomplete", f"{_tests(len(end.lost))} collected and never reported")
    bad = ", ".join(_counted(tally))
    if end.stopped and end.not_run:
        why = f"{end.stopped}: {_tests(len(end.not_run))} not run"
        return Judgement("failed" if bad else "broken", "Failed" if bad else "Incomplete", why)
    if bad:
        return Judgement("failed", "Failed", bad)
    gates = ", ".join(_gates(sections))
    if gates:
        return Judgement("failed", "Failed", gates)
    if tally.nothing_ran:
        return Judgement("broken", "No test ran", "")
    return Judgement("passed", "Passed", end.stopped)


def _counted(tally: Tally) -> list[str]:
    counts = (
        (tally.failures, "failure", "failures"),
        (tally.errors, "error", "errors"),
        (tally.unexpected_successes, "unexpected success", "unexpected successes"),
    )
    return [f"{count:,} {one if count == 1 else many}" for count, one, many in counts if count]


def _gates(sections: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return what else fails the run, as the sections tell it."""
    over = len(sections.get("budgets", {}).get("over", ()))
    untested = len(sections.get("routes", {}).get("failing", ()))
    told = [
        f"{over} endpoint{'s' * (over != 1)} over budget" if over else "",
        f"{untested} route{'s' * (untested != 1)} that no test asks for" if untested else "",
        str(sections.get("diff_coverage", {}).get("failing") or ""),
    ]
    return [each for each in told if each]


def _tests(count: int) -> str:
    return f"{count:,} test{'' if count == 1 else 's'}"
