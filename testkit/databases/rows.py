"""Snapshots of rows: what tables hold as the database itself has it, never through Python models, and how it is put back.

PostgreSQL gives and takes them by COPY. SQLite's are read without Django's converters, and the rest of MySQL's and
MariaDB's in a form that says them exactly. A snapshot is plain data, which another process can be given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from io import BytesIO
from typing import Any, NamedTuple, Protocol

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from testkit.databases.targets import family_of

Rows = bytes | tuple[tuple[Any, ...], ...]
_AT_ONCE = 400
"""So many tables are asked about in one statement: SQLite takes 2,000 columns, PostgreSQL 1,664."""


class CannotRestore(Exception):
    """There are no exact rows to be had of a table, or they cannot be put back as they were; the message says why."""


class Shape(NamedTuple):
    """What has to be the same for rows to fit: a table's columns, and how the database describes them."""

    columns: tuple[str, ...]
    """Those that are stored; what the database computes from others is not among them."""
    described: tuple[str, ...]


class Table(NamedTuple):
    """The rows of one table."""

    name: str
    shape: Shape
    columns: tuple[str, ...]
    """Those that the rows have: all that are stored, but for the number that the database gives."""
    rows: Rows

    def count_rows(self) -> int:
        return self.rows.count(b"\n") if isinstance(self.rows, bytes) else len(self.rows)

    def multiset(self) -> Counter[Any]:
        return Counter(self.rows.split(b"\n") if isinstance(self.rows, bytes) else self.rows)


class Snapshot(NamedTuple):
    """The rows of some tables, in the order in which they are put back."""

    family: str
    tables: tuple[Table, ...]

    def filled(self) -> tuple[Table, ...]:
        """Return the tables that have rows."""
        return tuple(table for table in self.tables if table.rows)


def take(connection: BaseDatabaseWrapper, tables: Iterable[str], numbered: Mapping[str, str] | None = None) -> Snapshot:
    """Return the rows of ``tables``.

    Args:
        connection: the database's.
        tables: their names, as models have them (``db_table``).
        numbered: the column of a table that the database is to number anew each time, as it does when Django adds to a
            many-to-many relation; the rows are put back in the order that it has now.

    Raises:
        CannotRestore: a table has triggers, for example, which would do twice what they did when the rows were made.
    """
    way, names, numbered = _way_of(connection), list(tables), numbered or {}
    taken = []
    for name, shape in zip(names, way.shapes(connection, names), strict=True):
        number = numbered.get(name)
        columns = tuple(column for column in shape.columns if column != number)
        taken.append(Table(name, shape, columns, way.read(connection, name, shape, columns, number)))
    return Snapshot(family_of(connection), tuple(taken))


def put(connection: BaseDatabaseWrapper, snapshot: Snapshot, *, replace: bool = False) -> None:
    """Put the rows of ``snapshot`` into tables that are empty, all or (with an exception) none.

    As when Django loads objects, foreign keys are checked when all are there. Sequences are left alone, but for the
    columns that the database numbers.

    Args:
        connection: the database's.
        snapshot: from the same or a like database.
        replace: remove what the tables hold.

    Raises:
        CannotRestore: a table is not what it was when its rows were taken.
        DatabaseError: the rows cannot be written, or refer to others that are not there.
    """
    way, filled = _way_of(connection), snapshot.filled()
    affected = snapshot.tables if replace else filled
    if snapshot.family != family_of(connection):
        raise CannotRestore(f"the rows are of {snapshot.family}, the database is not")
    if way.shapes(connection, [table.name for table in affected]) != [table.shape for table in affected]:
        raise CannotRestore("a table has other columns now than when its rows were taken")
    with transaction.atomic(using=connection.alias):
        with connection.constraint_checks_disabled():
            if replace:
                _empty(connection, [table.name for table in reversed(affected)])
            for table in filled:
                way.write(connection, table)
        connection.check_constraints(table_names=[table.name for table in filled])


def _empty(connection: BaseDatabaseWrapper, tables: Iterable[str]) -> None:
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"DELETE FROM {connection.ops.quote_name(table)}")


def filled(connection: BaseDatabaseWrapper, tables: Iterable[str]) -> set[str]:
    """Return which of ``tables`` have a row."""
    names, found = list(tables), set()
    with connection.cursor() as cursor:
        for start in range(0, len(names), _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            asked = (f"EXISTS(SELECT 1 FROM {connection.ops.quote_name(name)})" for name in some)
            cursor.execute(f"SELECT {', '.join(asked)}")
            found |= {name for name, is_filled in zip(some, cursor.fetchone(), strict=True) if is_filled}
    return found


def has_rows_of(connection: BaseDatabaseWrapper, tables: Collection[Table]) -> bool:
    """Return whether ``tables`` hold what they held when they were taken, no row more and none less."""
    way = _way_of(connection)
    if way.shapes(connection, [table.name for table in tables]) != [table.shape for table in tables]:
        return False
    return all(
        table._replace(rows=way.read(connection, table.name, table.shape, table.columns, None)).multiset()
        == table.multiset()
        for table in tables
    )


class _Way(Protocol):
    """How rows are read and written on one kind of database."""

    def shapes(self, connection: BaseDatabaseWrapper, tables: list[str]) -> list[Shape]:
        """Return what ``tables`` are like.

        Raises:
            CannotRestore: one is missing, or not a plain table.
        """

    def read(
        self, connection: BaseDatabaseWrapper, table: str, shape: Shape, columns: tuple[str, ...], order: str | None
    ) -> Rows:
        """Return the rows of ``table``, sorted by the column ``order``."""

    def write(self, connection: BaseDatabaseWrapper, table: Table) -> None:
        """Add the rows."""


def _way_of(connection: BaseDatabaseWrapper) -> _Way:
    way = _WAYS.get(family_of(connection))
    if way is None or not connection.features.supports_transactions:
        raise CannotRestore(f"rows of {connection.display_name} are not known to be exact")
    return way


def _select(connection: BaseDatabaseWrapper, table: str, expressions: Iterable[str], order: str | None) -> str:
    quote = connection.ops.quote_name
    ordered = f" ORDER BY {quote(order)}" if order else ""
    return f"SELECT {', '.join(expressions)} FROM {quote(table)}{ordered}"


def _fetch(connection: BaseDatabaseWrapper, sql: str, params: Any = None) -> tuple[tuple[Any, ...], ...]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return tuple(map(tuple, cursor.fetchall()))


def _insert(connection: BaseDatabaseWrapper, table: Table) -> None:
    quote = connection.ops.quote_name
    columns = ", ".join(map(quote, table.columns))
    head = f"INSERT INTO {quote(table.name)} ({columns}) VALUES ".replace("%", "%%")
    assert not isinstance(table.rows, bytes)
    with connection.cursor() as cursor:
        cursor.executemany(f"{head}({', '.join(['%s'] * len(table.columns))})", table.rows)


class _Postgres:
    """By COPY, which passes over rules and takes identity columns as they are."""

    _SHAPES = """
        SELECT relation.oid IS NOT NULL AND relkind = 'r'
               AND NOT (relhassubclass OR relrowsecurity OR relhasrules OR EXISTS (
                   SELECT FROM pg_trigger WHERE tgrelid = relation.oid AND NOT tgisinternal AND tgtype & 12 <> 0)),
               ARRAY(SELECT attname::text FROM stored WHERE attrelid = relation.oid ORDER BY attnum),
               ARRAY(SELECT format_type(atttypid, atttypmod) FROM stored WHERE attrelid = relation.oid ORDER BY attnum)
        FROM unnest(%s::text[]) WITH ORDINALITY AS wanted (name, place)
        LEFT JOIN pg_class AS relation ON relation.oid = to_regclass(wanted.name)
        ORDER BY place"""
    _STORED = "SELECT * FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped AND attgenerated = ''"

    def shapes(self, connection: BaseDatabaseWrapper, tables: list[str]) -> list[Shape]:
        quoted = [connection.ops.quote_name(table) for table in tables]
        found = _fetch(connection, f"WITH stored AS NOT MATERIALIZED ({self._STORED}) {self._SHAPES}", [quoted])
        for table, (is_plain, *_) in zip(tables, found, strict=True):
            if not is_plain:
                raise CannotRestore(f"{table} has triggers, rules, row security or heirs, or is no table")
        return [Shape(tuple(columns), tuple(types)) for _, columns, types in found]

    def read(
        self, connection: BaseDatabaseWrapper, table: str, shape: Shape, columns: tuple[str, ...], order: str | None
    ) -> bytes:
        selected = _select(connection, table, map(connection.ops.quote_name, columns), order)
        return _copy(connection, f"COPY ({selected}) TO STDOUT")

    def write(self, connection: BaseDatabaseWrapper, table: Table) -> None:
        quote = connection.ops.quote_name
        columns = ", ".join(map(quote, table.columns))
        assert isinstance(table.rows, bytes)
        _copy(connection, f"COPY {quote(table.name)} ({columns}) FROM STDIN", table.rows)


def _copy(connection: BaseDatabaseWrapper, sql: str, rows: bytes | None = None) -> bytes:
    """Run COPY as Django runs a statement, seen by its ``execute_wrappers``; give it ``rows``, or return what it gives."""

    def run(sql: str, params: Any, many: bool, context: Mapping[str, Any]) -> bytes:
        connection.validate_no_broken_transaction()
        raw: Any = context["cursor"].cursor
        with connection.wrap_database_errors:
            if not hasattr(raw, "copy"):  # psycopg 2
                file = BytesIO(rows or b"")
                raw.copy_expert(sql, file)
                return file.getvalue()
            with raw.copy(sql) as copy:
                if rows is None:
                    return b"".join(copy)
                copy.write(rows)
        return b""

    with connection.cursor() as cursor:
        taken: bytes = cursor._execute_with_wrappers(sql, None, False, run)
    return taken


class _Sqlite:
    """By SELECT, where a sign before the column keeps Django's converters of declared types away."""

    def shapes(self, connection: BaseDatabaseWrapper, tables: list[str]) -> list[Shape]:
        names = [table.lower() for table in tables]
        listed = "SELECT type, lower(tbl_name), sql FROM {} WHERE type IN ('table', 'trigger')"
        found = _fetch(connection, f"{listed.format('sqlite_master')} UNION ALL {listed.format('sqlite_temp_master')}")
        triggers = {table for type, table, _ in found if type == "trigger"}
        texts = {table: text for type, table, text in found if type == "table"}
        for name in names:
            if name in triggers or not texts.get(name, "").upper().startswith("CREATE TABLE"):
                raise CannotRestore(f"{name} has triggers, or is no table")
        return [
            Shape(self._columns(connection, table), (texts[name],)) for table, name in zip(tables, names, strict=True)
        ]

    def _columns(self, connection: BaseDatabaseWrapper, table: str) -> tuple[str, ...]:
        information = _fetch(connection, f"PRAGMA table_xinfo({connection.ops.quote_name(table)})")
        return tuple(name for _, name, _, _, _, _, hidden in information if not hidden)

    def read(
        self, connection: BaseDatabaseWrapper, table: str, shape: Shape, columns: tuple[str, ...], order: str | None
    ) -> Rows:
        quote = connection.ops.quote_name
        plain = (f"+{quote(column)} AS c{number}" for number, column in enumerate(columns))
        return _fetch(connection, _select(connection, table, plain, order))

    def write(self, connection: BaseDatabaseWrapper, table: Table) -> None:
        _insert(connection, table)


_TEXTS = "char varchar tinytext text mediumtext longtext enum set json uuid inet4 inet6"
_BYTES = "binary varbinary tinyblob blob mediumblob longblob"
_NUMBERS = "tinyint smallint mediumint int integer bigint double year"
_MYSQL_TYPES: Mapping[str, str] = {
    **dict.fromkeys(f"{_TEXTS} {_BYTES} {_NUMBERS}".split(), "{}"),
    # The driver would make objects of Python's of these, which do not know a date of zeros.
    **dict.fromkeys(["decimal", "date", "datetime", "time"], "CAST({} AS CHAR)"),
    "float": "CAST({} AS DOUBLE)",  # shown with six digits else
    "bit": "CAST({} AS UNSIGNED)",
}


class _Mysql:
    """By SELECT of expressions that lose nothing; types without one (geometries, TIMESTAMP) are refused."""

    _COLUMNS = """
        SELECT c.table_name, c.column_name, c.data_type, c.column_type, c.extra FROM information_schema.columns AS c
        JOIN information_schema.tables AS t ON t.table_schema = c.table_schema AND t.table_name = c.table_name
        WHERE c.table_schema = DATABASE() AND t.table_type = 'BASE TABLE' AND c.table_name IN %s
        ORDER BY c.ordinal_position"""
    _TRIGGERS = """
        SELECT event_object_table FROM information_schema.triggers
        WHERE event_object_schema = DATABASE() AND event_manipulation <> 'UPDATE'"""

    def shapes(self, connection: BaseDatabaseWrapper, tables: list[str]) -> list[Shape]:
        found: dict[str, list[tuple[str, ...]]] = {}
        for name, *column in _fetch(connection, self._COLUMNS, [tuple(tables) or ("",)]):
            found.setdefault(name.lower(), []).append(tuple(column))
        triggers = {name.lower() for (name,) in _fetch(connection, self._TRIGGERS)}
        shapes = []
        for table in tables:
            described = found.get(table.lower(), [])
            if not described or table.lower() in triggers:
                raise CannotRestore(f"{table} has triggers, or is no table")
            stored = [(name, type, whole) for name, type, whole, extra in described if "GENERATED" not in _kind(extra)]
            if unknown := {type for _, type, _ in stored} - _MYSQL_TYPES.keys():
                raise CannotRestore(f"{table} has columns of {', '.join(sorted(unknown))}")
            numbers = [name for name, *_, extra in described if "auto_increment" in extra]
            shapes.append(Shape(tuple(name for name, *_ in stored), (*(whole for *_, whole in stored), *numbers)))
        return shapes

    def read(
        self, connection: BaseDatabaseWrapper, table: str, shape: Shape, columns: tuple[str, ...], order: str | None
    ) -> Rows:
        types = dict(zip(shape.columns, shape.described, strict=False))
        quote = connection.ops.quote_name
        exact = (_MYSQL_TYPES[types[column].split("(")[0].split()[0]].format(quote(column)) for column in columns)
        rows = _fetch(connection, _select(connection, table, exact, order))
        for number in shape.described[len(shape.columns) :]:
            if number in columns and any(row[columns.index(number)] == 0 for row in rows):
                raise CannotRestore(f"{table} has a row with the number 0, for which the database would put another")
        return rows

    def write(self, connection: BaseDatabaseWrapper, table: Table) -> None:
        _insert(connection, table)


def _kind(extra: str) -> str:
    return extra.upper().replace("DEFAULT_GENERATED", "")


_WAYS: Mapping[str, _Way] = {"postgresql": _Postgres(), "sqlite3": _Sqlite(), "mysql": _Mysql()}
