"""The history: a SQLite file with what became of each test in the last runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from testkit.core.errors import TestkitError
from testkit.core.events import Outcome
from testkit.core.results import Result, RunRecord

_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE runs (
            id INTEGER PRIMARY KEY, run TEXT NOT NULL UNIQUE, at REAL NOT NULL, seconds REAL NOT NULL,
            "commit" TEXT NOT NULL, branch TEXT NOT NULL, is_clean INTEGER NOT NULL, ended_early TEXT NOT NULL
        )
        """,
        # `last` is the newest run that has the test: without one, it is forgotten.
        "CREATE TABLE tests (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, last INTEGER NOT NULL)",
        # By run, so that a run is appended and an old one removed in one piece.
        """
        CREATE TABLE results (
            run INTEGER NOT NULL, test INTEGER NOT NULL, outcome INTEGER NOT NULL, attempts INTEGER NOT NULL,
            bad INTEGER NOT NULL, rounds INTEGER NOT NULL, microseconds INTEGER NOT NULL, PRIMARY KEY (run, test)
        ) WITHOUT ROWID
        """,
    ),
)
"""What makes the schema of each version from that of the one before, from nothing to version 1 first.

A version that was published is not edited: a change of the schema is a further entry.
"""
VERSION = len(_MIGRATIONS)
"""The version of the schema, which is the file's ``user_version``."""

_OUTCOMES = (
    Outcome.PASSED,
    Outcome.FAILED,
    Outcome.ERROR,
    Outcome.SKIPPED,
    Outcome.EXPECTED_FAILURE,
    Outcome.UNEXPECTED_SUCCESS,
)
"""By the numbers that stand for them in the file, which stay."""
_PATIENCE = 30.0  # seconds for another run that is writing
_APPLICATION = 0x746B6869  # "tkhi": a mark of SQLite's own by which the file is known to be ours
_HEAD = b"SQLite format 3\x00"


class HistoryError(TestkitError):
    """The history cannot be read or written."""


def is_history(path: Path) -> bool:
    """Return whether ``path`` is a file of SQLite."""
    try:
        with open(path, "rb") as file:
            return file.read(len(_HEAD)) == _HEAD
    except OSError:
        return False


def remember(path: Path, record: RunRecord, keep: int) -> None:
    """Add ``record`` to the history at ``path``, and forget all but the newest ``keep`` runs (0: none).

    It is there as a whole or not at all; a run that is in it already is not added again.

    Raises:
        HistoryError: it cannot be written; what was in it is as it was.
    """
    with _opened(path, create=True) as history, _writing(history):
        _migrate(history, path)
        added = history.execute(
            'INSERT OR IGNORE INTO runs (run, at, seconds, "commit", branch, is_clean, ended_early)'
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                _storable(record.run),
                record.at,
                record.seconds,
                _storable(record.commit),
                _storable(record.branch),
                record.is_clean,
                _storable(record.ended_early),
            ),
        )
        if not added.rowcount:
            return
        _add_results(history, added.lastrowid or 0, record)
        if keep:
            _forget(history, keep)


def _add_results(history: sqlite3.Connection, run: int, record: RunRecord) -> None:
    results = {_storable(name): result for name, result in record.results.items()}
    history.executemany(
        "INSERT INTO tests (name, last) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET last = excluded.last",
        ((name, run) for name in results),
    )
    history.executemany(
        "INSERT INTO results SELECT ?, id, ?, ?, ?, ?, ? FROM tests WHERE name = ?",
        (
            (
                run,
                _OUTCOMES.index(result.outcome),
                result.attempts,
                result.bad,
                result.rounds,
                round(max(result.seconds, 0.0) * 1e6),
                name,
            )
            for name, result in results.items()
        ),
    )


def _forget(history: sqlite3.Connection, keep: int) -> None:
    oldest = history.execute("SELECT id FROM runs ORDER BY id DESC LIMIT 1 OFFSET ?", (keep - 1,)).fetchone()
    if oldest is not None:
        history.execute("DELETE FROM results WHERE run < ?", oldest)
        history.execute("DELETE FROM runs WHERE id < ?", oldest)
        history.execute("DELETE FROM tests WHERE last < ?", oldest)


class Choice(NamedTuple):
    """Which runs are wanted: of a ``branch``, if one is named, and of these the newest ``runs`` (0: all)."""

    branch: str = ""
    runs: int = 0


def load(path: Path, choice: Choice | None = None, *, only_failed: bool = False) -> Iterator[RunRecord]:
    """Yield runs of the history at ``path``, the oldest first, one in memory at a time.

    ``only_failed``: leave the tests out that have no bad attempt in any run.

    Raises:
        HistoryError: it cannot be read.
    """
    choice = choice or Choice()
    with _opened(path, create=False) as history:
        if _version_of(history, path) < VERSION:
            with _writing(history):
                _migrate(history, path)
        history.execute("BEGIN")  # no run is forgotten meanwhile
        names = dict(history.execute("SELECT id, name FROM tests"))
        source = "results"
        if only_failed:
            history.execute("CREATE TEMP TABLE wanted AS SELECT DISTINCT test FROM results WHERE bad > 0")
            source = "wanted CROSS JOIN results USING (test)"
        runs = history.execute(
            'SELECT id, run, at, seconds, "commit", branch, is_clean, ended_early FROM runs'
            " WHERE ? IN ('', branch) ORDER BY at DESC, id DESC LIMIT ?",
            (_storable(choice.branch), choice.runs or -1),
        )
        for id, run, at, seconds, commit, branch, is_clean, ended_early in reversed(runs.fetchall()):
            rows = history.execute(
                f"SELECT test, outcome, attempts, bad, microseconds, rounds FROM {source} WHERE run = ?", (id,)
            )
            results = {
                names[test]: Result(_OUTCOMES[outcome], attempts, bad, microseconds / 1e6, rounds)
                for test, outcome, attempts, bad, microseconds, rounds in rows
            }
            yield RunRecord(run, at, seconds, results, commit, branch, bool(is_clean), ended_early)


def _storable(text: str) -> str:
    """Return ``text`` as UTF-8 can hold it."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


@contextmanager
def _opened(path: Path, *, create: bool) -> Iterator[sqlite3.Connection]:
    """Open the file for the block.

    Raises:
        HistoryError: whatever goes wrong with the file in the block.
    """
    try:
        if create:
            path.parent.mkdir(parents=True, exist_ok=True)
        elif not path.is_file():
            raise HistoryError(f"there is no history in {path}: runs with --with-history write it")
        # Transactions are begun by us: two runs that end at once must not both read first and then write.
        with closing(sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)) as history:
            yield history
    except (OSError, sqlite3.Error, IndexError, KeyError) as error:
        raise HistoryError(
            f"the history {path} cannot be used: {error or type(error).__name__}; if it is damaged, remove it, and it "
            f"begins anew"
        ) from error


@contextmanager
def _writing(history: sqlite3.Connection) -> Iterator[None]:
    """Let what the block changes be there as a whole, or not at all."""
    history.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if history.in_transaction:  # some errors have ended it
            history.execute("ROLLBACK")
        raise
    history.execute("COMMIT")


def _migrate(history: sqlite3.Connection, path: Path) -> None:
    """Bring the schema to this version, within a transaction.

    Raises:
        HistoryError: it is of a later version, or of something else.
    """
    version = _version_of(history, path)
    for statements in _MIGRATIONS[version:]:
        for statement in statements:
            history.execute(statement)
    if version < VERSION:
        history.execute(f"PRAGMA application_id = {_APPLICATION:d}")
        history.execute(f"PRAGMA user_version = {VERSION:d}")


def _version_of(history: sqlite3.Connection, path: Path) -> int:
    """Return the version of the schema; 0 of an empty file.

    Raises:
        HistoryError: it is of a later version, or of something else.
    """
    (owner,) = history.execute("PRAGMA application_id").fetchone()
    (tables,) = history.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables and owner != _APPLICATION:
        raise HistoryError(f"{path} is a database of something else: give --history-file another file")
    version = int(history.execute("PRAGMA user_version").fetchone()[0])
    if version > VERSION:
        raise HistoryError(
            f"the history {path} was written by a newer testkit (version {version}, and this one knows {VERSION}): "
            f"upgrade testkit, or give --history-file another file"
        )
    return version
