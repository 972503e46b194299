"""The gates of a run: listeners that can fail it although its tests have passed, by its queries and its routes."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING

from testkit.core.bus import Listener, PublishMeasured
from testkit.core.errors import OptionError
from testkit.core.options import Options
from testkit.core.tally import Tally
from testkit.coverage.routes.options import RouteOptions
from testkit.queries.options import QueryOptions
from testkit.selection.shards import ShardOptions
from testkit.session.host import Host

if TYPE_CHECKING:
    from testkit.coverage.routes.base import Base
    from testkit.listeners.budgets import BudgetsListener
    from testkit.listeners.routes import RoutesListener


class Gates:
    """Makes the gates that the options ask for, and knows what they have found."""

    def __init__(self, options: Options, host: Host, tally: Tally) -> None:
        """Refuse what would check nothing.

        Raises:
            OptionError: a file or a commit is not there that a gate needs.
        """
        self._options, self._host, self._tally = options, host, tally
        self._budgets: BudgetsListener | None = None
        self._routes: RoutesListener | None = None
        self._check_budgets_file()
        self._base = self._base_of_routes()

    def listeners(
        self, measured: PublishMeasured, reports: MutableMapping[str, str], *, is_whole: bool, is_part: bool
    ) -> Iterator[Listener]:
        """Yield what is to listen.

        Args:
            measured: publishes what was measured.
            reports: gets the path of each report that is written, by its title.
            is_whole: whether all tests of the project were asked for.
            is_part: whether this run is one of several that are joined.
        """
        if self._options[QueryOptions].has_budgets:
            self._budgets = self._budgets_listener(measured, is_whole=is_whole, is_part=is_part)
            yield self._budgets
        if self._options[RouteOptions].has_routes:
            if not is_part:
                reports["routes"] = str(self._options[RouteOptions].routes_file)
            self._routes = self._routes_listener(measured, is_whole=is_whole, is_part=is_part)
            yield self._routes

    @property
    def problem(self) -> str:
        """What fails the run although its tests have passed; empty for nothing."""
        problems = [listener.problem for listener in (self._budgets, self._routes) if listener is not None]
        return "; ".join(filter(None, problems))

    def _budgets_listener(self, measured: PublishMeasured, *, is_whole: bool, is_part: bool) -> BudgetsListener:
        from testkit.endpoints.routes import all_paths
        from testkit.listeners.budgets import BudgetsListener

        return BudgetsListener(
            measured,
            self._options[QueryOptions],
            self._tally,
            routes=None if self._host.parts else all_paths,
            is_whole=is_whole,
            is_part=is_part,
            parts=self._host.parts,
        )

    def _routes_listener(self, measured: PublishMeasured, *, is_whole: bool, is_part: bool) -> RoutesListener:
        from testkit.endpoints.routes import all_routes
        from testkit.listeners.routes import RoutesListener

        options = self._options[RouteOptions]
        return RoutesListener(
            measured,
            options,
            self._tally,
            routes=None if self._host.parts else all_routes,
            base=None if is_part else self._base,
            is_whole=is_whole,
            is_part=is_part,
            parts=self._host.parts,
        )

    def _check_budgets_file(self) -> None:
        """Refuse a file of budgets that somebody named and that is not there: it would check nothing.

        Raises:
            OptionError: it is not there.
        """
        options, setting = self._options[QueryOptions], self._options.settings["query_budgets_file"]
        is_wanted = options.query_budgets == "check" or (
            options.query_budgets == "auto" and setting.origin != "default"
        )
        if is_wanted and not self._host.parts and not options.query_budgets_file.exists():
            raise OptionError(
                f"there is no file {options.query_budgets_file} (from {setting.origin}) with query budgets: "
                "--query-budgets=record writes it"
            )

    def _base_of_routes(self) -> Base | None:
        """Return the commit that the routes are compared with, if there is one.

        Raises:
            OptionError: there is nothing to compare with, or no such commit.
        """
        options = self._options[RouteOptions]
        if options.routes_base:
            if self._options[ShardOptions].shard:
                return None  # the run that joins the shards compares, and they need not have the commit
            from testkit.coverage.routes.base import Base

            return Base(options.routes_base, Path.cwd())
        is_told = options.untested_routes_file.exists() or options.update_untested_routes
        if options.fail_untested_routes == "new" and not is_told:
            raise OptionError(
                f"--fail-untested-routes=new needs to know what is not new: --update-untested-routes writes "
                f"{options.untested_routes_file}, or name a commit by --routes-base"
            )
        return None
