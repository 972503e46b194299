"""The console on a terminal: a live line below what happens, and failures in full when they happen."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from typing import Any, TextIO

from testkit.core.clock import clock
from testkit.core.debugger import before_debugger
from testkit.core.events import (
    Fact,
    FixtureFinished,
    FixtureStarted,
    RunFinished,
    RunStarted,
    TestFinished,
    TestStarted,
)
from testkit.core.tally import Tally
from testkit.core.text import visible
from testkit.listeners.console.options import LEAST_ROWS, ConsoleOptions
from testkit.listeners.console.plain import Console

SECONDS_BETWEEN_DRAWS = 0.125
BAR_COLUMNS = 20
SHORTEST_WITH_BAR = 60
"""Columns below which a terminal has no room for the bar."""


class BottomRow:
    """The last row of a terminal, kept for one line of text while all else scrolls above it.

    The terminal itself keeps them apart, by its scrolling region (DECSTBM, as apt has it for its progress bar). So
    whatever writes there (a test, a subprocess, C code, a prompt) needs no redirecting, and nothing of the line is left
    among what it wrote. See https://vt100.net/docs/vt510-rm/DECSTBM.html.
    """

    def __init__(self, stream: TextIO) -> None:
        self._file = stream.fileno()
        self._encoding = stream.encoding or "ascii"
        self._size: os.terminal_size | None = None

    def draw(self, line: Callable[[int], str]) -> None:
        """Show what ``line`` makes of a number of columns."""
        size = os.get_terminal_size(self._file)
        if size.lines < LEAST_ROWS:
            return
        begin = ""
        if size != self._size:
            # Off the last row, wherever the cursor is: scroll by one if it must be, and go up again.
            begin = "\x1b7\x1b[r\x1b8\x1bD\x1b[A"
            self._size = size
        # The region is set each time, since a program that was run may have reset it. Between ESC 7 and ESC 8 the
        # cursor and its colours are as the terminal's owner has them; ?7l keeps a line that is too long on its row.
        self._write(
            f"{begin}\x1b7\x1b[1;{size.lines - 1}r\x1b[{size.lines};1H\x1b[0m\x1b[2K"
            f"\x1b[?7l{line(size.columns)}\x1b[0m\x1b[?7h\x1b8"
        )

    def give_back(self) -> None:
        """Clear the row and let the terminal scroll as a whole again."""
        if self._size is not None:
            self._write(f"\x1b7\x1b[r\x1b[{self._size.lines};1H\x1b[0m\x1b[2K\x1b8")
            self._size = None

    def _write(self, text: str) -> None:
        # In one write, and past Python's own buffers, which another thread may be filling.
        os.write(self._file, text.encode(self._encoding, "replace"))


class LiveConsole(Console):
    """Shows a progress bar, counts, what runs now and for how long, and the time left by past durations."""

    def __init__(
        self,
        stream: TextIO,
        options: ConsoleOptions,
        tally: Tally,
        *,
        expected: Mapping[str, float],
        threaded: bool,
        **settings: Any,
    ) -> None:
        """``expected``: seconds by test id, of earlier runs; ``threaded``: draw by itself, or else when :meth:`refresh`
        is called; the rest is the console's.
        """
        super().__init__(stream, options, tally, **settings)
        self._expected = expected
        self._threaded = threaded
        self._drawn = 0.0
        self._row: BottomRow | None = None
        self._lock = threading.Lock()  # held while drawing, so that none comes after the row was given back
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._undo = ExitStack()
        self._running: dict[str, tuple[str, float]] = {}  # by worker: what, and since when
        self._workers: set[str] = set()
        self._seconds_left: float | None = None
        self._typical = 0.0
        self._full, self._empty, self._cut = _signs(stream)

    def __call__(self, fact: Fact) -> None:
        try:
            self._follow(fact)
            super().__call__(fact)
        except BaseException:
            self.pause()  # as a listener that raised hears of nothing more, not even of the end
            raise

    def _follow(self, fact: Fact) -> None:
        match fact:
            case TestFinished():
                self._running.pop(fact.worker, None)
                if fact.final and self._seconds_left is not None:
                    self._seconds_left -= self._expected.get(fact.id, self._typical)
            case TestStarted():
                self._now_runs(fact.worker, fact.id)
            case FixtureStarted():
                self._now_runs(fact.worker, f"{fact.id} ({fact.phase})")
            case FixtureFinished():
                self._running.pop(fact.worker, None)
            case RunStarted():
                self._begin(fact)
            case RunFinished():
                self.pause()
                self._undo.close()

    def _begin(self, fact: RunStarted) -> None:
        known = [self._expected[id] for id in fact.ids if id in self._expected]
        if 2 * len(known) >= len(fact.ids) > 0:
            # A test that is not known is taken to be as long as the known ones are on average.
            self._typical = sum(known) / len(known)
            self._seconds_left = self._typical * len(fact.ids)
        self._row = BottomRow(self._stream)
        self._undo.enter_context(before_debugger(self.pause))
        self._draw()

    def _now_runs(self, worker: str, name: str) -> None:
        self._running[worker] = (name, clock.seconds())
        self._workers.add(worker)
        if self._threaded and self._thread is None and self._row is not None:
            self._thread = threading.Thread(target=self._keep_drawing, name="testkit live line", daemon=True)
            self._thread.start()

    def _keep_drawing(self) -> None:
        while not self._stopped.wait(SECONDS_BETWEEN_DRAWS):
            self._draw()

    def refresh(self) -> None:
        """Draw the line if it is time to."""
        now = clock.seconds()
        if now - self._drawn >= SECONDS_BETWEEN_DRAWS:
            self._drawn = now
            self._draw()

    def _draw(self) -> None:
        # Nothing that a terminal does (it may vanish, or be made non-blocking by a subprocess) is worth a test run.
        with self._lock, suppress(OSError):
            if self._row is not None:
                self._row.draw(self._line)

    def pause(self) -> None:
        """Take the live line away, for good: from here on tests have dots."""
        self._stopped.set()
        with self._lock, suppress(OSError):
            row, self._row = self._row, None
            if row is not None:
                row.give_back()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    def _write_mark(self, mark: str, colour: str) -> None:
        """Print no dots while the live line counts."""
        if self._row is None:
            super()._write_mark(mark, colour)

    # The line

    def _line(self, columns: int) -> str:
        shown, used = [], 0
        for text, colour, is_cut in self._pieces(columns):
            room = columns - used - bool(used)
            if is_cut and len(text) > room >= len(self._cut) + 4:
                # An id says most at its end.
                text = self._cut + text[len(text) - room + len(self._cut) :]
            if len(text) <= room:
                shown.append(self.paint(text, colour))
                used += len(text) + bool(used)
        return " ".join(shown)

    def _pieces(self, columns: int) -> Iterator[tuple[str, str, bool]]:
        """Yield the parts of the line: text, colour, and whether it may be cut."""
        tally = self._tally
        if columns >= SHORTEST_WITH_BAR:
            full = min(BAR_COLUMNS * tally.ran // max(tally.collected, 1), BAR_COLUMNS)
            yield self._full * full + self._empty * (BAR_COLUMNS - full), "good" if tally.is_good else "bad", False
        yield f"{tally.ran}/{tally.collected}", "", False
        if tally.bad:
            yield f"{tally.bad} failed", "bad", False
        if tally.skipped and columns >= SHORTEST_WITH_BAR:
            yield f"{tally.skipped} skipped", "odd", False
        now = clock.seconds()
        # A copy, made at once: the tests go on meanwhile.
        running = sorted(self._running.copy().values(), key=lambda item: item[1])
        if self._seconds_left is not None:
            past = sum(min(now - since, self._expected.get(name, self._typical)) for name, since in running)
            yield f"{_clock((self._seconds_left - past) / max(len(self._workers), 1))} left", "quiet", False
        if running:
            name, since = running[0]
            yield f"{now - since:.0f}s", "", False
            yield visible(name), "quiet", True


def _signs(stream: TextIO) -> tuple[str, str, str]:
    """Return what stands for the full and for the empty part of the bar, and for what was cut out of a name."""
    try:
        "█░…".encode(stream.encoding or "ascii")
    except UnicodeEncodeError:
        return "#", ".", "..."
    return "█", "░", "…"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(max(seconds, 0)), 60)
    return f"{minutes}:{rest:02d}"
