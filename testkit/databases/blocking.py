"""Blocks connections to databases that are no test databases, in all threads.

Django keeps its own test cases from databases that they did not ask for. A plain ``unittest.TestCase`` asks for none,
so that Django sets none up, and what it does with the ORM is done to the real database. So does a thread that outlives
the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from enum import Enum
from functools import wraps
from inspect import ismethod
from typing import NamedTuple

from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.backends.base.base import NO_DB_ALIAS, BaseDatabaseWrapper

from testkit.databases.targets import (
    Target,
    connected_name,
    family_of,
    is_in_memory,
    name_of,
    real_one,
    shown,
    target_of,
)

Connect = Callable[[BaseDatabaseWrapper], None]


class RealDatabaseBlocked(AssertionError):
    """Something would have opened a real database. An AssertionError, as what Django raises to block a connection is."""


class Phase(Enum):
    """What a run is at, as far as databases are concerned."""

    SET_UP = "databases are made or dropped"
    TESTS = "tests run"
    OVER = "the databases are dropped"


class Rule(NamedTuple):
    """What may be connected to: the ``provided`` aliases of those ``configured``, at no ``real`` database."""

    phase: Phase
    provided: frozenset[str]
    configured: frozenset[str]
    real: tuple[Target, ...]


# A block is for the whole process, as is what it keeps from harm.
_rule: Rule | None = None
_patched: dict[type[BaseDatabaseWrapper], Connect] = {}


def block_connections(phase: Phase, provided: Iterable[str], real: Iterable[Target]) -> None:
    """Let connections be opened to test databases only, from now on; it takes the place of what was blocked before.

    Blocked are the aliases of ``DATABASES`` that are not ``provided``, a provided one as long as it has the name of a
    real database, and those made by hand for a real database. SQLite in memory is never blocked: nothing can be lost.
    Where Django blocks a test's connections itself, its own message is seen.

    During set-up and tear-down, Django's administrative connections pass, and every other one that is opened is asked
    for its database's name, since a pool or a proxy need not do what the settings say.

    Args:
        phase: what the run is at.
        provided: the aliases that have, or will have, a test database.
        real: what the settings pointed at before set-up.

    Raises:
        RealDatabaseBlocked: later, in whatever connects.
    """
    set_rule(Rule(phase, frozenset(provided), frozenset(connections), tuple(real)))


def present_rule() -> Rule | None:
    """Return what is blocked at present, for :func:`set_rule`; None when nothing is."""
    return _rule


def set_rule(rule: Rule | None) -> None:
    """Block from now on what ``rule`` says, or nothing any more."""
    global _rule
    _rule = rule
    _forget_bound_methods()
    if rule is None:
        while _patched:
            cls, connect = _patched.popitem()
            setattr(cls, "connect", connect)  # noqa: B010 (mypy: a method is not assigned to)
        return
    for cls in _classes_that_connect() - _patched.keys():
        _patched[cls] = cls.connect
        setattr(cls, "connect", _guarded(cls.connect))  # noqa: B010
    for connection in connections.all(initialized_only=True):
        # What a module opened when it was imported: to connect is all that can be blocked.
        if connection.connection is not None and _reason(connection, rule):
            connection.close()


def close_connections() -> None:
    """Close what this thread has opened, and what pools keep open for all threads."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()
    for connection in connections.all():
        _close_pool(connection)


def _close_pool(connection: BaseDatabaseWrapper) -> None:
    close_pool = getattr(connection, "close_pool", None)  # PostgreSQL's and Oracle's, from Django 5.1 and 5.2 on
    if close_pool:
        # By a pool that cannot be made for want of a package, nothing was opened.
        with suppress(ImproperlyConfigured):
            close_pool()


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


def _guarded(connect: Connect) -> Connect:
    @wraps(connect)
    def guarded(connection: BaseDatabaseWrapper) -> None:
        rule = _rule
        # No rule is left when it was lifted while a thread was on its way here.
        reason = _reason(connection, rule) if rule else ""
        if reason:
            raise RealDatabaseBlocked(reason)
        connect(connection)
        reason = _reason_of_server(connection, rule) if rule else ""
        if reason:
            connection.close()
            _close_pool(connection)
            raise RealDatabaseBlocked(reason)

    return guarded


def _reason(connection: BaseDatabaseWrapper, rule: Rule) -> str:
    """Return why the settings of ``connection`` do not allow it, or nothing."""
    family, name = family_of(connection), name_of(connection)
    if family == "dummy" or (family == "sqlite3" and is_in_memory(name)):
        return ""
    if rule.phase is Phase.SET_UP and _is_administrative(connection, rule):
        return ""
    target = target_of(connection)
    refused = f"The connection to {target.describe()} is blocked:"
    remedy = (
        "A test that needs the database derives from django.test.TestCase (or TransactionTestCase) with "
        f'`databases = {{"{connection.alias}"}}`.'
    )
    if rule.phase is Phase.OVER and (connection.alias in rule.configured or real_one(target, name, rule.real)):
        return f"{refused} the tests are over. End threads in the tests that start them, and use no database at exit."
    if connection.alias in rule.configured - rule.provided:
        return f"{refused} no test asked for it, so it has no test database. {remedy}"
    if real_one(target, name, rule.real):
        return f"{refused} this is a real database. {remedy}"
    return ""


def _is_administrative(connection: BaseDatabaseWrapper, rule: Rule) -> bool:
    """Return whether a connection is set-up's own, by which it asks a server for another database.

    It has no database, or a copy of a provided alias's settings: for lack of a database "postgres", or as another user.
    """
    alias = connection.alias
    return alias == NO_DB_ALIAS or (
        alias in rule.provided and connection.settings_dict is not connections.settings[alias]
    )


def _reason_of_server(connection: BaseDatabaseWrapper, rule: Rule) -> str:
    """Return why set-up must not go on with the database that is connected, as its server names it, or nothing."""
    if rule.phase is not Phase.SET_UP or _is_administrative(connection, rule):
        return ""
    target, name = target_of(connection), connected_name(connection)
    if name is None or not real_one(target, name, rule.real):
        return ""
    return (
        f"The connection to {target.describe()} is blocked: its server says that the connected database is "
        f"{shown(name, target.family)}, a real one. A pool or a proxy may have kept it."
    )
