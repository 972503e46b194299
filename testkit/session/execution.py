"""How the tests of a session are run: in which way, with what around them, and why they ended."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testkit.core.bus import Bus
from testkit.core.clock import clock
from testkit.core.events import Fact, FixtureFinished, TestFinished
from testkit.core.options import Options
from testkit.coverage.routes.options import RouteOptions
from testkit.execution.capture import Capture
from testkit.execution.ids import iterate
from testkit.execution.interrupts import Interrupted, Interrupts
from testkit.execution.limits import Limits, Policy
from testkit.execution.options import ExecutionOptions
from testkit.execution.processes import honest_exits
from testkit.execution.recorder import Publish, Recorder
from testkit.execution.stopping import StopWhen
from testkit.execution.watchdog import RunTimedOut, Watchdog
from testkit.listeners.history import HistoryOptions
from testkit.listeners.xunit import XunitOptions
from testkit.queries.options import QueryOptions
from testkit.selection import durations
from testkit.selection.shards import ShardOptions
from testkit.session import formats
from testkit.session.host import Host
from testkit.session.listening import Places
from testkit.session.ways import Inline, Way

if TYPE_CHECKING:
    from testkit.session.pooled import Workers


class Execution:
    """One execution of a suite."""

    def __init__(
        self,
        options: Options,
        host: Host,
        bus: Bus,
        stack: ExitStack,
        *,
        run: str,
        places: Places,
        folder: Path,
        is_covered: bool,
        notice: Callable[[str], None],
        tick: Callable[[], None],
        ends: Callable[[], str],
    ) -> None:
        """Prepare it.

        Args:
            options: of the run.
            host: what the front's own flags say.
            bus: gets the facts.
            stack: undoes at the end of the session what is begun here.
            run: the id of the run.
            places: where the journal and the durations are.
            folder: a folder for files of the run.
            is_covered: whether coverage is measured.
            notice: tells the user what is no fact.
            tick: is called several times a second while workers run tests.
            ends: returns why no further test is to begin, if so.
        """
        self._all_options, self._options = options, options[ExecutionOptions]
        self._host, self._bus, self._stack = host, bus, stack
        self._run, self._places, self._folder, self._is_covered = run, places, folder, is_covered
        self._notice, self._listeners_tick, self._ends = notice, tick, ends
        self._started = clock.seconds()
        self._watchdog: Watchdog | None = None

    @property
    def rounds(self) -> int:
        """How often all tests run; 0 for without end."""
        return 0 if self._options.until_fail and self._options.repeat < 2 else max(self._options.repeat, 1)

    def watch(self, suite: Any, *, has_journal: bool) -> None:
        """Start the process that outlives this one, unless a debugger is wanted, which takes its time."""
        if self._host.pdb:
            return
        self._watchdog = Watchdog(
            self._places.journals if has_journal else None,
            self._run,
            self._folder,
            self._reporting_command(),
            limit_of=Limits.of_tests(iterate(suite), self._options).of,
            run_timeout=self._options.run_timeout,
        )
        self._stack.callback(self._watchdog.close)

    def _reporting_command(self) -> list[str]:
        """Return the command that writes the reports of this run from its journal."""
        xunit = self._all_options[XunitOptions]
        command = [
            sys.executable,
            "-m",
            "testkit",
            "report",
            f"--journal={self._places.journals}",
            f"--run={self._run}",
            *formats.flags(self._all_options),
            *self._history_flags(),
        ]
        if not xunit.with_xunit:
            return [*command, "--no-with-xunit"]
        return [*command, "--with-xunit", f"--xunit-file={xunit.xunit_file}", f"--xunit-flavour={xunit.xunit_flavour}"]

    def _history_flags(self) -> list[str]:
        history, shard = self._all_options[HistoryOptions], self._all_options[ShardOptions]
        if not history.with_history or shard.shard or shard.shard_from:  # of shards, their merge is remembered
            return ["--no-with-history"]
        return ["--with-history", f"--history-file={history.history_file}", f"--history-runs={history.history_runs}"]

    def way(self, suite: Any, workers: Workers | None) -> Way:
        """Return the way in which ``suite`` is run: by ``workers``, or in this process."""
        options = self._options
        if workers is not None:
            from testkit.session.pooled import Pooled  # here, as it brings what only parallel runs need

            return Pooled(
                suite,
                workers,
                self._all_options,
                self._bus,
                durations.load(self._places.durations),
                folder=self._folder,
                recording=recording(self._host, options),
                is_covered=self._is_covered,
                tell=self._notice,
                tick=self._tick,
                watchdog=self._watchdog,
            )
        self._capture = Capture(show=not self._host.buffer)
        if options.retries or options.repeat > 1 or options.until_fail:
            from testkit.session.units import UnitByUnit  # as few runs need it

            return UnitByUnit(suite, self._recorder, self._bus, Policy(options.retries, options.retry_delay))
        return Inline(suite, self._recorder(self._bus.publish))

    def _recorder(self, publish: Publish) -> Recorder:
        given: dict[str, Any] = recording(self._host, self._options)
        if given.pop("leaks"):
            from testkit.execution.leaks import LeakProbe

            given["leaks"] = probe = LeakProbe()
            self._stack.callback(probe.close)
        watchdog = self._watchdog
        if watchdog is not None:
            given["overdue"] = watchdog.take_back
        return Recorder(publish, self._capture, pdb=self._host.pdb, **given)

    def run(self, way: Way, interrupts: Interrupts) -> str:
        """Run the tests and return why they ended early, empty if they did not or a signal tells."""
        counted = StopWhen(self._most_failures(), way.stop)
        if counted.is_needed:
            self._bus.subscribe(counted)

        def look_for_end(fact: Fact) -> None:
            if isinstance(fact, TestFinished | FixtureFinished) and self._ends():
                way.stop()

        self._bus.subscribe(look_for_end)
        try:
            with self._surrounded(way, interrupts), interrupts.stopping(way.stop):
                way.run(self.rounds)
        except Interrupted:
            return ""
        except RunTimedOut as error:
            return str(error)
        return self._why_stopped(counted.failed) if way.stopped else ""

    @contextmanager
    def _surrounded(self, way: Way, interrupts: Interrupts) -> Iterator[None]:
        """Set this process up for tests, if they run in it."""
        if not way.is_here:
            yield
            return
        watchdog = self._watchdog
        enforcing = watchdog.enforcing(interrupts) if watchdog else nullcontext()
        with honest_exits(), noting_requests(self._all_options), self._capture, enforcing:
            if watchdog:
                self._bus.subscribe(watchdog)
            yield

    def _most_failures(self) -> int:
        """Return at how many failures the run ends; 0 for none."""
        return 1 if self._host.failfast or self._options.until_fail else self._options.max_failures

    def _why_stopped(self, failed: int) -> str:
        if reason := self._ends():
            return reason
        if failed and self._host.failfast:
            return "--failfast"
        if failed and self._options.until_fail:
            return "--until-fail"
        if 0 < self._options.max_failures <= failed:
            return f"--max-failures {self._options.max_failures}"
        return "a test stopped the run"

    def _tick(self) -> None:
        self._listeners_tick()
        limit = self._options.run_timeout
        if limit and clock.seconds() - self._started > limit:
            raise RunTimedOut(f"the run took longer than --run-timeout {limit:g}")


def recording(host: Host, options: ExecutionOptions) -> dict[str, bool]:
    """Return the options of recorders, in whatever process they are."""
    return {
        "failfast": host.failfast and not options.retries,
        "debug_sql": host.debug_sql,
        "keep_all_sql": host.verbosity > 1,
        "leaks": options.leaks,
    }


@contextmanager
def noting_requests(options: Options) -> Iterator[None]:
    """Note what the requests of this process's tests cost, and which routes they ask for, as far as ``options`` want it."""
    with ExitStack() as stack:
        budgets = options[QueryOptions]
        if budgets.has_budgets:
            from testkit.queries.budgets.hooks import followed

            stack.enter_context(followed("", str(budgets.query_budgets_file.absolute())))
        if options[RouteOptions].has_routes:
            from testkit.coverage.routes.hooks import heard

            stack.enter_context(heard())
        yield
