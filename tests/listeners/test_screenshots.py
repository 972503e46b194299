"""The listener of screenshots, given plain facts: the page at the end, and whether all baselines were asked for."""

from __future__ import annotations

import pytest

from testkit.core.events import Outcome, RunFinished, RunMeasured, TestFinished
from testkit.listeners.screenshots import ScreenshotsListener
from testkit.screenshots.review.wholeness import UNKNOWN, gaps_of
from tests.screenshots.reviewed import begin, png

TESTS = ("app.T.test_a", "app.T.test_b")
END = RunFinished(at=0.0, seconds=1.0)


@pytest.fixture
def run(tmp_path, monkeypatch):
    return begin(tmp_path, monkeypatch)


def finished(id, outcome=Outcome.PASSED, **fields):
    measures = {"screenshots": {"passed": 1}}
    return TestFinished(id=id, class_id="app.T", at=0.0, seconds=1.0, outcome=outcome, measures=measures, **fields)


def listen(facts, measured=lambda section, data: None, **how):
    """Give ``facts`` to a listener, and return the reports that it wrote."""
    reports: dict[str, str] = {}
    listener = ScreenshotsListener(measured, reports, TESTS, **{"is_whole": True, **how})
    for fact in facts:
        listener(fact)
    return reports


def test_the_page_is_written_at_the_end(run):
    """A run that compared something has the page among its reports; one that did not leaves the last one's alone."""
    run.add("home", "320", before=png(), new=png())
    assert listen([END]) == {}
    assert not (run.results / "index.html").exists()
    assert listen([finished(id) for id in TESTS] + [END]) == {"screenshots": "reports/screenshots/index.html"}
    assert (run.results / "index.html").exists()


def test_a_run_of_all_that_passed_has_no_gaps(run):
    """After it orphans can be told; a test that passed at its second attempt has passed."""
    run.add("home", "320", before=png(), new=png())
    assert gaps_of(run.results) == [UNKNOWN]
    first = finished(TESTS[0], Outcome.FAILED, final=False)
    listen([first, finished(TESTS[0], attempt=2), finished(TESTS[1]), END])
    assert gaps_of(run.results) == []


@pytest.mark.parametrize(
    ("facts", "how", "expected"),
    [
        ([], {"is_whole": False}, "it was not of all tests: run them without labels, tags, names or shards"),
        ([], {"limited": "--breakpoints"}, "it had breakpoints of its own, by --breakpoints"),
        ([END._replace(interrupted="SIGINT")], {}, "it ended early: SIGINT"),
        ([END._replace(stopped="--failfast")], {}, "it ended early: --failfast"),
    ],
)
def test_what_may_be_missing_is_noted(run, facts, how, expected):
    """Whatever kept the run from asking for all baselines is told later by prune."""
    run.add("home", "320", before=png(), new=png())
    listen([finished(id) for id in TESTS] + (facts or [END]), **how)
    assert gaps_of(run.results) == [expected]


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.PASSED])
def test_tests_that_did_not_pass_are_gaps(run, outcome):
    """A test with screenshots that was skipped or failed, or of which nothing was heard, may not have asked for its own."""
    run.add("home", "320", before=png(), new=png())
    listen([finished(TESTS[0]), finished(TESTS[1], outcome), END])
    gap = f"tests with screenshots were skipped or did not pass: {TESTS[1]}"
    assert gaps_of(run.results) == [gap]
    listen([finished(TESTS[0]), finished("app.T.test_without_browser", outcome), END])
    assert gaps_of(run.results) == [gap]


@pytest.mark.parametrize("outcome", [Outcome.ERROR, Outcome.SKIPPED])
def test_a_module_that_was_not_imported_is_a_gap(run, outcome):
    """What stands in for a module that could not be imported, or skips all of itself, has tests that nobody knows of."""
    run.add("home", "320", before=png(), new=png())
    module = TestFinished(id="app.test_pages", class_id="", at=0.0, seconds=0.0, outcome=outcome)
    listen([finished(id) for id in TESTS] + [module, END])
    assert gaps_of(run.results) == ["modules were not imported, with all tests in them: app.test_pages"]


def test_a_test_that_was_lost_is_a_gap(run):
    """One of two tests of the same id that no fact accounts for has asked for nothing."""
    run.add("home", "320", before=png(), new=png())
    listen([finished(id) for id in TESTS] + [END._replace(lost=(TESTS[0],))])
    assert gaps_of(run.results) == [f"nothing was heard of tests: {TESTS[0]}"]


def test_what_an_earlier_attempt_wrote_is_told_as_new(run):
    """A baseline that a retried test wrote first and then found is new to people, and counted once."""
    told = {}
    first = finished(TESTS[0], Outcome.FAILED, final=False)._replace(measures={"screenshots": {"new": 2, "changed": 1}})
    last = finished(TESTS[0], attempt=2)._replace(measures={"screenshots": {"passed": 3}})
    listen([first, last, END], lambda section, data: told.update(data))
    assert {name: told[name] for name in ("new", "passed", "changed")} == {"new": 2, "passed": 1, "changed": 0}
    assert "The new ones are baselines now" in told["text"]


def test_a_shard_tells_what_the_merge_has_to_know(run):
    """Its tests with screenshots, and why it may not have asked for all; for the merge a shard's own gap is none."""
    told = []
    run.add("home", "320", before=png(), new=png())
    facts = [finished(id) for id in TESTS] + [END]
    listen(facts, lambda *section: told.append(section), is_part=True, limited="--breakpoints")
    ((section, data),) = told
    assert section == "screenshots"
    assert (data["tests"], data["gaps"]) == (list(TESTS), ["it had breakpoints of its own, by --breakpoints"])
    assert gaps_of(run.results) == [*data["gaps"], "it was a shard: ask after the merge of all"]
    part = RunMeasured(section, {"tests": list(TESTS), "gaps": []})
    listen([finished(TESTS[0]), part, finished(TESTS[1]), part, END], parts=2)
    assert gaps_of(run.results) == []
    listen(
        [finished(TESTS[0]), RunMeasured(section, {"tests": [*TESTS, "app.T.test_c"], "gaps": ["odd"]}), END], parts=2
    )
    assert gaps_of(run.results) == [
        "odd",
        "1 of 2 shards ran without --with-needle, or came without their screenshots",
        "tests with screenshots were skipped or did not pass: app.T.test_b, app.T.test_c",
    ]


def test_a_shard_without_screenshots_tells_that(run):
    """Else the merge would take it for one that came without them; nothing is written for people to read."""
    told = []
    assert listen([END], lambda *section: told.append(section), is_part=True) == {}
    assert told == [("screenshots", {"tests": list(TESTS), "gaps": []})]
