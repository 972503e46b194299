"""Results: what a run's comparisons came to is there for whoever asks, also when the run was killed."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from testkit.screenshots import options, results
from testkit.screenshots.errors import ScreenshotError
from testkit.screenshots.results import RUN, Result, State
from tests.projects import ROOT, clean_environment

HOME = Result("home", "320", "chromium", State.PASSED, test="shop.tests.Home.test_it")


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """Have each test run in a folder of its own, as a run of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(options, "base_folder", lambda: tmp_path)
    monkeypatch.delenv("PYTEST_XDIST_TESTRUNUID", raising=False)
    monkeypatch.setenv(RUN, "first run")
    return tmp_path / "reports" / "screenshots"


def without_time(found):
    return [result._replace(at=0.0) for result in found]


def test_a_result_is_read_as_it_was_added(place):
    """All its fields come back, and the images are where they say."""
    added = results.add(
        HOME._replace(
            name="böoks/list ü", state=State.CHANGED, message="“1” of 9", changed=1, total=9, width=3, height=3
        ),
        new=b"new",
        before=b"before",
        diff=b"diff",
    )
    assert results.folder() == place
    assert results.read() == results.read(place) == [added]
    assert {kind: (place / getattr(added, kind)).read_bytes() for kind in ("new", "before", "diff")} == {
        "new": b"new",
        "before": b"before",
        "diff": b"diff",
    }
    assert added.at > 0


def test_what_passed_has_no_images(place):
    added = results.add(HOME)
    assert (added.new, added.before, added.diff) == ("", "", "")
    assert not (place / "images").exists()


def test_of_a_test_that_was_tried_again_the_last_attempt_counts(place):
    """The images of the first attempt stay, since reports of it link them."""
    first = results.add(HOME._replace(state=State.CHANGED), new=b"one", diff=b"diff one")
    other = results.add(HOME._replace(test="another"))
    last = results.add(HOME._replace(state=State.CHANGED), new=b"two", diff=b"diff two")
    assert results.read() == [other, last]
    assert [(place / result.new).read_bytes() for result in (first, last)] == [b"one", b"two"]
    results.add(HOME)
    assert [result.state for result in results.read()] == [State.PASSED, State.PASSED]
    results.add(HOME._replace(state=State.NEW), new=b"three")
    results.add(HOME)
    new = results.read()[-1]
    assert (new.state, (place / new.new).read_bytes()) == (State.NEW, b"three")  # nobody has seen it yet
    results.add(HOME._replace(state=State.CHANGED), new=b"four")
    assert results.read()[-1].state is State.CHANGED


def test_names_that_look_alike_as_files_have_images_of_their_own(place):
    """Images are told apart by what is in them, whatever their names become."""
    names = ["a/b", "a b", "x" * 300, "x" * 299]
    added = [results.add(HOME._replace(name=name, state=State.NEW), new=name.encode()) for name in names]
    assert [(place / result.new).read_bytes() for result in added] == [name.encode() for name in names]
    assert all((place / result.new).resolve().is_relative_to(place.resolve()) for result in added)


def test_another_run_removes_what_the_last_one_left(place, monkeypatch):
    """Its results and images, and nothing else in the folder; only once it compares something."""
    results.add(HOME._replace(state=State.NEW), new=b"image")
    (place / "index.html").write_text("kept")
    (place / "images" / "linked").symlink_to(place.parent)
    monkeypatch.setenv(RUN, "second run")
    assert len(results.read()) == 1
    results.begin()
    assert results.read() == []
    assert sorted(path.name for path in place.iterdir()) == ["index.html", "run"]
    added = results.add(HOME)
    results.begin()
    assert results.read() == [added]


def add_two(number):
    for name in (f"shot {number}", f"other shot {number}"):
        results.add(HOME._replace(name=name, state=State.NEW), new=name.encode())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_belong_to_the_run_of_their_parent(place, monkeypatch, method):
    """The pools of testkit, Django and nose2 are told nothing: what several processes and their parent add stays."""
    monkeypatch.delenv(RUN)
    place.mkdir(parents=True)
    (place / "run").write_text("an earlier one")
    (place / "results").mkdir()
    (place / "results" / "1.jsonl").write_text(json.dumps(HOME._asdict()) + "\n")
    context = multiprocessing.get_context(method)
    processes = [context.Process(target=add_two, args=(number,)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    add_two(3)
    names = sorted(f"{kind} {number}" for kind in ("shot", "other shot") for number in range(4))
    assert sorted(result.name for result in results.read()) == names
    assert len(list((place / "results").iterdir())) == 4


def test_workers_of_xdist_belong_to_its_run(monkeypatch):
    """They are processes of their own, which have the id of their run in the environment."""
    monkeypatch.delenv(RUN)
    monkeypatch.setenv("PYTEST_XDIST_TESTRUNUID", "abc")
    results.add(HOME)
    in_worker = "from tests.screenshots.test_results import *; results.add(HOME._replace(name='other'))"
    environment = {**clean_environment(), "PYTEST_XDIST_TESTRUNUID": "abc", "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", in_worker], check=True, env=environment)
    assert sorted(result.name for result in results.read()) == ["home", "other"]
    subprocess.run([sys.executable, "-c", in_worker], check=True, env={**environment, "PYTEST_XDIST_TESTRUNUID": "d"})
    assert [result.name for result in results.read()] == ["other"]


ENDLESS = """
import os
from testkit.screenshots.results import *
for number in range(10**6):
    add(Result(f"shot {number}", "", "chromium", State.NEW), new=os.urandom(100) * 300)
    print(number, flush=True)
"""


def test_a_killed_run_has_lost_nothing_that_it_said(place):
    """After SIGKILL in the middle of it each result that was added can be read, and each image that one names is whole."""
    environment = {**clean_environment(), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", ENDLESS], stdout=subprocess.PIPE, text=True, env=environment)
    said = 0
    for line in process.stdout:
        said = int(line)
        if said == 60:
            os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    found = results.read()
    assert len(found) >= said + 1
    assert all((place / result.new).stat().st_size == 30_000 for result in found)


def test_lines_that_are_no_results_are_passed_over(place):
    """A line that was cut off, one of another version, and one that somebody made up."""
    added = results.add(HOME)
    plain = added._asdict()
    lines = [
        json.dumps(plain)[:-30],
        "[]",
        "null",
        "[" * 100_000,
        "\ufffd",
        json.dumps({**plain, "name": "odd", "state": "unheard of"}),
        json.dumps({**plain, "name": "odd", "new": 7}),
        json.dumps({**plain, "name": ["odd"]}),
        json.dumps({**plain, "name": "odd", "width": "7"}),
        json.dumps({"name": "short"}),
        json.dumps({**plain, "name": "newer", "at": plain["at"] + 1, "field of tomorrow": 1}),
    ]
    (place / "results" / "7.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert [result.name for result in results.read()] == ["home", "newer"]


def test_without_results_there_are_none(tmp_path):
    assert results.read() == []
    assert results.read(tmp_path / "nowhere") == []


def test_a_folder_that_cannot_be_written_is_told(place):
    """The error names the folder and the reason."""
    place.parent.mkdir()
    place.write_text("a file")
    with pytest.raises(ScreenshotError, match=r"cannot be kept in .*reports/screenshots: .*File exists"):
        results.add(HOME)


def test_one_process_after_the_other_has_the_lock(place):
    """While one has it another one waits."""
    place.mkdir(parents=True)
    environment = {**clean_environment(), "PYTHONPATH": str(ROOT)}
    code = "from testkit.screenshots.results import *\nwith locked(folder()): print('mine', Path('done').exists())"
    with results.locked(place):
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1.0)
        Path("done").touch()
    assert process.communicate(timeout=30)[0] == "mine True\n"
