"""The journal: every fact of a run as a line of JSON, appended as it happens.

It is a folder with one append-only file for each process that writes, so that a killed run still has its results, and
runs are joined by reading their files together. A line is ``{"fact": NAME, …}`` with the fields of the fact.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from testkit.core.errors import JournalError
from testkit.core.events import FACTS, Fact, RunStarted, TestFinished, from_plain, to_json
from testkit.core.paths import path_below

KEPT_RUNS = 5
"""How many runs' files stay in a journal folder; a run that begins removes the older ones."""

FILES = "*.*.jsonl"
"""The files of journals in a folder; a listener's file of JSON lines has but one dot in its name."""
_IDS_AT_ONCE = 1000


def new_run_id() -> str:
    """Return an id for a run; ids sort in the order in which the runs began."""
    now = time.time()
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now))
    return f"{stamp}Z{int(now * 1e6) % 1_000_000:06d}-{os.getpid()}-{os.urandom(2).hex()}"


class Journal:
    """Listens to the facts of one run in one process and appends them to its file."""

    def __init__(self, folder: Path, run: str, writer: str = "main") -> None:
        """Open the file of ``run`` and ``writer`` (the name of this process within the run) in ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        self.path = path_below(folder, f"{run}.{writer}.jsonl")
        # Straight to the file: a killed process has lost nothing that it said.
        self._file = open(self.path, "ab", buffering=0)  # noqa: SIM115  # open for the run; see close()
        self._write = self._file.write
        self._held = ""

    def __call__(self, fact: Fact) -> None:
        if isinstance(fact, RunStarted):
            self._write_ids(fact)
            return
        line = f"{self._held}{to_json(fact)}\n"
        if isinstance(fact, TestFinished):
            # The next fact (another test, a fixture, the end) follows before any more of the tests' code runs, so
            # nothing is lost by going to the file with that, and half of the writes are saved.
            self._held = line
        else:
            self._held = ""
            self._write(line.encode("ascii"))

    def _write_ids(self, fact: RunStarted) -> None:
        """Write the one fact that grows with the number of tests piece by piece: memory is fullest when a run begins."""
        self._write(to_json(fact._replace(ids=())).removesuffix("}").encode("ascii") + b',"ids":[')
        for start in range(0, len(fact.ids), _IDS_AT_ONCE):
            part = json.dumps(fact.ids[start : start + _IDS_AT_ONCE], separators=(",", ":"))
            self._write(f"{',' if start else ''}{part[1:-1]}".encode("ascii"))
        self._write(b"]}\n")

    def flush(self) -> None:
        """Write what is held back: when facts come from elsewhere, the next one may be long in coming."""
        if self._held:
            self._write(self._held.encode("ascii"))
            self._held = ""

    def close(self) -> None:
        """Close the file; facts that come later are not written."""
        self.flush()
        self._file.close()


def runs(folder: Path) -> list[str]:
    """Return the ids of the runs that have a journal in ``folder``, the oldest first."""
    return sorted({path.name.rsplit(".", 2)[0] for path in folder.glob(FILES)})


def remove_old_runs(folder: Path, keep: int = KEPT_RUNS) -> None:
    """Remove the files of all runs in ``folder`` but the ``keep`` newest ones."""
    for run in runs(folder)[:-keep]:
        for path in folder.glob(f"{run}.*.jsonl"):
            path.unlink(missing_ok=True)


def read(folder: Path, run: str | None = None) -> Iterator[Fact]:
    """Yield the facts of ``run`` (the newest in ``folder`` when none is named), one writer after the other.

    The last line of a killed process may be cut off; such a line is passed over, as is a fact that this version does
    not know.

    Raises:
        JournalError: there is no such journal.
    """
    known = runs(folder)
    if run is None and known:
        run = known[-1]
    if run not in known:
        raise JournalError(f"no journal of {run or 'any run'} in {folder}: run the tests first")
    for path in sorted(folder.glob(f"{run}.*.jsonl")):
        yield from facts_in(path)


def facts_in(path: Path) -> Iterator[Fact]:
    """Yield the facts of one writer's file; what cannot be read of it is passed over, as in :func:`read`.

    Raises:
        JournalError: the file cannot be read at all.
    """
    try:
        with open(path, "rb") as lines:
            for line in lines:
                fact = decode(line)
                if fact is not None:
                    yield fact
    except OSError as error:
        raise JournalError(f"{path} cannot be read: {error.strerror}") from error


def decode(line: bytes | str) -> Fact | None:
    """Return the fact in a line of a journal; None for what is none."""
    try:
        plain = json.loads(line)
        return from_plain(plain["fact"], plain) if plain["fact"] in FACTS else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
