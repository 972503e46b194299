"""Finding the journal of a past run, and reading the files of all its writers as one stream."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from math import inf
from operator import itemgetter
from pathlib import Path

from testkit.core import journal
from testkit.core.errors import JournalError
from testkit.core.events import (
    Fact,
    FixtureFinished,
    RunFinished,
    RunMeasured,
    RunStarted,
    TestFinished,
)
from testkit.session.options import REPORTS

JOURNALS = REPORTS / "journal"
"""Where the runs of this folder keep their journals."""
_BELOW = (Path(), Path("journal"), JOURNALS)
_NAMED = 5  # runs that an error names


class RecordedRun:
    """The facts of one run in the order in which they were said, read from its files each time that one walks over it."""

    def __init__(self, files: Sequence[Path]) -> None:
        """``files`` are those of all the run's writers."""
        self.files = tuple(files)

    def __iter__(self) -> Iterator[Fact]:
        """Yield the facts; lines that are cut off, and facts that this version does not know, are passed over.

        Raises:
            JournalError: a file cannot be read.
        """
        if len(self.files) == 1:
            return journal.facts_in(self.files[0])
        streams = [_with_moments(journal.facts_in(path)) for path in self.files]
        return map(itemgetter(1), heapq.merge(*streams, key=itemgetter(0)))

    def __str__(self) -> str:
        return ", ".join(map(str, self.files))


def find_run(place: Path | None = None, run: str | None = None) -> RecordedRun:
    """Return the run called ``run`` (the newest one when none is named) of the journals in ``place``.

    Args:
        place: a folder of journals, one that holds it (``reports``, or where the tests ran), or one file of a journal,
            which stands for all files of its run beside it. ``reports/journal`` when None.
        run: the id of the run.

    Raises:
        JournalError: there is no such journal.
    """
    if place is None:
        place = JOURNALS
        if not place.is_dir():
            raise JournalError(f"no journal in {place}: run the tests first, or say where the journal is")
    if place.is_file():
        return _run_of_file(place, run)
    if not place.is_dir():
        raise JournalError(f"{place} does not exist: give a folder such as {JOURNALS}, or a .jsonl file of it")
    folder = next((place / below for below in _BELOW if any((place / below).glob(journal.FILES))), place)
    known = journal.runs(folder)
    if not known:
        raise JournalError(f"no journal in {place}: run the tests first, or give a folder such as {JOURNALS}")
    if run is None:
        run = known[-1]
    if run not in known:
        raise JournalError(f"no journal of the run {run} in {folder}: the newest are {', '.join(known[-_NAMED:])}")
    return RecordedRun(_files_of(folder, run))


def _run_of_file(path: Path, run: str | None) -> RecordedRun:
    own = path.name.rsplit(".", 2)[0]
    if run not in (None, own):
        raise JournalError(f"{path} is no file of the run {run}: leave --run out, or give the folder {path.parent}")
    return RecordedRun(_files_of(path.parent, own) if path.name.endswith(".jsonl") else [path])


def _files_of(folder: Path, run: str) -> list[Path]:
    # Not by a pattern made of the id, which comes from a command line.
    return sorted(path for path in folder.glob("*.jsonl") if path.name.rsplit(".", 2)[0] == run)


def moment_of(fact: Fact) -> float | None:
    """Return the Unix time at which ``fact`` was said, or None where it does not tell."""
    if isinstance(fact, RunMeasured):
        return None
    return fact.at + fact.seconds if isinstance(fact, TestFinished | FixtureFinished) else fact.at


def _with_moments(facts: Iterator[Fact]) -> Iterator[tuple[float, Fact]]:
    """Yield the facts of one writer with moments that never fall; the run's start and end are outside of all others."""
    latest = 0.0
    for fact in facts:
        if isinstance(fact, RunStarted):
            yield -inf, fact
            continue
        latest = inf if isinstance(fact, RunFinished) else max(latest, moment_of(fact) or 0.0)
        yield latest, fact
