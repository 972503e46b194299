"""The coverage of a change, on real repositories, with real measurements."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from testkit.core.errors import OptionError
from testkit.core.events import RunMeasured
from testkit.coverage import change
from testkit.coverage.change import Base, Change
from testkit.coverage.options import CoverageOptions
from tests.projects import Project
from tests.test_shards_run import run_shards

BEFORE = """
    def known(number):
        return number + 1

    def other():
        return "old"
    """
AFTER = """
    def known(number):
        if number > 10:
            return "many"
        return number + 1

    def added(first, second):
        total = sum([
            first,
            second,
        ])
        return total

    def other():
        return "old"
    # the end"""
TESTS = """
    from unittest import TestCase
    from shop.sums import added, known
    class First(TestCase):
        def test_known(self): self.assertEqual(known(1), 2)
    class Second(TestCase):
        def test_known(self): self.assertEqual(known(2), 3)
    """


def git(folder, *arguments):
    settings = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", "-C", str(folder), *settings, *arguments], capture_output=True, check=True)


@pytest.fixture
def changed(tmp_path):
    """A project below the root of a repository, on a branch that has changed a module; another one is not added yet."""
    root = tmp_path / "repository"
    project = Project(root / "site")
    project.write({"shop/sums.py": BEFORE, ".gitignore": "reports\n.testkit\nshards\n"})
    project.tests(TESTS)
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "before")
    git(root, "checkout", "--quiet", "-b", "topic")
    project.write({"shop/sums.py": AFTER})
    (project.folder / "shop/sums.py").write_text((project.folder / "shop/sums.py").read_text().rstrip("\n"))
    git(root, "commit", "--quiet", "-a", "-m", "after")
    project.write({"shop/fresh.py": "def fresh(\n    given,\n):\n    return [\n        given,\n    ]\n"})
    return project


def section(project):
    found = [fact.data for fact in project.facts() if isinstance(fact, RunMeasured) and fact.section == "diff_coverage"]
    return found[0] if found else None


COVERED = ("--with-cov", "--cover-package=shop")


def test_the_gate_holds_for_serial_parallel_and_sharded_runs_alike(changed):
    """Too little of the change fails the run with 2 and names the lines; a shard does not fail, the merge of all does."""
    serial = changed.run(*COVERED, "--cover-diff-min=60")
    assert serial.returncode == 2, serial.stderr
    assert "Coverage of the change since main: 28.57 % of 7 statements\n" in serial.stderr
    assert (
        "28.57 % of the change since main is covered, which is less than the 60 % that --cover-diff-min"
        in serial.stderr
    )
    told = section(changed)
    assert (told["base"], told["lines"], told["missing"]) == ("main", 7, 5)
    assert told["uncovered"] == {"shop/fresh.py": [[1, 6]], "shop/sums.py": [[3, 3], [7, 11]]}
    assert "\n  shop/fresh.py: 1-6\n  shop/sums.py: 3, 7-11\n" in serial.stderr
    (coverage,) = [f.data for f in changed.facts() if isinstance(f, RunMeasured) and f.section == "coverage"]
    assert coverage["files"]["shop/sums.py"] == {"statements": 9, "missing": [[3, 3], [7, 7], [11, 11], [14, 14]]}
    parallel = changed.run(*COVERED, "--cover-diff-min=60", "--parallel=2")
    assert parallel.returncode == 2, parallel.stderr
    assert section(changed) == told
    assert run_shards(changed, 2, *COVERED, "--cover-diff-min=60") == [0, 0]
    merged = changed.run("merge", "shards")
    assert merged.returncode == 2, merged.stderr
    assert section(changed) == told
    assert changed.run("report", "--format=json").returncode == 2  # the journal has the verdict as well
    assert changed.run("merge", "shards", "--cover-diff-min=28").returncode == 0
    # Where the base is not there, as in a shallow clone, the merge is complete all the same.
    lacking = changed.run("merge", "shards", "--cover-diff-base=origin/main")
    assert lacking.returncode == 2
    assert "Ran 2 tests" in lacking.stderr
    assert "there is no commit origin/main here" in lacking.stderr


def test_a_run_is_refused_where_its_base_is_not_there(changed):
    """What it lacks is said before the tests run, not after them."""
    refused = changed.run(*COVERED, "--cover-diff-base=origin/main")
    assert refused.returncode == 2
    assert "--cover-diff-base: there is no commit origin/main here" in refused.stderr
    assert "Ran " not in refused.stderr


class Measured:
    """A module of a repository, run by coverage.py in this very state, and the change in it."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        self.monkeypatch = monkeypatch
        git(folder, "init", "--quiet")
        monkeypatch.chdir(folder)

    def commit(self, name, data):
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        git(self.folder, "add", ".")
        git(self.folder, "commit", "--quiet", "-m", "x")

    def lines(self, name):
        base = Base(CoverageOptions(cover_diff_base="HEAD"), {}, self.folder)
        found = base.changed_lines().of(str(self.folder / name))
        return None if found is None else sorted(found)


@pytest.fixture
def measured(tmp_path, monkeypatch):
    return Measured(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        (b"1\n2\n3\n", b"1\nx\n3\n", [2]),
        (b"1\n2\n3", b"1\n2\nx", [3]),  # neither has a line end there
        (b"1\n2\n3", b"1\n2\n3\n4\n", [3, 4]),
        (b"1\n2\n3\n", b"1\n", []),
        (b"1\n2\n", b"0\r\n1\n2\n", [1]),
        (b"a = 'x'\n2\n", b"a = 'x\ry'\n2\n", [1]),  # what looks like a line end to others is none to git
        (b"1\n", b"1\n--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n", [2, 3, 4]),
        (b"1\n2\n3\n4\n5\n6\n7\n8\n", b"a\n1\n2\n3\n4\n5\nb\n6\n7\n8\n", [1, 7]),
    ],
)
def test_the_lines_are_those_of_the_working_tree(measured, before, after, lines):
    """Line by line as git has them: staged or not, whatever stands in them, and with and without an end of the last."""
    name = "sub/ü \t.py"
    measured.commit(name, before)
    (measured.folder / name).write_bytes(after)
    assert measured.lines(name) == lines
    git(measured.folder, "add", ".")
    assert measured.lines(name) == lines
    assert measured.lines("sub/elsewhere.py") == []


def test_what_users_set_for_git_changes_nothing(measured):
    """Prefixes, colours, an external diff and a relative one in the user's configuration are passed over."""
    for name, value in {
        "diff.mnemonicPrefix": "true",
        "diff.noprefix": "true",
        "color.ui": "always",
        "diff.external": "false",
        "diff.relative": "true",
        "core.quotePath": "true",
    }.items():
        git(measured.folder, "config", name, value)
    measured.commit("sub/é.py", b"1\n2\n")
    (measured.folder / "sub/é.py").write_bytes(b"1\nx\n")
    (measured.folder / "other").mkdir()
    measured.monkeypatch.chdir(measured.folder / "other")
    assert measured.lines("sub/é.py") == [2]


def test_a_new_file_is_changed_as_a_whole(measured):
    """A file that git does not know yet counts with all its lines, unless it is ignored."""
    measured.commit(".gitignore", b"made.py\n")
    for name in ("new.py", "made.py"):
        (measured.folder / name).write_text("1\n")
    assert measured.lines("new.py") is None
    assert measured.lines("made.py") == []


def test_a_renamed_file_has_the_lines_that_are_new_in_it(measured):
    """What was only moved is no change."""
    text = b"".join(b"line %d\n" % number for number in range(30))
    measured.commit("old.py", text)
    git(measured.folder, "mv", "old.py", "moved.py")
    (measured.folder / "moved.py").write_bytes(text + b"more\n")
    assert measured.lines("moved.py") == [31]


def test_without_diff_cover_it_says_how_to_install_it(tmp_path):
    """A project without the library is told the command, before its tests run."""
    project = Project(tmp_path / "p")
    project.tests(TESTS.replace("from shop.sums import added, known", "").replace("known(1), 2", "1, 1"))
    program = """
    import importlib.util, sys
    find = importlib.util.find_spec
    importlib.util.find_spec = lambda name, *args: None if name == "diff_cover" else find(name, *args)
    from testkit.cli import main
    sys.argv = ["testkit", "--with-cov", "--cover-diff"]
    sys.exit(main())
    """
    project.write({"run.py": program})
    done = subprocess.run(
        [sys.executable, "run.py"], cwd=project.folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "--cover-diff needs diff-cover" in done.stderr
    assert "python -m pip install 'django-testkit[diff]'" in done.stderr
    assert "Ran " not in done.stderr


def test_nobody_says_what_the_change_goes_into(measured):
    """On the only branch, whose name says nothing, the base has to be named."""
    measured.commit("a.py", b"1\n")
    git(measured.folder, "branch", "-m", "trunk")
    with pytest.raises(OptionError, match="--cover-diff-base names it"):
        Base(CoverageOptions(cover_diff=True), {}, measured.folder)
    with pytest.raises(OptionError, match="--cover-diff: there is no commit origin/x"):
        Base(CoverageOptions(cover_diff=True), {"GITHUB_BASE_REF": "x"}, measured.folder)


def test_a_change_without_statements_is_no_failure():
    """Where nothing that is measured has changed, there is no percentage, and the gate is open."""
    nothing = Change("main", 0, 0, {})
    assert nothing.percent is None
    assert nothing.below(100) == ""
    assert "no statements that are measured" in nothing.describe()
    json.dumps(nothing.to_plain(100))


def test_a_percentage_is_never_rounded_up_to_the_minimum():
    """79.999 % is less than 80, and is shown as less."""
    nearly = Change("main", 100_000, 20_001, {"a.py": [[1, 1]]})
    assert nearly.below(80).startswith("79.99 % of the change")
    assert Change("main", 10, 2, {}).below(80) == ""


def test_many_files_are_counted():
    """The console names the files with most lines first, and counts those that are too many."""
    files = {f"{number:02}.py": [[1, number + 1]] for number in range(change.MOST_SHOWN + 5)}
    text = Change("main", 1000, 300, files).describe().splitlines()
    assert text[1] == "  24.py: 1-25"
    assert text[-1] == "  … and 5 more files"
