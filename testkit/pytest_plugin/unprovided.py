"""Django's test cases without pytest-django: nobody makes a test database for them, and they would use the real one."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import pytest


def refuse_real_databases(items: Iterable[pytest.Item]) -> None:
    """Refuse to run test cases that use a database which does not look as if it were made for tests.

    A ``TransactionTestCase`` empties all tables of whatever database the settings name.

    Raises:
        pytest.UsageError: there are such.
    """
    if "django.test.testcases" not in sys.modules:
        return
    from django.db import connections
    from django.test import TransactionTestCase

    classes = {getattr(item, "cls", None) for item in items}
    cases = {cls for cls in classes if isinstance(cls, type) and issubclass(cls, TransactionTestCase)}
    for alias in sorted({alias for case in cases for alias in _aliases_of(case, connections)}):
        if not _is_for_tests(connections[alias]):
            raise pytest.UsageError(
                f"testkit: {len(cases)} classes of tests, {min(map(repr, cases))} among them, would run on the database "
                f'"{alias}" as the settings have it, which is not one for tests: install pytest-django, which makes one '
                "(or give -p no:testkit, if this is what you want)"
            )


def _aliases_of(case: Any, connections: Iterable[str]) -> set[str]:
    return set(connections) if case.databases == "__all__" else set(case.databases)


def _is_for_tests(connection: Any) -> bool:
    from testkit.databases.targets import family_of, is_in_memory, name_of

    family, name = family_of(connection), name_of(connection)
    if family == "dummy" or (family == "sqlite3" and is_in_memory(name)):
        return True
    last = str(name).replace("\\", "/").rpartition("/")[2]
    return name == connection.settings_dict["TEST"]["NAME"] or last.startswith("test_")
