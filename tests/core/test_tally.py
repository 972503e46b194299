"""The tally counts as unittest counts, and knows who was never heard of."""

from __future__ import annotations

from testkit.core.events import FixtureFinished, Outcome, Problem, RunStarted, SubTestFinished, TestFinished
from testkit.core.tally import Tally


def problem(outcome):
    return Problem(outcome=outcome, type="X", message="", traceback="")


def finished(id, outcome=Outcome.PASSED, **fields):
    return TestFinished(id=id, class_id=id.rpartition(".")[0], at=0, seconds=0, outcome=outcome, **fields)


def test_problems_are_counted_rather_than_tests():
    """A test with a failure and an error counts as one of each, and each bad subtest counts."""
    tally = Tally()
    tally(finished("m.C.a", Outcome.ERROR, problems=(problem(Outcome.FAILED), problem(Outcome.ERROR))))
    for number in (1, 2):
        bad = problem(Outcome.FAILED)
        tally(
            SubTestFinished(
                id=f"m.C.b ({number})", test="m.C.b", class_id="m.C", at=0, outcome=bad.outcome, problem=bad
            )
        )
    tally(finished("m.C.b", Outcome.FAILED, subtests_failed=2))
    tally(finished("m.C.c", Outcome.UNEXPECTED_SUCCESS))
    assert (tally.ran, tally.failures, tally.errors, tally.unexpected_successes, tally.bad) == (3, 3, 1, 1, 5)
    assert not tally.is_good


def test_a_skipped_test_whose_tear_down_raises_is_both():
    """A test that is skipped and whose tear-down then raises counts as skipped and as an error."""
    tally = Tally()
    tally(finished("m.C.a", Outcome.ERROR, reason="no server", problems=(problem(Outcome.ERROR),)))
    assert (tally.skipped, tally.errors) == (1, 1)


def test_an_attempt_that_is_repeated_is_not_counted():
    """Only the final attempt of a test counts."""
    tally = Tally()
    tally(finished("m.C.a", Outcome.FAILED, problems=(problem(Outcome.FAILED),), final=False))
    tally(finished("m.C.a", attempt=2))
    assert (tally.ran, tally.bad) == (1, 0)


def test_a_bad_or_skipped_fixture_accounts_for_the_tests_below_it():
    """Tests below a failed class, or a skipped module, are not lost; a namesake's are."""
    tally = Tally()
    tally(RunStarted(run="r", at=0, ids=("m.C.a", "m.C.b", "m.CC.a", "n.D.a", "o.E.a")))
    tally(FixtureFinished(id="m.C", phase="setUpClass", at=0, seconds=0, outcome=Outcome.ERROR))
    tally(FixtureFinished(id="n", phase="setUpModule", at=0, seconds=0, outcome=Outcome.SKIPPED))
    tally(FixtureFinished(id="o.E", phase="setUpClass", at=0, seconds=0))
    assert tally.unaccounted() == ("m.CC.a", "o.E.a")
    assert not tally.nothing_ran
