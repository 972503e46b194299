"""What GitHub Actions is told: from plain lists of facts, read as its runner reads the log."""

from __future__ import annotations

import io
import os

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
)
from testkit.listeners.github import GithubOptions
from testkit.listeners.github.annotations import Annotations
from testkit.listeners.github.commands import Annotation, Log
from testkit.listeners.github.listener import MOST_BYTES, Folding, GithubListener
from testkit.summary import Gathered
from tests.ci.runner import commands_in

FAILED, PASSED = Outcome.FAILED, Outcome.PASSED
END = RunFinished(at=9.0, seconds=8.0)
NASTY = "100%\r\n::error::x,y:z ##[error]w%0A"


def problem(text="boom", file="shop/tests.py", line=9, outcome=FAILED):
    return Problem(outcome=outcome, type="E", message=text, traceback=f"Traceback\n{text}\n", file=file, line=line)


def ended(name, outcome=PASSED, **fields):
    return TestFinished(id=f"a.T.{name}", class_id="a.T", at=2.0, seconds=0.04, outcome=outcome, **fields)


def failed(name, text="boom", file="shop/tests.py", **fields):
    return ended(name, FAILED, problems=(problem(text, file),), **fields)


def flaky(name, file="shop/tests.py"):
    return [failed(name, "sometimes", file, final=False), ended(name, attempt=2)]


def status(number=1, reason=""):
    return RunMeasured("status", {"status": number, "reason": reason})


class Told:
    """A run on GitHub Actions, in a repository's folder ``project``."""

    def __init__(self, folder, **settings):
        self.folder = folder / "work"
        (self.folder / "project").mkdir(parents=True, exist_ok=True)
        self.summary, self.outputs = folder / "summary.md", folder / "output"
        self.stream, self.measured = io.StringIO(), {}
        environ = {
            "GITHUB_WORKSPACE": str(self.folder),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "GITHUB_OUTPUT": str(self.outputs),
        }
        log = Log(self.stream)
        self.folding = Folding(log)
        self.listener = GithubListener(log, self.measured.__setitem__, environ, **settings)

    def hear(self, *facts, printing=""):
        """Tell ``facts``; ``printing`` is what the console, or a test, prints at each."""
        start = RunStarted(run="r", at=1.0, ids=(), directory=str(self.folder / "project"))
        for fact in (start, *facts):
            self.folding.before(fact)
            self.stream.write(printing)
            self.folding.after(fact)
            self.listener(fact)
        return self

    @property
    def commands(self):
        return commands_in(self.stream.getvalue())

    def of(self, level):
        return [command for command in self.commands if command.name == level]


@pytest.fixture
def github(tmp_path):
    return Told(tmp_path)


@pytest.mark.parametrize(
    ("value", "environ", "by_itself", "is_on"),
    [
        ("auto", {"GITHUB_ACTIONS": "true"}, True, True),
        ("auto", {"GITHUB_ACTIONS": "true"}, False, False),
        ("auto", {"CI": "true"}, True, False),
        ("on", {}, False, True),
        ("off", {"GITHUB_ACTIONS": "true"}, True, False),
    ],
)
def test_it_is_on_by_itself_on_github_actions_alone(value, environ, by_itself, is_on):
    """``auto`` is on under GITHUB_ACTIONS where testkit tells of the run; ``on`` and ``off`` are everywhere."""
    assert GithubOptions(github=value).is_on(environ, by_itself=by_itself) is is_on


def test_whatever_text_there_is_arrives_as_it_is():
    """Percent signs, line ends, colons and commas in titles, files and messages come through the runner's parser."""
    given = Annotation("error", f"t {NASTY}", f"m {NASTY}", "dir,with:all%/x.py", 3, 5)
    (command,) = commands_in(given.command())
    assert command.name == "error"
    assert command.properties == {
        "file": "dir,with:all%/x.py",
        "line": "3",
        "endLine": "5",
        "title": f"t {NASTY}",
    }
    assert command.message == f"m {NASTY}"


def test_the_escapes_are_those_of_actions_toolkit():
    """A message has three characters escaped, a property five, and the percent sign first."""
    assert Annotation("warning", "a:b,c", "%0A: 100%\r\n,").command() == (
        "::warning title=a%3Ab%2Cc::%250A: 100%25%0D%0A,"
    )


def test_each_kind_of_failure_is_annotated_where_it_failed(github):
    """Tests, subtests, set-ups and imports have an error with file, line and title, from the root of the repository."""
    github.hear(
        failed("t1", "one"),
        SubTestFinished(
            id="a.T.t2 (n=1)", test="a.T.t2", class_id="a.T", at=1.0, outcome=FAILED, problem=problem("sub", line=12)
        ),
        ended("t2", FAILED, subtests_failed=1, file="shop/tests.py", line=3),
        FixtureFinished(
            id="a.V", phase="setUpClass", at=1.0, seconds=0.1, outcome=Outcome.ERROR, problems=(problem("no"),)
        ),
        TestFinished(
            id="shop.broken",
            class_id="",
            at=1.0,
            seconds=0.0,
            outcome=Outcome.ERROR,
            problems=(problem("No module", file="shop/broken.py", line=2),),
        ),
        ended("t5", Outcome.UNEXPECTED_SUCCESS, file="/usr/lib/other.py", line=4),
        END,
        status(),
    )
    found = [(c.properties.get("file"), c.properties.get("line"), c.properties["title"]) for c in github.of("error")]
    assert found == [
        ("project/shop/tests.py", "9", "a.T.t1"),
        ("project/shop/tests.py", "12", "a.T.t2 (n=1)"),
        ("project/shop/tests.py", "9", "a.V (setUpClass)"),
        ("project/shop/broken.py", "2", "shop.broken"),
        (None, None, "a.T.t5"),
    ]
    assert github.of("error")[0].message == "E: one\n\nTraceback\none"
    assert github.outputs.read_text() == "tests=4\nfailed=5\nflaky=0\ncoverage=\n"


def test_ten_of_a_kind_and_the_rest_is_counted(github):
    """Ten errors and ten warnings are made, the run's own first; a notice counts the others, which the summary has."""
    failures = [failed(f"t{number}") for number in range(14)]
    unsteady = [fact for number in range(13) for fact in flaky(f"f{number}")]
    github.hear(*failures, *unsteady, END, status(reason="below the minimum"))
    errors, warnings = github.of("error"), github.of("warning")
    assert (len(errors), len(warnings)) == (10, 10)
    assert errors[0].message == "below the minimum"
    (notice,) = github.of("notice")
    assert notice.message.startswith("5 more failures and 3 more warnings could not be annotated")
    text = github.summary.read_text()
    assert all(f"`a.T.t{number}`" in text for number in range(14))
    assert all(f"`a.T.f{number}`" in text for number in range(13))
    assert warnings[0].properties["title"] == "Flaky: a.T.f0"
    assert "sometimes" in warnings[0].message


def test_what_the_change_touches_is_annotated_first(tmp_path):
    """Failures and flaky tests in changed files go before others, and so do changed lines that no test ran."""
    run = Gathered()
    facts = [failed(f"t{number}", file="old.py") for number in range(12)]
    facts += [fact for number in range(12) for fact in flaky(f"f{number}", file="old.py")]
    facts += [failed("new", file="new.py"), *flaky("shaky", file="new.py"), END]
    facts += [RunMeasured("diff_coverage", {"uncovered": {"new.py": [[3, 5], [9, 9]]}})]
    for fact in facts:
        run(fact)
    made = Annotations(run, tmp_path, tmp_path, {os.path.realpath(tmp_path / "new.py")}, ()).make("")
    errors = [each.title for each in made if each.level == "error"]
    warnings = [(each.title, each.line, each.end) for each in made if each.level == "warning"]
    assert errors[:2] == ["a.T.new", "a.T.t0"]
    assert warnings[:4] == [
        ("Flaky: a.T.shaky", 9, 0),
        ("Not covered", 3, 5),
        ("Not covered", 9, 0),
        ("Flaky: a.T.f0", 9, 0),
    ]
    assert (len(errors), len(warnings)) == (10, 10)


def test_no_text_of_a_test_is_taken_for_a_command(github):
    """Whatever is printed from the start of the tests to their end, also without a line end, is no command."""
    hostile = f"::error::no\n ::set-output name=a::b\n##[add-path]/evil\n{NASTY}\n::stop-commands::word\n::word::\n::warning::x"
    long = RunMeasured("coverage", {"text": "row\n" * 40, "percent": 50.0, "covered": 1, "statements": 2})
    github.hear(failed("t1", hostile), END, long, status(), printing=hostile)
    named = [(command.name, command.properties.get("title", command.message)) for command in github.commands]
    # What was printed at the last fact came before it.
    assert named == [
        ("group", "Coverage"),
        ("endgroup", ""),
        ("group", "Annotations"),
        ("error", "a.T.t1"),
        ("endgroup", ""),
    ]


def test_where_others_print_on_commands_stay_stopped(tmp_path):
    """Under a host that shows failures after the end, nothing is a command after the annotations."""
    told = Told(tmp_path, stays_closed=True).hear(failed("t1"), END, status())
    told.stream.write("::error::x\n")
    assert [command.name for command in told.commands] == ["group", "error", "endgroup"]


def test_a_shard_annotates_its_own_and_the_merged_run_the_rest(tmp_path):
    """A part writes no summary and notes what it has annotated; who joins the parts annotates what is not, once."""
    facts = [*(failed(f"t{number}") for number in range(12)), *flaky("shaky"), END]
    part = Told(tmp_path / "part", is_part=True).hear(*facts, status(reason="flaky"))
    assert len(part.of("error")) == 10
    assert not part.summary.exists()
    assert part.outputs.read_text().startswith("tests=13\nfailed=12\nflaky=1\n")
    assert "See the summary of the merged run" in part.of("notice")[0].message
    section = RunMeasured("github", part.measured["github"])
    whole = Told(tmp_path / "whole").hear(*facts[:-1], section, END, status(reason="why"))
    assert [command.properties["title"] for command in whole.of("error")] == ["Tests", "a.T.t10", "a.T.t11"]
    assert whole.of("warning") == []
    assert whole.measured == {}


def test_the_summary_is_appended_below_the_service_s_limit(github):
    """What stands in the file already counts: together they have less than 1 MiB, or else GitHub would drop both."""
    before = "x" * (MOST_BYTES - 30_000)
    github.summary.write_text(before)
    github.hear(*(failed(f"t{number}", "y" * 3000) for number in range(60)), END, status())
    text = github.summary.read_text()
    assert text.startswith(f"{before}\n## Tests: failed\n")
    assert MOST_BYTES - 10_000 < len(text.encode()) <= MOST_BYTES
    assert "This summary is cut" in text


def test_a_summary_that_is_full_stays_as_it_is(github):
    """Where others have left no room, nothing is added, which would lose theirs, and a warning says so."""
    github.summary.write_text("x" * (MOST_BYTES - 50))
    github.hear(failed("t1"), END, status())
    assert github.summary.stat().st_size == MOST_BYTES - 50
    assert "this run is not in the summary" in github.of("warning")[0].message


def test_a_summary_that_cannot_be_written_is_told(github):
    """A folder in the summary's place is a warning in the log, and the run goes on."""
    github.summary.mkdir()
    github.hear(ended("t1"), END, status(0))
    (warning,) = github.of("warning")
    assert "the summary cannot be written" in warning.message
