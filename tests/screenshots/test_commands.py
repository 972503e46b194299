"""``python -m testkit screenshots approve|status|prune``, on made-up results."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from testkit.screenshots import commands, results
from testkit.screenshots.errors import ScreenshotError
from testkit.screenshots.results import Result, State
from testkit.screenshots.review.shots import read_shots
from testkit.screenshots.review.wholeness import conclude
from testkit.session.screenshots import screenshots
from tests.projects import clean_environment
from tests.screenshots.reviewed import add_some_of_each, begin, png


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    return begin(tmp_path, monkeypatch)


@pytest.fixture
def said():
    return []


def text_of(said):
    return "\n".join(said)


def test_approve_takes_what_the_patterns_fit(run, said):
    """A pattern fits names, files' names, those with the browser, and browsers; what passed or is approved is not taken."""
    old, new = png(), png(spot=(2, 2))
    for browser in ("chromium", "firefox"):
        for name, label in (("home", "1024"), ("home", "320"), ("books/list", "320"), ("books/one", "320")):
            run.add(name, label, before=old, new=new, browser=browser)
    run.add("same", "320", before=old, new=old)

    def approved(*patterns):
        said.clear()
        assert commands.approve(run.results, patterns, said.append) == 0
        return {line.split("baseline/")[1] for line in said if line.startswith("approved")}

    assert approved("home_320") == {"chromium-linux/home_320.png", "firefox-linux/home_320.png"}
    assert approved("home") == {"chromium-linux/home_1024.png", "firefox-linux/home_1024.png"}
    assert approved("firefox-linux/books/l*") == {"firefox-linux/books/list_320.png"}
    assert approved("firefox") == {"firefox-linux/books/one_320.png"}
    assert approved("same") == set()
    assert approved() == {"chromium-linux/books/list_320.png", "chromium-linux/books/one_320.png"}
    assert approved() == set()
    assert "Nothing to approve" in text_of(said)
    assert run.baseline("home", "320").read_bytes() == new


def test_a_dry_run_changes_nothing(run, said):
    """--dry-run says what would be approved."""
    run.add("home", "320", before=png(), new=png(spot=(2, 2)))
    commands.approve(run.results, [], said.append, dry_run=True)
    assert text_of(said) == "would approve  screenshots/baseline/chromium-linux/home_320.png"
    assert run.baseline("home", "320").read_bytes() == png()


def test_a_pattern_that_fits_nothing_is_an_error(run, said):
    """The error names the nearest names that there are, and nothing is approved."""
    run.add("home", "320", before=png(), new=png(spot=(2, 2)))
    with pytest.raises(ScreenshotError, match=r"'hme'.*did you mean home"):
        commands.approve(run.results, ["home", "hme"], said.append)
    assert run.baseline("home", "320").read_bytes() == png()


def test_no_run_is_an_error(run, said):
    """Each command says how to get a run if there is none."""
    for command in (commands.approve, commands.status, commands.prune, commands.review):
        arguments = (run.results, [], said.append) if command is commands.approve else (run.results, said.append)
        with pytest.raises(ScreenshotError, match="--with-needle"):
            command(*arguments)


def test_results_of_elsewhere_cannot_write_elsewhere(run, tmp_path, monkeypatch, said):
    """A downloaded folder of results is approved into this project's baselines, and nowhere else."""
    run.add("home", "320", before=png(), new=png(spot=(2, 2)))
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    lines = next(run.results.glob("results/*.jsonl"))
    good = lines.read_text()
    place = "screenshots/baseline/chromium-linux/home_320.png"
    project = tmp_path / "elsewhere" / "project"
    (project / "screenshots" / "baseline").mkdir(parents=True)
    (project / "screenshots" / "baseline" / "chromium-linux").symlink_to(tmp_path)
    begin(project, monkeypatch)
    for target in ("../../secret.png", str(secret), "screenshots/x/../../../../secret.png", "manage.py", place):
        lines.write_text(good.replace(place, target))
        with pytest.raises(ScreenshotError, match="1 screenshot not approved"):
            commands.approve(run.results, [], said.append)
    lines.write_text(re.sub('"new": "[^"]*"', '"new": "../../secret.png"', good))
    with pytest.raises(ScreenshotError, match="has no new image in"):
        commands.approve(run.results, [], said.append)
    assert secret.read_bytes() == b"secret"
    assert said == []
    (project / "screenshots" / "baseline" / "chromium-linux").unlink()
    lines.write_text(good)
    assert commands.approve(run.results, [], said.append) == 0
    assert (project / place).read_bytes() == png(spot=(2, 2))


def test_results_in_the_usual_folder_are_trusted_no_more(run, tmp_path, monkeypatch, said):
    """An artifact may lie where this project's own results would: it writes no file elsewhere, and none is served."""
    project, secret = tmp_path / "project", tmp_path / "secret.png"
    project.mkdir()
    own = begin(project, monkeypatch)
    own.add("home", "320", before=png(), new=png(spot=(2, 2)))
    secret.write_bytes(png(colour="red"))
    (lines,) = own.results.glob("results/*.jsonl")
    good = lines.read_text()
    for target in (str(secret), f"{project}/../secret.png", "../secret.png"):
        lines.write_text(good.replace("screenshots/baseline/chromium-linux/home_320.png", target))
        with pytest.raises(ScreenshotError, match=r"outside of .*TESTKIT_BASELINES"):
            commands.approve(own.results, [], said.append)
        (shot,) = read_shots(own.results)
        assert shot.image("baseline") is None
    assert secret.read_bytes() == png(colour="red")
    monkeypatch.setenv("TESTKIT_BASELINES", str(tmp_path))
    lines.write_text(good.replace("screenshots/baseline/chromium-linux/home_320.png", str(secret)))
    assert commands.approve(own.results, [], said.append) == 0
    assert secret.read_bytes() == png(spot=(2, 2))


def test_an_image_that_is_none_is_not_approved(run, said):
    """What is not a PNG file does not become a baseline; the others do, and the command fails."""
    spoilt = run.add("home", "320", before=png(), new=png(spot=(2, 2)))
    run.add("home", "800", before=png(), new=png(spot=(9, 9)))
    (run.results / spoilt.new).write_bytes(b"no image")
    with pytest.raises(ScreenshotError, match="1 screenshot not approved"):
        commands.approve(run.results, [], said.append)
    assert run.baseline("home", "320").read_bytes() == png()
    assert run.baseline("home", "800").read_bytes() == png(spot=(9, 9))


def test_status_says_what_waits(run, said):
    """Status lists what waits for a decision and is 1 until all of it was approved; the page is written, too."""
    add_some_of_each(run)
    assert commands.status(run.results, said.append) == 1
    table = [" ".join(line.split()) for line in said]
    assert table[3] == "changed home 1024 chromium-linux 64 pixels, under 0.01 %"
    assert "changed books/list 320 chromium-linux 320×600 → 320×700" in table
    assert "missing card chromium-linux there is no baseline" in table
    assert "failed broken 320 chromium-linux an LFS pointer: git lfs pull" in table
    assert table[-2] == "3 passed, 6 changed, 1 new, 1 missing, 1 failed"
    assert (
        table[-1] == "8 screenshots to review: reports/screenshots/index.html, or python -m testkit screenshots review"
    )
    assert (run.results / "index.html").exists()
    assert not any("about" in line for line in table)
    commands.approve(run.results, [], said.append)
    said.clear()
    assert commands.status(run.results, said.append, everything=True) == 0
    assert said[-1] == "3 passed, 1 new, 8 approved"
    assert sum("about" in line for line in said) == 3


def test_prune_wants_a_whole_run(run, said):
    """Which baselines nobody needs is told after a run of all tests alone, that came to its end; else the reasons are."""
    run.add("home", "320", before=png(), new=png())
    with pytest.raises(ScreenshotError, match="only testkit's own runner tells"):
        commands.prune(run.results, said.append)
    conclude(run.results, ["it was not of all tests", "it ended early: SIGINT"])
    with pytest.raises(ScreenshotError, match="not of all tests\n  it ended early"):
        commands.prune(run.results, said.append)
    conclude(run.results, [])
    assert commands.prune(run.results, said.append) == 0
    assert said == ["No orphans: a test asked for each baseline."]
    run.add("later", "320", before=png(), new=png())
    with pytest.raises(ScreenshotError, match="only testkit's own runner tells"):
        commands.prune(run.results, said.append)


def test_prune_lists_orphans_and_then_removes_them(run, said):
    """Orphans are listed first and removed with --yes, with folders that are empty then; other browsers' stay."""
    run.add("home", "320", before=png(), new=png())
    run.add("home", "800", new=png(), state=State.MISSING)
    orphans = [run.baseline("home", "1024"), run.baseline("old/deep/page", "320")]
    others = [run.baseline("old/deep/page", "320", browser="firefox")]
    for path in (*orphans, *others):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png())
    assert commands.prune(run.results, said.append, run_was_whole=True) == 0
    assert [line.split()[0] for line in said] == ["orphan", "orphan", "Left", "2"]
    assert all(path.exists() for path in orphans)
    commands.prune(run.results, said.append, run_was_whole=True, yes=True)
    assert not any(path.exists() for path in orphans)
    assert not run.baseline("old/deep/page", "320").parent.parent.exists()
    assert all(path.exists() for path in others)
    assert run.baseline("home", "320").exists()


def test_prune_knows_the_layout_of_needle(run, said):
    """Where baselines lie in the folder itself, as suites of Needle have them, those that nobody asked for are orphans."""
    place = run.folder / "screenshots/baseline"
    run.add("home", "320", before=png(), new=png())
    (place / "page.png").write_bytes(png())
    assert commands.prune(run.results, said.append, run_was_whole=True) == 0
    assert said == ["No orphans: a test asked for each baseline."]
    results.add(Result("page", "", "chromium", State.PASSED, baseline="screenshots/baseline/page.png"))
    (place / "old.png").write_bytes(png())
    said.clear()
    commands.prune(run.results, said.append, run_was_whole=True, yes=True)
    assert said == ["removed  screenshots/baseline/old.png"]
    assert (place / "page.png").exists()


def test_the_command_line(run):
    """The commands work without a project around them, and their statuses are what the help says."""
    run.add("home", "320", before=png(), new=png(spot=(2, 2)))

    def testkit(*arguments):
        command = [sys.executable, "-m", "testkit", "screenshots", *arguments]
        return subprocess.run(
            command, cwd=run.folder, env=clean_environment(), capture_output=True, text=True, check=False
        )

    waiting = testkit("status")
    assert (waiting.returncode, waiting.stderr) == (1, "")
    assert "1 screenshot to review: reports/screenshots/index.html, or" in waiting.stdout
    missed = testkit("approve", "hme")
    assert (missed.returncode, missed.stdout) == (2, "")
    assert missed.stderr.startswith("testkit: no screenshot of the last run is called 'hme'")
    assert screenshots(["approve", "home", "--results", str(run.results)]) == 0
    assert screenshots(["status"]) == 0
