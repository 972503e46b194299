"""Templates on PostgreSQL: copied by ``CREATE DATABASE … TEMPLATE``, handed over by renaming.

What testkit has made says so in a comment of the database, a JSON text. A copy is made under a name that nobody looks
for; its comment, what CREATE DATABASE does not copy, and its own name are then given to it in one transaction. Until
then it is known by its connection limit, the one thing of CREATE DATABASE that can serve as a mark. So killed runs
leave nothing half made that has the name of something whole, and nothing that nobody knows.

A *spare* is a copy of a template that waits, under a name of its own, to be taken by :meth:`PostgresqlBackend.provide`.
CREATE DATABASE is atomic: a spare that is there is whole. So the server may make it while tests run, and nobody needs
to wait for that, nor to live until then.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from testkit.core.errors import TestkitError
from testkit.databases.backends.base import DIGEST_LENGTH, TOUCH_SECONDS, Backend, Template
from testkit.databases.backends.postgresql_catalogue import (
    NEWBORN,
    Made,
    all_made,
    creation_of,
    do_not_sync,
    end_sessions,
    exists,
    rest_of,
    run_of,
    sessions_at,
    version_of,
)
from testkit.databases.backends.postgresql_server import Server, close_all, code_of, quoted

_SPARE = re.compile(r"tk([0-9a-f]+)s[0-9a-f]{8}")
_BUILD = re.compile(r"tk_b[0-9a-f]{8}")
# The server itself waits five seconds, in each attempt, for the sessions of a database to end.
_ATTEMPTS = 3
_SESSION_SECONDS = 5.0

_IN_USE, _DUPLICATE, _NOT_ALLOWED, _LOCKED = "55006", "42P04", "42501", "55P03"


class PostgresqlBackend(Backend):
    """Templates on a PostgreSQL server, for any role that may create databases (``CREATEDB``).

    The administrative connection is opened by the first method that needs it and stays open until :meth:`unlock`, since
    the locks (advisory locks of the server) are its. It is at the database ``postgres``, or, where the role may not
    connect to that, at the alias's real one: locks are of one database, so that all runs have to use the same.

    While tests run, connections to real databases are blocked. :meth:`lock` and what else comes first have to be called
    while databases are set up or torn down. A pooler between that gives sessions away after each transaction
    (pgbouncer's ``pool_mode = transaction``) holds no locks.
    """

    longest_name = 63

    def __init__(self, connection: BaseDatabaseWrapper, base: str, cache: Path) -> None:
        """As for every backend."""
        super().__init__(connection, base, cache)
        self._server = Server(connection)
        self._locked: set[str] = set()
        self._left: set[int] = set()  # what was there of an earlier run when this one locked its name
        self._spared: set[str] = set()  # digests of templates of which this process has begun a spare

    def version(self) -> str:
        """Return the server's major version, and encoding and collation of what new databases are made from."""
        template = self.connection.settings_dict["TEST"].get("TEMPLATE") or "template1"
        return version_of(self._server, template.strip('"'))

    # Names

    def lock(self, name: str) -> bool:
        """Take the database ``name`` for this run, and return False if another run has it."""
        if name in self._locked:  # by this process, or by the one that it was forked from
            return True
        if self._server.lock(name):
            self._locked.add(name)
            self._left |= {made.oid for made in self._made() if run_of(made) == name}
        return name in self._locked

    def unlock(self) -> None:
        """Give back all that was locked; a spare that is being made is finished by the server alone."""
        self._locked.clear()
        self._server.close()

    def stranger(self, name: str) -> bool:
        """Return whether there is a database ``name`` that is another role's, or does not say that testkit has made it."""
        return exists(self._server, name) and self._find(name) is None

    def mark(self, name: str) -> None:
        """Note in the comment of the database ``name`` that it was made by testkit, for the run :attr:`run_name`."""
        with self._explained(f'the comment of the database "{name}" cannot be set'):
            self._server.run(self._comment(name))

    @contextmanager
    def creating(self, name: str) -> Iterator[None]:
        """Mark the database that Django creates in the block: by the connection limit of newborn ones, until it is there."""
        creation: Any = self.connection.creation
        suffix = creation.sql_table_creation_suffix
        creation.sql_table_creation_suffix = lambda: f"{suffix() or 'WITH'} CONNECTION LIMIT {NEWBORN}"
        try:
            yield
        finally:
            vars(creation).pop("sql_table_creation_suffix")
        self.mark(name)
        with self._explained(f'the settings of the database "{name}" cannot be changed'):
            self._server.run(do_not_sync(name), f"ALTER DATABASE {quoted(name)} CONNECTION LIMIT -1")

    # Databases

    def copy(self, source: str, target: str) -> None:
        """Make ``target`` a copy of the database ``source``: several processes may copy the same one at once.

        Raises:
            TestkitError: it cannot be copied; nothing half made is left.
        """
        self._make(source, target)

    def drop(self, name: str) -> None:
        """Drop the database ``name``, ending the sessions that this user has left there; nothing if it is not there.

        Raises:
            TestkitError: it cannot be dropped, or has a name that is not one of the alias's test databases.
        """
        self._check_name(name)
        self._leave(name)
        with self._explained(f'the database "{name}" cannot be dropped', name):
            self._insist([name], [f"DROP DATABASE IF EXISTS {quoted(name)}"])

    # Templates

    def templates(self) -> list[Template]:
        """Return the finished templates of this test database."""
        found = [made for made in self._made() if made.is_valid and self._is_template(made)]
        return [
            Template(name, note["digest"], str(note.get("description", "")), float(note.get("used", 0)))
            for _, name, note, _ in found
        ]

    def keep(self, source: str, digest: str, description: str) -> None:
        """Make a template of the database ``source``, and begin a spare, unless the one for ``digest`` is there already.

        Raises:
            TestkitError: it cannot be made, for want of a privilege for example; nothing half made is left.
        """
        name, digest = self.template_name(digest), digest[:DIGEST_LENGTH]
        self._use(name)
        found = self._find(name)
        if found and not found.is_valid:
            self.drop(name)
        if not found or not found.is_valid:
            self._make(source, name, digest=digest, description=description, used=time.time())
        self._see_to_spare(name, digest)

    def provide(self, template: Template, name: str) -> None:
        """Make ``name`` a fresh copy of ``template``: a spare gets the name, or else a copy is made.

        The server begins to make the next spare then, on a connection of its own. That this copies the template is why
        the use of it is noted here: the note would have to wait for the copy.

        Raises:
            TestkitError: it cannot be made.
        """
        self._use(template.name)
        if not self._take_spare(template, name):
            self._make(template.name, name)
        self.touch(template)
        self._begin_spare(template.name, template.digest)

    def release(self, name: str, template: Template | None) -> None:
        """Drop the database ``name``; with a ``template``, see to it that the next run will find a spare.

        With a ``template`` only the name is gone at once. The server is left to drop the database, which takes a checkpoint
        that writes the new spare to disk: longer than all the rest of a short run's use of databases.

        Raises:
            TestkitError: others use the database.
        """
        if template is None:
            self.drop(name)
            return
        if exists(self._server, name):
            self._drop_later(name)
        self._see_to_spare(template.name, template.digest)

    def touch(self, template: Template) -> None:
        """Note that ``template`` is used now, unless that was done in the last minute, or it is just being copied."""
        found = self._find(template.name)
        if found is None or time.time() - found.note.get("used", 0) < TOUCH_SECONDS:
            return
        comment = self._comment(template.name, **{**found.note, "used": time.time()})
        try:
            # The comment would wait for the copy to end, for the sake of a date.
            self._server.run("SET LOCAL lock_timeout = '20ms'", comment)
        except DatabaseError as error:
            if code_of(error) != _LOCKED:
                raise

    def remove(self, template: Template) -> bool:
        """Remove ``template`` and its spares, and return False if another process is using it."""
        if not self._server.lock(template.name):
            return False
        try:
            self.drop(template.name)  # first: it waits for the spare that the server may be making
            for spare in self._spares(template.digest):
                self.drop(spare)
        finally:
            self._server.unlock(template.name)
        return True

    def sweep(self) -> Iterator[str]:
        """Remove what killed runs of any machine have left, those that had this run's name too, and yield each name.

        What the server was still copying for a run when that was killed is there a moment later only: to call this at
        the end of a run as well as at its beginning leaves less behind.
        """
        made = list(self._made())
        there = {each.name for each in made if each.is_valid}
        for each in made:
            lock = self._lock_of_leftover(each, there)
            is_own = lock in self._locked
            if not lock or (is_own and each.oid not in self._left) or not (is_own or self._server.lock(lock)):
                continue
            try:
                if self._find(each.name) == each:
                    with suppress(TestkitError):  # somebody looks at it
                        self.drop(each.name)
                        yield each.name
            finally:
                if not is_own:
                    self._server.unlock(lock)

    # Names and notes

    @property
    def _alias(self) -> str:
        return f'the alias "{self.connection.alias}"'

    def _check_name(self, name: str) -> None:
        if name != self.base and self._suffix(name) is None:
            raise TestkitError(
                f'"{name}" is not dropped: it does not have the name of a test database of {self._alias}'
            )

    def _suffix(self, name: str) -> str | None:
        """Return the suffix from which :meth:`derived` makes ``name``; None if there is none."""
        suffixes = (name[place + 1 :] for place, character in enumerate(name) if character == "_")
        return next((suffix for suffix in suffixes if self.derived(suffix) == name), None)

    def _comment(self, name: str, **more: Any) -> str:
        note = json.dumps({"testkit": 1, "base": self.base, "run": self.run_name} | more)
        return f"COMMENT ON DATABASE {quoted(name)} IS {self._server.literal(note)}"

    def _find(self, name: str) -> Made | None:
        return next((made for made in all_made(self._server) if made.name == name), None)

    def _made(self) -> Iterator[Made]:
        """Yield what was made for this test database: the comment goes along when somebody renames one of ours."""
        for made in all_made(self._server):
            if made.name != self.base and self._suffix(made.name) is None:
                continue
            if made.note.get("base", self.base) == self.base:
                yield made

    def _is_template(self, made: Made) -> bool:
        return "digest" in made.note and made.name == self.template_name(str(made.note["digest"]))

    def _spares(self, digest: str) -> list[str]:
        matches = [(made, _SPARE.fullmatch(self._suffix(made.name) or "")) for made in self._made()]
        return [made.name for made, match in matches if match and match[1] == digest]

    def _lock_of_leftover(self, made: Made, there: set[str]) -> str:
        """Return the name by whose lock ``made`` is in use; nothing for what is to stay."""
        suffix = self._suffix(made.name) or ""
        if _BUILD.fullmatch(suffix):
            return made.name
        if match := _SPARE.fullmatch(suffix):
            template = self.template_name(match[1])
            return "" if template in there and made.is_valid else template
        if self._is_template(made):
            return "" if made.is_valid else made.name
        return run_of(made)

    # Copies

    def _use(self, template: str) -> None:
        """Keep other runs from removing ``template`` until :meth:`unlock`."""
        if not self._server.lock(template, shared=True):
            raise TestkitError(f'another run is just removing the template "{template}": start this one again')

    def _make(self, source: str, target: str, **note: Any) -> None:
        """Copy ``source`` to ``target``: with a ``note``, a template, which may come to be there meanwhile."""
        what = f'the database "{source}" cannot be copied to "{target}"'
        self._refuse_stranger(target)
        self._leave(source)
        build = self._build_name()
        with self._explained(what, source):
            self._server.lock(build)
            try:
                self._insist([source], [self._creation(source, build)])
                if not note:
                    self.drop(target)
                self._insist([build], self._finish(source, build, target, **note))
            except BaseException as error:  # an interrupt, too, leaves nothing behind
                with suppress(Exception):
                    self.drop(build)
                if not (note and isinstance(error, DatabaseError) and code_of(error) == _DUPLICATE):
                    raise
            finally:
                self._server.unlock(build)

    def _creation(self, source: str, target: str) -> str:
        statement = creation_of(self._server, source, target)
        if not statement:
            raise TestkitError(f'the database "{source}" of {self._alias} cannot be copied: it is not there')
        return statement

    def _finish(self, source: str, copy: str, name: str, **note: Any) -> list[str]:
        """Return the statements by which a ``copy`` of ``source`` becomes ``name``."""
        rename = f"ALTER DATABASE {quoted(copy)} RENAME TO {quoted(name)}"
        return [self._comment(copy, **note), do_not_sync(copy), *rest_of(self._server, source, copy), rename]

    def _take_spare(self, template: Template, name: str) -> bool:
        self._refuse_stranger(name)
        for spare in self._spares(template.digest):
            self.drop(name)
            with suppress(DatabaseError):  # another run has taken it
                self._insist([spare], self._finish(template.name, spare, name))
                return True
        return False

    def _drop_later(self, name: str) -> None:
        """Give the database ``name`` a name that nobody looks for, and have the server drop it."""
        self._check_name(name)
        self._leave(name)
        waste = self._build_name()
        self._server.lock(waste, shared=True)  # with the server's own session, so that no other run sweeps it
        with self._explained(f'the database "{name}" cannot be dropped', name):
            self._insist([name], [f"ALTER DATABASE {quoted(name)} RENAME TO {quoted(waste)}"])
            self._server.begin(f"DROP DATABASE {quoted(waste)}", lock=waste)

    def _build_name(self) -> str:
        return self.derived(f"tk_b{secrets.token_hex(4)}")

    def _see_to_spare(self, template: str, digest: str) -> None:
        if digest not in self._spared and not self._spares(digest):
            self._begin_spare(template, digest)

    def _begin_spare(self, template: str, digest: str) -> None:
        self._spared.add(digest)
        spare = self.derived(f"tk{digest}s{secrets.token_hex(4)}")
        with suppress(Exception):  # what it saves is time, and that of another run
            self._server.begin(self._creation(template, spare))

    def _refuse_stranger(self, name: str) -> None:
        if self.stranger(name):
            raise TestkitError(
                f'there is a database "{name}" on the server of {self._alias} that testkit has not made for this role: '
                'drop it, or give DATABASES another TEST["NAME"]'
            )

    # Sessions and errors

    def _leave(self, name: str) -> None:
        """Close what this thread has open at the database ``name``."""
        for connection in {*connections.all(initialized_only=True), self.connection}:
            if connection.vendor == "postgresql" and connection.settings_dict["NAME"] == name:
                close_all(connection)

    def _insist(self, names: Sequence[str], statements: Sequence[str]) -> None:
        """Run statements for which nobody may be at the databases ``names``; what threads open again is ended again."""
        self._end_sessions(names)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._server.run(*statements)
                return
            except DatabaseError as error:
                if code_of(error) != _IN_USE or attempt == _ATTEMPTS or not self._end_sessions(names):
                    raise

    def _end_sessions(self, names: Sequence[str]) -> bool:
        """End this user's sessions at the databases ``names``, and return whether there were any."""
        deadline = time.monotonic() + _SESSION_SECONDS
        found = False
        while end_sessions(self._server, names) and time.monotonic() < deadline:
            found = True
            time.sleep(0.005)
        return found

    @contextmanager
    def _explained(self, what: str, name: str = "") -> Iterator[None]:
        """Raise errors of the server as what they mean; those about sessions are about the database ``name``."""
        try:
            yield
        except DatabaseError as error:
            remedy = ""
            with suppress(Exception):
                remedy = self._remedy(code_of(error), name)
            raise TestkitError(f"{self._alias}: {what}: {str(error).strip()}{remedy}") from error

    def _remedy(self, code: str, name: str) -> str:
        if code == _IN_USE and name:
            sessions = ", ".join(sessions_at(self._server, name)) or "none any more"
            return f". Sessions there: {sessions}. End them, or their programs"
        if code != _NOT_ALLOWED:
            return ""
        query = "SELECT quote_ident(rolname), rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"
        ((role, may_create),) = self._server.rows(query)
        if may_create:
            return f". The role {role} has to own the database"
        return f". Let its role create databases: ALTER ROLE {role} CREATEDB"
