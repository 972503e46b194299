"""What differs between two sides is told, and nothing else; exchanged sides tell the same the other way round."""

from __future__ import annotations

import pytest

from testkit.core.events import FixtureFinished
from testkit.session.comparison.compare import (
    MIRRORED,
    Change,
    CoverageChange,
    FileChange,
    QueriesChange,
    RouteChange,
    ScreenshotChange,
    State,
    compare,
)
from tests.session.comparison.made import (
    FAILED,
    SKIPPED,
    bad_set_up,
    ended,
    facts,
    measured,
    random_run,
    side,
)


def kinds(base, head):
    """Return the names by the kind of their change."""
    found = compare(side(base), side(head)).tests
    return {kind: [change.name for change in changes] for kind, changes in found.items() if changes}


@pytest.mark.parametrize("seed", range(40))
def test_a_run_does_not_differ_from_itself(seed):
    """Whatever happened in a run, compared with itself nothing differs; nor do three of it from two."""
    run = random_run(seed)
    for base, head in ((side(run), side(run)), (side(run, run, run), side(run, run))):
        found = compare(base, head)
        assert not any(found.tests.values())
        assert (found.queries, found.routes, found.screenshots) == ((), (), ())
        assert found.timings == (1.0, (), ())
        assert found.coverage is None or (found.coverage.drop, found.coverage.files) == (0, ())
        assert all(len(without) == 2 for without in found.lacking.values())


@pytest.mark.parametrize("seed", range(40))
def test_exchanged_sides_tell_the_same_the_other_way_round(seed):
    """What is new in one direction is gone in the other, what is slower is faster, and before and after change places."""
    a, b = side(random_run(2 * seed), random_run(1000 + seed)), side(random_run(2 * seed + 1))
    there, back = compare(a, b), compare(b, a)
    mirrored = {**MIRRORED, **{kind: mirror for mirror, kind in MIRRORED.items()}}
    assert mirrored.keys() == there.tests.keys()
    for kind, changes in there.tests.items():
        assert back.tests[mirrored[kind]] == tuple(Change(each.name, each.after, each.before) for each in changes)
    assert [(each.endpoint, each.before, each.after) for each in there.queries] == [
        (each.endpoint, each.after, each.before) for each in back.queries
    ]
    assert there.routes == tuple(RouteChange(each.endpoint, each.after, each.before) for each in back.routes)
    assert there.screenshots == tuple(ScreenshotChange(each.test, each.after, each.before) for each in back.screenshots)
    assert {each.name for each in there.timings.slower} == {each.name for each in back.timings.faster}
    assert there.timings.machine == pytest.approx(1 / back.timings.machine)
    if there.coverage and back.coverage:
        assert there.coverage.drop == -back.coverage.drop
        exchanged = {FileChange(each.path, each.after, each.before) for each in back.coverage.files}
        assert set(there.coverage.files) == exchanged


def test_a_test_is_told_by_what_became_of_it():
    """A new failure, a mended test, one that is gone, new, skipped or flaky now: each is of its own kind."""
    base = facts(
        ended("a.breaks"),
        ended("a.mended", FAILED),
        ended("a.gone"),
        ended("a.skipped"),
        ended("a.flaky"),
        ended("a.same", FAILED),
        ended("a.unskipped", SKIPPED),
    )
    head = facts(
        ended("a.breaks", FAILED),
        ended("a.mended"),
        ended("a.skipped", SKIPPED),
        ended("a.flaky", FAILED, final=False),
        ended("a.flaky", attempt=2),
        ended("a.same", FAILED),
        ended("a.unskipped"),
        ended("a.new", FAILED),
    )
    assert kinds(base, head) == {
        "new-failures": ["a.breaks", "a.new"],
        "fixed": ["a.mended"],
        "gone": ["a.gone"],
        "new": ["a.new"],
        "skipped": ["a.skipped"],
        "no-longer-skipped": ["a.unskipped"],
        "flaky": ["a.flaky"],
    }


def test_several_runs_of_a_side_are_of_one_code():
    """A test that failed in one of three runs of a side is flaky there, and one that failed in all of them fails."""
    good, bad = (
        facts(ended("a.sometimes"), ended("a.always", FAILED)),
        facts(ended("a.sometimes", FAILED), ended("a.always", FAILED)),
    )
    found = compare(side(facts(ended("a.sometimes"), ended("a.always"))), side(good, bad, good)).tests
    assert found["flaky"] == (Change("a.sometimes", State.PASSED, State.FLAKY),)
    assert found["new-failures"] == (Change("a.always", State.PASSED, State.FAILED),)


def test_what_did_not_run_is_not_gone():
    """Tests of a class whose set-up failed, that an early end left out or that were lost did not run; they are not gone."""
    base = facts(ended("a.T.x"), ended("a.U.y"), ended("a.V.z"))
    head = facts(bad_set_up("a.T"), ids=["a.T.x", "a.U.y", "a.V.z"], not_run=("a.U.y",), lost=("a.V.z",))
    assert kinds(base, head) == {"new-failures": ["a.T (setUpClass)"], "not-run": ["a.T.x", "a.U.y", "a.V.z"]}
    skipped = bad_set_up("a.T")._replace(outcome=SKIPPED)
    assert kinds(base, facts(skipped, ended("a.U.y"), ended("a.V.z"))) == {"skipped": ["a.T.x"]}
    passed = FixtureFinished(id="a.T", phase="setUpClass", at=1.0, seconds=0.1)
    assert kinds(facts(passed), facts()) == {}


def test_queries_are_compared_by_endpoint():
    """The most queries of any request count, of a test's last attempt; endpoints that one side has not have none there."""

    def asked(name, **routes):
        routes = {f"GET /{path}/": {"requests": 2, "queries": count, "ms": 0.1} for path, count in routes.items()}
        return ended(name, measures={"queries": {"total": 9, "routes": routes}})

    cut_off = asked("a.t", books=99)._replace(final=False)
    base = facts(asked("a.t", books=4, pens=2), asked("a.u", books=3, gone=1))
    head = facts(cut_off, asked("a.t", books=3, pens=2), asked("a.u", books=29, new=0))
    assert compare(side(base), side(head)).queries == (
        QueriesChange("GET /books/", 4, 29, "a.u"),
        QueriesChange("GET /gone/", 1, None, "a.u"),
        QueriesChange("GET /new/", None, 0, "a.u"),
    )
    assert compare(side(facts(ended("a.t"))), side(head)).queries == ()
    assert compare(side(facts(ended("a.t"))), side(head)).lacking["queries"] == ("BASE",)
    nothing = facts(ended("a.t"), measured("budgets", within=[]))
    assert compare(side(base), side(nothing)).queries[0] == QueriesChange("GET /books/", 4, None, "a.t")


def test_routes_coverage_and_screenshots_are_compared_where_both_have_them():
    """Endpoints, percents and files, and tests whose screenshots differ are told; without figures on a side, nothing is."""
    base = facts(
        ended("a.t", measures={"screenshots": {"passed": 2, "changed": 0}}),
        measured("routes", endpoints={"GET /a/": {"state": "tested"}, "GET /b/": {"state": "tested"}}),
        measured("coverage", percent=90.0, files={"a.py": {"statements": 10, "missing": [[3, 3]]}}),
    )
    head = facts(
        ended("a.t", measures={"screenshots": {"passed": 1, "changed": 1}}),
        measured("routes", endpoints={"GET /a/": {"state": "untested"}, "GET /c/": {"state": "tested"}}),
        measured("coverage", percent=88.5, files={"a.py": {"statements": 11, "missing": [[3, 3], [7, 9]]}}),
    )
    found = compare(side(base), side(head))
    assert found.routes == (
        RouteChange("GET /a/", "tested", "untested"),
        RouteChange("GET /b/", "tested", ""),
        RouteChange("GET /c/", "", "tested"),
    )
    assert found.coverage == CoverageChange(90.0, 88.5, (FileChange("a.py", (10, 1), (11, 4)),))
    assert found.coverage.drop == 1.5
    assert found.screenshots == (ScreenshotChange("a.t", {}, {"changed": 1}),)
    without = facts(ended("a.t"), measured("coverage", percent=91.0), measured("routes", routes=[], whole=True))
    found = compare(side(base), side(without))
    assert (found.routes, found.coverage, found.screenshots) == ((), CoverageChange(90.0, 91.0, ()), ())
    assert found.lacking == {"queries": ("BASE", "HEAD"), "routes": ("HEAD",), "screenshots": ("HEAD",)}
