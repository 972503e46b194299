"""A run that was cut off anywhere is completed: nothing is left open, nothing is lost, and it never looks good."""

from __future__ import annotations

import pytest

from testkit.core.errors import JournalError
from testkit.core.events import (
    FixtureFinished,
    FixtureStarted,
    Outcome,
    RunFinished,
    RunMeasured,
    RunStarted,
    SubTestFinished,
    TestFinished,
    TestStarted,
    WorkerLost,
    WorkerStarted,
)
from testkit.core.tally import Tally
from testkit.session.aftermath import completed
from testkit.session.aftermath.completion import PROCESS_DIED, has_died

A, B = "app.tests.A", "app.tests.B"


def begun(*ids):
    return RunStarted(run="r1", at=100.0, ids=ids)


def started(id, at=101.0, **fields):
    return TestStarted(id=id, class_id=id.rpartition(".")[0], at=at, **fields)


def ended(id, outcome=Outcome.PASSED, at=101.0, seconds=1.0, **fields):
    return TestFinished(id=id, class_id=id.rpartition(".")[0], at=at, seconds=seconds, outcome=outcome, **fields)


def subtest(test, name, outcome=Outcome.PASSED, **fields):
    return SubTestFinished(id=f"{test} {name}", test=test, class_id="c", at=102.0, outcome=outcome, **fields)


def set_up(id, phase="setUpClass", at=100.5):
    return FixtureStarted(id=id, phase=phase, at=at)


def was_set_up(id, phase="setUpClass", outcome=Outcome.PASSED, **fields):
    return FixtureFinished(id=id, phase=phase, at=100.5, seconds=0.1, outcome=outcome, **fields)


def added(facts):
    """Return what is added to ``facts``, which have to be as they were."""
    result = list(completed(facts))
    assert result[: len(facts)] == facts
    return result[len(facts) :]


def tallied(facts):
    tally = Tally()
    for fact in facts:
        tally(fact)
    return tally


WHOLE = [
    begun(f"{A}.t1", f"{A}.t2", f"{B}.t1", "app.other.C.t1"),
    RunMeasured(section="databases", data={}),
    set_up("app.tests", "setUpModule"),
    was_set_up("app.tests", "setUpModule"),
    set_up(A),
    was_set_up(A),
    started(f"{A}.t1"),
    ended(f"{A}.t1"),
    started(f"{A}.t2"),
    subtest(f"{A}.t2", "(a=1)"),
    subtest(f"{A}.t2", "(a=2)", Outcome.FAILED),
    ended(f"{A}.t2", Outcome.FAILED, subtests_failed=1),
    set_up(A, "tearDownClass"),
    was_set_up(A, "tearDownClass"),
    set_up(B),
    was_set_up(B, outcome=Outcome.SKIPPED),
    started("app.other.C.t1"),
    ended("app.other.C.t1"),
    RunFinished(at=110.0, seconds=9.0),
    RunMeasured(section="coverage", data={}),
]


def test_a_complete_run_is_left_as_it_is():
    """Of a run that says how it ended nothing is changed, whatever else it lacks."""
    for facts in (WHOLE, [begun("a.t"), started("a.t"), RunFinished(at=1.0, seconds=1.0, lost=("a.t",))]):
        assert list(completed(facts)) == facts


@pytest.mark.parametrize("cut", range(1, len(WHOLE) - 1))
def test_a_run_that_was_cut_anywhere_accounts_for_each_test(cut):
    """Each collected test has ended, lies below a set-up that accounts for it, or is said not to have run: once."""
    facts = WHOLE[:cut]
    rest = added(facts)
    end = rest[-1]
    assert isinstance(end, RunFinished)
    assert has_died(end)
    assert end.lost == ()
    everything = [*facts, *rest]
    assert tallied(everything).unaccounted() == end.not_run
    told = [fact.id for fact in everything if isinstance(fact, TestFinished)]
    skipped = [f"{B}.t1"] if WHOLE[15] in facts else []
    assert sorted([*told, *skipped, *end.not_run]) == sorted(WHOLE[0].ids)
    # Whatever had begun has ended, and something says what happened.
    for start, finish in ((TestStarted, TestFinished), (FixtureStarted, FixtureFinished)):
        began = [fact.id for fact in everything if isinstance(fact, start)]
        over = [fact.id for fact in everything if isinstance(fact, finish) and fact.id != "testkit"]
        assert began == over
    problems = [problem for fact in rest[:-1] for problem in fact.problems]
    assert [problem.type for problem in problems] == ["testkit.ProcessDied"]
    assert not tallied(everything).is_good


def test_what_is_known_of_the_test_is_told():
    """Its error has its class, summary, attempt, its bad subtests, where it is, and how long it ran at least."""
    id = f"{A}.t1"
    facts = [
        begun(id),
        started(id, at=3661.0, summary="Sums up."),
        subtest(id, "(a=1)", Outcome.FAILED, file="app/tests.py", line=7),
        RunMeasured(section="later", data={}),
        started(f"{B}.t1", at=3665.5, worker="w2"),
    ]
    test, _, end = added(facts)
    assert (test.id, test.class_id, test.summary, test.outcome) == (id, A, "Sums up.", Outcome.ERROR)
    assert (test.subtests_failed, test.file, test.line, test.seconds) == (1, "app/tests.py", 7, 4.5)
    (problem,) = test.problems
    assert problem.message == (
        "the run's process was killed, or ended by itself, while this test ran; it began at 01:01:01 UTC, and 1 of "
        "its subtests had ended"
    )
    assert problem.traceback == f"testkit.ProcessDied: {problem.message}\n"
    assert (end.at, end.seconds, end.stopped) == (3665.5, 3565.5, PROCESS_DIED)


def test_several_tests_may_be_open_in_a_parallel_run():
    """Each worker's open test is an error that names the worker and its process; ended ones are not touched."""
    facts = [
        begun("a.t1", "a.t2", "a.t3", "a.t4"),
        WorkerStarted(worker="1", at=100.0, pid=4711),
        started("a.t1", worker="1"),
        started("a.t2", worker="2"),
        started("a.t3", worker="3"),
        ended("a.t2", worker="2"),
    ]
    first, second, end = added(facts)
    assert (first.id, first.worker, second.id, second.worker) == ("a.t1", "1", "a.t3", "3")
    assert "in worker 1 (process 4711);" in first.problems[0].message
    assert "in worker 3;" in second.problems[0].message
    assert end.not_run == ("a.t4",)


def test_a_set_up_that_was_cut_off_leaves_its_tests_not_run():
    """A killed setUpClass is an interrupted error, which does not account for the tests below it."""
    facts = [begun(f"{A}.t1", f"{A}.t2"), set_up(A)]
    fixture, end = added(facts)
    assert (fixture.id, fixture.phase, fixture.outcome, fixture.interrupted) == (A, "setUpClass", Outcome.ERROR, True)
    assert "while this setUpClass ran" in fixture.problems[0].message
    assert end.not_run == (f"{A}.t1", f"{A}.t2")


def test_between_tests_the_run_itself_has_the_error():
    """When nothing was open, the run itself is the error, so that a run whose tests had all passed is not good."""
    facts = [begun("a.t1"), started("a.t1"), ended("a.t1")]
    own, end = added(facts)
    assert (own.id, own.phase, own.outcome) == ("testkit", "run", Outcome.ERROR)
    assert "the last to end was a.t1, at 00:01:42 UTC" in own.problems[0].message
    assert end.not_run == ()
    own, end = added([begun("a.t1")])
    assert own.problems[0].message == "the run's process died (killed, or ended by itself) while no test ran"
    assert end.not_run == ("a.t1",)


def test_the_last_attempt_counts_where_none_was_final():
    """An attempt that was to be repeated and never was is final, with its subtests; a repeated one is left as it is."""
    failed, passed = Outcome.FAILED, Outcome.PASSED
    facts = [
        begun("a.t1", "a.t2", "a.t3"),
        started("a.t1"),
        subtest("a.t1", "(a=1)", failed, final=False),
        ended("a.t1", failed, final=False),
        started("a.t2"),
        ended("a.t2", failed, final=False),
        started("a.t1", attempt=2),
        subtest("a.t1", "(a=1)", failed, attempt=2, final=False),
        ended("a.t1", failed, attempt=2, final=False),
        started("a.t2", attempt=2),
        ended("a.t2", passed, attempt=2),
        was_set_up(A, outcome=failed, final=False),
        was_set_up(B, outcome=failed, final=False),
    ]
    result = list(completed(facts))
    assert [fact.final for fact in result[1:13] if not isinstance(fact, TestStarted)] == [
        *(False, False, False),  # first attempts
        *(True, True, True),  # the second of t1 and of t2
        *(True, True),  # the set-ups
    ]
    assert [fact._replace(final=True) for fact in result[2:4]] == [fact._replace(final=True) for fact in facts[2:4]]
    assert result[-1].not_run == ("a.t3",)
    assert tallied(result).ran == 2
    # A set-up that began once more is not settled by what it was before.
    again = list(completed([*facts, set_up(A)]))
    assert [fact.final for fact in again if isinstance(fact, FixtureFinished)] == [False, True, True]


def test_an_attempt_elsewhere_settles_the_one_that_was_cut_off():
    """A test that was open on a worker which is gone, and ended on another one, is not told twice."""
    lost = [begun("a.t1"), started("a.t1", worker="1"), WorkerLost(worker="1", at=102.0, reason="SIGKILL")]
    assert [type(fact) for fact in added([*lost, ended("a.t1", Outcome.ERROR)])] == [FixtureFinished, RunFinished]
    again = [*lost, started("a.t1", worker="2", attempt=2)]
    test, _ = added(again)
    assert (test.worker, test.attempt) == ("2", 2)


def test_the_reason_is_given_where_somebody_told_it():
    """Why a worker, or the run's own process, ended is in the error of what it was at, and in the end of the run."""
    facts = [begun("a.t1"), started("a.t1", worker="1"), WorkerLost(worker="1", at=102.0, reason="SIGSEGV")]
    test, _ = added(facts)
    assert test.problems[0].message.startswith("worker 1 ended while this test ran: SIGSEGV; it began at ")
    facts = [begun("a.t1"), started("a.t1"), WorkerLost(worker="", at=1000.0, reason="out of time", running="a.t1")]
    test, end = added(facts)
    assert test.problems[0].message.startswith("the run's process ended while this test ran: out of time; it began")
    assert test.seconds == 899.0
    assert end.stopped == f"{PROCESS_DIED}: out of time"
    # A watchdog that did not end it itself may still have its stacks.
    facts[2] = WorkerLost(worker="", at=1000.0, reason="", stacks="Thread 1:\n  here\n")
    assert added(facts)[0].problems[0].traceback.endswith("began at 00:01:41 UTC\n\nThread 1:\n  here\n")
    facts[2] = WorkerLost(worker="", at=1000.0, reason="out of time")
    # What was said of another test of the worker does not explain this one.
    facts[2] = facts[2]._replace(running="a.t0")
    assert "out of time" not in added(facts)[0].problems[0].message


def test_a_test_that_was_left_is_lost_and_not_killed():
    """Of a test that never ended although its process went on, it is not said that it was killed."""
    facts = [begun("a.t1", "a.t2"), started("a.t1"), started("a.t2")]
    first, second, end = added(facts)
    assert (first.problems[0].type, second.problems[0].type) == ("testkit.lost", "testkit.ProcessDied")
    assert "how this test ended was never told, though more ran after it" in first.problems[0].message
    assert end.not_run == end.lost == ()


def test_facts_that_are_no_run_are_refused():
    """Without RunStarted, or with several runs, there is an error that names the journal and says what to do."""
    with pytest.raises(JournalError, match=r"j\.jsonl does not say how its run began.*Run the tests again"):
        completed([started("a.t1")], "j.jsonl")
    with pytest.raises(JournalError, match=r"the facts of 2 runs \(r1, r2\)"):
        completed([begun(), begun()._replace(run="r2")])
    with pytest.raises(TypeError, match="walks over the facts twice"):
        completed(iter(WHOLE))
