"""The console on a terminal: a live line below what happens, and failures in full when they happen."""

from __future__ import annotations

import bdb
import io
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, TextIO

from rich.console import Console as Terminal
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from testkit.core.events import (
    Fact,
    FixtureFinished,
    FixtureStarted,
    Outcome,
    RunFinished,
    RunStarted,
    TestFinished,
    TestStarted,
)
from testkit.core.tally import Tally
from testkit.core.text import visible
from testkit.listeners.console import Console, ConsoleOptions

REFRESH_PER_SECOND = 8


class LiveConsole(Console):
    """Shows a progress bar, counts, what runs now and for how long, and the time left by past durations."""

    def __init__(
        self, stream: TextIO, options: ConsoleOptions, tally: Tally, *, expected: Mapping[str, float], **settings: Any
    ) -> None:
        """``expected``: seconds by test id, of earlier runs; the rest is the console's."""
        super().__init__(stream, options, tally, **settings)
        self._at_end = options.failures == "end"
        self._expected = expected
        self._terminal = Terminal(file=stream, highlight=False, no_color=not settings["colour"])
        self._live: Live | None = None
        self._undo = ExitStack()
        self._now: tuple[str, float] | None = None
        self._done = 0
        self._seconds_left: float | None = None
        self._typical = 0.0

    def __call__(self, fact: Fact) -> None:
        match fact:
            case RunStarted():
                self._begin(fact)
            case TestStarted():
                self._now = (fact.id, time.monotonic())
            case FixtureStarted():
                self._now = (f"{fact.id} ({fact.phase})", time.monotonic())
            case FixtureFinished():
                self._now = None
            case TestFinished():
                self._test_done(fact)
            case RunFinished():
                self.pause()
                self._undo.close()
        super().__call__(fact)

    def _begin(self, fact: RunStarted) -> None:
        known = [self._expected[id] for id in fact.ids if id in self._expected]
        if known:
            # A test that is not known is taken to be as long as the known ones are on average.
            self._typical = sum(known) / len(known)
            self._seconds_left = self._typical * len(fact.ids)
        self._live = Live(
            get_renderable=self._line,
            console=self._terminal,
            refresh_per_second=REFRESH_PER_SECOND,
            transient=True,
            redirect_stdout=False,  # rich would put back what it found, over what was redirected since
            redirect_stderr=False,
        )
        self._redirect()
        self._live.start(refresh=True)

    def _redirect(self) -> None:
        """Let the streams write above the live line, and a debugger take it away."""
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream.isatty():
                above = _AboveLine(stream, self)
                setattr(sys, name, above)
                self._undo.callback(setattr, sys, name, stream)
                self._undo.callback(above.flush)
        set_trace = bdb.Bdb.set_trace
        # pdb, ipdb and breakpoint() all come here, and all name the frame that they are to stop in.
        bdb.Bdb.set_trace = _pausing(self, set_trace)  # type: ignore[method-assign]
        self._undo.callback(setattr, bdb.Bdb, "set_trace", set_trace)

    @property
    def is_live(self) -> bool:
        """Whether the live line is shown."""
        return self._live is not None

    def pause(self) -> None:
        """Take the live line away, for good."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def _test_done(self, fact: TestFinished) -> None:
        self._now = None
        if fact.final:
            self._done += 1
            if self._seconds_left is not None:
                self._seconds_left -= self._expected.get(fact.id, self._typical)

    def _mark(self, outcome: Outcome, reason: str = "", end: str | None = None) -> None:
        """Print nothing while the live line counts."""
        if not self.is_live:
            super()._mark(outcome, reason, end)

    def _line(self) -> Table:
        counts = Text(f"{self._done}/{self._tally.collected}")
        if self._tally.bad:
            counts.append(f" {self._tally.bad} failed", "bold red")
        if self._tally.skipped:
            counts.append(f" {self._tally.skipped} skipped", "yellow")
        row: list[Any] = [ProgressBar(total=max(self._tally.collected, 1), completed=self._done, width=24), counts]
        if self._seconds_left is not None:
            row.append(Text(f"{_clock(max(self._seconds_left, 0))} left", "dim"))
        if self._now is not None:
            name, since = self._now
            row.append(Text(f"{time.monotonic() - since:.0f}s {visible(name)}", "dim", overflow="ellipsis"))
        grid = Table.grid(padding=(0, 1))
        for _ in row:
            grid.add_column(no_wrap=True)
        grid.add_row(*row)
        return grid

    def write(self, text: str, colour: str = "") -> None:
        """Write ``text``, above the live line if there is one."""
        if self._live is None:
            super().write(text, colour)
        else:
            self.print_above((self.paint(text, colour) if colour else text).removesuffix("\n"))

    def print_above(self, text: str) -> None:
        """Print whole lines of ``text`` (with the colours of a terminal) above the live line."""
        self._terminal.print(Text.from_ansi(text), soft_wrap=True)


class _AboveLine(io.TextIOBase):
    """Stands in for a stream that is the terminal: whole lines go above the live line while there is one."""

    def __init__(self, stream: TextIO, console: LiveConsole) -> None:
        self._stream = stream
        self._console = console
        self._begun = ""

    def write(self, text: str) -> int:
        if not self._console.is_live:
            self._stream.write(self._begun + text)
            self._begun = ""
            return len(text)
        lines, newline, rest = (self._begun + text).rpartition("\n")
        self._begun = rest
        if newline:
            self._console.print_above(lines)
        return len(text)

    def flush(self) -> None:
        if not self._console.is_live:
            self._stream.write(self._begun)
            self._begun = ""
            self._stream.flush()

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _pausing(console: LiveConsole, set_trace: Callable[..., None]) -> Callable[..., None]:
    def pause_and_trace(debugger: bdb.Bdb, frame: Any = None, **options: Any) -> None:
        console.pause()
        set_trace(debugger, frame or sys._getframe().f_back, **options)

    return pause_and_trace


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
