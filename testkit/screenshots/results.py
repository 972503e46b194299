"""What the comparisons of the last run came to, and the images of those that were not equal.

``reports/screenshots/`` has one append-only file of JSON lines for each process that compares, and ``images/``.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

RUN = "TESTKIT_SCREENSHOT_RUN"
"""The variable of the environment that says which run a process belongs to."""
FOLDER = Path("reports", "screenshots")


class State(StrEnum):
    """What came of one comparison."""

    PASSED = "passed"
    CHANGED = "changed"
    NEW = "new"
    """There was no baseline, and one was written."""
    MISSING = "missing"
    """There was no baseline, and none was to be written."""
    FAILED = "failed"
    """It could not be compared: the baseline is unusable, say."""


class Result(NamedTuple):
    """One comparison."""

    name: str
    label: str
    """The breakpoint, as in the baseline's file name; empty if there is none."""
    browser: str
    state: State
    test: str = ""
    """The id of the test, if it is known."""
    message: str = ""
    baseline: str = ""
    """The file of the baseline, from the working directory if it lies there; with ``/`` on all systems."""
    new: str = ""
    """The new image; like ``before`` (the baseline as it was) and ``diff`` from the folder of the results."""
    before: str = ""
    diff: str = ""
    changed: int = 0
    """How many of ``total`` pixels changed."""
    total: int = 0
    width: int = 0
    """The size of the new image in device pixels."""
    height: int = 0
    at: float = 0.0
    """Unix time; set by :func:`add`."""


def folder() -> Path:
    """Return the folder of the results."""
    raise NotImplementedError


def begin() -> None:
    """Say that a run begins: its first process removes what the last run left. :func:`add` does it if need be."""
    raise NotImplementedError


def add(result: Result, *, new: bytes = b"", before: bytes = b"", diff: bytes = b"") -> Result:
    """Keep ``result`` and its images, and return it with their paths."""
    raise NotImplementedError


def read(folder: Path | None = None) -> list[Result]:
    """Return the results of the last run in the order of their time; of one that was repeated (a retry), the last."""
    raise NotImplementedError
