"""One run of tests: select them, run them, tell the listeners, and say how it ended."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from unittest import TestResult

from testkit.core import journal
from testkit.core.bus import Bus, Listener
from testkit.core.clock import clock
from testkit.core.errors import ExitStatus, TestkitError
from testkit.core.events import RunFinished, RunMeasured, RunStarted
from testkit.core.options import Options, flag_of
from testkit.core.tally import Tally
from testkit.execution.ids import iterate, test_id
from testkit.execution.interrupts import Interrupts
from testkit.execution.limits import Limits
from testkit.execution.options import ExecutionOptions
from testkit.execution.watchdog import Watchdog
from testkit.queries.options import QueryOptions
from testkit.screenshots import options as screenshots
from testkit.screenshots.needle.adapter import adapt
from testkit.selection import rerun
from testkit.selection.rerun import RerunOptions
from testkit.selection.shards import ShardOptions
from testkit.session.execution import Execution
from testkit.session.host import Host
from testkit.session.listening import Listening, Losses, Places
from testkit.session.options import CACHE, REPORTS, RunOptions
from testkit.session.status import Ending

if TYPE_CHECKING:
    from testkit.coverage.measure import Measurement
    from testkit.session.pooled import Workers
    from testkit.session.sharding import Sharding


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
        self._early: list[RunMeasured] = []
        self._finished: RunFinished | None = None
        self._below_minimum = ""
        self._run_id = ""
        self._losses = Losses()
        self._failed: frozenset[str] = frozenset()
        self._listening: Listening | None = None
        # A test may change the working directory.
        self._places = Places((REPORTS / "journal").absolute(), (CACHE / "durations.json").absolute())
        self.sharding = _sharding_of(options, self._places.durations)

    def __enter__(self) -> Self:
        self._stack.enter_context(self.interrupts)
        self._tell_what_has_no_effect()
        if self.options[QueryOptions].update_query_snapshots:
            os.environ["TESTKIT_UPDATE_QUERY_SNAPSHOTS"] = "1"  # for the assertion, in whatever process it is
        self._listening = Listening(self.options, self._host, self._bus, self._tally, self._places)
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
        if self.options[QueryOptions].query_budgets == "off" and self.options[QueryOptions].update_query_budgets:
            self.notice("--update-query-budgets has no effect with --query-budgets=off")

    def hear(self, listener: Listener) -> None:
        """Let ``listener`` hear the facts from now on."""
        self._bus.subscribe(listener)

    def notice(self, text: str) -> None:
        """Tell the user something about the run that is no fact of it."""
        if self._host.verbosity > 0:
            print(f"testkit: {text}", file=sys.stderr, flush=True)

    # Selecting

    def loading(self, runner: Any, labels: Sequence[str] | None) -> AbstractContextManager[None]:
        """Return what is to be around ``runner``'s (a ``DiscoverRunner``'s) loading of ``labels``."""
        screenshots.export(self.options)
        adapt()
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
        self._failed = failed
        ranks: dict[int, list[Any]] = {}
        for test in tests:
            ranks.setdefault(rank_of(test), []).append(test)
        return [test for _, group in sorted(ranks.items()) for test in rerun.failed_first(group, failed, test_id, type)]

    def rank_of_failed(self, test: Any) -> int:
        """Return 0 for a test that ``--failed-first`` puts before the others, which have 1."""
        return 0 if rerun.is_below(test_id(test), self._failed) else 1

    def _failed_in_last_runs(self) -> frozenset[str]:
        runs = journal.runs(self._places.journals)
        # A run of some tests says nothing of the others: what failed before that still does.
        return rerun.failed_ids(fact for run in runs for fact in journal.read(self._places.journals, run))

    # Running

    def run(self, suite: Any, workers: Workers | None = None, ends: Callable[[], str] = lambda: "") -> TestResult:
        """Run the tests of ``suite`` and publish what happens, from RunStarted to RunFinished.

        Args:
            suite: the selected tests, in the order of the run.
            workers: of a parallel run; else all runs in this process.
            ends: returns why no further test is to begin, if so; it is asked after each test.

        Raises:
            TestkitError: this session has run tests before, or workers cannot be started.
        """
        if self._run_id:
            raise TestkitError("run_suite() of the project's runner runs tests a second time: one run has one suite")
        sys.stdout.flush()  # what Django has said so far comes before the tests, also where it is a file
        listening = self._listen(_in_browser(suite), is_parallel=workers is not None)
        folder = self._make_folder()
        execution = Execution(
            self.options,
            self._host,
            self._bus,
            self._stack,
            run=self._run_id,
            places=self._places,
            folder=folder,
            is_covered=self._measurement is not None,
            notice=self.notice,
            tick=listening.tick,
            ends=ends,
        )
        execution.watch(suite, has_journal=listening.has_journal)
        way = execution.way(suite, workers)
        ids = tuple(test_id(test) for test in iterate(suite)) * max(execution.rounds, 1)
        if self.sharding is not None:
            self.sharding.write(self._run_id, ids)
        self._bus.publish(_run_started(self._run_id, ids))
        for fact in self._early:
            self._bus.publish(fact)
        started = clock.seconds()
        ended_early = "an error outside of the tests"
        try:
            ended_early = execution.run(way, self.interrupts)
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

        options = self.options[ExecutionOptions]
        limits, folder = Limits.of_tests(iterate(suite), options), self._make_folder()
        watchdog = Watchdog(None, "", folder, (), limit_of=limits.of)
        self._stack.callback(watchdog.close)
        trials = Trials(suite, options.find_pollution, workers, limits, folder, watchdog)
        return len(find_pollution(trials, self._places.journals, arguments, print))

    def _make_folder(self) -> Path:
        """Make a folder for files of this run, which goes with it."""
        folder = Path(tempfile.mkdtemp(prefix="testkit-"))
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        return folder

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

    def _listen(self, in_browser: Collection[str] = (), *, is_parallel: bool) -> Listening:
        """Begin a run: from here on listeners hear its facts."""
        self._run_id = journal.new_run_id()
        listening = self._listening
        assert listening is not None, "a session is entered before it runs tests"
        listening.begin(
            self._run_id,
            self._stack,
            is_parallel=is_parallel,
            in_browser=in_browser,
            remembers=self.sharding is None,  # what a shard was planned from is for the merge to change
            measured=self.measured,
            notice=self.notice,
        )
        coverage: list[Listener] = [] if self._measurement is None else [self._measurement, self._losses]
        listening.end_with(*coverage)
        return listening

    # Ending

    def finish(self) -> None:
        """Make the reports that need the run to be over, and say where all of them are; if there was a run."""
        if not self._run_id or self._listening is None:
            return
        reports = self._listening.reports
        try:
            if self._measurement is not None:
                self._finish_coverage(self._measurement, reports)
        finally:
            if reports:
                self.measured("reports", reports)

    def _finish_coverage(self, measurement: Measurement, reports: dict[str, str]) -> None:
        result = measurement.finish()
        for warning in result.warnings:
            self.notice(f"coverage.py: {warning}")
        if self._losses.tests:
            self.notice(
                f"the coverage lacks what {len(self._losses.tests)} tests ran in workers that were lost: "
                f"{', '.join(self._losses.tests[:3])}{' …' * (len(self._losses.tests) > 3)}"
            )
        reports |= {title: str(path) for title, path in result.reports.items()}
        if self.sharding is None:
            self._below_minimum = result.below_minimum
        else:
            measurement.keep(self._places.journals.parent)  # only all shards together can reach a minimum
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
        bad = self._tally.bad
        ending = Ending(
            finished=self._finished,
            interrupted=self.interrupts.received,
            tally=self._tally,
            listener_failures=self._bus.failures,
            failures=bad if failures is None else failures,
            flaky_fails=self.options[ExecutionOptions].flaky == "fail",
            may_be_empty=self.options[RunOptions].allow_no_tests
            or (self.sharding is not None and self.sharding.may_be_empty),
            below_minimum=self._below_minimum,
            over_budget=self._listening.problem if self._listening is not None else "",
        )
        status, why = ending.status()
        if status is ExitStatus.TESTS_FAILED and self._below_minimum:
            self.notice(self._below_minimum)
        elif status is ExitStatus.PASSED and bad:
            self.notice(f"suite_result() of the project's runner lets {bad} failures pass")
        return status, why


def _in_browser(suite: Any) -> Collection[str]:
    """Return the ids of the tests that need a browser."""
    return [test_id(test) for test in iterate(suite) if screenshots.TAG in getattr(test, "tags", ())]


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
