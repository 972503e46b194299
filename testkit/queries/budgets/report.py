"""What became of all budgets, at the end of a run."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from testkit.endpoints.routes import LANGUAGE
from testkit.queries.budgets.costs import Cost
from testkit.queries.budgets.file import Budgets

MOST_SHOWN = 20


class Standing(NamedTuple):
    """How requests and budgets go together."""

    within: Sequence[str]
    """Endpoints that were requested and kept to their budget."""
    over: Mapping[str, str]
    """Endpoints that broke it, and how, whether a test failed for it or not."""
    without: Mapping[str, Cost]
    """Endpoints that were requested and have none."""
    slow: Mapping[str, Cost]
    """Endpoints that took longer than their budget says."""
    gone: Mapping[str, str]
    """Budgets of routes that exist no more, and the route that comes nearest."""
    never: Sequence[str]
    """Routes to views of the project that no test requested; only a run of all tests can tell."""

    def to_plain(self) -> dict[str, Any]:
        """Return it as the data of the section ``budgets``."""
        return {
            "within": list(self.within),
            "over": dict(self.over),
            "without": {key: cost.queries for key, cost in self.without.items()},
            "slow": {key: round(cost.seconds * 1000, 3) for key, cost in self.slow.items()},
            "gone": dict(self.gone),
            "never": list(self.never),
        }


def standing_of(budgets: Budgets, costs: Mapping[str, Cost], routes: Mapping[str, bool], *, is_whole: bool) -> Standing:
    """Return how ``costs`` and ``budgets`` go together.

    Args:
        budgets: what the file has.
        costs: of the requests of the run, by endpoint.
        routes: all routes of the project, and whether each is its own; none when they are not known.
        is_whole: whether all tests of the project ran.
    """
    known = set(map(_plain, routes))
    requested = {_plain(_path_of(key)) for key in costs}
    over = {
        key: broken for key, budget in budgets.of.items() if key in costs and (broken := budget.broken_by(costs[key]))
    }
    return Standing(
        within=[key for key in costs if key in budgets.of and key not in over],
        over=over,
        without={key: costs[key] for key in sorted(costs) if key not in budgets.of},
        slow={key: cost for key, cost in costs.items() if key in budgets.of and budgets.of[key].is_slow_for(cost)},
        gone={
            key: _nearest(key, routes)
            for key in budgets.of
            if known and key not in costs and _plain(_path_of(key)) not in known
        },
        never=[path for path, is_own in routes.items() if is_own and _plain(path) not in requested] if is_whole else [],
    )


def _path_of(key: str) -> str:
    return key.partition(" ")[2]


def _plain(path: str) -> str:
    """Return ``path`` without its language: a default language may have no prefix."""
    return path.replace(f"/{LANGUAGE}/", "/", 1)


def _nearest(key: str, paths: Iterable[str]) -> str:
    method, _, path = key.partition(" ")
    near = difflib.get_close_matches(path, sorted(paths), 1)
    return f"{method} {near[0]}" if near else ""


def describe_standing(standing: Standing, budgets: Budgets, *, records: bool) -> str:
    """Return ``standing`` as the console prints it; ``records`` when new budgets were written."""
    within = len(standing.within)
    lines = [
        f"Query budgets: {within} endpoint{'' if within == 1 else 's'} within {'its' if within == 1 else 'their'} budget ({budgets.shown})"
    ]
    lines += _listed(
        "Over budget", [f"{key} made {broken} ({budgets.place_of(key)})" for key, broken in standing.over.items()]
    )
    if standing.without and not records:
        told = [f"{key}: {cost.queries}" for key, cost in standing.without.items()]
        lines += _listed("Without a budget (--query-budgets=record adds them)", told)
    told = [
        f"{key}: {cost.seconds * 1000:.0f} ms, {budgets.of[key].milliseconds:g} wanted"
        for key, cost in standing.slow.items()
    ]
    lines += _listed("Slower than they should be", told)
    told = [
        f"{key} ({budgets.place_of(key)}){f', did you mean {near}?' if near else ''}"
        for key, near in standing.gone.items()
    ]
    lines += _listed("Budgets of routes that exist no more", told)
    lines += _listed("Routes that no test requests", standing.never)
    return "\n".join(lines)


def _listed(title: str, told: Sequence[str]) -> list[str]:
    if not told:
        return []
    more = [f"    … and {len(told) - MOST_SHOWN} more"] if len(told) > MOST_SHOWN else []
    return [f"  {title}:", *(f"    {line}" for line in told[:MOST_SHOWN]), *more]
