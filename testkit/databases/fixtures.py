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
from contextlib import ExitStack, contextmanager
from copy import copy
from types import FrameType
from typing import Any, NamedTuple

from django.core.management.commands import loaddata
from django.core.serializers.base import DeserializedObject
from django.db import DatabaseError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from testkit.databases.initial import forget_sites, has_listeners, replaced, through_tables
from testkit.databases.rows import CannotRestore, Snapshot, filled, has_rows_of, put, take
from testkit.databases.targets import name_of

_MOST_RECORDS = 3
"""So often is a set recorded that cannot be restored, since its tables were not empty for example."""
_HARMLESS = frozenset({"BEGIN", "COMMIT", "PRAGMA", "RELEASE", "ROLLBACK", "SAVEPOINT", "SET"})
_CONSTANT = frozenset({dict, list, set, tuple, str, int, float, bool, bytes})
"""Defaults that are the same each time although they are called."""
_CALLERS = frozenset({"django.core.management", "django.core.management.base"})
_STEPS = ("save_base", "_save_parents", "_save_table", "_do_insert", "_do_update")


class Bundle(NamedTuple):
    """What a set of fixtures has put into a database."""

    snapshot: Snapshot
    """The rows of tables that were empty."""
    objects: tuple[DeserializedObject, ...]
    """Those that went into tables with rows, such as that of sites; they may have taken a row's place."""
    models: frozenset[type[Model]]
    """Of which objects were loaded."""
    before: Snapshot
    """The rows of others that were looked at, by natural keys as a rule."""
    content_types: Mapping[tuple[str, ...], int]
    """Those that were asked for by natural key, which Django remembers, and their ids."""

    def restore(self, connection: BaseDatabaseWrapper) -> bool:
        """Put the rows into the database, and return False where loading them could do something else."""
        if has_listeners(self.models):
            return False
        try:
            with transaction.atomic(using=connection.alias):
                if not self._fits(connection):
                    return False
                if self.objects:
                    self._save_objects(connection)
                put(connection, self.snapshot)
                if self.objects:
                    connection.check_constraints(table_names={each.object._meta.db_table for each in self.objects})
                _reset_sequences(connection, self.models)
        except (CannotRestore, DatabaseError, ValueError):
            return False  # and what it is, loaddata says
        forget_sites(self.models)
        return True

    def _save_objects(self, connection: BaseDatabaseWrapper) -> None:
        with connection.constraint_checks_disabled():
            for each in self.objects:
                _copy_of(each).save(using=connection.alias)

    def _fits(self, connection: BaseDatabaseWrapper) -> bool:
        """Return whether the database is as it was before the fixtures were loaded, as far as that matters."""
        if filled(connection, (table.name for table in self.snapshot.tables)):
            return False
        if not has_rows_of(connection, self.before.tables):
            return False
        return all(_content_type(connection, key) == id for key, id in self.content_types.items())


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
            _close_as_loaddata(connection)
            return True
        if key is None or self._records[key] >= _MOST_RECORDS:
            return False
        self._records[key] += 1
        recorded = _record(labels, connection)
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


def _close_as_loaddata(connection: BaseDatabaseWrapper) -> None:
    if transaction.get_autocommit(connection.alias):
        connection.close()


def _reset_sequences(connection: BaseDatabaseWrapper, models: Iterable[type[Model]]) -> None:
    from django.core.management.color import no_style

    with connection.cursor() as cursor:
        for line in connection.ops.sequence_reset_sql(no_style(), list(models)):
            cursor.execute(line)


def _content_type(connection: BaseDatabaseWrapper, key: tuple[str, ...]) -> int | None:
    """Ask for a content type as the fixtures did: it is remembered afterwards, and costs no query if it was before."""
    from django.contrib.contenttypes.models import ContentType

    try:
        found: int = ContentType.objects.db_manager(connection.alias).get_by_natural_key(*key).pk
    except ContentType.DoesNotExist:
        return None
    return found


# The first time


def _record(labels: tuple[str, ...], connection: BaseDatabaseWrapper) -> Bundle | None:
    """Load ``labels`` by loaddata, and return what it did; None where that need not be the same the next time."""
    from django.core.management import call_command

    empty = _empty_tables(connection)
    watched = _Watched(connection.alias)
    command = _Command(watched)
    with watched.watching():
        call_command(command, *labels, verbosity=0, database=connection.alias)
    try:
        with transaction.atomic(using=connection.alias):
            return _bundle(connection, command, empty)
    except (CannotRestore, DatabaseError):
        return None
    finally:
        _close_as_loaddata(connection)


def _empty_tables(connection: BaseDatabaseWrapper) -> set[str]:
    """Return the models' tables that are there and have no row."""
    from django.apps import apps

    models = apps.get_models(include_auto_created=True)
    try:
        with transaction.atomic(using=connection.alias):
            there = {model._meta.db_table for model in models} & set(connection.introspection.table_names())
            return there - filled(connection, there)
    except DatabaseError:
        return set()


def _bundle(connection: BaseDatabaseWrapper, command: _Command, empty: set[str]) -> Bundle:
    watched, models = command.watched, frozenset(command.models)
    if watched.varies or not models:
        raise CannotRestore("the load need not be the same the next time")
    if has_listeners(models) or not all(map(_is_plain, models)):
        raise CannotRestore("somebody takes part in saving objects")
    saved_again = {model for model in models if model._meta.db_table not in empty}
    others = {model._meta.db_table for model in saved_again} | through_tables(saved_again).keys()
    relations = through_tables(models)
    tables = [table for table in {**watched.written, **relations} if table not in others]
    if not empty.issuperset(tables) or through_tables(models - saved_again).keys() & others:
        raise CannotRestore("something else than the loaded objects was written")
    snapshot = take(connection, tables, relations)
    _check_counts(snapshot, command.saved)
    objects = tuple(each for each in command.saved if type(each.object) in saved_again)
    if any(each.deferred_fields for each in objects):
        raise CannotRestore("natural keys are those of objects that come later")
    before = take(connection, watched.read.keys() - set(tables))
    return Bundle(snapshot, objects, models, before, dict(watched.content_types))


def _check_counts(snapshot: Snapshot, saved: Iterable[DeserializedObject]) -> None:
    """Check that the tables of the objects that were saved have a row for each, and no other."""
    expected: dict[str, set[str]] = {}
    for each in saved:
        expected.setdefault(each.object._meta.db_table, set()).add(repr(each.object.pk))
    for table in snapshot.tables:
        if table.name in expected and table.count_rows() != len(expected[table.name]):
            raise CannotRestore(f"{table.name} has other rows than those that were loaded")


def _copy_of(loaded: DeserializedObject) -> DeserializedObject:
    """Return a copy, as saving changes an object."""
    return DeserializedObject(copy(loaded.object), dict(loaded.m2m_data or {}), loaded.deferred_fields)


def _is_plain(model: type[Model]) -> bool:
    """Return whether objects of ``model`` are saved by Django's own means."""
    from django.db.models import Manager

    own_steps = all(getattr(model, name) is getattr(Model, name) for name in _STEPS)
    return own_steps and type(model._base_manager) is Manager


class _Watched:
    """What a load does: which tables it reads and writes, and whether it depends on more than files and rows."""

    def __init__(self, alias: str) -> None:
        from testkit.queries.fingerprint import tables_of  # here, as it has many rules, and few projects have fixtures

        self._tables_of = tables_of
        self._alias = alias
        self._checks = self.passes_over_reads = False
        self.written: dict[str, None] = {}
        self.read: dict[str, None] = {}
        self.content_types: dict[tuple[str, ...], int] = {}
        self.varies = False

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Mapping[str, Any]) -> Any:
        verb = sql.lstrip(" (\n").partition(" ")[0].upper()
        if self._checks:
            pass
        elif verb == "SELECT":
            if not self.passes_over_reads:
                self.read.update(dict.fromkeys(self._tables_of(sql)))
        elif verb in {"INSERT", "UPDATE"} and context["connection"].alias == self._alias:
            self.written.update(dict.fromkeys(self._tables_of(sql)))
        elif verb not in _HARMLESS:
            self.varies = True
        return execute(sql, params, many, context)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch, on all databases, what is done in this block."""
        from django.core.serializers import base

        connection = connections[self._alias]
        build, check = base.build_instance, connection.check_constraints

        def check_constraints(*args: Any, **kwargs: Any) -> None:
            self._checks = True  # which on MySQL looks at other tables, and at what tables there are
            check(*args, **kwargs)
            self._checks = False

        def build_instance(model: type[Model], data: dict[str, Any], db: str) -> Model:
            self.varies = self.varies or any(_takes_new_value(field, data) for field in _fields(model))
            return build(model, data, db)

        with ExitStack() as stack:
            for each in connections.all():
                stack.enter_context(each.execute_wrapper(self))
            stack.enter_context(replaced(connection, "check_constraints", check_constraints))
            stack.enter_context(replaced(base, "build_instance", build_instance))
            stack.enter_context(self._content_types_noted())
            yield

    @contextmanager
    def _content_types_noted(self) -> Iterator[None]:
        from django.apps import apps

        if not apps.is_installed("django.contrib.contenttypes"):
            yield
            return
        from django.contrib.contenttypes.models import ContentTypeManager

        get = ContentTypeManager.get_by_natural_key

        def get_by_natural_key(manager: Any, *key: str) -> Any:
            varies = self.varies or manager.db != self._alias
            self.varies = self.passes_over_reads = True  # varies, if there is none
            found = get(manager, *key)
            self.varies, self.passes_over_reads = varies, False
            self.content_types[key] = found.pk
            return found

        with replaced(ContentTypeManager, "get_by_natural_key", get_by_natural_key):
            yield


def _fields(model: type[Model]) -> Iterable[Any]:
    """Return the fields that are saved with an object: those of its parents are not, when it is loaded."""
    concrete = model._meta.concrete_model
    return concrete._meta.local_concrete_fields if concrete else ()


def _takes_new_value(field: Any, data: Mapping[str, Any]) -> bool:
    """Return whether ``field`` is left out of ``data`` and gets a value that may be another each time."""
    if field.name in data or field.attname in data:
        return False
    if field.has_default():
        return callable(field.default) and field.default not in _CONSTANT
    return hasattr(getattr(field, "db_default", None), "resolve_expression")


class _Command(loaddata.Command):
    """Django's ``loaddata``, which notes what it saves."""

    def __init__(self, watched: _Watched) -> None:
        super().__init__()
        self.watched = watched
        self.models: set[type[Model]] = set()
        self.saved: list[DeserializedObject] = []

    def save_obj(self, obj: Any) -> bool:
        self.watched.varies = self.watched.varies or obj.object.pk is None  # the database gives other numbers next time
        unsaved = _copy_of(obj)
        # It looks for the relations of the object, which has none yet.
        self.watched.passes_over_reads = True
        saved: bool = super().save_obj(obj)
        self.watched.passes_over_reads = False
        if saved:
            self.saved.append(unsaved)
        return saved

    def reset_sequences(self, *args: Any) -> None:
        self.watched.passes_over_reads = True
        super().reset_sequences(*args)


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
