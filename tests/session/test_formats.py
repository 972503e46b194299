"""The JSON document of a past run, made from plain lists of facts."""

from __future__ import annotations

import io
import json
from contextlib import closing

import pytest

from testkit.core.events import (
    FixtureFinished,
    Outcome,
    RunFinished,
    RunMeasured,
    RunStarted,
    TestStarted,
    WorkerLost,
)
from testkit.session.aftermath.document import Document
from testkit.session.aftermath.ending import Ending
from tests.made_up import FAILED, NASTY, PASSED, ended, failed, problem, subtest

RUN = [
    RunStarted(run="r1", at=1.0, ids=("a.T.t1", "a.T.t2", "a.T.t3", "a.T.t4", "a.T.t5"), python="3.11"),
    WorkerLost(worker="1", at=1.5, reason="SIGKILL"),
    ended("t1", stdout="said", measures={"queries": 3, "odd": float("nan")}, worker="2"),
    subtest("t2", "(a=0)", final=False),
    failed("t2", "first", final=False, worker="1"),
    TestStarted(id="a.T.t2", class_id="a.T", at=2.0, attempt=2),
    ended("t2", attempt=2),
    subtest("t3", "(a=1)", PASSED),
    subtest("t3", "(a=2)"),
    ended("t3", FAILED, subtests_failed=1),
    FixtureFinished(id="a.U", phase="setUpClass", at=3.0, seconds=0.1),
    FixtureFinished(id="a.V", phase="setUpClass", at=3.0, seconds=0.1, outcome=Outcome.ERROR, problems=(problem(),)),
    failed("t4", "never again", final=False),
    RunFinished(at=9.0, seconds=8.0, interrupted="SIGINT", not_run=("a.T.t4", "a.T.t5")),
    RunMeasured(section="coverage", data={"percent": 81.5}),
]


def told(kind, facts):
    """Return a listener of ``kind`` that heard ``facts``, and its run's ending."""
    ending = Ending()
    listener = kind(ending)
    for fact in facts:
        ending(fact)
        listener(fact)
    return listener, ending


def document(facts):
    listener, ending = told(Document, facts)
    out = io.BytesIO()
    with closing(listener):
        listener.write(out, *ending.status())
    assert out.getvalue().isascii()
    return json.loads(out.getvalue(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_the_document_has_the_run_its_totals_and_each_test():
    """Run, totals, outcomes and each test with its attempts, problems and subtests are in one JSON document."""
    found = document(RUN)
    assert found["run"] == {
        "run": "r1",
        "at": 1.0,
        "python": "3.11",
        "django": "",
        "hostname": "",
        "directory": "",
        "seconds": 8.0,
        "interrupted": "SIGINT",
        "stopped": "",
        "died": False,
        "status": 130,
        "reason": "the run was interrupted by SIGINT",
    }
    assert (found["totals"]["collected"], found["totals"]["ran"], found["totals"]["not_run"]) == (5, 3, 1)
    assert found["totals"]["flaky"] == 1
    assert found["not_run"] == ["a.T.t5"]
    assert {name: count for name, count in found["outcomes"].items() if count} == {"passed": 2, "failed": 2}
    assert found["measured"] == {"coverage": {"percent": 81.5}}
    assert [lost["reason"] for lost in found["workers_lost"]] == ["SIGKILL"]
    assert [(fixture["id"], fixture["outcome"]) for fixture in found["fixtures"]] == [("a.V", "error")]
    t1, t2, t3, t4 = found["tests"]
    assert (t1["stdout"], t1["measures"], t1["worker"]) == ("said", {"queries": 3, "odd": "nan"}, "2")
    assert (t1["attempts"], "earlier_attempts" in t1) == (1, False)
    assert (t2["outcome"], t2["attempts"], t2["problems"]) == ("passed", 2, [])
    (earlier,) = t2["earlier_attempts"]
    assert (earlier["outcome"], earlier["worker"]) == ("failed", "1")
    assert [each["message"] for each in earlier["problems"]] == ["first", "sub (a=0)"]
    assert [(each["id"], each["outcome"]) for each in t3["subtests"]] == [
        ("a.T.t3 (a=1)", "passed"),
        ("a.T.t3 (a=2)", "failed"),
    ]
    assert (t4["id"], t4["outcome"], t4["attempts"]) == ("a.T.t4", "failed", 1)


def test_the_document_of_a_run_without_tests_is_json_as_well():
    """A run that collected nothing, and text that is no Unicode, make a document that can be read."""
    found = document([RunStarted(run="r1", at=1.0, ids=()), RunFinished(at=1.0, seconds=0.0)])
    assert (found["tests"], found["run"]["status"]) == ([], 4)
    found = document([RUN[0], failed("t1", NASTY), RunFinished(at=1.0, seconds=0.0)])
    assert found["tests"][0]["problems"][0]["message"] == NASTY
