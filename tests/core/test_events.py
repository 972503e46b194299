"""Facts are plain, frozen, and come back from JSON as they went in."""

from __future__ import annotations

import json
import pickle

import pytest

from testkit.core.events import (
    FixtureFinished,
    Outcome,
    Problem,
    RunFinished,
    RunMeasured,
    RunStarted,
    SubTestFinished,
    TestFinished,
    TestStarted,
    from_plain,
    to_json,
)

PROBLEM = Problem(
    outcome=Outcome.FAILED, type="AssertionError", message="1 != 2 \ud800\x00", traceback="Trace\n", file="a.py", line=3
)
FACTS = [
    RunStarted(run="r", at=1.5, ids=("a.b", "a.c")),
    TestFinished(id="a.c", class_id="a", at=2, seconds=0.0, outcome=Outcome.PASSED, line=7),
    TestStarted(id="a.b", class_id="a", at=2.0, attempt=2),
    TestFinished(
        id="a.b",
        class_id="a",
        at=2.0,
        seconds=0.25,
        outcome=Outcome.FAILED,
        problems=(PROBLEM, PROBLEM),
        stdout="]]> \x1b[31m",
        final=False,
        measures={"queries": 3, "nested": {"a": [1, None, True]}},
        attachments=("/tmp/x.png",),
    ),
    SubTestFinished(id="a.b (i=1)", test="a.b", class_id="a", at=2.0, outcome=Outcome.FAILED, problem=PROBLEM),
    FixtureFinished(id="a", phase="setUpClass", at=1.0, seconds=0.5, outcome=Outcome.SKIPPED, reason="no\x01"),
    RunMeasured(section="coverage", data={"percent": 99.5}),
    RunFinished(at=3.0, seconds=1.0, interrupted="SIGINT", not_run=("a.c",)),
]


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: type(fact).__name__)
def test_a_fact_comes_back_from_json_as_it_went_in(fact):
    """A fact comes back from JSON as it went in, lone surrogates and control characters included."""
    line = to_json(fact)
    assert line.isascii()
    plain = json.loads(line)
    assert from_plain(plain["fact"], plain) == fact


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: type(fact).__name__)
def test_a_fact_is_frozen_and_can_be_pickled(fact):
    """A fact is frozen and can be pickled."""
    with pytest.raises(AttributeError):
        setattr(fact, fact._fields[0], None)
    assert pickle.loads(pickle.dumps(fact)) == fact


def test_what_is_at_its_default_is_not_written():
    """A field at its default takes no room in the journal."""
    fact = TestFinished(id="a.b", class_id="a", at=2.0, seconds=0.25, outcome=Outcome.PASSED)
    assert json.loads(to_json(fact)).keys() == {"fact", "id", "class_id", "at", "seconds", "outcome"}


def test_a_newer_version_may_add_fields():
    """A field that this version does not know is passed over."""
    assert from_plain("TestStarted", {"id": "a.b", "class_id": "a", "at": 1.0, "colour": "red"}).id == "a.b"


def test_the_bad_outcomes_fail_a_run():
    """Failures, errors and unexpected successes fail a run; skips and expected failures do not."""
    assert {outcome for outcome in Outcome if outcome.is_bad} == {
        Outcome.FAILED,
        Outcome.ERROR,
        Outcome.UNEXPECTED_SUCCESS,
    }
