"""``python -m testkit report``: every report of a past run, made from its journal."""

from __future__ import annotations

import shutil
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from io import TextIOWrapper
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TextIO, TypeGuard

from testkit.core.bus import Bus, Listener
from testkit.core.errors import ExitStatus, OptionError, TestkitError
from testkit.core.events import Fact, RunFinished, RunMeasured, RunStarted
from testkit.core.options import Options, add_arguments, declared
from testkit.core.tally import Tally
from testkit.execution.options import ExecutionOptions
from testkit.listeners.console import Console, ConsoleOptions, wants_colour
from testkit.listeners.durations import DurationsListener
from testkit.listeners.history import HistoryOptions
from testkit.listeners.html import html_listener
from testkit.listeners.xunit import XunitOptions, xunit_listener
from testkit.selection import durations
from testkit.selection.durations import Durations
from testkit.session.aftermath.arguments import (
    StatusOptions,
    add_run_arguments,
    opened,
    options_of,
    readers_may_leave,
    with_values,
)
from testkit.session.aftermath.completion import completed, has_died
from testkit.session.aftermath.ending import Ending
from testkit.session.aftermath.journals import JOURNALS, RecordedRun, find_run
from testkit.session.formats import FORMAT_GROUPS, listening, wanted
from testkit.session.formats import FORMATS as FILE_FORMATS
from testkit.session.options import CACHE, RunOptions

FORMATS = ("console", "xunit", "json", "markdown", *FILE_FORMATS)


def report_parser() -> ArgumentParser:
    """Return the parser of the command's arguments."""
    parser = ArgumentParser(
        "python -m testkit report",
        description="Make the reports of a past run from its journal, also if it was killed: the end of the console, "
        "the xunit file, and others that are asked for. The exit status is the run's; 2 if its process died.",
    )
    parser.add_argument(
        "--journal",
        type=Path,
        metavar="PATH",
        help=f"A folder of journals, one that holds it, or a .jsonl file. Default: {JOURNALS}.",
    )
    add_run_arguments(parser)
    parser.add_argument("--format", choices=FORMATS, help="Make this one report alone.")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="Where the report of --format goes. Default: standard output."
    )
    add_arguments(parser, (XunitOptions, *FORMAT_GROUPS, HistoryOptions, ConsoleOptions, StatusOptions))
    return parser


def report(arguments: Sequence[str]) -> ExitStatus:
    """Make the reports that ``arguments`` ask for, and return the exit status that the run had, or should have had.

    Raises:
        TestkitError: there is no such run, an option is wrong, or a report cannot be written.
    """
    given = report_parser().parse_args(arguments)
    options = options_of(given)
    if given.output is not None and given.format is None:
        raise OptionError(f"--output {given.output} needs --format with one of {', '.join(FORMATS)}")
    maker = _Reports(find_run(given.journal, given.run), options, given.durations)
    try:
        return maker.write_one(given.format, given.output) if given.format else maker.write_all()
    except KeyboardInterrupt:
        return ExitStatus.INTERRUPTED


class _Reports:
    """Makes the reports of one run."""

    def __init__(self, recorded: RecordedRun, options: Options, durations: int | None) -> None:
        self._recorded = recorded
        self._options = options
        self._durations = durations
        self._ending = Ending()
        self._facts = completed(recorded, str(recorded))

    # Everything that a run makes

    def write_all(self) -> ExitStatus:
        """Write what a run writes, and print what it prints at its end."""
        xunit: XunitOptions = self._options[XunitOptions]
        own: dict[str, str] = {}
        bus = Bus([self._ending])
        if xunit.with_xunit or self._options.settings["with_xunit"].origin == "default":
            bus.subscribe(xunit_listener(xunit))
            own["xunit"] = str(xunit.place)
        if self._options[HistoryOptions].with_history:
            from testkit.session.history.remembering import history_listener

            bus.subscribe(history_listener(self._options[HistoryOptions], _notice))
        remembering = _Remembering(self._recorded)
        bus.subscribe(remembering)
        with ExitStack() as stack, readers_may_leave():
            own |= self._add_formats(bus, stack)
            bus.subscribe(self._console(sys.stdout))
            of_run = _publish(self._facts, bus, self._ending)
            if of_run or own:
                bus.publish(RunMeasured(section="reports", data={**of_run, **own}))
            status, reason = self._status()
            bus.publish(RunMeasured(section="status", data={"status": int(status), "reason": reason}))
        if bus.failures:
            failure = bus.failures[0]
            raise TestkitError(f"the listener {failure.listener} failed:\n{failure.traceback}")
        return self._finish()

    def _add_formats(self, bus: Bus, stack: ExitStack) -> dict[str, str]:
        """Let ``bus`` write the formats that are asked for, and return their paths by their titles."""
        sources = {file.resolve() for file in self._recorded.files}
        made = {}
        for name, path in wanted(self._options):
            if path.resolve() in sources:
                raise OptionError(f"{path} is what the report is made from: give --{name}-file another file")
            bus.subscribe(listening(name, path, stack))
            made[FILE_FORMATS[name].title] = str(path)
        return made

    def _console(self, stream: TextIO) -> ConsoleEnd:
        options = self._options[ConsoleOptions]
        if options.failures == "auto":
            options = with_values(options, failures="end")
        colour = wants_colour(stream)
        tally = self._ending.tally
        return ConsoleEnd(stream, options, tally, buffer=True, durations=self._durations, colour=colour)

    def _finish(self) -> ExitStatus:
        status, reason = self._status()
        if reason:
            print(f"testkit: {reason}", file=sys.stderr)
        return status

    def _status(self) -> tuple[ExitStatus, str]:
        options = self._options
        return self._ending.status(
            may_be_empty=options[RunOptions].allow_no_tests, flaky=options[ExecutionOptions].flaky
        )

    # One format

    def write_one(self, format: str, output: Path | None) -> ExitStatus:
        """Write the report of ``format`` to ``output``, or to standard output."""
        self._tell_what_has_no_effect(format)
        write: Mapping[str, Callable[[Path | None], None]] = {
            "console": self._write_console,
            "xunit": self._write_xunit,
            "html": self._write_html,
            "json": self._write_json,
            "markdown": self._write_markdown,
        }
        if format in write:
            write[format](output)
        else:
            self._write_file(format, output)
        if output is not None:
            print(f"testkit: the report is in {output}", file=sys.stderr)
        return self._finish()

    def _tell_what_has_no_effect(self, format: str) -> None:
        idle = set(declared((XunitOptions, *FORMAT_GROUPS)))
        if format == "xunit":
            idle.discard("xunit_flavour")
        for name in sorted(idle):
            flag = self._options.settings[name].origin
            if flag.startswith("--"):
                print(f"testkit: {flag} has no effect with --format {format}", file=sys.stderr)

    def _listen(self, listener: Listener) -> None:
        for fact in self._facts:
            self._ending(fact)
            listener(fact)

    def _write_console(self, output: Path | None) -> None:
        # What the run wrote, it does not write again.
        self._facts = (fact for fact in self._facts if not _tells_of_reports(fact))
        if output is None:
            with readers_may_leave():
                self._listen(self._console(sys.stdout))
            return
        with opened(output) as file:
            text = TextIOWrapper(file, "utf-8", "backslashreplace")
            self._listen(self._console(text))
            text.detach()  # flushes it, and leaves the file to its owner

    def _write_xunit(self, output: Path | None) -> None:
        options = self._options[XunitOptions]
        if options.xunit_flavour == "classic":
            raise OptionError(
                "--format xunit is one file, and the flavour classic is a file for each class: leave --format out, "
                "and give --xunit-file FOLDER/xunit.xml"
            )
        with TemporaryDirectory() as folder:
            path = Path(folder, "xunit.xml")
            self._listen(xunit_listener(with_values(options, xunit_file=path)))
            _hand_over(path, output)

    def _write_file(self, format: str, output: Path | None) -> None:
        with TemporaryDirectory() as folder:
            path = Path(folder, format)
            with ExitStack() as stack:
                self._listen(listening(format, path, stack))
            _hand_over(path, output)

    def _write_html(self, output: Path | None) -> None:
        page = html_listener(None)
        self._listen(page)
        with opened(output) as out:
            out.write(page.page())

    def _write_json(self, output: Path | None) -> None:
        from testkit.session.aftermath.document import Document

        with closing(Document(self._ending)) as document:
            self._listen(document)
            with opened(output) as out:
                document.write(out, *self._status())

    def _write_markdown(self, output: Path | None) -> None:
        from testkit.summary import Gathered, summary

        run = Gathered()
        self._listen(run)
        with opened(output) as out:
            out.write(summary(run, *self._status()).encode("utf-8", "backslashreplace"))


def _notice(text: str) -> None:
    print(f"testkit: {text}", file=sys.stderr)


def _hand_over(made: Path, output: Path | None) -> None:
    with open(made, "rb") as file, opened(output) as out:
        shutil.copyfileobj(file, out)


def _publish(facts: Iterable[Fact], bus: Bus, ending: Ending) -> dict[str, str]:
    """Publish ``facts``, and return the reports that the run itself made and that are still there.

    The status, which is the last that listeners are to hear, is told to ``ending`` alone.
    """
    folder, made = Path(), {}
    for fact in facts:
        if _tells_of_reports(fact):
            made = {title: str(path) for title, path in fact.data.items()}
            continue
        if isinstance(fact, RunMeasured) and fact.section == "status":
            ending(fact)
            continue
        if isinstance(fact, RunStarted):
            folder = Path(fact.directory)
        bus.publish(fact)
    return {
        title: path
        for title, path in made.items()
        if title not in ("xunit", "report page") and (folder / path).exists()
    }


def _tells_of_reports(fact: Fact) -> TypeGuard[RunMeasured]:
    return isinstance(fact, RunMeasured) and fact.section == "reports"


class ConsoleEnd(Console):
    """The end of the console: the failures, the closing lines, and what was measured."""

    def __init__(self, stream: TextIO, options: ConsoleOptions, tally: Tally, **settings: Any) -> None:
        super().__init__(stream, options, tally, **settings)
        self._has_ended = False

    def __call__(self, fact: Fact) -> None:
        self._has_ended = self._has_ended or isinstance(fact, RunFinished)
        if self._has_ended or not isinstance(fact, RunMeasured):
            super().__call__(fact)

    def _write_mark(self, mark: str, colour: str) -> None:
        """Print no dots: nobody waits for the tests."""

    def write(self, text: str, colour: str = "") -> None:
        """Write ``text``; that nobody reads it any more harms no other report."""
        with readers_may_leave():
            super().write(text, colour)


class _Remembering:
    """Remembers the durations of a run that died before it could do so itself.

    Only in the folder where it ran; and only once, which the time of the file tells: figures count less with each run.
    """

    def __init__(self, recorded: RecordedRun) -> None:
        self._path = (CACHE / "durations.json").absolute()
        self._recorded = recorded
        self._collect = DurationsListener(lambda *newer: durations.remember(self._path, Durations(*newer)))

    def __call__(self, fact: Fact) -> None:
        if not isinstance(fact, RunFinished) or (has_died(fact) and self._is_due()):
            self._collect(fact)

    def _is_due(self) -> bool:
        files = self._recorded.files
        if any(path.parent.resolve() != JOURNALS.resolve() for path in files):
            return False
        written = max(path.stat().st_mtime for path in files)
        return not self._path.exists() or self._path.stat().st_mtime < written
