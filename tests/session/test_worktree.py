"""``python -m testkit screenshots baseline --from REV``, on a real repository."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from testkit.core.repository import RepositoryError
from testkit.screenshots.review.wholeness import gaps_of
from testkit.session.worktree import make_baselines
from tests.projects import ROOT, clean_environment

TESTS = """
from django.test import SimpleTestCase, tag
from testkit import NeedleTestCase
from colours import COLOUR

class PageTest(NeedleTestCase, SimpleTestCase):
    def test_page(self):
        self.driver.get(f"data:text/html,<body style='margin:0;background:{COLOUR}'>")
        self.assertScreenshot("body", "page")

    def test_same_page(self):
        self.test_page()

class OwnFolderTest(NeedleTestCase, SimpleTestCase):
    baseline_directory = "own"

    def test_own(self):
        self.driver.load_html("own")
        self.assertScreenshot("body", "own")

class OtherTest(SimpleTestCase):
    def test_that_takes_no_screenshot(self):
        self.fail("it is none of those that were asked for")
"""


def git(project, *arguments):
    command = ["git", "-c", "user.name=x", "-c", "user.email=x@example.com", *arguments]
    return subprocess.run(command, cwd=project.folder, capture_output=True, text=True, check=True).stdout


def commit(project):
    git(project, "init", "--quiet", "--initial-branch=main")
    project.write({".gitignore": "reports/\n.testkit/\nscreenshots/\n"})
    git(project, "add", ".")
    git(project, "commit", "--quiet", "--message=first")


def start(project, *arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "testkit", "screenshots", "baseline", *arguments],
        cwd=project.folder,
        env=clean_environment(**environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(project, *arguments, **environment):
    process = start(project, *arguments, **environment)
    stdout, stderr = process.communicate(timeout=120)
    return process.returncode, stdout, stderr


def test_a_branch_is_compared_with_main_in_two_commands(project, chromium):
    """Baselines come from the other revision's tests and modules, what is not committed stays, and no worktree is left."""
    project.tests(TESTS)
    project.write({"src/colours.py": "COLOUR = 'white'"})
    commit(project)
    project.write({"src/colours.py": "COLOUR = 'teal'"})
    path = f"{project.folder / 'src'}:{ROOT}"  # as an editable install has it
    status, stdout, stderr = run(project, "--from", "main", "--", "-v", "2", PYTHONPATH=path)
    assert (status, stdout.count("Written: 1 baselines of main, in ")) == (0, 1), stdout + stderr
    assert "1 others went with the worktree" in stdout
    assert [path.name for path in (project.folder / "screenshots" / "baseline").rglob("*.png")] == ["page.png"]
    assert git(project, "status", "--short") == " M src/colours.py\n"
    assert len(git(project, "worktree", "list").splitlines()) == 1
    status, stdout, _ = run(project, "--from", "main", "shop.tests.test_shop.OwnFolderTest", PYTHONPATH=path)
    assert (status, "The tests of main have written no baseline here" in stdout) == (2, True)
    compared = project.run("--with-needle", PYTHONPATH=path)
    assert compared.returncode == 1
    assert "'page' differs from its baseline" in compared.stderr
    assert gaps_of(project.folder / "reports" / "screenshots") == [
        (
            "tests with screenshots were skipped or did not pass: shop.tests.test_shop.PageTest.test_page, "
            "shop.tests.test_shop.PageTest.test_same_page"
        )
    ]


def test_no_such_revision_and_no_repository_are_errors(project, monkeypatch):
    """What is wrong is said, and what mends it; nothing is left behind."""
    monkeypatch.chdir(project.folder)
    with pytest.raises(RepositoryError, match="not a git repository"):
        make_baselines("main", [], [], print)
    commit(project)
    for revision in ("nowhere", "main:shop", "--upload-pack=x", ""):
        with pytest.raises(RepositoryError, match=f"^--from {revision}: git knows no such branch, tag or commit here"):
            make_baselines(revision, [], [], print)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(RepositoryError, match="git cannot be run"):
        make_baselines("main", [], [], print)
    monkeypatch.undo()
    assert len(git(project, "worktree", "list").splitlines()) == 1


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_one_leaves_no_worktree(project, number, expected):
    """Ctrl-C and SIGTERM end the other tree's run and remove the tree."""
    project.tests("""
        import os, time
        from django.test import SimpleTestCase
        class SlowTest(SimpleTestCase):
            def test_slow(self):
                with open(os.environ["STARTED"], "w") as file:
                    file.write(os.getcwd())
                time.sleep(60)
        """)  # fmt: skip
    commit(project)
    started = project.folder.parent / f"{project.folder.name}-started"
    process = start(project, "--from", "HEAD", "shop", STARTED=str(started))
    try:
        patience = time.monotonic() + 60
        while not (started.exists() and started.read_text()):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < patience
            time.sleep(0.05)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=40)
    finally:
        process.kill()
    assert process.returncode == expected, stdout + stderr
    assert len(git(project, "worktree", "list").splitlines()) == 1
    assert not Path(started.read_text()).exists()
