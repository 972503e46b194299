"""Flaky tests: what counts as the same code, and which of them come first."""

from __future__ import annotations

import json

import pytest
from markdown_it import MarkdownIt

from testkit.core.events import Outcome
from testkit.core.results import Result, RunRecord
from testkit.session.history.flaky import flaky_tests, wilson
from testkit.session.history.flaky_command import as_json, as_markdown, as_text
from tests.session.comparison.made import NASTY

GOOD, BAD, RETRIED = Result(Outcome.PASSED), Result(Outcome.FAILED, bad=1), Result(Outcome.PASSED, attempts=2, bad=1)
SKIPPED = Result(Outcome.SKIPPED)


def run(number, results, commit="", **fields):
    return RunRecord(f"r{number}", float(number), 1.0, results, commit, is_clean=bool(commit), **fields)


def series(name, *results, commit="c"):
    return [run(number, {name: result}, commit) for number, result in enumerate(results, 1)]


def test_a_test_is_flaky_that_failed_and_passed_on_the_same_code():
    """Attempts of one run, and runs of one commit, are the same code; runs of other or of unknown code are not."""
    assert [test.name for test in flaky_tests([run(1, {"a": RETRIED})])] == ["a"]
    assert [test.name for test in flaky_tests(series("a", GOOD, BAD))] == ["a"]
    assert flaky_tests(series("a", GOOD, BAD, commit="")) == []
    assert flaky_tests([run(1, {"a": GOOD}, "c1"), run(2, {"a": BAD}, "c2")]) == []
    assert flaky_tests([run(1, {"a": GOOD}, "c1")._replace(is_clean=False), run(2, {"a": BAD}, "c1")]) == []
    assert [test.name for test in flaky_tests(series("a", GOOD, BAD, commit=""), same_code=True)] == ["a"]
    assert flaky_tests(series("a", BAD, BAD)) == flaky_tests(series("a", BAD, SKIPPED)) == []


def test_broken_code_is_not_held_against_a_test():
    """Counted are executions on code with which the test can pass; where it always fails it is broken, and not flaky."""
    broken = [run(10 + number, {"a": BAD}, "broken") for number in range(9)]
    (test,) = flaky_tests([*series("a", GOOD, BAD, GOOD, RETRIED), *broken])
    assert (test.failures, test.executions, test.runs, test.retried) == (2, 5, 4, 1)
    assert test.rate == 0.4
    assert (test.last_at, test.last_run, test.last_commit) == (4.0, "r4", "c")


def test_one_failure_in_two_does_not_outrank_many():
    """The surest are first: twenty of a hundred go before one of two, and more of as many before fewer."""
    runs = [
        run(number, {"often": BAD if number % 5 == 0 else GOOD, "rarely": BAD if number % 50 == 0 else GOOD}, "c")
        for number in range(100)
    ]
    runs += [run(200, {"once": BAD}, "c"), run(201, {"once": GOOD}, "c")]
    assert [test.name for test in flaky_tests(runs)] == ["often", "once", "rarely"]


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [(1, 2, 0.0945, 0.9055), (20, 100, 0.1334, 0.2888), (0, 10, 0, 0.2775), (5, 5, 0.5655, 1)],
)
def test_the_interval_is_wilsons(hits, trials, low, high):
    """The interval is the one of the literature, and stays between 0 and 1."""
    assert wilson(hits, trials) == pytest.approx((low, high), abs=5e-4)


def test_each_format_tells_the_same_and_takes_every_name():
    """Text, Markdown and JSON have rate, counts, retries and the day; no name leaves its line, its cell or its span."""
    runs = [run(86_400 * day, {f"{NASTY}|{name}": RETRIED}, "c") for day, name in enumerate("xyz", 1)]
    tests = flaky_tests(runs)
    text = as_text(tests, 3, 2)
    assert text.startswith("3 flaky tests in 3 runs\n")
    assert "  50%  (9–91%)   1 of 2      1        1970-01-02  a.T.t``x```" in text
    assert text.endswith("\n… and 1 more\n")
    assert text.replace("\n", "").isprintable()
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(as_markdown(tests, 3, 0))
    assert sum(token.type == "tr_open" for token in tokens) == 4
    assert not [token for token in tokens if token.type.startswith("html")]
    cells = [token.children for token in tokens if token.type == "inline" and "alert" in token.content]
    assert [[leaf.type for leaf in cell] for cell in cells] == [["code_inline"]] * 3
    found = json.loads(as_json(tests, 3, 0))
    assert (found["runs"], found["tests"][0]["name"], found["tests"][0]["rate"]) == (3, f"{NASTY}|x", 0.5)
    assert as_text([], 1, 20) == "no flaky tests in 1 run\n"
    assert as_markdown([], 1, 20) == "### no flaky tests in 1 run\n"
