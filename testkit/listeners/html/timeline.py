"""What the workers did when, where they waited, and what another order would have given."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from testkit.core.events import FixtureFinished, TestFinished
from testkit.listeners.html.texts import short
from testkit.selection.order import Fresh, Kind, Queue, Unit, split_long

MOST_BARS = 3_000
MOST_GAPS = 12
MOST_SET_UPS = 500
SHORTEST_GAP = 0.05
"""Seconds below which nobody waits."""
_TRIED = (1, 2, 4, 8, 16)
"""Numbers of workers that a run of one process is foreseen for."""


class Span(NamedTuple):
    """Something that a worker did: a test, a set-up or a tear-down; ``group`` is the class or module."""

    worker: str
    start: float
    end: float
    group: str
    is_bad: bool
    is_test: bool
    id: str = ""


class Gap(NamedTuple):
    """A worker's waiting, in seconds of the run, and what it did next; empty at the end of the run."""

    worker: str
    start: float
    seconds: float
    before: str


class Timeline:
    """Takes what ran, and tells of the whole when the run is over."""

    def __init__(self) -> None:
        self._spans: list[Span] = []
        self._set_ups: dict[str, list[float]] = {}
        self._began = 0.0

    def begin(self, at: float) -> None:
        """Take the Unix time at which the run began."""
        self._began = at

    def add(self, fact: TestFinished | FixtureFinished) -> None:
        """Take an attempt at a test, or a fixture."""
        start = fact.at - self._began
        is_test = isinstance(fact, TestFinished)
        group = fact.class_id or fact.id if isinstance(fact, TestFinished) else fact.id
        span = Span(fact.worker, start, start + fact.seconds, group, fact.outcome.is_bad, is_test, fact.id)
        self._spans.append(span)
        if isinstance(fact, FixtureFinished) and fact.phase.startswith("setUp"):
            self._set_ups.setdefault(fact.id, []).append(fact.seconds)

    def to_plain(self, seconds: float) -> dict[str, Any]:
        """Return the lanes, the gaps and the plan of a run that took ``seconds``; empty if nothing ran."""
        if not self._spans:
            return {}
        lanes: dict[str, list[Span]] = {}
        for span in sorted(self._spans, key=lambda span: span.start):
            lanes.setdefault(span.worker, []).append(span)
        ended = max(span.end for span in self._spans)
        gaps = [gap for worker, spans in lanes.items() for gap in _gaps(worker, spans, ended)]
        bars, groups = _bars(lanes, ended)
        return {
            "seconds": round(max(seconds, ended), 3),
            "ended": round(ended, 3),
            "groups": groups,
            "lanes": [{"worker": short(worker), **bars[worker]} for worker in sorted(lanes, key=_by_number)],
            "gaps": [
                {**gap._asdict(), "worker": short(gap.worker), "before": short(gap.before)}
                for gap in heapq.nlargest(MOST_GAPS, gaps, key=lambda gap: gap.seconds)
            ],
            "waited": round(sum(gap.seconds for gap in gaps), 3),
            "plan": self._plan(len(lanes)),
            "set_ups": self._costs(),
        }

    def _costs(self) -> list[list[Any]]:
        """Return the dearest set-ups: what was set up, the seconds of all times together, and how often that was."""
        costs = [(short(id), round(sum(times), 4), len(times)) for id, times in self._set_ups.items()]
        return [list(cost) for cost in heapq.nlargest(MOST_SET_UPS, costs, key=lambda cost: cost[1])]

    def _plan(self, workers: int) -> dict[str, Any]:
        """Return how long the tests would have taken, had each worker that is free begun the longest class that is left.

        ``pole`` is the longest test with the set-up of its class: whatever the order, one worker has to do all of that.
        """
        units, seconds = self._units()
        counts = (workers,) if workers > 1 else _TRIED
        pole, name = max(((seconds[id] + unit.set_up, id) for unit in units for id, _ in unit.tests), default=(0.0, ""))
        foreseen = [
            {
                "workers": count,
                "seconds": round(_foresee(units, seconds, count), 3),
                "bound": _bound(units, pole, count),
            }
            for count in counts
        ]
        return {"workers": workers, "foreseen": foreseen, "pole": {"id": short(name), "seconds": round(pole, 3)}}

    def _units(self) -> tuple[list[Unit], dict[str, float]]:
        """Return the classes as units, and the seconds of each test."""
        seconds: dict[str, float] = {}
        by_group: dict[str, list[str]] = {}
        for span in self._spans:
            if span.is_test:
                if span.id not in seconds:
                    by_group.setdefault(span.group, []).append(span.id)
                seconds[span.id] = seconds.get(span.id, 0.0) + span.end - span.start
        units = []
        for group, ids in by_group.items():
            set_up = max(self._set_ups.get(group, (0.0,)))
            own = sum(seconds[id] for id in ids)
            tests = tuple((id, 0) for id in ids)
            units.append(Unit(group, tests, own + set_up, set_up, Kind.NEUTRAL, whole=False))
        return units, seconds


def _foresee(units: Sequence[Unit], seconds: dict[str, float], workers: int) -> float:
    """Return how long ``workers`` take by the queue that a parallel run has; what they do to databases is not known."""
    queue = Queue(split_long(units, workers, lambda id: seconds.get(id, 0.0)), workers)
    free = [(0.0, number) for number in range(workers)]
    while len(queue):
        now, number = heapq.heappop(free)
        lease = queue.lease(str(number), now, workers - 1)
        if isinstance(lease, Fresh) or not lease:
            break  # of neutral units there is always one to be had
        heapq.heappush(free, (now + sum(unit.seconds for unit in lease), number))
    return max(free)[0]


def _bound(units: Sequence[Unit], pole: float, workers: int) -> float:
    """Return the seconds that no order can go below: all work shared out evenly, or the longest pole."""
    return round(max(sum(unit.seconds for unit in units) / workers, pole), 3)


def _gaps(worker: str, spans: Sequence[Span], ended: float) -> Iterable[Gap]:
    """Yield where a worker waited: before its first test, between two, and after its last until all had ended."""
    now = 0.0
    for span in spans:
        if span.start - now >= SHORTEST_GAP:
            yield Gap(worker, round(now, 3), round(span.start - now, 3), span.group)
        now = max(now, span.end)
    if ended - now >= SHORTEST_GAP:
        yield Gap(worker, round(now, 3), round(ended - now, 3), "")


def _bars(lanes: dict[str, list[Span]], ended: float) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Return the bars of each worker, one for what it did of a class in one go, and the names of the classes.

    A bar is: where it starts and how long it is in milliseconds, the place of its class, its tests, and 1 if one is bad.
    """
    joined_below = max(ended / 2000, 1e-6)
    while True:
        groups: dict[str, int] = {}
        found = {worker: _joined(spans, groups, joined_below) for worker, spans in lanes.items()}
        if sum(len(each) for each in found.values()) <= MOST_BARS:
            break
        joined_below *= 2
    busy = {worker: sum(span.end - span.start for span in spans) for worker, spans in lanes.items()}
    return (
        {worker: {"bars": found[worker], "busy": round(busy[worker], 3)} for worker in lanes},
        [short(group) for group in groups],
    )


def _joined(spans: Sequence[Span], groups: dict[str, int], joined_below: float) -> list[list[int]]:
    """Return bars; what lies closer together than ``joined_below`` seconds, and is short, shares one with its neighbour."""
    bars: list[list[Any]] = []
    for span in spans:
        last = bars[-1] if bars else None
        is_near = last is not None and span.start - last[1] <= joined_below
        if last is not None and is_near and (last[2] == span.group or span.end - last[0] < joined_below):
            last[1] = max(last[1], span.end)
            last[3] += span.is_test
            last[4] |= span.is_bad
        else:
            bars.append([span.start, span.end, span.group, int(span.is_test), int(span.is_bad)])
    return [
        [round(start * 1000), round((end - start) * 1000), groups.setdefault(group, len(groups)), tests, int(bad)]
        for start, end, group, tests, bad in bars
    ]


def _by_number(worker: str) -> tuple[tuple[int, str], ...]:
    """Return a key by which worker 10 comes after worker 9, also as ``2.10`` of a joined run."""
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in worker.split("."))
