"""How the process of a run should end, by what is known of the run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from testkit.core.bus import ListenerFailure
from testkit.core.errors import ExitStatus
from testkit.core.events import RunFinished
from testkit.core.tally import Tally


class Ending(NamedTuple):
    """What is known of a run that is over.

    ``finished`` is None if the tests never ran. ``failures`` is how many problems fail the run as the project's runner
    has it, ``below_minimum`` what is missing in coverage, ``over_budget`` what is wrong with query budgets or with routes.
    """

    finished: RunFinished | None
    interrupted: str
    tally: Tally
    listener_failures: Sequence[ListenerFailure]
    failures: int
    flaky_fails: bool = False
    may_be_empty: bool = False
    below_minimum: str = ""
    over_budget: str = ""

    def status(self) -> tuple[ExitStatus, str]:
        """Return the exit status, and why unless it is plain; the gravest of several comes first."""
        end, name = self.finished, self.interrupted
        if name:
            status = ExitStatus.TERMINATED if name == "SIGTERM" else ExitStatus.INTERRUPTED
            return status, f"the run was interrupted by {name}"
        if end is None:
            return ExitStatus.RUN_FAILED, "run_suite() of the project's runner did not run the tests by testkit"
        if self.listener_failures:
            failure = self.listener_failures[0]
            return ExitStatus.RUN_FAILED, f"the listener {failure.listener} failed:\n{failure.traceback}"
        if end.lost:
            return ExitStatus.RUN_FAILED, f"{len(end.lost)} tests were collected and never reported (see above)"
        if self.tally.nothing_ran and not self.may_be_empty:
            return ExitStatus.NOTHING_RAN, "no test ran: check the labels and the pattern, or give --allow-no-tests"
        return self._status_of_tests(end)

    def _status_of_tests(self, end: RunFinished) -> tuple[ExitStatus, str]:
        if self.failures:
            return ExitStatus.TESTS_FAILED, ""
        if end.not_run and not self.tally.bad:
            return ExitStatus.RUN_FAILED, f"{end.stopped}, and {len(end.not_run)} tests did not run (see above)"
        if self.flaky_fails and self.tally.flaky:
            return ExitStatus.TESTS_FAILED, f"{self.tally.flaky} flaky tests, and --flaky=fail (see above)"
        reasons = "; ".join(filter(None, (self.over_budget, self.below_minimum)))
        return (ExitStatus.RUN_FAILED if reasons else ExitStatus.PASSED), reasons
