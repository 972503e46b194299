"""The coverage of routes as text, as JSON, and as the section ``routes`` of a run."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from testkit.core.paths import replacing
from testkit.coverage.routes.baseline import Baseline
from testkit.coverage.routes.standing import Standing, State

MOST_SHOWN = 20
VERSION = 1
"""Of the JSON file: it goes up when a member changes its meaning or vanishes."""


class Figures(NamedTuple):
    """How many endpoints of the project there are, and of how many kinds."""

    endpoints: int
    asked: int
    tested: int
    errors: int
    called: int
    untested: int
    anonymous: int

    @property
    def percent(self) -> float:
        return 100 * self.asked / self.endpoints if self.endpoints else 100.0


class Result(NamedTuple):
    """What is known at the end of a run.

    ``standings`` are of all endpoints, ``others`` what was asked for besides. ``is_whole`` says that all tests of the
    project ran: then what was not asked for is untested. ``base`` names the commit that it is compared with.
    """

    standings: Sequence[Standing]
    others: Sequence[str]
    baseline: Baseline
    is_whole: bool
    base: str = ""

    @property
    def own(self) -> list[Standing]:
        """Those that are the project's to test."""
        return [
            each for each in self.standings if each.endpoint.is_own and not self.baseline.ignores(each.endpoint.key)
        ]

    @property
    def figures(self) -> Figures:
        own = self.own
        count = {state: sum(each.state is state for each in own) for state in State}
        return Figures(
            endpoints=len(own),
            asked=count[State.TESTED] + count[State.ERRORS],
            tested=count[State.TESTED],
            errors=count[State.ERRORS],
            called=count[State.CALLED],
            untested=count[State.UNTESTED],
            anonymous=sum(each.is_anonymous for each in own),
        )

    def failing(self, mode: str) -> list[str]:
        """Return the endpoints that fail a run by ``--fail-untested-routes``."""
        left = [each for each in self.own if not each.state.is_asked]
        if mode == "new":
            left = [each for each in left if not each.is_known and (each.is_new or not self.base)]
        return [each.endpoint.key for each in left]

    def settled(self) -> list[str]:
        """Return what is in the file and need not be any more: endpoints that are tested, or that there are not."""
        there = {each.endpoint.key: each for each in self.standings}
        return [key for key in self.baseline.untested if key not in there or there[key].state.is_asked]


def describe(result: Result) -> str:
    """Return ``result`` as the console prints it."""
    figures, own = result.figures, result.own
    lines = [f"Routes: tests ask for {figures.asked} of {figures.endpoints} ({figures.percent:.1f} %)"]
    if result.is_whole:
        lines += _untested(result, own)
    elif figures.asked < figures.endpoints:
        lines.append("  Which ones no test asks for is told after a run of all tests")
    lines += _listed(
        "Asked for with errors alone",
        [f"{each.endpoint.key}  {_numbers(each)}" for each in own if each.state is State.ERRORS],
    )
    if figures.anonymous < figures.asked:  # else nobody signs in anywhere
        anonymous = sorted((each for each in own if each.is_anonymous), key=lambda each: 200 in each.statuses)
        lines += _listed(
            "Asked for without a user alone", [f"{each.endpoint.key}  {_numbers(each)}" for each in anonymous]
        )
    return "\n".join(lines)


def _untested(result: Result, own: Iterable[Standing]) -> list[str]:
    left = [each for each in own if not each.state.is_asked]
    known = [each for each in left if each.is_known]
    new = [each for each in left if each.is_new and not each.is_known]
    older = [each for each in left if not each.is_new and not each.is_known]
    lines = _listed(f"New since {result.base}, and no test asks for it", map(_named, new))
    lines += _listed("No test asks for", map(_named, older))
    if known:
        lines.append(f"  Untested so far, by {result.baseline.shown}: {len(known)}")
    settled = result.settled()
    lines += _listed(
        f"In {result.baseline.shown}, and tested or gone by now (--update-untested-routes takes them out)", settled
    )
    return lines


def _named(each: Standing) -> str:
    called = f", which {_tests(each.callers)} past its route" if each.state is State.CALLED else ""
    return f"{each.endpoint.key}  {each.endpoint.view}{called}"


def _tests(ids: Sequence[str]) -> str:
    return f"{ids[0]} calls" if len(ids) == 1 else f"{len(ids)} tests call"


def _numbers(each: Standing) -> str:
    return ", ".join(map(str, each.statuses))


def _listed(title: str, told: Iterable[str]) -> list[str]:
    told = list(told)
    if not told:
        return []
    more = [f"    … and {len(told) - MOST_SHOWN} more"] if len(told) > MOST_SHOWN else []
    return [f"  {title}:", *(f"    {line}" for line in told[:MOST_SHOWN]), *more]


def section_of(result: Result, failing: Collection[str]) -> dict[str, Any]:
    """Return ``result`` as the data of the section ``routes``: as in the file, with numbers in the place of ids."""
    endpoints = {
        key: {**each, "tests": len(each["tests"]), "callers": len(each["callers"])} for key, each in _rows(result)
    }
    return {**_head(result, failing), "endpoints": endpoints}


def write(path: Path, result: Result, failing: Collection[str]) -> None:
    """Write ``result`` to the file ``path`` as JSON.

    Raises:
        OSError: it cannot be written.
    """
    plain = {"kind": "testkit routes", "version": VERSION, **_head(result, failing), "endpoints": dict(_rows(result))}
    with replacing(path) as file:
        json.dump(plain, file, indent=1)
        file.write("\n")


def _head(result: Result, failing: Collection[str]) -> dict[str, Any]:
    figures = result.figures
    return {
        "whole": result.is_whole,
        "base": result.base,
        "figures": {**figures._asdict(), "percent": round(figures.percent, 2)},
        "failing": list(failing),
        "settled": result.settled(),
        "others": list(result.others),
    }


def _rows(result: Result) -> Iterable[tuple[str, dict[str, Any]]]:
    for each in result.standings:
        endpoint = each.endpoint
        yield (
            endpoint.key,
            {
                "state": each.state.value,
                "view": endpoint.view,
                "name": endpoint.name,
                "own": endpoint.is_own,
                "ignored": result.baseline.ignores(endpoint.key),
                "known": each.is_known,
                "new": each.is_new,
                "anonymous": each.is_anonymous,
                "statuses": list(each.statuses),
                "tests": list(each.tests),
                "callers": list(each.callers),
            },
        )
