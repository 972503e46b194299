"""A unittest result made of facts, for a project's runner to look at."""

from __future__ import annotations

import unittest
from typing import Any
from unittest.suite import _ErrorHolder  # type: ignore[attr-defined]  # what unittest itself puts in these lists

from testkit.core.events import Fact, FixtureFinished, Outcome, Problem, SubTestFinished, TestFinished
from testkit.execution.ids import Tests


class Reported(unittest.TestResult):
    """Listens to the facts of a run and fills the lists of unittest's own result with what was final."""

    def __init__(self, tests: Tests) -> None:
        """``tests`` are the test cases of the run by id."""
        super().__init__()
        self._tests = tests

    def __call__(self, fact: Fact) -> None:
        if isinstance(fact, TestFinished) and fact.final:
            self.testsRun += 1
            self._add(self._test(fact.id), fact.outcome, fact.problems, fact.reason)
        elif isinstance(fact, SubTestFinished) and fact.final:
            self._add(self._test(fact.test), fact.outcome, (fact.problem,) if fact.problem else (), fact.reason)
        elif isinstance(fact, FixtureFinished) and fact.final:
            self._add(_ErrorHolder(f"{fact.phase} ({fact.id})"), fact.outcome, fact.problems, fact.reason)

    def _test(self, id: str) -> Any:
        return self._tests[id][0] if id in self._tests else _ErrorHolder(id)

    def _add(self, test: Any, outcome: Outcome, problems: tuple[Problem, ...], reason: str) -> None:
        for problem in problems:
            (self.failures if problem.outcome is Outcome.FAILED else self.errors).append((test, problem.traceback))
        match outcome:
            case Outcome.SKIPPED:
                self.skipped.append((test, reason))
            case Outcome.EXPECTED_FAILURE:
                self.expectedFailures.append((test, reason))
            case Outcome.UNEXPECTED_SUCCESS:
                self.unexpectedSuccesses.append(test)
            case _ if reason:
                self.skipped.append((test, reason))  # and its tear-down raised then, which is both
