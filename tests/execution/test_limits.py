"""Each test has a time limit, its own or that of the run, and attempts come after a while."""

from __future__ import annotations

import random
import unittest

import pytest
from django.test import tag

from testkit.core.errors import TestkitError
from testkit.core.marks import timeout
from testkit.execution.limits import NO_LIMITS, ONCE, Limits, Policy
from testkit.execution.options import ExecutionOptions


class Case(unittest.TestCase):
    """Cases that are not run."""

    __test__ = False

    def test_plain(self):
        """Say nothing."""

    @timeout(0)
    def test_long(self):
        """Have no limit."""

    @tag("timeout=2.5", "slow")
    def test_tagged(self):
        """Have one by a tag."""

    @tag("timeout=soon")
    def test_odd(self):
        """Have a tag that is none."""


def limits(*names, **options):
    return Limits.of_tests([Case(name) for name in names], ExecutionOptions(**options))


def test_own_limits():
    """A test's own limit goes before that of the run, also if it says that there is none; fixtures have the run's."""
    found = limits("test_plain", "test_long", "test_tagged", timeout=60.0, slow_after=5.0)
    own = [found.of(Case(name).id()) for name in ("test_plain", "test_long", "test_tagged")]
    assert own == [60.0, 0.0, 2.5]
    assert found.of("tests.Case") == 60.0
    assert found.slow == 5.0
    assert NO_LIMITS.of("anything") == 0.0


def test_a_limit_that_is_none():
    """A tag that is no number of seconds ends the run before its tests, and the message names the test."""
    with pytest.raises(TestkitError, match=r"Case\.test_odd: .* 0 or more, not 'soon'; mend the tag"):
        limits("test_plain", "test_odd")


def test_pauses():
    """The wait before an attempt is the delay, give or take a half of it."""
    pauses = [Policy(1, 2.0).pause() for _ in range(1000)]
    assert 1.0 <= min(pauses) < 1.2
    assert 2.8 < max(pauses) <= 3.0
    assert ONCE.pause() == 0.0


def test_chance_of_tests_is_left_alone():
    """A pause takes nothing from the random numbers that tests are seeded with, and cannot be foretold by a seed."""
    random.seed(1)
    before = random.getstate()
    first = [Policy(1, 2.0).pause() for _ in range(3)]
    assert random.getstate() == before
    assert [Policy(1, 2.0).pause() for _ in range(3)] != first
