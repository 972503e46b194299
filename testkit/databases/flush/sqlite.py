"""What a selective flush needs of SQLite."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db.backends.utils import CursorWrapper

from testkit.databases.flush.emptying import Emptier, Found, Unsure, driver_error


class SqliteEmptier(Emptier):
    """Empties databases of SQLite. How long it waits for locks is the connection's own ``timeout``."""

    def tables(self, cascade: bool) -> Collection[str]:
        """Return the tables that Django's flush would empty."""
        tables = super().tables(cascade)
        if not cascade:
            return tables
        operations: Any = self.connection.ops
        return {name for table in tables for name in operations._references_graph(table)}

    def look(self, cursor: CursorWrapper, tables: Collection[str], cascade: bool) -> Found:
        """Find which of the ``tables`` were written."""
        if tables:
            # Nothing is deleted, but the database is locked as for a write: rows that another connection has not
            # committed yet do not show, and would be there later.
            cursor.execute(f"DELETE FROM {self.quote(next(iter(tables)))} WHERE 0")
        return Found(frozenset(tables), self.has_rows(cursor, tables))

    def empty(self, cursor: CursorWrapper, tables: frozenset[str]) -> None:
        """Empty ``tables``."""
        cursor.execute(
            "SELECT tbl_name FROM sqlite_master WHERE type = 'trigger' "
            "UNION SELECT tbl_name FROM sqlite_temp_master WHERE type = 'trigger'"
        )
        # What a trigger writes may be emptied by Django, which empties all tables.
        if triggered := tables & {name for (name,) in cursor.fetchall()}:
            raise Unsure(f"{', '.join(sorted(triggered))}: a trigger may write other tables")
        for table in sorted(tables):
            cursor.execute(f"DELETE FROM {self.quote(table)}")

    def is_lock(self, error: BaseException | None) -> bool:
        """Return whether an error says that the database, or in a shared cache a table, is locked."""
        return "locked" in str(driver_error(error))
