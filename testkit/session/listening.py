"""The listeners of a run."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from testkit.core import journal
from testkit.core.bus import Bus, Listener, PublishMeasured
from testkit.core.errors import OptionError
from testkit.core.events import Fact, WorkerLost
from testkit.core.options import Options
from testkit.core.tally import Tally
from testkit.execution.options import ExecutionOptions
from testkit.listeners.console import ConsoleOptions, console_listener
from testkit.listeners.durations import DurationsListener
from testkit.listeners.github import GithubOptions
from testkit.listeners.history import HistoryOptions
from testkit.listeners.xunit import XunitOptions, xunit_listener
from testkit.screenshots.options import ScreenshotOptions
from testkit.selection import durations
from testkit.selection.durations import Durations
from testkit.session import formats
from testkit.session.gates import Gates
from testkit.session.host import Host
from testkit.session.options import RunOptions

if TYPE_CHECKING:
    from testkit.listeners.screenshots import ScreenshotsListener


class Places(NamedTuple):
    """Where a run writes: the folder of journals, and the file of durations."""

    journals: Path
    durations: Path


class Listening:
    """Subscribes the listeners that the options ask for, and knows of what they write."""

    def __init__(self, options: Options, host: Host, bus: Bus, tally: Tally, places: Places) -> None:
        """``tally`` is on the ``bus`` already.

        Raises:
            OptionError: a listener of the project's own cannot be used.
        """
        self.reports: dict[str, str] = {}
        """The path of each report that is written, by its title."""
        self.has_journal = False
        self.is_whole = host.is_whole
        """Whether all tests of the project run, as far as is known when the run begins."""
        self._options, self._host, self._bus, self._tally, self._places = options, host, bus, tally, places
        self._flushes: list[Callable[[], None]] = []
        self._gates = Gates(options, host, tally)
        origin = options.settings["listeners"].origin
        self._own = [_import_listener(path, origin) for path in options[RunOptions].listeners]
        xunit = options[XunitOptions]
        made = [xunit.place] if xunit.with_xunit else []
        for place in (*made, *(path for _, path in formats.wanted(options))):
            # Should this run not come to its end, the last one's file must not be taken for its.
            if place.is_file():
                place.unlink()

    def begin(
        self,
        run: str,
        stack: ExitStack,
        *,
        is_parallel: bool,
        in_browser: Collection[str],
        remembers: bool,
        measured: PublishMeasured,
        notice: Callable[[str], None],
    ) -> None:
        """Subscribe all but what measures coverage and the project's own: these come last, by :meth:`end_with`.

        Args:
            run: the id of the run.
            stack: closes what is open.
            is_parallel: whether the run forks, which goes with no thread.
            in_browser: the ids of the tests that need a browser.
            remembers: whether the durations of this run are for later ones.
            measured: publishes what a listener measured.
            notice: tells the user what is no fact.
        """
        with self._telling_github(measured, is_part=not remembers):
            if self._host.has_console:
                self._show(threaded=not is_parallel)
        if self._options[ExecutionOptions].leaks:
            from testkit.listeners.leaks import LeaksListener

            self._bus.subscribe(LeaksListener(measured))
        for gate in self._gates.listeners(measured, self.reports, is_whole=self.is_whole, is_part=not remembers):
            self._bus.subscribe(gate)
        if self._options[ScreenshotOptions].with_needle or self._host.parts:
            self._bus.subscribe(self._screenshots_listener(measured, in_browser, is_part=not remembers))
        xunit = self._options[XunitOptions]
        if xunit.with_xunit:
            self._bus.subscribe(xunit_listener(xunit))
            self.reports["xunit"] = str(xunit.place)
        for name, path in formats.wanted(self._options):
            self._bus.subscribe(formats.listening(name, path, stack))
            self.reports[formats.FORMATS[name].title] = str(path)
        if self._options[HistoryOptions].with_history and remembers:
            self._remember(notice)
        if not self._host.keeps_journal:
            return
        try:
            self._keep(run, stack, remembers=remembers)
        except OSError as error:
            notice(f"this run keeps no journal and remembers no durations: {error}")

    @contextmanager
    def _telling_github(self, measured: PublishMeasured, *, is_part: bool) -> Iterator[None]:
        """Subscribe what GitHub Actions is told by, around the console that the block subscribes."""
        has_console = self._host.has_console
        if not self._options[GithubOptions].is_on(os.environ, by_itself=has_console):
            yield
            return
        from testkit.listeners.github.commands import Log
        from testkit.listeners.github.listener import Folding, GithubListener

        log = Log(sys.stderr)
        folding = Folding(log)
        self._bus.subscribe(folding.before)
        yield
        if has_console:
            self._bus.subscribe(folding.after)
        self._bus.subscribe(
            GithubListener(
                log,
                measured,
                os.environ,
                is_part=is_part,
                stays_closed=not has_console,
                again="" if has_console else "python -m pytest --last-failed",
            )
        )

    def _show(self, *, threaded: bool) -> None:
        host = self._host
        console = console_listener(
            sys.stderr,
            self._options[ConsoleOptions],
            self._tally,
            verbosity=host.verbosity,
            buffer=host.buffer,
            durations=host.durations,
            expected=lambda: durations.load(self._places.durations).tests,
            live=not host.pdb,
            threaded=threaded,
        )
        self._bus.subscribe(console)
        self._flushes.append(console.refresh)

    def _screenshots_listener(
        self, measured: PublishMeasured, tests: Collection[str], *, is_part: bool
    ) -> ScreenshotsListener:
        from testkit.listeners.screenshots import ScreenshotsListener

        sizes = self._options.settings["breakpoints"].origin
        return ScreenshotsListener(
            measured,
            self.reports,
            tests,
            is_whole=self.is_whole,
            limited=sizes if sizes.startswith(("--", "TESTKIT_")) and not self._host.parts else "",
            is_part=is_part,
            parts=self._host.parts,
        )

    def _remember(self, notice: Callable[[str], None]) -> None:
        from testkit.session.history.remembering import history_listener

        options, cache = self._options[HistoryOptions], self._places.durations.parent
        if options.history_file.absolute().parent == cache:
            with suppress(OSError):  # which the listener tells
                _own_folder(cache)
        self._bus.subscribe(history_listener(options, notice))

    def _keep(self, run: str, stack: ExitStack, *, remembers: bool) -> None:
        known, journals = self._places.durations, self._places.journals
        _own_folder(known.parent)
        journal.remove_old_runs(_own_folder(journals), journal.KEPT_RUNS - 1)
        writer = journal.Journal(journals, run)
        stack.callback(writer.close)
        self._bus.subscribe(writer)
        self._flushes.append(writer.flush)
        self.has_journal = True
        if remembers:
            self._bus.subscribe(DurationsListener(lambda *newer: durations.remember(known, Durations(*newer))))

    @property
    def problem(self) -> str:
        """What fails the run although its tests have passed; empty for nothing."""
        return self._gates.problem

    def end_with(self, *listeners: Listener) -> None:
        """Subscribe ``listeners``, and the project's own after them."""
        for listener in (*listeners, *self._own):
            self._bus.subscribe(listener)

    def tick(self) -> None:
        """Let listeners do what does not wait for the next fact; several times a second while workers run tests."""
        for flush in self._flushes:
            flush()


class Losses:
    """Listens for workers that were lost, and the tests of which the coverage was lost with them."""

    def __init__(self) -> None:
        self.tests: list[str] = []

    def __call__(self, fact: Fact) -> None:
        if isinstance(fact, WorkerLost):
            self.tests += [*fact.unsaved, *([fact.running] if fact.running else [])]


def _own_folder(folder: Path) -> Path:
    """Make a folder of our own, which version control is to pass over."""
    folder.mkdir(parents=True, exist_ok=True)
    marker = folder / ".gitignore"
    if not marker.exists():
        marker.write_text("*\n")
    return folder


def _import_listener(path: str, origin: str) -> Listener:
    from django.utils.module_loading import import_string

    try:
        found = import_string(path)
        listener: Listener = found() if isinstance(found, type) else found
    except Exception as error:
        raise OptionError(f"{origin} names {path}, which cannot be used: {type(error).__name__}: {error}") from error
    return listener
