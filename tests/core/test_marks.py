"""What decorators note on tests is found again, and changes nothing else about them."""

from __future__ import annotations

import math
import unittest

import pytest

from testkit.core.marks import may_be_split, no_split, resource, resources_of, timeout, timeout_of


def tagged(*tags):
    """Do what django.test.tag does."""

    def note(decorated):
        decorated.tags = {*tags, *getattr(decorated, "tags", ())}
        return decorated

    return note


class Plain(unittest.TestCase):
    """Cases that are not run."""

    __test__ = False

    def test_plain(self):
        """Say nothing."""

    @timeout(0)
    def test_unlimited(self):
        """Have no limit."""

    @timeout(1.5)
    @resource("browser", slots=2)
    def test_limited(self):
        """Have a limit."""

    @tagged("slow", "timeout=7", "timeout=3")
    def test_tagged(self):
        """Have one by a tag."""

    @tagged("timeout=3")
    @timeout(8)
    def test_both(self):
        """Have both."""

    @tagged("timeout=never", "slow")
    def test_odd(self):
        """Have a tag that is none."""


@timeout(20)
@resource("port")
@no_split
class Marked(Plain):
    """The same, in a class that says something."""


@timeout(30)
@resource("disk", slots=3)
@resource("port", slots=4)
class Below(Marked):
    """The same, below one that says something."""


@tagged("timeout=40")
class Tagged(Plain):
    """The same, with a tag."""


@pytest.mark.parametrize(
    ("cls", "name", "seconds"),
    [
        (Plain, "test_plain", None),
        (Plain, "test_unlimited", 0.0),
        (Plain, "test_limited", 1.5),
        (Plain, "test_tagged", 3.0),
        (Plain, "test_both", 8.0),
        (Marked, "test_plain", 20.0),
        (Marked, "test_unlimited", 0.0),
        (Marked, "test_limited", 1.5),
        (Marked, "test_tagged", 3.0),
        (Below, "test_plain", 30.0),
        (Tagged, "test_plain", 40.0),
        (Tagged, "test_limited", 1.5),
    ],
)
def test_timeouts(cls, name, seconds):
    """A method's limit goes before its class's, a decorator before a tag, and the shortest of several tags counts."""
    assert timeout_of(cls(name)) == seconds


@pytest.mark.parametrize("seconds", [-1, math.inf, math.nan, "soon", None])
def test_a_limit_is_a_number_of_seconds(seconds):
    """A decorator with something else says so where it stands."""
    with pytest.raises(ValueError, match=r"a time limit is a number of seconds, 0 or more, not "):
        timeout(seconds)


def test_a_tag_that_is_no_limit():
    """A tag with something else is told when it is looked at."""
    with pytest.raises(ValueError, match="not 'never'"):
        timeout_of(Plain("test_odd"))


def test_resources():
    """A test has the resources of its class, those of its bases included, and its own; the nearest says the slots."""
    assert resources_of(Plain("test_plain")) == {}
    assert resources_of(Plain("test_limited")) == {"browser": 2}
    assert resources_of(Marked("test_limited")) == {"port": 1, "browser": 2}
    assert resources_of(Below("test_plain")) == {"port": 4, "disk": 3}
    assert resources_of(Marked("test_plain")) == {"port": 1}  # what a class below says is its own


def test_a_resource_has_slots():
    """A resource that nobody could have is refused."""
    with pytest.raises(ValueError, match=r"@resource\('x', slots=0\): at least one slot"):
        resource("x", slots=0)


def test_no_split():
    """A class that says so stays whole, and those below it as well."""
    assert (may_be_split(Plain), may_be_split(Marked), may_be_split(Below)) == (True, False, False)


def test_what_is_decorated_stays_itself():
    """Decorators return what they are given: under another runner they do nothing."""

    def test_it():
        """Do nothing."""

    assert no_split(timeout(1)(resource("x")(test_it))) is test_it


def test_tests_that_have_no_method():
    """What stands in for a test that could not be loaded has neither limits nor resources."""
    (failed,) = unittest.TestLoader().loadTestsFromNames(["no_such_module"])
    assert (timeout_of(failed), resources_of(failed)) == (None, {})
