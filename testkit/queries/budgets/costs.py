"""What the requests to an endpoint cost: the most that any of them did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from testkit.queries.fingerprint import tables_of
from testkit.queries.recorder import Row, query_of

DEFAULT = "default"


class Cost(NamedTuple):
    """What some requests cost.

    ``queries`` is the most that one of them made, ``aliases`` the most that one made in each database, and
    ``seconds`` the longest that one waited for the databases.
    """

    requests: int
    queries: int
    aliases: Mapping[str, int]
    seconds: float

    def joined(self, other: Cost) -> Cost:
        """Return the cost of these requests and those of ``other``."""
        aliases = {
            alias: max(self.aliases.get(alias, 0), other.aliases.get(alias, 0))
            for alias in sorted({*self.aliases, *other.aliases})
        }
        return Cost(
            self.requests + other.requests,
            max(self.queries, other.queries),
            aliases,
            max(self.seconds, other.seconds),
        )

    def to_plain(self) -> dict[str, Any]:
        """Return it as a measure of a test."""
        plain: dict[str, Any] = {
            "requests": self.requests,
            "queries": self.queries,
            "ms": round(self.seconds * 1000, 3),
        }
        if self.aliases.keys() - {DEFAULT}:  # else `queries` says it
            plain["aliases"] = dict(self.aliases)
        return plain


def from_plain(plain: Mapping[str, Any]) -> Cost:
    """Return the cost that ``to_plain`` gave."""
    queries = int(plain["queries"])
    aliases = plain.get("aliases") or ({DEFAULT: queries} if queries else {})
    return Cost(int(plain["requests"]), queries, dict(aliases), float(plain["ms"]) / 1000)


def counted(rows: Iterable[Row], ignored: frozenset[str]) -> list[Row]:
    """Return the queries that count: not those that touch nothing but the tables in ``ignored``."""
    if not ignored:
        return list(rows)
    return [row for row in rows if not _is_ignored(row, ignored)]


def _is_ignored(row: Row, ignored: frozenset[str]) -> bool:
    tables = {table.rpartition(".")[2] for table in tables_of(query_of(row).sql)}  # without the schema
    return bool(tables) and ignored >= tables


def cost_of(rows: Iterable[Row]) -> Cost:
    """Return the cost of one request that made these queries."""
    rows = list(rows)
    aliases = Counter(row[2].alias for row in rows)
    return Cost(1, len(rows), dict(sorted(aliases.items())), sum(row[3] for row in rows))


def join(costs: dict[str, Cost], key: str, cost: Cost) -> None:
    """Add ``cost`` to what ``costs`` has for ``key``."""
    known = costs.get(key)
    costs[key] = cost if known is None else known.joined(cost)
