"""What of a comparison fails it: by default nothing, by ``--fail-on`` what is named."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from testkit.core.errors import OptionError, TestkitError
from testkit.session.comparison.compare import HEAD, Comparison, RouteChange, ScreenshotChange

ALL = "all"
_NAMED = 3
_BAD_SCREENSHOTS = ("changed", "missing", "failed")
_MEASURED_BY: Mapping[str, str] = {
    "queries": "let the project have a file of query budgets, if only an empty one",
    "routes": "run it with --with-routes",
    "coverage": "run it with --with-cov",
    "screenshots": "run it with --with-needle",
}


class Limits(NamedTuple):
    """What is let pass: so many queries more for an endpoint, and a fall of the coverage by so many percentage points."""

    more_queries: int = 0
    coverage_drop: float = 0.0


class Broken(NamedTuple):
    """A gate that is broken, and why."""

    gate: str
    reason: str


def parse(given: Sequence[str]) -> dict[str, bool]:
    """Return the gates that ``--fail-on`` asks for, and whether by its own name, rather than with all others.

    Raises:
        OptionError: a name is none of a gate.
    """
    names = [name.strip() for text in given for name in text.split(",") if name.strip()]
    strangers = [name for name in names if name not in GATES and name != ALL]
    if strangers:
        raise OptionError(f"--fail-on {strangers[0]!r} is no gate: give {', '.join(GATES)}, or {ALL}")
    return {name: name in names for name in GATES if name in names or ALL in names}


def broken(comparison: Comparison, gates: Mapping[str, bool], limits: Limits) -> list[Broken]:
    """Return which of ``gates``, as from :func:`parse`, are broken.

    Raises:
        TestkitError: HEAD did not measure what a gate that was named looks at, which therefore would hold for ever.
    """
    for gate, is_named in gates.items():
        if is_named and HEAD in comparison.lacking.get(gate, ()):
            raise TestkitError(f"--fail-on {gate}: {HEAD} has none: {_MEASURED_BY[gate]}")
    reasons = {gate: GATES[gate](comparison, limits) for gate in gates}
    return [Broken(gate, reason) for gate, reason in reasons.items() if reason]


def _tests(kind: str, what: str) -> Callable[[Comparison, Limits], str]:
    return lambda comparison, limits: _counted([change.name for change in comparison.tests[kind]], what)


def _counted(names: Sequence[str], what: str) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{len(names)} {what}: {', '.join(names[:_NAMED])}{more}"


def _slower(comparison: Comparison, limits: Limits) -> str:
    return _counted([each.name for each in comparison.timings.slower], "slower")


def _queries(comparison: Comparison, limits: Limits) -> str:
    over = [
        f"{each.endpoint} ({each.before} → {each.after})"
        for each in comparison.queries
        if each.more > limits.more_queries
    ]
    return _counted(over, "with more queries")


def is_lost(change: RouteChange) -> bool:
    """Return whether tests asked for the endpoint, which is still there, and do so no more; errors alone are less."""
    return bool(change.after) and _RANKS.get(change.after, 0) < _RANKS.get(change.before, 0)


_RANKS: Mapping[str, int] = {"errors": 1, "tested": 2}


def _routes(comparison: Comparison, limits: Limits) -> str:
    return _counted([each.endpoint for each in comparison.routes if is_lost(each)], "no longer tested")


def _coverage(comparison: Comparison, limits: Limits) -> str:
    change = comparison.coverage
    if change is None:
        return ""
    drop = change.drop
    if drop <= limits.coverage_drop:
        return ""
    allowed = f", and {limits.coverage_drop:g} are allowed" if limits.coverage_drop else ""
    return f"{change.before:.2f} % → {change.after:.2f} %: {drop:.2f} points less{allowed}"


def is_worse(change: ScreenshotChange) -> bool:
    """Return whether more of a test's screenshots are not what they should be; a new one is for people to look at."""
    return any(change.after.get(state, 0) > change.before.get(state, 0) for state in _BAD_SCREENSHOTS)


def _screenshots(comparison: Comparison, limits: Limits) -> str:
    return _counted([each.test for each in comparison.screenshots if is_worse(each)], "with other screenshots")


GATES: Mapping[str, Callable[[Comparison, Limits], str]] = {
    "new-failures": _tests("new-failures", "new"),
    "not-run": _tests("not-run", "not run any more"),
    "gone": _tests("gone", "gone"),
    "skipped": _tests("skipped", "skipped now"),
    "flaky": _tests("flaky", "newly flaky"),
    "queries": _queries,
    "routes": _routes,
    "screenshots": _screenshots,
    "coverage": _coverage,
    "slower": _slower,
}
"""What each gate says is wrong; nothing if it holds. The gravest come first."""
