"""``python -m testkit replay``: a past run as its console would have looked."""

from __future__ import annotations

import math
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from testkit.core.clock import clock
from testkit.core.errors import ExitStatus
from testkit.core.events import Fact, FixtureFinished, TestFinished
from testkit.core.options import add_arguments
from testkit.core.tally import Tally
from testkit.listeners.console import Console, ConsoleOptions, console_listener
from testkit.selection import durations
from testkit.session.aftermath.arguments import add_run_arguments, options_of, readers_may_leave
from testkit.session.aftermath.completion import completed
from testkit.session.aftermath.journals import JOURNALS, find_run, moment_of
from testkit.session.options import CACHE


def replay_parser() -> ArgumentParser:
    """Return the parser of the command's arguments."""
    parser = ArgumentParser(
        "python -m testkit replay", description="Show a past run as its console would have looked, from its journal."
    )
    parser.add_argument(
        "journal",
        type=Path,
        nargs="?",
        metavar="JOURNAL",
        help=f"A folder of journals, one that holds it, or a .jsonl file. Default: {JOURNALS}.",
    )
    add_run_arguments(parser)
    parser.add_argument(
        "-v", "--verbosity", type=int, choices=(0, 1, 2, 3), default=1, help="As in Django's commands. Default: 1."
    )
    parser.add_argument(
        "-b", "--buffer", action="store_true", help="Show what tests printed only where they failed, below the failure."
    )
    parser.add_argument(
        "--speed",
        type=_speed,
        metavar="X",
        help="Take the time that the run took, divided by X; 1 is the real time. Default: all at once.",
    )
    add_arguments(parser, (ConsoleOptions,))
    return parser


def _speed(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not (number > 0 and math.isfinite(number)):
        raise ArgumentTypeError(f"{text!r} is no number above 0")
    return number


def replay(arguments: Sequence[str]) -> ExitStatus:
    """Show the run that ``arguments`` choose on standard output.

    Raises:
        TestkitError: there is no such run, or an option is wrong.
    """
    given = replay_parser().parse_args(arguments)
    options = options_of(given)
    recorded = find_run(given.journal, given.run)
    facts, tally = completed(recorded, str(recorded)), Tally()
    console = console_listener(
        sys.stdout,
        options[ConsoleOptions],
        tally,
        verbosity=given.verbosity,
        buffer=given.buffer,
        durations=given.durations,
        expected=lambda: durations.load(CACHE / "durations.json").tests,
        live=given.speed == 1,  # it shows how long a test has been running, by the clock on the wall
    )
    pace = _Pace(given.speed)
    try:
        with _terminal_put_back(console), readers_may_leave():
            for fact in facts:
                pace.wait_for(fact)
                tally(fact)
                if not given.buffer:
                    _show_printed(fact, console)
                console(fact)
    except KeyboardInterrupt:
        return ExitStatus.INTERRUPTED
    return ExitStatus.PASSED


def _show_printed(fact: Fact, console: Console) -> None:
    """Show what a test or fixture printed, where it stood: before its own mark or line ended.

    What workers printed has no such place, and the console shows it by itself.
    """
    if isinstance(fact, TestFinished | FixtureFinished) and not fact.worker:
        for text in (fact.stdout, fact.stderr):
            if text:
                console.write(text)


@contextmanager
def _terminal_put_back(console: Console) -> Iterator[None]:
    """Take a live line away when the block ends, however it does."""
    try:
        yield
    finally:
        pause = getattr(console, "pause", None)  # of those that have a live line
        if pause is not None:
            pause()


class _Pace:
    """Waits between facts as long as the run did, divided by a speed; not at all without one."""

    def __init__(self, speed: float | None) -> None:
        self._speed = speed
        self._began = clock.seconds()
        self._first: float | None = None

    def wait_for(self, fact: Fact) -> None:
        """Return when it is time for ``fact``."""
        moment = moment_of(fact)
        if self._speed is None or moment is None:
            return
        if self._first is None:
            self._first = moment
        left = (moment - self._first) / self._speed - (clock.seconds() - self._began)
        if left > 0:
            time.sleep(left)
