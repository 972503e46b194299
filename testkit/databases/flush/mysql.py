"""What a selective flush needs of MySQL and MariaDB."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django.db import DatabaseError
from django.db.backends.utils import CursorWrapper

from testkit.databases.flush.blocked import Session
from testkit.databases.flush.emptying import Emptier, Found, Rows, Unsure, driver_error

_LOCK_WAIT_TIMEOUT = 1205
# Tables in one statement: all of them are open at once.
_TABLES = 200
_TRANSACTIONS = """
    SELECT p.id, p.user, p.host, p.command, p.info, p.time
    FROM information_schema.innodb_trx t JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id
    WHERE p.db = DATABASE() AND p.id <> CONNECTION_ID() ORDER BY t.trx_started
"""
# Without the privilege to see transactions, a user sees their own sessions.
_SESSIONS = """
    SELECT id, user, host, command, info, time FROM information_schema.processlist
    WHERE db = DATABASE() AND id <> CONNECTION_ID() ORDER BY id
"""


class MysqlEmptier(Emptier):
    """Empties databases of MySQL and MariaDB."""

    @contextmanager
    def bounded(self, seconds: float) -> Iterator[None]:
        """Let statements wait for locks of rows and of tables for at most ``seconds``, in whole ones."""
        if not seconds:
            yield
            return
        limit = max(1, math.ceil(seconds))
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT @@innodb_lock_wait_timeout, @@lock_wait_timeout")
            before = cursor.fetchone()
            self._set_limits(cursor, limit, limit)
        try:
            yield
        finally:
            with suppress(DatabaseError), self.connection.cursor() as cursor:
                self._set_limits(cursor, *before)

    def _set_limits(self, cursor: CursorWrapper, rows: int, tables: int) -> None:
        cursor.execute("SET innodb_lock_wait_timeout = %s, lock_wait_timeout = %s", [rows, tables])

    def look(self, cursor: CursorWrapper, tables: Collection[str], cascade: bool) -> Found:
        """Find which of the ``tables`` were written; what another session writes is waited for, as DELETE would."""
        names = list(tables)
        written: set[str] = set()
        for start in range(0, len(names), _TABLES):
            chunk = enumerate(names[start : start + _TABLES], start)
            cursor.execute(
                " UNION ALL ".join(
                    f"(SELECT {index} FROM {self.quote(name)} LIMIT 1 LOCK IN SHARE MODE)" for index, name in chunk
                )
            )
            written |= {names[index] for (index,) in cursor.fetchall()}
        return Found(frozenset(tables), frozenset(written))

    def read(self, cursor: CursorWrapper, table: str, limit: int) -> Rows:
        """Return the rows of a table as they were last committed, whatever this transaction has read before."""
        cursor.execute(f"SELECT * FROM {self.quote(table)} LIMIT {limit} LOCK IN SHARE MODE")
        return list(cursor.fetchall())

    def empty(self, cursor: CursorWrapper, tables: frozenset[str]) -> None:
        """Empty ``tables``, with foreign keys unchecked as in Django's flush."""
        if not tables:
            return
        names = sorted(tables)
        cursor.execute(
            "SELECT event_object_table FROM information_schema.triggers WHERE trigger_schema = DATABASE() "
            f"AND event_manipulation = 'DELETE' AND event_object_table IN ({', '.join(['%s'] * len(names))})",
            names,
        )
        # What a trigger writes may be emptied by Django, which empties all tables.
        if triggered := cursor.fetchall():
            raise Unsure(f"{', '.join(name for (name,) in triggered)}: a trigger may write other tables")
        cursor.execute("SET FOREIGN_KEY_CHECKS = 0")
        try:
            for name in names:
                cursor.execute(f"DELETE FROM {self.quote(name)}")
        finally:
            cursor.execute("SET FOREIGN_KEY_CHECKS = 1")

    def is_lock(self, error: BaseException | None) -> bool:
        """Return whether an error says that the time to wait for a lock is over."""
        return getattr(driver_error(error), "args", ())[:1] == (_LOCK_WAIT_TIMEOUT,)

    def blockers(self) -> list[Session]:
        """Return the sessions with an open transaction at this database, or all if those cannot be told."""
        with self.connection.cursor() as cursor:
            for statement in (_TRANSACTIONS, _SESSIONS):
                with suppress(DatabaseError):
                    cursor.execute(statement)
                    found = [self._session(cursor, *row) for row in cursor.fetchall()]
                    if found:
                        return found
        return []

    def _session(
        self, cursor: CursorWrapper, id: int, user: str, host: str, command: str, info: Any, time: Any
    ) -> Session:
        return Session(id, user, f"from {host}", f"{command}, for {time} s", str(info or self._last(cursor, id)))

    def _last(self, cursor: CursorWrapper, id: int) -> str:
        """Return the last statement of an idle session, which only a performance schema that is on has kept."""
        with suppress(DatabaseError):
            cursor.execute(
                "SELECT s.sql_text FROM performance_schema.threads t "
                "JOIN performance_schema.events_statements_current s USING (thread_id) WHERE t.processlist_id = %s",
                [id],
            )
            if row := cursor.fetchone():
                return str(row[0] or "")
        return ""
