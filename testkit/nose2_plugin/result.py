"""nose2's result and our recorder are one: its plugins hear every event, and the recorder what they have made of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from nose2 import events, result
from nose2.main import PluggableTestProgram
from nose2.session import Session

from testkit.core.errors import ExitStatus
from testkit.execution.recorder import Recorder
from testkit.nose2_plugin import own

_getpid = os.getpid  # tests patch that of the module
_TOLD = (
    "startTest",
    "stopTest",
    "addSuccess",
    "addError",
    "addFailure",
    "addSkip",
    "addExpectedFailure",
    "addUnexpectedSuccess",
    "addSubTest",
)


class HookedResult(result.PluggableTestResult):  # type: ignore[misc]  # nose2 is not typed
    """nose2's result, which stands between unittest and a recorder.

    What unittest tells the recorder comes here first. nose2's hooks are called as nose2 calls them, and a plugin may
    change the outcome (``setTestOutcome``); the recorder hears what the outcome is then. A plugin that has ``handled``
    an event keeps it from other plugins, not from the recorder.
    """

    def __init__(self, session: Session, *, shows_details: bool) -> None:
        """``shows_details``: what plugins add to a failure (captured logs, say) is to be in the test's output."""
        self._recorder: dict[str, Callable[..., None]] = {}
        self._shows_details = shows_details
        self._process = _getpid()
        self._stops = False
        self._stop: Callable[[], None] = lambda: None
        self.status: int = ExitStatus.PASSED
        """How the process should end."""
        self.counts_attempts = False
        """Whether failed attempts are among what nose2 has counted, which a test may have made good."""
        super().__init__(session)

    def stand_before(self, recorder: Recorder) -> None:
        """Take what unittest tells ``recorder`` from now on."""
        if recorder.startTest == self.startTest:
            return
        if _getpid() != self._process:
            # A worker: the run's process tells nose2's reporter what happens here.
            own.silence_report(self.session)
            self._shows_details = True
        self._stop = recorder.stop
        self._recorder = {name: getattr(recorder, name) for name in _TOLD}
        for name in _TOLD:
            setattr(recorder, name, getattr(self, name))

    @property
    def shouldStop(self) -> bool:
        """Whether a plugin wants no further test to begin."""
        return self._stops

    @shouldStop.setter
    def shouldStop(self, value: bool) -> None:
        self._stops = value
        if value:
            self._stop()

    def wasSuccessful(self) -> bool:
        """Return whether the run was good.

        Raises:
            SystemExit: nose2's command asks, which would end with 0 or 1 by the answer; there are other statuses.
        """
        good = not self.status and (self.counts_attempts or bool(super().wasSuccessful()))
        if sys._getframe(1).f_code is PluggableTestProgram.runTests.__code__:
            raise SystemExit(self.status or int(not good))
        return good

    # What unittest tells

    def startTest(self, test: Any) -> None:
        self._record("startTest", test)
        super().startTest(test)

    def stopTest(self, test: Any) -> None:
        super().stopTest(test)
        self._record("stopTest", test)

    def addError(self, test: Any, err: Any) -> None:
        self.settle(events.TestOutcomeEvent(test, self, result.ERROR, err))

    def addFailure(self, test: Any, err: Any) -> None:
        self.settle(events.TestOutcomeEvent(test, self, result.FAIL, err))

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        self.settle(events.TestOutcomeEvent(subtest, self, result.SUBTEST, err))

    def addSuccess(self, test: Any) -> None:
        self.settle(events.TestOutcomeEvent(test, self, result.PASS, expected=True))

    def addSkip(self, test: Any, reason: str) -> None:
        self.settle(events.TestOutcomeEvent(test, self, result.SKIP, reason=reason))

    def addExpectedFailure(self, test: Any, err: Any) -> None:
        self.settle(events.TestOutcomeEvent(test, self, result.FAIL, err, expected=True))

    def addUnexpectedSuccess(self, test: Any) -> None:
        self.settle(events.TestOutcomeEvent(test, self, result.PASS))

    def settle(self, event: events.TestOutcomeEvent) -> None:
        """Let plugins change the outcome, tell the recorder, and then let plugins hear it."""
        self.session.hooks.setTestOutcome(event)
        self._record_outcome(event)
        self.session.hooks.testOutcome(event)
        if self._shows_details and event.exc_info is not None and self._recorder:
            detail = events.OutcomeDetailEvent(event)
            self.session.hooks.outcomeDetail(detail)
            if detail.extraDetail:
                print(*detail.extraDetail, sep="\n", file=sys.stderr)

    def _record_outcome(self, event: events.TestOutcomeEvent) -> None:
        test, error = event.test, event.exc_info
        match event.outcome, bool(event.expected):
            case (result.SUBTEST, _):
                self._record("addSubTest", test.test_case, test, error)
            case (result.PASS, True):
                self._record("addSuccess", test)
            case (result.PASS, False):
                self._record("addUnexpectedSuccess", test)
            case (result.FAIL, True):
                self._record("addExpectedFailure", test, error)
            case (result.FAIL, False):
                self._record("addFailure", test, error)
            case (result.ERROR, _):
                self._record("addError", test, error)
            case (result.SKIP, _):
                self._record("addSkip", test, event.reason or str(error[1]) if error else event.reason or "")
            case (other, _):
                # A category of a plugin's own, by which nose2 neither passes a test nor fails it.
                self._record("addSkip", test, event.reason or str(other))

    def _record(self, name: str, *arguments: Any) -> None:
        if name in self._recorder:
            self._recorder[name](*arguments)
