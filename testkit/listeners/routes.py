"""Tells at the end of a run which routes its tests ask for, and which no test does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from testkit.core.bus import PublishMeasured
from testkit.core.errors import TestkitError
from testkit.core.events import Fact, FixtureFinished, RunFinished, RunMeasured, TestFinished
from testkit.core.tally import Tally
from testkit.coverage.routes import baseline, report
from testkit.coverage.routes.base import Base
from testkit.coverage.routes.options import RouteOptions
from testkit.coverage.routes.report import Result
from testkit.coverage.routes.standing import Asked, endpoints_of, others, standings_of
from testkit.endpoints.routes import Route

SECTION = "routes"


class RoutesListener:
    """Collects what tests ask for from the measure ``routes`` of each.

    A part of a run (a shard) only notes what the joined run has to know: the routes of the project, and whether nothing
    was left out by labels or tags.
    """

    def __init__(
        self,
        publish_measured: PublishMeasured,
        options: RouteOptions,
        tally: Tally,
        *,
        routes: Callable[[], Iterable[Route]] | None,
        base: Base | None,
        is_whole: bool,
        is_part: bool = False,
        parts: int = 0,
    ) -> None:
        """Read the file of routes that may be untested.

        Args:
            publish_measured: is called once, with the section's name and its data.
            options: what to do.
            tally: counts the run; it hears each fact before this does.
            routes: gives the routes of the project; None where the parts of a run tell.
            base: the commit to compare with, if there is one.
            is_whole: whether all tests of the project were asked for.
            is_part: whether this run is one of several that are joined.
            parts: how many runs this one is joined from.

        Raises:
            OptionError: the file is not as it should be.
        """
        self._publish_measured, self._options, self._tally = publish_measured, options, tally
        self._list_routes, self._base = routes, base
        self._is_whole, self._is_part = is_whole, is_part
        self._baseline = baseline.read(options.untested_routes_file.absolute())
        self._place = options.routes_file.absolute()
        self._asked = Asked()
        self._told: set[Route] = set()
        self._parts, self._parts_told = parts, 0
        self._problems: list[str] = []

    @property
    def problem(self) -> str:
        """What fails the run although its tests have passed; empty for nothing."""
        return "; ".join(self._problems)

    def __call__(self, fact: Fact) -> None:
        match fact:
            case TestFinished() | FixtureFinished() if SECTION in fact.measures:
                self._asked.add(fact.id, fact.measures[SECTION])
            case RunMeasured() if fact.section == SECTION and "routes" in fact.data:
                self._told |= {Route(path, tuple(methods), *rest) for path, methods, *rest in fact.data["routes"]}
                self._is_whole = self._is_whole and bool(fact.data["whole"])
                self._parts_told += 1
            case RunFinished():
                self._conclude(is_complete=not (fact.not_run or fact.lost or fact.interrupted))

    def _conclude(self, *, is_complete: bool) -> None:
        try:
            routes = sorted(self._told if self._list_routes is None else self._list_routes())
        except Exception as error:  # whatever importing the project's URLs raises
            self._fail(f"the routes of the project cannot be listed: {type(error).__name__}: {error}")
            return
        if self._is_part:
            self._publish_measured(SECTION, {"routes": _plain(routes), "whole": self._is_whole})
            return
        if self._parts_told < self._parts:
            silent = self._parts - self._parts_told
            self._fail(
                f"{silent} of {self._parts} shards have not noted which routes they ask for: give each --with-routes"
            )
            return
        result = self._result(routes, is_whole=self._is_whole and is_complete)
        failing = self._failing(result)
        lines = ["", report.describe(result), *self._edit(result)]
        try:
            report.write(self._place, result, failing)
        except OSError as error:
            self._problems.append(f"the routes cannot be written: {error}; --routes-file names another file")
        self._publish_measured(SECTION, {**report.section_of(result, failing), "text": "\n".join(lines)})

    def _fail(self, problem: str) -> None:
        self._problems.append(problem)
        self._publish_measured(SECTION, {"text": f"\nRoutes: {problem}"})

    def _result(self, routes: list[Route], *, is_whole: bool) -> Result:
        endpoints, before = endpoints_of(routes), None
        if self._base is not None:
            try:
                before = self._base.endpoints()
            except TestkitError as error:
                self._problems.append(str(error))
        standings = standings_of(endpoints, self._asked, before=before, known=self._baseline.untested)
        base = self._base.name if self._base is not None else ""
        return Result(standings, others(endpoints, self._asked), self._baseline, is_whole, base)

    def _failing(self, result: Result) -> list[str]:
        """Return the endpoints that fail the run; there are none when some tests were left out, which may ask for them."""
        mode = self._options.fail_untested_routes
        failing = result.failing(mode) if mode != "off" and result.is_whole else []
        if failing:
            allowed = f" and {self._baseline.shown} does not have" if mode == "new" and self._baseline.exists else ""
            count = f"{len(failing)} routes" if len(failing) > 1 else "1 route"
            self._problems.append(
                f"{count} that no test asks for{allowed}: {', '.join(failing[:3])}{' …' * (len(failing) > 3)}"
            )
        return failing

    def _edit(self, result: Result) -> list[str]:
        """Change the file as the options ask for, and return lines that say so."""
        if not self._options.update_untested_routes:
            return []
        path = self._baseline.path
        try:
            if self._baseline.exists:
                settled = result.settled()
                baseline.shrink(path, settled)
                return [f"  Taken out of {self._baseline.shown}: {', '.join(settled) or 'none'}"]
            if not (result.is_whole and self._tally.is_good):
                return ["  Not written: a file is begun by a run of all tests, and they have to pass"]
            untested = result.failing("all")
            baseline.begin(path, untested)
        except OSError as error:
            self._problems.append(f"{self._baseline.shown} cannot be written: {error}")
            return [f"  Not written: {error}"]
        return [f"  Written to {self._baseline.shown}: {len(untested)}"]


def _plain(routes: Iterable[Route]) -> list[list[Any]]:
    return [[route.path, list(route.methods), *route[2:]] for route in routes]
