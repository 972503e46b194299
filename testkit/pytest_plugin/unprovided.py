"""Django's test cases without pytest-django: nobody makes a test database for them, and they would use the real one."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import pytest


def why_refused(items: Iterable[pytest.Item]) -> str:
    """Return why ``items`` must not run, empty if they may: a test case uses a database that is not surely one for tests.

    A ``TransactionTestCase`` empties all tables of whatever database the settings name.
    """
    if not sys.modules["django.conf"].settings.configured:
        return ""
    from django.db import connections
    from django.test import TransactionTestCase

    classes = {getattr(item, "cls", None) for item in items}
    cases = {cls for cls in classes if isinstance(cls, type) and issubclass(cls, TransactionTestCase)}
    aliases = sorted({alias for case in cases for alias in _aliases_of(case, connections)})
    for alias in aliases:
        if not _is_for_tests(connections[alias]):
            return (
                f"testkit: {len(cases)} classes of tests, {min(map(repr, cases))} among them, would run on the database "
                f'"{alias}" as the settings have it, which is not one for tests: install pytest-django, which makes one '
                "(or give -p no:testkit, if this is what you want)"
            )
    return _why_hosts_are_refused(aliases) if aliases else ""


def _why_hosts_are_refused(aliases: Iterable[str]) -> str:
    """Return why databases with names as for tests are refused all the same: their host is not local."""
    from testkit.databases.guard import ProductionDatabaseError, refuse_production

    try:
        refuse_production(aliases)
    except ProductionDatabaseError as error:
        return f"testkit: {error}"
    return ""


def _aliases_of(case: Any, connections: Iterable[str]) -> set[str]:
    return set(connections) if case.databases == "__all__" else set(case.databases)


def _is_for_tests(connection: Any) -> bool:
    from testkit.databases.targets import family_of, is_in_memory, name_of

    family, name = family_of(connection), name_of(connection)
    if family == "dummy" or (family == "sqlite3" and is_in_memory(name)):
        return True
    last = str(name).replace("\\", "/").rpartition("/")[2]
    return name == connection.settings_dict["TEST"]["NAME"] or last.startswith("test_")
