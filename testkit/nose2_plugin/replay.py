"""What happened in worker processes, as nose2's plugins hear of it in the process of the run."""

from __future__ import annotations

from typing import Any
from unittest.case import _SubTest, _subtest_msg_sentinel  # type: ignore[attr-defined]  # what unittest reports
from unittest.suite import _ErrorHolder  # type: ignore[attr-defined]  # as which unittest reports fixtures

from nose2 import events, result

from testkit.core.events import Fact, FixtureFinished, Outcome, Problem, SubTestFinished, TestFinished
from testkit.execution.ids import Tests
from testkit.nose2_plugin.result import HookedResult

_Error = tuple[type[BaseException], BaseException, str]


class Replay:
    """Listens to the facts of workers, and calls nose2's hooks for those that are final, test by test.

    As by nose2's own processes, a plugin gets the traceback as text. Those of its hooks that are called in the worker
    (``startTest`` and all that are called there) have been called on its copy of the plugin.
    """

    def __init__(self, hooked: HookedResult, tests: Tests) -> None:
        """``tests`` are the test cases of the run by id."""
        self._hooked, self._tests = hooked, tests
        self._subtests: dict[str, list[SubTestFinished]] = {}

    def __call__(self, fact: Fact) -> None:
        if isinstance(fact, SubTestFinished) and fact.final:
            self._subtests.setdefault(fact.test, []).append(fact)
        elif isinstance(fact, TestFinished) and fact.final:
            self._replay(fact)
        elif isinstance(fact, FixtureFinished) and fact.final and fact.outcome is not Outcome.PASSED:
            self._settle(_ErrorHolder(f"{fact.phase} ({fact.id})"), fact.outcome, fact.problems, fact.reason)

    def _replay(self, fact: TestFinished) -> None:
        test = self._tests[fact.id][0] if fact.id in self._tests else _ErrorHolder(fact.id)
        hooks = self._hooked.session.hooks
        self._hooked.test_started = True
        hooks.startTest(events.StartTestEvent(test, self._hooked, fact.at))
        for subtest in self._subtests.pop(fact.id, []):
            self._settle_subtest(_SubTestAsTold(test, subtest), subtest)
        if not fact.subtests_failed or fact.problems:
            self._settle(test, fact.outcome, fact.problems, fact.reason)
        hooks.stopTest(events.StopTestEvent(test, self._hooked, fact.at + fact.seconds))

    def _settle_subtest(self, told: _SubTestAsTold, subtest: SubTestFinished) -> None:
        if subtest.outcome is Outcome.SKIPPED:
            self._tell(told, result.SKIP, reason=subtest.reason)
        else:
            error = _error_of(told.test_case, subtest.problem) if subtest.problem else None
            self._tell(told, result.SUBTEST, exc_info=error)

    def _settle(self, test: Any, outcome: Outcome, problems: tuple[Problem, ...], reason: str) -> None:
        for problem in problems:
            name = result.FAIL if problem.outcome is Outcome.FAILED else result.ERROR
            self._tell(test, name, exc_info=_error_of(test, problem))
        match outcome:
            case Outcome.PASSED:
                self._tell(test, result.PASS, expected=True)
            case Outcome.SKIPPED:
                self._tell(test, result.SKIP, reason=reason)
            case Outcome.EXPECTED_FAILURE:
                self._tell(test, result.FAIL, exc_info=(AssertionError, AssertionError(reason), reason), expected=True)
            case Outcome.UNEXPECTED_SUCCESS:
                self._tell(test, result.PASS)

    def _tell(self, test: Any, outcome: str, **given: Any) -> None:
        self._hooked.settle(events.TestOutcomeEvent(test, self._hooked, outcome, **given))


class _SubTestAsTold(_SubTest):  # type: ignore[misc]  # not in the stubs
    """A subtest of another process: what its parameters were is known as text."""

    def __init__(self, test: Any, subtest: SubTestFinished) -> None:
        super().__init__(test, _subtest_msg_sentinel, {})
        self._text = subtest.id.removeprefix(subtest.test).strip()

    def _subDescription(self) -> str:
        return self._text


def _error_of(test: Any, problem: Problem) -> _Error:
    """Return an exception of the kind that a plugin would look at; the real one is gone with its process."""
    failure: type[BaseException] = getattr(test, "failureException", None) or AssertionError
    name = problem.type.rpartition(".")[2]
    kind = failure if problem.outcome is Outcome.FAILED else type(name, (Exception,), {"__module__": "testkit"})
    return kind, kind(problem.message), problem.traceback
