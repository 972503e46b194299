"""Ending a run when enough has failed."""

from __future__ import annotations

from collections.abc import Callable

from testkit.core.events import Fact
from testkit.core.tally import Tally


class StopWhen:
    """Listens to the facts of a run and stops it at a number of failures."""

    def __init__(self, tally: Tally, most: int, stop: Callable[[], None]) -> None:
        """``tally`` hears each fact before; ``most`` is how many failures call ``stop``, 0 for none."""
        self._tally, self._most, self._stop = tally, most, stop

    def __call__(self, fact: Fact) -> None:
        if self._most and self._tally.bad >= self._most:
            self._stop()
