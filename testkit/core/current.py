"""The test that runs now, and what code below it may note about it.

Rooms that know nothing of the runner (query budgets, screenshots) and tests themselves add a measure or an attachment
to the running test. Nothing happens when no run is on, so the same code works under any other runner.
"""

from __future__ import annotations

from contextvars import ContextVar
from pathlib import Path
from typing import Any


class Notes:
    """What was noted about one running test."""

    __slots__ = ("attachments", "measures")

    def __init__(self) -> None:
        self.measures: dict[str, Any] = {}
        self.attachments: list[str] = []


_notes: ContextVar[Notes | None] = ContextVar("testkit_notes", default=None)
# A live server's threads begin with an empty context: they note on the test that the process runs.
_process_notes: Notes | None = None


def current() -> Notes | None:
    """Return the notes of the running test, or None when no test runs."""
    return _notes.get() or _process_notes


def enter() -> Notes:
    """Begin a test, until ``leave`` is called, and return what will be noted about it."""
    global _process_notes
    _process_notes = notes = Notes()
    _notes.set(notes)
    return notes


def leave() -> None:
    """Say that no test runs any more."""
    global _process_notes
    _process_notes = None
    _notes.set(None)


def record_property(name: str, value: str | int | float | bool) -> None:
    """Note ``name`` with ``value`` on the running test; reports show it as a property.

    The last value given for a name stays.

    Raises:
        TypeError: ``name`` is no text, or ``value`` is neither text, nor a number, nor a bool.
    """
    if not isinstance(name, str) or not isinstance(value, str | int | float):
        raise TypeError(f"a property has a name and text, a number or a bool as its value, not {name!r}: {value!r}")
    notes = current()
    if notes is not None:
        notes.measures[name] = value


def attach(path: str | Path) -> None:
    """Note that the file at ``path`` belongs to the running test; reports link it.

    Raises:
        ValueError: the path has characters that reports cannot link: line ends, or ``]]``.
    """
    if not str(path).isprintable() or "]]" in str(path):
        raise ValueError(f"{str(path)!r} cannot be attached: reports cannot link a name with line ends or ]] in it")
    notes = current()
    if notes is not None:
        notes.attachments.append(str(path))
