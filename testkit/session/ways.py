"""The ways of running tests: all in this process, unit by unit in this process, or in a pool of workers."""

from __future__ import annotations

import unittest
from typing import Any, Protocol

from testkit.execution.recorder import Recorder


class Way(Protocol):
    """A way of running tests."""

    is_here: bool
    """Whether they run in this process."""
    remark: str
    """What the user should know when all is over; empty for nothing."""

    @property
    def result(self) -> unittest.TestResult:
        """What a project's runner gets to see of the outcome."""

    def run(self, rounds: int) -> None:
        """Run all tests that many times (0 for without end), until told to stop."""

    def stop(self) -> None:
        """Begin no further test."""

    @property
    def stopped(self) -> bool:
        """Whether it was told to."""


class Inline:
    """In this process, as one suite: what Django does."""

    is_here = True
    remark = ""

    def __init__(self, suite: Any, recorder: Recorder) -> None:
        self._suite = suite
        self._recorder = recorder

    @property
    def result(self) -> unittest.TestResult:
        return self._recorder

    @property
    def stopped(self) -> bool:
        return self._recorder.shouldStop

    def stop(self) -> None:
        self._recorder.stop()

    def run(self, rounds: int) -> None:
        self._suite.run(self._recorder)
