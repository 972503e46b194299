"""The listeners of a run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from testkit.core import journal
from testkit.core.bus import Bus, Listener
from testkit.core.errors import OptionError
from testkit.core.events import Fact, WorkerLost
from testkit.core.options import Options
from testkit.core.tally import Tally
from testkit.coverage.routes.options import RouteOptions
from testkit.execution.options import ExecutionOptions
from testkit.listeners.console import ConsoleOptions, console_listener
from testkit.listeners.durations import DurationsListener
from testkit.listeners.history import HistoryOptions
from testkit.listeners.xunit import XunitOptions, xunit_listener
from testkit.queries.options import QueryOptions
from testkit.screenshots.options import ScreenshotOptions
from testkit.selection import durations
from testkit.selection.durations import Durations
from testkit.selection.shards import ShardOptions
from testkit.session.host import Host
from testkit.session.options import RunOptions

if TYPE_CHECKING:
    from testkit.coverage.routes.base import Base
    from testkit.listeners.budgets import BudgetsListener
    from testkit.listeners.routes import RoutesListener
    from testkit.listeners.screenshots import ScreenshotsListener

Measured = Callable[[str, Mapping[str, Any]], None]


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
        self._budgets: BudgetsListener | None = None
        self._routes: RoutesListener | None = None
        self._check_budgets_file()
        self._base = self._base_of_routes()
        origin = options.settings["listeners"].origin
        self._own = [_import_listener(path, origin) for path in options[RunOptions].listeners]
        xunit = options[XunitOptions]
        if xunit.with_xunit and xunit.place.is_file():
            # Should this run not come to its end, the last one's file must not be taken for its.
            xunit.place.unlink()

    def begin(
        self,
        run: str,
        stack: ExitStack,
        *,
        is_parallel: bool,
        in_browser: Collection[str],
        remembers: bool,
        measured: Measured,
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
        if self._host.has_console:
            self._show(threaded=not is_parallel)
        if self._options[ExecutionOptions].leaks:
            from testkit.listeners.leaks import LeaksListener

            self._bus.subscribe(LeaksListener(measured))
        if self._options[QueryOptions].has_budgets:
            self._budgets = self._budgets_listener(measured, is_part=not remembers)
            self._bus.subscribe(self._budgets)
        if self._options[RouteOptions].has_routes:
            self._routes = self._routes_listener(measured, is_part=not remembers)
            self._bus.subscribe(self._routes)
        if self._options[ScreenshotOptions].with_needle and not self._host.parts:
            self._bus.subscribe(self._screenshots_listener(measured, in_browser, is_part=not remembers))
        xunit = self._options[XunitOptions]
        if xunit.with_xunit:
            self._bus.subscribe(xunit_listener(xunit))
            self.reports["xunit"] = str(xunit.place)
        if self._options[HistoryOptions].with_history and remembers:
            self._remember(notice)
        if not self._host.keeps_journal:
            return
        try:
            self._keep(run, stack, remembers=remembers)
        except OSError as error:
            notice(f"this run keeps no journal and remembers no durations: {error}")

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

    def _budgets_listener(self, measured: Measured, *, is_part: bool) -> BudgetsListener:
        from testkit.endpoints.routes import all_paths
        from testkit.listeners.budgets import BudgetsListener

        return BudgetsListener(
            measured,
            self._options[QueryOptions],
            self._tally,
            routes=None if self._host.parts else all_paths,
            is_whole=self.is_whole,
            is_part=is_part,
            parts=self._host.parts,
        )

    def _screenshots_listener(
        self, measured: Measured, tests: Collection[str], *, is_part: bool
    ) -> ScreenshotsListener:
        from testkit.listeners.screenshots import ScreenshotsListener

        sizes = self._options.settings["breakpoints"].origin
        return ScreenshotsListener(
            measured,
            self.reports,
            tests,
            is_whole=self.is_whole and not is_part,
            limited=sizes if sizes.startswith(("--", "TESTKIT_")) else "",
        )

    def _routes_listener(self, measured: Measured, *, is_part: bool) -> RoutesListener:
        from testkit.endpoints.routes import all_routes
        from testkit.listeners.routes import RoutesListener

        options = self._options[RouteOptions]
        if not is_part:
            self.reports["routes"] = str(options.routes_file)
        return RoutesListener(
            measured,
            options,
            self._tally,
            routes=None if self._host.parts else all_routes,
            base=None if is_part else self._base,
            is_whole=self.is_whole,
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

    def _check_budgets_file(self) -> None:
        """Refuse a file of budgets that somebody named and that is not there: it would check nothing.

        Raises:
            OptionError: it is not there.
        """
        options, setting = self._options[QueryOptions], self._options.settings["query_budgets_file"]
        is_wanted = options.query_budgets == "check" or (
            options.query_budgets == "auto" and setting.origin != "default"
        )
        if is_wanted and not self._host.parts and not options.query_budgets_file.exists():
            raise OptionError(
                f"there is no file {options.query_budgets_file} (from {setting.origin}) with query budgets: "
                "--query-budgets=record writes it"
            )

    def _base_of_routes(self) -> Base | None:
        """Return the commit that the routes are compared with, if there is one.

        Raises:
            OptionError: there is nothing to compare with, or no such commit.
        """
        options = self._options[RouteOptions]
        if options.routes_base:
            if self._options[ShardOptions].shard:
                return None  # the run that joins the shards compares, and they need not have the commit
            from testkit.coverage.routes.base import Base

            return Base(options.routes_base, Path.cwd())
        is_told = options.untested_routes_file.exists() or options.update_untested_routes
        if options.fail_untested_routes == "new" and not is_told:
            raise OptionError(
                f"--fail-untested-routes=new needs to know what is not new: --update-untested-routes writes "
                f"{options.untested_routes_file}, or name a commit by --routes-base"
            )
        return None

    @property
    def problem(self) -> str:
        """What fails the run although its tests have passed; empty for nothing."""
        problems = [listener.problem for listener in (self._budgets, self._routes) if listener is not None]
        return "; ".join(filter(None, problems))

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
