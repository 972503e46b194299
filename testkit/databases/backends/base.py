"""What templates need of a kind of database: to lock a name, copy a database, keep it as a template, drop it.

A *template* is a migrated database that no test has used. It has a digest, the fingerprint of all that it was built
from, and a description, plain text that says the rest. It is built under another name, or marked last: what has the name
of a template is one, whole and unused.

All names of databases are derived from the alias's test name, so that what testkit makes is told from what it does not.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper

DIGEST_LENGTH = 12
"""So many characters of a fingerprint's digest are in the name of its template."""
TOUCH_SECONDS = 60
"""What a server knows of the last use of a template may be so old: each change of it waits for the disk."""


class Template(NamedTuple):
    """A template that is there, finished: its database's (or file's) name, and what was said when it was kept."""

    name: str
    digest: str
    """The characters of the fingerprint's digest that are in its name."""
    description: str
    used: float
    """When a run last used it, in seconds since the epoch."""


class Backend(ABC):
    """Templates of one test database.

    One object serves one alias in one process. Methods may be called in any process of the run, forked ones too, and
    leave ``connection`` closed or untouched: those of servers use an administrative connection of their own.
    """

    longest_name: ClassVar[int]
    """How long the name of a database may be, in bytes."""
    is_server: ClassVar[bool] = True
    """Whether what is kept is on a server that others use, too, and so has to be asked for."""

    def __init__(self, connection: BaseDatabaseWrapper, base: str, cache: Path) -> None:
        """Serve the alias of ``connection``.

        Args:
            connection: Django's connection; its settings give server, user and password.
            base: the name of the alias's test database as the settings have it, whatever a run calls it.
            cache: the absolute path of the folder of what runs remember (``.testkit``).
        """
        self.connection = connection
        self.base = base
        self.cache = cache
        self.run_name = base
        """What this run calls its test database; another run may have ``base``."""

    def derived(self, suffix: str) -> str:
        """Return the name of another database of this alias: ``base`` and ``_suffix``, short enough for the server."""
        name = f"{self.base}_{suffix}"
        if len(name.encode()) <= self.longest_name:
            return name
        mark = hashlib.blake2b(self.base.encode(), digest_size=4).hexdigest()
        room = self.longest_name - len(suffix.encode()) - len(mark) - 2
        return f"{self.base.encode()[:room].decode(errors='ignore')}_{mark}_{suffix}"

    def template_name(self, digest: str) -> str:
        """Return the name of the template whose fingerprint is ``digest``."""
        return self.derived(f"tk{digest[:DIGEST_LENGTH]}")

    @abstractmethod
    def version(self) -> str:
        """Return what tells the server's (or library's) version, as far as databases made by it may differ."""

    # Names

    @abstractmethod
    def lock(self, name: str) -> bool:
        """Take the database ``name`` for this run, and return False if another run has it.

        The lock is the run's: it dies with this process and those that were forked from it, however they end. To lock
        what this process has locked already is allowed, and true.
        """

    @abstractmethod
    def unlock(self) -> None:
        """Give back all that was locked; the administrative connection is closed."""

    @abstractmethod
    def stranger(self, name: str) -> bool:
        """Return whether there is a database ``name`` that testkit has not made (or of which that is not known)."""

    @abstractmethod
    def mark(self, name: str) -> None:
        """Note, where a later run on any machine finds it, that the database ``name`` was made by testkit for tests."""

    @contextmanager
    def creating(self, name: str) -> Iterator[None]:
        """Mark the database ``name`` that Django creates, still empty, in the block: from its first moment, if possible."""
        yield
        self.mark(name)

    # Databases

    @abstractmethod
    def copy(self, source: str, target: str) -> None:
        """Make ``target`` a copy of the database ``source``, faithful in all that tests could see, and mark it.

        Nobody is connected to ``source``, or whoever is belongs to this run and is disconnected. A ``target`` that is
        there already and that testkit has made is replaced.

        Raises:
            TestkitError: it cannot be copied; nothing half made is left.
        """

    @abstractmethod
    def drop(self, name: str) -> None:
        """Drop the database ``name``, ending the sessions that this user has left there; nothing if it is not there."""

    # Templates

    @abstractmethod
    def templates(self) -> list[Template]:
        """Return the finished templates of this test database."""

    @abstractmethod
    def keep(self, source: str, digest: str, description: str) -> None:
        """Make a template of the database ``source``, unless the one for ``digest`` is there already.

        Raises:
            TestkitError: it cannot be made, for want of a privilege for example; nothing half made is left.
        """

    @abstractmethod
    def provide(self, template: Template, name: str) -> None:
        """Make ``name`` a fresh copy of ``template``, by the fastest way there is (a clean clone of an earlier run).

        Raises:
            TestkitError: it cannot be made.
        """

    @abstractmethod
    def release(self, name: str, template: Template | None) -> None:
        """End the use of the database ``name``: it is not there any more, or clean for the next :meth:`provide`.

        Args:
            name: what :meth:`provide` or :meth:`copy` has made, or Django has.
            template: of which clean clones are to be left for the next run; None to leave nothing.
        """

    @abstractmethod
    def touch(self, template: Template) -> None:
        """Note that ``template`` is used now; servers need not, if they have in the last :data:`TOUCH_SECONDS`."""

    @abstractmethod
    def remove(self, template: Template) -> bool:
        """Remove ``template`` and its clean clones, and return False if a run is using it."""

    @abstractmethod
    def sweep(self) -> Iterable[str]:
        """Remove what killed runs of any machine have left: builds and clones whose lock is free; return their names.

        Only what :meth:`mark` has marked is removed, and no finished template nor its clean clones.
        """
