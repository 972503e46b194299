"""One result for all attempts at a test, and what is remembered of a run."""

from __future__ import annotations

from testkit.core.events import FixtureFinished, Outcome, RunFinished, RunMeasured, RunStarted, TestFinished
from testkit.core.results import Recorder, Result, Results, RunRecord, is_fixture

PASSED, FAILED, ERROR, SKIPPED = Outcome.PASSED, Outcome.FAILED, Outcome.ERROR, Outcome.SKIPPED


def ended(name, outcome=PASSED, seconds=1.0, **fields):
    return TestFinished(id=name, class_id="a.T", at=2.0, seconds=seconds, outcome=outcome, **fields)


def set_up(outcome=PASSED, **fields):
    return FixtureFinished(id="a.T", phase="setUpClass", at=2.0, seconds=0.5, outcome=outcome, **fields)


def heard(listener, *facts):
    for fact in facts:
        listener(fact)
    return listener


def test_attempts_make_one_result():
    """A test that failed and then passed is flaky, with both attempts; one that only ever failed is not."""
    found = heard(
        Results(),
        ended("a.T.flaky", FAILED, final=False),
        ended("a.T.flaky", attempt=2, seconds=3.0),
        ended("a.T.bad", ERROR, final=False),
        ended("a.T.bad", FAILED, attempt=2),
        ended("a.T.cut", FAILED, final=False),
        set_up(ERROR, final=False),
        set_up(attempt=2),
        RunFinished(at=1.0, seconds=1.0),
    )
    assert found.tests == {
        "a.T.flaky": Result(PASSED, attempts=2, bad=1, seconds=3.0),
        "a.T.bad": Result(FAILED, attempts=2, bad=2, seconds=1.0),
        "a.T.cut": Result(FAILED, attempts=1, bad=1, seconds=1.0),
    }
    assert found.fixtures == {"a.T (setUpClass)": Result(PASSED, attempts=2, bad=1, seconds=0.5)}
    assert [result.is_flaky for result in found.tests.values()] == [True, False, False]
    assert (is_fixture("a.T (setUpClass)"), is_fixture("a.T.test (n=1)")) == (True, False)


def test_rounds_of_a_repeated_test_are_one_result():
    """With --repeat a test counts by its worst outcome, with all attempts and the mean of its seconds."""
    found = heard(Results(), ended("a.t", seconds=1.0), ended("a.t", FAILED, seconds=2.0), ended("a.t", seconds=6.0))
    assert found.tests == {"a.t": Result(FAILED, attempts=3, bad=1, seconds=3.0, rounds=3)}
    assert heard(Results(), ended("b.t", SKIPPED), ended("b.t")).tests["b.t"].outcome is PASSED


def test_a_record_tells_of_the_run_and_its_code():
    """Run, time, commit, branch and results are remembered; only clean code is the same code as that of another run."""
    start, end = RunStarted(run="r", at=5.0, ids=("a.t",)), RunFinished(at=9.0, seconds=4.0, interrupted="SIGINT")
    for clean, code in ((True, "abc"), (False, "")):
        source = RunMeasured(section="source", data={"commit": "abc", "branch": "main", "clean": clean})
        recorder = heard(Recorder(), start, source, set_up(), ended("a.t"), end)
        assert recorder.record == RunRecord(
            "r", 5.0, 4.0, {"a.t": Result(PASSED, seconds=1.0), "a.T (setUpClass)": Result(PASSED, seconds=0.5)},
            "abc", "main", clean, "SIGINT",
        )  # fmt: skip
        assert recorder.record.code == code
    assert heard(Recorder(), start, ended("a.t"), end).record.code == ""
