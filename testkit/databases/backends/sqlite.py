"""Templates of SQLite databases: files below the cache folder, from which files and databases in memory are filled."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from testkit.core.errors import TestkitError
from testkit.core.paths import path_below, replacing
from testkit.databases.backends.base import DIGEST_LENGTH, Backend, Template
from testkit.databases.targets import is_in_memory, sqlite_file

_SUFFIXES = ("", "-journal", "-wal", "-shm")


class SqliteBackend(Backend):
    """Templates of one SQLite database.

    A template is two files: its description, and the database, which is given its name last. The database in memory *is*
    Django's connection to it, which therefore is open after :meth:`provide`.
    """

    longest_name = 200
    is_server = False

    def __init__(self, connection: BaseDatabaseWrapper, base: str, cache: Path) -> None:
        super().__init__(connection, base, cache)
        # Of two aliases, and of one under two settings, the test databases may have one name.
        place = blake2b(base.encode(), digest_size=4).hexdigest()
        self._folder = path_below(cache, "templates", f"{connection.alias}-{place}")
        self._locks: dict[Path, int] = {}
        self._left: list[str] = []

    def version(self) -> str:
        return f"SQLite {sqlite3.sqlite_version}"

    def derived(self, suffix: str) -> str:
        """Return the name beside that of a file, as Django names clones."""
        root, extension = os.path.splitext(self.base)
        return f"{root}_{suffix}{extension}"

    # Names

    def lock(self, name: str) -> bool:
        """Lock ``name`` for all runs of this checkout; in memory, a process has its databases for itself."""
        if is_in_memory(name):
            return True
        path = self._mark_of(name)
        if path not in self._locks:
            descriptor = _locked(path)
            if descriptor is None:
                return False
            self._locks[path] = descriptor
            # What is there now in the name of this run is an earlier one's.
            self._left += [file for mark in self._marks() for file in _swept(mark, sqlite_file(name))]
        return True

    def unlock(self) -> None:
        while self._locks:
            path, descriptor = self._locks.popitem()
            path.unlink(missing_ok=True)  # while it is locked
            os.close(descriptor)

    def _marks(self) -> list[Path]:
        return sorted((self.cache / "databases").glob("*"))

    def stranger(self, name: str) -> bool:
        if is_in_memory(name) or not sqlite_file(name).exists():
            return False
        made = _read(self._mark_of(name))
        return made is None or not _is_the_one(sqlite_file(name), made["inode"])

    def mark(self, name: str) -> None:
        """Note it in the file by which ``name`` is locked; a database file can have no remark."""
        if is_in_memory(name):
            return
        file, run = sqlite_file(name), sqlite_file(self.run_name)
        file.touch()
        made = {"file": str(file), "run": str(run), "inode": file.stat().st_ino}
        path = self._mark_of(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(made))  # in place: the file is locked, not its name

    def _mark_of(self, name: str) -> Path:
        key = blake2b(str(sqlite_file(name)).encode(), digest_size=16).hexdigest()
        return path_below(self.cache, "databases", key)

    # Databases

    def copy(self, source: str, target: str) -> None:
        self._leave(source)
        self.drop(target)
        try:
            _copy_file(sqlite_file(source), sqlite_file(target))
            self.mark(target)
        except OSError as error:
            raise TestkitError(
                f"the database {source} cannot be copied to {target}: {error.strerror or error}; see to the room and the "
                "permissions there, or give another TEST NAME"
            ) from error

    def drop(self, name: str) -> None:
        if not is_in_memory(name):
            _remove(sqlite_file(name))
            if self._mark_of(name) not in self._locks and name != self.run_name:
                self._mark_of(name).unlink(missing_ok=True)

    def _leave(self, name: str) -> None:
        """Close Django's connection to a file, and write what its journal has into it."""
        if self.connection.settings_dict["NAME"] == name:
            self.connection.close()
        with closing(sqlite3.connect(sqlite_file(name))) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    # Templates

    def templates(self) -> list[Template]:
        found = []
        for path in self._folder.glob("*.sqlite3"):
            described = path.with_suffix(".json")
            with suppress(OSError, ValueError):
                text = json.loads(described.read_text())["description"]
                found.append(Template(str(path), path.stem, text, described.stat().st_mtime))
        return found

    def keep(self, source: str, digest: str, description: str) -> None:
        path = path_below(self._folder, f"{digest[:DIGEST_LENGTH]}.sqlite3")
        if path.exists():
            return
        try:
            with replacing(path.with_suffix(".json")) as file:
                json.dump({"description": description}, file)
            with self._finished_at(path) as part:
                if is_in_memory(source):
                    self.connection.ensure_connection()
                    _write(self.connection.connection, part)
                else:
                    self._leave(source)
                    _copy_file(sqlite_file(source), part)
        except (OSError, sqlite3.Error) as error:
            raise TestkitError(
                f"no template can be kept in {self._folder}: {error}; see to the room and the permissions there, or give "
                "--no-templates"
            ) from error

    @contextmanager
    def _finished_at(self, path: Path) -> Iterator[Path]:
        part = path.with_name(f"{path.stem}.{os.getpid()}.part")
        try:
            yield part
            os.replace(part, path)
        finally:
            _remove(part)

    def provide(self, template: Template, name: str) -> None:
        try:
            if not is_in_memory(name):
                self.drop(name)
                _copy_file(Path(template.name), sqlite_file(name))
                self.mark(name)
                return
            self.connection.connect()
            with closing(sqlite3.connect(f"{Path(template.name).as_uri()}?mode=ro", uri=True)) as source:
                source.backup(self.connection.connection)
        except (OSError, sqlite3.Error) as error:
            raise TestkitError(f"the template {template.name} cannot be used: {error}; remove the file") from error

    def release(self, name: str, template: Template | None) -> None:
        self.drop(name)

    def touch(self, template: Template) -> None:
        with suppress(OSError):
            os.utime(Path(template.name).with_suffix(".json"))

    def remove(self, template: Template) -> bool:
        """Remove the files; a run that has begun has its copy."""
        for suffix in (".sqlite3", ".json"):
            Path(template.name).with_suffix(suffix).unlink(missing_ok=True)
        return True

    def sweep(self) -> Iterable[str]:
        """Remove the files that killed runs of this checkout have left."""
        for part in self._folder.glob("*.part*"):
            with suppress(OSError):
                if time.time() - part.stat().st_mtime > _LONGEST_WRITE:
                    part.unlink()
        found, self._left = self._left, []
        for mark in self._marks():
            made = _read(mark)
            run = Path(made["run"]) if made else None
            if run is None or self._mark_of(str(run)) in self._locks:
                continue
            descriptor = _locked(self._mark_of(str(run)))
            if descriptor is not None:
                found += _swept(mark, run)
                os.close(descriptor)
        return found


_HEADER = b"SQLite format 3\0"
_LONGEST_WRITE = 600.0
"""Seconds after which a file that is being written is taken for one that a killed run has left."""


def _locked(path: Path) -> int | None:
    """Return a descriptor of ``path`` that has it locked; None if another run has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            # Of the open file, so that it is the forked processes' as well, and ends with the last of them.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        with suppress(FileNotFoundError):
            if os.fstat(descriptor).st_ino == path.stat().st_ino:
                return descriptor
        os.close(descriptor)  # its last holder has removed it in between


def _swept(mark: Path, run: Path) -> Iterator[str]:
    """Remove the file that ``mark`` tells of, and the mark, if it was made for the run of that name; yield it."""
    made = _read(mark)
    if made is None or Path(made["run"]) != run:
        return
    file = Path(made["file"])
    if file.exists() and _is_the_one(file, made["inode"]):
        _remove(file)
        yield made["file"]
    if file != run:  # by whose mark it is locked
        mark.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any] | None:
    """Return what a mark says."""
    try:
        made = json.loads(path.read_text())
        return {"file": str(made["file"]), "run": str(made["run"]), "inode": int(made["inode"])}
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _is_the_one(file: Path, inode: int) -> bool:
    """Return whether ``file`` is the database that was marked; inodes are given again, also to what is none."""
    with open(file, "rb") as content:
        header = content.read(len(_HEADER))
    return file.stat().st_ino == inode and header in (b"", _HEADER)


def _remove(file: Path) -> None:
    for suffix in _SUFFIXES:
        Path(f"{file}{suffix}").unlink(missing_ok=True)


def _write(database: sqlite3.Connection, path: Path) -> None:
    """Write a database in memory to the file ``path``."""
    with closing(sqlite3.connect(path)) as target:
        target.execute("PRAGMA synchronous = OFF")
        target.execute("PRAGMA journal_mode = OFF")
        database.backup(target)


def _copy_file(source: Path, target: Path) -> None:
    """Copy a file; where the file system can share its blocks, it does (``copy_file_range``)."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(source, "rb") as reader, open(target, "wb") as writer:
        left = os.fstat(reader.fileno()).st_size
        try:
            while left:
                copied = os.copy_file_range(reader.fileno(), writer.fileno(), left)
                if not copied:
                    break
                left -= copied
        except (OSError, AttributeError):
            reader.seek(0)
            writer.seek(0)
            shutil.copyfileobj(reader, writer)
