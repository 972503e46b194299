"""The administrative connections to a PostgreSQL server: one that holds the locks, one on which the server copies."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError
from django.db.backends.base.base import NO_DB_ALIAS, BaseDatabaseWrapper

from testkit.core.errors import TestkitError
from testkit.databases.blocking import present_rule

# A limit of the role or of OPTIONS is not meant for copies of databases. That a commit is on disk need not be waited
# for: what is lost with a server that falls is the last comments and names, and never one without those before it.
_FIRST = (
    "SET statement_timeout = 0; SET lock_timeout = '60s'; SET idle_session_timeout = 0; SET synchronous_commit = off"
)

# Connections of a process that this one was forked from. To close them, which their end would do, would be to speak on
# sockets that are not this process's.
_of_other_processes: list[object] = []


class Server:
    """The administrative connections of one process: one that holds the locks, one on which the server copies."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        """Administer the server of ``connection``."""
        self._connection = connection
        self._process = 0
        self._session: Any = None
        self._begun: list[Begun] = []
        self._held: set[tuple[str, bool]] = set()

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Return what ``query`` gives."""
        with self._open().cursor() as cursor:
            cursor.execute(query, values)
            return list(cursor.fetchall())

    def run(self, *statements: str) -> None:
        """Run ``statements`` in one transaction; a single one outside of any, as CREATE and DROP DATABASE want it."""
        with self._open().cursor() as cursor:
            cursor.execute("; ".join(statements))

    def literal(self, text: str) -> str:
        """Return ``text`` as SQL, for statements that take no parameters."""
        return str(self._open().ops.compose_sql("%s", [text]))

    def lock(self, name: str, *, shared: bool = False) -> bool:
        """Take the lock of ``name``, alone or with others who share it, and return False if that cannot be."""
        session = self._open()
        if (name, shared) not in self._held and _lock(session, name, shared):
            self._held.add((name, shared))
        return (name, shared) in self._held

    def unlock(self, name: str) -> None:
        """Give the lock of ``name`` back that is not shared."""
        self._held.discard((name, False))
        self.rows("SELECT pg_advisory_unlock(%s::bigint)", _key(name))

    def begin(self, statement: str, *, lock: str = "") -> None:
        """Have the server run ``statement`` on a connection of its own, which shares the lock ``lock`` until it is done."""
        session = self._open()
        for done in [begun for begun in self._begun if not begun.is_busy()]:
            done.close()
            self._begun.remove(done)
        self._begun.append(Begun(session, statement, lock))

    def close(self) -> None:
        """Close what this process has opened; with that, its locks are free."""
        if self._process == os.getpid():
            for connection in (*self._begun, *filter(None, [self._session])):
                connection.close()
        elif self._session:
            _of_other_processes.append((self._session, self._begun))
        self._session = None
        self._begun, self._held = [], set()

    def _open(self) -> Any:
        if self._process != os.getpid():
            self.close()
            self._process = os.getpid()
        if self._session is None:
            self._session = self._connect()
        elif not self._session.is_usable():  # the server was started again, for example
            self._session.close()
            self._session = self._connect()
            self._held = {(name, shared) for name, shared in self._held if _lock(self._session, name, shared)}
        return self._session

    def _connect(self) -> Any:
        failure: DatabaseError | None = None
        for name in dict.fromkeys(("postgres", self._real_name())):
            settings = {**self._connection.settings_dict, "NAME": name, "AUTOCOMMIT": True}
            if given := settings["OPTIONS"].get(
                "options"
            ):  # a limit among these is one for Django's first queries, too
                settings["OPTIONS"] = {**settings["OPTIONS"], "options": f"{given} -c statement_timeout=0"}
            session: Any = type(self._connection)(settings, alias=NO_DB_ALIAS)
            try:
                session.ensure_connection()
            except DatabaseError as error:
                failure = failure or error
                continue
            session.inc_thread_sharing()  # a run may be torn down in another thread than it was set up in
            with session.cursor() as cursor:
                cursor.execute(_FIRST)
            return session
        raise TestkitError(
            f'the server of the alias "{self._connection.alias}" cannot be administered: {str(failure).strip()}. '
            'Its role has to be allowed to connect to the database "postgres" or to the one of the settings'
        ) from failure

    def _real_name(self) -> str:
        """Return what the settings had as the database's name before tests: nobody copies or drops that one."""
        rule = present_rule()
        real = [target.real for target in rule.real if target.alias == self._connection.alias] if rule else []
        return real[0] if real else str(self._connection.settings_dict["NAME"])


class Begun:
    """A statement that the server is at, on a connection of its own: libpq's asynchronous ways, without a thread.

    The server does not look at the connection before it has done the statement, and does it when that is closed, too.
    """

    def __init__(self, session: Any, statement: str, lock: str) -> None:
        """Connect as ``session`` is, share the lock ``lock`` if there is one, and send ``statement``."""
        self._driver = session.Database
        self._is_psycopg3 = self._driver.__name__ == "psycopg"
        role = session.settings_dict["OPTIONS"].get("assume_role")
        first = [session.ops.compose_sql("SET ROLE %s", [role])] if role else []
        first += [_FIRST, *([f"SELECT pg_try_advisory_lock_shared({_key(lock)})"] if lock else [])]
        begin = self._begin if self._is_psycopg3 else self._begin_by_psycopg2
        self._connection = begin(session.get_connection_params(), "; ".join(first), statement)

    def _begin(self, parameters: dict[str, Any], first: str, statement: str) -> Any:
        connection = self._driver.connect(**parameters, autocommit=True)
        connection.execute(first)
        connection.pgconn.send_query(statement.encode())
        return connection

    def _begin_by_psycopg2(self, parameters: dict[str, Any], first: str, statement: str) -> Any:
        connection = self._driver.connect(**parameters, async_=True)
        wait = self._driver.extras.wait_select
        wait(connection)
        cursor = connection.cursor()
        cursor.execute(first)
        wait(connection)
        cursor.execute(statement)
        return connection

    def is_busy(self) -> bool:
        """Return whether the server is at it still."""
        try:
            if not self._is_psycopg3:
                return bool(self._connection.poll() != self._driver.extensions.POLL_OK)
            self._connection.pgconn.consume_input()
            return bool(self._connection.pgconn.is_busy())
        except Exception:  # an error of the statement's is how it has ended
            return False

    def close(self) -> None:
        """Close the connection."""
        with suppress(Exception):
            self._connection.close()


def _lock(session: Any, name: str, shared: bool) -> bool:
    with session.cursor() as cursor:
        cursor.execute(f"SELECT pg_try_advisory_lock{'_shared' if shared else ''}(%s::bigint)", [_key(name)])
        return bool(cursor.fetchone()[0])


def _key(name: str) -> int:
    """Return the number by which the database ``name`` is locked."""
    return int.from_bytes(hashlib.blake2b(f"testkit {name}".encode(), digest_size=8).digest(), "big", signed=True)


def quoted(name: str) -> str:
    """Return a name as SQL. Django's quote_name() leaves the quotes that are in it as they are."""
    return '"{}"'.format(name.replace('"', '""'))


def code_of(error: DatabaseError) -> str:
    """Return the SQLSTATE of an error: https://www.postgresql.org/docs/current/errcodes-appendix.html"""
    return getattr(getattr(error.__cause__, "diag", None), "sqlstate", None) or ""


def close_all(connection: BaseDatabaseWrapper) -> None:
    connection.close()
    close_pool: Callable[[], None] | None = getattr(connection, "close_pool", None)
    if close_pool:
        with suppress(ImproperlyConfigured):  # by a pool that cannot be made, nothing was opened
            close_pool()
