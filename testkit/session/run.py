"""One run of tests: select them, run them, tell the listeners, and say how it ended."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from unittest import TestResult

from testkit.core import journal
from testkit.core.errors import TestkitError
from testkit.core.options import Options
from testkit.execution.ids import iterate, test_id
from testkit.execution.limits import Limits
from testkit.execution.options import ExecutionOptions
from testkit.execution.watchdog import Watchdog
from testkit.screenshots import options as screenshots
from testkit.screenshots.needle.adapter import adapt
from testkit.selection import rerun
from testkit.selection.rerun import RerunOptions
from testkit.selection.shards import ShardOptions
from testkit.session.execution import Execution
from testkit.session.host import Host
from testkit.session.options import REPORTS
from testkit.session.telling import Telling

if TYPE_CHECKING:
    from testkit.coverage.measure import Measurement
    from testkit.session.pooled import Workers
    from testkit.session.sharding import Sharding


class Session(Telling):
    """One run: select the tests, run them, and say how it ended.

    Enter it first; then call ``select``, ``run`` and, when everything was torn down, ``finish``.
    """

    def __init__(self, options: Options, host: Host, measurement: Measurement | None = None) -> None:
        """``measurement`` is the coverage measurement that is on, if one is."""
        super().__init__(options, host, measurement)
        self._failed: frozenset[str] = frozenset()
        self.sharding = _sharding_of(options, self.places.durations)
        self._is_part = self.sharding is not None

    def __enter__(self) -> Self:
        super().__enter__()
        if self.sharding is not None:
            self.sharding.begin()
        return self

    @property
    def may_be_empty(self) -> bool:
        """Whether a run in which no test ran is fine; a shard may get none."""
        return super().may_be_empty or (self.sharding is not None and self.sharding.may_be_empty)

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
        runs = journal.runs(self.places.journals)
        # A run of some tests says nothing of the others: what failed before that still does.
        return rerun.failed_ids(fact for run in runs for fact in journal.read(self.places.journals, run))

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
        if self.run_id:
            raise TestkitError("run_suite() of the project's runner runs tests a second time: one run has one suite")
        sys.stdout.flush()  # what Django has said so far comes before the tests, also where it is a file
        listening = self.listen(_in_browser(suite), is_parallel=workers is not None)
        folder = self._make_folder()
        execution = Execution(
            self.options,
            self._host,
            self._bus,
            self._stack,
            run=self.run_id,
            places=self.places,
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
            self.sharding.write(self.run_id, ids)
        self.publish_start(ids)
        ended_early = "an error outside of the tests"
        try:
            ended_early = execution.run(way, self.interrupts)
        finally:
            self.publish_end(stopped=ended_early, interrupted=self.interrupts.received)
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
        return len(find_pollution(trials, self.places.journals, arguments, print))

    def _make_folder(self) -> Path:
        """Make a folder for files of this run, which goes with it."""
        folder = Path(tempfile.mkdtemp(prefix="testkit-"))
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        return folder


def _in_browser(suite: Any) -> Collection[str]:
    """Return the ids of the tests that need a browser."""
    return [test_id(test) for test in iterate(suite) if screenshots.TAG in getattr(test, "tags", ())]


def _sharding_of(options: Options, known: Path) -> Sharding | None:
    if not (options[ShardOptions].shard or options[ShardOptions].shard_from):
        return None
    from testkit.session.sharding import sharding_of  # here, as most runs are none of several

    return sharding_of(options, REPORTS, known, os.environ)
