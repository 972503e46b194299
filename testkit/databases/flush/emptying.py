"""What a flush needs of a kind of database: to find the tables that were written, to empty them, to name who is waited for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from django.db import Error
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from testkit.databases.flush.blocked import Session

Rows = list[tuple[Any, ...]]

# A select has at most 1664 columns on PostgreSQL, 2000 on SQLite; short statements are also planned faster.
_COLUMNS = 400


class Unsure(Exception):
    """There is something about this database, said in the message, that only Django's own flush is known to get right."""


class Found(NamedTuple):
    """What a look at the database found."""

    tables: frozenset[str]
    """All that Django's flush would empty."""
    written: frozenset[str]
    """Those with rows, and those that may have some."""
    disturbed: frozenset[str] = frozenset()
    """Those of ``written`` whose rows cannot be trusted: another session is writing them, or they do not show."""


class Emptier(ABC):
    """Finds what was written to one database, and empties it.

    Apart from :meth:`tables`, :meth:`bounded` and :meth:`blockers` all is called within one transaction.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection

    def quote(self, table: str) -> str:
        """Return a table's name as it is written in statements."""
        return self.connection.ops.quote_name(table)

    def tables(self, cascade: bool) -> Collection[str]:
        """Return the tables that Django's flush would empty.

        Args:
            cascade: tables that refer to them are emptied, too, whatever app they are of.
        """
        return self.connection.introspection.django_table_names(only_existing=True, include_views=False)

    @contextmanager
    def bounded(self, seconds: float) -> Iterator[None]:
        """Let statements wait for locks for at most ``seconds``; 0 for as long as they would without."""
        yield

    @abstractmethod
    def look(self, cursor: CursorWrapper, tables: Collection[str], cascade: bool) -> Found:
        """Find which of the ``tables``, those of :meth:`tables`, were written.

        Raises:
            Unsure: Django's own flush has to do it.
        """

    def read(self, cursor: CursorWrapper, table: str, limit: int) -> Rows:
        """Return the rows of a table, at most ``limit``, in any order."""
        cursor.execute(f"SELECT * FROM {self.quote(table)} LIMIT {limit}")
        return list(cursor.fetchall())

    def touched(self, tables: frozenset[str]) -> frozenset[str]:
        """Return the tables that :meth:`empty` would empty with these."""
        return tables

    @abstractmethod
    def empty(self, cursor: CursorWrapper, tables: frozenset[str]) -> None:
        """Empty ``tables``, some of those that were written, without resetting sequences.

        Raises:
            Unsure: Django's own flush has to do it.
        """

    @abstractmethod
    def is_lock(self, error: BaseException | None) -> bool:
        """Return whether an error of the driver says that the time to wait for a lock is over."""

    def blockers(self) -> list[Session]:
        """Return the sessions that may hold what a flush has just waited for in vain."""
        return []

    def has_rows(self, cursor: CursorWrapper, tables: Collection[str]) -> frozenset[str]:
        """Return those of ``tables`` that have rows, as this transaction sees it."""
        names, found = list(tables), []
        for start in range(0, len(names), _COLUMNS):
            chunk = names[start : start + _COLUMNS]
            columns = ", ".join(f"EXISTS (SELECT 1 FROM {self.quote(name)})" for name in chunk)
            cursor.execute(f"SELECT {columns}")
            found += [name for name, has_rows in zip(chunk, cursor.fetchone(), strict=True) if has_rows]
        return frozenset(found)


def emptier_of(connection: BaseDatabaseWrapper) -> Emptier | None:
    """Return what empties this kind of database, or None if Django's own flush has to."""
    if not _flushes_as_django(connection):
        return None
    # Where they are needed: most runs have one kind of database.
    match connection.vendor:
        case "postgresql":
            from testkit.databases.flush.postgresql import PostgresEmptier

            return PostgresEmptier(connection)
        case "mysql":
            from testkit.databases.flush.mysql import MysqlEmptier

            return MysqlEmptier(connection)
        case "sqlite":
            from testkit.databases.flush.sqlite import SqliteEmptier

            return SqliteEmptier(connection)
    return None


def _flushes_as_django(connection: BaseDatabaseWrapper) -> bool:
    """Return whether all that Django's flush asks of a backend is Django's own, whatever else the backend changes."""
    used = [
        (connection.ops, ("sql_flush", "execute_sql_flush", "quote_name")),
        (
            connection.introspection,
            ("django_table_names", "table_names", "get_table_list", "get_migratable_models", "identifier_converter"),
        ),
    ]
    return all(
        getattr(getattr(part, name), "__module__", "").startswith("django.") for part, names in used for name in names
    )


def driver_error(error: BaseException | None) -> BaseException | None:
    """Return what the driver raised, of which ``error`` is Django's form or a consequence."""
    while isinstance(error, Error) or (error is not None and isinstance(error.__cause__, Error)):
        error = error.__cause__
    return error
