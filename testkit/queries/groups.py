"""Queries that are the same but for their parameters, taken together; and the text of them that failures end with."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import NamedTuple

from testkit.queries.hints import hint_of
from testkit.queries.recorder import Query
from testkit.queries.shorten import shorten

_SQL_LENGTH = 120
"""How many characters of a group's SQL are shown at most: with the rest a line has some 140, as wide as a terminal."""
_MOST_GROUPS = 20
_MOST_ORIGINS = 5
_LOOP = 3
"""How many queries of one line are taken for those of a loop: two on one line may well be written out."""

_READS = re.compile(
    r"\(*(?:SELECT|VALUES|TABLE|SHOW|EXPLAIN|DECLARE|FETCH|WITH(?!.*\b(?:INSERT|UPDATE|DELETE|MERGE) ))\b",
    re.IGNORECASE,
)


class Group(NamedTuple):
    """Queries with one fingerprint, in the order in which they ran."""

    fingerprint: str
    queries: tuple[Query, ...]

    @property
    def count(self) -> int:  # type: ignore[override]  # a group is no sequence to anyone
        """How many queries there are."""
        return len(self.queries)

    @property
    def seconds(self) -> float:
        """What they took together."""
        return sum(query.seconds for query in self.queries)

    @property
    def origins(self) -> list[tuple[str, int]]:
        """The lines that asked for them, with the number of times, most frequent first."""
        return Counter(query.origin for query in self.queries).most_common()


def groups_of(queries: Iterable[Query]) -> list[Group]:
    """Return the queries by fingerprint: the most repeated first, then in order of appearance.

    Databases are not kept apart: a router may spread the queries of one loop over several.
    """
    return _group_by(lambda query: query.fingerprint, queries)


def duplicates_of(queries: Iterable[Query], *, at_least: int = 3, writes: bool = False) -> list[Group]:
    """Return the groups of queries that one line asked for ``at_least`` times or more: what a loop leaves behind.

    Only what reads counts, unless ``writes``.
    """
    groups = _group_by(lambda query: (query.fingerprint, query.path, query.line), queries)
    return [group for group in groups if group.count >= at_least and (writes or _READS.match(group.fingerprint))]


def _group_by(key_of: Callable[[Query], Hashable], queries: Iterable[Query]) -> list[Group]:
    by_key: defaultdict[Hashable, list[Query]] = defaultdict(list)
    for query in queries:
        by_key[key_of(query)].append(query)
    groups = [Group(members[0].fingerprint, tuple(members)) for members in by_key.values()]
    return sorted(groups, key=lambda group: -group.count)


def describe(queries: Sequence[Query]) -> str:
    """Return the queries by group, as lines to end a message with: how often, what, how long, which lines asked.

    Where a line looks like one in a loop (N+1), what would do the same at once is named. The text ends without newline.
    """
    groups = groups_of(queries)
    if not groups:
        return "  no queries"
    shown, rest = groups[:_MOST_GROUPS], groups[_MOST_GROUPS:]
    names_aliases = len({query.alias for query in queries}) > 1
    counts = [str(group.count) for group in shown]
    heads = [_sql_of(group) + (_aliases_of(group) if names_aliases else "") for group in shown]
    times = [f"{group.seconds * 1000:.1f} ms" for group in shown]
    widths = [max(map(len, column)) for column in (counts, heads, times)]
    lines: list[str] = []
    for group, count, head, time in zip(shown, counts, heads, times, strict=True):
        lines.append(f"  {count:>{widths[0]}} × {head:<{widths[1]}}  {time:>{widths[2]}}")
        lines += [" " * (widths[0] + 5) + line for line in (*_origins_of(group), *_hints_for(group, queries))]
    if rest:
        lines.append(f"  and {len(rest)} more, of {sum(group.count for group in rest)} queries")
    return "\n".join(lines)


def _sql_of(group: Group) -> str:
    sql = shorten(group.fingerprint)
    if len(sql) <= _SQL_LENGTH:
        return sql
    # The beginning says what is read or written, the end which rows. Names are not cut, unless they are very long.
    begin, end = sql[: _SQL_LENGTH // 2 - 1], sql[-(_SQL_LENGTH // 2 - 2) :]
    head, _, cut_head = begin.rpartition(" ")
    cut_end, _, tail = end.partition(" ")
    return f"{head if len(cut_head) < len(head) else begin} … {tail if len(cut_end) < len(tail) else end}"


def _aliases_of(group: Group) -> str:
    counts = Counter(query.alias for query in group.queries)
    if len(counts) == 1:
        return f" [{next(iter(counts))}]"
    return f" [{', '.join(f'{alias} {count}' for alias, count in counts.items())}]"


def _origins_of(group: Group) -> list[str]:
    origins = group.origins
    lines = [origin if group.count == 1 else f"{count} × {origin}" for origin, count in origins[:_MOST_ORIGINS]]
    rest = origins[_MOST_ORIGINS:]
    return [*lines, f"and {len(rest)} more lines of code"] if rest else lines


def _hints_for(group: Group, queries: Sequence[Query]) -> list[str]:
    return hint_of(group, queries).splitlines() if group.origins[0][1] >= _LOOP else []
