"""Loading fixtures by ``loaddata`` the first time, and what it did, where that is certain to be the same again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from django.core.management.commands import loaddata
from django.core.serializers.base import DeserializedObject
from django.db import DatabaseError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from testkit.databases.fixtures_bundle import Bundle, close_as_loaddata, copy_of
from testkit.databases.initial import has_listeners, replaced, through_tables
from testkit.databases.rows import CannotRestore, Snapshot, filled, take
from testkit.queries.fingerprint import tables_of

_HARMLESS = frozenset({"BEGIN", "COMMIT", "PRAGMA", "RELEASE", "ROLLBACK", "SAVEPOINT", "SET"})
_CONSTANT = frozenset({dict, list, set, tuple, str, int, float, bool, bytes})
"""Defaults that are the same each time although they are called."""
_STEPS = ("save_base", "_save_parents", "_save_table", "_do_insert", "_do_update")


def record(labels: tuple[str, ...], connection: BaseDatabaseWrapper) -> Bundle | None:
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
        close_as_loaddata(connection)


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


def _is_plain(model: type[Model]) -> bool:
    """Return whether objects of ``model`` are saved by Django's own means."""
    from django.db.models import Manager

    own_steps = all(getattr(model, name) is getattr(Model, name) for name in _STEPS)
    return own_steps and type(model._base_manager) is Manager


class _Watched:
    """What a load does: which tables it reads and writes, and whether it depends on more than files and rows."""

    def __init__(self, alias: str) -> None:
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
                self.read.update(dict.fromkeys(tables_of(sql)))
        elif verb in {"INSERT", "UPDATE"} and context["connection"].alias == self._alias:
            self.written.update(dict.fromkeys(tables_of(sql)))
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
        unsaved = copy_of(obj)
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
