"""Which tests are slower or faster, beyond the noise of machines.

Times are skewed, a machine as a whole may be slower than another, and a suite has thousands of tests, some of which are
odd in any two runs. So all is done with logarithms, medians and ranks, which one odd figure does not move:

1. Each run is divided by its own speed: the median, over all tests that take long enough to tell, of how its times stand
   to what is usual for these tests. A machine that is slower as a whole makes no test slower.
2. The median of HEAD has to be `ratio` times that of BASE, and `seconds` away from it.
3. The runs of the two sides must not overlap, one run in eight of each side left out.
4. The change has to stand out from those of all the tests, most of which did not change: their median absolute deviation
   is the noise, also of a single pair of runs, and the limit is such that one comparison in a hundred without any change
   would tell of one, however many tests there are (Bonferroni's correction).

Each step treats both sides alike: exchange BASE and HEAD, and what was slower is faster.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import exp, log
from statistics import NormalDist, median
from typing import NamedTuple

SHORTEST = 0.01
"""Seconds: shorter tests tell nothing about the speed of a machine."""
FEWEST = 20
"""Of fewer tests than these, neither the speed of a machine nor noise can be told."""
_LEAST = 0.001  # seconds; a ratio of less would be one of clock ticks
_NORMAL = 1.4826  # times the median absolute deviation is the standard deviation, where noise is normal
_FALSE_ALARMS = 0.01  # of all comparisons, for normal noise
_ODD_ONES = 8

Times = Mapping[str, float]
"""Seconds by name, of one run."""


class Rule(NamedTuple):
    """How much slower is slower: ``ratio`` times, and ``seconds`` at least."""

    ratio: float = 1.5
    seconds: float = 0.1


class Timing(NamedTuple):
    """A test that is slower or faster: the medians as measured, and the ratio with the speed of machines taken out."""

    name: str
    before: float
    after: float
    ratio: float


class Timings(NamedTuple):
    """``machine``: how many times as long everything takes in HEAD. The worst stand first."""

    machine: float
    slower: tuple[Timing, ...]
    faster: tuple[Timing, ...]


def compare_times(base: Sequence[Times], head: Sequence[Times], rule: Rule) -> Timings:
    """Return which tests of the runs ``head`` are slower or faster than in the runs ``base``."""
    before, after = _logs(base), _logs(head)
    usual = {name: (_middle(before[name]) + _middle(after[name])) / 2 for name in before if name in after}
    telling = [name for name in usual if usual[name] >= log(SHORTEST)]
    base_speeds = [_speed(run, usual, telling) for run in base]
    head_speeds = [_speed(run, usual, telling) for run in head]
    at_one_speed = {name: (_adjusted(before[name], base_speeds), _adjusted(after[name], head_speeds)) for name in usual}
    noise = _noise([at_one_speed[name] for name in telling])
    found = [
        Timing(name, exp(_middle(before[name])), exp(_middle(after[name])), exp(median(theirs) - median(ours)))
        for name, (ours, theirs) in at_one_speed.items()
        if _is_beyond_noise(ours, theirs, rule, noise)
    ]
    found.sort(key=lambda each: (-abs(each.after - each.before), each.name))
    return Timings(
        exp(median(head_speeds) - median(base_speeds)) if base and head else 1.0,
        tuple(each for each in found if each.ratio > 1),
        tuple(each for each in found if each.ratio < 1),
    )


def _logs(runs: Iterable[Times]) -> dict[str, list[tuple[int, float]]]:
    """Return by name the logarithms of its times, each with the number of its run."""
    logs: dict[str, list[tuple[int, float]]] = {}
    for number, run in enumerate(runs):
        for name, seconds in run.items():
            logs.setdefault(name, []).append((number, log(max(seconds, _LEAST))))
    return logs


def _middle(logs: Sequence[tuple[int, float]]) -> float:
    return logs[0][1] if len(logs) == 1 else median(value for _, value in logs)


def _speed(run: Times, usual: Mapping[str, float], telling: Iterable[str]) -> float:
    """Return the logarithm of how many times as long as usual everything took in ``run``."""
    ratios = [log(max(run[name], _LEAST)) - usual[name] for name in telling if name in run]
    return median(ratios) if len(ratios) >= FEWEST else 0.0


def _adjusted(logs: Iterable[tuple[int, float]], speeds: Sequence[float]) -> list[float]:
    return sorted(value - speeds[number] for number, value in logs)


def _noise(pairs: Sequence[tuple[Sequence[float], Sequence[float]]]) -> float:
    """Return how large a logarithm of a ratio noise makes; 0 if there are too few tests to tell."""
    if len(pairs) < FEWEST:
        return 0.0
    changes = [median(theirs) - median(ours) for ours, theirs in pairs]
    centre = median(changes)
    deviation = _NORMAL * median(abs(change - centre) for change in changes)
    return deviation * NormalDist().inv_cdf(1 - _FALSE_ALARMS / len(changes) / 2)


def _is_beyond_noise(ours: Sequence[float], theirs: Sequence[float], rule: Rule, noise: float) -> bool:
    """Return whether two sorted lists of logarithms tell of a change."""
    low, high = (ours, theirs) if median(ours) < median(theirs) else (theirs, ours)
    change = median(high) - median(low)
    if change < log(rule.ratio) or exp(median(high)) - exp(median(low)) < rule.seconds:
        return False
    return change > noise and low[-1 - len(low) // _ODD_ONES] < high[len(high) // _ODD_ONES]
