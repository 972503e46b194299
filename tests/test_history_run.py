"""The history of real runs: every front writes it, a merge writes one run, and `flaky` and `trends` tell of them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from testkit import cli
from testkit.core.events import RunMeasured
from testkit.core.results import Result, is_fixture
from testkit.session.history import store
from tests.projects import Project
from tests.test_shards_run import run_shards

TESTS = """
import os, unittest
from django.test import SimpleTestCase

class ATests(SimpleTestCase):
    @classmethod
    def setUpClass(cls): super().setUpClass()
    def test_good(self): pass
    def test_depends(self): self.assertFalse(os.environ.get("BROKEN"))
    @unittest.skip("not today")
    def test_skipped(self): pass

class BTests(SimpleTestCase):
    def test_flaky(self):
        "Fails and passes in turn."
        if not os.path.exists("tried"):
            open("tried", "w").close()
            self.fail()
        os.unlink("tried")
"""
MODULE = "shop.tests.test_shop"
HISTORY = ".testkit/history.sqlite3"
CI = {"GITHUB_SHA": "a" * 40, "GITHUB_REF_NAME": "main"}


def make(project: Project) -> Project:
    project.tests(TESTS)
    return project


def history(project: Project) -> list:
    return list(store.load(project.folder / HISTORY))


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that every front has run once with a history; two of the runs have a test that fails."""
    project = make(Project(tmp_path_factory.mktemp("history")))
    project.nose2(testkit="with_history = true")
    project.write({"pytest.ini": "[pytest]\nDJANGO_SETTINGS_MODULE = settings\npython_files = test_*.py\n"})
    for front, arguments, status in (
        ("testkit", ["--with-history", "--retries=1"], 0),
        ("testkit", ["--with-history", "--retries=1", "--parallel=2"], 0),
        ("nose2", [], 1),
        ("pytest", ["--testkit-history"], 1),
    ):
        broken = {"BROKEN": "1"} if front == "pytest" else {}
        result = project.run(*arguments, front=front, **CI, **broken)
        assert result.returncode == status, (front, result.stdout, result.stderr)
    return project


def test_every_front_remembers_the_same_tests(past):
    """Serial, parallel, by nose2 and by pytest, a run is in the history with its tests, attempts, commit and branch."""
    runs = history(past)
    assert len({run.run for run in runs}) == 4
    assert {(run.commit, run.branch, run.is_clean) for run in runs} == {("a" * 40, "main", True)}
    tests = [
        f"{MODULE}.{name}"
        for name in ("ATests.test_depends", "ATests.test_good", "ATests.test_skipped", "BTests.test_flaky")
    ]
    for run in runs:
        assert sorted(name for name in run.results if not is_fixture(name)) == tests
        assert run.seconds > 0
    flaky = [run.results[f"{MODULE}.BTests.test_flaky"]._replace(seconds=0.0) for run in runs]
    assert flaky == [Result("passed", 2, 1)] * 2 + [Result("failed", 1, 1), Result("passed")]
    assert [run.results[f"{MODULE}.ATests.test_depends"].outcome for run in runs] == ["passed"] * 3 + ["failed"]
    assert (past.folder / ".testkit" / ".gitignore").read_text() == "*\n"


def test_flaky_and_trends_tell_of_it(past, capsys, monkeypatch):
    """Without arguments the commands read the project's history; what failed on the same commit is flaky, the surest first."""
    monkeypatch.chdir(past.folder)
    monkeypatch.delenv("TESTKIT_HISTORY_FILE", raising=False)
    assert cli.main(["flaky", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["runs"] == 4
    assert [(test["name"], test["failures"], test["executions"], test["retried"]) for test in found["tests"]] == [
        (f"{MODULE}.BTests.test_flaky", 3, 6, 2),
        (f"{MODULE}.ATests.test_depends", 1, 4, 0),
    ]
    assert cli.main(["trends", "--test", f"{MODULE}.ATests", "--html", "pages/trends.html", "--branch", "main"]) == 0
    printed = capsys.readouterr()
    assert "4 runs, " in printed.out
    assert f"\n{MODULE}.ATests.test_depends\n  failed in 1 of 4 runs (25%)" in printed.out
    assert "BTests" not in printed.out
    assert "test_depends" in Path("pages/trends.html").read_text()
    assert cli.main(["trends", "--branch", "topic"]) == 2
    assert "has no run of the branch topic" in capsys.readouterr().err
    assert cli.main(["trends", "--test", "no.such"]) == 2
    assert "--test no.such: no such test, class or module is in the 4 runs of" in capsys.readouterr().err


def test_journals_do_without_a_history(past, capsys):
    """The journals of the runs, in any folder, tell the same as the history that was written beside them."""
    assert cli.main(["flaky", str(past.folder / "reports"), "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["runs"], found["tests"][0]["name"]) == (3, f"{MODULE}.BTests.test_flaky")  # pytest kept no journal
    assert cli.main(["trends", str(past.folder / "reports"), str(past.folder / HISTORY), "--format", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["runs"]) == 4


def test_a_merge_is_one_run_and_its_shards_are_none(project):
    """What shards were told of the history a merge does: there is one run, of all tests, on the commit of the shards."""
    make(project)
    run_shards(project, 2, "--with-history", "--retries=1", **CI)
    assert not (project.folder / HISTORY).exists()
    result = project.run("merge", "shards/1", "shards/2")
    assert result.returncode == 0, result.stderr
    (run,) = history(project)
    assert (len([name for name in run.results if not is_fixture(name)]), run.commit) == (4, "a" * 40)


KILLING = """
import os, signal
from django.test import SimpleTestCase

class KTests(SimpleTestCase):
    def test_a(self): pass
    def test_kills(self): os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_run_that_was_killed_is_in_it(project):
    """The watchdog adds a killed run with what it did, the test that it died of as an error; `report` does not add it again."""
    project.tests(KILLING)
    killed = project.run("--with-history", "--no-with-xunit", **CI)
    assert killed.returncode == -9
    (run,) = history(project)
    assert {name: result.outcome for name, result in run.results.items() if not is_fixture(name)} == {
        f"{MODULE}.KTests.test_a": "passed",
        f"{MODULE}.KTests.test_kills": "error",
    }
    assert (run.ended_early, run.commit) == ("the run's process died", "a" * 40)
    assert project.run("report", "--with-history", "--no-with-xunit").returncode == 2
    assert history(project) == [run]


def test_a_history_that_cannot_be_written_fails_no_run(project):
    """A damaged file is told with what to do, the run ends as its tests do, and the file stays."""
    make(project)
    path = project.folder / HISTORY
    path.parent.mkdir()
    path.write_bytes(b"garbage " * 1000)
    result = project.run("--with-history", "--retries=1")
    assert result.returncode == 0
    assert "testkit: this run is not in the history: the history " in result.stderr
    assert "if it is damaged, remove it, and it begins anew" in result.stderr
    assert path.read_bytes() == b"garbage " * 1000


def test_git_tells_the_code_only_for_a_history(project):
    """The commit of a checkout is in the facts of a run with a history; without one and without CI, git is not asked."""
    make(project)
    project.write({".gitignore": "reports/\n.testkit/\n*.sqlite3\n"})
    for command in (
        ["init", "-q", "-b", "main"],
        ["add", "."],
        ["-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "m"],
    ):
        subprocess.run(["git", *command], cwd=project.folder, check=True)
    told = []
    no_ci = dict.fromkeys(["GITHUB_SHA", "CI_COMMIT_SHA", "GIT_COMMIT"], "")
    for flags in ([], ["--with-history"]):
        assert project.run("--retries=1", *flags, **no_ci).returncode == 0
        sections = {fact.section: fact.data for fact in project.facts() if isinstance(fact, RunMeasured)}
        told.append(sections.get("source"))
    assert told[0] is None
    assert (len(told[1]["commit"]), told[1]["branch"], told[1]["clean"]) == (40, "main", True)
    (run,) = history(project)
    assert run.code == told[1]["commit"]
