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


def subtest(test, outcome, **fields):
    return SubTestFinished(id=f"{test} (n=1)", test=test, class_id="m.C", at=0, outcome=outcome, **fields)


def fixture(id, outcome, phase="setUpClass", **fields):
    return FixtureFinished(id=id, phase=phase, at=0, seconds=0, outcome=outcome, **fields)


def test_what_failed_and_then_passed_is_flaky():
    """A test that did not fail when tried again is flaky; one that failed to the end, or passed at once, is not."""
    tally = Tally()
    for name, second in (("a", Outcome.PASSED), ("b", Outcome.SKIPPED), ("c", Outcome.FAILED)):
        bad = (problem(Outcome.FAILED),)
        tally(finished(f"m.C.{name}", Outcome.FAILED, problems=bad, final=False))
        tally(finished(f"m.C.{name}", second, attempt=2, problems=bad if second.is_bad else ()))
    tally(finished("m.C.d"))
    assert (tally.ran, tally.flaky, tally.bad) == (4, 2, 1)


def test_a_test_that_runs_again_for_another_one_keeps_its_outcome():
    """Attempts behind the one that counted change neither the counts nor the outcome, however they end."""
    tally = Tally()
    tally(RunStarted(run="r", at=0, ids=("m.C.a",)))
    tally(finished("m.C.a"))
    for outcome in Outcome:
        bad = (problem(Outcome.ERROR),) if outcome.is_bad else ()
        tally(finished("m.C.a", outcome, attempt=2, final=False, problems=bad, reason="x"))
    assert (tally.ran, tally.bad, tally.skipped, tally.expected_failures, tally.flaky) == (1, 0, 0, 0, 0)
    assert tally.unaccounted() == ()


def test_subtests_and_fixtures_that_are_repeated_are_not_counted():
    """Subtests and set-ups of an attempt that is repeated count for nothing, and account for no test."""
    tally = Tally()
    tally(RunStarted(run="r", at=0, ids=("m.C.a", "m.C.b")))
    bad = problem(Outcome.FAILED)
    tally(subtest("m.C.a", Outcome.FAILED, problem=bad, final=False))
    tally(subtest("m.C.a", Outcome.SKIPPED, reason="x", final=False))
    tally(fixture("m.C", Outcome.ERROR, problems=(bad,), final=False))
    tally(fixture("m.C", Outcome.SKIPPED, reason="x", final=False))
    assert (tally.bad, tally.skipped, tally.nothing_ran) == (0, 0, True)
    assert tally.unaccounted() == ("m.C.a", "m.C.b")


def test_a_fixture_that_was_interrupted_accounts_for_no_test():
    """Tests below a set-up that was interrupted, or below a class that broke in its tear-down, are not accounted for."""
    tally = Tally()
    tally(RunStarted(run="r", at=0, ids=("m.C.a", "m.D.a")))
    tally(fixture("m.C", Outcome.ERROR, problems=(problem(Outcome.ERROR),), interrupted=True))
    tally(fixture("m.D", Outcome.ERROR, "tearDownClass", problems=(problem(Outcome.ERROR),)))
    assert tally.errors == 2
    assert tally.unaccounted() == ("m.C.a", "m.D.a")


def test_a_test_that_is_there_twice_is_awaited_twice():
    """A test that is collected more than once is lost until each of them was reported, and counts each time."""
    tally = Tally()
    tally(RunStarted(run="r", at=0, ids=("m.C.a", "m.C.a")))
    tally(finished("m.C.a"))
    assert (tally.collected, tally.unaccounted()) == (2, ("m.C.a",))
    tally(finished("m.C.a"))
    assert (tally.ran, tally.unaccounted()) == (2, ())
