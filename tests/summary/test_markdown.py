"""The Markdown summary of a run, made from plain lists of facts."""

from __future__ import annotations

import re

import pytest

from testkit.core.errors import ExitStatus
from testkit.core.events import (
    FixtureFinished,
    Outcome,
    RunFinished,
    RunMeasured,
    RunStarted,
    TestStarted,
)
from testkit.summary import Gathered, markdown, summary
from tests.made_up import FAILED, NASTY, PASSED, ended, failed, problem, subtest

ERROR = Outcome.ERROR


def fixture(id, phase, outcome=PASSED, **fields):
    return FixtureFinished(id=id, phase=phase, at=3.0, seconds=0.01, outcome=outcome, **fields)


END = RunFinished(at=9.0, seconds=8.0)
RUN = [
    RunStarted(run="r1", at=1.0, ids=("a.T.t1", "a.T.t2", "a.T.t3", "a.T.t4", "a.T.t5"), python="3.11"),
    ended("t1"),
    subtest("t2", "(a=0)", final=False),
    failed("t2", "first", final=False, worker="1"),
    TestStarted(id="a.T.t2", class_id="a.T", at=2.0, attempt=2),
    ended("t2", attempt=2),
    subtest("t3", "(a=1)", PASSED),
    subtest("t3", "(a=2)"),
    ended("t3", FAILED, subtests_failed=1),
    fixture("a.U", "setUpClass"),
    fixture("a.V", "setUpClass", ERROR, problems=(problem(),)),
    failed("t4", "never again", final=False),
    END._replace(interrupted="SIGINT", not_run=("a.T.t4", "a.T.t5")),
]
MEASURED = [
    RunMeasured("budgets", {"over": {"GET /books/": "29 queries, and 4 are allowed"}}),
    RunMeasured("coverage", {"percent": 81.456, "covered": 81, "statements": 100, "text": "…"}),
    RunMeasured(
        "diff_coverage",
        {
            "base": "origin/main",
            "percent": 50.0,
            "lines": 4,
            "uncovered": {"shop/views.py": [[3, 5], [9, 9]]},
            "failing": "50.00 % is less than 80 %",
        },
    ),
    RunMeasured("routes", {"figures": {"asked": 3, "endpoints": 4}, "failing": ["GET /new/"]}),
]


def gathered(facts):
    run = Gathered()
    for fact in facts:
        run(fact)
    return run


def told(facts, status=ExitStatus.TESTS_FAILED, reason="", **settings):
    return summary(gathered(facts), status, reason, **settings)


def headings(text):
    return re.findall("^#+ (.*)$", text, re.MULTILINE)


def test_the_summary_has_a_table_and_the_failures():
    """Outcomes are counted in a table; each failure has its name, message, place and traceback; lists say the rest."""
    text = told(RUN, ExitStatus.INTERRUPTED, "the run was interrupted by SIGINT")
    assert text.startswith(
        "## Tests: interrupted\n\n"
        "| tests | passed | failed | not run | flaky | seconds |\n"
        "|---:|---:|---:|---:|---:|---:|\n"
        "| 4 | 2 | 2 | 1 | 1 | 8.0 |\n\n"
        "`the run was interrupted by SIGINT`\n\n"
        "### Failures\n\n"
    )
    assert headings(text)[2:5] == ["`a.T.t3 (a=2)`", "`a.V (setUpClass)`", "`a.T.t4`"]
    assert "`E`: `sub (a=2)` at `app/tests.py:9`\n\n```text\nTraceback of sub (a=2)\n```\n" in text
    assert "### Not run: 1\n\n- `a.T.t5`\n" in text
    assert "### Flaky, passed when tried again: 1\n" in text
    assert "| `a.T.t2` | `E: first` |\n" in text


def test_the_command_runs_just_the_failures_again():
    """It names each failed test, class or module once, as a shell takes it; of very many, the journal knows them."""
    hostile = failed("t6; rm -rf $HOME")
    text = told([*RUN[:-1], hostile, END])
    assert "```console\npython -m testkit a.T.t3 a.V 'a.T.t6; rm -rf $HOME' a.T.t4\n```" in text
    many = [failed(f"t{number}") for number in range(markdown.MOST_LABELS + 1)]
    assert "```console\npython -m testkit --last-failed\n```" in told([*many, END])
    assert "again" not in told([ended("t1"), END], ExitStatus.PASSED)


def test_what_was_measured_follows_the_failures():
    """Budgets, coverage, that of the change, routes, screenshots and the slowest have sections; the verdict is first."""
    slow = ended("slow", measures={"screenshots": {"passed": 2, "changed": 1}})._replace(seconds=2.5)
    text = told([*RUN[:-1], slow, END, *MEASURED], reason="too little")
    assert headings(text) == [
        "Tests: failed",
        "Failures",
        "`a.T.t3 (a=2)`",
        "`a.V (setUpClass)`",
        "`a.T.t4`",
        "Flaky, passed when tried again: 1",
        "Slowest",
        "Queries over budget: 1",
        "Coverage",
        "Coverage of the change since `origin/main`",
        "Routes",
        "No test asks for: 1",
        "Screenshots that are not as their baselines: 1 tests",
    ]
    for line in (
        "| 2.50 s | `a.T.slow` |",
        "| `GET /books/` | `29 queries, and 4 are allowed` |",
        "81.46 %, 81 of 100 statements",
        "50.00 % of 4 statements",
        "**`50.00 % is less than 80 %`**",
        "| `shop/views.py` | `3-5, 9` |",
        "Tests ask for 3 of 4 routes.",
        "- `GET /new/`",
        "| `a.T.slow` | 1 changed |",
        "python -m testkit screenshots review",
    ):
        assert f"\n{line}\n" in text


def test_what_is_first_stands_before_the_others():
    """Failures that a reader should see first are first, the others keep their order."""
    facts = [failed("t1"), failed("t2"), ended("t3", FAILED, problems=(problem(file="new.py"),)), END]
    names = headings(told(facts, is_first=lambda failure: failure.file == "new.py"))[2:]
    assert names == ["`a.T.t3`", "`a.T.t1`", "`a.T.t2`"]


def test_the_heading_says_how_the_run_ended():
    """Each exit status has its words."""
    assert {status: told([], status).partition("\n")[0] for status in ExitStatus} == {
        ExitStatus.PASSED: "## Tests: passed",
        ExitStatus.TESTS_FAILED: "## Tests: failed",
        ExitStatus.RUN_FAILED: "## Tests: the run failed",
        ExitStatus.NOTHING_RAN: "## Tests: none ran",
        ExitStatus.INTERRUPTED: "## Tests: interrupted",
        ExitStatus.TERMINATED: "## Tests: interrupted",
    }


HOSTILE = [
    failed(f"t[{NASTY}]", NASTY),
    failed(f"f[{NASTY}]", NASTY, final=False),
    ended(f"f[{NASTY}]", attempt=2, measures={"screenshots": {"changed": 1}})._replace(seconds=1.0),
    END._replace(not_run=(f"a.`{NASTY}`",)),
    RunMeasured("budgets", {"over": {NASTY: NASTY}}),
    RunMeasured("routes", {"figures": {"asked": 1, "endpoints": 2}, "failing": [NASTY]}),
    RunMeasured(
        "diff_coverage",
        {"base": NASTY, "percent": 0.0, "lines": 1, "uncovered": {NASTY: [[1, 1]]}, "failing": NASTY},
    ),
]


def test_nothing_of_a_test_gets_out_of_its_code():
    """Names, messages, tracebacks and measures with every mark of Markdown and HTML are shown as they are, as code."""
    text = told(HOSTILE, reason=NASTY)
    assert "\x1b" not in text
    assert "\ud800" not in text
    # A code span is between two rows of backticks of the same length, and a code block likewise, by whole lines.
    without_blocks = re.sub(r"^(`{3,})(?:text|console)\n.*?\n\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    rest = re.sub(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)", "", without_blocks)
    assert not re.search(r"[<@\[~&`]", rest), rest
    assert "````text\nTraceback of x``y``` ~~~" in text


def test_a_markdown_parser_sees_code_alone():
    """A parser of CommonMark with tables finds no text of a test outside of code, and each row has its cells."""
    parser = pytest.importorskip("markdown_it").MarkdownIt("gfm-like", {"linkify": False})
    tokens = parser.parse(told(HOSTILE, reason=NASTY))
    leaves = [leaf for token in tokens for leaf in (token.children or [token])]
    code = [leaf.content for leaf in leaves if leaf.type in ("code_inline", "fence")]
    assert sum("next *line*" in content for content in code) >= 10
    other = [leaf for leaf in leaves if leaf.type not in ("code_inline", "fence")]
    assert not [leaf.content for leaf in other if re.search(r"[<@]|next", leaf.content)]
    assert {leaf.type for leaf in other if leaf.type.startswith(("html", "link", "em"))} == set()


def test_a_summary_is_short_however_much_failed():
    """Of many failures some are shown, the others named; a long traceback keeps its two ends."""
    many = markdown.MOST_FAILURES + 7
    facts = [failed(f"t{number}", "begin" + "x" * 100_000 + "end") for number in range(many)]
    text = told([*facts, END._replace(lost=tuple(f"l{number}" for number in range(100)))])
    assert len(text) < 500_000
    assert text.count("\n#### ") == markdown.MOST_FAILURES
    assert f"\n… and 7 more:\n\n- `a.T.t{markdown.MOST_FAILURES}`\n" in text
    assert "characters cut" in text
    assert "xxxend" in text
    assert f"- … and {100 - markdown.MOST_NAMES} more\n" in text
    assert f"| {many} | {many} | 100 |" in text


@pytest.fixture(scope="module")
def bad_run():
    """A run of which the most that is shown does not fit: its characters take ten bytes each when they are visible."""
    return gathered([*(failed(f"t{number}", "\U0001ffff" * 4_000) for number in range(1_200)), END, *MEASURED])


@pytest.mark.parametrize("limit", [500, 5_000, 100_000, markdown.MOST_BYTES])
def test_a_summary_never_has_more_bytes_than_it_may(bad_run, limit):
    """It is cut at whole parts, by bytes, says so, and what comes after the failures is told all the same."""
    text = summary(bad_run, ExitStatus.TESTS_FAILED, "", limit=limit)
    assert len(text.encode()) <= limit
    assert text.startswith("## Tests: failed\n\n| tests")
    assert text.endswith("are left out. The log and the reports have all._\n")
    if limit >= 5_000:
        assert "| `shop/views.py` | `3-5, 9` |" in text
    assert text.count("```text") == len(re.findall("^```$", text, re.MULTILINE)) - text.count("```console")
