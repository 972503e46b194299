"""Running tests in worker processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from testkit.core.bus import Bus
from testkit.core.clock import clock
from testkit.core.events import Fact, FixtureFinished, TestFinished, WorkerLost
from testkit.core.options import Options
from testkit.execution.ids import iterate, tests_by_id
from testkit.execution.limits import Limits, Policy
from testkit.execution.options import ExecutionOptions
from testkit.execution.pool import Plan, Pool
from testkit.execution.reported import Reported
from testkit.execution.units import units_of
from testkit.execution.watchdog import Watchdog
from testkit.execution.worker import Surrounding
from testkit.selection.durations import Durations
from testkit.selection.order import Queue

WORTH_A_REMARK = 1.0
"""Seconds that a parallel run has to lose before it is worth to be told."""
COVERED_LEASE = 1.0
"""Seconds that a lease takes at least, if it can, when its coverage is saved after it."""


class Workers(NamedTuple):
    """What the front knows of the workers of a parallel run."""

    number: int
    start_method: str
    suite: str
    """The dotted path of the suite class."""
    surroundings: Callable[[str, Path], Sequence[Surrounding]]
    """Makes what the worker of that name needs, with files in that folder."""
    longest_first: bool = True
    rank_of: Callable[[Any], int] | None = None
    fresh_seconds: float = 0.2


class Pooled:
    """In worker processes: a :class:`testkit.session.ways.Way`."""

    is_here = False

    def __init__(
        self,
        suite: Any,
        workers: Workers,
        options: Options,
        bus: Bus,
        known: Durations,
        *,
        folder: Path,
        recording: dict[str, bool],
        is_covered: bool,
        tell: Callable[[str], None],
        tick: Callable[[], None],
        watchdog: Watchdog | None,
    ) -> None:
        """``known`` are the durations to plan by, ``folder`` is for files of the run, ``recording`` has the
        options of the workers' recorders.
        """
        self._tests = list(iterate(suite))
        self._by_id = tests_by_id(self._tests)
        self._workers, self._known, self._is_covered = workers, known, is_covered
        self._options = options[ExecutionOptions]
        self._bus, self._recording = bus, recording
        self._tell, self._tick, self._watchdog = tell, tick, watchdog
        self._folder = folder
        self._pool: Pool | None = None
        self._stops = False
        self.remark = ""
        self.result = Reported(self._by_id)
        bus.subscribe(self.result)

    @property
    def stopped(self) -> bool:
        return self._stops or (self._pool is not None and self._pool.stopped)

    def stop(self) -> None:
        self._stops = True
        if self._pool is not None:
            self._pool.stop()

    def run(self, rounds: int) -> None:
        busy = BusyTime()
        self._bus.subscribe(busy)
        started = clock.seconds()
        if rounds:
            self._run_pool(rounds)
        while not (rounds or self.stopped):
            self._run_pool(1)
        spent = clock.seconds() - started
        if not self.stopped and spent - busy.seconds > WORTH_A_REMARK and busy.is_whole:
            self.remark = (
                f"one process would have been faster: the tests take {busy.seconds:.1f} s, and {spent:.1f} s went by with "
                f"{self._workers.number} workers and their databases; leave --parallel out"
            )

    def _run_pool(self, rounds: int) -> None:
        workers, options = self._workers, self._options
        units = units_of(self._tests, self._known, workers.number, workers.rank_of)
        queue = Queue(
            units * rounds,
            workers.number,
            longest_first=workers.longest_first,
            least_seconds=COVERED_LEASE if self._is_covered else 0.0,
            fresh_seconds=workers.fresh_seconds,
        )
        plan = Plan(
            workers=workers.number,
            start_method=workers.start_method,
            surroundings=lambda worker: workers.surroundings(worker, self._folder),
            suite=workers.suite,
            recording=self._recording,
            folder=self._folder,
        )
        self._pool = Pool(
            plan,
            queue,
            self._by_id,
            self._bus.publish,
            limits=Limits.of_tests(self._tests, options),
            policy=Policy(options.retries, options.retry_delay),
            tell=self._tell,
            tick=self._tick,
            watchdog=self._watchdog,
        )
        self._pool.run()


class BusyTime:
    """Listens to how long tests and fixtures take, one after the other."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.is_whole = True
        """Whether nothing was lost or tried again, which would take other times elsewhere."""

    def __call__(self, fact: Fact) -> None:
        if isinstance(fact, TestFinished | FixtureFinished):
            self.seconds += fact.seconds
            self.is_whole = self.is_whole and fact.final
        elif isinstance(fact, WorkerLost):
            self.is_whole = False
