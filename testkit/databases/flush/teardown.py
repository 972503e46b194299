"""Puts the selective flush in the place of Django's, test by test, and decides when Django's has to do it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from importlib import import_module
from typing import Any

from django.apps import apps
from django.core import management
from django.core.management import CommandError
from django.db import Error, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import TransactionTestCase, testcases
from django.utils.module_loading import import_string

from testkit.core.errors import OptionError
from testkit.databases.flush.blocked import refusal
from testkit.databases.flush.emission import conditions_of, emit, sequences_of_sites
from testkit.databases.flush.emptying import Emptier, Unsure, emptier_of
from testkit.databases.flush.left import Left, remember
from testkit.databases.options import FLUSH_TIMEOUT


@contextmanager
def selective(worker: str, data: Mapping[str, Any]) -> Iterator[None]:
    """Empty after a ``TransactionTestCase`` what was written only, while the block lasts, in this process.

    Nothing is changed where a project has replaced ``TransactionTestCase._fixture_teardown`` itself.

    Args:
        worker: the worker's number, which does not matter here.
        data: ``lock_timeout``, the seconds for which a flush waits for locks of other sessions (0: as long as the server
            lets it); and ``row_receivers``, dotted paths of receivers of ``post_migrate`` that do nothing but write rows,
            the same ones each time: they need not be called as long as those are there.

    Raises:
        OptionError: a receiver cannot be imported.
        FlushBlocked: in the tear-down of a test; another session holds locks for longer than that.
    """
    trusted = frozenset(map(_found, data.get("row_receivers", ())))
    name = "_fixture_teardown"
    replaced: Any = vars(TransactionTestCase)[name]
    if getattr(replaced, "__module__", "") != testcases.__name__:
        yield
        return
    flushes = _Flushes(replaced, float(data.get("lock_timeout", FLUSH_TIMEOUT)), trusted)

    def _fixture_teardown(test: TransactionTestCase) -> None:
        flushes.tear_down(test)

    setattr(TransactionTestCase, name, _fixture_teardown)
    try:
        yield
    finally:
        if vars(TransactionTestCase)[name] is _fixture_teardown:
            setattr(TransactionTestCase, name, replaced)


def _found(path: str) -> str:
    try:
        import_string(path)
    except ImportError as error:
        raise OptionError(f'TESTKIT["ROW_RECEIVERS"] has {path!r}: {error}') from error
    return path


class _Flushes:
    """The flushes of one process, each of which knows what the one before it has left."""

    def __init__(self, stock: Callable[[Any], None], lock_timeout: float, trusted: frozenset[str]) -> None:
        self._stock = stock
        self._lock_timeout = lock_timeout
        self._trusted = trusted
        self._left: dict[str, Left] = {}
        self._imported: set[str] = set()

    def tear_down(self, test: Any) -> None:
        """Do what ``TransactionTestCase._fixture_teardown`` does."""
        if testcases.call_command is not management.call_command:  # type: ignore[attr-defined]
            self._stock(test)  # tests of tests replace the command
            return
        for alias in test._databases_names(include_mirrors=False):
            connection = connections[alias]
            restores = test.serialized_rollback and hasattr(connection, "_test_serialized_contents")
            self._flush(
                connection,
                test.id(),
                cascade=test.available_apps is not None,
                emits=test.available_apps is None and not restores,
                # Content types that are written after sequences were reset have low ids, which the next reset meets.
                keeps=not test.reset_sequences,
            )

    def _flush(self, connection: BaseDatabaseWrapper, test: str, *, cascade: bool, emits: bool, keeps: bool) -> None:
        emptier = _emptier_for(connection)
        try:
            with emptier.bounded(self._lock_timeout) if emptier else nullcontext():
                if emptier is None or not self._empty(emptier, cascade=cascade, emits=emits, keeps=keeps):
                    self._left.pop(connection.alias, None)
                    _flush_as_django(connection.alias, cascade=cascade, emits=emits)
        except (Error, CommandError) as error:
            if emptier is None or not emptier.is_lock(error):
                raise
            seconds = self._lock_timeout if connection.vendor != "sqlite" else 0
            raise refusal(connection, test, emptier.blockers(), seconds) from error

    def _empty(self, emptier: Emptier, *, cascade: bool, emits: bool, keeps: bool) -> bool:
        """Do what Django's flush command does, and return whether that was possible: if not, nothing was done."""
        self._import_management()
        connection, alias = emptier.connection, emptier.connection.alias
        conditions = conditions_of(alias, self._trusted) if emits and keeps else None
        try:
            tables = emptier.tables(cascade)
            with transaction.atomic(using=alias), connection.cursor() as cursor:
                found = emptier.look(cursor, tables, cascade)
                left = self._left.get(alias) if emits else None
                if left and not left.unchanged(emptier, cursor, found, conditions):
                    left = None
                emptier.empty(cursor, found.written.difference(left.rows if left else ()))
                for statement in sequences_of_sites(connection) if left else ():
                    cursor.execute(statement)
        except Unsure:
            return False
        except Error as error:
            if emptier.is_lock(error):
                raise
            return False
        if left:
            left.caches.restore()
        elif emits and found.tables:
            self._emit(emptier, conditions)
        return True

    def _emit(self, emptier: Emptier, conditions: tuple[object, ...] | None) -> None:
        alias = emptier.connection.alias
        self._left.pop(alias, None)
        caches = emit(alias)
        if conditions is None:
            return
        try:
            tables = emptier.tables(cascade=False)
            with transaction.atomic(using=alias), emptier.connection.cursor() as cursor:
                left = remember(emptier, cursor, emptier.look(cursor, tables, False), conditions, caches)
        except (Error, Unsure):  # then it is sent again after the next test
            return
        if left:
            self._left[alias] = left

    def _import_management(self) -> None:
        """Import what may connect receivers of ``post_migrate``, as Django's command does each time."""
        for config in apps.get_app_configs():
            if config.name not in self._imported:
                self._imported.add(config.name)
                with suppress(ImportError):
                    import_module(".management", config.name)


def _emptier_for(connection: BaseDatabaseWrapper) -> Emptier | None:
    """Return what empties the database of ``connection``, or None where that is left to Django from the start."""
    if management.get_commands().get("flush") != "django.core":  # the project has a command of its own
        return None
    try:
        is_idle = not connection.in_atomic_block and connection.get_autocommit()
    except Error:
        return None
    return emptier_of(connection) if is_idle else None


def _flush_as_django(alias: str, *, cascade: bool, emits: bool) -> None:
    management.call_command(
        "flush",
        verbosity=0,
        interactive=False,
        database=alias,
        reset_sequences=False,
        allow_cascade=cascade,
        inhibit_post_migrate=not emits,
    )
