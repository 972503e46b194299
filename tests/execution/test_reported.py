"""A run of facts is a unittest result to a project's runner, and ends when enough has failed."""

from __future__ import annotations

import unittest

from testkit.core.events import FixtureFinished, Outcome, Problem, SubTestFinished, TestFinished
from testkit.execution import ids
from testkit.execution.reported import Reported
from testkit.execution.stopping import StopWhen


class Case(unittest.TestCase):
    """Cases that are not run."""

    __test__ = False

    def test_a(self):
        """Do nothing."""

    def test_b(self):
        """Do nothing."""


A, B = Case("test_a"), Case("test_b")
FAILED = Problem(outcome=Outcome.FAILED, type="AssertionError", message="", traceback="Trace of a failure\n")
ERROR = Problem(outcome=Outcome.ERROR, type="KeyError", message="", traceback="Trace of an error\n")


def finished(test=A, outcome=Outcome.PASSED, **fields):
    return TestFinished(id=test.id(), class_id="Case", at=0.0, seconds=0.0, outcome=outcome, **fields)


def subtest(outcome, **fields):
    return SubTestFinished(id=f"{A.id()} (n=1)", test=A.id(), class_id="Case", at=0.0, outcome=outcome, **fields)


def fixture(outcome, **fields):
    return FixtureFinished(id="m.Case", phase="setUpClass", at=0.0, seconds=0.0, outcome=outcome, **fields)


def reported(*facts):
    result = Reported(ids.tests_by_id([A, B]))
    for fact in facts:
        result(fact)
    return result


def test_outcomes_are_in_unittests_lists():
    """Each outcome is where unittest has it, with the test case itself and the text of its traceback."""
    result = reported(
        finished(A),
        finished(A, Outcome.ERROR, problems=(FAILED, ERROR)),
        finished(B, Outcome.SKIPPED, reason="no server"),
        finished(A, Outcome.EXPECTED_FAILURE, reason="Trace"),
        finished(B, Outcome.UNEXPECTED_SUCCESS),
        subtest(Outcome.FAILED, problem=FAILED),
        subtest(Outcome.PASSED),
        subtest(Outcome.SKIPPED, reason="odd"),
        fixture(Outcome.PASSED),
    )
    assert result.testsRun == 5
    assert result.failures == [(A, FAILED.traceback), (A, FAILED.traceback)]
    assert result.errors == [(A, ERROR.traceback)]
    assert result.skipped == [(B, "no server"), (A, "odd")]
    assert result.expectedFailures == [(A, "Trace")]
    assert result.unexpectedSuccesses == [B]
    assert not result.wasSuccessful()
    assert reported(finished(A), finished(B, Outcome.SKIPPED)).wasSuccessful()


def test_a_skip_and_an_error():
    """A test that was skipped and whose tear-down raised is in both lists, as unittest has it."""
    result = reported(finished(A, Outcome.ERROR, problems=(ERROR,), reason="no server"))
    assert (result.errors, result.skipped) == ([(A, ERROR.traceback)], [(A, "no server")])


def test_fixtures_and_strangers_are_named():
    """A fixture, and a test that the run did not collect, stand in the lists by what unittest calls them."""
    broken = fixture(Outcome.ERROR, problems=(ERROR,))
    result = reported(broken, fixture(Outcome.SKIPPED, reason="no"), finished(B)._replace(id="m.Added.test_it"))
    assert [str(holder) for holder, _ in result.errors] == ["setUpClass (m.Case)"]
    assert [(holder.id(), reason) for holder, reason in result.skipped] == [("setUpClass (m.Case)", "no")]
    assert result.testsRun == 1


def test_only_what_is_final_is_reported():
    """Attempts that are repeated, or run for the sake of another test, leave no trace."""
    result = reported(
        finished(A, Outcome.FAILED, problems=(FAILED,), final=False),
        subtest(Outcome.FAILED, problem=FAILED, final=False),
        fixture(Outcome.ERROR, problems=(ERROR,), final=False),
        finished(A, attempt=2),
    )
    assert (result.testsRun, result.failures, result.errors) == (1, [], [])
    assert result.wasSuccessful()


def calls_to_stop(most, *facts):
    calls = []
    stop_when = StopWhen(most, lambda: calls.append(stop_when.failed))
    for fact in facts:
        stop_when(fact)
    return calls


def test_a_run_ends_when_enough_has_failed():
    """The run is stopped at the number of failures that was given, not before, and never when it is 0."""
    bad = finished(A, Outcome.FAILED, problems=(FAILED, ERROR))
    assert calls_to_stop(2, bad, finished(B)) == []
    assert calls_to_stop(2, bad, bad) == [2]
    assert calls_to_stop(1, finished(B), fixture(Outcome.ERROR, problems=(ERROR,))) == [1]
    assert calls_to_stop(0, bad, bad, bad) == []


def test_an_attempt_that_is_repeated_ends_no_run():
    """A failure that is tried again does not count towards the end."""
    assert calls_to_stop(1, finished(A, Outcome.FAILED, problems=(FAILED,), final=False), finished(A, attempt=2)) == []
