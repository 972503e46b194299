"""The clock of a run, which no test can stop, set back or mock."""

from __future__ import annotations

import time


class Clock:
    """Tells the time by the one clock that tools for freezing time leave alone, read once against the calendar.

    The functions are kept as attributes of an object: mocks replace them in the module ``time``, and freezegun in all
    modules that have them as a global.
    """

    def __init__(self) -> None:
        self.seconds = time.perf_counter
        self._began = time.time() - self.seconds()

    def now(self) -> float:
        """Return the Unix time."""
        return self._began + self.seconds()


clock = Clock()
"""The clock of this process; ``clock.seconds()`` is for durations."""
