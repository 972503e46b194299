"""The console: unittest's own words, what a reader wants after them, and a live line on a terminal."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from testkit.core.tally import Tally
from testkit.listeners.console.options import LEAST_COLUMNS, LEAST_ROWS, ConsoleOptions
from testkit.listeners.console.plain import Console

_YES = {"1", "true", "yes", "on"}

__all__ = ["Console", "ConsoleOptions", "console_listener"]


def wants_colour(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether to colour: NO_COLOR says no, FORCE_COLOR yes, else a terminal decides (https://no-color.org)."""
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return environ["FORCE_COLOR"] != "0"
    return stream.isatty() and environ.get("TERM") != "dumb"


def wants_live_line(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether to show a live line: on a terminal that can, with room for it, and with someone to look at it.

    CI systems that give a terminal keep all that is drawn on it as a log, so ``CI`` in the environment says no.
    """
    if not stream.isatty() or environ.get("TERM", "dumb") == "dumb" or environ.get("CI", "").lower() in _YES:
        return False
    try:
        columns, rows = os.get_terminal_size(stream.fileno())
    except OSError:
        return False
    return columns >= LEAST_COLUMNS and rows >= LEAST_ROWS


def console_listener(
    stream: TextIO,
    options: ConsoleOptions,
    tally: Tally,
    *,
    verbosity: int,
    buffer: bool,
    durations: int | None,
    expected: Callable[[], Mapping[str, float]],
    live: bool,
    threaded: bool = True,
) -> Console:
    """Return the console for ``stream``: with a live line if it is a terminal and ``live`` (no debugger) allows it.

    ``threaded`` says that this may have a thread to draw in; else somebody calls its ``refresh``.
    ``expected`` returns the seconds that tests took before, by id; it is called only if there is a live line.
    """
    kind: type[Console] = Console
    settings: dict[str, Any] = {
        "verbosity": verbosity,
        "buffer": buffer,
        "durations": durations,
        "colour": wants_colour(stream),
    }
    if live and verbosity == 1 and wants_live_line(stream):
        from testkit.listeners.console.live import LiveConsole

        kind = LiveConsole
        settings |= {"expected": expected(), "threaded": threaded}
    return kind(stream, options, tally, **settings)
