"""A suite is cut into whole classes, and only those into pieces whose tests can do without each other."""

from __future__ import annotations

import doctest
import sys
import types
import unittest

import pytest
from django.test import LiveServerTestCase, SimpleTestCase, TestCase, TransactionTestCase
from django.test.testcases import SerializeMixin

from testkit.core.marks import no_split, resource
from testkit.execution.ids import iterate
from testkit.execution.units import kind_of, units_of
from testkit.selection.durations import Durations
from testkit.selection.order import Kind

NOTHING = Durations({}, {})
MODULE = "tests_of_units_shop"


@pytest.fixture
def module(monkeypatch):
    """A module in which test classes can be made."""
    made = types.ModuleType(MODULE)
    monkeypatch.setitem(sys.modules, MODULE, made)
    return made


def make(name="Case", *bases, tests=("test_a", "test_b"), module=MODULE, **members):
    """Return a test class of that module, with tests that do nothing."""
    methods = {test: (lambda self: None) for test in tests}
    return type(name, bases or (TestCase,), {"__module__": module, "__qualname__": name, **methods, **members})


def cases(*classes):
    return [test for cls in classes for test in unittest.defaultTestLoader.loadTestsFromTestCase(cls)]


def cut(*classes, known=NOTHING, workers=1, **settings):
    return units_of(cases(*classes), known, workers, **settings)


def lasting(seconds, *classes):
    """Return durations in which each test of ``classes`` takes so many seconds."""
    return Durations({test.id(): seconds for test in cases(*classes)}, {})


# Grouping


def test_a_class_is_a_unit():
    """The tests of a class go together, though others come between them, and units come in the order of the tests."""
    one, two = make("One"), make("Two")
    first, *rest = cases(one)
    units = units_of([first, *cases(two), *rest], NOTHING, 1)
    assert [unit.key for unit in units] == [f"{MODULE}.One", f"{MODULE}.Two"]
    assert units[0].tests == ((f"{MODULE}.One.test_a", 0), (f"{MODULE}.One.test_b", 0))


def test_classes_of_one_name():
    """Two classes of one name are two units, and their tests are told apart by their places."""
    units = cut(make("Same"), make("Same"))
    assert [unit.tests for unit in units] == [
        ((f"{MODULE}.Same.test_a", 0), (f"{MODULE}.Same.test_b", 0)),
        ((f"{MODULE}.Same.test_a", 1), (f"{MODULE}.Same.test_b", 1)),
    ]


@pytest.mark.parametrize("name", ["setUpModule", "tearDownModule"])
def test_a_module_with_fixtures_is_a_unit(module, name):
    """Classes of a module with fixtures go together, by what they do to the database, and are never split."""
    setattr(module, name, lambda: None)
    classes = make("A"), make("B", TransactionTestCase), make("C")
    units = cut(*classes, known=lasting(1.0, *classes), workers=8)
    assert [(unit.key, unit.kind, len(unit.tests), unit.whole) for unit in units] == [
        (MODULE, Kind.NEEDS_ROWS, 4, True),
        (MODULE, Kind.CHANGES_ROWS, 2, True),
    ]


def test_doctests_are_units_of_their_module():
    """All doctests have one class, but are grouped by the module that they are of, and kept whole."""
    globs: dict[str, object] = {}
    examples = [doctest.Example("1", "1\n")]
    tests = [
        doctest.DocTestCase(doctest.DocTest(examples, globs, name, "shop.py", 0, None))
        for name in ("shop.f", "shop.g", "other.f")
    ]
    units = units_of(tests, NOTHING, 8)
    assert [(unit.key, unit.tests) for unit in units] == [
        ("shop", (("shop.f", 0), ("shop.g", 0))),
        ("other", (("other.f", 0),)),
    ]
    assert {(unit.kind, unit.whole) for unit in units} == {(Kind.CHANGES_ROWS, True)}


def test_failed_imports():
    """What could not be imported is a unit by its own name, which needs no database."""
    loader = unittest.TestLoader()
    suite = loader.loadTestsFromNames(["no_such_module_a", "no_such_module_b"])
    units = units_of(list(iterate(suite)), NOTHING, 2)
    assert [(unit.key, unit.tests, unit.kind) for unit in units] == [
        ("no_such_module_a", (("no_such_module_a", 0),), Kind.NEUTRAL),
        ("no_such_module_b", (("no_such_module_b", 0),), Kind.NEUTRAL),
    ]


def test_no_tests():
    """No tests are no units."""
    assert units_of([], NOTHING, 2) == []


# What they do to the database


class Databases(SimpleTestCase):
    databases = frozenset({"default"})


@pytest.mark.parametrize(
    ("cls", "kind"),
    [
        (TestCase, Kind.NEEDS_ROWS),
        (SimpleTestCase, Kind.NEUTRAL),
        (Databases, Kind.CHANGES_ROWS),
        (TransactionTestCase, Kind.CHANGES_ROWS),
        (LiveServerTestCase, Kind.CHANGES_ROWS),
        (unittest.TestCase, Kind.CHANGES_ROWS),
        (unittest.FunctionTestCase, Kind.CHANGES_ROWS),
    ],
)
def test_kinds(cls, kind):
    """Only what Django wraps in a transaction, or keeps from the database, leaves it as it was."""
    assert kind_of(cls) is kind
    assert kind_of(make("Below", cls)) is kind


# Splitting


class PlainMixin:
    """Adds nothing that tests share."""


class FixtureMixin:
    """Has a fixture for the classes that use it."""

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()


def splits(cls):
    return len(cut(cls, known=lasting(1.0, cls), workers=2)) > 1


@pytest.mark.parametrize(
    "cls",
    [
        make(),
        make("C", SimpleTestCase),
        make("C", PlainMixin, TestCase),
        make("C", TestCase, setUpTestData=classmethod(lambda cls: None)),
        make("C", TestCase, fixtures=["shop.json"]),
    ],
    ids=["TestCase", "SimpleTestCase", "mixin", "setUpTestData", "fixtures"],
)
def test_a_long_class_is_split(cls):
    """A class longer than a worker's share is split if its tests have nothing in common but what Django sets up."""
    assert splits(cls)


@pytest.mark.parametrize(
    "cls",
    [
        make("C", TestCase, setUpClass=classmethod(lambda cls: None)),
        make("C", FixtureMixin, TestCase),
        make("C", make("Base", TestCase, tearDownClass=classmethod(lambda cls: None))),
        make("C", TransactionTestCase),
        make("C", unittest.TestCase),
        no_split(make("C", TestCase)),
        make("C", no_split(make("Base", TestCase))),
    ],
    ids=["setUpClass", "mixin", "base", "TransactionTestCase", "unittest", "no_split", "no_split of a base"],
)
def test_a_class_with_a_state_stays_whole(cls):
    """A class with fixtures of its own or a base's, or whose tests may depend on each other, is never split."""
    assert not splits(cls)
    assert cut(cls)[0].whole


def test_an_unknown_class_is_as_long_as_the_known_ones():
    """A test without a duration is taken for the mean of the others, so that a long new class is split."""
    long, short = make("Long", tests=[f"test_{number:02}" for number in range(40)]), make("Short")
    units = cut(long, short, known=lasting(2.0, short), workers=2)
    pieces = [unit for unit in units if unit.key.endswith("Long")]
    assert len(pieces) > 1
    assert sum(unit.seconds for unit in pieces) == pytest.approx(80.0)


def test_set_ups_are_expected():
    """The set-up of a class, and of its module if that has one, is part of what a unit is expected to take."""
    cls = make()
    known = Durations(lasting(1.0, cls).tests, {f"{MODULE}.Case": 5.0, MODULE: 9.0})
    (unit,) = cut(cls, known=known)
    assert (unit.set_up, unit.seconds) == (5.0, 7.0)


def test_set_ups_of_a_module_are_expected(module):
    """The set-ups of a module and of all of its classes are part of what its unit is expected to take."""
    module.setUpModule = lambda: None
    known = Durations(lasting(1.0, make("A"), make("B")).tests, {f"{MODULE}.A": 2.0, f"{MODULE}.B": 3.0, MODULE: 9.0})
    (unit,) = cut(make("A"), make("B"), known=known)
    assert (unit.set_up, unit.seconds) == (14.0, 18.0)


# Resources and ranks


def test_a_unit_needs_what_its_tests_need():
    """A unit has the resources of its class and of all its tests, each with the fewest slots that one of them says."""
    cls = resource("browser", slots=4)(make(tests=("test_a", "test_b", "test_c")))
    for name, mark in (("test_a", resource("browser")), ("test_b", resource("port", slots=2))):
        setattr(cls, name, mark(vars(cls)[name]))
    (unit,) = cut(cls)
    assert unit.resources == {"browser": 1, "port": 2}


def test_a_class_that_is_serialized_waits_in_the_queue(module):
    """Classes with one lock file share a resource of one slot, also within a module that has fixtures."""
    locked = make("Locked", SerializeMixin, TestCase, lockfile="/tmp/x.lock")
    expected = {"lock /tmp/x.lock": 1}
    assert [unit.resources for unit in cut(make("Free"), locked)] == [{}, expected]
    assert cut(locked, known=lasting(1.0, locked), workers=2)[0].whole
    module.setUpModule = lambda: None
    assert [unit.resources for unit in cut(make("Free"), locked)] == [expected]


def test_the_rank_of_a_unit():
    """A unit comes as early as the first of its tests is to come; without ranks all are alike."""
    units = cut(make("A"), make("B"), rank_of=lambda test: 0 if test.id().endswith("B.test_b") else 1)
    assert [unit.rank for unit in units] == [1, 0]
    assert [unit.rank for unit in cut(make("A"))] == [0]
