"""What differs between two sides, each of one run or of several of the same code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, TypeVar

from testkit.core.events import Outcome
from testkit.core.results import Result
from testkit.session.comparison.figures import Coverage, Figures
from testkit.session.comparison.timing import Rule, Timings, compare_times

T = TypeVar("T")
BASE, HEAD = "BASE", "HEAD"


class State(StrEnum):
    """What became of a test on one side."""

    PASSED = "passed"
    FAILED = "failed"
    FLAKY = "flaky"
    """It failed and passed: in attempts of one run, or in several runs of the side."""
    SKIPPED = "skipped"
    NOT_RUN = "not run"
    """It was collected, and the run ended early, the set-up of its class failed, or it was lost."""
    ABSENT = "not there"


_RAN = (State.PASSED, State.FAILED, State.FLAKY)


class Side(NamedTuple):
    """The runs of one side; ``title`` is what they were asked for by."""

    title: str
    runs: tuple[Figures, ...]


class Change(NamedTuple):
    """A test whose state differs."""

    name: str
    before: State
    after: State


class QueriesChange(NamedTuple):
    """An endpoint with another number of queries; None: no test requested it. ``test`` made the most of them."""

    endpoint: str
    before: int | None
    after: int | None
    test: str

    @property
    def more(self) -> int:
        """How many more queries there are; of an endpoint that only one side has, 0."""
        return 0 if self.before is None or self.after is None else self.after - self.before


class RouteChange(NamedTuple):
    """An endpoint that is tested in another way; the words are ``routes.json``'s, empty if there is no such endpoint."""

    endpoint: str
    before: str
    after: str


class FileChange(NamedTuple):
    """A file: the statements that are not covered, and how many there are; None if it was not measured."""

    path: str
    before: tuple[int, int] | None
    after: tuple[int, int] | None


class CoverageChange(NamedTuple):
    """The coverage in percent, and the files in which it differs, those that lost most first."""

    before: float
    after: float
    files: tuple[FileChange, ...]

    @property
    def drop(self) -> float:
        """How many percentage points less are covered, to two digits, as percentages are shown."""
        return round(self.before - self.after, 2)


class ScreenshotChange(NamedTuple):
    """A test whose comparisons that were not equal differ: how many ended in each state but ``passed``."""

    test: str
    before: Mapping[str, int]
    after: Mapping[str, int]


_Moves = Callable[[State, State], bool]
_TO: Mapping[str, _Moves] = {
    "new-failures": lambda before, after: after is State.FAILED and before is not State.FAILED,
    "flaky": lambda before, after: after is State.FLAKY and before is not State.FLAKY,
    "gone": lambda before, after: after is State.ABSENT and before is not State.ABSENT,
    "not-run": lambda before, after: after is State.NOT_RUN and before not in (State.NOT_RUN, State.ABSENT),
    "skipped": lambda before, after: after is State.SKIPPED and before in _RAN,
}
MIRRORED: Mapping[str, str] = {
    "fixed": "new-failures",
    "no-longer-flaky": "flaky",
    "new": "gone",
    "run-again": "not-run",
    "no-longer-skipped": "skipped",
}
"""Kinds of changes that are others with BASE and HEAD exchanged."""
_OF_FIXTURES = frozenset({"new-failures", "fixed", "flaky", "no-longer-flaky"})


class Comparison(NamedTuple):
    """What differs. ``tests`` has the changes by their kind: the keys of ``_TO`` and of :data:`MIRRORED`.

    ``lacking`` has what was not compared, with the sides that did not measure it.
    """

    base: Side
    head: Side
    tests: Mapping[str, tuple[Change, ...]]
    timings: Timings
    queries: tuple[QueriesChange, ...]
    routes: tuple[RouteChange, ...]
    coverage: CoverageChange | None
    screenshots: tuple[ScreenshotChange, ...]
    lacking: Mapping[str, tuple[str, ...]]


def compare(base: Side, head: Side, rule: Rule | None = None) -> Comparison:
    """Return what differs between ``base`` and ``head``; exchanged, they give the same with before and after exchanged."""
    return Comparison(
        base,
        head,
        _compare_tests(base.runs, head.runs),
        compare_times(_times(base.runs), _times(head.runs), rule or Rule()),
        tuple(_compare_queries(_queries(base.runs), _queries(head.runs))),
        tuple(
            _compare_routes(
                _newest(run.routes for run in base.runs),
                _newest(run.routes for run in head.runs),
            )
        ),
        _compare_coverage(
            _newest(run.coverage for run in base.runs),
            _newest(run.coverage for run in head.runs),
        ),
        tuple(
            _compare_screenshots(
                _newest(run.screenshots for run in base.runs),
                _newest(run.screenshots for run in head.runs),
            )
        ),
        _lacking(base.runs, head.runs),
    )


# Tests


def _compare_tests(base: Sequence[Figures], head: Sequence[Figures]) -> dict[str, tuple[Change, ...]]:
    found: dict[str, list[Change]] = {kind: [] for kind in (*_TO, *MIRRORED)}
    ids = dict.fromkeys(id for run in (*base, *head) for id in (*run.tests, *sorted(run.not_run)))
    for id in sorted(ids):
        _sort_in(found, Change(id, state_of(id, base), state_of(id, head)), found)
    for name in sorted({name for run in (*base, *head) for name in run.fixtures}):
        change = Change(name, _of_results(_results(name, base)), _of_results(_results(name, head)))
        _sort_in(found, change, _OF_FIXTURES)
    return {kind: tuple(changes) for kind, changes in found.items()}


def _sort_in(found: Mapping[str, list[Change]], change: Change, kinds: Iterable[str]) -> None:
    before, after = change.before, change.after
    if before is after:
        return
    for kind in kinds:
        does_move = _TO[kind](before, after) if kind in _TO else _TO[MIRRORED[kind]](after, before)
        if does_move:
            found[kind].append(change)


def state_of(id: str, runs: Sequence[Figures]) -> State:
    """Return what became of the test ``id`` in ``runs``, which are of one side."""
    results = [run.tests[id] for run in runs if id in run.tests]
    if results:
        return _of_results(results)
    set_ups = {run.set_up_of(id) for run in runs}
    if any(id in run.not_run for run in runs) or set_ups - {None, Outcome.SKIPPED}:
        return State.NOT_RUN
    return State.SKIPPED if Outcome.SKIPPED in set_ups else State.ABSENT


def _results(name: str, runs: Sequence[Figures]) -> list[Result]:
    return [run.fixtures[name] for run in runs if name in run.fixtures]


def _of_results(results: Sequence[Result]) -> State:
    if not results:
        return State.ABSENT
    failed = any(result.outcome.is_bad for result in results)
    passed = any(result.outcome is not Outcome.SKIPPED and not result.outcome.is_bad for result in results)
    if (failed and passed) or any(result.is_flaky for result in results):
        return State.FLAKY
    return State.FAILED if failed else State.PASSED if passed else State.SKIPPED


def _times(runs: Sequence[Figures]) -> list[dict[str, float]]:
    """Return the seconds of what passed: what fails may end early, and what is skipped takes no time."""
    return [
        {
            name: result.seconds
            for name, result in (*run.tests.items(), *run.fixtures.items())
            if result.outcome is Outcome.PASSED
        }
        for run in runs
    ]


# What was measured


def _newest(found: Iterable[T | None]) -> T | None:
    """Return the last that was measured."""
    return next((each for each in reversed(list(found)) if each is not None), None)


def _lacking(base: Sequence[Figures], head: Sequence[Figures]) -> dict[str, tuple[str, ...]]:
    """Return what was not measured, with the sides that did not."""
    measures: Mapping[str, Callable[[Figures], object]] = {
        "queries": lambda run: run.queries,
        "routes": lambda run: run.routes,
        "coverage": lambda run: run.coverage,
        "screenshots": lambda run: run.screenshots,
    }
    lacking = {}
    for name, measure in measures.items():
        without = tuple(
            title for title, runs in ((BASE, base), (HEAD, head)) if all(measure(run) is None for run in runs)
        )
        if without:
            lacking[name] = without
    return lacking


def _queries(runs: Sequence[Figures]) -> dict[str, tuple[int, str]] | None:
    """Return by endpoint the most queries in any of the runs, and the test that made them."""
    measured = [run.queries for run in runs if run.queries is not None]
    most: dict[str, tuple[int, str]] = {}
    for queries in measured:
        for endpoint, cost in queries.items():
            if endpoint not in most or cost[0] > most[endpoint][0]:
                most[endpoint] = cost
    return most if measured else None


def _compare_queries(
    before: Mapping[str, tuple[int, str]] | None, after: Mapping[str, tuple[int, str]] | None
) -> Iterator[QueriesChange]:
    if before is None or after is None:
        return
    for endpoint in sorted(before.keys() | after.keys()):
        ours, theirs = before.get(endpoint), after.get(endpoint)
        if (ours and ours[0]) != (theirs and theirs[0]):
            test = (theirs or ours or (0, ""))[1]
            yield QueriesChange(endpoint, ours[0] if ours else None, theirs[0] if theirs else None, test)


def _compare_routes(before: Mapping[str, str] | None, after: Mapping[str, str] | None) -> Iterator[RouteChange]:
    if before is None or after is None:
        return
    for endpoint in sorted(before.keys() | after.keys()):
        change = RouteChange(endpoint, before.get(endpoint, ""), after.get(endpoint, ""))
        if change.before != change.after:
            yield change


def _compare_coverage(before: Coverage | None, after: Coverage | None) -> CoverageChange | None:
    if before is None or after is None:
        return None
    files = []
    # Without figures by file on one side, each file of the other would look new.
    for path in before.files.keys() | after.files.keys() if before.files and after.files else ():
        change = FileChange(path, before.files.get(path), after.files.get(path))
        if change.before != change.after:
            files.append(change)
    files.sort(key=lambda change: (-missed_more(change), change.path))
    return CoverageChange(before.percent, after.percent, tuple(files))


def missed_more(change: FileChange) -> int:
    """Return how many more statements are not covered; a file that is gone misses none."""
    return (change.after[1] if change.after else 0) - (change.before[1] if change.before else 0)


def _compare_screenshots(
    before: Mapping[str, Mapping[str, int]] | None, after: Mapping[str, Mapping[str, int]] | None
) -> Iterator[ScreenshotChange]:
    if before is None or after is None:
        return
    for test in sorted(before.keys() | after.keys()):
        change = ScreenshotChange(test, _unequal(before.get(test, {})), _unequal(after.get(test, {})))
        if change.before != change.after:
            yield change


def _unequal(counts: Mapping[str, int]) -> dict[str, int]:
    return {state: count for state, count in sorted(counts.items()) if state != "passed"}
