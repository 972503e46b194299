"""What was measured about the run, for the page: requests and their budgets, routes, coverage, and all other sections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from testkit.core.text import readable
from testkit.listeners.html.texts import short

LONGEST_TEXT = 20_000
MOST_ROWS = 5_000
_DRAWN = frozenset(
    {
        "budgets",
        "routes",
        "coverage",
        "diff_coverage",
        "databases",
        "screenshots",
        "reports",
        "environment",
        "status",
        "github",
    }
)
"""Sections that the page has a place for."""


class Requests:
    """Adds up what requests cost, by endpoint, from the measure ``queries`` of each test."""

    def __init__(self) -> None:
        self._costs: dict[str, list[Any]] = {}

    def add(self, measures: Mapping[str, Any]) -> None:
        """Take what a test noted."""
        told = measures.get("queries")
        routes = told.get("routes", {}) if isinstance(told, Mapping) else {}
        for key, cost in routes.items():
            known = self._costs.setdefault(key, [0, 0, 0.0, 0])
            known[0] += cost["requests"]
            known[1] = max(known[1], cost["queries"])
            known[2] = max(known[2], cost["ms"])
            known[3] += 1

    def to_plain(self, budgets: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return a row for each endpoint, with what the section ``budgets`` says of it."""
        rows = []
        for key, (requests, queries, ms, tests) in sorted(self._costs.items())[:MOST_ROWS]:
            state, word = _standing(key, budgets)
            row = {"route": short(key), "requests": requests, "queries": queries, "ms": ms, "tests": tests}
            rows.append({**row, "state": state, "word": word, "most": budgets.get("most", {}).get(key)})
        return rows


def _standing(key: str, budgets: Mapping[str, Any]) -> tuple[str, str]:
    """Return how an endpoint stands to its budget, and in words why if it broke it."""
    over = budgets.get("over", {})
    if key in over:
        return "over", short(str(over[key]))
    if key in budgets.get("slow", {}):
        return "slow", "slower than its budget wants"
    if key in budgets.get("within", ()):
        return "within", ""
    return ("without", "") if budgets else ("", "")


def routes_of(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the section ``routes`` says; nothing if it is a shard's, or is not there."""
    if "endpoints" not in section:
        return {}
    rows = [
        {
            "route": short(key),
            "state": str(told.get("state", "")),
            "view": short(str(told.get("view", ""))),
            "tests": told.get("tests", 0),
            "statuses": list(told.get("statuses", ())),
            "marks": [mark for mark in ("new", "known", "anonymous", "ignored") if told.get(mark)],
            "own": bool(told.get("own", True)),
        }
        for key, told in list(section["endpoints"].items())[:MOST_ROWS]
    ]
    failing = [short(key) for key in section.get("failing", ())]
    return {
        "rows": rows,
        "figures": section.get("figures", {}),
        "failing": failing,
        "whole": section.get("whole", True),
    }


def coverage_of(section: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the sections ``coverage`` and ``diff_coverage`` say."""
    data: dict[str, Any] = {}
    if section:
        files = [
            {
                "path": short(path),
                "statements": told["statements"],
                "missing": sum(last - first + 1 for first, last in told["missing"]),
                "lines": _ranges(told["missing"]),
            }
            for path, told in list(section.get("files", {}).items())[:MOST_ROWS]
        ]
        data = {name: section.get(name) for name in ("percent", "covered", "statements")} | {"files": files}
    if changed:
        uncovered = [[short(path), _ranges(lines)] for path, lines in changed.get("uncovered", {}).items()]
        told = {name: changed.get(name) for name in ("percent", "lines")}
        names = {name: short(str(changed.get(name, ""))) for name in ("base", "failing")}
        data["changed"] = {**told, **names, "uncovered": uncovered[:MOST_ROWS]}
    return data


def _ranges(lines: Sequence[Sequence[int]]) -> str:
    return short(", ".join(f"{first}–{last}" if last > first else str(first) for first, last in lines), 2_000)


def others_of(sections: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """Return the title and text of each section that the page has no place for."""
    return [
        [short(name), readable(str(data["text"])[:LONGEST_TEXT]).strip("\n")]
        for name, data in sections.items()
        if name not in _DRAWN and data.get("text")
    ]
