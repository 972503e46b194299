"""The administrative connection to a MySQL or MariaDB server: it has no database, locks names, and ends sessions."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from hashlib import blake2b
from typing import Any, NamedTuple

from django.db import DatabaseError
from django.db.backends.base.base import NO_DB_ALIAS, BaseDatabaseWrapper

from testkit.core.errors import TestkitError
from testkit.databases.backends.mysql_fork import hold, let_go
from testkit.databases.backends.mysql_together import run_together

LOCK_SECONDS = 10
"""How long a statement waits for others that use the same tables or rows."""
_END_SECONDS = 5.0
_LOCK_WAIT = 1205
_DENIED = (1044, 1142, 1227, 1370)

# Whatever the server's and the project's settings are, what is stored is copied as it is: zero dates and those that no
# calendar has, keys that are 0, rows that a later check refuses, and times in hours that a time zone leaves out.
_SETTINGS: dict[str, str | int] = {
    "sql_mode": "NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION,ALLOW_INVALID_DATES",
    "time_zone": "+00:00",
    "foreign_key_checks": 0,
    "sql_quote_show_create": 1,
    "sql_safe_updates": 0,
    "sql_select_limit": 2**64 - 1,
    "lock_wait_timeout": LOCK_SECONDS,
    "innodb_lock_wait_timeout": LOCK_SECONDS,
    "wait_timeout": 2147483,  # the most that every system allows: locks are lost with the connection
}
_SETTINGS_OF_MARIADB: dict[str, str | int] = {"check_constraint_checks": 0, "max_statement_time": 0}
_SETTINGS_OF_MYSQL: dict[str, str | int] = {"information_schema_stats_expiry": 0}


class Session(NamedTuple):
    """A session of the server, as its list of processes has it."""

    id: int
    user: str
    host: str
    database: str
    command: str
    seconds: int

    def describe(self) -> str:
        """Return what tells it from others."""
        return f"session {self.id} ({self.user} from {self.host}, at {self.database or 'no database'}, {self.command})"


class Administration:
    """The administrative connection of an alias, opened when it is needed, one in each process.

    A lock lasts as long as the connection by which it was taken: a forked process holds it as well, and opens another
    one for its statements.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        """Serve the server and the user that ``connection`` has in its settings."""
        self._connection = connection
        self._session: BaseDatabaseWrapper | None = None
        self._process = 0
        self._locked: set[str] = set()

    @property
    def is_open(self) -> bool:
        """Whether this process has opened it."""
        return self._session is not None and self._process == os.getpid()

    def rows(self, statement: str | bytes, values: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        """Run a statement, and return what it gives. ``%`` is no placeholder where there are no ``values``."""
        with self._opened().cursor() as cursor:
            cursor.execute(statement, values)  # type: ignore[arg-type]  # the driver takes bytes as they are
            return list(cursor.fetchall()) if cursor.description else []

    def run(self, statement: str | bytes, values: Sequence[Any] | None = None) -> None:
        """Run a statement that gives nothing."""
        self.rows(statement, values)

    def run_together(self, database: str, statements: Sequence[str]) -> None:
        """Run statements at a database in any order, several at a time."""
        left = run_together(lambda: _without_database(self._connection), quoted(database), statements)
        with self.at(database):
            for statement in left:
                self.run(statement)

    def value(self, statement: str, values: Sequence[Any] | None = None) -> Any:
        """Return the first column of the first row, None if there is no row."""
        rows = self.rows(statement, values)
        return rows[0][0] if rows else None

    @contextmanager
    def at(self, database: str) -> Iterator[None]:
        """Be at a database in the block only: whoever drops it ends the sessions that are there."""
        self.run(f"USE {quoted(database)}")
        try:
            yield
        finally:
            self.run("USE information_schema")

    @cached_property
    def lowers_names(self) -> bool:
        """Whether upper and lower case are the same in names of databases, as where a file system makes no difference."""
        return bool(self.value("SELECT @@lower_case_table_names"))

    @property
    def is_mariadb(self) -> bool:
        """Whether the server is MariaDB."""
        return bool(self._opened().mysql_is_mariadb)  # type: ignore[attr-defined]

    def close(self) -> None:
        """Close it; all locks that were taken by it are given back."""
        if self._session is not None and self.is_open:
            driver = self._session.connection
            with suppress(DatabaseError):  # at once: the server takes a while to see that a session is over
                self.run("DO RELEASE_ALL_LOCKS()")
            let_go(driver)
            self._session.close()
        self._session = None
        self._locked.clear()

    def _opened(self) -> BaseDatabaseWrapper:
        if self._session is None or not self.is_open:
            self._session = _without_database(self._connection)
            self._process = os.getpid()
            hold(self._session.connection)
        return self._session

    # Locks

    def lock(self, name: str, seconds: int = 0) -> bool:
        """Take a lock on the whole server, and return False if another connection has it for ``seconds``."""
        if name not in self._locked:
            if self.value("SELECT GET_LOCK(%s, %s)", [_lock_name(name), seconds]) != 1:
                return False
            self._locked.add(name)
        return True

    def unlock(self, name: str) -> None:
        """Give one lock back."""
        self._locked.discard(name)
        self.run("DO RELEASE_LOCK(%s)", [_lock_name(name)])

    def has(self, name: str) -> bool:
        """Return whether this process, or the one that it was forked from, has taken a lock."""
        return name in self._locked

    def holder(self, name: str) -> int:
        """Return the id of the session that has a lock, 0 if none has."""
        return int(self.value("SELECT IS_USED_LOCK(%s)", [_lock_name(name)]) or 0)

    # Sessions

    def end_sessions(self, database: str) -> None:
        """End the sessions that this user has at a database, and wait until they are gone."""
        deadline = time.monotonic() + _END_SECONDS
        while ours := [each for each in self._sessions() if each.database == database]:
            for each in ours:
                with suppress(DatabaseError):  # it has just ended
                    self.run("KILL %s", [each.id])
            if time.monotonic() > deadline:
                return  # what needs them gone says so
            time.sleep(0.01)

    def _sessions(self) -> list[Session]:
        """Return the other sessions of this user."""
        own, user = self.rows("SELECT CONNECTION_ID(), USER()")[0]
        name = user.rpartition("@")[0]
        found = [
            Session(int(row[0]), str(row[1]), str(row[2]), str(row[3] or ""), str(row[4]), int(row[5] or 0))
            for row in self.rows("SHOW PROCESSLIST")
        ]
        return [each for each in found if each.user == name and each.id != own]

    def _blocking(self, database: str) -> str:
        """Return which sessions have locks in a database, as far as this user may know."""
        of_mariadb = "SELECT thread_id FROM information_schema.metadata_lock_info WHERE table_schema = %s"
        of_mysql = (
            "SELECT processlist_id FROM performance_schema.threads JOIN performance_schema.metadata_locks "
            "ON thread_id = owner_thread_id WHERE object_schema = %s AND lock_status = 'GRANTED'"
        )
        for question in (of_mariadb, of_mysql):
            with suppress(DatabaseError):  # of MySQL, or of MariaDB with its plugin, and not for every user
                found = {int(row[0]) for row in self.rows(question, [database]) if row[0]}
                own = self.value("SELECT CONNECTION_ID()")
                if found - {own}:
                    known = {each.id: each.describe() for each in self._sessions()}
                    return "by " + ", ".join(known.get(id, f"session {id}") for id in sorted(found - {own}))
        with suppress(DatabaseError):
            if others := self._sessions():
                return "by one of these: " + ", ".join(each.describe() for each in others)
        return "by a session of another user"

    # Errors

    @contextmanager
    def explained(self, what: str, database: str) -> Iterator[None]:
        """Say of an error of the server what could not be done for want of it, and how it is mended.

        Args:
            what: a clause, such as "the database x cannot be dropped".
            database: which one it is about.

        Raises:
            TestkitError: the server refused something.
        """
        try:
            yield
        except DatabaseError as error:
            code = error.args[0] if error.args else 0
            reason = f"{error.args[1] if len(error.args) > 1 else error}"
            if code == _LOCK_WAIT:
                reason = f"it is locked {self._blocking(database)}; end it (KILL and its number)"
            elif code in _DENIED:
                start = "test_" if database.startswith("test_") else database
                pattern = quoted(start.replace("_", r"\_").replace("%", r"\%") + "%")
                reason += f"; the user needs all privileges on test databases: GRANT ALL PRIVILEGES ON {pattern}.* TO …"
            raise TestkitError(f"{what}: {reason}") from error


def quoted(name: str) -> str:
    """Return a name for SQL. Django's ``quote_name`` leaves a backtick within it as it is."""
    return "`{}`".format(name.replace("`", "``"))


def _without_database(connection: BaseDatabaseWrapper) -> BaseDatabaseWrapper:
    """Return an open connection to the server of another, as Django's ``_nodb_cursor``, with settings for copies."""
    options = {**connection.settings_dict["OPTIONS"], "charset": "utf8mb4", "use_unicode": True}
    for key in ("database", "db", "collation"):
        options.pop(key, None)
    settings = {**connection.settings_dict, "NAME": None, "OPTIONS": options, "AUTOCOMMIT": True}
    session = type(connection)(settings, alias=NO_DB_ALIAS)
    session.inc_thread_sharing()
    session.connect()
    given = _SETTINGS | (_SETTINGS_OF_MARIADB if session.mysql_is_mariadb else _SETTINGS_OF_MYSQL)  # type: ignore[attr-defined]
    with session.cursor() as cursor:
        cursor.execute("SET NAMES utf8mb4")
        cursor.execute("SET " + ", ".join(f"SESSION {name} = %s" for name in given), list(given.values()))
    return session


def _lock_name(name: str) -> str:
    """Return a name for ``GET_LOCK``, which allows 64 characters."""
    return f"testkit:{blake2b(name.encode(), digest_size=16).hexdigest()}"
