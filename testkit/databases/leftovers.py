"""Databases that a killed run left behind: the next run removes them, without asking.

Each run notes the databases that it is going to make in a file of its own, and removes the file when it has dropped
them. A file whose process is gone tells what is left. It has names, and nothing that could open a database.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from testkit.core.paths import path_below, replacing
from testkit.databases.targets import family_of, is_in_memory, name_for_tests, real_one, sqlite_file, target_of

_FOLDER = "databases"


class Made(NamedTuple):
    """A database that a run makes: the alias it is made for, its server, its name."""

    alias: str
    server: str
    name: str


class Process(NamedTuple):
    """A process, told from every other one; what a system cannot say is empty."""

    machine: str
    boot: str
    namespace: str
    id: int
    started: str


class Record:
    """The file in which a run notes its databases."""

    def __init__(self, cache: Path) -> None:
        """Keep it below ``cache``, the folder of what runs remember."""
        self._path = path_below(cache / _FOLDER, f"{os.getpid()}.json")
        self._made: list[Made] = []

    def add(self, connection: BaseDatabaseWrapper, name: str) -> None:
        """Note that the database ``name`` is going to be made by ``connection``."""
        if family_of(connection) == "sqlite3" and is_in_memory(name):
            return
        self._made.append(Made(connection.alias, _server_of(connection), name))
        plain = {"process": _process(os.getpid()), "databases": self._made}
        with suppress(OSError), replacing(self._path) as file:  # not to be noted is no reason to fail
            json.dump(plain, file)

    def add_test_databases(self, aliases: Iterable[str]) -> None:
        """Note what ``setup_databases`` is going to make for ``aliases``, as soon as it is made.

        Not before: what is there already may be somebody's, and Django asks for it.
        """
        for connection in map(connections.__getitem__, aliases):
            if family_of(connection) != "dummy" and not connection.settings_dict["TEST"]["MIRROR"]:
                with suppress(Exception):  # whatever a foreign backend does; the guard has looked at it
                    self._add_when_made(connection)

    def _add_when_made(self, connection: BaseDatabaseWrapper) -> None:
        creation: Any = connection.creation
        name, create = name_for_tests(connection), creation._create_test_db

        def create_and_note(*args: Any, **kwargs: Any) -> Any:
            vars(creation).pop("_create_test_db", None)
            made = create(*args, **kwargs)
            self.add(connection, name)
            return made

        creation._create_test_db = create_and_note

    def close(self) -> None:
        """Forget it: all were dropped, or are to stay."""
        self._path.unlink(missing_ok=True)


def remove_leftovers(cache: Path, *, keep: bool) -> list[str]:
    """Remove the databases of runs that were killed, and return their names.

    Only what has the name of a test database, or of a clone of one, and belongs to the server that the alias still has,
    is removed.

    Args:
        cache: the folder of what runs remember.
        keep: leave the databases that ``--keepdb`` uses again, and remove their clones alone.
    """
    removed = []
    for path in sorted((cache / _FOLDER).glob("*.json")):
        plain = _read(path)
        if plain is None or not _is_dead(plain["process"]):
            continue
        made = _removable(plain["databases"], keep)
        removed += [each.name for each in made if _remove(connections[each.alias], each.name)]
        path.unlink(missing_ok=True)
    return removed


def _read(path: Path) -> dict[str, Any] | None:
    try:
        plain = json.loads(path.read_text())
        plain["databases"] = [Made(*map(str, made)) for made in plain["databases"]]
        return {"process": Process(*plain["process"]), "databases": plain["databases"]}
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _removable(databases: Iterable[Made], keep: bool) -> Iterator[Made]:
    real = [target_of(connections[alias]) for alias in connections]
    for made in databases:
        if made.alias not in connections or _server_of(connections[made.alias]) != made.server:
            continue
        target = target_of(connections[made.alias])
        try:
            own = name_for_tests(connections[made.alias])
        except Exception:  # whatever a foreign backend does
            continue
        is_own = made.name == own and not keep
        if (is_own or _is_clone(made.name, own)) and real_one(target, made.name, real) is None:
            yield made


def _is_clone(name: str, own: str) -> bool:
    """Return whether ``name`` is what Django calls a clone of ``own``: with a number, before a file's extension."""
    root, extension = os.path.splitext(own)
    number = name.removeprefix(f"{root}_").removesuffix(extension)
    return name == f"{root}_{number}{extension}" and number.isdigit()


def _remove(connection: BaseDatabaseWrapper, name: str) -> bool:
    creation: Any = connection.creation
    if family_of(connection) == "sqlite3":
        file = sqlite_file(name)
        existed = file.exists()
        for suffix in ("", "-journal", "-wal", "-shm"):
            Path(f"{file}{suffix}").unlink(missing_ok=True)
        return existed
    try:
        end_sessions(connection, name)
        creation._destroy_test_db(name, verbosity=0)
    except Exception:  # it is gone, or in use: set-up will say so
        return False
    return True


def end_sessions(connection: BaseDatabaseWrapper, name: str) -> None:
    """End what killed processes may have left open at the database ``name``, which could not be dropped else."""
    creation: Any = connection.creation
    match family_of(connection):
        case "postgresql":
            with creation._nodb_cursor() as cursor:
                cursor.execute(
                    # Those of the server itself (autovacuum) make way, and may not be ended.
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND usename = current_user",
                    [name],
                )
        case "mysql":
            with creation._nodb_cursor() as cursor:
                cursor.execute("SHOW PROCESSLIST")
                for session in [row[0] for row in cursor.fetchall() if row[3] == name]:
                    with suppress(DatabaseError):  # it has just ended
                        cursor.execute("KILL %s", [session])


def _server_of(connection: BaseDatabaseWrapper) -> str:
    family, port, names = target_of(connection).server
    return f"{family} {port} {','.join(sorted(names))}"  # type: ignore[call-overload]


def _process(id: int) -> Process:
    """Return what tells the process ``id`` of this machine from all others."""
    return Process(platform.node(), _text("/proc/sys/kernel/random/boot_id"), _pid_namespace(), id, _start_of(id))


def _is_dead(process: Process) -> bool:
    """Return whether ``process`` is known to have ended: it was one of this machine, and is not there any more."""
    here = _process(process.id)
    if process.machine != here.machine:
        return False
    if process.boot != here.boot:
        return True
    if process.namespace != here.namespace:  # a container: its processes cannot be seen from here
        return False
    try:
        os.kill(process.id, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return bool(process.started) and here.started != process.started


def _start_of(process: int) -> str:
    """Return when ``process`` began, as the kernel counts: ids are given again."""
    try:
        return _text(f"/proc/{process}/stat").rpartition(")")[2].split()[19]
    except IndexError:
        return ""


def _pid_namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _text(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError:
        return ""
