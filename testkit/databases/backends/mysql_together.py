"""Running many statements of one kind on a MySQL or MariaDB server, several at a time and without threads.

Each statement that makes a table waits for the disk, and each for itself: on a busy disk four sessions are two to four
times as fast as one. The driver can send a statement and fetch its result later.
"""

from __future__ import annotations

import selectors
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from typing import Any

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

_SESSIONS = 4
_FEWEST = 8  # for fewer, sessions are not worth opening


def run_together(
    open_session: Callable[[], BaseDatabaseWrapper], database: str, statements: Sequence[str]
) -> list[str]:
    """Run statements in sessions that are at ``database``, in any order.

    Args:
        open_session: opens one more session.
        database: the quoted name.
        statements: that give no rows and do not wait for each other.

    Returns:
        those that were not run: all when they are few or the driver cannot; else what the server has refused, maybe
        since two were in each other's way.
    """
    if len(statements) < _FEWEST:
        return list(statements)
    with ExitStack() as opened:
        drivers: list[Any] = []
        with suppress(DatabaseError):  # as many as the server allows
            while len(drivers) < _SESSIONS:
                session = open_session()
                opened.callback(session.close)
                with session.cursor() as cursor:
                    cursor.execute(f"USE {database}")
                drivers.append(session.connection)
        if not all(hasattr(driver, "send_query") for driver in drivers):
            drivers.clear()
        return _run(drivers, statements) if drivers else list(statements)


def _run(drivers: Iterable[Any], statements: Iterable[str]) -> list[str]:
    waiting, idle = deque(statements), list(drivers)
    refused: list[str] = []
    with selectors.DefaultSelector() as busy:
        while waiting or busy.get_map():
            while waiting and idle:
                driver = idle.pop()
                statement = waiting.popleft()
                driver.send_query(statement.encode())
                busy.register(driver.fileno(), selectors.EVENT_READ, (driver, statement))
            for key, _ in busy.select():
                driver, statement = key.data
                busy.unregister(key.fd)
                idle.append(driver)
                try:
                    driver.read_query_result()
                    driver.store_result()
                except driver.Error:
                    refused.append(statement)
    return refused
