"""The listener that adds a run to the history."""

from __future__ import annotations

from collections.abc import Callable

from testkit.core.results import RunRecord
from testkit.listeners.history import HistoryListener, HistoryOptions
from testkit.session.history import store
from testkit.session.history.store import HistoryError


def history_listener(options: HistoryOptions, notice: Callable[[str], None]) -> HistoryListener:
    """Return it; that a run cannot be added is given to ``notice``, and harms nothing else."""
    path = options.history_file.absolute()  # a test may change the working directory

    def remember(record: RunRecord) -> None:
        try:
            store.remember(path, record, options.history_runs)
        except HistoryError as error:
            notice(f"this run is not in the history: {error}")

    return HistoryListener(remember)
