"""The recorder: what unittest tells a result becomes facts."""

from __future__ import annotations

import os
import sys
import types
import unittest
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol
from unittest.util import strclass

from testkit.core import current
from testkit.core.clock import clock
from testkit.core.events import (
    Fact,
    FixtureFinished,
    FixtureStarted,
    Outcome,
    Problem,
    SubTestFinished,
    TestFinished,
    TestStarted,
)
from testkit.core.text import cut_middle
from testkit.execution.capture import LIMIT
from testkit.execution.ids import Locator, class_id, is_failed_import, subtest_id, summary_of, test_id
from testkit.execution.processes import end_child
from testkit.execution.sql import SqlLog

_getpid = os.getpid  # tests patch that of the module
Publish = Callable[[Fact], None]


class Output(Protocol):
    """What keeps the tests' output."""

    def take(self) -> tuple[str, str]:
        """Return what went to stdout and stderr since the last call."""

    def showing(self) -> AbstractContextManager[None]:
        """Show everything for the block, as a debugger needs it."""


class LeakProbe(Protocol):
    """What looks for things that a test leaves behind."""

    def before(self, after_fixture: bool = True) -> None:
        """Look before the test; ``after_fixture`` says that a class's or module's fixture ran since the last one."""

    def after(self) -> tuple[str, ...]:
        """Look after it, and return a line for each thing left behind."""


class _Running:
    """What is known so far of the test (or of the fixture, which has a phase) that runs now."""

    def __init__(self, id: str, *, phase: str = "", class_id: str = "", summary: str = "") -> None:
        self.id = id
        self.phase = phase
        self.class_id = class_id
        self.summary = summary
        self.file, self.line = "", 0
        self.outcome: Outcome | None = None
        self.reason = ""
        self.problems: list[Problem] = []
        self.subtests = self.subtests_failed = 0
        self.sql = ""
        self.at = clock.now()
        self.started = clock.seconds()

    def settled(self) -> Outcome | None:
        """Return the outcome by everything that was reported, or None when nothing was."""
        if self.problems:
            return Outcome.ERROR if any(p.outcome is Outcome.ERROR for p in self.problems) else Outcome.FAILED
        if self.subtests_failed:
            return Outcome.FAILED
        # A skipped subtest keeps unittest from calling the test itself a success, yet it ended well.
        return self.outcome or (Outcome.PASSED if self.subtests else None)


class Recorder(unittest.TestResult):
    """A unittest result that publishes facts and prints nothing.

    The lists that unittest's own result has (``failures``, ``errors``, ``skipped``, …) are kept too, since a project's
    runner may look at them.
    """

    def __init__(
        self,
        publish: Publish,
        capture: Output,
        *,
        failfast: bool = False,
        debug_sql: bool = False,
        keep_all_sql: bool = False,
        pdb: bool = False,
        leaks: LeakProbe | None = None,
        overdue: Callable[[], BaseException | None] = lambda: None,
        worker: str = "",
    ) -> None:
        """Publish by ``publish``.

        ``keep_all_sql``: also of tests that pass. ``pdb``: open the debugger where a test fails. ``overdue`` is
        called when a test or a fixture ends, and returns what was raised in it because its time was up: a test fails
        even if it has caught that.
        """
        super().__init__()
        self.failfast = failfast
        self.attempt = 1
        """Which attempt the tests are at that run now."""
        self._publish = publish
        self._capture = capture
        self._pdb = pdb
        self._worker = worker
        self._process = _getpid()
        self._locator = Locator()
        self._test: _Running | None = None
        self._fixture: _Running | None = None
        self._owner: tuple[Any, str] | None = None
        self._is_foreign = False
        self._notes = current.Notes()
        self._sql = SqlLog() if debug_sql else None
        self._keep_all_sql = keep_all_sql
        self._leaks = leaks
        self._fixture_ran = True
        self._overdue = overdue

    # Tests

    def run_test(self, test: Any, run: Callable[[Recorder], Any] | None = None) -> None:
        """Run ``test``, by ``run`` if there is more to do than to call it, and publish how it went.

        Django sets a test case up and tears it down outside of what unittest calls the test (``_pre_setup``: fixtures,
        transactions, flushes); here all of it counts, so the time and the problems are the test's.
        """
        self._begin(test)
        try:
            (run or test)(self)
        except KeyboardInterrupt:
            # Where it was is what a reader of a run that hung wants to know.
            self.addError(test, sys.exc_info())
            self._end()
            raise
        except BaseException:
            # sys.exit() and its kind, outside of what unittest calls the test: there, it is an error as well.
            self.addError(test, sys.exc_info())
        overdue = self._overdue()
        if overdue is not None and self._test is not None and not self._test.problems:
            self.addError(test, (type(overdue), overdue, overdue.__traceback__))
        if _getpid() != self._process:
            end_child([problem.traceback for problem in self._test.problems] if self._test else [])
        self._end()

    def _begin(self, test: Any) -> None:
        id, class_ = test_id(test), class_id(test)
        summary = summary_of(test)
        started = TestStarted(
            id=id, class_id=class_, at=clock.now(), summary=summary, attempt=self.attempt, worker=self._worker
        )
        self._publish(started)
        file, line = self._locator.of_test(test)
        self._notes = current.enter()
        self._test = running = _Running(id, class_id=class_, summary=summary)
        running.file, running.line = file, line
        if self._leaks is not None:
            self._leaks.before(after_fixture=self._fixture_ran)
            self._fixture_ran = False

    def _end(self) -> None:
        running, notes = self._test, self._notes
        current.leave()
        self._test = None
        if running is None:
            return
        seconds = clock.seconds() - running.started
        if self._leaks is not None and (left := self._leaks.after()):
            notes.measures["leaks"] = "\n".join(left)
        stdout, stderr = self._capture.take()
        outcome = running.settled()
        if outcome is None:
            return  # Never reported: the run's books will show it as lost.
        self._publish(
            TestFinished(
                id=running.id,
                class_id=running.class_id,
                at=running.at,
                seconds=seconds,
                outcome=outcome,
                summary=running.summary,
                problems=tuple(running.problems),
                reason=running.reason if running.outcome in (outcome, Outcome.SKIPPED) else "",
                subtests_failed=running.subtests_failed,
                stdout=stdout,
                stderr=stderr,
                sql=SqlLog.formatted(running.sql) if running.sql and (outcome.is_bad or self._keep_all_sql) else "",
                file=running.file,
                line=running.line,
                attempt=self.attempt,
                worker=self._worker,
                measures=notes.measures,
                attachments=tuple(notes.attachments),
            )
        )

    def startTest(self, test: Any) -> None:
        self.testsRun += 1
        if self._test is None:
            # A project's own suite class runs its tests without asking us.
            self._begin(test)
            self._is_foreign = True
        if self._sql is not None:
            self._sql.start(test)

    def stopTest(self, test: Any) -> None:
        if self._sql is not None and self._test is not None:
            self._test.sql = self._sql.stop(test)
        if self._is_foreign:
            self._is_foreign = False
            self._end()

    def addSuccess(self, test: Any) -> None:
        if self._test is not None:
            self._test.outcome = Outcome.PASSED

    def addFailure(self, test: Any, err: Any) -> None:
        self._add_problem(test, err, Outcome.FAILED)

    def addError(self, test: Any, err: Any) -> None:
        self._add_problem(test, err, Outcome.ERROR)

    def addSkip(self, test: Any, reason: str) -> None:
        self.skipped.append((test, reason))
        if hasattr(test, "test_case"):
            self._publish_subtest(test, Outcome.SKIPPED, reason=reason)
        elif self._fixture is not None:
            self._name_fixture(test)
            self._fixture.outcome, self._fixture.reason = Outcome.SKIPPED, reason
        else:
            self._settle(test, Outcome.SKIPPED, reason)

    def addExpectedFailure(self, test: Any, err: Any) -> None:
        text = self._traceback(err, test)
        self.expectedFailures.append((test, text))
        self._settle(test, Outcome.EXPECTED_FAILURE, text)

    def addUnexpectedSuccess(self, test: Any) -> None:
        self.unexpectedSuccesses.append(test)
        self._settle(test, Outcome.UNEXPECTED_SUCCESS)
        self._failed()

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        if err is None:
            self._publish_subtest(subtest, Outcome.PASSED)
            return
        is_failure = issubclass(err[0], test.failureException)
        problem = self._problem(test, err, Outcome.FAILED if is_failure else Outcome.ERROR)
        (self.failures if is_failure else self.errors).append((subtest, problem.traceback))
        self._publish_subtest(subtest, problem.outcome, problem)
        self._failed(err)

    def _settle(self, test: Any, outcome: Outcome, reason: str = "") -> None:
        with self._told_about(test) as running:
            running.outcome, running.reason = outcome, reason

    def _add_problem(self, test: Any, err: Any, outcome: Outcome) -> None:
        problem = self._problem(test, err, outcome)
        (self.failures if outcome is Outcome.FAILED else self.errors).append((test, problem.traceback))
        if self._fixture is not None:
            self._name_fixture(test)
            self._fixture.problems.append(problem)
        else:
            with self._told_about(test) as running:
                running.problems.append(problem)
        self._failed(err)

    @contextmanager
    def _told_about(self, test: Any) -> Iterator[_Running]:
        """Give the record of ``test``, which is the running one unless a foreign suite reports it from outside."""
        is_outside = self._test is None
        if is_outside:
            self._begin(test)
        if self._test is not None:
            yield self._test
        if is_outside:
            self._end()

    def _publish_subtest(
        self, subtest: Any, outcome: Outcome, problem: Problem | None = None, reason: str = ""
    ) -> None:
        running = self._test
        if running is None:
            return  # unittest reports subtests within their test alone
        running.subtests += 1
        running.subtests_failed += outcome.is_bad
        self._publish(
            SubTestFinished(
                id=subtest_id(subtest),
                test=running.id,
                class_id=running.class_id,
                at=clock.now(),
                outcome=outcome,
                problem=problem,
                reason=reason,
                file=running.file,
                line=running.line,
                attempt=self.attempt,
                worker=self._worker,
            )
        )

    # Fixtures of classes and modules

    @contextmanager
    def fixture(self, owner: Any, phase: str) -> Iterator[None]:
        """Say that a fixture which unittest begins within the block is ``phase`` of ``owner`` (a class or module)."""
        before, self._owner = self._owner, (owner, phase)
        try:
            yield
        except (KeyboardInterrupt, Exception):
            raise
        except BaseException:
            # sys.exit() and its kind, which unittest lets through; `_restoreStdout` has told of it. No test below runs.
            if phase == "setUpClass":
                owner._classSetupFailed = True
            elif phase == "setUpModule":
                self._moduleSetUpFailed = True
        finally:
            self._owner = before

    def _setupStdout(self) -> None:
        """Begin a fixture: unittest's suite calls this before each, and only then (we do not let it swap streams)."""
        owner, phase = self._owner or (None, "")
        id = strclass(owner) if isinstance(owner, type) else getattr(owner, "__name__", "")
        if id:
            self._publish(FixtureStarted(id=id, phase=phase, at=clock.now(), worker=self._worker))
        self._notes = current.enter()
        self._fixture = _Running(id, phase=phase)

    def _name_fixture(self, holder: Any) -> None:
        """Name the fixture by what unittest reports its problem under: a project's own suite class told us nothing."""
        if self._fixture is not None and not self._fixture.id:
            self._fixture.phase, _, id = str(holder.id()).partition(" (")
            self._fixture.id = id.removesuffix(")")

    def _restoreStdout(self) -> None:
        """End a fixture: the counterpart of ``_setupStdout``."""
        fixture, self._fixture = self._fixture, None
        notes = self._notes
        current.leave()
        self._fixture_ran = True
        self._overdue()
        stdout, stderr = self._capture.take()
        passing_through = sys.exception()
        if fixture is None or not fixture.id:
            return
        if passing_through is not None:
            fixture.problems.append(self._problem(_NoTest, sys.exc_info(), Outcome.ERROR))
            self.errors.append((fixture.id, fixture.problems[-1].traceback))  # type: ignore[arg-type]
        outcome = fixture.settled() or Outcome.PASSED
        file, line = "", 0
        if outcome is not Outcome.PASSED and self._owner is not None:
            file, line = self._locator.of_owner(*self._owner)
        self._publish(
            FixtureFinished(
                id=fixture.id,
                phase=fixture.phase,
                at=fixture.at,
                seconds=clock.seconds() - fixture.started,
                outcome=outcome,
                problems=tuple(fixture.problems),
                reason=fixture.reason,
                stdout=stdout,
                stderr=stderr,
                file=file,
                line=line,
                worker=self._worker,
                interrupted=isinstance(passing_through, KeyboardInterrupt),
                attempt=self.attempt,
                measures=notes.measures,
            )
        )

    # Problems

    def _problem(self, test: Any, err: Any, outcome: Outcome) -> Problem:
        kind, error, traceback = err
        if is_failed_import(test):
            file, line = self._locator.of_test(test)  # what was raised is unittest's, and tells of the import as text
        else:
            file, line = self._locator.of_problem(traceback, self._test.file if self._test else "")
        return Problem(
            outcome=outcome,
            type=f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins."),
            message=cut_middle(_message(error), LIMIT),
            traceback=self._traceback(err, test),
            file=file,
            line=line,
        )

    def _traceback(self, err: Any, test: Any) -> str:
        try:
            text = self._exc_info_to_string(err, test)  # type: ignore[attr-defined]  # unittest's own, with its cuts
        except Exception as error:
            text = f"{err[0].__name__}: (its traceback cannot be shown: {type(error).__name__} while making it)\n"
        return cut_middle(text, LIMIT)

    def _failed(self, err: Any = None) -> None:
        if self.failfast:
            self.stop()
        if self._pdb and err is not None and not issubclass(err[0], KeyboardInterrupt):
            from django.test.runner import PDBDebugResult

            # Only its method is wanted: which debugger is opened, and how, is Django's to say.
            host = types.SimpleNamespace(_restoreStdout=lambda: None, buffer=False)
            with self._capture.showing():
                PDBDebugResult.debug(host, err)  # type: ignore[arg-type]


class _NoTest:
    """Stands for the test where a fixture has a problem, as unittest's own holder of such errors does."""

    failureException = None


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as second:
        return f"(str() of the exception raised {type(second).__name__})"
