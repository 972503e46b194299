"""How a past run ended: what its facts come to, and the exit status that it had, or would have had."""

from __future__ import annotations

from testkit.core.errors import ExitStatus
from testkit.core.events import Fact, RunFinished, RunMeasured
from testkit.core.tally import Tally
from testkit.session.aftermath.completion import has_died


class Ending:
    """Listens to the facts of one run, from RunStarted to the end, and judges them as a run judges itself."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.fact = RunFinished(at=0.0, seconds=0.0)
        """How the tests ended."""
        self._told = ExitStatus.PASSED, ""

    def __call__(self, fact: Fact) -> None:
        self.tally(fact)
        if isinstance(fact, RunFinished):
            self.fact = fact
        elif isinstance(fact, RunMeasured) and fact.section == "status":
            self._told = ExitStatus(fact.data["status"]), str(fact.data["reason"])

    def status(self, *, may_be_empty: bool = False, flaky: str = "pass") -> tuple[ExitStatus, str]:
        """Return the exit status, and why if it is for more than tests that failed.

        That is what the tests come to, or what the run said that it failed by besides: too little coverage, say.
        ``may_be_empty``: it is good that no test ran. ``flaky``: whether flaky tests let the run ``pass`` or ``fail``.
        """
        status, reason = self._status_of_tests(may_be_empty=may_be_empty, flaky=flaky)
        is_all = status not in (ExitStatus.PASSED, ExitStatus.TESTS_FAILED)
        return (status, reason) if is_all or self._told[0] is not ExitStatus.RUN_FAILED else self._told

    def _status_of_tests(self, *, may_be_empty: bool, flaky: str) -> tuple[ExitStatus, str]:
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
