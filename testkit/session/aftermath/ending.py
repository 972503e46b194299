"""How a past run ended: what its facts come to, and the exit status that it had, or would have had."""

from __future__ import annotations

from testkit.core.errors import ExitStatus
from testkit.core.events import Fact, RunFinished
from testkit.core.tally import Tally
from testkit.session.aftermath.completion import has_died


class Ending:
    """Listens to the facts of one run, from RunStarted to the end, and judges them as a run judges itself."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.fact = RunFinished(at=0.0, seconds=0.0)
        """The run's own last word."""

    def __call__(self, fact: Fact) -> None:
        self.tally(fact)
        if isinstance(fact, RunFinished):
            self.fact = fact

    def status(self, *, may_be_empty: bool = False, flaky: str = "pass") -> tuple[ExitStatus, str]:
        """Return the exit status, and why if it is for more than tests that failed.

        What no fact tells is not in it: too little coverage, a listener that raised, a status of the project's runner.
        ``may_be_empty``: it is good that no test ran. ``flaky``: whether flaky tests let the run ``pass`` or ``fail``.
        """
        end, tally = self.fact, self.tally
        if end.interrupted:
            status = ExitStatus.TERMINATED if end.interrupted == "SIGTERM" else ExitStatus.INTERRUPTED
            return status, f"the run was interrupted by {end.interrupted}"
        if has_died(end):
            return ExitStatus.RUN_FAILED, f"{end.stopped}, and {len(end.not_run)} tests did not run"
        if end.lost:
            return ExitStatus.RUN_FAILED, f"{len(end.lost)} tests were collected and never reported"
        if tally.flaky and flaky == "fail" and not tally.bad:
            return ExitStatus.TESTS_FAILED, f"{tally.flaky} flaky tests, and --flaky=fail"
        if tally.nothing_ran and not may_be_empty:
            return ExitStatus.NOTHING_RAN, "no test ran (--allow-no-tests lets that pass)"
        if tally.bad:
            return ExitStatus.TESTS_FAILED, ""
        if end.not_run:
            return ExitStatus.RUN_FAILED, f"{end.stopped}, and {len(end.not_run)} tests did not run"
        return ExitStatus.PASSED, ""
