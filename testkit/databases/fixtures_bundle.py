"""What a set of fixtures has put into a database, and putting it there again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from typing import NamedTuple

from django.core.serializers.base import DeserializedObject
from django.db import DatabaseError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from testkit.databases.initial import forget_sites, has_listeners
from testkit.databases.rows import CannotRestore, Snapshot, filled, has_rows_of, put


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
                copy_of(each).save(using=connection.alias)

    def _fits(self, connection: BaseDatabaseWrapper) -> bool:
        """Return whether the database is as it was before the fixtures were loaded, as far as that matters."""
        if filled(connection, (table.name for table in self.snapshot.tables)):
            return False
        if not has_rows_of(connection, self.before.tables):
            return False
        return all(_content_type(connection, key) == id for key, id in self.content_types.items())


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


def close_as_loaddata(connection: BaseDatabaseWrapper) -> None:
    """Close the connection, as ``loaddata`` does outside of transactions."""
    if transaction.get_autocommit(connection.alias):
        connection.close()


def copy_of(loaded: DeserializedObject) -> DeserializedObject:
    """Return a copy, as saving changes an object."""
    return DeserializedObject(copy(loaded.object), dict(loaded.m2m_data or {}), loaded.deferred_fields)
