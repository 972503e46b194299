"""Gates: each looks at one kind of change, and says what is wrong."""

from __future__ import annotations

import pytest

from testkit.core.errors import OptionError, TestkitError
from testkit.session.comparison import gates
from testkit.session.comparison.compare import compare
from testkit.session.comparison.gates import GATES, Broken, Limits
from tests.session.comparison.made import FAILED, ended, facts, measured, side


def broken(base, head, *names, **limits):
    return gates.broken(compare(side(base), side(head)), gates.parse(names), Limits(**limits))


def test_names_are_given_in_any_form_and_unknown_ones_are_refused():
    """Commas, repeated flags and `all` name gates, which are judged in one order; a slip of the pen is an error."""
    found = gates.parse(["slower, queries", "new-failures"])
    assert list(found.items()) == [("new-failures", True), ("queries", True), ("slower", True)]
    assert gates.parse(["all"]) == dict.fromkeys(GATES, False)
    assert gates.parse(["all,routes"]) == {**dict.fromkeys(GATES, False), "routes": True}
    assert gates.parse([]) == gates.parse([","]) == {}
    with pytest.raises(OptionError, match=r"--fail-on 'new_failures' is no gate: give new-failures, "):
        gates.parse(["flaky,new_failures"])


def test_reasons_name_some_and_count_the_rest():
    """Of many new failures three are named; the reason says how many there are."""
    head = facts(*(ended(f"a.t{number}", FAILED) for number in range(5)))
    (found,) = broken(facts(), head, "new-failures")
    assert found == Broken("new-failures", "5 new: a.t0, a.t1, a.t2 and 2 more")


@pytest.mark.parametrize(
    ("before", "after", "is_broken"),
    [
        ("tested", "untested", True),
        ("tested", "errors", True),
        ("errors", "called", True),
        ("tested", "", False),  # the route is gone
        ("", "untested", False),  # which --fail-untested-routes judges
        ("untested", "tested", False),
        ("called", "untested", False),
    ],
)
def test_a_route_is_no_longer_tested_only_if_it_is_still_there(before, after, is_broken):
    """A route whose tests are gone, or see nothing but errors now, breaks the gate; one that is gone or new does not."""

    def run(state):
        return facts(measured("routes", endpoints={"GET /a/": {"state": state}} if state else {}))

    assert bool(broken(run(before), run(after), "routes")) == is_broken


def test_a_new_screenshot_is_no_worse_one():
    """Changed, missing and failed comparisons break the gate; one whose baseline was written now is for people to see."""

    def run(**counts):
        return facts(ended("a.t", measures={"screenshots": counts}))

    for state in ("changed", "missing", "failed"):
        (found,) = broken(run(passed=1), run(**{state: 1}), "screenshots")
        assert found.reason == "1 with other screenshots: a.t"
    assert broken(run(passed=1), run(passed=1, new=1), "screenshots") == []
    assert broken(run(changed=2), run(changed=1), "screenshots") == []


def test_coverage_is_judged_as_it_is_shown():
    """A fall that two digits do not show is none, and one as large as allowed passes."""

    def run(percent):
        return facts(measured("coverage", percent=percent))

    assert broken(run(80.004), run(80.0), "coverage") == []
    assert broken(run(80.5), run(80.0), "coverage", coverage_drop=0.5) == []
    assert broken(run(80.0), run(81.0), "coverage") == []
    (found,) = broken(run(80.51), run(80.0), "coverage", coverage_drop=0.5)
    assert found.reason == "80.51 % → 80.00 %: 0.51 points less, and 0.5 are allowed"


def test_a_gate_on_what_head_never_measured_is_an_error():
    """What HEAD did not measure cannot be judged, which a gate by name says; what BASE did not holds, as all together do."""
    with_routes, without = facts(measured("routes", endpoints={})), facts()
    with pytest.raises(TestkitError, match="--fail-on routes: HEAD has none: run it with --with-routes"):
        broken(with_routes, without, "routes")
    assert broken(with_routes, without, "all") == []
    assert broken(without, with_routes, "routes") == []
