"""The options of the console, and what it asks of a terminal."""

from __future__ import annotations

from testkit.core.options import OptionGroup, option
from testkit.core.readers import one_of

LEAST_COLUMNS, LEAST_ROWS = 10, 3
"""A terminal smaller than this has no room for a live line."""


class ConsoleOptions(OptionGroup):
    """Options of the console."""

    failures: str = option(
        default="auto",
        help="When failures are printed in full: as they happen (now), after the tests (end); by default now on a terminal.",
        parse=one_of("auto", "now", "end"),
        metavar="WHEN",
    )
    slowest: int = option(
        default=5, help="How many of the slowest tests and class set-ups are listed (0: none).", metavar="N"
    )
