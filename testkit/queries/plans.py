"""How a database would answer a query, with and without what makes a scan dear, by EXPLAIN: it does not run the query.

PostgreSQL is told by settings of the session and by empty copies of the tables, MariaDB and MySQL by hints in the SQL,
SQLite by hints and by other statistics. All that is undone at once, and the data are not touched.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from typing import Any, NamedTuple

from django.db import DatabaseError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper


class Plan(NamedTuple):
    """How the database would answer: ``scans`` names what is read whole, by alias.

    ``collects`` tells that something is done with all rows, such as sorting, before there is a first one.
    """

    scans: tuple[str, ...]
    indexes: frozenset[str]
    collects: bool
    lines: tuple[str, ...]


class Statement(NamedTuple):
    """A SELECT and its parameters."""

    sql: str
    params: Any


class Reference(NamedTuple):
    """A table that a query reads, the alias by which it is known there, and the place in the SQL after both."""

    table: str
    alias: str
    place: int


_REFERENCE = re.compile(
    r"(?:\bFROM|JOIN)\s+\(?(?!LATERAL\b|SELECT\b|VALUES\b)"
    r"(?:[\"`]?\w+[\"`]?\.)?(?:[\"`](?P<quoted>[^\"`]+)[\"`]|(?P<table>\w+))(?!\.)"
    r"(?:\s+(?:AS\s+)?(?!(?:WHERE|INNER|LEFT|RIGHT|FULL|CROSS|NATURAL|STRAIGHT_JOIN|JOIN|ON|USING|GROUP|ORDER|HAVING"
    r"|LIMIT|OFFSET|FETCH|FOR|WINDOW|UNION|INTERSECT|EXCEPT|AND|OR|THEN|END)\b)[\"`]?(?P<alias>\w+)[\"`]?)?",
    re.IGNORECASE,
)


def references_of(sql: str) -> list[Reference]:
    """Return the tables after each FROM and JOIN, those of subqueries included."""
    found = []
    for match in _REFERENCE.finditer(sql):
        table = match["quoted"] or match["table"]
        found.append(Reference(table, match["alias"] or table, match.end()))
    return found


# PostgreSQL

_SETTINGS = {
    **{f"enable_{name}": "on" for name in ("bitmapscan", "material", "memoize", "nestloop", "sort")},
    **{f"enable_{name}": "off" for name in ("seqscan", "mergejoin", "hashjoin")},
    "max_parallel_workers_per_gather": "0",
}
_INDEX_SCANS = ("enable_indexscan", "enable_indexonlyscan")
_INDEX_NODES = ("Index Scan", "Index Only Scan", "Bitmap Index Scan")
_COLLECTING_NODES = ("Aggregate", "Group", "Hash", "SetOp", "Sort", "Unique", "WindowAgg")
_Node = dict[str, Any]


def _postgres_plans(connection: BaseDatabaseWrapper, statement: Statement, index: str | None) -> Iterator[Plan]:
    # Without index scans there are bitmaps, which only a condition makes. With them, an index may be read whole for its
    # order although another one would serve the condition.
    for on_copies, index_scans in product((False, True), ("on", "off")):
        settings = _SETTINGS | dict.fromkeys(_INDEX_SCANS, index_scans)
        with _rolled_back(connection), connection.cursor() as cursor:
            if on_copies:
                _hide_by_empty_copies(connection, cursor, statement.sql)
            calls = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in settings.items())
            cursor.execute(f"SELECT {calls}")
            cursor.execute(f"EXPLAIN (FORMAT JSON, VERBOSE) {statement.sql}", statement.params)
            (found,) = cursor.fetchone()
            (explained,) = json.loads(found) if isinstance(found, str) else found
            nodes = list(_nodes(explained["Plan"], ""))
            narrowing = _narrowing_columns(cursor, {node["Index Name"] for node, _ in nodes if "Index Name" in node})
        yield _postgres_plan(nodes, narrowing)


def _hide_by_empty_copies(connection: BaseDatabaseWrapper, cursor: Any, sql: str) -> None:
    """Put empty temporary tables before those of the query, with indexes of the same names.

    They have no statistics, so that the planner takes them for tables of some pages. It knows of a table with one row
    that any way to read it is as good as another, and no setting stops it from reading an index of that whole.
    """
    quote = connection.ops.quote_name
    for table in sorted({reference.table for reference in references_of(sql)}):
        cursor.execute(
            "SELECT oid::regclass::text FROM pg_class WHERE oid = to_regclass(%s) AND relkind = 'r'", [quote(table)]
        )
        if (original := cursor.fetchone()) is None:
            continue  # It may be a view, or what the query calls a subquery.
        cursor.execute(_INDEXES, [quote(table)])
        names = dict(cursor.fetchall())
        cursor.execute(f"CREATE TEMPORARY TABLE {quote(table)} (LIKE {original[0]} INCLUDING INDEXES)")
        cursor.execute(_INDEXES, [f"pg_temp.{quote(table)}"])
        # In two rounds, since one may have got by itself the name that another one is to have.
        renamed = [(made, names.pop(definition)) for definition, made in cursor.fetchall() if definition in names]
        for number, (made, _) in enumerate(renamed):
            cursor.execute(f"ALTER INDEX pg_temp.{quote(made)} RENAME TO {quote(f'testkit_{number}')}")
        for number, (_, name) in enumerate(renamed):
            cursor.execute(f"ALTER INDEX pg_temp.{quote(f'testkit_{number}')} RENAME TO {quote(name)}")


_INDEXES = (
    "SELECT regexp_replace(pg_get_indexdef(c.oid), '^.* USING ', ''), c.relname "
    "FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = to_regclass(%s)"
)


@contextmanager
def _rolled_back(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Undo what the block does. The mere end of a savepoint would keep the settings for the rest of the transaction."""
    with transaction.atomic(connection.alias):
        yield
        transaction.set_rollback(True, connection.alias)


def _nodes(node: _Node, alias: str) -> Iterator[tuple[_Node, str]]:
    """Yield the nodes of a plan, each with the alias of what it reads, or the node above it."""
    alias = node.get("Alias", alias)
    yield node, alias
    for child in node.get("Plans", ()):
        yield from _nodes(child, alias)


def _narrowing_columns(cursor: Any, names: set[str]) -> dict[str, str | None]:
    """Return by index what a condition must name to narrow it; the empty text if any will do, None if none is needed.

    A B-tree is read whole for a condition that leaves its first column out; of a partial index all may be needed.
    """
    if not names:
        return {}
    cursor.execute(
        "SELECT c.relname, CASE WHEN i.indpred IS NULL THEN CASE WHEN m.amname = 'btree' THEN "
        "coalesce(a.attname, '') ELSE '' END END FROM pg_index i "
        "JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam "
        "LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] AND a.attnum > 0 "
        "WHERE c.relname = ANY(%s)",
        [list(names)],
    )
    return dict(cursor.fetchall())


def _postgres_plan(nodes: Iterable[tuple[_Node, str]], narrowing: dict[str, str | None]) -> Plan:
    scans, used, lines, collects = [], set[str](), [], False
    for node, alias in nodes:
        kind, index = node["Node Type"], node.get("Index Name")
        if index is not None:
            used.add(index)
        if kind == "Seq Scan" or (kind in _INDEX_NODES and not _narrows(node, narrowing.get(index or "", ""))):
            scans.append(alias)
        collects = collects or kind in _COLLECTING_NODES
        aggregates = [text for text in node.get("Output", ()) if "FILTER (WHERE" in text]
        if aggregates or index is not None or "Relation Name" in node:
            lines.append(_postgres_line(node, alias, aggregates))
    return Plan(tuple(scans), frozenset(used), collects, tuple(lines))


def _narrows(node: _Node, column: str | None) -> bool:
    """Tell whether the node looks at a part of its index only."""
    condition = node.get("Index Cond", "")
    if column is None or "Order By" in node:
        return True
    return bool(condition) and re.search(rf"\b{re.escape(column)}\b" if column else "", condition) is not None


def _postgres_line(node: _Node, alias: str, aggregates: list[str]) -> str:
    using = f" using {node['Index Name']}" if "Index Name" in node else ""
    on = f" on {alias}" if alias else ""
    details = [f"{name}: {node[name]}" for name in ("Index Cond", "Filter", "Join Filter") if name in node]
    return "  ".join([f"{node['Node Type']}{using}{on}", *details, *aggregates])


# SQLite


def _sqlite_plans(connection: BaseDatabaseWrapper, statement: Statement, index: str | None) -> Iterator[Plan]:
    with connection.cursor() as cursor:
        yield _sqlite_plan(cursor, *statement)
        with _without_statistics(connection, cursor):
            plans = [_sqlite_plan(cursor, *statement)]
            for sql in _sqlite_hinted(connection, cursor, statement.sql):
                try:
                    plans.append(_sqlite_plan(cursor, sql, statement.params))
                except DatabaseError:
                    continue  # This index cannot serve this query.
    yield from plans


def _sqlite_plan(cursor: Any, sql: str, params: Any) -> Plan:
    cursor.execute(f"EXPLAIN QUERY PLAN {sql}", params)
    lines = tuple(row[3] for row in cursor.fetchall())
    text = "\n".join(lines)
    # What a subquery makes is no table, though it is scanned; the same goes for VALUES and for virtual tables.
    made = set(re.findall(r"^(?:MATERIALIZE|CO-ROUTINE) (.+)$", text, re.MULTILINE))
    scans = re.findall(
        r"^SCAN (?:TABLE )?(?!CONSTANT ROW|\d+ CONSTANT|SUBQUERY |\()(\S+)(?!.* VIRTUAL TABLE)", text, re.MULTILINE
    )
    # An index that is made for the query is made from all rows.
    scans += re.findall(r"^SEARCH (?:TABLE )?(\S+) .*USING AUTOMATIC ", text, re.MULTILINE)
    used = re.findall(r" USING (?:COVERING )?INDEX (\S+)", text)
    return Plan(tuple(name for name in scans if name not in made), frozenset(used), "USE TEMP B-TREE" in text, lines)


@contextmanager
def _without_statistics(connection: BaseDatabaseWrapper, cursor: Any) -> Iterator[None]:
    """Let SQLite take tables to be large for the block, as it does until ANALYZE tells it that they are small."""
    cursor.execute("SELECT name FROM sqlite_master WHERE name IN ('sqlite_stat1', 'sqlite_stat4')")
    tables = [name for (name,) in cursor.fetchall()]
    if not tables:
        yield
        return
    try:
        with _rolled_back(connection):
            for name in tables:
                cursor.execute(f"DELETE FROM {name}")
            # As many rows as it takes a table to have that it knows nothing of.
            cursor.execute(
                "INSERT INTO sqlite_stat1 SELECT name, NULL, '1048576' FROM sqlite_master WHERE type = 'table'"
            )
            cursor.execute("ANALYZE sqlite_master")  # This makes no statistics, but reads them again.
            yield
    finally:
        cursor.execute("ANALYZE sqlite_master")


def _sqlite_hinted(connection: BaseDatabaseWrapper, cursor: Any, sql: str) -> Iterator[str]:
    """Yield the query with one hint each: an index that is read whole for its order may hide one that serves."""
    for table, _, place in references_of(sql):
        cursor.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = %s", [table])
        hints = [f"INDEXED BY {connection.ops.quote_name(name)}" for (name,) in cursor.fetchall()]
        for hint in (*hints, "NOT INDEXED"):  # This leaves the primary key, if it is the table's own order.
            yield f"{sql[:place]} {hint}{sql[place:]}"


# MariaDB and MySQL


def _mysql_plans(connection: BaseDatabaseWrapper, statement: Statement, index: str | None) -> Iterator[Plan]:
    with connection.cursor() as cursor:
        rows = _mysql_rows(cursor, *statement)
        yield _mysql_plan(rows)
        fitting: dict[str, set[str]] = {}
        for row in rows:
            fitting.setdefault(row["table"] or "", set()).update((row["possible_keys"] or "").split(","))
        # Where no index fits a condition, one may still give the order.
        indexes = {
            alias: names - {""} or _mysql_indexes(connection, cursor, statement.sql, alias)
            for alias, names in fitting.items()
        }
        for sql in (statement.sql, *_mysql_joined(statement.sql)):
            for forced in _mysql_forced(connection, sql, indexes, index):
                yield _mysql_plan(_mysql_rows(cursor, forced, statement.params))


def _mysql_forced(
    connection: BaseDatabaseWrapper, sql: str, indexes: dict[str, set[str]], index: str | None
) -> Iterator[str]:
    """Yield the query with indexes forced upon the planner, which reads small tables whole.

    That is ``index`` where it fits, all that fit, and those of one place alone if a table is at several.
    """
    references = references_of(sql)
    if index is not None:
        yield _mysql_hinted(
            connection, sql, references, {at: names & {index} or names for at, names in indexes.items()}
        )
    yield _mysql_hinted(connection, sql, references, indexes)
    if len({reference.alias for reference in references}) < len(references):
        for reference in references:
            yield _mysql_hinted(connection, sql, [reference], indexes)


def _mysql_hinted(
    connection: BaseDatabaseWrapper, sql: str, references: Sequence[Reference], indexes: dict[str, set[str]]
) -> str:
    for reference in reversed(references):
        if names := indexes.get(reference.alias):
            hint = f" FORCE INDEX ({', '.join(connection.ops.quote_name(name) for name in sorted(names))})"
            sql = sql[: reference.place] + hint + sql[reference.place :]
    return sql


_FIRST_TABLE = re.compile(r"\bFROM (?P<table>`\S+`(?: (?!INNER\b)\w+)?)(?= INNER JOIN )")
_NEXT_TABLE = re.compile(r" INNER JOIN (?P<table>`\S+`(?: (?!ON\b)\w+)?) ON (?=\()")


def _mysql_joined(sql: str) -> Iterator[str]:
    """Yield the query with its first tables joined in other orders, of Django's manner: one for each table to begin with.

    The planner begins with an empty table, though an index serves it only as a later one. ``possible_keys`` does not
    tell whether an index serves a condition or a join.
    """
    start = _FIRST_TABLE.search(sql)
    if start is None:
        return
    tables, conditions, place = [start["table"]], [], start.end()
    while join := _NEXT_TABLE.match(sql, place):
        place = _end_of_parentheses(sql, join.end())
        tables.append(join["table"])
        conditions.append(sql[join.end() : place])
    for first in tables:
        order = " STRAIGHT_JOIN ".join(_joinable_order(first, tables, conditions))
        yield f"{sql[: start.start()]}FROM {order} ON ({' AND '.join(conditions)}){sql[place:]}"


def _joinable_order(first: str, tables: Sequence[str], conditions: Sequence[str]) -> list[str]:
    """Return the tables from ``first`` on, each of them with a condition on one before it."""

    def are_joined(one: str, other: str) -> bool:
        names = [re.escape(table.split()[-1].strip("`")) for table in (one, other)]
        return any(all(re.search(rf"\b{name}`?\.", condition) for name in names) for condition in conditions)

    order, rest = [first], [table for table in tables if table is not first]
    while rest:
        found = next((table for table in rest if any(are_joined(table, before) for before in order)), rest[0])
        rest.remove(found)
        order.append(found)
    return order


def _end_of_parentheses(sql: str, place: int) -> int:
    """Return the place after the parenthesis that closes the one at ``place``."""
    depth = 0
    for match in re.finditer(r"[()]", sql[place:]):
        depth += 1 if match[0] == "(" else -1
        if depth == 0:
            return place + match.end()
    return len(sql)


def _mysql_rows(cursor: Any, sql: str, params: Any) -> list[dict[str, Any]]:
    cursor.execute(f"EXPLAIN FORMAT=TRADITIONAL {sql}", params)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _mysql_plan(rows: Iterable[dict[str, Any]]) -> Plan:
    scans, used, lines, collects = [], set[str](), [], False
    for row in rows:
        alias, kind, extra = row["table"] or "", row["type"] or "", row["Extra"] or ""
        # In angle brackets are the results of subqueries.
        if kind in ("ALL", "index", "hash_ALL", "hash_index") and not alias.startswith("<"):
            scans.append(alias)
        used.update((row["key"] or "").split(","))
        collects = collects or "filesort" in extra or "temporary" in extra
        details = [f"{name}: {row[name]}" for name in ("possible_keys", "key", "Extra") if row[name]]
        lines.append("  ".join([f"{kind or 'nothing'} on {alias or 'no table'}", *details]))
    return Plan(tuple(scans), frozenset(used - {""}), collects, tuple(lines))


def _mysql_indexes(connection: BaseDatabaseWrapper, cursor: Any, sql: str, alias: str) -> set[str]:
    """Return the names of all indexes of the table with this alias."""
    tables = {reference.table for reference in references_of(sql) if reference.alias == alias}
    found: set[str] = set()
    for table in tables:
        cursor.execute(f"SHOW INDEX FROM {connection.ops.quote_name(table)}")
        found |= {row[2] for row in cursor.fetchall()}
    return found


PLANS: dict[str, Callable[[BaseDatabaseWrapper, Statement, str | None], Iterator[Plan]]] = {
    "postgresql": _postgres_plans,
    "sqlite": _sqlite_plans,
    "mysql": _mysql_plans,
}
"""By vendor: the plans of a query, with the planner's own choice as the first. ``index`` is to be used if possible."""
