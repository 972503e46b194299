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


def judge(
    end: RunFinished, tally: Tally, bad: Mapping[str, int], sections: Mapping[str, Mapping[str, Any]]
) -> Judgement:
    """Return the verdict that the facts come to, and what the run itself told of its exit status beside them.

    ``bad`` says how many tests ended in each outcome, and how many set-ups and tear-downs were bad (``fixtures``).
    """
    if end.interrupted:
        return Judgement("broken", "Interrupted", f"by {end.interrupted}, {_tests(len(end.not_run))} not run")
    if end.lost:
        return Judgement("broken", "Incomplete", f"{_tests(len(end.lost))} collected and never reported")
    counted = _counted(bad) if tally.bad else ""
    if end.stopped and end.not_run:
        why = f"{end.stopped}: {_tests(len(end.not_run))} not run"
        return Judgement("failed" if counted else "broken", "Failed" if counted else "Incomplete", why)
    if counted:
        return Judgement("failed", "Failed", f"{end.stopped}: {counted}" if end.stopped else counted)
    if tally.nothing_ran:
        return Judgement("broken", "No test ran", "")
    status = sections.get("status", {})
    if status.get("status"):  # too little coverage, too many queries, …
        return Judgement("failed", "Failed", str(status.get("reason", "")))
    return Judgement("passed", "Passed", end.stopped)


def _counted(bad: Mapping[str, int]) -> str:
    """Return how many tests are bad, in words; tests, while unittest's closing line counts problems."""
    errors, surprises, fixtures = bad["error"], bad["unexpected success"], bad["fixtures"]
    told = (
        f"{bad['failed']:,} failed" if bad["failed"] else "",
        f"{errors:,} error{'s' * (errors != 1)}" if errors else "",
        f"{surprises:,} unexpected success{'es' * (surprises != 1)}" if surprises else "",
        f"{fixtures:,} set-up{'s' * (fixtures != 1)} or tear-down{'s' * (fixtures != 1)} failed" if fixtures else "",
    )
    return ", ".join(filter(None, told)) or "1 problem"


def _tests(count: int) -> str:
    return f"{count:,} test{'' if count == 1 else 's'}"
