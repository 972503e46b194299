"""Templates of MySQL and MariaDB databases: databases of the server, and what is known of them in a registry there."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from django.db.backends.base.base import BaseDatabaseWrapper

from testkit.core.errors import TestkitError
from testkit.databases.backends.base import Backend, Template
from testkit.databases.backends.mysql_contents import Contents, read_contents
from testkit.databases.backends.mysql_copy import make_alike
from testkit.databases.backends.mysql_programs import create_programs
from testkit.databases.backends.mysql_registry import Entry, Registry, State
from testkit.databases.backends.mysql_session import Administration, quoted

_BUILD_SECONDS = 600
"""How long to wait for another run that makes the same template."""


class MysqlBackend(Backend):
    """Templates of one MySQL or MariaDB database.

    A database cannot be renamed there. So a template is marked last, and a clean clone has the name of the database that
    a run has released: it is taken again by a run that wants that name and a copy of the same template, in the time of
    a few statements. To put a clone back takes as long as there are differences.

    The user needs all privileges on databases with the test database's name and more behind it, which Django's clones
    need as well. Triggers, routines and events that the user may not see are not copied: it cannot have made them.
    """

    longest_name = 64

    def __init__(self, connection: BaseDatabaseWrapper, base: str, cache: Path) -> None:
        super().__init__(connection, base, cache)
        self._server = Administration(connection)
        self._registry = Registry(self._server, self.derived("tk_registry"))
        self._unregistered: set[str] = set()

    def version(self) -> str:
        """Return the server's version, and those of its settings that say what a new database and table are like."""
        names = (
            *("version", "GLOBAL.sql_mode", "GLOBAL.collation_server", "GLOBAL.default_storage_engine"),
            *("GLOBAL.explicit_defaults_for_timestamp", "lower_case_table_names"),
        )
        values = self._server.rows("SELECT " + ", ".join(f"@@{name}" for name in names))[0]
        return f"{'MariaDB' if self._server.is_mariadb else 'MySQL'} {' '.join(map(str, values))}"

    # Names

    def lock(self, name: str) -> bool:
        return self._server.lock(self._key(name))

    def unlock(self) -> None:
        if self._server.is_open:
            with (
                suppress(TestkitError),
                self._server.explained("the registry cannot be dropped", self._registry.database),
            ):
                self._registry.drop_if_empty()
        self._server.close()

    def stranger(self, name: str) -> bool:
        key = self._key(name)
        return self._exists(key) and key not in self._unregistered and self._registry.entry(key) is None

    def mark(self, name: str) -> None:
        """Note it in the registry, and with a user who may not make that, in this process alone."""
        try:
            with self._server.explained(f"{name} cannot be registered", self._registry.database):
                self._use(self._key(name))
        except TestkitError:
            self._unregistered.add(self._key(name))

    @contextmanager
    def creating(self, name: str) -> Iterator[None]:
        """Mark the database that Django creates in the block, and before it, if nobody has one of that name."""
        if not self._exists(self._key(name)):
            self.mark(name)
        yield
        self.mark(name)

    def _key(self, name: str) -> str:
        """Return a name as the server has it."""
        return name.lower() if self._server.lowers_names else name

    def _use(self, key: str, template: str = "") -> None:
        """Note that this run uses a database, unless that is noted: each change waits for the disk."""
        run = self._key(self.run_name)
        entry = Entry(key, State.USED, template, run, self._server.holder(run))
        if self._registry.entry(key) != entry:
            self._registry.put(entry)

    def _exists(self, key: str) -> bool:
        question = "SELECT schema_name FROM information_schema.schemata WHERE schema_name = %s"
        return any(self._key(name) == key for (name,) in self._server.rows(question, [key]))

    def _is_in_use(self, entry: Entry) -> bool:
        """Return whether a run, this one or another, is at work at a database."""
        return entry.state is State.USED and self._server.holder(entry.run) == entry.holder != 0

    # Databases

    def copy(self, source: str, target: str) -> None:
        with self._making(f"the database {source} cannot be copied to {target}", self._key(target)) as key:
            wanted = read_contents(self._server, self._key(source), rows=False)
            self._fill(self._key(source), key, wanted.without_events())
            create_programs(self._server, key, wanted.events())

    def drop(self, name: str) -> None:
        key = self._key(name)
        with self._server.explained(f"the database {name} cannot be dropped", key):
            if self._registry.entry(key) is not None or self._exists(key):
                self._claim(key)
                self._drop_database(key)
                self._registry.forget(key)
                self._unregistered.discard(key)

    def _drop_database(self, key: str) -> None:
        if self._exists(key):
            self._server.end_sessions(key)
            self._server.run(f"DROP DATABASE {quoted(key)}")

    def _claim(self, key: str, template: str = "") -> None:
        """Note that this run uses a database, there or not; a TestkitError if it must not."""
        with self._registry.locked():
            if self.stranger(key):
                raise TestkitError(
                    f"the database {key} was not made by testkit, or {self._registry.database} is gone, which said so: "
                    "drop it yourself, or give another TEST NAME"
                )
            entry = self._registry.entry(key)
            if entry is not None and self._is_in_use(entry) and entry.run != self._key(self.run_name):
                raise TestkitError(
                    f"the database {key} is in use by another run (session {entry.holder}): wait, or end that run"
                )
            if key not in self._unregistered:
                self._use(key, template)

    @contextmanager
    def _making(self, what: str, key: str, template: str = "") -> Iterator[str]:
        """Replace the database ``key`` by what the block makes there, and leave nothing if that fails."""
        with self._server.explained(what, key):
            self._claim(key, template)
            try:
                self._drop_database(key)
                yield key
            except BaseException:
                with suppress(Exception):  # what went wrong first is told
                    self.drop(key)
                raise

    def _fill(self, source: str, target: str, wanted: Contents, *, rows: bool = False) -> None:
        self._server.run(f"CREATE DATABASE {quoted(target)}{wanted.options}")
        empty = Contents(wanted.options, {}, ())
        make_alike(self._server, source, target, wanted, empty, rows=rows)

    # Templates

    def templates(self) -> list[Template]:
        with self._server.explained("the templates cannot be found", self._registry.database):
            return [
                Template(name, name.rpartition("_tk")[2], description, used)
                for name, description, used in self._registry.templates()
                if self._exists(name)
            ]

    def keep(self, source: str, digest: str, description: str) -> None:
        name = self._key(self.template_name(digest))
        what = f"no template can be made of {source}"
        with self._server.explained(what, name), self._building(name):
            if any(template.name == name for template in self.templates()):
                return
            with self._making(what, name):
                wanted = read_contents(self._server, self._key(source), rows=True)
                self._fill(self._key(source), name, wanted.without_events(), rows=True)
                self._registry.finish(name, description, wanted.pack())

    @contextmanager
    def _building(self, name: str) -> Iterator[None]:
        """Make a template, while no other run makes or removes it."""
        if not self._server.lock(name, _BUILD_SECONDS):
            holder = self._server.holder(name)
            raise TestkitError(f"session {holder} has been at the template {name} for long: end it (KILL {holder})")
        try:
            yield
        finally:
            self._server.unlock(name)

    def provide(self, template: Template, name: str) -> None:
        what, key = f"{name} cannot be made from the template {template.name}", self._key(name)
        with self._server.explained(what, key):
            wanted, is_clean = self._take(template, key)
            if is_clean:
                create_programs(self._server, key, wanted.events())
                return
            with self._making(what, key, template.name):
                self._fill(template.name, key, wanted.without_rows().without_events())
                create_programs(self._server, key, wanted.events())

    def _take(self, template: Template, key: str) -> tuple[Contents, bool]:
        """Take the name ``key`` for this run; return what is to be there, and whether it is."""
        with self._registry.locked():
            packed = self._registry.contents(template.name)
            if packed is None or not self._exists(template.name):
                raise TestkitError(f"the template {template.name} is not there any more")
            is_clean = self._registry.entry(key) == Entry(key, State.CLEAN, template.name) and self._exists(key)
            self._claim(key, template.name)
        return Contents.unpack(packed), is_clean

    def release(self, name: str, template: Template | None) -> None:
        key = self._key(name)
        if template is None or not self._exists(key) or not self._is_cleaned(key, template.name):
            self.drop(name)

    def _is_cleaned(self, key: str, template: str) -> bool:
        """Make a clone what its template is, and return whether that was possible."""
        try:
            with self._server.explained(f"{key} cannot be cleaned", key):
                packed = self._registry.contents(template)
                if packed is None or not self._exists(template):
                    return False
                self._claim(key, template)
                self._server.end_sessions(key)
                wanted = Contents.unpack(packed).without_events()
                found = read_contents(self._server, key, rows=True)
                make_alike(self._server, template, key, wanted, found, rows=True)
                self._registry.put(Entry(key, State.CLEAN, template))
        except TestkitError:  # there is a new one next time
            return False
        return True

    def touch(self, template: Template) -> None:
        with self._server.explained(f"the template {template.name} cannot be noted as used", template.name):
            self._registry.touch(template.name)

    def remove(self, template: Template) -> bool:
        with self._server.explained(f"the template {template.name} cannot be removed", template.name):
            if not self._server.lock(template.name):
                return False  # it is being made
            try:
                with self._registry.locked():
                    copies = [each for each in self._registry.entries() if each.template == template.name]
                    if any(map(self._is_in_use, copies)):
                        return False
                    self._claim(template.name)
                for each in copies:
                    with suppress(TestkitError):  # a run has just taken it for another template
                        self.drop(each.name)
                self.drop(template.name)
            finally:
                self._server.unlock(template.name)
        return True

    def sweep(self) -> list[str]:
        """Remove what killed runs have left; what cannot be removed now is for the next run."""
        with self._server.explained("what killed runs have left cannot be found", self._registry.database):
            entries = self._registry.entries()
            templates = {entry.name for entry in entries if entry.state is State.TEMPLATE}
            left = [each for each in entries if not self._is_whole(each, templates) and not self._is_in_use(each)]
            return [name for entry in left for name in self._swept(entry)]

    def _is_whole(self, entry: Entry, templates: Collection[str]) -> bool:
        is_finished = entry.state is State.TEMPLATE or (entry.state is State.CLEAN and entry.template in templates)
        return is_finished and self._exists(entry.name)

    def _swept(self, entry: Entry) -> list[str]:
        """Remove a database, unless a run has begun with its name meanwhile; return its name if it was there."""
        run = entry.run or self._key(self.run_name)
        is_ours = self._server.has(run)
        if not is_ours and not self._server.lock(run):
            return []
        try:
            existed = self._exists(entry.name)
            if self._registry.entry(entry.name) != entry:
                return []
            self.drop(entry.name)
            return [entry.name] if existed else []
        except TestkitError:
            return []
        finally:
            if not is_ours:
                self._server.unlock(run)
