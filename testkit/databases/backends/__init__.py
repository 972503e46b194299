"""What each kind of database can do about templates and clones; :mod:`testkit.databases.backends.base` says what."""

from __future__ import annotations

from pathlib import Path

from django.db.backends.base.base import BaseDatabaseWrapper

from testkit.databases.backends.base import Backend as Backend
from testkit.databases.backends.base import Template as Template
from testkit.databases.targets import family_of


def backend_for(connection: BaseDatabaseWrapper, base: str, cache: Path) -> Backend | None:
    """Return the backend for the alias of ``connection``, None for a kind of database that has none.

    ``base`` and ``cache`` are as for :class:`Backend`.
    """
    cls: type[Backend]
    match family_of(connection):  # imported here: a run needs one of them
        case "sqlite3":
            from testkit.databases.backends.sqlite import SqliteBackend as cls
        case "postgresql":
            from testkit.databases.backends.postgresql import PostgresqlBackend as cls
        case "mysql":
            from testkit.databases.backends.mysql import MysqlBackend as cls
        case _:
            return None
    return cls(connection, base, cache)
