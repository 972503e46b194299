"""What a selective flush needs of PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from testkit.databases.flush.blocked import Session
from testkit.databases.flush.emptying import Emptier, Found, Unsure, driver_error

LARGE = 256 * 1024
"""Bytes from which on TRUNCATE is faster than DELETE, whose work grows with the rows and the foreign keys to them.

Measured with rows of 50 bytes: DELETE of 5,000 rows takes 2 ms, and 35 ms where a foreign key leads to them; TRUNCATE
takes 4 ms for each table, whatever is in it. Dead rows count: a table that is emptied again and again does not grow.
"""
_LOCK_NOT_AVAILABLE = "55P03"
_ON_UPDATE_OR_DELETE, _ON_TRUNCATE = 8 | 16, 32  # of pg_trigger.tgtype
_ORDINARY_TABLE = "r"

# Tables as Django's introspection has them. Rows that another session has not committed do not show, but its lock does.
_TABLES = """
    SELECT c.oid, c.relname, {size}, c.relkind <> 'r' OR c.relhasrules OR c.relhassubclass,
        c.relrowsecurity,
        CASE WHEN c.relhastriggers THEN (
            SELECT bit_or(t.tgtype::int) FROM pg_catalog.pg_trigger t
            WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgenabled <> 'D'
        ) END,
        c.oid IN (
            SELECT l.relation FROM pg_catalog.pg_locks l
            WHERE l.locktype = 'relation' AND l.pid IS DISTINCT FROM pg_backend_pid() AND l.granted
            AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())
            AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
        )
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE {which} AND c.relkind IN ('f', 'p', 'r')
"""
# In the only schema of the search path all tables are visible, but for those that are named like one of the catalogue:
# to ask for each of them takes longer, in a session that has just begun, than to find them.
_VISIBLE = """
    NOT c.relispartition AND n.nspname = ANY(current_schemas(true)) AND n.nspname NOT IN ('pg_catalog', 'pg_toast')
    AND (
        cardinality(current_schemas(true)) = 2 AND NOT starts_with(c.relname, 'pg_')
        OR pg_catalog.pg_table_is_visible(c.oid)
    )
"""
_BY_OID = "c.oid = ANY(%s)"
# Both are the size of the table's (first) file. The one that any role may ask for opens each table to get it.
_SIZE = "pg_relation_size(c.oid)"
_SIZE_FOR_SUPERUSERS = "(pg_stat_file(pg_relation_filepath(c.oid), true)).size"
# What is selected is evaluated in its order.
_BOUND = """
    SELECT current_setting('lock_timeout'), current_setting('is_superuser') = 'on',
        set_config('lock_timeout', coalesce(%s, current_setting('lock_timeout')), false)
"""
# Those of partitions follow from those of the partitioned table.
_FOREIGN_KEYS = """
    SELECT conrelid, confrelid, condeferred OR confdeltype NOT IN ('a', 'r')
    FROM pg_catalog.pg_constraint WHERE contype = 'f' AND conparentid = 0
"""
_HOLDERS = """
    SELECT a.pid, a.usename, a.application_name, a.state, extract(epoch FROM now() - a.state_change)::int, a.query,
        array_agg(DISTINCT l.relation::regclass::text), bool_or(l.mode <> 'AccessShareLock')
    FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a USING (pid)
    WHERE l.locktype = 'relation' AND l.granted AND a.pid <> pg_backend_pid() AND a.datname = current_database()
        AND l.relation IN (SELECT oid FROM pg_catalog.pg_class WHERE relkind IN ('f', 'p', 'r') AND oid >= 16384)
    GROUP BY a.pid, a.usename, a.application_name, a.state, a.state_change, a.query
    ORDER BY a.pid
"""


class Table(NamedTuple):
    """A table as the catalogue has it."""

    oid: int
    name: str
    size: int | None
    """Bytes of its file; None if it has none."""
    is_unusual: bool
    """DELETE may do something else to it than TRUNCATE: it is partitioned, foreign, inherited from, or has rules."""
    is_hidden: bool
    """Its rows are subject to row-level security."""
    triggers: int | None
    is_being_written: bool
    """Another session has written it, and may not have committed yet."""


class PostgresEmptier(Emptier):
    """Empties databases of PostgreSQL: by DELETE, as TRUNCATE makes new files for each table."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        super().__init__(connection)
        self._found: dict[str, Table] = {}
        self._quoted: dict[str, str] = {}  # where it is not the name in quotes
        self._referring: dict[str, set[str]] = {}
        self._not_deleted: set[str] = set()
        self._is_superuser = False

    def quote(self, table: str) -> str:
        """Return a table's name as it is written in statements."""
        return self._quoted.get(table) or super().quote(table)

    def tables(self, cascade: bool) -> Collection[str]:
        """Return the names that tables may have; :meth:`look` sees which of them are there."""
        ignored = self.connection.introspection.ignored_tables  # type: ignore[attr-defined]  # PostGIS has some
        return set(self.connection.introspection.django_table_names()).difference(ignored)

    @contextmanager
    def bounded(self, seconds: float) -> Iterator[None]:
        """Let statements wait for locks for at most ``seconds``."""
        limit = f"{max(1, round(seconds * 1000))}ms" if seconds else None
        with self.connection.cursor() as cursor:
            cursor.execute(_BOUND, [limit])
            before, self._is_superuser, _ = cursor.fetchone()
        try:
            yield
        finally:
            with suppress(DatabaseError), self.connection.cursor() as cursor:
                cursor.execute("SELECT set_config('lock_timeout', %s, false)", [before])

    def look(self, cursor: CursorWrapper, tables: Collection[str], cascade: bool) -> Found:
        """Find which of the ``tables``, and of those that TRUNCATE would empty with them, were written."""
        cursor.execute(self._query(_VISIBLE))
        found = [Table(*row) for row in cursor.fetchall() if row[1] in tables]
        self._quoted = {}
        cursor.execute(_FOREIGN_KEYS)
        keys: list[tuple[int, int, bool]] = cursor.fetchall()
        found += self._outsiders(cursor, {table.oid for table in found}, keys, cascade)
        if any((table.triggers or 0) & _ON_TRUNCATE for table in found):
            raise Unsure("there is a trigger on TRUNCATE")
        self._found = {table.name: table for table in found}
        self._note_references({table.oid: table.name for table in found}, keys)
        return self._written(cursor, found)

    def _query(self, which: str) -> str:
        return _TABLES.format(which=which, size=_SIZE_FOR_SUPERUSERS if self._is_superuser else _SIZE)

    def _outsiders(
        self, cursor: CursorWrapper, inside: set[int], keys: Iterable[tuple[int, int, bool]], cascade: bool
    ) -> list[Table]:
        """Return the tables that refer to those ``inside``, and to each other, without being among them."""
        referring = _reachable(inside, _by_referred((source, target) for source, target, _ in keys)) - inside
        if not referring:
            return []
        if not cascade:
            raise Unsure("tables that are not emptied refer to some that are: TRUNCATE refuses that")
        cursor.execute(
            "SELECT oid, oid::regclass::text FROM pg_catalog.pg_class WHERE oid = ANY(%s)", [list(referring)]
        )
        quoted: dict[int, str] = dict(cursor.fetchall())
        cursor.execute(self._query(_BY_OID), [list(referring)])
        # By their quoted names, which may have a schema.
        tables = [Table(*row)._replace(name=quoted[row[0]]) for row in cursor.fetchall()]
        self._quoted = {table.name: table.name for table in tables}
        return tables

    def _note_references(self, names: dict[int, str], keys: Iterable[tuple[int, int, bool]]) -> None:
        within = [key for key in keys if key[0] in names and key[1] in names]
        self._referring = _by_referred((names[source], names[target]) for source, target, _ in within)
        unusual = {
            table.name
            for table in self._found.values()
            if table.is_unusual or table.is_hidden or (table.triggers or 0) & _ON_UPDATE_OR_DELETE
        }
        # A key that is checked at once would ask for an order of the tables.
        self._not_deleted = unusual | {names[target] for _, target, waits in within if not waits}

    def _written(self, cursor: CursorWrapper, found: Iterable[Table]) -> Found:
        disturbed = {table.name for table in found if table.is_being_written or table.is_hidden}
        # A file without a page has no row. Partitioned and foreign tables have no file, which some versions take for an empty one.
        ask = {table.name for table in found if table.size != 0 or table.is_unusual} - disturbed
        return Found(frozenset(self._found), self.has_rows(cursor, ask) | disturbed, disturbed=frozenset(disturbed))

    def touched(self, tables: frozenset[str]) -> frozenset[str]:
        """Return the tables that would be emptied with these: TRUNCATE takes all that refer to one."""
        return tables | self._truncated(tables)

    def _truncated(self, tables: frozenset[str]) -> frozenset[str]:
        large = {name for name in tables if (self._found[name].size or 0) > LARGE}
        return frozenset(_reachable(tables & (self._not_deleted | large), self._referring))

    def empty(self, cursor: CursorWrapper, tables: frozenset[str]) -> None:
        """Empty ``tables`` in one statement after the other, which the server gets in one go."""
        truncated = self._truncated(tables)
        deleted = sorted(tables - truncated)
        locked = [name for name in deleted if self._found[name].is_being_written]
        statements = []
        if truncated:
            statements.append(f"TRUNCATE {self._list(sorted(truncated))}")
        if locked:
            statements.append(f"LOCK TABLE {self._list(locked)} IN SHARE ROW EXCLUSIVE MODE")
        statements += [f"DELETE FROM {self.quote(name)}" for name in deleted]
        if statements:
            cursor.execute("; ".join([*self._ways(), *statements]))

    def _ways(self) -> Iterator[str]:
        # What is emptied here would not be missed if the server crashed: no need to wait for the disk.
        yield "SET LOCAL synchronous_commit = off"
        if self._is_superuser:
            # For each deleted row every foreign key to it would be checked, although all that refers to it goes, too.
            # As triggers do not act either, DELETE is what TRUNCATE is.
            yield "SET LOCAL session_replication_role = replica"

    def _list(self, names: Iterable[str]) -> str:
        return ", ".join(map(self.quote, names))

    def is_lock(self, error: BaseException | None) -> bool:
        """Return whether an error says that the time to wait for a lock is over."""
        error = driver_error(error)
        # psycopg 3 and psycopg 2
        return _LOCK_NOT_AVAILABLE in (getattr(error, "sqlstate", None), getattr(error, "pgcode", None))

    def blockers(self) -> list[Session]:
        """Return the sessions that hold locks on this database's tables; those that only read them if no other does."""
        with self.connection.cursor() as cursor:
            cursor.execute(_HOLDERS)
            rows: list[Any] = cursor.fetchall()
        writers = [row for row in rows if row[-1]] or rows
        return [
            Session(
                pid, user or "", f"application {name}" if name else "", f"{state}, for {age} s", query, tuple(tables)
            )
            for pid, user, name, state, age, query, tables, _ in writers
        ]


def _by_referred(references: Iterable[tuple[Any, Any]]) -> dict[Any, set[Any]]:
    """Return the tables that refer to each, without those that refer to themselves."""
    referring: dict[Any, set[Any]] = {}
    for source, target in references:
        if source != target:
            referring.setdefault(target, set()).add(source)
    return referring


def _reachable(tables: Iterable[Any], referring: dict[Any, set[Any]]) -> set[Any]:
    """Return ``tables`` and all that refer to them, directly or not."""
    reached: set[Any] = set()
    waiting = list(tables)
    while waiting:
        table = waiting.pop()
        if table not in reached:
            reached.add(table)
            waiting += referring.get(table, ())
    return reached
