"""Remembers what became of each test, run by run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from testkit.core.events import Fact, RunFinished
from testkit.core.options import OptionGroup, option

if TYPE_CHECKING:
    from testkit.core.results import RunRecord


class HistoryOptions(OptionGroup):
    """Options of what is remembered of runs."""

    with_history: bool = option(
        default=False, help="Remember the outcomes and durations of the run, for `flaky` and `trends`."
    )
    history_file: Path = option(
        default=Path(".testkit/history.sqlite3"), metavar="FILE", help="Where they are remembered."
    )
    history_runs: int = option(default=100, metavar="N", help="How many runs are remembered; 0: all.")


class HistoryListener:
    """Gathers a run, and hands it over when it ends."""

    def __init__(self, remember: Callable[[RunRecord], None]) -> None:
        """``remember`` is called once, unless no test was heard of."""
        from testkit.core.results import Recorder  # here, as most runs need its options alone

        self._remember = remember
        self._recorder = Recorder()

    def __call__(self, fact: Fact) -> None:
        self._recorder(fact)
        if isinstance(fact, RunFinished) and self._recorder.record.results:
            self._remember(self._recorder.record)
