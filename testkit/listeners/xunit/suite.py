"""A suite of the xunit file: the cases of one class, as they come from one worker."""

from __future__ import annotations

import html
from tempfile import SpooledTemporaryFile

from testkit.core.events import FixtureFinished, Outcome
from testkit.core.text import visible
from testkit.core.verdict import Verdict

COUNTS = ("tests", "failures", "errors", "skipped")
_COUNT_OF = {"failure": "failures", "error": "errors", "skipped": "skipped"}


class Suite:
    """A run of consecutive tests of one class on one worker, spooled until its counts are known."""

    def __init__(self, id: str, worker: str, at: float, cases: SpooledTemporaryFile[bytes]) -> None:
        self.id = id
        self.name = visible(id) or "?"
        self.prefix = f"{id}."
        self.start = f'<testcase classname="{html.escape(self.name)}" name="'
        self._file_attributes = {"": ""}
        self.worker = worker
        self.at = at
        self.cases = cases
        self.counts = dict.fromkeys(COUNTS, 0)
        self.file = self.stdout = self.stderr = ""
        self.seconds = 0.0
        self.set_up: float | None = None

    def file_attribute(self, file: str) -> str:
        """Return the attribute ``file`` of a case, with the space before it."""
        if file not in self._file_attributes:
            self._file_attributes[file] = f' file="{html.escape(visible(file))}"'
        return self._file_attributes[file]

    def bill(self, fact: FixtureFinished) -> None:
        """Count in the time of a fixture if it is of this class or its module; keep what a good one printed."""
        if not self.prefix.startswith(f"{fact.id}."):
            return
        self.seconds += fact.seconds
        if fact.phase.startswith("setUp"):
            self.set_up = (self.set_up or 0.0) + fact.seconds
            self.at = min(self.at, fact.at)
        if fact.outcome is Outcome.PASSED:
            self.stdout += fact.stdout
            self.stderr += fact.stderr

    def add(self, case: bytes, said: Verdict | None) -> None:
        """Take a test case, and count it by the verdict on it."""
        self.cases.write(case)
        self.counts["tests"] += 1
        if said is not None:
            self.counts[_COUNT_OF[said.tag]] += 1
