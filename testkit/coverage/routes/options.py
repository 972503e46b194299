"""The options of the coverage of routes."""

from __future__ import annotations

from pathlib import Path

from testkit.core.options import OptionGroup, option
from testkit.core.readers import one_of

BASELINE = Path("untested-routes.toml")


class RouteOptions(OptionGroup):
    """Whether it is told which routes no test asks for, and whether that fails the run."""

    with_routes: bool = option(default=False, help="Tell which routes the tests ask for, and which they do not.")
    routes_file: Path = option(
        default=Path("reports/routes.json"),
        metavar="FILE",
        help="Where all routes and their tests are written, as JSON.",
    )
    routes_base: str = option(
        default="",
        metavar="COMMIT",
        help="Routes that are not in this commit (its merge base with HEAD) are new; asks for --with-routes.",
    )
    untested_routes_file: Path = option(
        default=BASELINE, metavar="FILE", help="Where the routes are that may be untested for now."
    )
    update_untested_routes: bool = option(
        default=False,
        help="Take the routes out of that file that are tested by now; without a file, begin one after a run of all "
        "tests. Asks for --with-routes.",
    )
    fail_untested_routes: str = option(
        default="off",
        metavar="new|all|off",
        parse=one_of("new", "all", "off"),
        help="Fail the run for routes that no test asks for: for all, or for those that are neither in the file nor in "
        "the commit. Asks for --with-routes.",
    )

    @property
    def has_routes(self) -> bool:
        """Whether it is told at all."""
        return (
            self.with_routes
            or bool(self.routes_base)
            or self.update_untested_routes
            or self.fail_untested_routes != "off"
        )
