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
from testkit.databases.backends import Template, backend_for
from testkit.databases.blocking import close_connections
from testkit.databases.options import GuardOptions
from testkit.databases.targets import family_of, is_in_memory, name_of, target_of
from testkit.databases.templates import Provided, Templates


class Clones:
    """The clones of a run's test databases, one set for each worker, which makes its own.

    A database of SQLite in memory needs none where workers are forked: the fork is one. Of a kind that has no backend
    here, clones are made in the run's process, by Django's own ``clone_test_db``.
    """

    def __init__(
        self,
        created: Iterable[BaseDatabaseWrapper],
        provided: Iterable[str],
        *,
        templates: Templates,
        forks: bool,
        init_worker: str = "",
    ) -> None:
        """Clone the databases of the connections ``created``.

        Args:
            created: one connection for each test database that was made.
            provided: the aliases that have a test database, for the guard.
            templates: how they were made.
            forks: whether the workers are forked from this process.
            init_worker: the dotted path of the project's own ``ParallelTestSuite`` class, whose ``init_worker`` sets
                forked workers up in the place of Django's.
        """
        self._created = list(created)
        self._provided = sorted(provided)
        self._templates = templates
        self._forks = forks
        self._init_worker = init_worker if forks else ""
        self._workers: set[str] = set()
        self._cloned_here: set[tuple[str, str]] = set()  # alias and worker

    def lease(self, worker: str, folder: Path) -> dict[str, Any]:
        """Return what :func:`cloned` needs to make clones for ``worker``, in the place of those it had.

        ``folder`` is for files that it needs.

        Raises:
            TestkitError: a database cannot be cloned.
        """
        self._workers.add(worker)
        restored, copied = {}, []
        guard.block(self._provided, setting_up=True)
        try:
            for connection in self._created:
                made = self._templates.provided.get(connection.alias)
                if family_of(connection) == "sqlite3" and is_in_memory(name_of(connection)):
                    if not self._forks:
                        template = made.template if made else None
                        restored[connection.alias] = template.name if template else str(_written(connection, folder))
                elif made is not None:
                    copied.append(made)
                else:
                    self._clone_here(connection, worker)
        finally:
            guard.block(self._provided)
        # What is open here would be open in a forked worker as well, on one and the same socket.
        close_connections()
        return {
            "provided": self._provided,
            "restored": restored,
            "copied": copied,
            "cache": str(self._templates.cache),
            "settings": {} if self._forks else {alias: connections[alias].settings_dict for alias in self._provided},
            "serialized": {} if self._forks else self._serialized(),
            "init_worker": self._init_worker,
        }

    def _clone_here(self, connection: BaseDatabaseWrapper, worker: str) -> None:
        try:
            connection.creation.clone_test_db(suffix=worker, verbosity=0, autoclobber=True, keepdb=False)
        except (SystemExit, Exception) as error:
            with suppress(Exception):  # what is half made is not to stay
                connection.creation.destroy_test_db(suffix=worker, verbosity=0, keepdb=False)
            raise TestkitError(
                f'the test database of "{connection.alias}" cannot be cloned for worker {worker}: '
                f"{error if isinstance(error, Exception) else 'see above'}"
            ) from error
        self._cloned_here.add((connection.alias, worker))

    def _serialized(self) -> dict[str, Any]:
        contents = {alias: getattr(connections[alias], "_test_serialized_contents", "") for alias in self._provided}
        return {alias: text for alias, text in contents.items() if text}

    def drop(self) -> None:
        """Drop all clones that are there still: a worker that ended well has dropped its own."""
        for connection in self._created:
            made = self._templates.provided.get(connection.alias)
            if made is not None and not is_in_memory(made.name):
                backend = self._templates.backend(connection.alias)
                for worker in sorted(self._workers):
                    backend.drop(made.clone(worker, backend))
            for worker in sorted(worker for alias, worker in self._cloned_here if alias == connection.alias):
                connection.creation.destroy_test_db(suffix=worker, verbosity=0, keepdb=False)
        self._cloned_here.clear()


def _written(connection: BaseDatabaseWrapper, folder: Path) -> Path:
    """Return the file in ``folder`` that the database in memory was written to."""
    path = path_below(folder, f"{connection.alias}.sqlite3")
    if not path.exists():
        connection.ensure_connection()
        target = sqlite3.connect(path)
        connection.connection.backup(target)
        target.close()
    return path


@contextmanager
def cloned(worker: str, data: Mapping[str, Any]) -> Iterator[None]:
    """Give this process, a worker's, clones for the block; ``data`` is what :meth:`Clones.lease` gave.

    Raises:
        TestkitError: a clone cannot be made.
    """
    from django.test import runner

    provided = data["provided"]
    for alias, settings in data["settings"].items():
        connections[alias].settings_dict.update(settings)
    for alias, contents in data["serialized"].items():
        connections[alias]._test_serialized_contents = contents  # type: ignore[attr-defined]
    guard.block(provided, setting_up=True)
    clones = [Clone(Provided(*made), worker, Path(data["cache"])) for made in data["copied"]]
    for clone in clones:
        clone.make()
    if data["init_worker"]:
        _call_init_worker(data["init_worker"], worker, provided)
    else:
        runner._worker_id = int(worker)  # type: ignore[attr-defined]  # projects read it
        for alias, path in data["restored"].items():
            _restore(connections[alias], worker, path)
    _switch(worker, provided, data["restored"], clones)
    guard.block(provided)
    yield
    close_connections()
    guard.block(provided, setting_up=True)
    for clone in clones:
        clone.release()


class Clone:
    """A worker's own copy of one test database."""

    def __init__(self, made: Provided, worker: str, cache: Path) -> None:
        """Describe the clone for ``worker`` of the database that was ``made`` for the run."""
        backend = backend_for(connections[made.alias], made.base, cache)
        assert backend is not None, "what was provided has a backend"
        backend.run_name = made.name
        self._made, self._backend = made, backend
        self.name = made.clone(worker, backend)
        self.run = target_of(connections[made.alias]).server, made.name

    def make(self) -> None:
        """Make it."""
        template = self._made.template
        if template is not None:
            self._backend.provide(Template(*template), self.name)
        else:
            self._backend.copy(self._made.name, self.name)

    def release(self) -> None:
        """End its use."""
        template = self._made.template
        self._backend.release(self.name, Template(*template) if template is not None and self._made.is_kept else None)
        self._backend.unlock()


def _switch(worker: str, provided: Iterable[str], restored: Iterable[str], clones: Iterable[Clone]) -> None:
    """Point the connections of the ``provided`` aliases at the clones of ``worker``."""
    names = {clone.run: clone.name for clone in clones}
    for alias in provided:
        connection = connections[alias]
        primary = connection.settings_dict["TEST"]["MIRROR"]
        name = names.get((target_of(connection).server, name_of(connection)))
        if primary in restored:
            connection.settings_dict["NAME"] = connections[primary].settings_dict["NAME"]
        elif name is not None:
            connection.settings_dict["NAME"] = name
            connection.close()
        elif alias not in restored and family_of(connection) != "sqlite3":
            connection.creation.setup_worker_connection(int(worker))


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
