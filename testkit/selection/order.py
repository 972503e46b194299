"""Which piece of the run a worker gets next: the longest first, within what the database and resources allow.

Pure functions and one queue; no Django, no processes.
"""

from __future__ import annotations

import math
from bisect import insort
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from itertools import chain
from typing import NamedTuple

from testkit.selection.durations import Durations

_UNKNOWN = 0.1
"""Seconds that a test is taken for as long as none is known."""
_PIECES = 4
"""Into how many pieces for each worker a long class is split at most: more would pay its set-up more often."""
_OVERHEAD = 0.02
"""Seconds that a piece costs beside its tests and its set-up, roughly."""

Test = tuple[str, int]
"""A test: its id, and which of several with that id it is."""

_Slots = tuple[tuple[str, int], ...]
"""The resources of a unit, with their slots."""


class Kind(IntEnum):
    """What a unit does to its worker's database; the order in which Django runs them."""

    NEEDS_ROWS = 0
    """TestCase: it needs the rows that migrations made, and leaves the database as it was."""
    NEUTRAL = 1
    """It uses no database."""
    CHANGES_ROWS = 2
    """TransactionTestCase, which flushes, and whatever may write without a transaction around it."""


class Unit(NamedTuple):
    """Tests that go to one worker together: those of a class, a part of them, or of a module with fixtures.

    ``seconds`` is how long it is expected to take, ``set_up`` included. ``rank`` is small for what is to come first.
    ``whole`` says that its tests share a state, so that none is tried again without the others; ``only``, of a
    unit that is tried again, the tests whose outcome still counts. ``avoid`` names a worker that should not have it,
    ``not_before`` (of the run's clock) when it may be had.
    """

    key: str
    tests: tuple[Test, ...]
    seconds: float
    set_up: float = 0.0
    kind: Kind = Kind.NEEDS_ROWS
    whole: bool = True
    resources: Mapping[str, int] = {}
    rank: int = 0
    attempt: int = 1
    only: frozenset[str] = frozenset()
    avoid: str = ""
    not_before: float = 0.0


def expected_seconds(tests: Iterable[str], fixtures: Iterable[str], known: Durations, default: float) -> float:
    """Return how long ``tests`` with the set-ups ``fixtures`` are expected to take."""
    return sum(known.tests.get(id, default) for id in tests) + set_up_seconds(fixtures, known)


def set_up_seconds(fixtures: Iterable[str], known: Durations) -> float:
    """Return how long the set-ups ``fixtures`` (class and module ids) are expected to take."""
    return sum(known.fixtures.get(id, 0.0) for id in fixtures)


def default_seconds(tests: Iterable[str], known: Durations) -> float:
    """Return what a test without a recorded duration is taken for: the mean of the recorded ones among ``tests``."""
    found = [known.tests[id] for id in tests if id in known.tests]
    return sum(found) / len(found) if found else _UNKNOWN


def split_long(units: Sequence[Unit], workers: int, seconds_of: Callable[[str], float]) -> list[Unit]:
    """Return ``units`` with those split that are longer than a worker's fair share and may be.

    A piece pays the set-up again, so a unit is split into no more pieces than make the longest of them shorter.
    """
    fair = sum(unit.seconds for unit in units) / max(workers, 1)
    split: list[Unit] = []
    for unit in units:
        if workers > 1 and not unit.whole and len(unit.tests) > 1 and unit.seconds > fair:
            split += _pieces(unit, workers, fair, seconds_of)
        else:
            split.append(unit)
    return split


def _pieces(unit: Unit, workers: int, fair: float, seconds_of: Callable[[str], float]) -> list[Unit]:
    own = unit.seconds - unit.set_up
    # Pieces of a quarter of the fair share leave something to balance with; but each pays the set-up again.
    wanted = math.ceil(own / max(fair / _PIECES, 2 * unit.set_up, _OVERHEAD))
    count = max(1, min(wanted, len(unit.tests), workers * _PIECES))
    parts: list[list[Test]] = [[] for _ in range(count)]
    loads = [0.0] * count
    for test in sorted(unit.tests, key=lambda test: -seconds_of(test[0])):
        lightest = loads.index(min(loads))
        parts[lightest].append(test)
        loads[lightest] += seconds_of(test[0])
    places = {test: place for place, test in enumerate(unit.tests)}
    return [
        unit._replace(tests=tuple(sorted(part, key=places.__getitem__)), seconds=load + unit.set_up)
        for part, load in zip(parts, loads, strict=True)
        if part  # tests that take no time at all are all put into one
    ]


def _slots_of(unit: Unit) -> _Slots:
    return tuple(sorted(unit.resources.items()))


def _may_have(unit: Unit, worker: str, now: float, others: int) -> bool:
    return unit.not_before <= now and not (unit.avoid == worker and others)


class Fresh:
    """Stands for a lease: the worker is to begin anew with a fresh database, and to ask again."""


FRESH = Fresh()


class Queue:
    """What is still to run. It is asked for a lease each time that a worker has nothing to do."""

    def __init__(
        self,
        units: Iterable[Unit],
        workers: int,
        *,
        longest_first: bool = True,
        least_seconds: float = 0.0,
        fresh_seconds: float = 0.2,
    ) -> None:
        """Queue ``units``.

        Args:
            units: what is to run, in the order in which Django would run it.
            workers: how many ask for leases.
            longest_first: or else in the order given (a shuffled run has its order for a reason).
            least_seconds: short units are put together into leases that take so long, since each lease has a cost.
            fresh_seconds: what a fresh database costs a worker.
        """
        self._workers = workers
        self._longest_first = longest_first
        self._least = least_seconds
        self._fresh_seconds = fresh_seconds
        # Those that need the same resources together: if one has to wait, all do. The next one first.
        self._units: dict[Kind, dict[_Slots, list[Unit]]] = {kind: {} for kind in Kind}
        self._seconds = 0.0
        self._places: dict[str, int] = {}
        self._changed: set[str] = set()
        self._renewing: set[str] = set()  # of the changed ones, those that begin anew
        self._used: Counter[str] = Counter()
        for unit in units:
            self.add(unit)

    def add(self, unit: Unit) -> None:
        """Take ``unit`` in: the rest of a lease that was lost, something to try again."""
        if not len(self):
            self._renewing.clear()  # a worker that has ended while nothing was left does not come back
        self._places.setdefault(unit.key, len(self._places))
        insort(self._units[unit.kind].setdefault(_slots_of(unit), []), unit, key=self._order)
        self._seconds += unit.seconds

    def _order(self, unit: Unit) -> tuple[float, ...]:
        length = -unit.seconds if self._longest_first else unit.attempt
        return (unit.rank, length, self._places[unit.key])

    def __len__(self) -> int:
        return sum(len(units) for groups in self._units.values() for units in groups.values())

    def _of_kind(self, kind: Kind) -> Iterator[Unit]:
        return chain.from_iterable(self._units[kind].values())

    def take_out(self, key: str | None = None) -> list[Unit]:
        """Take out and return the units of ``key``, or all."""
        found = [unit for kind in Kind for unit in self._of_kind(kind) if key in (None, unit.key)]
        for unit in found:
            self._remove(unit)
        return found

    def _remove(self, unit: Unit) -> None:
        self._units[unit.kind][_slots_of(unit)].remove(unit)
        self._seconds -= unit.seconds

    def renewed(self, worker: str) -> None:
        """Note that ``worker`` has a fresh database."""
        self._changed.discard(worker)
        self._renewing.discard(worker)

    def release(self, units: Iterable[Unit]) -> None:
        """Give back the resources of a lease that ended."""
        for unit in units:
            self._used.subtract(unit.resources.keys())

    def lease(self, worker: str, now: float, others: int) -> tuple[Unit, ...] | Fresh:
        """Return what ``worker`` is to run next; nothing when there is nothing for it now.

        Args:
            worker: who asks.
            now: the run's clock, in seconds.
            others: how many other workers there are that could take a unit instead.
        """
        first = {kind: self._first(kind, worker, now, others) for kind in Kind}
        needy = first[Kind.NEEDS_ROWS]
        unit = self._choose(first, worker)
        if unit is None:
            if needy is None or not self._is_worth_fresh(needy):
                return ()
            self._renewing.add(worker)
            return FRESH
        taken = self._fill(unit, worker, now, others)
        for each in taken:
            self._remove(each)
            self._used.update(each.resources.keys())
            if each.kind is Kind.CHANGES_ROWS:
                self._changed.add(worker)
        return tuple(taken)

    def _first(self, kind: Kind, worker: str, now: float, others: int) -> Unit | None:
        return self._earliest(
            *(
                next((unit for unit in units if _may_have(unit, worker, now, others)), None)
                for slots, units in self._units[kind].items()
                if all(self._used[name] < count for name, count in slots)
            )
        )

    def _choose(self, first: Mapping[Kind, Unit | None], worker: str) -> Unit | None:
        """Return the unit to begin with, of the ``first`` ones of each kind; None when it needs a fresh database."""
        needy, neutral, changing = first[Kind.NEEDS_ROWS], first[Kind.NEUTRAL], first[Kind.CHANGES_ROWS]
        if worker in self._changed:
            return self._earliest(neutral, changing)
        gentle = self._earliest(needy, neutral)
        if gentle is None or changing is None:
            return gentle or changing
        if self._spoils_last_rows(worker):
            return gentle
        if not self._longest_first:
            return self._earliest(gentle, changing)
        # One that alone takes a worker's share has to begin now, or all would wait for it in the end.
        is_long = changing.seconds >= self._seconds / self._workers
        return changing if changing.rank < gentle.rank or (changing.rank == gentle.rank and is_long) else gentle

    def _earliest(self, *units: Unit | None) -> Unit | None:
        return min((unit for unit in units if unit is not None), key=self._order, default=None)

    def _spoils_last_rows(self, worker: str) -> bool:
        """Return whether a change by ``worker`` would leave no fresh database to tests that need one."""
        return any(self._units[Kind.NEEDS_ROWS].values()) and len(self._changed - {worker}) >= self._workers - 1

    def _is_worth_fresh(self, needy: Unit) -> bool:
        unspoilt = self._workers - len(self._changed - self._renewing)
        if needy.attempt > 1:
            # It may have to avoid the one that is fresh. One that begins anew for it is enough, as a rule.
            unspoilt = len(self._renewing - {needy.avoid})
        if unspoilt <= 0:
            return True
        left = sum(unit.seconds for unit in self._of_kind(Kind.NEEDS_ROWS))
        return left / unspoilt - left / (unspoilt + 1) > self._fresh_seconds

    def _fill(self, unit: Unit, worker: str, now: float, others: int) -> list[Unit]:
        """Return ``unit`` and what goes with it into one lease."""
        taken, seconds = [unit], unit.seconds
        # Towards the end leases become short, for the workers to end together.
        if unit.resources:
            return [unit]  # others would hold them longer than they are used
        least = min(self._least, self._seconds / (2 * self._workers))
        for other in self._units[unit.kind].get((), ()):
            if seconds >= least:
                break
            alike = other.attempt == unit.attempt and other is not unit
            if alike and _may_have(other, worker, now, others):
                taken.append(other)
                seconds += other.seconds
        return taken
