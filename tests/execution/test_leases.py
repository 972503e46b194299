"""What the facts of a worker mean for the run: what is final, what is tried again, and what is left when it is gone."""

from __future__ import annotations

import pytest

from testkit.core.events import (
    FixtureFinished,
    FixtureStarted,
    Outcome,
    Problem,
    RunStarted,
    SubTestFinished,
    TestFinished,
    TestStarted,
)
from testkit.core.tally import Tally
from testkit.execution.leases import Lease
from testkit.selection.order import Unit

BOOM = Problem(outcome=Outcome.ERROR, type="E", message="boom", traceback="Traceback of boom\n")


def unit(key="m.C", names="abc", **fields):
    fields.setdefault("seconds", float(len(names)))
    return Unit(key, tuple((f"{key}.{name}", 0) for name in names), **fields)


def finished(id, outcome=Outcome.PASSED, **fields):
    return TestFinished(id=id, class_id=id.rpartition(".")[0], at=1.0, seconds=0.5, outcome=outcome, **fields)


def failed(id, **fields):
    return finished(id, Outcome.FAILED, **fields)


def subtest(test, outcome=Outcome.PASSED, **fields):
    return SubTestFinished(id=f"{test} (n=1)", test=test, class_id="m.C", at=1.0, outcome=outcome, **fields)


def fixture(id="m.C", phase="setUpClass", outcome=Outcome.ERROR, **fields):
    problems = (BOOM,) if outcome is Outcome.ERROR else ()
    return FixtureFinished(id=id, phase=phase, at=2.0, seconds=1.0, outcome=outcome, problems=problems, **fields)


def heard(lease, *facts):
    return [each for fact in facts for each in lease.heard(fact)]


def finals(facts):
    """Return what is final, or else followed by another attempt, by id."""
    return [(each.id, each.final) for each in facts if isinstance(each, TestFinished | SubTestFinished)]


def retried(lease):
    (again,) = lease.retries("1", 7.0)
    return again


# What is final


def test_all_is_final_without_retries():
    """Without retries every fact goes through as it is, and nothing is tried again."""
    lease = Lease([unit()])
    facts = [
        RunStarted(run="r", at=0.0, ids=()),
        TestStarted(id="m.C.a", class_id="m.C", at=0.0),
        failed("m.C.a"),
        FixtureStarted(id="m.D", phase="setUpClass", at=0.0),
        fixture("m.D"),
    ]
    assert heard(lease, *facts) == facts
    assert list(lease.retries("1", 0.0)) == []
    assert (lease.finished, lease.left()) == (["m.C.a"], ["m.C.b", "m.C.c"])


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_bad_attempt_is_not_final(outcome):
    """With retries left every bad outcome is followed by another attempt, and no other is."""
    lease = Lease([unit(whole=False)], retries=1)
    assert finals(heard(lease, finished("m.C.a", outcome))) == [("m.C.a", not outcome.is_bad)]
    assert bool(list(lease.retries("1", 0.0))) is outcome.is_bad


@pytest.mark.parametrize(("attempt", "retries", "final"), [(1, 1, False), (2, 1, True), (2, 2, False), (3, 2, True)])
def test_the_last_attempt_is_final(attempt, retries, final):
    """A test has as many attempts as there are retries, and one."""
    lease = Lease([unit(attempt=attempt)], retries)
    assert finals(heard(lease, failed("m.C.a", attempt=attempt))) == [("m.C.a", final)]
    assert bool(list(lease.retries("1", 0.0))) is not final


def test_subtests_count_as_their_test_does():
    """Subtests wait for the end of their test, and are final if that is; others are not touched by it."""
    lease = Lease([unit(whole=False)], retries=1)
    good, bad = subtest("m.C.a"), subtest("m.C.a", Outcome.FAILED, problem=BOOM)
    assert heard(lease, good, bad) == []
    end = failed("m.C.a", subtests_failed=1)
    assert heard(lease, end) == [good._replace(final=False), bad._replace(final=False), end._replace(final=False)]
    assert finals(heard(lease, subtest("m.C.b"), finished("m.C.b"))) == [("m.C.b (n=1)", True), ("m.C.b", True)]


# What is tried again


def test_of_a_class_without_a_state_the_failed_tests_are_tried_again():
    """Of a unit that may be split, only the tests that failed are tried again, elsewhere and later."""
    lease = Lease([unit(whole=False, seconds=7.0, set_up=1.0), unit("m.D")], retries=1)
    heard(lease, failed("m.C.a"), finished("m.C.b"), failed("m.C.c"), *map(finished, ("m.D.a", "m.D.b", "m.D.c")))
    again = retried(lease)
    assert again.tests == (("m.C.a", 0), ("m.C.c", 0))
    assert (again.attempt, again.avoid, again.not_before) == (2, "1", 7.0)
    assert again.only == {"m.C.a", "m.C.c"}
    assert again.seconds == 5.0  # two thirds of the tests, and the set-up


def test_a_class_with_a_state_is_tried_again_as_a_whole():
    """Of a unit that is whole all tests run again, and those count that had failed; the first outcome of others stands."""
    lease = Lease([unit()], retries=1)
    first = heard(lease, finished("m.C.a"), failed("m.C.b"), finished("m.C.c"))
    again = retried(lease)
    assert (again.tests, again.only, again.seconds) == (unit().tests, {"m.C.b"}, 3.0)
    second = Lease([again], retries=1)
    more = heard(second, failed("m.C.a"), subtest("m.C.b"), finished("m.C.b"), subtest("m.C.c"), finished("m.C.c"))
    assert finals(first) == [("m.C.a", True), ("m.C.b", False), ("m.C.c", True)]
    assert finals(more) == [
        ("m.C.a", False),
        ("m.C.b (n=1)", True),
        ("m.C.b", True),
        ("m.C.c (n=1)", False),
        ("m.C.c", False),
    ]
    assert list(second.retries("2", 0.0)) == []


def test_only_what_failed_again_counts_in_a_third_attempt():
    """A bystander that fails in the second attempt is not tried again for that."""
    lease = Lease([unit(attempt=2, only=frozenset({"m.C.b", "m.C.c"}))], retries=2)
    heard(lease, failed("m.C.a"), failed("m.C.b"), finished("m.C.c"))
    again = retried(lease)
    assert (again.attempt, again.only) == (3, {"m.C.b"})


def test_each_test_counts_once_whatever_its_attempts():
    """The tally of a class with retries is that of its tests: each ran once, and those that recovered are flaky."""
    tally = Tally()
    tally(RunStarted(run="r", at=0.0, ids=("m.C.a", "m.C.b", "m.C.c")))
    lease = Lease([unit()], retries=2)
    for outcomes in (("passed", "failed", "failed"), ("failed", "passed", "failed"), ("passed", "failed", "failed")):
        for name, outcome in zip("abc", outcomes, strict=True):
            problems = (BOOM._replace(outcome=Outcome.FAILED),) if outcome == "failed" else ()
            end = finished(f"m.C.{name}", Outcome(outcome), attempt=lease.attempt, problems=problems)
            for fact in lease.heard(end):
                tally(fact)
        again = list(lease.retries("", 0.0))
        if again:
            lease = Lease(again, retries=2)
    assert again == []
    assert (tally.ran, tally.failures, tally.flaky, tally.unaccounted()) == (3, 1, 1, ())


def test_a_test_that_no_lease_has_counts():
    """What a project's own suite class adds is final, good or bad: nobody would try it again."""
    lease = Lease([unit()], retries=1)
    assert finals(heard(lease, failed("m.C.added"))) == [("m.C.added", True)]
    assert list(lease.retries("1", 0.0)) == []
    broken = fixture("m.Added")
    assert heard(lease, broken) == [broken]


# Set-ups


def test_a_broken_set_up_is_final_without_retries():
    """Without retries a broken set-up is told as it is, and accounts for the tests below it, which are not left."""
    lease = Lease([unit(), unit("m.CC", "a")])
    broken = fixture()
    assert heard(lease, broken) == [broken]
    assert lease.left() == ["m.CC.a"]
    assert [each.key for each in lease.rest()] == ["m.CC"]
    assert list(lease.retries("1", 0.0)) == []


def test_a_broken_set_up_is_a_failed_attempt_of_each_test():
    """With retries left, the tests below a broken set-up failed in this attempt by its problems, and are tried again."""
    lease = Lease([unit(names="ab")], retries=1)
    told, *attempts = heard(lease, fixture(worker="4"))
    assert told == fixture(worker="4", final=False)
    assert [(each.id, each.class_id, each.outcome, each.problems) for each in attempts] == [
        ("m.C.a", "m.C", Outcome.ERROR, (BOOM,)),
        ("m.C.b", "m.C", Outcome.ERROR, (BOOM,)),
    ]
    assert {(each.attempt, each.final, each.worker, each.seconds) for each in attempts} == {(1, False, "4", 0.0)}
    assert retried(lease).only == {"m.C.a", "m.C.b"}
    assert lease.left() == []


def test_a_broken_module_names_the_classes_of_its_tests():
    """The attempts of tests whose module's set-up broke belong to their own classes."""
    lease = Lease([Unit("m", (("m.C.a", 0), ("m.D.a[1.5]", 0)), 1.0)], retries=1)
    _, *attempts = heard(lease, fixture("m", "setUpModule"))
    assert [(each.id, each.class_id) for each in attempts] == [("m.C.a", "m.C"), ("m.D.a[1.5]", "m.D")]


@pytest.mark.parametrize(
    "fact",
    [
        fixture(outcome=Outcome.PASSED),
        fixture(phase="tearDownClass"),
        fixture(interrupted=True),
        fixture("m", "tearDownModule"),
    ],
    ids=["passed", "tearDownClass", "interrupted", "tearDownModule"],
)
def test_other_fixtures_settle_no_test(fact):
    """A good set-up, a tear-down and a set-up that was interrupted go through, and leave the tests as they are."""
    lease = Lease([unit()], retries=1)
    assert heard(lease, fact) == [fact]
    assert len(lease.left()) == 3
    assert list(lease.retries("1", 0.0)) == []


def test_a_skipped_set_up_is_not_tried_again():
    """A set-up that skips accounts for its tests, also when there are retries."""
    lease = Lease([unit()], retries=1)
    skipped = fixture(outcome=Outcome.SKIPPED, reason="no server")
    assert heard(lease, skipped) == [skipped]
    assert (lease.left(), list(lease.retries("1", 0.0))) == ([], [])


@pytest.mark.parametrize("attempt", [2, 3])
@pytest.mark.parametrize("outcome", [Outcome.ERROR, Outcome.SKIPPED])
def test_a_set_up_of_bystanders_does_not_count(attempt, outcome):
    """A set-up that fails when its class runs again for the sake of another one changes no outcome."""
    tests = (("m.C.a", 0), ("m.D.a", 0))
    lease = Lease([Unit("m", tests, 1.0, attempt=attempt, only=frozenset({"m.C.a"}))], retries=2)
    assert heard(lease, fixture("m.D", outcome=outcome)) == [fixture("m.D", outcome=outcome, final=False)]
    assert lease.left() == ["m.C.a"]
    assert list(lease.retries("1", 0.0)) == []


def test_a_set_up_that_breaks_again_is_final():
    """In the last attempt the broken set-up itself is told, and no further attempt of a test."""
    lease = Lease([unit(attempt=2, only=frozenset({"m.C.b"}))], retries=1)
    broken = fixture(attempt=2)
    assert heard(lease, broken) == [broken]
    assert list(lease.retries("1", 0.0)) == []


# When the worker is gone


def test_the_rest_of_a_lease():
    """What had not ended is left, unit by unit, with its share of the seconds and the set-up again."""
    lease = Lease([unit("m.B"), unit("m.C", "abcd", seconds=9.0, set_up=1.0), unit("m.D")])
    heard(lease, *(finished(f"m.B.{name}") for name in "abc"), finished("m.C.a"), failed("m.C.b"))
    rest = list(lease.rest())
    assert [each.tests for each in rest] == [(("m.C.c", 0), ("m.C.d", 0)), unit("m.D").tests]
    assert [each.seconds for each in rest] == [5.0, 3.0]
    assert {each.attempt for each in rest} == {1}


def test_a_test_that_ended_its_worker_is_tried_again_beside_the_rest():
    """What failed by the end of its worker is a further attempt; what it kept from running is still the first one."""
    lease = Lease([unit(whole=False)], retries=1)
    heard(lease, finished("m.C.a"), finished("m.C.b", Outcome.ERROR))
    assert [each.tests for each in lease.rest()] == [(("m.C.c", 0),)]
    assert (retried(lease).tests, retried(lease).attempt) == ((("m.C.b", 0),), 2)


def test_bystanders_are_no_rest():
    """When all that counts has ended, tests that ran for the sake of these alone are not run once more."""
    lease = Lease([unit(attempt=2, only=frozenset({"m.C.a"}))], retries=1)
    heard(lease, finished("m.C.a", attempt=2))
    assert lease.left() == ["m.C.b", "m.C.c"]
    assert list(lease.rest()) == []


# The same test more than once


def test_a_test_twice_is_heard_of_twice():
    """When a lease has a class twice (--repeat), each of its tests ends twice, and what is left is the second one's."""
    lease = Lease([unit(names="ab"), unit(names="ab")])
    heard(lease, finished("m.C.a"), finished("m.C.b"), finished("m.C.a"))
    assert lease.left() == ["m.C.b"]
    (rest,) = lease.rest()
    assert rest.tests == (("m.C.b", 0),)


def test_a_test_twice_is_tried_again_where_it_failed():
    """When a class is in a lease twice, that one is tried again in which a test failed, and the other's end is final."""
    lease = Lease([unit(names="ab"), unit(names="ab")], retries=1)
    facts = heard(lease, failed("m.C.a"), finished("m.C.b"), finished("m.C.a"), finished("m.C.b"))
    assert finals(facts) == [("m.C.a", False), ("m.C.b", True), ("m.C.a", True), ("m.C.b", True)]
    assert len(list(lease.retries("1", 0.0))) == 1


def test_tests_with_one_id():
    """Of two tests with one id the one that failed is tried again, by its place."""
    lease = Lease([Unit("m.C", (("m.C.a", 0), ("m.C.a", 1)), 1.0, whole=False)], retries=1)
    assert finals(heard(lease, finished("m.C.a"), failed("m.C.a"))) == [("m.C.a", True), ("m.C.a", False)]
    assert retried(lease).tests == (("m.C.a", 1),)


def test_a_set_up_breaks_for_a_class_that_is_there_twice():
    """A set-up that breaks before a class that is in the lease twice settles both; both are tried again."""
    lease = Lease([unit(names="a"), unit(names="a")], retries=1)
    assert len(heard(lease, fixture())) == 3
    assert lease.left() == []
    assert len(list(lease.retries("1", 0.0))) == 2
    assert heard(lease, fixture()) == [fixture(final=False)]


def test_the_set_up_of_a_split_class_counts_once():
    """When the set-up of a class that was split breaks in each piece, that is told once, and tried again no more."""
    broken: set[tuple[str, str]] = set()
    pieces = [Lease([unit(names=names)], broken=broken) for names in ("ab", "cd")]
    assert [heard(piece, fixture()) for piece in pieces] == [[fixture()], [fixture(final=False)]]
    late = Lease([unit(names="ef")], retries=1, broken=broken)
    assert heard(late, fixture()) == [fixture(final=False)]
    assert (late.left(), list(late.retries("1", 0.0))) == ([], [])
    assert heard(Lease([unit("m.D")], broken=broken), fixture("m.D")) == [fixture("m.D")]
