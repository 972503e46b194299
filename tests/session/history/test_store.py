"""The history file: runs come back as they were, it stays bounded and whole, and what is no history is left alone."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from testkit.core.events import Outcome
from testkit.core.results import Result, RunRecord
from testkit.session.history import store
from testkit.session.history.store import Choice, HistoryError
from tests.projects import clean_environment
from tests.session.comparison.made import NASTY


def record(number, **results):
    found = {f"a.{name}": result for name, result in results.items()} or {"a.t": Result(Outcome.PASSED, seconds=0.25)}
    return RunRecord(f"r{number}", 100.0 + number, 9.5, found, f"c{number}", "main", True)


def loaded(path, **chosen):
    return list(store.load(path, Choice(**chosen)))


def test_runs_come_back_as_they_were(tmp_path):
    """Every field of a run and every outcome of a test is the same when it is read again, in the order of their time."""
    path = tmp_path / "deep" / "history.sqlite3"
    rng = random.Random(1)
    runs = [
        RunRecord(f"r{number}", number + 0.5, 3.25, {
            f"{outcome} {rng.random()}": Result(outcome, rng.randrange(1, 4), rng.randrange(3), rng.randrange(10**7) / 1e6, 2)
            for outcome in Outcome
        }, "abc", "main", number == 1, "SIGINT")
        for number in range(3)
    ]  # fmt: skip
    for run in reversed(runs):
        store.remember(path, run, 0)
    assert loaded(path) == runs
    store.remember(path, runs[1]._replace(seconds=99.0), 0)
    assert loaded(path) == runs


def test_names_that_utf8_cannot_hold_are_spelled(tmp_path):
    """Lone surrogates become text, as in all reports; NUL and markup stay."""
    path = tmp_path / "h"
    store.remember(path, record(1)._replace(results={NASTY: Result(Outcome.PASSED), "a\0b": Result(Outcome.FAILED)}), 9)
    ((first, second),) = [run.results for run in loaded(path)]
    assert {first, second} == {NASTY.replace("\ud800", "\\ud800"), "a\0b"}


def test_old_runs_are_forgotten_and_their_tests_with_them(tmp_path):
    """The newest runs stay, and a test that none of these has takes no room any more."""
    path = tmp_path / "h"
    for number in range(7):
        results = {"old": Result(Outcome.PASSED)} if number < 3 else {"new": Result(Outcome.FAILED, bad=1)}
        store.remember(path, record(number, **results), 3)
    assert [run.run for run in loaded(path)] == ["r4", "r5", "r6"]
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("SELECT name FROM tests").fetchall() == [("a.new",)]
        assert raw.execute("SELECT count(*) FROM results").fetchone() == (3,)


def test_runs_are_chosen_by_branch_and_number(tmp_path):
    """A branch alone, the newest runs, and tests that ever failed are read without the rest."""
    path = tmp_path / "h"
    for number in range(5):
        branch = "main" if number % 2 else "topic"
        results = {"bad": Result(Outcome.FAILED, bad=1), "good": Result(Outcome.PASSED)}
        store.remember(path, record(number, **results)._replace(branch=branch), 0)
    assert [run.run for run in loaded(path, branch="main")] == ["r1", "r3"]
    assert [run.run for run in loaded(path, branch="topic", runs=2)] == ["r2", "r4"]
    assert [list(run.results) for run in store.load(path, only_failed=True)] == [["a.bad"]] * 5


WRITER = """
import sys
from pathlib import Path
from testkit.core.events import Outcome
from testkit.core.results import Result, RunRecord
from testkit.session.history import store
me = sys.argv[2]
for number in range(10):
    results = {f"a.t{test}": Result(Outcome.PASSED) for test in range(200)}
    store.remember(Path(sys.argv[1]), RunRecord(f"{me}-{number}", 1.0, 1.0, results), 0)
"""


def test_runs_that_end_at_once_are_all_there(tmp_path):
    """Four processes that write at the same time, from before the file is there, lose no run of any."""
    path = tmp_path / "h"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(number)], env=clean_environment())
        for number in range(4)
    ]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    found = loaded(path)
    assert {run.run for run in found} == {f"{writer}-{number}" for writer in range(4) for number in range(10)}
    assert {len(run.results) for run in found} == {200}


def test_a_run_is_there_as_a_whole_or_not_at_all(tmp_path):
    """What cannot be written leaves the history as it was."""
    path = tmp_path / "h"
    store.remember(path, record(1), 0)
    too_large = {"fine": Result(Outcome.PASSED), "large": Result(Outcome.PASSED, attempts=2**70)}
    with pytest.raises(OverflowError):
        store.remember(path, record(2, **too_large), 0)
    assert [run.run for run in loaded(path)] == ["r1"]
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("SELECT name FROM tests").fetchall() == [("a.t",)]


def test_a_damaged_file_is_said_and_left_alone(tmp_path):
    """Garbage, half a history, and a folder in its place are errors that say what to do; the file stays what it was."""
    path = tmp_path / "h"
    store.remember(path, record(1, **{f"t{number}": Result(Outcome.PASSED) for number in range(2000)}), 0)
    half = path.read_bytes()[: 3 * 4096]
    for content in (b"no database, but text that is longer than a header of SQLite would be" * 20, half):
        path.write_bytes(content)
        with pytest.raises(HistoryError, match=r"h cannot be used: .*; if it is damaged, remove it"):
            store.remember(path, record(2), 0)
        with pytest.raises(HistoryError, match="cannot be used"):
            loaded(path)
        assert path.read_bytes() == content
    with pytest.raises(HistoryError, match="cannot be used"):
        store.remember(tmp_path, record(2), 0)
    with pytest.raises(HistoryError, match=r"there is no history in .*: runs with --with-history write it"):
        loaded(tmp_path / "no")


def test_the_schema_has_a_version(tmp_path, monkeypatch):
    """An older file is brought up to date when it is read or written, and one of a newer testkit is left alone."""
    path = tmp_path / "h"
    store.remember(path, record(1), 0)
    newer = (*store._MIGRATIONS, ("ALTER TABLE runs ADD COLUMN host TEXT NOT NULL DEFAULT 'here'",))
    with monkeypatch.context() as patch:
        patch.setattr(store, "_MIGRATIONS", newer)
        patch.setattr(store, "VERSION", 2)
        assert [run.run for run in loaded(path)] == ["r1"]
        store.remember(path, record(2), 0)
        with closing(sqlite3.connect(path)) as raw:
            assert raw.execute("SELECT run, host FROM runs").fetchall() == [("r1", "here"), ("r2", "here")]
            assert raw.execute("PRAGMA user_version").fetchone() == (2,)
    before = path.read_bytes()
    for use in (lambda: loaded(path), lambda: store.remember(path, record(3), 0)):
        with pytest.raises(HistoryError, match=r"written by a newer testkit \(version 2, and this one knows 1\)"):
            use()
    assert path.read_bytes() == before


def test_a_database_of_something_else_is_not_touched(tmp_path):
    """The project's own database, named by mistake, stays as it is."""
    path = tmp_path / "db.sqlite3"
    with closing(sqlite3.connect(path)) as real, real:
        real.execute("CREATE TABLE shop_item (id INTEGER)")
    before = path.read_bytes()
    for use in (lambda: loaded(path), lambda: store.remember(path, record(3), 0)):
        with pytest.raises(HistoryError, match="is a database of something else: give --history-file another file"):
            use()
    assert path.read_bytes() == before
