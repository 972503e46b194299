"""The rows that ``post_migrate`` has left, to be found again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from testkit.databases.flush.emission import Caches
from testkit.databases.flush.emptying import Emptier, Found, Rows

MOST_ROWS = 5000
"""With more rows in one table than this, to write them anew is no slower than to read them all."""


class Left(NamedTuple):
    """What a database had when ``post_migrate`` had been sent after a flush."""

    database: tuple[str, ...]
    conditions: tuple[object, ...]
    tables: frozenset[str]
    rows: Mapping[str, Rows]
    caches: Caches

    def unchanged(
        self, emptier: Emptier, cursor: CursorWrapper, found: Found, conditions: tuple[object, ...] | None
    ) -> bool:
        """Return whether the rows are there now, exactly, and ``post_migrate`` would write the same ones."""
        return (
            self.database == identity(emptier.connection)
            and self.conditions == conditions
            and self.tables == found.tables
            and found.written.issuperset(self.rows)
            and found.disturbed.isdisjoint(self.rows)
            and emptier.touched(found.written.difference(self.rows)).isdisjoint(self.rows)
            and all(_same(emptier.read(cursor, table, len(rows) + 1), rows) for table, rows in self.rows.items())
        )


def remember(
    emptier: Emptier, cursor: CursorWrapper, found: Found, conditions: tuple[object, ...], caches: Caches
) -> Left | None:
    """Return what ``post_migrate`` has just left, if it can be compared later."""
    if found.disturbed:
        return None
    rows = {table: emptier.read(cursor, table, MOST_ROWS + 1) for table in found.written}
    if any(len(each) > MOST_ROWS for each in rows.values()):
        return None
    return Left(identity(emptier.connection), conditions, found.tables, rows, caches)


def _same(some: Rows, others: Rows) -> bool:
    return some == others or sorted(some, key=repr) == sorted(others, key=repr)


def identity(connection: BaseDatabaseWrapper) -> tuple[str, ...]:
    """Return what tells one database from others."""
    return tuple(str(connection.settings_dict[key]) for key in ("ENGINE", "HOST", "PORT", "NAME"))
