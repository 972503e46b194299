"""The console as a stream: unittest's own words, and what a reader wants after them."""

from __future__ import annotations

from collections.abc import Mapping
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
from testkit.core.tally import Tally
from testkit.core.text import visible
from testkit.core.verdict import Verdict, verdict
from testkit.listeners.console.end import RULE, Slowest, closing_line
from testkit.listeners.console.options import ConsoleOptions

SEPARATOR = "=" * 70
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
_COLOURS = {"good": "32", "bad": "31", "odd": "33", "quiet": "2"}


class Console:
    """Prints a run as unittest's ``TextTestRunner`` does: dots or ``-v 2`` lines, the failures, the closing lines.

    More than that: a skipped ``setUpClass`` is named, the closing line tells of tests that did not run or were lost,
    and what ``--buffer`` kept back is printed once. After the closing line come the slowest and the reports.
    """

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
        self._tally = tally
        self._verbosity = verbosity
        self._buffer = buffer
        self._colour = colour
        self._at_end = options.failures == "end" or (options.failures == "auto" and not stream.isatty())
        # In unittest's order of the blocks at the end.
        self._failures: dict[Outcome, list[str]] = {
            Outcome.ERROR: [],
            Outcome.FAILED: [],
            Outcome.UNEXPECTED_SUCCESS: [],
        }
        self._begun = ""  # the test whose `-v 2` line waits for its end
        self._summaries: dict[str, str] = {}  # of running tests
        self._told_in_part: set[str] = set()  # running tests of which a subtest was told
        self._tried_again: dict[str, str] = {}  # tests that failed and are tried again: the title and why
        self._flaky: dict[str, str] = {}
        self._slowest = Slowest(options.slowest, SHORTEST_SHOWN)
        self._durations = None if durations is None else Slowest(durations or None)  # 0 stands for all of them

    def __call__(self, fact: Fact) -> None:
        match fact:
            case TestFinished():
                self._test_finished(fact)
            case TestStarted():
                self._test_started(fact)
            case SubTestFinished():
                self._subtest_finished(fact)
            case FixtureFinished():
                self._fixture_finished(fact)
            case RunMeasured():
                self._measured(fact.section, fact.data)
            case RunFinished():
                self._run_finished(fact)

    def refresh(self) -> None:
        """Draw what moves, for a console that has something that does."""

    # What happens, as it happens

    def _test_started(self, fact: TestStarted) -> None:
        if fact.summary:
            self._summaries[fact.id] = fact.summary
        # Workers' lines would run into each other: theirs are begun when they can be ended.
        if self._verbosity > 1 and not fact.worker:
            self.write(f"{self._title(fact.id, fact.class_id)} ... ")
            self._begun = fact.id

    def _test_finished(self, fact: TestFinished) -> None:
        if not fact.final:
            self._attempt_finished(fact)
            return
        self._slowest.add(fact.seconds, fact.id)
        outcome = fact.outcome
        if fact.attempt > 1 and not outcome.is_bad and fact.id in self._tried_again:
            self._flaky[fact.id] = self._tried_again.pop(fact.id)
        if fact.worker and not self._buffer and not outcome.is_bad:
            self._show_output(fact, describe(fact.id, fact.class_id))
        if outcome is Outcome.PASSED and self._verbosity == 1 and not self._told_in_part:
            self._mark(outcome)  # what most tests are
        else:
            self._tell(fact)
        if self._durations is not None:
            self._durations.add(fact.seconds, describe(fact.id, fact.class_id))
        self._summaries.pop(fact.id, None)
        if fact.sql and not outcome.is_bad:
            self.write(f"{fact.sql}\n{RULE}\n")

    def _attempt_finished(self, fact: TestFinished) -> None:
        """Tell of an attempt that failed and is followed by another one; the others only lay the state for it."""
        title = self._title(fact.id, fact.class_id)
        if fact.attempt > 1 and fact.id not in self._tried_again:
            # It has its outcome, and ran again with its class for the sake of another test.
            if self._verbosity > 1:
                self._status(fact.id, title, fact.outcome, fact.reason, then=", again with its class")
            return
        said = verdict(fact)
        self._tried_again.setdefault(fact.id, f"{describe(fact.id, fact.class_id)}: {_why(said)}")
        if self._verbosity > 1:
            self._status(fact.id, title, fact.outcome, then=", to be tried again")
        elif self._verbosity == 1:
            self._write_mark("R", "odd")

    def _show_output(self, fact: TestFinished | FixtureFinished, name: str) -> None:
        """Show what was printed in a worker, in one piece: it has no stream of its own to print it on."""
        printed = self._printed(fact)
        if printed:
            lead = "\n" if self._begun or self._verbosity < 2 else ""
            self.write(f"{lead}{name}:{printed}")

    def _tell(self, fact: TestFinished) -> None:
        title = self._title(fact.id, fact.class_id)
        if fact.problems and fact.reason:
            self._status(fact.id, title, Outcome.SKIPPED, fact.reason)  # and its tear-down raised then
        for problem in fact.problems:
            self._status(fact.id, title, problem.outcome)
        is_told_by_subtests = fact.id in self._told_in_part and fact.outcome in (Outcome.PASSED, Outcome.FAILED)
        self._told_in_part.discard(fact.id)
        if not fact.problems and not is_told_by_subtests:
            self._status(fact.id, title, fact.outcome, fact.reason)
        # What was printed belongs to the test, so it stands below its first problem alone.
        printed = self._printed(fact)
        for problem in fact.problems:
            self._fail(problem.outcome, self._block(title, problem, printed, fact.sql))
            printed = ""
        if fact.outcome is Outcome.UNEXPECTED_SUCCESS:
            self._fail(fact.outcome, f"UNEXPECTED SUCCESS: {title}\n{printed}")
        elif (printed or fact.sql) and fact.subtests_failed and not fact.problems:
            self._fail(Outcome.FAILED, f"{SEPARATOR}\nOUTPUT: {title}\n{RULE}\n{printed}{_queries(fact.sql)}\n")

    def _subtest_finished(self, fact: SubTestFinished) -> None:
        if fact.outcome is Outcome.PASSED or not fact.final:
            return
        self._told_in_part.add(fact.test)
        title = self._title(fact.test, fact.class_id, visible(fact.id.removeprefix(fact.test)))
        self._status(fact.id, f"  {title}", fact.outcome, fact.reason)
        if fact.problem is not None:
            self._fail(fact.outcome, self._block(title, fact.problem))

    def _fixture_finished(self, fact: FixtureFinished) -> None:
        if not fact.final:
            return  # the attempts of its tests tell of it
        self._slowest.add(fact.seconds, f"{fact.id} ({fact.phase})")
        title = visible(f"{fact.phase} ({fact.id})")
        if fact.outcome is Outcome.SKIPPED:
            self._status(fact.id, title, fact.outcome, fact.reason)
        if fact.worker and not self._buffer and not fact.problems:
            self._show_output(fact, title)
        printed = self._printed(fact)
        for problem in fact.problems:
            self._status(fact.id, title, problem.outcome)
            self._fail(problem.outcome, self._block(title, problem, printed))
            printed = ""

    def _title(self, id: str, class_id: str, parameters: str = "") -> str:
        summary = self._summaries.get(id)
        title = describe(id, class_id) + parameters
        return f"{title}\n{visible(summary)}" if summary else title

    def _status(self, id: str, title: str, outcome: Outcome, reason: str = "", then: str = "") -> None:
        """Say how ``id`` ended: by a mark, or at the end of its line, which is begun (again) if it must be."""
        if self._verbosity < 2:
            self._mark(outcome)
            return
        if self._begun != id:
            self.write(f"{chr(10) if self._begun else ''}{title} ... ")
        self._begun = ""
        word = f"skipped {reason!r}" if outcome is Outcome.SKIPPED else _WORDS[outcome]
        self.write(f"{self.paint(word + then, _colour_of(outcome))}\n")

    def _mark(self, outcome: Outcome) -> None:
        if self._verbosity == 1:
            self._write_mark(_DOTS[outcome], "" if outcome is Outcome.PASSED else _colour_of(outcome))

    def _write_mark(self, mark: str, colour: str) -> None:
        self.write(mark, colour)

    def _fail(self, outcome: Outcome, text: str) -> None:
        if self._at_end:
            self._failures[outcome].append(text)
        else:
            lead = "\n" if self._begun or self._verbosity < 2 else ""
            rule = f"{SEPARATOR}\n" if outcome is Outcome.UNEXPECTED_SUCCESS else ""
            self._begun = ""
            self.write(f"{lead}{rule}{text}")

    def _printed(self, fact: TestFinished | FixtureFinished) -> str:
        if not self._buffer and not fact.worker:
            return ""  # it was shown as it came
        parts = ((name, text) for name, text in (("Stdout", fact.stdout), ("Stderr", fact.stderr)) if text)
        return "".join(f"\n{name}:\n{text}" + ("" if text.endswith("\n") else "\n") for name, text in parts)

    def _block(self, title: str, problem: Problem, printed: str = "", sql: str = "") -> str:
        head = self.paint(f"{_WORDS[problem.outcome]}: {title}", "bad")
        return f"{SEPARATOR}\n{head}\n{RULE}\n{problem.traceback}{printed}\n{_queries(sql)}"

    # The end

    def _run_finished(self, fact: RunFinished) -> None:
        if self._verbosity > 0 or self._begun:
            self.write("\n")
        for outcome, blocks in self._failures.items():
            if blocks and outcome is Outcome.UNEXPECTED_SUCCESS:
                self.write(f"{SEPARATOR}\n")
            for text in blocks:
                self.write(text)
        if self._durations is not None:
            self.write(self._durations.unittest_table(all=self._verbosity > 1))
        ran = self._tally.ran
        self.write(f"{RULE}\nRan {ran} test{'' if ran == 1 else 's'} in {fact.seconds:.3f}s\n\n")
        self.write(*closing_line(self._tally, fact))
        self._name(fact.lost, "Lost: collected, and never reported", limit=20)
        self._name(fact.not_run, "Not run", limit=3)
        self._name(tuple(self._flaky.values()), "Flaky: failed, and passed when tried again", limit=20)
        if self._verbosity > 0:
            self.write(self._slowest.table())

    def _name(self, ids: tuple[str, ...], title: str, limit: int) -> None:
        if ids:
            shown = "".join(f"  {visible(id)}\n" for id in ids[:limit])
            more = f"  … and {len(ids) - limit} more\n" if len(ids) > limit else ""
            self.write(f"\n{title}:\n{shown}{more}", "odd")

    def _measured(self, section: str, data: Mapping[str, Any]) -> None:
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
        """Return ``text`` in ``colour`` (a key of ``_COLOURS``), if the run has colours."""
        if not (colour and self._colour):
            return text
        words = text.rstrip("\n")
        return f"\x1b[{_COLOURS[colour]}m{words}\x1b[0m{text[len(words) :]}"

    def write(self, text: str, colour: str = "") -> None:
        """Write ``text``; what the stream's encoding cannot hold is escaped."""
        text = self.paint(text, colour)
        try:
            self._stream.write(text)
        except UnicodeEncodeError:
            encoding = self._stream.encoding or "ascii"
            self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        self._stream.flush()


def describe(id: str, class_id: str) -> str:
    """Return a test's name as unittest prints it: ``test_x (app.tests.Case.test_x)``."""
    name = id.removeprefix(f"{class_id}.") if class_id else ""
    return visible(f"{name} ({id})" if name else id)


def _why(said: Verdict | None) -> str:
    return (said.message or said.type).partition("\n")[0] if said else ""


def _queries(sql: str) -> str:
    return f"{RULE}\n{sql}\n" if sql else ""


def _colour_of(outcome: Outcome) -> str:
    if outcome.is_bad:
        return "bad"
    return "good" if outcome is Outcome.PASSED else "odd"
