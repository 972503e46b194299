"""Tells at the end of a run how its requests and the query budgets go together, and edits the budgets if asked to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from testkit.core.bus import PublishMeasured
from testkit.core.events import Fact, RunFinished, RunMeasured, TestFinished
from testkit.core.tally import Tally
from testkit.queries.budgets import file
from testkit.queries.budgets.costs import Cost, from_plain, join
from testkit.queries.budgets.report import describe_standing, standing_of
from testkit.queries.options import QueryOptions

SECTION = "budgets"


class BudgetsListener:
    """Collects what requests cost from the measure ``queries`` of each test.

    A part of a run (a shard) only notes what the joined run has to know: the routes of the project, and whether nothing
    was left out by labels or tags.
    """

    def __init__(
        self,
        publish_measured: PublishMeasured,
        options: QueryOptions,
        tally: Tally,
        *,
        routes: Callable[[], Mapping[str, bool]] | None,
        is_whole: bool,
        is_part: bool = False,
        parts: int = 0,
    ) -> None:
        """Read the budgets.

        Args:
            publish_measured: is called once, with the section's name and its data.
            options: what to do.
            tally: counts the run; it hears each fact before this does.
            routes: gives the routes of the project, and whether each is its own; None where the parts of a run tell.
            is_whole: whether all tests of the project were asked for.
            is_part: whether this run is one of several that are joined.
            parts: how many runs this one is joined from.

        Raises:
            OptionError: the file of budgets is not as it should be.
        """
        self._publish_measured, self._options, self._tally = publish_measured, options, tally
        self._list_routes, self._is_whole, self._is_part = routes, is_whole, is_part
        self._budgets = file.read(options.query_budgets_file.absolute())
        self._costs: dict[str, Cost] = {}
        self._told: dict[str, bool] = {}
        self._parts, self._parts_told = parts, 0
        self.problem = ""
        """What fails the run although its tests have passed."""

    def __call__(self, fact: Fact) -> None:
        match fact:
            case TestFinished() if fact.final:
                for key, plain in _routes_of(fact).items():
                    join(self._costs, key, from_plain(plain))
            case RunMeasured() if fact.section == SECTION and "routes" in fact.data:
                self._told |= fact.data["routes"]
                self._is_whole = self._is_whole and bool(fact.data["whole"])
                self._parts_told += 1
            case RunFinished():
                self._conclude(is_complete=not (fact.not_run or fact.lost))

    def _conclude(self, *, is_complete: bool) -> None:
        routes = dict(sorted((self._told if self._list_routes is None else self._list_routes()).items()))
        if self._is_part:
            self._publish_measured(SECTION, {"routes": routes, "whole": self._is_whole})
            return
        is_whole = self._is_whole and is_complete and self._parts_told == self._parts
        standing = standing_of(self._budgets, self._costs, routes, is_whole=is_whole)
        if standing.over:
            self.problem = f"more queries than the budgets allow, at {', '.join(standing.over)} (see above)"
        edits = self._edit(is_green=is_whole and self._tally.is_good and not standing.over)
        text = "\n".join(["", describe_standing(standing, self._budgets, records=self._records), *edits])
        places = {key: [self._budgets.shown, self._budgets.of[key].line] for key in standing.over}
        most = {key: most for key in self._costs if (most := self._budgets.most_of(key)) is not None}
        self._publish_measured(SECTION, {**standing.to_plain(), "places": places, "most": most, "text": text})

    @property
    def _records(self) -> bool:
        return self._options.query_budgets == "record"

    def _edit(self, *, is_green: bool) -> list[str]:
        """Change the file as the options ask for, and return lines that say so."""
        silent = self._parts - self._parts_told
        if silent and (self._records or self._options.update_query_budgets):
            return [
                f"  Not written: {silent} of {self._parts} shards counted no queries; give them --query-budgets=check"
            ]
        try:
            return [*self._record(), *self._lower(is_green=is_green)]
        except OSError as error:
            self.problem = f"the query budgets cannot be written: {error}; --query-budgets-file names another file"
            return [f"  Not written: {error}"]

    def _record(self) -> list[str]:
        if not self._records:
            return []
        new = file.record(self._budgets.path, self._costs)
        return [f"  Recorded: {len(new)} new budget{'' if len(new) == 1 else 's'}"]

    def _lower(self, *, is_green: bool) -> list[str]:
        if not self._options.update_query_budgets:
            return []
        if not is_green:
            return ["  Not lowered: --update-query-budgets needs a run of all tests, and that they pass"]
        lowered = file.lower(self._budgets.path, self._costs)
        lines = [f"  Lowered: {', '.join(lowered) or 'none'}"]
        if lowered and self._tally.skipped:
            lines.append(
                f"  {self._tally.skipped} tests were skipped: what these need may be more, and has to be put back by hand"
            )
        return lines


def _routes_of(fact: TestFinished) -> Mapping[str, Any]:
    """Return what the requests of a test cost, by endpoint; a failed test may have been cut short, yet it requested."""
    queries = fact.measures.get("queries")
    routes: Mapping[str, Any] = queries.get("routes", {}) if isinstance(queries, Mapping) else {}
    return routes
