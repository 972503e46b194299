"""Verdicts: outcomes and problems in the words of JUnit."""

import pytest

from testkit.core.events import Outcome, Problem, SubTestFinished, TestFinished
from testkit.core.verdict import class_of, not_run, verdict

FAILED = Problem(outcome=Outcome.FAILED, type="AssertionError", message="1 != 2", traceback="first")
ERROR = Problem(outcome=Outcome.ERROR, type="Oops", message="oops", traceback="second")


def finished(outcome: Outcome, *problems: Problem) -> TestFinished:
    return TestFinished(id="a.B.c", class_id="a.B", at=0.0, seconds=1.0, outcome=outcome, problems=problems)


def test_passed() -> None:
    """There is no verdict on what passed."""
    assert verdict(finished(Outcome.PASSED)) is None


@pytest.mark.parametrize(
    ("outcome", "tag", "is_bad"),
    [
        (Outcome.FAILED, "failure", True),
        (Outcome.ERROR, "error", True),
        (Outcome.SKIPPED, "skipped", False),
        (Outcome.EXPECTED_FAILURE, "skipped", False),
        (Outcome.UNEXPECTED_SUCCESS, "failure", True),
    ],
)
def test_tags(outcome: Outcome, tag: str, is_bad: bool) -> None:
    """Each other outcome has its element, and those that fail the run are bad."""
    said = verdict(finished(outcome))
    assert said is not None
    assert (said.tag, said.is_bad) == (tag, is_bad)
    assert outcome.is_bad == is_bad


def test_gravest() -> None:
    """An error goes before a failure that came earlier, and before the outcome."""
    said = verdict(finished(Outcome.FAILED, FAILED, ERROR))
    assert said == ("error", "Oops", "oops", "first\nsecond")


def test_subtest() -> None:
    """A subtest is judged by its own problem."""
    subtest = SubTestFinished(id="x", test="x", class_id="", at=0.0, outcome=Outcome.FAILED, problem=FAILED)
    assert verdict(subtest) == ("failure", "AssertionError", "1 != 2", "first")


@pytest.mark.parametrize(
    ("id", "class_id"),
    [
        ("app.Tests.test_a", "app.Tests"),
        ("app.Tests.test_a (x=1.5)", "app.Tests"),
        ("app.Tests.test_a[1.5-b.c]", "app.Tests"),
        ("module", "module"),
    ],
)
def test_class_of(id: str, class_id: str) -> None:
    """The class is what stands before the method, whose parameters may have dots."""
    assert class_of(id) == class_id


def test_signal_goes_first() -> None:
    """A run that was interrupted says so, even if it was being stopped already."""
    assert not_run("SIGINT", "first failure").message == "not run: interrupted by SIGINT"
