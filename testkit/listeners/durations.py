"""Remembers how long tests and set-ups took, for the runs to come."""

from __future__ import annotations

from collections.abc import Callable

from testkit.core.events import Fact, FixtureFinished, Outcome, RunFinished, TestFinished

Remember = Callable[[dict[str, float], dict[str, float]], None]


class DurationsListener:
    """Collects seconds by test id and set-up seconds by class or module id, and hands them over when the run ends.

    Only what passed counts: a failing test may end early, a skipped one takes no time.
    """

    def __init__(self, remember: Remember) -> None:
        """``remember`` is called once, with the tests' and the fixtures' seconds."""
        self._remember = remember
        self._tests: dict[str, float] = {}
        self._fixtures: dict[str, float] = {}

    def __call__(self, fact: Fact) -> None:
        if isinstance(fact, TestFinished):
            if fact.outcome is Outcome.PASSED:
                self._tests[fact.id] = fact.seconds
        elif isinstance(fact, FixtureFinished):
            if fact.outcome is Outcome.PASSED and fact.phase.startswith("setUp"):
                self._fixtures[fact.id] = fact.seconds
        elif isinstance(fact, RunFinished):
            self._remember(self._tests, self._fixtures)
