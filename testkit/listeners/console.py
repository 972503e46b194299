"""The console: unittest's own words, and what a reader wants after them."""

from __future__ import annotations

import heapq
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TextIO

from testkit.core.events import (
    Fact,
    FixtureFinished,
    Outcome,
    Problem,
    RunFinished,
    RunMeasured,
    SubTestFinished,
    TestFinished,
    TestStarted,
)
from testkit.core.options import one_of, option
from testkit.core.tally import Tally
from testkit.core.text import visible

SEPARATOR = "=" * 70
RULE = "-" * 70
SHORTEST_SHOWN = 0.05
"""Seconds below which a test is not worth a line among the slowest."""

_DOTS = {
    Outcome.PASSED: ".",
    Outcome.FAILED: "F",
    Outcome.ERROR: "E",
    Outcome.SKIPPED: "s",
    Outcome.EXPECTED_FAILURE: "x",
    Outcome.UNEXPECTED_SUCCESS: "u",
}
_WORDS = {
    Outcome.PASSED: "ok",
    Outcome.FAILED: "FAIL",
    Outcome.ERROR: "ERROR",
    Outcome.EXPECTED_FAILURE: "expected failure",
    Outcome.UNEXPECTED_SUCCESS: "unexpected success",
}
_COLOURS = {"good": "32", "bad": "31", "quiet": "2", "odd": "33"}


@dataclass(frozen=True, slots=True)
class ConsoleOptions:
    """Options of the console."""

    failures: str = option(
        "auto",
        "When failures are printed in full: as they happen (now), after the tests (end); by default now on a terminal.",
        parse=one_of("auto", "now", "end"),
        metavar="WHEN",
    )
    slowest: int = option(5, "How many of the slowest tests and class set-ups are listed (0: none).", metavar="N")


class Console:
    """Prints a run on a stream that is not a terminal: unittest's dots or ``-v 2`` lines and closing lines."""

    def __init__(
        self,
        stream: TextIO,
        options: ConsoleOptions,
        tally: Tally,
        *,
        verbosity: int = 1,
        buffer: bool = False,
        durations: int | None = None,
        colour: bool = False,
    ) -> None:
        """Print on ``stream``.

        ``tally`` hears each fact before this listener does. ``buffer``: what failing tests printed was not shown, so
        show it. ``durations``: Django's ``--durations``.
        """
        self._stream = stream
        self._verbosity = verbosity
        self._buffer = buffer
        self._durations = durations
        self._colour = colour
        self._at_end = options.failures in ("auto", "end")
        self._tally = tally
        self._failures: list[str] = []
        self._slowest = _Slowest(options.slowest, SHORTEST_SHOWN)
        # unittest: 0 stands for all of them.
        self._longest = _Slowest(None if durations == 0 else durations or 0)

    def __call__(self, fact: Fact) -> None:
        match fact:
            case TestStarted():
                if self._verbosity > 1:
                    self.test_started(fact)
            case TestFinished():
                self._slowest.add(fact.seconds, fact.id)
                if self._durations is not None:
                    self._longest.add(fact.seconds, describe(fact.id, fact.class_id))
                self.test_finished(fact)
            case SubTestFinished():
                self.subtest_finished(fact)
            case FixtureFinished():
                self._slowest.add(fact.seconds, f"{fact.id} ({fact.phase})")
                self.fixture_finished(fact)
            case RunFinished():
                self.run_finished(fact)
            case RunMeasured():
                self.measured(fact.section, fact.data)

    # What happens, as it happens

    def test_started(self, fact: TestStarted) -> None:
        self.write(f"{_title(fact)} ... ")

    def test_finished(self, fact: TestFinished) -> None:
        if fact.outcome is Outcome.FAILED and not fact.problems:
            # Its subtests have been told already, and unittest says no more either.
            if self._verbosity > 1:
                self.write("\n")
        else:
            self._mark(fact.outcome, fact.reason)
        if fact.outcome is not Outcome.PASSED or fact.sql:
            self._tell(fact)

    def _tell(self, fact: TestFinished) -> None:
        title = _title(fact)
        if fact.outcome is Outcome.UNEXPECTED_SUCCESS:
            self._fail(f"{SEPARATOR}\nUNEXPECTED SUCCESS: {title}\n")
        for number, problem in enumerate(fact.problems):
            # What was printed belongs to the test, so it stands below its first problem alone.
            printed = self._printed(fact) if number == 0 else ""
            self._fail(self._block(title, problem, printed, fact.sql))
        if fact.sql and not fact.outcome.is_bad:
            self.write(f"{fact.sql}\n{RULE}\n")

    def subtest_finished(self, fact: SubTestFinished) -> None:
        if fact.outcome is Outcome.PASSED:
            return
        title = f"{describe(fact.test, fact.class_id)}{fact.id.removeprefix(fact.test)}"
        if self._verbosity > 1:
            self.write(f"\n  {title} ... ")
        self._mark(fact.outcome, fact.reason, end="" if self._verbosity > 1 else None)
        if fact.problem is not None:
            self._fail(self._block(title, fact.problem))

    def fixture_finished(self, fact: FixtureFinished) -> None:
        if fact.outcome is Outcome.PASSED:
            return
        title = f"{fact.phase} ({fact.id})"
        if self._verbosity > 1:
            self.write(f"{title} ... ")
        self._mark(fact.outcome, fact.reason)
        for problem in fact.problems:
            self._fail(self._block(title, problem, self._printed(fact)))

    def _mark(self, outcome: Outcome, reason: str = "", end: str | None = None) -> None:
        if self._verbosity > 1:
            word = f"skipped {reason!r}" if outcome is Outcome.SKIPPED else _WORDS[outcome]
            self.write(word + ("\n" if end is None else end), _colour_of(outcome))
        elif self._verbosity == 1:
            self.write(_DOTS[outcome], "" if outcome is Outcome.PASSED else _colour_of(outcome))

    def _fail(self, text: str) -> None:
        if self._at_end:
            self._failures.append(text)
        else:
            self.write(f"\n{text}")

    def _printed(self, fact: TestFinished | FixtureFinished) -> str:
        if not self._buffer:
            return ""
        parts = ((name, text) for name, text in (("Stdout", fact.stdout), ("Stderr", fact.stderr)) if text)
        return "".join(f"\n{name}:\n{text}" + ("" if text.endswith("\n") else "\n") for name, text in parts)

    def _block(self, title: str, problem: Problem, printed: str = "", sql: str = "") -> str:
        queries = f"{RULE}\n{sql}\n" if sql else ""
        head = self.paint(f"{_WORDS[problem.outcome]}: {title}", "bad")
        return f"{SEPARATOR}\n{head}\n{RULE}\n{problem.traceback}{printed}\n{queries}"

    # The end

    def run_finished(self, fact: RunFinished) -> None:
        if self._verbosity > 0:
            self.write("\n")
        for text in self._failures:
            self.write(text)
        if self._durations is not None:
            self.write(self._longest.table("Slowest test durations"))
        ran = self._tally.ran
        self.write(f"{RULE}\nRan {ran} test{'' if ran == 1 else 's'} in {fact.seconds:.3f}s\n\n")
        self.write(*_verdict(self._tally, fact))
        self._name(fact.lost, "Lost: collected, and never reported", limit=20)
        self._name(fact.not_run, "Not run", limit=3)
        if self._verbosity > 0:
            self.write(self._slowest.table("Slowest"))

    def _name(self, ids: tuple[str, ...], title: str, limit: int) -> None:
        if ids:
            shown = "".join(f"  {id}\n" for id in ids[:limit])
            more = f"  … and {len(ids) - limit} more\n" if len(ids) > limit else ""
            self.write(f"\n{title}:\n{shown}{more}", "odd")

    def measured(self, section: str, data: Mapping[str, Any]) -> None:
        """Print what was measured about the run: ``text`` if the section has one, or the names of the reports."""
        if self._verbosity < 1:
            return
        if "text" in data:
            self.write(f"{data['text']}\n")
        elif section == "reports":
            width = max(map(len, data), default=0)
            self.write("\nReports:\n" + "".join(f"  {title:<{width}}  {path}\n" for title, path in data.items()))

    # Writing

    def paint(self, text: str, colour: str) -> str:
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if self._colour else text

    def write(self, text: str, colour: str = "") -> None:
        """Write ``text``; what the stream's encoding cannot hold is escaped."""
        if colour:
            text = self.paint(text, colour)
        try:
            self._stream.write(text)
        except UnicodeEncodeError:
            encoding = self._stream.encoding or "ascii"
            self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        self._stream.flush()


class _Slowest:
    """The longest durations seen: ``count`` of them (None: all) that are at least ``shortest`` seconds."""

    def __init__(self, count: int | None, shortest: float = 0.0) -> None:
        self._count = count
        self._shortest = shortest
        self._heap: list[tuple[float, str]] = []

    def add(self, seconds: float, name: str) -> None:
        if seconds < self._shortest:
            return
        if self._count is None or len(self._heap) < self._count:
            heapq.heappush(self._heap, (seconds, name))
        elif self._count and seconds > self._heap[0][0]:
            heapq.heapreplace(self._heap, (seconds, name))

    def table(self, title: str) -> str:
        rows = [f"{seconds:>9.3f}s  {visible(name)}\n" for seconds, name in sorted(self._heap, reverse=True)]
        return f"\n{title}:\n{''.join(rows)}" if rows else ""


def describe(id: str, class_id: str) -> str:
    """Return a test's name as unittest prints it: ``test_x (app.tests.Case.test_x)``."""
    name = id.removeprefix(f"{class_id}.") if class_id else ""
    return visible(f"{name} ({id})" if name else id)


def _title(fact: TestStarted | TestFinished) -> str:
    title = describe(fact.id, fact.class_id)
    return f"{title}\n{visible(fact.summary)}" if fact.summary else title


def _colour_of(outcome: Outcome) -> str:
    if outcome.is_bad:
        return "bad"
    return "good" if outcome is Outcome.PASSED else "odd"


def _verdict(tally: Tally, fact: RunFinished) -> tuple[str, str]:
    """Return unittest's last line and its colour. A run that was cut short is never OK."""
    counts = (
        ("failures", tally.failures),
        ("errors", tally.errors),
        ("skipped", tally.skipped),
        ("expected failures", tally.expected_failures),
        ("unexpected successes", tally.unexpected_successes),
        ("not run", len(fact.not_run)),
        ("lost", len(fact.lost)),
    )
    infos = [f"{name}={count}" for name, count in counts if count]
    if fact.interrupted:
        infos.append(f"interrupted by {fact.interrupted}")
    if not tally.is_good or fact.interrupted or fact.lost or fact.not_run:
        word, colour = "FAILED", "bad"
    elif tally.nothing_ran:
        word, colour = "NO TESTS RAN", "bad"
    else:
        word, colour = "OK", "good"
    return word + (f" ({', '.join(infos)})" if infos else "") + "\n", colour


def wants_colour(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether to colour: NO_COLOR says no, FORCE_COLOR yes, else a terminal decides (https://no-color.org)."""
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return environ["FORCE_COLOR"] != "0"
    return stream.isatty() and environ.get("TERM") != "dumb"


def console_listener(
    stream: TextIO,
    options: ConsoleOptions,
    tally: Tally,
    *,
    verbosity: int,
    buffer: bool,
    durations: int | None,
    expected: Mapping[str, float],
    live: bool,
) -> Console:
    """Return the console for ``stream``: with a live line if it is a terminal and ``live`` (no debugger) allows it.

    ``expected`` are the seconds that tests took before, by id.
    """
    kind: type[Console] = Console
    settings: dict[str, Any] = {
        "verbosity": verbosity,
        "buffer": buffer,
        "durations": durations,
        "colour": wants_colour(stream),
    }
    if live and verbosity == 1 and stream.isatty() and os.environ.get("TERM") != "dumb":
        from testkit.listeners.console_live import LiveConsole

        kind, settings["expected"] = LiveConsole, expected
    return kind(stream, options, tally, **settings)
