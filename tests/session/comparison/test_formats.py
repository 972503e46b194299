"""A comparison in each of its formats: what stands where, how much of it, and that no text of a test is anything but text."""

from __future__ import annotations

import json
import re

import pytest
from markdown_it import MarkdownIt

from testkit.session.comparison.compare import compare
from testkit.session.comparison.formats import as_json, as_markdown, as_text
from testkit.session.comparison.gates import Broken
from tests.session.comparison.made import FAILED, NASTY, PASSED, ended, facts, measured, random_run, side, timed


def hostile(number, count=1):
    """Return a run in which every name is nasty: two of them differ in all that can."""
    tests = [
        ended(
            f"{NASTY}{each}",
            FAILED if number else PASSED,
            measures={
                "queries": {"routes": {f"GET /{NASTY}{each}": {"requests": 1, "queries": 3 + number * each, "ms": 1}}},
                "screenshots": {"changed": number},
            },
        )
        for each in range(1, count + 1)
    ]
    state = "untested" if number else "tested"
    return facts(
        *tests,
        measured("source", commit=f"|`{NASTY}"),
        measured("routes", endpoints={NASTY: {"state": state}}),
        measured("coverage", percent=90.0 - number, files={NASTY: {"statements": 9, "missing": [[1, 1 + number]]}}),
        run=NASTY,
        stopped=NASTY,
    )


@pytest.fixture(scope="module")
def nasty():
    """Two runs of nothing but nasty names."""
    return compare(side(hostile(0), title=NASTY), side(hostile(1), title=NASTY))


BROKEN = [Broken("new-failures", f"1 new: {NASTY}")]


def test_nothing_of_a_test_is_markup_in_markdown(nasty):
    """A parser of CommonMark finds names in code spans alone, and no HTML, link or line that is not ours."""
    text = as_markdown(nasty, BROKEN, 10)
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(text)
    leaves = [leaf for token in tokens for leaf in (token.children or [token])]
    spans = [leaf.content for leaf in leaves if leaf.type == "code_inline"]
    assert sum("<script>alert(1)</script>" in span for span in spans) >= 7
    html = {leaf.content.strip() for leaf in leaves if leaf.type.startswith("html")}
    assert html <= {"<!-- testkit compare -->", "<details><summary>What else differs</summary>", "</details>"}
    others = "".join(leaf.content for leaf in leaves if leaf.type not in ("code_inline", "html_block"))
    assert "alert" not in others
    assert not {leaf.type for leaf in leaves} & {"link_open", "image", "s_open", "em_open"}
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e\ud800-\udfff]", text)


def test_nothing_of_a_test_moves_a_terminal(nasty):
    """Text has each name on its line, without control characters or a change of direction."""
    text = as_text(nasty, BROKEN, 10)
    assert text.replace("\n", "").isprintable()
    assert "\n- *line*" not in text
    assert "\\x1b[31m" in text
    assert "\\u202e" in text


def test_json_has_every_name_as_it_is(nasty):
    """The JSON document is ASCII, and gives each name back whole."""
    text = as_json(nasty, ("new-failures", "gone"), BROKEN)
    assert text.isascii()
    found = json.loads(text)
    assert (found["kind"], found["version"]) == ("testkit comparison", 1)
    assert [each["name"] for each in found["tests"]["new-failures"]] == [f"{NASTY}1"]
    assert found["queries"] == [
        {"endpoint": f"GET /{NASTY}1", "before": 3, "after": 4, "test": f"{NASTY}1"},
    ]
    assert found["coverage"]["files"] == [{"path": NASTY, "before": [9, 1], "after": [9, 2]}]
    assert found["gates"] == {"new-failures": f"1 new: {NASTY}", "gone": ""}
    assert found["head"]["runs"][0]["ended_early"] == NASTY


def test_a_comment_is_never_too_long():
    """However many and however long the names are, Markdown fits a comment on GitHub, and says what it leaves out."""
    many = compare(side(hostile(0, 3000)), side(hostile(1, 3000)))
    for most in (10, 0):
        text = as_markdown(many, BROKEN, most)
        assert len(text) < 65_536
        assert re.search(r"\n- … and \d+ more\n", text)
        assert text.count("<details>") == text.count("</details>")
    assert "- … and 2990 more" in as_markdown(many, [], 10)
    assert as_text(many, [], 0).count("alert(1)") > 9000


def test_nothing_that_differs_is_said():
    """Runs that are alike come to one line in each format, and what is only better is not called worse."""
    same = compare(side(random_run(1)), side(random_run(1)))
    assert "\nNothing differs\n" in as_text(same, [], 10)
    assert "### Tests: nothing differs" in as_markdown(same, [], 10)
    better = compare(side(facts(ended("a.t", FAILED))), side(facts(ended("a.t"))))
    assert "### Tests: nothing is worse" in as_markdown(better, [], 10)


def test_what_a_reader_has_to_know_is_noted():
    """A slower machine, runs of several commits, what ended early, and what only one side measured are told."""
    times = {f"a.t{number}": 0.1 for number in range(30)}
    slow = timed(dict.fromkeys(times, 0.2))
    text = as_text(compare(side(timed(times)), side(slow)), [], 10)
    assert "Everything takes 2.0 times as long in HEAD; that is taken out of the ratios\n" in text
    text = as_text(compare(side(slow), side(timed(times))), [], 10)
    assert "Everything takes 2.0 times as long in BASE; that is taken out of the ratios\n" in text
    mixed = [facts(ended("a.t"), measured("source", commit=commit)) for commit in ("one", "two")]
    cut = facts(ended("a.t"), measured("coverage", percent=1.0), stopped="--failfast")
    text = as_markdown(compare(side(*mixed), side(cut)), [], 10)
    assert "> BASE: its 2 runs are of 2 commits, so what changed between looks flaky; --runs 1" in text
    assert "> HEAD: it ended early: `--failfast`" in text
    assert "> Not compared: coverage, which BASE has not" in text
