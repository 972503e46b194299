"""One screenshot and its baseline, by made-up pictures: no browser is needed for that."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from testkit.core import current
from testkit.screenshots import commands, options, results
from testkit.screenshots.assertion import Judge, Rules, fail_for
from testkit.screenshots.baselines import Baselines
from testkit.screenshots.needle.files import Brought
from testkit.screenshots.results import State
from testkit.screenshots.view import Look, Shot, parts_of
from tests.screenshots.images import bomb
from tests.screenshots.reviewed import Run, begin, png

OLD, NEW = png(), png(spot=(2, 2))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run in a folder of its own."""
    return begin(tmp_path, monkeypatch)


def judge(image: bytes, name: str = "home", label: str = "320") -> results.Result:
    """Compare ``image`` as an assertion does."""
    return Judge(Baselines(options.base_folder() / "looks", "chromium", "linux"), Rules()).judge(
        name, label, lambda: Shot(image)
    )


def test_a_test_that_goes_to_another_folder_changes_no_path(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Baselines, results, attachments, messages, the page and prune have one base, wherever a test has gone meanwhile."""
    monkeypatch.setenv("TESTKIT_BASELINES", "looks")
    (run.folder / "sub").mkdir()
    notes = current.enter()
    try:
        assert judge(OLD).state is State.NEW
        monkeypatch.chdir(run.folder / "sub")
        found = [judge(OLD), judge(NEW)]
        monkeypatch.chdir(run.folder.parent)
        found.append(judge(NEW))
        with pytest.raises(AssertionError) as failed:
            fail_for([found[-1]], 1)
    finally:
        current.leave()
    assert [result.state for result in found] == [State.PASSED, State.CHANGED, State.CHANGED]
    assert {result.baseline for result in found} == {"looks/chromium-linux/home_320.png"}
    assert "    baseline  looks/chromium-linux/home_320.png\n    new       reports/screenshots/images/" in str(
        failed.value
    )
    assert all((run.folder / path).is_file() for path in notes.attachments)
    assert len(notes.attachments) == 7
    said: list[str] = []
    assert commands.prune(run.results, said.append, run_was_whole=True) == 0
    assert said == ["No orphans: a test asked for each baseline."]
    assert commands.approve(results.folder(), ["home"], said.append) == 0
    assert said[1] == "approved  looks/chromium-linux/home_320.png"
    assert judge(NEW).state is State.PASSED
    assert not list(run.folder.glob("sub/*"))


@pytest.mark.parametrize("directory", ["", "sub"])
def test_an_open_file_is_called_by_its_path_if_that_is_its_content(
    run: Run, monkeypatch: pytest.MonkeyPatch, directory: str
) -> None:
    """Of the project, a PNG file, and unchanged since it was opened: else approving would write something else."""
    os.makedirs("sub", exist_ok=True)
    Path("sub/card.png").write_bytes(OLD)
    monkeypatch.chdir(run.folder / directory)
    with open(os.path.relpath(run.folder / "sub/card.png"), "rb") as file:
        brought = Brought(file, "chromium", otherwise="test_it 1")
    assert (brought.name, brought.path("")) == ("sub/card", run.folder / "sub/card.png")
    with open(run.folder / "sub/card.png", "rb") as file:
        (run.folder / "sub/card.png").unlink()
        other = Brought(file, "chromium", otherwise="test_it 1")
    unnamed = Brought(io.BytesIO(OLD), "chromium", otherwise="test_it 1")
    assert [(one.name, one.path("")) for one in (other, unnamed)] == [("card", None), ("test_it 1", None)]
    assert unnamed.read("") == OLD


def test_an_open_file_that_is_no_image_fails_with_the_reason(run: Run) -> None:
    """What is too large, and what is none at all, is told when it is compared."""
    with pytest.raises(OSError, match="cannot identify image file"):
        Brought(io.BytesIO(b"no image"), "chromium", otherwise="").read("")
    judge = Judge(Brought(io.BytesIO(bomb()), "chromium", otherwise="bomb"), Rules())
    found = judge.judge("bomb", "", lambda: Shot(NEW))
    assert (found.state, found.baseline) == (State.FAILED, "")
    assert "60000" in found.message
    with pytest.raises(AssertionError):
        fail_for([found], 1)


def test_an_argument_that_there_is_not_is_an_error_that_names_those_there_are() -> None:
    """A misspelt option of an assertion is no option that is passed over."""
    given: Look = {"hide": ".a", "max_diff_pixels": 3}
    assert parts_of(given) == ({"hide": [".a"]}, {"max_diff_pixels": 3})
    with pytest.raises(TypeError, match="no argument 'hidden'; by name there are also colour, hide, ignore"):
        parts_of({"hidden": ".a"})  # type: ignore[typeddict-unknown-key]
