"""Test databases from templates: a migrated database is built once, and copied from then on.

Django's ``setup_databases`` stays in charge of which databases there are, and in what order; within
:meth:`Templates.providing`, each is made by :class:`Templates` in the place of Django's ``create_test_db``.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from django.apps import apps
from django.conf import settings
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.signals import post_migrate
from django.test.utils import get_unique_databases_and_mirrors
from django.utils.module_loading import import_string

from testkit.core.errors import OptionError, TestkitError
from testkit.core.paths import path_below, replacing
from testkit.databases.backends import Backend, Template, backend_for
from testkit.databases.backends.base import DIGEST_LENGTH
from testkit.databases.dependencies.fingerprint import Fingerprint, difference, edited, fingerprint_of
from testkit.databases.dependencies.inputs import Input, changed, recorded_inputs
from testkit.databases.holders import explain_sessions
from testkit.databases.migrations import conflicts, import_all
from testkit.databases.options import DatabaseOptions
from testkit.databases.targets import family_of, name_for_tests, real_one, shown, target_of

Tell = Callable[[str], None]
_MOST_RUNS = 100
"""So many runs can have databases of one name on one server at a time."""


class Provided(NamedTuple):
    """How the test database of an alias was made, as plain data: workers make their clones likewise."""

    alias: str
    base: str
    """What the settings call it."""
    name: str
    """What this run calls it."""
    number: int
    """Which of several runs at a time it is; the first one's databases have no number."""
    template: Template | None
    """What it is a copy of."""
    is_kept: bool
    """Whether something is left for the next run."""
    how: str
    """A few words for the user."""

    def clone(self, worker: str, backend: Backend) -> str:
        """Return the name of the clone for ``worker``."""
        return backend.derived(f"r{self.number}_{worker}" if self.number else worker)


class Templates:
    """The templates of one run."""

    def __init__(
        self,
        options: DatabaseOptions,
        cache: Path,
        *,
        keepdb: bool,
        is_covered: bool,
        tell: Tell,
        say: Tell,
        worker: str = "",
        newer_than: float = 0.0,
    ) -> None:
        """Provide databases as ``options`` say.

        Args:
            options: how.
            cache: the absolute path of the folder of what runs remember.
            keepdb: whether templates may stay on servers.
            is_covered: whether coverage is measured. Without --keepdb migrations run then, since their lines count; with
                it they are imported only, as Django does.
            tell: gets a line for each database that was not made from a template, with the cause.
            say: gets what the user should know in any case.
            worker: the name of this worker where each of a run makes its databases for itself (pytest-xdist's): one
                builds, the others copy what it has built. The settings have the name at the end of the databases'.
            newer_than: templates that were not used since then (a Unix time) are built anew.
        """
        self._options = options
        self.cache = cache
        self._keepdb = keepdb or options.keep_templates
        self._is_covered = is_covered
        self._tell, self._say = tell, say
        self._worker, self._newer_than = worker, newer_than
        self._backends: dict[str, Backend] = {}
        self._test_names: dict[str, Any] = {}
        self._numbers: dict[str, int] = {}
        self.provided: dict[str, Provided] = {}

    @contextmanager
    def providing(self, aliases: Iterable[str] | None) -> Iterator[None]:
        """Make the databases that Django's ``setup_databases`` asks for in this block.

        Args:
            aliases: those that tests use; all when None.
        """
        ours = self._ours(aliases)
        try:
            for connection in ours:
                self._name_for_run(connection)
                self._replace(connection)
            yield
        except BaseException:
            self._give_up()
            raise
        finally:
            for connection in ours:
                _restore(connection.creation, "create_test_db", "_create_test_db")

    def _ours(self, aliases: Iterable[str] | None) -> list[BaseDatabaseWrapper]:
        # Of aliases with one test database Django makes the first one's, and points the others at it.
        databases, _ = get_unique_databases_and_mirrors(None if aliases is None else set(aliases))
        firsts = [connections[next(iter(same))] for _, same in databases.values()]
        return [connection for connection in firsts if self._can_provide(connection)]

    def _can_provide(self, connection: BaseDatabaseWrapper) -> bool:
        from django.db.backends.base.creation import BaseDatabaseCreation

        if connection.settings_dict["TEST"]["MIRROR"] or family_of(connection) == "dummy":
            return False
        creation: Any = connection.creation
        if type(creation).create_test_db is not BaseDatabaseCreation.create_test_db:
            return False  # what it does beside nobody knows
        backend = backend_for(connection, self._base_of(name_for_tests(connection)), self.cache)
        if backend is None:
            return False
        self._backends[connection.alias] = backend
        self._test_names[connection.alias] = connection.settings_dict["TEST"]["NAME"]
        return True

    def _base_of(self, name: str) -> str:
        """Return what the test database ``name`` of this process is called in the settings, before a worker's name is added."""
        return name.removesuffix(f"_{self._worker}") if self._worker else name

    def backend(self, alias: str) -> Backend:
        """Return the backend of an alias that was provided."""
        return self._backends[alias]

    def _name_for_run(self, connection: BaseDatabaseWrapper) -> None:
        """Take the name of the test database for this run; where another run has it, one with a number."""
        backend = self._backends[connection.alias]
        real = [target_of(connections[alias]) for alias in connections]
        own = name_for_tests(connection)
        suffix = "" if own == backend.base else f"_{self._worker}"
        for number in range(_MOST_RUNS):
            name = backend.derived(f"r{number}{suffix}") if number else own
            if number and real_one(target_of(connection), name, real):
                continue
            if backend.lock(name) and not (self._keepdb and self._keeps(backend) and backend.stranger(name)):
                backend.run_name = name
                self._numbers[connection.alias] = number
                if number:
                    connection.settings_dict["TEST"]["NAME"] = name
                    self._tell(
                        f'the test database of "{connection.alias}" is {shown(name, family_of(connection))} in this run, as '
                        f"{shown(backend.base, family_of(connection))} is another run's, or not made by testkit"
                    )
                return
        raise TestkitError(f"{_MOST_RUNS} runs have a database named after {backend.base} already: wait, or end some")

    def _give_up(self) -> None:
        """Drop what was begun: Django tears nothing down when set-up has failed."""
        for backend in self._backends.values():
            backend.connection.close()
            with suppress(Exception):  # what went wrong first is told; the next run sweeps
                if not backend.stranger(backend.run_name):
                    backend.drop(backend.run_name)
        self.close()

    def _keeps(self, backend: Backend) -> bool:
        return self._options.templates and (self._keepdb or not (backend.is_server or self._is_covered))

    def _is_djangos(self, backend: Backend) -> bool:
        """Return whether the database itself is to stay: --keepdb without templates is what it is with Django."""
        return self._keepdb and not self._keeps(backend)

    def _replace(self, connection: BaseDatabaseWrapper) -> None:
        creation: Any = connection.creation
        backend, build, create = self._backends[connection.alias], creation.create_test_db, creation._create_test_db

        def create_test_db(*args: Any, **given: Any) -> str:
            return self._create(connection, lambda **changes: build(*args, **{**given, **changes}), given)

        def create_and_mark(*args: Any, **given: Any) -> Any:
            with nullcontext() if self._is_djangos(backend) else backend.creating(backend.run_name):
                return create(*args, **given)

        creation.create_test_db, creation._create_test_db = create_test_db, create_and_mark

    def _create(self, connection: BaseDatabaseWrapper, build: Callable[..., str], given: Mapping[str, Any]) -> str:
        backend = self._backends[connection.alias]
        removed = list(backend.sweep())
        if removed:
            self._say(f"removed the databases of a run that was killed: {', '.join(sorted(removed))}")
        if not self._keeps(backend):
            if backend.is_server and not self._is_djangos(backend) and not backend.stranger(backend.run_name):
                backend.drop(backend.run_name)  # a clean copy that --keepdb has left: Django would ask
            _refuse_conflicts(connection)
            name = build()
            self._note(connection, name, None, "migrated")
            return name
        wanted = self.fingerprint(connection)
        template, cause = self._find(backend, wanted)
        with nullcontext() if template is not None else self._building_alone(connection.alias):
            if template is None and self._worker:
                template, cause = self._find(backend, wanted)  # another worker has built it meanwhile
            if template is not None:
                try:
                    name = self._provide(connection, template, given)
                except TestkitError as error:
                    backend.remove(template)
                    template, cause = None, str(error)
            if template is None:
                name = self._build(connection, build, wanted, cause)
        self._remember(connection.alias, wanted)
        return name

    @contextmanager
    def _building_alone(self, alias: str) -> Iterator[None]:
        """Let one worker of a run after the other into the block."""
        if not self._worker:
            yield
            return
        place = path_below(self.cache, "templates", f"{alias}.lock")
        place.parent.mkdir(parents=True, exist_ok=True)
        with open(place, "wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def fingerprint(self, connection: BaseDatabaseWrapper) -> Fingerprint:
        """Return what the database of ``connection`` depends on."""
        backend = self._backends[connection.alias]
        return fingerprint_of(
            connection, version=backend.version(), extra=self._options.fingerprint_extra, cache=self.cache
        )

    def explain(self) -> Iterator[str]:
        """Yield, a line each, what the templates of all databases depend on."""
        for connection in self._ours(None):
            wanted = self.fingerprint(connection)
            yield f'"{connection.alias}": {wanted.digest}'
            yield from (f"  {digest[:12]}  {name}" for name, digest in wanted.parts.items())
            backend = self._backends[connection.alias]
            for template in backend.templates():
                described = _Description.read(template.description)
                if described is not None and described.fingerprint == wanted.digest:
                    yield f"  template {template.name}, whose migrations read:"
                    yield from (f"  {each.digest[:12]}  {each.kind} {each.name}" for each in described.inputs)
        self.close()

    def _find(self, backend: Backend, wanted: Fingerprint) -> tuple[Template | None, str]:
        """Return the template for ``wanted``, or why there is none."""
        cause = ""
        for template in backend.templates():
            described = _Description.read(template.description)
            if described is None or described.fingerprint != wanted.digest:
                continue
            cause = changed(described.inputs)
            if not cause and template.used < self._newer_than:
                backend.remove(template)
                cause = "it is to be made anew"
            if not cause:
                return template, ""
        return None, cause or self._what_changed(backend.connection.alias, wanted)

    def _what_changed(self, alias: str, wanted: Fingerprint) -> str:
        with suppress(OSError, ValueError):
            last = json.loads(self._last(alias).read_text())
            return difference(last, wanted.parts) or "its template is gone"
        return "there is no template yet"

    def _last(self, alias: str) -> Path:
        return path_below(self.cache, "templates", f"{alias}.json")

    def _remember(self, alias: str, wanted: Fingerprint) -> None:
        last, text = self._last(alias), json.dumps(dict(wanted.parts))
        with suppress(OSError):
            if last.exists() and last.read_text() == text:
                return
            with replacing(last) as file:
                file.write(text)

    # Both ways to a database

    def _provide(self, connection: BaseDatabaseWrapper, template: Template, given: Mapping[str, Any]) -> str:
        backend, name = self._backends[connection.alias], name_for_tests(connection)
        if backend.stranger(name):
            # Django asks whether it may be removed, and ends if not.
            creation: Any = connection.creation
            creation._create_test_db(given.get("verbosity", 1), given.get("autoclobber", False), False)
        connection.close()
        settings.DATABASES[connection.alias]["NAME"] = connection.settings_dict["NAME"] = name
        backend.provide(template, name)
        backend.touch(template)
        connection.ensure_connection()
        if self._is_covered:
            import_all()
        if given.get("serialize"):
            connection._test_serialized_contents = connection.creation.serialize_db_to_string()  # type: ignore[attr-defined]
        _send_post_migrate(connection, self._options.post_migrate_receivers)
        if os.environ.get("RUNNING_DJANGOS_TEST_SUITE") == "true":  # as create_test_db() does, for backends' authors
            connection.creation.mark_expected_failures_and_skips()
        self._note(connection, name, template, "from its template")
        return name

    def _build(
        self, connection: BaseDatabaseWrapper, build: Callable[..., str], wanted: Fingerprint, cause: str
    ) -> str:
        backend = self._backends[connection.alias]
        if not backend.stranger(backend.run_name):
            backend.drop(backend.run_name)  # a killed run has left it
        with recorded_inputs() as inputs:
            _refuse_conflicts(connection)  # here, as the first to import migrations
            name = build(keepdb=False)
        self._tell(f'the test database of "{connection.alias}" was built: {cause}')
        template = self._keep(connection, name, wanted, sorted(inputs.found()))
        connection.ensure_connection()
        self._note(connection, name, template, "built")
        return name

    def _keep(
        self, connection: BaseDatabaseWrapper, name: str, wanted: Fingerprint, found: list[Input]
    ) -> Template | None:
        """Make a template of the database ``name``, which was just built, and return it; None if there can be none."""
        backend = self._backends[connection.alias]
        meanwhile = edited(wanted.parts, self.fingerprint(connection).parts)
        if meanwhile:
            self._tell(f'no template of "{connection.alias}" is kept: {meanwhile}, while it was built')
            return None
        # Two machines that build the same are to have one name for it: times of files are no part of that.
        contents = [(kind, what, digest.partition(" ")[0]) for kind, what, digest in found]
        digest = blake2b(json.dumps([wanted.digest, contents]).encode(), digest_size=20).hexdigest()
        try:
            backend.keep(name, digest, _Description(wanted.digest, found).text())
            return {template.digest: template for template in backend.templates()}.get(digest[:DIGEST_LENGTH])
        except TestkitError as error:
            self._tell(str(error))
            return None

    def _note(self, connection: BaseDatabaseWrapper, name: str, template: Template | None, how: str) -> None:
        backend = self._backends[connection.alias]
        is_kept = self._keeps(backend) and template is not None
        number = self._numbers[connection.alias]
        self.provided[connection.alias] = Provided(connection.alias, backend.base, name, number, template, is_kept, how)

    # The end

    @contextmanager
    def releasing(self) -> Iterator[None]:
        """End the use of the databases that Django's ``teardown_databases`` drops in this block, and then of their names."""
        ours = [connections[alias] for alias in self.provided]
        for connection in ours:
            self._replace_drop(connection)
        try:
            yield
        finally:
            for connection in ours:
                _restore(connection.creation, "_destroy_test_db", "destroy_test_db")
                if self.provided[connection.alias].is_kept:
                    self._remove_oldest(self._backends[connection.alias])
            self.close()

    def _replace_drop(self, connection: BaseDatabaseWrapper) -> None:
        creation: Any = connection.creation
        made = self.provided[connection.alias]
        backend = self._backends[connection.alias]
        destroy = creation.destroy_test_db

        def drop(name: str, verbosity: int) -> None:
            explain_sessions(connection, name, self._say)
            backend.release(name, made.template if made.is_kept else None)

        def destroy_test_db(old_name: Any = None, verbosity: int = 1, keepdb: bool = False, suffix: Any = None) -> None:
            # What is kept are the template and clean clones, not what tests have used.
            destroy(old_name, verbosity, keepdb and self._is_djangos(backend), suffix)

        creation._destroy_test_db, creation.destroy_test_db = drop, destroy_test_db

    def close(self) -> None:
        """Give back the names of this run."""
        for backend in self._backends.values():
            for _ in backend.sweep():  # what a server has finished for a killed run in the meantime
                pass
            backend.connection.settings_dict["TEST"]["NAME"] = self._test_names[backend.connection.alias]
            backend.unlock()
        self._backends.clear()

    def _remove_oldest(self, backend: Backend) -> None:
        templates = sorted(backend.templates(), key=lambda template: template.used, reverse=True)
        for template in templates[max(self._options.templates_kept, 1) :]:
            backend.remove(template)


def _refuse_conflicts(connection: BaseDatabaseWrapper) -> None:
    """Refuse to build a database that could not be finished.

    Raises:
        TestkitError: an app has more than one last migration.
    """
    if connection.settings_dict["TEST"]["MIGRATE"] is not False and (text := conflicts()):
        raise TestkitError(text)


def _send_post_migrate(connection: BaseDatabaseWrapper, receivers: Iterable[str]) -> None:
    """Call the receivers of these dotted paths for all apps, as ``migrate`` does when it has ended."""
    for path in receivers:
        try:
            receiver = import_string(path)
        except ImportError as error:
            raise OptionError(f'TESTKIT["POST_MIGRATE_RECEIVERS"] has {path!r}: {error}') from error
        for config in apps.get_app_configs():
            if config.models_module is not None:
                receiver(
                    signal=post_migrate,
                    sender=config,
                    app_config=config,
                    verbosity=0,
                    interactive=False,
                    using=connection.alias,
                    stdout=None,
                    apps=apps,
                    plan=[],
                )


def _restore(creation: Any, *names: str) -> None:
    """Let the class's own methods be found again."""
    for name in names:
        vars(creation).pop(name, None)


class _Description(NamedTuple):
    """What is said with a template: the fingerprint, and what was read while it was built."""

    fingerprint: str
    inputs: list[Input]

    def text(self) -> str:
        return json.dumps(self._asdict())

    @classmethod
    def read(cls, text: str) -> _Description | None:
        try:
            plain = json.loads(text)
            return cls(str(plain["fingerprint"]), [Input(*map(str, each)) for each in plain["inputs"]])
        except (ValueError, TypeError, KeyError):
            return None
