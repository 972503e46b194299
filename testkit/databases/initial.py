"""Initial data, what migrations put in, restored from rows for tests with ``serialized_rollback = True``.

Django keeps a fresh database as JSON (``connection._test_serialized_contents``), written once, and loads it object by
object before every such test. Here its rows are kept; the JSON is made of them only where somebody reads it, or where
loading objects does more than to write rows, so that it has to be done.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

from django.db import DatabaseError, IntegrityError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from testkit.databases.rows import CannotRestore, Snapshot, filled, has_rows_of, put, take

_ATTRIBUTE = "_test_serialized_contents"
_PASS_ON = ("django.test.testcases", "testkit.databases.")
"""Modules that look whether there are contents and hand them on, but do not read them."""
_Models = Iterable[type[Model]]


class Contents:
    """The rows of a fresh database, in the place of the JSON that Django would keep. Can be pickled."""

    def __init__(self, snapshot: Snapshot, models: Iterable[str]) -> None:
        """Keep ``snapshot``, of the tables of ``models`` (labels)."""
        self._snapshot = snapshot
        self._models = tuple(models)
        self._text = ""

    @classmethod
    def of(cls, connection: BaseDatabaseWrapper) -> Contents | None:
        """Return the contents of a fresh database; None where Django's JSON has not just what the tables have."""
        models = _serialized_models(connection)
        try:
            if not all(_has_all_rows(connection, model) for model in models):
                return None
            relations = through_tables(models)
            tables = dict.fromkeys([*(model._meta.db_table for model in models), *relations])
            snapshot = take(connection, tables, relations)
        except (CannotRestore, DatabaseError):
            return None
        return cls(snapshot, (model._meta.label for model in models))

    def restore(self, connection: BaseDatabaseWrapper, load: Callable[[str], None]) -> None:
        """Put the rows into a database that was flushed.

        Tables that still have them are left alone. Into a database with other rows in these tables (``flush`` makes
        content types and permissions again, with other numbers) they are loaded as Django loads them; where that fails,
        which is what Django leaves it at, they take the place of the others.

        Args:
            connection: the database's.
            load: Django's own way, which takes JSON.
        """
        tables = self._snapshot.filled()
        if not self._is_by_rows(tables):
            load(self.text(connection))
            return
        there = filled(connection, (table.name for table in tables))
        if there and not has_rows_of(connection, [table for table in tables if table.name in there]):
            try:
                load(self.text(connection))
            except IntegrityError:
                put(connection, self._snapshot, replace=True)
                _forget_content_types()
            return
        missing = Snapshot(self._snapshot.family, tuple(table for table in tables if table.name not in there))
        try:
            put(connection, missing)
        except (CannotRestore, DatabaseError, ValueError):
            load(self.text(connection))

    def _is_by_rows(self, tables: Iterable[Any]) -> bool:
        from django.apps import apps

        names = {table.name for table in tables}
        models = [apps.get_model(label) for label in self._models]
        loaded = [model for model in models if model._meta.db_table in names]
        if has_listeners(loaded):
            return False
        forget_sites(loaded)
        return True

    def text(self, connection: BaseDatabaseWrapper) -> str:
        """Return the JSON that Django would have kept: the rows are put back for it, in a transaction that is undone."""
        if not self._text:
            with transaction.atomic(using=connection.alias):
                put(connection, self._snapshot, replace=True)
                self._text = _own_json(connection.creation)
                transaction.set_rollback(True, using=connection.alias)
        return self._text


def _serialized_models(connection: BaseDatabaseWrapper) -> list[type[Model]]:
    """Return the models that ``serialize_db_to_string`` serializes."""
    from django.apps import apps
    from django.conf import settings
    from django.db import router
    from django.db.migrations.loader import MigrationLoader

    loader = MigrationLoader(connection, load=False)
    loader.load_disk()
    return [
        model
        for app in apps.get_app_configs()
        if app.models_module is not None
        and app.label in loader.migrated_apps
        and app.name not in settings.TEST_NON_SERIALIZED_APPS
        for model in app.get_models()
        if model._meta.can_migrate(connection) and router.allow_migrate_model(connection.alias, model)
    ]


def _has_all_rows(connection: BaseDatabaseWrapper, model: type[Model]) -> bool:
    """Return whether Django's JSON has all that the tables of ``model`` have: no manager and no field leaves any out."""
    relations: Iterable[Any] = model._meta.local_many_to_many
    fields: Iterable[Any] = model._meta.local_concrete_fields
    if not all(field.serialize or field.primary_key or getattr(field, "generated", False) for field in fields):
        return False
    others = [relation.remote_field.model for relation in relations]
    managers = [(model, model._base_manager), *((other, other._default_manager) for other in others)]
    return all(relation.serialize for relation in relations) and all(_shows_all(connection, *each) for each in managers)


def _shows_all(connection: BaseDatabaseWrapper, model: type[Model], manager: Any) -> bool:
    from django.db.models import Manager, QuerySet

    if type(manager).get_queryset is Manager.get_queryset and manager._queryset_class is QuerySet:
        return True
    alias = connection.alias
    return bool(manager.using(alias).count() == QuerySet(model, using=alias).count())


def through_tables(models: _Models) -> dict[str, str]:
    """Return the tables that Django makes for many-to-many relations of ``models``, with the column of their number."""
    relations: Iterable[Any] = (relation for model in models for relation in model._meta.many_to_many)
    through = (relation.remote_field.through._meta for relation in relations)
    return {meta.db_table: meta.pk.column for meta in through if meta.auto_created and meta.managed}


def has_listeners(models: _Models) -> bool:
    """Return whether somebody hears of objects that are loaded, and could do anything then."""
    from django.db.models import signals

    sent = [signals.pre_init, signals.post_init, signals.pre_save, signals.post_save]
    for model in models:
        if any(_listeners(signal, model) for signal in sent):
            return True
        through = (relation.remote_field.through for relation in model._meta.many_to_many)
        if any(signals.m2m_changed.has_listeners(each) for each in through):
            return True
    return False


def _listeners(signal: Any, model: type[Model]) -> list[Any]:
    if not signal.has_listeners(model):
        return []
    found = [receiver for receivers in signal._live_receivers(model) for receiver in receivers]
    if model._meta.label == "sites.Site":
        from django.contrib.sites.models import clear_site_cache

        return [receiver for receiver in found if receiver is not clear_site_cache]  # see `forget_sites`
    return found


def forget_sites(models: _Models) -> None:
    """Forget the sites that Django remembers, as its own listener does when one is loaded."""
    for model in models:
        if model._meta.label == "sites.Site":
            manager: Any = model._default_manager
            manager.clear_cache()


def _forget_content_types() -> None:
    from django.apps import apps

    if apps.is_installed("django.contrib.contenttypes"):
        apps.get_model("contenttypes.ContentType").objects.clear_cache()


class _Attribute:
    """What ``connection._test_serialized_contents`` is: text for who reads it, the rows for who hands them on."""

    def __get__(self, connection: Any, owner: object = None) -> Any:
        if connection is None:
            return self
        try:
            found = vars(connection)[_ATTRIBUTE]
        except KeyError:
            raise AttributeError(f"{type(connection).__name__!r} object has no attribute {_ATTRIBUTE!r}") from None
        if not isinstance(found, Contents) or (_is_taken_back(connection) and _passes_on(sys._getframe(1))):
            return found
        return found.text(connection)

    def __set__(self, connection: Any, value: object) -> None:
        vars(connection)[_ATTRIBUTE] = value

    def __delete__(self, connection: Any) -> None:
        if vars(connection).pop(_ATTRIBUTE, None) is None:
            raise AttributeError(_ATTRIBUTE)


def _passes_on(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).startswith(_PASS_ON)


def _is_taken_back(connection: BaseDatabaseWrapper) -> bool:
    """Return whether the backend loads contents by the method that is replaced here, and not by one of its own."""
    from django.db.backends.base.creation import BaseDatabaseCreation

    own = type(connection.creation).deserialize_db_from_string
    return own is BaseDatabaseCreation.deserialize_db_from_string


def _own_json(creation: Any) -> str:
    from django.db.backends.base.creation import BaseDatabaseCreation

    text: str = BaseDatabaseCreation.serialize_db_to_string(creation)
    return text


@contextmanager
def restored_initial_data(worker: str, data: Mapping[str, Any]) -> Iterator[None]:
    """Keep and restore the initial data of test databases as rows, while the block lasts.

    In the process that makes the databases, the block has to begin before ``setup_databases``, and to end after
    ``teardown_databases``. In a worker it begins when its databases are there: a forked one knows the rows already, one
    that is not is given what the attribute ``_test_serialized_contents`` has (in ``testkit.databases``, this is not
    text), which can be pickled.

    Args:
        worker: the worker's name; it does not matter.
        data: nothing is needed.
    """
    from django.db.backends.base.creation import BaseDatabaseCreation
    from django.test.utils import setup_databases

    serialize = BaseDatabaseCreation.serialize_db_to_string
    deserialize = BaseDatabaseCreation.deserialize_db_from_string

    def serialize_db_to_string(creation: Any) -> Any:
        # Who else asks for it wants text, and of the database as it is then.
        if sys._getframe(1).f_code is setup_databases.__code__ and _is_taken_back(creation.connection):
            contents = Contents.of(creation.connection)
            if contents is not None:
                return contents
        return serialize(creation)

    def deserialize_db_from_string(creation: Any, data: Any) -> None:
        if isinstance(data, Contents):
            data.restore(creation.connection, lambda text: deserialize(creation, text))
        else:
            deserialize(creation, data)

    try:
        with (
            replaced(BaseDatabaseCreation, "serialize_db_to_string", serialize_db_to_string),
            replaced(BaseDatabaseCreation, "deserialize_db_from_string", deserialize_db_from_string),
            replaced(BaseDatabaseWrapper, _ATTRIBUTE, _Attribute()),
        ):
            yield
    finally:
        if _ATTRIBUTE not in vars(BaseDatabaseWrapper):
            _remove_contents()


def _remove_contents() -> None:
    """Remove what nobody else could read."""
    for connection in connections.all(initialized_only=True):
        if isinstance(vars(connection).get(_ATTRIBUTE), Contents):
            del vars(connection)[_ATTRIBUTE]


@contextmanager
def replaced(owner: Any, name: str, value: object) -> Iterator[None]:
    found = vars(owner).get(name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if found is None:
            delattr(owner, name)
        else:
            setattr(owner, name, found)
