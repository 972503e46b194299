"""Slower and faster tests are told from the noise of machines."""

from __future__ import annotations

import itertools
import random

import pytest

from testkit.session.comparison.timing import Rule, compare_times

USUAL = {f"t{number}": 0.05 * 1.2 ** (number % 20) for number in range(400)}
RULE = Rule()


def noisy(seed, *, speed=1.0, spread=0.2, **changed):
    """Return a run of the usual tests: on a machine of its own speed, with noise, and the times of some ``changed``."""
    rng = random.Random(seed)
    return {
        name: seconds * changed.get(name, 1.0) * speed * rng.lognormvariate(0, spread)
        for name, seconds in USUAL.items()
    }


def names(timings):
    return [each.name for each in timings]


def test_noise_alone_is_nothing():
    """Of sixty comparisons of the same code, on machines of one speed or another, hardly any tells of a test."""
    alarms = []
    for seed, speed, runs in itertools.product(range(10), (1.0, 1.7), (1, 2, 5)):
        base = [noisy(f"{seed} base {run}") for run in range(runs)]
        head = [noisy(f"{seed} head {run}", speed=speed) for run in range(runs)]
        found = compare_times(base, head, RULE)
        alarms += [*found.slower, *found.faster]
        assert found.machine == pytest.approx(speed, rel=0.05)
    assert len(alarms) <= 2


@pytest.mark.parametrize("runs", [1, 3, 8])
def test_what_changed_is_found_though_the_machine_did_too(runs):
    """A test that takes three times as long is slower and one that takes a third faster, also on another machine."""
    base = [noisy(run, spread=0.1) for run in range(runs)]
    head = [noisy(100 + run, speed=1.6, spread=0.1, t15=3.0, t39=0.33) for run in range(runs)]
    found = compare_times(base, head, RULE)
    assert (names(found.slower), names(found.faster)) == (["t15"], ["t39"])
    (slower,) = found.slower
    assert slower.ratio == pytest.approx(3.0, rel=0.35)
    assert slower.after / slower.before == pytest.approx(3.0 * 1.6, rel=0.35)


def test_little_is_no_matter():
    """What is a matter of milliseconds, or less than the ratio, is not told; both limits can be set."""
    base, head = {"short": 0.01, "long": 1.0}, {"short": 0.09, "long": 1.4}
    assert names(compare_times([base], [head], RULE).slower) == []
    assert names(compare_times([base], [head], Rule(1.3, 0.1)).slower) == ["long"]
    assert names(compare_times([base], [head], Rule(1.5, 0.05)).slower) == ["short"]
    assert names(compare_times([head], [base], Rule(1.3, 0.05)).faster) == ["long", "short"]


def test_runs_that_overlap_tell_of_no_change():
    """With several runs the slowest of one side must be faster than the fastest of the other, one in eight left out."""
    base = [{"t": seconds} for seconds in (1.0, 1.1, 3.5)]
    assert names(compare_times(base, [{"t": 3.0}, {"t": 3.1}, {"t": 3.2}], RULE).slower) == []
    assert names(compare_times(base, [{"t": 4.0}, {"t": 4.1}, {"t": 4.2}], RULE).slower) == ["t"]
    many = [{"t": 1.0}] * 7
    assert names(compare_times([*many, {"t": 3.5}], [{"t": 3.0}] * 3, RULE).slower) == ["t"]


def test_a_noisy_pair_asks_for_more():
    """Of a single pair of runs the noise is that of all its tests: what stands out in a quiet pair is lost in a loud one."""
    quiet = compare_times([noisy(1, spread=0.02)], [noisy(2, spread=0.02, t15=1.8)], RULE)
    loud = compare_times([noisy(1, spread=0.4)], [noisy(2, spread=0.4, t15=1.8)], RULE)
    assert names(quiet.slower) == ["t15"]
    assert names(loud.slower) == []


def test_times_of_nothing_do_no_harm():
    """No runs, no tests in common, and times of zero end in figures."""
    assert compare_times([], [], RULE) == (1.0, (), ())
    assert compare_times([{"a": 1.0}], [{"b": 1.0}], RULE) == (1.0, (), ())
    found = compare_times([{"a": 0.0}], [{"a": 1.0}], RULE)
    assert names(found.slower) == ["a"]
    assert found.slower[0].ratio == pytest.approx(1000)
