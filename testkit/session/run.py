"""One run of tests: select them, run them, tell the listeners, and say how it ended."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from unittest import TestResult

from testkit.core import journal
from testkit.core.bus import Bus, Listener
from testkit.core.clock import clock
from testkit.core.errors import ExitStatus, OptionError, TestkitError
from testkit.core.events import Fact, RunFinished, RunMeasured, RunStarted, WorkerLost
from testkit.core.options import Options, flag_of
from testkit.core.tally import Tally
from testkit.execution.capture import Capture
from testkit.execution.ids import iterate, test_id
from testkit.execution.interrupts import Interrupted, Interrupts
from testkit.execution.limits import Limits, Policy
from testkit.execution.options import ExecutionOptions
from testkit.execution.processes import honest_exits
from testkit.execution.recorder import Publish, Recorder
from testkit.execution.stopping import StopWhen
from testkit.execution.watchdog import RunTimedOut, Watchdog
from testkit.listeners.console import ConsoleOptions, console_listener
from testkit.listeners.durations import DurationsListener
from testkit.listeners.xunit import XunitOptions, xunit_listener
from testkit.selection import durations, rerun
from testkit.selection.durations import Durations
from testkit.selection.rerun import RerunOptions
from testkit.selection.shards import ShardOptions
from testkit.session.options import CACHE, REPORTS, RunOptions
from testkit.session.ways import Inline, Way

if TYPE_CHECKING:
    from testkit.coverage.measure import Measurement
    from testkit.session.pooled import Workers
    from testkit.session.sharding import Sharding


class Host(NamedTuple):
    """What the front's own flags say of the run; the names are ``DiscoverRunner``'s."""

    verbosity: int = 1
    failfast: bool = False
    buffer: bool = False
    debug_sql: bool = False
    pdb: bool = False
    durations: int | None = None


class Session:
    """One run: select the tests, run them, and say how it ended.

    Enter it first; then call ``select``, ``run`` and, when everything was torn down, ``finish``.
    """

    def __init__(self, options: Options, host: Host, measurement: Measurement | None = None) -> None:
        """``measurement`` is the coverage measurement that is on, if one is."""
        self.options = options
        self.interrupts = Interrupts()
        self._host = host
        self._measurement = measurement
        self._tally = Tally()
        self._bus = Bus([self._tally])
        self._stack = ExitStack()
        self._reports: dict[str, str] = {}
        self._early: list[RunMeasured] = []
        self._finished: RunFinished | None = None
        self._below_minimum = ""
        self._run_id = ""
        self._losses = Losses()
        self._own_listeners: list[Listener] = []
        self._has_journal = False
        self._flushes: list[Callable[[], None]] = []
        self._started = 0.0
        self._folder = Path()
        # A test may change the working directory.
        self._journals, self._durations = (REPORTS / "journal").absolute(), (CACHE / "durations.json").absolute()
        self.sharding = _sharding_of(options, self._durations)

    def __enter__(self) -> Self:
        self._stack.enter_context(self.interrupts)
        self._tell_what_has_no_effect()
        origin = self.options.settings["listeners"].origin
        self._own_listeners = [_import_listener(path, origin) for path in self.options[RunOptions].listeners]
        xunit = self.options[XunitOptions]
        if xunit.with_xunit and xunit.place.is_file():
            # Should this run not come to its end, the last one's file must not be taken for its.
            xunit.place.unlink()
        if self.sharding is not None:
            self.sharding.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def _tell_what_has_no_effect(self) -> None:
        settings = self.options.settings
        for prefix, switch in (("cover_", "with_cov"), ("xunit_", "with_xunit")):
            for name, setting in settings.items():
                if name.startswith(prefix) and setting.origin.startswith("--") and not settings[switch].value:
                    self.notice(f"{setting.origin} has no effect without {flag_of(switch)}")

    def notice(self, text: str) -> None:
        """Tell the user something about the run that is no fact of it."""
        if self._host.verbosity > 0:
            print(f"testkit: {text}", file=sys.stderr, flush=True)

    # Selecting

    def loading(self, runner: Any, labels: Sequence[str] | None) -> AbstractContextManager[None]:
        """Return what is to be around ``runner``'s (a ``DiscoverRunner``'s) loading of ``labels``."""
        return nullcontext() if self.sharding is None else self.sharding.loading(runner, labels or ())

    def select(self, tests: Sequence[Any], rank_of: Callable[[Any], int]) -> list[Any]:
        """Return the tests that are to run, in order.

        ``rank_of`` gives the rank of a test in Django's order (TestCase before TransactionTestCase), which is kept.
        """
        self.interrupts.check()
        if self.sharding is not None:
            tests = self.sharding.select(tests, rank_of)
            self.notice(self.sharding.describe(len(tests)))
        wanted = self.options[RerunOptions]
        if not (wanted.last_failed or wanted.failed_first):
            return list(tests)
        failed = self._failed_in_last_runs()
        if wanted.last_failed:
            selected = rerun.last_failed(tests, failed, test_id)
            if selected:
                self.notice(f"--last-failed: {len(selected)} of {len(tests)} tests")
                return selected
            self.notice("--last-failed: no test that failed when it last ran is among these, so all of them run")
        ranks: dict[int, list[Any]] = {}
        for test in tests:
            ranks.setdefault(rank_of(test), []).append(test)
        return [test for _, group in sorted(ranks.items()) for test in rerun.failed_first(group, failed, test_id, type)]

    def _failed_in_last_runs(self) -> frozenset[str]:
        runs = journal.runs(self._journals)
        # A run of some tests says nothing of the others: what failed before that still does.
        return rerun.failed_ids(fact for run in runs for fact in journal.read(self._journals, run))

    # Running

    def run(self, suite: Any, workers: Workers | None = None) -> TestResult:
        """Run the tests of ``suite`` and publish what happens, from RunStarted to RunFinished.

        Args:
            suite: the selected tests, in the order of the run.
            workers: of a parallel run; else all runs in this process.

        Raises:
            TestkitError: this session has run tests before, or workers cannot be started.
        """
        if self._run_id:
            raise TestkitError("run_suite() of the project's runner runs tests a second time: one run has one suite")
        sys.stdout.flush()  # what Django has said so far comes before the tests, also where it is a file
        options = self.options[ExecutionOptions]
        rounds = 0 if options.until_fail and options.repeat < 2 else max(options.repeat, 1)
        self._folder = Path(tempfile.mkdtemp(prefix="testkit-"))
        self._stack.callback(shutil.rmtree, self._folder, ignore_errors=True)
        self._listen(is_parallel=workers is not None)
        watchdog = self._start_watchdog(suite)
        way = self._way(suite, workers, watchdog)
        self._bus.subscribe(StopWhen(self._tally, self._most_failures(), way.stop))
        ids = tuple(test_id(test) for test in iterate(suite))
        ids = ids if options.until_fail else ids * rounds
        if self.sharding is not None:
            self.sharding.write(self._run_id, ids)
        self._bus.publish(_run_started(self._run_id, ids))
        for fact in self._early:
            self._bus.publish(fact)
        started = clock.seconds()
        ended_early = "an error outside of the tests"
        try:
            with self._surrounded(way, watchdog), self.interrupts.stopping(way.stop):
                way.run(rounds)
            ended_early = self._why_stopped() if way.stopped else ""
        except Interrupted:
            ended_early = ""
        except RunTimedOut as error:
            ended_early = str(error)
        finally:
            self._publish_end(clock.seconds() - started, ended_early)
        if way.remark:
            self.notice(way.remark)
        return way.result

    def find_pollution(self, suite: Any, workers: Workers, arguments: Sequence[str]) -> int:
        """Do what ``--find-pollution`` asks, and return how many tests make the test fail.

        Raises:
            TestkitError: the test is not among those of ``suite``, or does not fail there.
        """
        from testkit.session.pollution import Trials, find_pollution

        trials = Trials(suite, self.options[ExecutionOptions].find_pollution, workers, self._recording())
        return len(find_pollution(trials, self._journals, arguments, print))

    def _way(self, suite: Any, workers: Workers | None, watchdog: Watchdog | None) -> Way:
        options = self.options[ExecutionOptions]
        if workers is not None:
            from testkit.session.pooled import Pooled  # here, as it brings what only parallel runs need

            return Pooled(
                suite,
                workers,
                self.options,
                self._bus,
                durations.load(self._durations),
                folder=self._folder,
                recording=self._recording(),
                is_covered=self._measurement is not None,
                tell=self.notice,
                tick=self._tick,
                watchdog=watchdog,
            )
        self._capture = Capture(show=not self._host.buffer)
        if options.retries or options.repeat > 1 or options.until_fail:
            from testkit.session.units import UnitByUnit  # as few runs need it

            policy = Policy(options.retries, options.retry_delay)
            return UnitByUnit(suite, lambda publish: self._recorder(publish, watchdog), self._bus, policy)
        return Inline(suite, self._recorder(self._bus.publish, watchdog))

    def _recording(self) -> dict[str, bool]:
        """Return the options of the recorder that workers have as well."""
        host, options = self._host, self.options[ExecutionOptions]
        return {
            "failfast": host.failfast and not options.retries,
            "debug_sql": host.debug_sql,
            "keep_all_sql": host.verbosity > 1,
            "leaks": options.leaks,
        }

    def _recorder(self, publish: Publish, watchdog: Watchdog | None) -> Recorder:
        recording: dict[str, Any] = self._recording()
        if recording.pop("leaks"):
            from testkit.execution.leaks import LeakProbe

            recording["leaks"] = probe = LeakProbe()
            self._stack.callback(probe.close)
        if watchdog is not None:
            recording["overdue"] = lambda: watchdog.overdue
        return Recorder(publish, self._capture, pdb=self._host.pdb, **recording)

    @contextmanager
    def _surrounded(self, way: Way, watchdog: Watchdog | None) -> Iterator[None]:
        """Set this process up for tests, if they run in it."""
        if not way.is_here:
            yield
            return
        with honest_exits(), self._capture, watchdog.enforcing() if watchdog else nullcontext():
            if watchdog:
                self._bus.subscribe(watchdog)
            yield

    def _start_watchdog(self, suite: Any) -> Watchdog | None:
        """Start the process that outlives this one, unless a debugger is wanted, which takes its time."""
        if self._host.pdb or not self._has_journal:
            return None
        options = self.options[ExecutionOptions]
        limits = Limits.of_tests(iterate(suite), options)
        watchdog = Watchdog(
            self._journals,
            self._run_id,
            self._folder,
            self._reporting_command(),
            limit_of=limits.of,
            run_timeout=options.run_timeout,
        )
        self._stack.callback(watchdog.close)
        return watchdog

    def _reporting_command(self) -> list[str]:
        """Return the command that writes the reports of this run from its journal."""
        xunit = self.options[XunitOptions]
        command = [sys.executable, "-m", "testkit", "report", f"--journal={self._journals}", f"--run={self._run_id}"]
        if not xunit.with_xunit:
            return [*command, "--no-with-xunit"]
        return [*command, "--with-xunit", f"--xunit-file={xunit.xunit_file}", f"--xunit-flavour={xunit.xunit_flavour}"]

    def _most_failures(self) -> int:
        """Return at how many failures the run ends; 0 for none."""
        options = self.options[ExecutionOptions]
        return 1 if self._host.failfast or options.until_fail else options.max_failures

    def _why_stopped(self) -> str:
        options = self.options[ExecutionOptions]
        if self._tally.bad and self._host.failfast:
            return "--failfast"
        if self._tally.bad and options.until_fail:
            return "--until-fail"
        if options.max_failures and self._tally.bad >= options.max_failures:
            return f"--max-failures {options.max_failures}"
        return "a test stopped the run"

    def _tick(self) -> None:
        """Do what is to be done several times a second while workers run tests."""
        for flush in self._flushes:
            flush()
        limit = self.options[ExecutionOptions].run_timeout
        if limit and clock.seconds() - self._started > limit:
            raise RunTimedOut(f"the run took longer than --run-timeout {limit:g}")

    def _publish_end(self, seconds: float, stopped: str) -> None:
        interrupted = self.interrupts.received
        left = self._tally.unaccounted()
        was_cut = bool(interrupted or stopped)
        self._finished = RunFinished(
            at=clock.now(),
            seconds=seconds,
            interrupted=interrupted,
            stopped="" if interrupted else stopped,
            not_run=left if was_cut else (),
            lost=() if was_cut else left,
        )
        self._bus.publish(self._finished)

    def measured(self, section: str, data: Mapping[str, Any]) -> None:
        """Publish something that was measured about the run; what comes before the tests waits for them."""
        fact = RunMeasured(section=section, data=data)
        if self._run_id:
            self._bus.publish(fact)
        else:
            self._early.append(fact)

    def _listen(self, *, is_parallel: bool) -> None:
        host = self._host
        self._run_id = journal.new_run_id()
        self._started = clock.seconds()
        console = console_listener(
            sys.stderr,
            self.options[ConsoleOptions],
            self._tally,
            verbosity=host.verbosity,
            buffer=host.buffer,
            durations=host.durations,
            expected=lambda: durations.load(self._durations).tests,
            live=not host.pdb,
            threaded=not is_parallel,
        )
        self._bus.subscribe(console)
        self._flushes = [console.refresh]
        if self.options[ExecutionOptions].leaks:
            from testkit.listeners.leaks import LeaksListener

            self._bus.subscribe(LeaksListener(self.measured))
        self._listen_to_files()
        if self._measurement is not None:
            self._bus.subscribe(self._measurement)
            self._bus.subscribe(self._losses)
        for listener in self._own_listeners:
            self._bus.subscribe(listener)

    def _listen_to_files(self) -> None:
        xunit = self.options[XunitOptions]
        if xunit.with_xunit:
            self._bus.subscribe(xunit_listener(xunit))
            self._reports["xunit"] = str(xunit.place)
        try:
            _own_folder(self._durations.parent)
            journal.remove_old_runs(_own_folder(self._journals), journal.KEPT_RUNS - 1)
            writer = journal.Journal(self._journals, self._run_id)
        except OSError as error:
            self.notice(f"this run keeps no journal and remembers no durations: {error}")
            return
        self._stack.callback(writer.close)
        self._bus.subscribe(writer)
        self._flushes.append(writer.flush)
        self._has_journal = True
        if self.sharding is None:  # the durations that a shard was planned from are for the merge to change
            self._bus.subscribe(
                DurationsListener(lambda *newer: durations.remember(self._durations, Durations(*newer)))
            )

    # Ending

    def finish(self) -> None:
        """Make the reports that need the run to be over, and say where all of them are; if there was a run."""
        if not self._run_id:
            return
        try:
            if self._measurement is not None:
                self._finish_coverage(self._measurement)
        finally:
            if self._reports:
                self.measured("reports", self._reports)

    def _finish_coverage(self, measurement: Measurement) -> None:
        result = measurement.finish()
        for warning in result.warnings:
            self.notice(f"coverage.py: {warning}")
        if self._losses.tests:
            self.notice(
                f"the coverage lacks what {len(self._losses.tests)} tests ran in workers that were lost: "
                f"{', '.join(self._losses.tests[:3])}{' …' * (len(self._losses.tests) > 3)}"
            )
        self._reports |= {title: str(path) for title, path in result.reports.items()}
        if self.sharding is None:
            self._below_minimum = result.below_minimum
        else:
            measurement.keep(self._journals.parent)  # only all shards together can reach a minimum
        self.measured(
            "coverage",
            {
                "percent": result.percent,
                "covered": result.covered,
                "statements": result.statements,
                "text": f"\n{result.text.rstrip()}",
            },
        )

    def status(self, failures: int | None) -> tuple[ExitStatus, str]:
        """Return how the process should end, and why if it is for more than ``failures`` tests that failed.

        ``failures`` is what the project's runner made of the result; the facts go before it.
        """
        end, name = self._finished, self.interrupts.received
        if name:
            status = ExitStatus.TERMINATED if name == "SIGTERM" else ExitStatus.INTERRUPTED
            return status, f"the run was interrupted by {name}"
        if end is None:
            return ExitStatus.RUN_FAILED, "run_suite() of the project's runner did not run the tests by testkit"
        if self._bus.failures:
            failure = self._bus.failures[0]
            return ExitStatus.RUN_FAILED, f"the listener {failure.listener} failed:\n{failure.traceback}"
        if end.lost:
            return ExitStatus.RUN_FAILED, f"{len(end.lost)} tests were collected and never reported (see above)"
        if self._tally.flaky and self.options[ExecutionOptions].flaky == "fail" and not self._tally.bad:
            return ExitStatus.TESTS_FAILED, f"{self._tally.flaky} flaky tests, and --flaky=fail (see above)"
        is_empty_shard = self.sharding is not None and self.sharding.may_be_empty
        if self._tally.nothing_ran and not (is_empty_shard or self.options[RunOptions].allow_no_tests):
            return ExitStatus.NOTHING_RAN, "no test ran: check the labels and the pattern, or give --allow-no-tests"
        return self._status_of_tests(end, self._tally.bad if failures is None else failures)

    def _status_of_tests(self, end: RunFinished, failures: int) -> tuple[ExitStatus, str]:
        if failures:
            if self._below_minimum:
                self.notice(self._below_minimum)
            return ExitStatus.TESTS_FAILED, ""
        if self._tally.bad:
            self.notice(f"suite_result() of the project's runner lets {self._tally.bad} failures pass")
        elif end.not_run:
            return ExitStatus.RUN_FAILED, f"{end.stopped}, and {len(end.not_run)} tests did not run (see above)"
        if self._below_minimum:
            return ExitStatus.RUN_FAILED, self._below_minimum
        return ExitStatus.PASSED, ""


class Losses:
    """Listens for workers that were lost, and the tests of which the coverage was lost with them."""

    def __init__(self) -> None:
        self.tests: list[str] = []

    def __call__(self, fact: Fact) -> None:
        if isinstance(fact, WorkerLost):
            self.tests += [*fact.unsaved, *([fact.running] if fact.running else [])]


def _sharding_of(options: Options, known: Path) -> Sharding | None:
    if not (options[ShardOptions].shard or options[ShardOptions].shard_from):
        return None
    from testkit.session.sharding import sharding_of  # here, as most runs are none of several

    return sharding_of(options, REPORTS, known, os.environ)


def _run_started(run: str, ids: tuple[str, ...]) -> RunStarted:
    django = sys.modules.get("django")
    return RunStarted(
        run=run,
        at=clock.now(),
        ids=ids,
        python=platform.python_version(),
        django=django.get_version() if django else "",
        hostname=platform.node(),
        directory=os.getcwd(),
    )


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
