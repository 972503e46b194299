"""Fixtures of test classes, loaded once and restored from the rows that they made.

Django loads ``fixtures = [...]`` object by object: for a TestCase once for the class, for TransactionTestCase and live
servers before every test. Here ``loaddata`` loads a set the first time, is watched, and the rows that it made are put
back from then on. Nothing is kept in the database from one test to another. Whenever it is not certain that the outcome
is the same, ``loaddata`` does it.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

from django.core.management.commands import loaddata
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from testkit.databases.fixtures_bundle import Bundle, close_as_loaddata
from testkit.databases.initial import replaced
from testkit.databases.targets import name_of

_MOST_RECORDS = 3
"""So often is a set recorded that cannot be restored, since its tables were not empty for example."""
_CALLERS = frozenset({"django.core.management", "django.core.management.base"})


class Bundles:
    """The sets of fixtures that were loaded in this process."""

    def __init__(self) -> None:
        self._bundles: dict[Hashable, Bundle] = {}
        self._records: Counter[Hashable] = Counter()

    def load(self, labels: tuple[str, ...], alias: str) -> bool:
        """Do what ``loaddata`` does with ``labels`` and the database of ``alias``; return False if that is left to it.

        Raises:
            Exception: what ``loaddata`` raises.
        """
        connection = connections[alias]
        key = _key_of(labels, connection)
        bundle = self._bundles.get(key)
        if bundle is not None and bundle.restore(connection):
            close_as_loaddata(connection)
            return True
        if key is None or self._records[key] >= _MOST_RECORDS:
            return False
        from testkit.databases.fixtures_record import record  # here, as few projects have fixtures

        self._records[key] += 1
        recorded = record(labels, connection)
        if recorded is not None:
            self._bundles[key] = recorded
        return True


def _key_of(labels: tuple[str, ...], connection: BaseDatabaseWrapper) -> Hashable:
    """Return what tells this load from others: the files, and what decides what they are taken for; None if unknown."""
    from django.apps import apps
    from django.utils import timezone, translation

    if loaddata.READ_STDIN in labels:
        return None
    try:
        files = [(path, *_state_of(path)) for path in _files_of(labels, connection.alias)]
    except Exception:  # a fixture is missing, for example: loaddata says it
        return None
    installed = tuple(app.name for app in apps.get_app_configs())
    meaning = installed, _overridden_settings(), timezone.get_current_timezone_name(), translation.get_language()
    return labels, connection.alias, name_of(connection), tuple(files), meaning


def _files_of(labels: Iterable[str], alias: str) -> list[str]:
    from django.core import serializers

    command: Any = loaddata.Command()
    command.using, command.app_label, command.verbosity = alias, None, 0
    command.serialization_formats = serializers.get_public_serializer_formats()
    # The method keeps each command that it was called for.
    find = getattr(loaddata.Command.find_fixtures, "__wrapped__", loaddata.Command.find_fixtures)
    return [path for label in labels for path, _, _ in find(command, label)]


def _state_of(path: str) -> tuple[int, int, int]:
    found = os.stat(path)
    return found.st_mtime_ns, found.st_size, found.st_ino


def _overridden_settings() -> tuple[Any, ...]:
    """Return the settings that ``override_settings`` has changed: time zones, fixture folders and serializers matter.

    Not that of live servers, which allow their own host.
    """
    from django.conf import UserSettingsHolder, settings

    found, holder = [], settings._wrapped
    while isinstance(holder, UserSettingsHolder):
        own = sorted(
            (name, value) for name, value in vars(holder).items() if name.isupper() and name != "ALLOWED_HOSTS"
        )
        found += [(name, repr(value)) for name, value in own]
        holder = holder.default_settings
    return tuple(found)


@contextmanager
def bundled_fixtures(worker: str, data: Mapping[str, Any]) -> Iterator[None]:
    """Load each set of fixtures of test classes once in this process, while the block lasts, and then restore its rows.

    Only what Django's test classes load themselves is concerned: not ``call_command`` in tests, nor a project's own
    ``loaddata``.

    Args:
        worker: the worker's name; it does not matter.
        data: nothing is needed.
    """
    bundles, load = Bundles(), loaddata.Command.handle

    def handle(command: loaddata.Command, *labels: str, **options: Any) -> None:
        if not _is_called_by_test_class(sys._getframe(1)) or not bundles.load(labels, options["database"]):
            load(command, *labels, **options)

    with replaced(loaddata.Command, "handle", handle):
        yield


def _is_called_by_test_class(frame: FrameType | None) -> bool:
    """Return whether nothing but Django's own ``call_command`` is between a command and a test class."""
    while frame is not None and frame.f_globals.get("__name__") in _CALLERS:
        frame = frame.f_back
    return frame is not None and frame.f_globals.get("__name__") == "django.test.testcases"
