"""Whether a query can be served by indexes, whatever the planner would rather do with the few rows of a test.

The database explains the query several times, as it is and with what makes a scan dear
(:mod:`testkit.queries.plans`). If one of the plans reads no table whole, the query is served.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import QuerySet

from testkit.queries.plans import PLANS, Plan, Statement, references_of
from testkit.queries.recorder import Query, Recording


def assert_uses_index(
    queryset: QuerySet[Any] | Query | Callable[[], object], *, index: str | None = None, using: str | None = None
) -> None:
    """Assert that a query can be served by indexes: that no table has to be read whole for it.

    ``queryset`` is a queryset, which is not evaluated; a recorded query; or a function without arguments that makes
    queries, each of which is explained: ``lambda: Book.objects.filter(status="in").count()``.

    A table is read whole if all its rows, or all entries of one of its indexes, are looked at. The first rows in the
    order of an index (``order_by("id")[:10]`` without a condition) are not the whole table. The number of rows and the
    statistics do not matter. With ``index``, the index of this name must be used, too; if several fit, PostgreSQL
    chooses one itself. ``using`` is the alias of the database, by default the queryset's; for a function it
    leaves out the queries on other databases.

    Raises:
        AssertionError: a table is read whole, or ``index`` is not used; the message has the plan and the remedy.
        ValueError: it is no SELECT, nothing is asked of the database, or the database is none of PostgreSQL, MariaDB,
            MySQL and SQLite.
        TypeError: it is neither a queryset nor a recorded query nor a function.
    """
    plans = [_serving_plan(alias, statement, index) for alias, statement in _statements_of(queryset, using)]
    if not plans:
        raise ValueError("There is no query to explain: the function has made none (on the database that was named).")
    used = {name for plan in plans for name in plan.indexes}
    if index is not None and index not in used:
        raise AssertionError(
            f"The index {index} is not used.\n"
            f"Used: {', '.join(sorted(used)) or 'none that has a name'}\n"
            f"{_listed('Plan', [line for plan in plans for line in plan.lines])}"
            "Either it has another name (manage.py sqlmigrate tells it), or its first column is in no condition, or "
            "another index fits as well."
        )


def _statements_of(subject: object, using: str | None) -> list[tuple[str, Statement]]:
    """Return the SELECTs to explain, each with the alias of its database."""
    if isinstance(subject, QuerySet):
        alias = using or subject.db
        try:
            sql, params = subject.query.get_compiler(alias).as_sql()
        except EmptyResultSet:
            raise ValueError("Nothing is asked of the database: the queryset is empty by its conditions.") from None
        return [(alias, _select(sql, params))]
    if isinstance(subject, Query):
        return [(using or subject.alias, _select(subject.sql, subject.params))]
    if not callable(subject):
        hint = ": give its .all()" if hasattr(subject, "get_queryset") else ""
        raise TypeError(f"This is no queryset, recorded query or function, but a {type(subject).__name__}{hint}.")
    with Recording(using) as queries:
        subject()
    return [(query.alias, _select(query.sql, query.params)) for query in queries]


def _select(sql: str, params: Any) -> Statement:
    """Return a statement that reads; raises ValueError if it is another, or several at once, which drivers can send."""
    sql = sql.strip().removesuffix(";")
    bare = _QUOTED.sub(" ", sql)
    if not re.match(r"[\s(]*(SELECT|WITH)\b", bare, re.IGNORECASE) or _WRITES.search(bare):
        raise ValueError(f"Only a SELECT can be explained here, and one at a time. This is another statement: {sql}")
    return Statement(sql, params)


_QUOTED = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|`[^`]*`|--[^\n]*|/\*.*?\*/", re.DOTALL)
_WRITES = re.compile(r";|\b(?:INSERT\s+INTO|DELETE\s+FROM|MERGE\s+INTO|(?<!FOR )(?<!KEY )UPDATE)\b", re.IGNORECASE)


def _serving_plan(alias: str, statement: Statement, index: str | None) -> Plan:
    """Return a plan that reads no table whole, with ``index`` if there is one; raises AssertionError if none does."""
    connection = connections[alias]
    if connection.vendor not in PLANS:
        raise ValueError(f"Plans of {connection.display_name} cannot be read here, only of: {', '.join(PLANS)}.")
    stops_early = _stops_early(statement.sql)
    serving, failing = None, []
    for plan in PLANS[connection.vendor](connection, statement, index):
        if plan.scans and not (stops_early and len(plan.scans) == 1 and not plan.collects):
            failing.append(plan)
        elif index is None or index in plan.indexes:
            return plan
        else:
            serving = serving or plan
    if serving is None:
        raise AssertionError(_failure(connection, statement, min(failing, key=lambda plan: len(plan.scans))))
    return serving


def _stops_early(sql: str) -> bool:
    """Tell whether the first rows of a table are enough: there is a limit, and nothing that keeps rows out."""
    outline = _QUOTED.sub(" ", sql)
    while (shorter := re.sub(r"\([^()]*\)", " ", outline)) != outline:
        outline = shorter
    return re.search(r"\b(?:LIMIT|FETCH)\b", outline, re.IGNORECASE) is not None and not _NEEDS_ALL_ROWS.search(outline)


_NEEDS_ALL_ROWS = re.compile(
    r"\b(?:WHERE|GROUP|HAVING|DISTINCT|UNION|INTERSECT|EXCEPT|OVER|COUNT|SUM|MIN|MAX|AVG|TOTAL)\b", re.IGNORECASE
)


def _failure(connection: BaseDatabaseWrapper, statement: Statement, plan: Plan) -> str:
    tables = {reference.alias.lower(): reference.table for reference in references_of(statement.sql)}
    scanned = dict.fromkeys(tables.get(alias.lower(), alias) for alias in plan.scans)
    parameters = f"Parameters: {statement.params!r}\n" if statement.params else ""
    return (
        f"No index serves this query: all of {', '.join(scanned)} is read.\n"
        f"{statement.sql}\n{parameters}"
        f"{_listed(f'Plan of {connection.display_name}, where scans were to be avoided', plan.lines)}"
        f"{_remedy(connection, statement.sql)}"
    )


def _listed(title: str, lines: Any) -> str:
    return "\n".join([f"{title}:", *(f"  {line}" for line in lines)]) + "\n"


_AGGREGATE_CONDITION = re.compile(r"\bFILTER \(WHERE\b|\b(?:COUNT|SUM|AVG|MIN|MAX)\((?:DISTINCT )?CASE WHEN\b")
_CONDITIONS = re.compile(r"(?<!\()\bWHERE\b(.*?)(?=\bGROUP BY\b|\bORDER BY\b|\bHAVING\b|\bLIMIT\b|$)", re.DOTALL)
_ORDER = re.compile(r".*\bORDER BY\b(.*?)\bLIMIT\b", re.DOTALL)


def _remedy(connection: BaseDatabaseWrapper, sql: str) -> str:
    if _AGGREGATE_CONDITION.search(sql):
        return (
            "An aggregate's own condition is tried on every row that is read: put it into .filter(), and let indexes "
            "serve that."
        )
    conditions = " ".join(_CONDITIONS.findall(sql))
    ordered = _ORDER.match(sql)
    columns = _columns_without_index(connection, sql, conditions or (ordered[1] if ordered else ""))
    if columns:
        return f"Add an index on {' and '.join(columns)} (db_index=True, or Meta.indexes).{_about_patterns(sql)}"
    if not conditions:
        return (
            "It has no condition: give it one on an indexed column, or its first rows only, in the order of an index."
        )
    return (
        "The columns of its conditions have indexes, but these conditions cannot use them: they look for a part of a "
        "text, apply a function to the column, compare it with its like, or name only later columns of an index."
        f"{_about_patterns(sql)}"
    )


def _about_patterns(sql: str) -> str:
    if not re.search(r"\bLIKE\b|~", sql):
        return ""
    return (
        " What looks into a text (contains, icontains, regex) needs an index of another kind, such as PostgreSQL's "
        "GinIndex with gin_trgm_ops; SQLite has none for startswith either."
    )


def _columns_without_index(connection: BaseDatabaseWrapper, sql: str, part: str) -> list[str]:
    """Return those columns that a part of the SQL names and that no index begins with, as ``table.column``."""
    tables = {reference.alias: reference.table for reference in references_of(sql)}
    found = []
    with connection.cursor() as cursor:
        known = set(connection.introspection.table_names(cursor))
        for alias, column in dict.fromkeys(re.findall(r"[\"`]?(\w+)[\"`]?\.[\"`](\w+)[\"`]", part)):
            table = tables.get(alias)
            if table in known:
                constraints = connection.introspection.get_constraints(cursor, table).values()
                leading = {
                    each["columns"][0]
                    for each in constraints
                    if each["index"] or each["unique"] or each["primary_key"]
                    if each["columns"]
                }
                if column not in leading:
                    found.append(f"{table}.{column}")
    return found
