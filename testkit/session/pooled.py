"""Running tests in worker processes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from testkit.core.bus import Bus
from testkit.core.options import Options
from testkit.execution.ids import iterate, tests_by_id
from testkit.execution.limits import Limits, Policy
from testkit.execution.options import ExecutionOptions
from testkit.execution.pool import Plan, Pool
from testkit.execution.reported import Reported
from testkit.execution.units import units_of
from testkit.execution.worker import Surrounding
from testkit.selection.durations import Durations
from testkit.selection.order import Queue

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
            limits=Limits.of_tests(self._tests, options),
            policy=Policy(options.retries, options.retry_delay),
            tell=self._tell,
            tick=self._tick,
            watch=self._watch,
        )
        self._pool.run()


@contextmanager
def _folder() -> Iterator[Path]:
    """Give a folder for the files of the workers, and remove it."""
    folder = Path(tempfile.mkdtemp(prefix="testkit-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
