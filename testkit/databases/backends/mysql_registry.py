"""What testkit has made on a MySQL or MariaDB server: a table in a database of its own, beside the test database.

MySQL has no remarks at databases, and a table among those of the project would be seen by tests that introspect. One
table says it for templates, clones and what is being built, so that a change of state is one row, and atomic; and a
database that is half dropped is still known. It lies where the user may make databases: its name is derived from that
of the test database.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, NamedTuple

from django.db import DatabaseError

from testkit.core.errors import TestkitError
from testkit.databases.backends.base import TOUCH_SECONDS
from testkit.databases.backends.mysql_session import Administration, quoted

_TABLE = "made_1"  # of another layout, the table has another number
_WAIT_SECONDS = 30
# The database or the table is not there, or this user may not know whether it is.
_ABSENT = (1044, 1049, 1142, 1146)


class State(StrEnum):
    """What a database that testkit has made is at. All changes are safe to be killed after: what is in use is no more."""

    TEMPLATE = "template"
    """Finished."""
    CLEAN = "clean"
    """A clone that is as its template."""
    USED = "used"
    """Half made, in use, half cleaned, half dropped: whole for nobody but the run whose name it has."""


class Entry(NamedTuple):
    """What is known of a database.

    ``template`` is the name of the one that it is a copy of; ``run`` and ``holder`` tell the run that uses it: its name,
    and the session that has the lock of that name.
    """

    name: str
    state: State
    template: str = ""
    run: str = ""
    holder: int = 0


class Registry:
    """The table; without it, nothing was made."""

    def __init__(self, server: Administration, database: str) -> None:
        """Keep it in ``database``, which is made with the first entry."""
        self.database = database
        self._server = server
        self._table = f"{quoted(database)}.{quoted(_TABLE)}"
        self._in_values = self._table.replace("%", "%%")  # the driver formats what it gets values for
        self._depth = 0

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep others from changing it in the block, which is to be short.

        Raises:
            TestkitError: another session has it locked for long.
        """
        if not self._depth and not self._server.lock(self.database, _WAIT_SECONDS):
            holder = self._server.holder(self.database)
            raise TestkitError(
                f"session {holder} has kept {self.database} locked for {_WAIT_SECONDS} seconds: end it (KILL {holder})"
            )
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth:
                self._server.unlock(self.database)

    def entries(self) -> list[Entry]:
        """Return all that is known."""
        return [
            Entry(name, State(state), template, run, int(holder))
            for name, state, template, run, holder in self._read("SELECT name, state, template, run, holder FROM {}")
        ]

    def entry(self, name: str) -> Entry | None:
        """Return what is known of one database."""
        return next((entry for entry in self.entries() if entry.name == name), None)

    def put(self, entry: Entry) -> None:
        """Note a database, whatever was known of it."""
        columns = "name, state, template, run, holder"
        statement = f"REPLACE INTO {self._in_values} ({columns}) VALUES (%s, %s, %s, %s, %s)"
        values = [entry.name, entry.state.value, *entry[2:]]
        with self.locked():
            try:
                self._server.run(statement, values)
            except DatabaseError as error:
                if error.args[0] not in _ABSENT:
                    raise
                self._create()
                self._server.run(statement, values)

    def forget(self, name: str) -> None:
        """Remove the entry of a database."""
        with self.locked():
            self._read("DELETE FROM {} WHERE name = %s", [name])

    # Templates

    def finish(self, name: str, description: str, contents: bytes) -> None:
        """Make a template of what was being built."""
        self._server.run(
            f"UPDATE {self._in_values} SET state = %s, description = %s, contents = %s, "
            "used = UNIX_TIMESTAMP(NOW(6)) WHERE name = %s",
            [State.TEMPLATE.value, description, contents, name],
        )

    def templates(self) -> list[tuple[str, str, float]]:
        """Return name, description and last use (seconds since the epoch) of the finished templates."""
        found = self._read("SELECT name, description, used FROM {} WHERE state = %s", [State.TEMPLATE.value])
        return [(name, description, float(used)) for name, description, used in found]

    def contents(self, template: str) -> bytes | None:
        """Return what was said of a template's contents, None if it is not there."""
        values = [template, State.TEMPLATE.value]
        found = self._read("SELECT contents FROM {} WHERE name = %s AND state = %s", values)
        return bytes(found[0][0]) if found else None

    def touch(self, template: str) -> None:
        """Note that a template is used now, unless that was done a moment ago."""
        self._read(
            "UPDATE {} SET used = UNIX_TIMESTAMP(NOW(6)) WHERE name = %s AND used < UNIX_TIMESTAMP() - %s",
            [template, TOUCH_SECONDS],
        )

    # The database

    def drop_if_empty(self) -> None:
        """Leave nothing where nothing is known."""
        with self.locked():
            if self._read("SELECT 1 FROM {} LIMIT 1") or not self._read("SHOW CREATE TABLE {}"):
                return
            self._server.run(f"DROP TABLE {self._table}")
            if not self._server.rows(f"SHOW TABLES FROM {quoted(self.database)}"):
                self._server.run(f"DROP DATABASE {quoted(self.database)}")

    def _read(self, statement: str, values: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        """Run a statement on the table, which is named ``{}`` there; nothing comes of it where there is no table."""
        try:
            return self._server.rows(statement.format(self._table if values is None else self._in_values), values)
        except DatabaseError as error:
            if error.args[0] not in _ABSENT:
                raise
            return []

    def _create(self) -> None:
        self._server.run(f"CREATE DATABASE IF NOT EXISTS {quoted(self.database)} CHARACTER SET utf8mb4")
        self._server.run(
            f"CREATE TABLE IF NOT EXISTS {self._table} ("
            "name VARCHAR(64) NOT NULL PRIMARY KEY, state VARCHAR(16) NOT NULL, template VARCHAR(64) NOT NULL, "
            "run VARCHAR(64) NOT NULL, holder BIGINT UNSIGNED NOT NULL, "
            "used DOUBLE NULL, description LONGTEXT NULL, contents LONGBLOB NULL"
            ") ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        )
