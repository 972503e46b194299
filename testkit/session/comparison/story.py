"""A comparison told in titled lists of lines, the worst first; how that looks is for each format to say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from testkit.session.comparison.compare import (
    BASE,
    HEAD,
    Change,
    Comparison,
    CoverageChange,
    FileChange,
    QueriesChange,
    RouteChange,
    ScreenshotChange,
    Side,
    State,
    missed_more,
)
from testkit.session.comparison.gates import is_lost, is_worse
from testkit.session.comparison.timing import SHORTEST, Timing

SAME_SPEED = 1.1
"""Up to so many times as long, machines count as equally fast."""


class Name(NamedTuple):
    """Text that comes from a run: a test's id, say."""

    text: str


Line = tuple[str | Name, ...]


class Part(NamedTuple):
    """A list with its title. ``is_bad`` puts it before the others; ``brief`` is what the headline says of it."""

    title: str
    lines: Sequence[Line]
    is_bad: bool
    brief: str = ""


def parts_of(comparison: Comparison) -> list[Part]:
    """Return all that differs; lists that would be empty are left out."""
    parts = [*_bad(comparison), *_good(comparison)]
    return [part for part in parts if part.lines]


def headline(parts: Sequence[Part]) -> str:
    """Return the gist in one line."""
    briefs = [part.brief for part in parts if part.is_bad and part.brief]
    if briefs:
        return ", ".join(briefs)
    return "nothing is worse" if parts else "nothing differs"


def _bad(comparison: Comparison) -> Iterator[Part]:
    tests = comparison.tests
    yield _changes("New failures", "new failure", tests["new-failures"], is_bad=True)
    yield _changes("Not run any more", "not run", tests["not-run"], is_bad=True, plural="not run")
    yield _queries("More queries", [each for each in comparison.queries if each.more > 0], is_bad=True)
    yield _routes("No longer tested", [each for each in comparison.routes if is_lost(each)], is_bad=True)
    yield _screenshots("Screenshots", [each for each in comparison.screenshots if is_worse(each)], is_bad=True)
    if comparison.coverage is not None and comparison.coverage.drop > 0:
        yield _coverage(comparison.coverage)
    yield _changes("Tests that are gone", "gone", tests["gone"], is_bad=True, plural="gone")
    yield _changes("Skipped now", "skipped", tests["skipped"], is_bad=True, plural="skipped")
    yield _changes("Newly flaky", "newly flaky", tests["flaky"], is_bad=True, plural="newly flaky")
    yield _timings("Slower", comparison.timings.slower, is_bad=True)


def _good(comparison: Comparison) -> Iterator[Part]:
    tests = comparison.tests
    yield _changes("Fixed", "fixed", tests["fixed"])
    yield _changes("No longer flaky", "no longer flaky", tests["no-longer-flaky"])
    yield _queries("Fewer queries", [each for each in comparison.queries if each.more < 0])
    yield _queries("Endpoints that were not requested before", [e for e in comparison.queries if e.before is None])
    yield _queries("Endpoints that are not requested any more", [e for e in comparison.queries if e.after is None])
    yield _routes("Routes", [each for each in comparison.routes if not is_lost(each)])
    yield _screenshots("Other screenshots", [each for each in comparison.screenshots if not is_worse(each)])
    if comparison.coverage is not None and comparison.coverage.drop <= 0:
        yield _coverage(comparison.coverage)
    yield _timings("Faster", comparison.timings.faster)
    yield _changes("New tests", "new", tests["new"])
    yield _changes("Run again", "run again", tests["run-again"])
    yield _changes("No longer skipped", "no longer skipped", tests["no-longer-skipped"])


# Lists


def _changes(title: str, brief: str, changes: Sequence[Change], *, is_bad: bool = False, plural: str = "") -> Part:
    lines = [_change_line(change) for change in changes]
    return Part(f"{title}: {len(changes)}", lines, is_bad, _count(len(changes), brief, plural))


def _change_line(change: Change) -> Line:
    if change.before is State.ABSENT:
        return (Name(change.name), f": new, {change.after}")
    return (Name(change.name), f": {change.before} → {change.after}")


def _queries(title: str, changes: Sequence[QueriesChange], *, is_bad: bool = False) -> Part:
    worst = sorted(changes, key=lambda each: (-abs(each.more), each.endpoint))
    brief = f"{_count(len(changes), 'endpoint')} with more queries"
    return Part(f"{title}: {_count(len(changes), 'endpoint')}", [_queries_line(each) for each in worst], is_bad, brief)


def _queries_line(each: QueriesChange) -> Line:
    if each.before is None:
        return (Name(each.endpoint), f": {_count(each.after or 0, 'query', 'queries')}, in ", Name(each.test))
    if each.after is None:
        return (Name(each.endpoint), f": {_count(each.before, 'query', 'queries')} before")
    return (Name(each.endpoint), f": {each.before} → {_count(each.after, 'query', 'queries')}, in ", Name(each.test))


def _routes(title: str, changes: Sequence[RouteChange], *, is_bad: bool = False) -> Part:
    lines: list[Line] = [
        (Name(each.endpoint), f": {each.before or 'not there'} → {each.after or 'gone'}") for each in changes
    ]
    brief = _count(len(changes), "route")
    return Part(f"{title}: {brief}", lines, is_bad, f"{brief} no longer tested")


def _screenshots(title: str, changes: Sequence[ScreenshotChange], *, is_bad: bool = False) -> Part:
    lines: list[Line] = [(Name(each.test), f": {_counts(each.before)} → {_counts(each.after)}") for each in changes]
    brief = _count(len(changes), "test")
    return Part(f"{title}: {brief}", lines, is_bad, f"other screenshots in {brief}")


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in counts.items()) or "as their baselines"


def _coverage(change: CoverageChange) -> Part:
    worst = sorted(change.files, key=lambda file: (-missed_more(file), file.path))
    lines = [_file_line(file) for file in worst]
    if change.drop:
        lines.insert(0, (f"{change.before:.2f} % → {change.after:.2f} % in all",))
    brief = f"coverage {change.before:.2f} % → {change.after:.2f} %"
    title = f"Coverage: {_count(len(change.files), 'file')}" if change.files else "Coverage"
    return Part(title, lines, change.drop > 0, brief)


def _file_line(file: FileChange) -> Line:
    more = missed_more(file)
    missed = f", {abs(more)} {'more' if more > 0 else 'fewer'} missed" if more else ""
    return (Name(file.path), f": {_covered(file.before)} → {_covered(file.after)}{missed}")


def _covered(file: tuple[int, int] | None) -> str:
    if file is None:
        return "not there"
    statements, missing = file
    return f"{100 * (statements - missing) / statements:.1f} %" if statements else "no statements"


def _timings(title: str, timings: Sequence[Timing], *, is_bad: bool = False) -> Part:
    lines = [_timing_line(each) for each in timings]
    return Part(f"{title}: {len(timings)}", lines, is_bad, f"{len(timings)} slower")


def _timing_line(each: Timing) -> Line:
    times = f"{each.ratio:.1f} ×" if each.ratio >= 1 else f"1/{1 / each.ratio:.1f}"
    shown = f" ({times})" if min(each.before, each.after) >= SHORTEST else ""  # else one of clock ticks
    return (Name(each.name), f": {each.before:.2f} s → {each.after:.2f} s{shown}")


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


# What is said of the whole


def notes_on(comparison: Comparison) -> list[Line]:
    """Return what a reader has to know to judge the lists."""
    notes: list[Line] = []
    for title, side in ((BASE, comparison.base), (HEAD, comparison.head)):
        notes += _notes_on_side(title, side)
    machine = comparison.timings.machine
    if max(machine, 1 / machine) > SAME_SPEED:
        slower, times = (HEAD, machine) if machine > 1 else (BASE, 1 / machine)
        notes.append((f"Everything takes {times:.1f} times as long in {slower}; that is taken out of the ratios",))
    for name, without in comparison.lacking.items():
        if len(without) == 1:
            notes.append((f"Not compared: {name}, which {without[0]} has not",))
    return notes


def _notes_on_side(title: str, side: Side) -> Iterator[Line]:
    early = [run for run in side.runs if run.ended_early]
    if early:
        which = "it" if len(side.runs) == 1 else f"{len(early)} of its runs"
        yield (f"{title}: {which} ended early: ", Name(early[0].ended_early))
    commits = {run.commit for run in side.runs if run.commit}
    if len(commits) > 1:
        mixed = f"{title}: its {len(side.runs)} runs are of {len(commits)} commits, so what changed between looks flaky"
        yield (f"{mixed}; --runs 1 takes the newest alone",)
    if any(run.is_joined for run in side.runs):
        yield (f"{title}: joined from shards, which have no coverage or routes in common before `merge`",)


class Column(NamedTuple):
    """What a side is, in figures."""

    title: str
    run: str
    commit: str
    runs: int
    tests: int
    failed: int
    seconds: float
    coverage: float | None


def column_of(title: str, side: Side) -> Column:
    """Return the figures of the newest run of ``side``."""
    newest = side.runs[-1]
    return Column(
        title,
        newest.run,
        newest.commit,
        len(side.runs),
        len(newest.tests),
        sum(result.outcome.is_bad for result in (*newest.tests.values(), *newest.fixtures.values())),
        newest.seconds,
        newest.coverage.percent if newest.coverage is not None else None,
    )
