"""The options of query budgets and of snapshots of queries."""

from __future__ import annotations

from pathlib import Path

from testkit.core.options import OptionGroup, option
from testkit.core.readers import one_of

FILE = Path("query-budgets.toml")


class QueryOptions(OptionGroup):
    """Whether and by what the queries of tests are checked."""

    query_budgets: str = option(
        default="auto",
        metavar="auto|check|record|off",
        parse=one_of("auto", "check", "record", "off"),
        help="Fail a test whose request makes more queries than the budgets allow; record adds the endpoints that have "
        "none yet; auto checks if the file is there.",
    )
    query_budgets_file: Path = option(default=FILE, metavar="FILE", help="Where the budgets are.")
    update_query_budgets: bool = option(
        default=False, help="Lower the budgets that were not used up, after a run of all tests that passed."
    )

    update_query_snapshots: bool = option(
        default=False, help="Write what assertNumQueriesSnapshot sees as what it is to see."
    )

    @property
    def has_budgets(self) -> bool:
        """Whether the queries of requests are counted at all."""
        mode = self.query_budgets
        return mode != "off" and (mode != "auto" or self.update_query_budgets or self.query_budgets_file.exists())
