"""Running tests in this process unit by unit, each with its further attempts: for retries and repeated runs."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from typing import Any

from testkit.core.bus import Bus
from testkit.core.clock import clock
from testkit.core.events import Fact
from testkit.execution.ids import iterate, tests_by_id
from testkit.execution.leases import Lease
from testkit.execution.limits import Policy
from testkit.execution.recorder import Recorder
from testkit.execution.reported import Reported
from testkit.execution.units import units_of
from testkit.selection.durations import Durations
from testkit.selection.order import Kind, Unit


class UnitByUnit:
    """In this process, class by class, each with its further attempts: for retries and repeated runs."""

    is_here = True
    remark = ""

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
        units = units_of(self._tests, Durations({}, {}), 1)
        # Kind by kind: what needs the rows of migrations cannot run again after what removes them.
        for kind in Kind if rounds > 1 else [None]:
            for _ in counted(rounds):
                for unit in units:
                    if kind in (None, unit.kind):
                        self._run_unit(unit)
                if self.stopped:
                    return

    def _run_unit(self, unit: Unit) -> None:
        waiting = [unit]
        while waiting and not self.stopped:
            waiting += self._attempt(waiting.pop())

    def _attempt(self, unit: Unit) -> Iterator[Unit]:
        if unit.attempt > 1:
            self._pause(self._policy.pause())
        self._lease = lease = Lease([unit], self._policy.retries)
        self._recorder.attempt = unit.attempt
        self._suite_class([copy.copy(self._by_id[id][place]) for id, place in unit.tests]).run(self._recorder)
        self._recorder._previousTestClass = None  # type: ignore[attr-defined]  # to be set up anew by the next attempt
        return lease.retries("", 0.0)

    def _pause(self, seconds: float) -> None:
        """Wait, unless the run is told to stop."""
        end = clock.seconds() + seconds
        while not self.stopped and (left := end - clock.seconds()) > 0:
            time.sleep(min(left, 0.2))

    def _hear(self, fact: Fact) -> None:
        for each in self._lease.heard(fact) if self._lease else [fact]:
            self._bus.publish(each)


def counted(rounds: int) -> Iterator[int]:
    """Yield the numbers of ``rounds``, from 1; without end when it is 0."""
    number = 0
    while not rounds or number < rounds:
        number += 1
        yield number
