"""The databases of worker processes: each has a clone of the run's test databases for itself."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from testkit.core.errors import TestkitError
from testkit.core.paths import path_below
from testkit.databases import guard
from testkit.databases.blocking import close_connections
from testkit.databases.leftovers import Record, end_sessions
from testkit.databases.options import GuardOptions
from testkit.databases.targets import family_of, is_in_memory, name_of, sqlite_file


class Clones:
    """Makes and drops the clones of a run's test databases, one set for each worker.

    A database of SQLite in memory needs none where workers are forked: the fork is one.
    """

    def __init__(
        self,
        created: Iterable[BaseDatabaseWrapper],
        provided: Iterable[str],
        *,
        record: Record,
        forks: bool,
        init_worker: str = "",
    ) -> None:
        """Clone the databases of the connections ``created``.

        Args:
            created: one connection for each test database that was made.
            provided: the aliases that have a test database, for the guard.
            record: where the clones are noted, for the next run if this one is killed.
            forks: whether the workers are forked from this process.
            init_worker: the dotted path of the project's own ``ParallelTestSuite`` class, whose ``init_worker`` sets
                forked workers up in the place of Django's.
        """
        self._created = list(created)
        self._provided = sorted(provided)
        self._record = record
        self._forks = forks
        self._init_worker = init_worker if forks else ""
        self._made: set[tuple[str, str]] = set()  # alias and worker

    def lease(self, worker: str, folder: Path) -> dict[str, Any]:
        """Make fresh clones for ``worker``, in the place of those it had, and return what :func:`cloned` needs.

        ``folder`` is for files that it needs.

        Raises:
            TestkitError: a database cannot be cloned.
        """
        guard.block(self._provided, setting_up=True)
        try:
            restored = {}
            for connection in self._created:
                if family_of(connection) == "sqlite3" and is_in_memory(name_of(connection)):
                    if not self._forks:
                        restored[connection.alias] = str(_written(connection, folder))
                else:
                    self._clone(connection, worker)
        finally:
            guard.block(self._provided)
        # What is open here would be open in a forked worker as well, on one and the same socket.
        close_connections()
        return {
            "provided": self._provided,
            "restored": restored,
            "settings": {} if self._forks else {alias: connections[alias].settings_dict for alias in self._provided},
            "serialized": {} if self._forks else self._serialized(),
            "init_worker": self._init_worker,
        }

    def _clone(self, connection: BaseDatabaseWrapper, worker: str) -> None:
        if (connection.alias, worker) in self._made:
            _free(connection, worker)
        self._record.add(connection, _clone_name(connection, worker))
        try:
            connection.creation.clone_test_db(suffix=worker, verbosity=0, autoclobber=True, keepdb=False)
            _check_is_whole(connection, worker)
        except (SystemExit, Exception) as error:
            with suppress(Exception):  # what is half made is not to stay
                connection.creation.destroy_test_db(suffix=worker, verbosity=0, keepdb=False)
            raise TestkitError(
                f'the test database of "{connection.alias}" cannot be cloned for worker {worker}: '
                f"{error if isinstance(error, Exception) else 'see above'}"
            ) from error
        self._made.add((connection.alias, worker))

    def _serialized(self) -> dict[str, str]:
        contents = {alias: getattr(connections[alias], "_test_serialized_contents", "") for alias in self._provided}
        return {alias: text for alias, text in contents.items() if text}

    def drop(self) -> None:
        """Drop all clones."""
        for connection in self._created:
            for worker in sorted(worker for alias, worker in self._made if alias == connection.alias):
                _free(connection, worker)
                # As Django drops its own.
                with suppress(FileNotFoundError):
                    connection.creation.destroy_test_db(suffix=worker, verbosity=0, keepdb=False)
        self._made.clear()


def _written(connection: BaseDatabaseWrapper, folder: Path) -> Path:
    """Return the file in ``folder`` that the database in memory was written to."""
    path = path_below(folder, f"{connection.alias}.sqlite3")
    if not path.exists():
        connection.ensure_connection()
        target = sqlite3.connect(path)
        connection.connection.backup(target)
        target.close()
    return path


def _check_is_whole(connection: BaseDatabaseWrapper, worker: str) -> None:
    """Check that a clone has all tables: of MySQL's programs, by which Django makes one, it does not ask how they ended.

    Raises:
        TestkitError: it has not.
    """
    if family_of(connection) != "mysql":
        return
    tables = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = %s"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT ({tables}), ({tables})", [name_of(connection), _clone_name(connection, worker)])
        there, copied = cursor.fetchone()
    if there != copied:
        raise TestkitError(
            f"{copied} of {there} tables were copied: mysqldump or mysql failed (see above). Django gives them HOST, PORT "
            "and USER; of OPTIONS it leaves out the unix_socket, whose path HOST may have as well"
        )


def _clone_name(connection: BaseDatabaseWrapper, worker: str) -> str:
    return str(connection.creation.get_test_db_clone_settings(worker)["NAME"])


def _free(connection: BaseDatabaseWrapper, worker: str) -> None:
    """Take away what a killed worker may have left at its clone."""
    name = _clone_name(connection, worker)
    end_sessions(connection, name)
    if family_of(connection) == "sqlite3":
        for suffix in ("-journal", "-wal", "-shm"):
            Path(f"{sqlite_file(name)}{suffix}").unlink(missing_ok=True)


@contextmanager
def cloned(worker: str, data: Mapping[str, Any]) -> Iterator[None]:
    """Point the connections of this process, a worker's, at its clones; ``data`` is what :meth:`Clones.lease` gave."""
    from django.test import runner

    provided = data["provided"]
    for alias, settings in data["settings"].items():
        connections[alias].settings_dict.update(settings)
    for alias, contents in data["serialized"].items():
        connections[alias]._test_serialized_contents = contents  # type: ignore[attr-defined]
    guard.block(provided, setting_up=True)
    if data["init_worker"]:
        _call_init_worker(data["init_worker"], worker, provided)
    else:
        runner._worker_id = int(worker)  # type: ignore[attr-defined]  # projects read it
        for alias, path in data["restored"].items():
            _restore(connections[alias], worker, path)
        for alias in provided:
            primary = connections[alias].settings_dict["TEST"]["MIRROR"]
            if primary in data["restored"]:
                connections[alias].settings_dict["NAME"] = connections[primary].settings_dict["NAME"]
            elif alias not in data["restored"]:
                _switch(connections[alias], worker)
    guard.block(provided)
    yield
    connections.close_all()


def _switch(connection: BaseDatabaseWrapper, worker: str) -> None:
    """Point ``connection`` at the clone of ``worker``."""
    if family_of(connection) != "sqlite3":
        connection.creation.setup_worker_connection(int(worker))
    elif not is_in_memory(name_of(connection)):
        # Django's own would look for another file in a worker that was spawned, and do nothing in a fork server's.
        connection.settings_dict["NAME"] = _clone_name(connection, worker)
        connection.close()


def _restore(connection: BaseDatabaseWrapper, worker: str, path: str) -> None:
    """Fill a database in memory from the file at ``path``."""
    connection.close()
    connection.settings_dict["NAME"] = f"file:memorydb_{connection.alias}_{worker}?mode=memory&cache=shared"
    source = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    connection.connect()
    source.backup(connection.connection)
    source.close()


def _call_init_worker(path: str, worker: str, aliases: Iterable[str]) -> None:
    from django.utils.module_loading import import_string

    suite: Any = import_string(path)
    _function(suite.init_worker)(
        _Counter(int(worker) - 1),
        None,
        None,
        _function(suite.process_setup),
        suite.process_setup_args,
        None,
        set(aliases),
    )


def _function(attribute: Any) -> Any:
    """Return what Django calls: a function in the body of the class, or that of a class method."""
    return getattr(attribute, "__func__", attribute)


class _Counter:
    """What Django's workers draw their number from; here the number is given."""

    def __init__(self, value: int) -> None:
        self.value = value

    @contextmanager
    def get_lock(self) -> Iterator[None]:
        """Lock nothing: this counter is not shared."""
        yield


@contextmanager
def django_set_up(worker: str, data: Mapping[str, Any]) -> Iterator[None]:
    """Set Django up in a worker process that was not forked, as the run did in its own.

    ``data`` has the ``aliases`` that tests use, the ``settings`` of the test databases by alias, ``debug`` (of
    ``--debug-mode``) and the ``hosts`` that the guard allows.
    """
    import django
    from django.test.utils import setup_test_environment

    # Before the apps are loaded, which may use the database as soon as they are ready.
    guard.check_before(data["aliases"], GuardOptions(safe_database_hosts=tuple(data["hosts"])))
    for alias, settings in data["settings"].items():
        connections[alias].settings_dict.update(settings)
    guard.block(data["settings"])
    django.setup()
    close_connections()
    setup_test_environment(debug=data["debug"])
    yield
