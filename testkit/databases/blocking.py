"""Blocks connections to databases that are no test databases, in all threads.

Django keeps its own test cases from databases that they did not ask for. A plain ``unittest.TestCase`` asks for none,
so that Django sets none up, and what it does with the ORM is done to the real database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from inspect import ismethod

from django.db import connections
from django.db.backends.base.base import NO_DB_ALIAS, BaseDatabaseWrapper

from testkit.databases.targets import Target, family_of, is_in_memory, name_of, real_one, target_of

Connect = Callable[[BaseDatabaseWrapper], None]


class RealDatabaseBlocked(AssertionError):
    """A test would have opened a real database. An AssertionError, as what Django raises to block a connection is."""


@contextmanager
def blocking_connections(provided: frozenset[str], real: tuple[Target, ...]) -> Iterator[None]:
    """Let connections be opened to test databases only, within the block.

    Blocked are the aliases of ``DATABASES`` that are not ``provided``, a provided one as long as it has the name of a
    real database, and those made by a test for a real database. SQLite in memory is never blocked: nothing can be
    lost. Where Django blocks a test's connections itself, its own message is seen.

    It may be entered before the databases are set up, whose administrative connections it lets through.

    Args:
        provided: the aliases that have, or will have, a test database.
        real: what the settings pointed at before set-up.

    Raises:
        RealDatabaseBlocked: in the test that connects.
    """
    configured = frozenset(connections)

    def refuse(connection: BaseDatabaseWrapper) -> None:
        reason = _reason(connection, configured, provided, real)
        if reason:
            raise RealDatabaseBlocked(_message(connection, reason))

    for connection in connections.all(initialized_only=True):
        # What a module opened when it was imported: to connect is all that can be blocked.
        if connection.connection is not None and _reason(connection, configured, provided, real):
            connection.close()
    with ExitStack() as undo:
        _forget_bound_methods()
        undo.callback(_forget_bound_methods)
        for cls in _classes_that_connect():
            undo.callback(setattr, cls, "connect", cls.connect)
            setattr(cls, "connect", _guarded(cls.connect, refuse))  # noqa: B010 (mypy: a method is not assigned to)
        yield


def _forget_bound_methods() -> None:
    """Remove the ``connect`` that Django leaves on connections, so that the class's is looked up again.

    Where it has blocked a connection, it puts back what it found as the object's own attribute
    (``SimpleTestCase._remove_databases_failures``): a block that began later would be passed by, one that ended stay.
    """
    for connection in connections.all(initialized_only=True):
        if ismethod(vars(connection).get("connect")):
            del vars(connection)["connect"]


def _classes_that_connect() -> set[type[BaseDatabaseWrapper]]:
    """Return the classes with a ``connect`` of their own among those of the configured databases."""
    lines = [type(connection).__mro__ for connection in connections.all()]
    return {BaseDatabaseWrapper, *(cls for line in lines for cls in line if "connect" in vars(cls))}


def _guarded(connect: Connect, refuse: Connect) -> Connect:
    @wraps(connect)
    def guarded(connection: BaseDatabaseWrapper) -> None:
        refuse(connection)
        connect(connection)

    return guarded


def _reason(
    connection: BaseDatabaseWrapper, configured: frozenset[str], provided: frozenset[str], real: tuple[Target, ...]
) -> str:
    family, name = family_of(connection), name_of(connection)
    if connection.alias == NO_DB_ALIAS or family == "dummy" or (family == "sqlite3" and is_in_memory(name)):
        return ""
    if connection.alias in configured - provided:
        return "no test asked for it, so it has no test database"
    # A copy of a provided alias's settings is set-up's own, for lack of a database "postgres" or as another user.
    is_own_copy = (
        connection.alias in provided and connection.settings_dict is not connections.settings[connection.alias]
    )
    if not is_own_copy and real_one(target_of(connection), name, real):
        return "this is a real database"
    return ""


def _message(connection: BaseDatabaseWrapper, reason: str) -> str:
    alias = connection.alias
    return (
        f"The connection to {target_of(connection).describe()} is blocked: {reason}. A test that needs the database "
        f'derives from django.test.TestCase (or TransactionTestCase) with `databases = {{"{alias}"}}`.'
    )
