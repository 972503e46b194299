"""Ending a run when enough has failed."""

from __future__ import annotations

from collections.abc import Callable

from testkit.core.events import Fact, FixtureFinished, TestFinished


class StopWhen:
    """Listens to the facts of a run and stops it when a number of tests (or fixtures) have failed."""

    def __init__(self, most: int, stop: Callable[[], None]) -> None:
        """``most`` is how many failed tests call ``stop``; 0 for none."""
        self.failed = 0
        self._most, self._stop = most, stop

    @property
    def is_needed(self) -> bool:
        """Whether any number of failures ends the run."""
        return self._most > 0

    def __call__(self, fact: Fact) -> None:
        if isinstance(fact, TestFinished | FixtureFinished) and fact.final and fact.outcome.is_bad:
            self.failed += 1
            if 0 < self._most <= self.failed:
                self._stop()
