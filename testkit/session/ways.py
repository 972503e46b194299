"""The ways of running tests: all in this process, unit by unit in this process, or in a pool of workers."""

from __future__ import annotations

import copy
import shutil
import tempfile
import time
import unittest
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from testkit.core.bus import Bus
from testkit.core.events import Fact
from testkit.core.marks import timeout_of
from testkit.core.options import Options
from testkit.execution.ids import iterate, test_id
from testkit.execution.leases import Lease
from testkit.execution.members import Limits
from testkit.execution.options import ExecutionOptions
from testkit.execution.pool import Plan, Policy, Pool
from testkit.execution.recorder import Recorder
from testkit.execution.reported import Reported
from testkit.execution.units import tests_by_id, units_of
from testkit.execution.worker import Surrounding
from testkit.selection.durations import Durations
from testkit.selection.order import Queue, Unit

COVERED_LEASE = 1.0
"""Seconds that a lease takes at least, if it can, when its coverage is saved after it."""


class Way(Protocol):
    """A way of running tests."""

    @property
    def result(self) -> unittest.TestResult:
        """What a project's runner gets to see of the outcome."""

    def run(self, rounds: int) -> None:
        """Run all tests that many times (0 for without end), until told to stop."""

    def stop(self) -> None:
        """Begin no further test."""

    @property
    def stopped(self) -> bool:
        """Whether it was told to."""


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


class Inline:
    """In this process, as one suite: what Django does."""

    def __init__(self, suite: Any, recorder: Recorder) -> None:
        self._suite = suite
        self._recorder = recorder

    @property
    def result(self) -> unittest.TestResult:
        return self._recorder

    @property
    def stopped(self) -> bool:
        return self._recorder.shouldStop

    def stop(self) -> None:
        self._recorder.stop()

    def run(self, rounds: int) -> None:
        self._suite.run(self._recorder)


class UnitByUnit:
    """In this process, class by class, each with its further attempts: for retries and repeated runs."""

    def __init__(
        self, suite: Any, make_recorder: Callable[[Callable[[Fact], None]], Recorder], bus: Bus, policy: Policy
    ):
        """``make_recorder`` makes a recorder that publishes to what it is given."""
        self._suite_class = type(suite)
        self._tests = list(iterate(suite))
        self._by_id = tests_by_id(self._tests)
        self._recorder = make_recorder(self._hear)
        self._bus, self._policy = bus, policy
        self._lease: Lease | None = None
        self.result = Reported(self._by_id)
        bus.subscribe(self.result)

    @property
    def stopped(self) -> bool:
        return self._recorder.shouldStop

    def stop(self) -> None:
        self._recorder.stop()

    def run(self, rounds: int) -> None:
        for _ in counted(rounds):
            for unit in units_of(self._tests, Durations({}, {}), 1):
                waiting = [unit]
                while waiting and not self.stopped:
                    waiting += self._attempt(waiting.pop())
            if self.stopped:
                return

    def _attempt(self, unit: Unit) -> Iterator[Unit]:
        if unit.attempt > 1:
            time.sleep(self._policy.pause())
        self._lease = lease = Lease([unit], self._policy.retries)
        self._recorder.attempt = unit.attempt
        self._suite_class([copy.copy(self._by_id[id][place]) for id, place in unit.tests]).run(self._recorder)
        self._recorder._previousTestClass = None  # type: ignore[attr-defined]  # to be set up anew by the next attempt
        return lease.retries("", 0.0)

    def _hear(self, fact: Fact) -> None:
        for each in self._lease.heard(fact) if self._lease else [fact]:
            self._bus.publish(each)


class Pooled:
    """In worker processes."""

    def __init__(
        self,
        suite: Any,
        workers: Workers,
        options: Options,
        bus: Bus,
        known: Durations,
        *,
        recording: dict[str, bool],
        is_covered: bool,
        tell: Callable[[str], None],
        tick: Callable[[], None],
        watch: Callable[[int], None],
    ) -> None:
        """``known`` are the durations to plan by, ``recording`` the options of the workers' recorders."""
        self._tests = list(iterate(suite))
        self._by_id = tests_by_id(self._tests)
        self._workers, self._known, self._is_covered = workers, known, is_covered
        self._options = options[ExecutionOptions]
        self._bus, self._recording = bus, recording
        self._tell, self._tick, self._watch = tell, tick, watch
        self._pool: Pool | None = None
        self.stopped = False
        self.result = Reported(self._by_id)
        bus.subscribe(self.result)

    def stop(self) -> None:
        self.stopped = True
        if self._pool is not None:
            self._pool.stop()

    def run(self, rounds: int) -> None:
        with _folder() as folder:
            if rounds:
                self._run_pool(folder, rounds)
                return
            while not self.stopped:
                self._run_pool(folder, 1)

    def _run_pool(self, folder: Path, rounds: int) -> None:
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
            surroundings=lambda worker: workers.surroundings(worker, folder),
            suite=workers.suite,
            recording=self._recording,
            folder=folder,
        )
        self._pool = Pool(
            plan,
            queue,
            self._by_id,
            self._bus.publish,
            limits=limits_of(self._tests, options),
            policy=Policy(options.retries, options.retry_delay),
            tell=self._tell,
            tick=self._tick,
            watch=self._watch,
        )
        self._pool.run()


def counted(rounds: int) -> Iterator[int]:
    """Yield the numbers of ``rounds``, from 1; without end when it is 0."""
    number = 0
    while not rounds or number < rounds:
        number += 1
        yield number


def limits_of(tests: Sequence[Any], options: ExecutionOptions) -> Limits:
    """Return the time limits of ``tests``."""
    own = {test_id(test): limit for test in tests if (limit := timeout_of(test)) is not None}
    return Limits(test=options.timeout, own=own, slow=options.slow_after)


@contextmanager
def _folder() -> Iterator[Path]:
    """Give a folder for the files of the workers, and remove it."""
    folder = Path(tempfile.mkdtemp(prefix="testkit-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
