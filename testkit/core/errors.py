"""What can go wrong with a run itself, and the exit statuses that say so."""

from __future__ import annotations

from enum import IntEnum


class ExitStatus(IntEnum):
    """What the process says when it ends (``128 + signal`` when a signal ended it)."""

    PASSED = 0
    TESTS_FAILED = 1
    RUN_FAILED = 2
    NOTHING_RAN = 4
    INTERRUPTED = 130
    TERMINATED = 143


class TestkitError(Exception):
    """Something that is wrong with the run rather than with a test.

    The message says what is wrong, where the value came from, and what mends it. ``status`` is the exit status that
    the process ends with.
    """

    status: ExitStatus = ExitStatus.RUN_FAILED
    __test__ = False  # the name begins with "Test", but this is no test case


class OptionError(TestkitError):
    """An option has a value that it cannot have, or a name that does not exist."""


class UnsafePathError(TestkitError):
    """A name that was to become a file would have left its folder."""


class JournalError(TestkitError):
    """A journal was asked for and cannot be read."""
