"""Choosing tests by how they ended is a pure function of facts and ids."""

from __future__ import annotations

from testkit.core.events import FixtureFinished, FixtureStarted, Outcome, SubTestFinished, TestFinished, TestStarted
from testkit.selection.rerun import failed_first, failed_ids, is_below, last_failed


def started(id):
    return TestStarted(id=id, class_id=id.rpartition(".")[0], at=0)


def ended(id, outcome):
    return TestFinished(id=id, class_id=id.rpartition(".")[0], at=0, seconds=0, outcome=outcome)


def by_id(test):
    return test


def class_of(test):
    return test.rpartition(".")[0]


def test_bad_outcomes_and_what_never_ended_have_failed():
    """Failures, errors, unexpected successes, bad fixtures and tests that were killed have failed; others have not."""
    facts = [
        *(
            item
            for outcome in Outcome
            for item in (started(f"m.C.{outcome.name}"), ended(f"m.C.{outcome.name}", outcome))
        ),
        FixtureStarted(id="m.D", phase="setUpClass", at=0),
        FixtureFinished(id="m.D", phase="setUpClass", at=0, seconds=0, outcome=Outcome.ERROR),
        FixtureStarted(id="m.E", phase="setUpClass", at=0),
        FixtureFinished(id="m.E", phase="setUpClass", at=0, seconds=0),
        started("m.E.killed"),
    ]
    assert failed_ids(facts) == {"m.C.FAILED", "m.C.ERROR", "m.C.UNEXPECTED_SUCCESS", "m.D", "m.E.killed"}


def test_the_last_attempt_counts():
    """A test that passed in the end has not failed."""
    assert failed_ids([ended("m.C.a", Outcome.FAILED), ended("m.C.a", Outcome.PASSED)]) == frozenset()


def test_a_bad_subtest_fails_its_test_even_when_that_never_ended():
    """A test with a bad subtest has failed under its own id."""
    subtest = SubTestFinished(id="m.C.a (i=1)", test="m.C.a", class_id="m.C", at=0, outcome=Outcome.FAILED)
    assert failed_ids([subtest]) == {"m.C.a"}


def test_tests_below_a_failed_class_or_module_are_selected():
    """A failed class selects its tests, a failed module all of its classes'; a namesake selects nothing."""
    failed = frozenset({"m.C", "n"})
    assert last_failed(["m.C.a", "m.CC.a", "n.D.b", "nn.D.b", "m.C"], failed, by_id) == ["m.C.a", "n.D.b", "m.C"]
    assert not is_below("", failed)


def test_failed_first_keeps_classes_whole_and_everything_there():
    """Classes with failed tests come first, their failed tests before their others; the rest keeps its order."""
    tests = ["m.A.1", "m.A.2", "m.B.1", "m.B.2", "m.C.1", "m.C.2"]
    order = failed_first(tests, frozenset({"m.C.2", "m.B.1"}), by_id, class_of)
    assert order == ["m.B.1", "m.B.2", "m.C.2", "m.C.1", "m.A.1", "m.A.2"]
    assert failed_first(tests, frozenset(), by_id, class_of) == tests
