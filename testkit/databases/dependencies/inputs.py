"""What migrations read while a template is built: a template is of no use when that has changed.

The fingerprint has what can be known beforehand. What a migration opens, lists, or asks of the environment and the
settings is known once it has run.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from tempfile import gettempdir
from typing import NamedTuple

from django.db import connections

from testkit.databases.dependencies.digests import MISSING, digest_now, is_same_file
from testkit.databases.dependencies.modules import migration_packages
from testkit.databases.dependencies.places import name_of, path_of
from testkit.databases.dependencies.sources import is_left_by_a_tool
from testkit.databases.targets import is_in_memory, sqlite_file

_OF_COMMANDS = os.path.join(os.sep, "management", "commands", "")
_WORDS = {
    "file": "{}",
    "folder": "the list of files in {}",
    "pattern": "what fits {}",
    "environment": "environment variable {}",
    "setting": "setting {}",
}


class Input(NamedTuple):
    """Something that was read, as it was then."""

    kind: str
    """``file``, ``folder`` (the names in it), ``pattern`` (the names that fit), ``environment`` or ``setting``."""
    name: str
    """Paths are relative to the working directory where they are below it."""
    digest: str
    """Of what was read, never the value itself."""


class Inputs:
    """What is read in a block of :func:`recorded_inputs`."""

    def __init__(self) -> None:
        # Here, as most runs find a template and build nothing.
        from testkit.databases.dependencies.asked import Asked
        from testkit.databases.dependencies.reads import Reads

        self._folder = os.getcwd()
        self.reads = Reads(self._folder)
        self.asked = Asked(self._folder)

    def found(self) -> list[Input]:
        """Return what was read in the block, and in earlier ones of this process.

        What a module reads while it is imported is read once, in the first block, and goes into the databases of all.
        """
        found = {(kind, name): digest for kind, name, digest in self._found()}
        return sorted(Input(kind, name, digest) for (kind, name), digest in {**_earlier, **found}.items())

    def _found(self) -> Iterator[Input]:
        known = tuple(f"{folder}{os.sep}" for package in migration_packages() for folder in package.folders)
        databases = set(_database_files())
        for (kind, path), digest in self.reads.found.items():
            is_own = path in self.reads.written or path in databases or self._was_temporary(path)
            if not (is_own or _is_known(kind, path, known)):
                yield Input(kind, name_of(path, self._folder), digest)
        for name, digest in self.asked.variables.items():
            yield Input("environment", name, digest)
        for name, digest in self.asked.settings.items():
            yield Input("setting", name, digest)

    def _was_temporary(self, path: str) -> bool:
        is_below = path.startswith(f"{gettempdir()}{os.sep}") and not path.startswith(f"{self._folder}{os.sep}")
        return is_below and not os.path.lexists(path)


_earlier: dict[tuple[str, str], str] = {}


@contextmanager
def recorded_inputs() -> Iterator[Inputs]:
    """Note what is read in the block: files, folders, patterns, environment variables, settings.

    The block is the first that imports migrations, and blocks are not nested.
    """
    from testkit.databases.dependencies.asked import asking
    from testkit.databases.dependencies.reads import listening

    inputs = Inputs()
    with listening(inputs.reads), asking(inputs.asked):
        yield inputs
    _earlier.update({(kind, name): digest for kind, name, digest in inputs.found()})


def changed(inputs: Iterable[Input]) -> str:
    """Return what has changed first since ``inputs`` were read, in a few words, or an empty text."""
    folder = os.getcwd()
    for kind, name, digest in inputs:
        if kind == "file":
            path = path_of(name, folder)
            if is_same_file(path, digest):
                continue
            now = "" if os.path.lexists(path) else MISSING
        else:
            now = digest_now(kind, name, folder)
            if now == digest:
                continue
        return f"{_WORDS.get(kind, kind).format(name)} {_what(digest, now)}"
    return ""


def _what(before: str, now: str) -> str:
    if before == MISSING:
        return "is new"
    return "is gone" if now == MISSING else "has changed"


def _database_files() -> Iterator[str]:
    for alias in connections:
        given = connections[alias].settings_dict
        for name in (given["NAME"], given["TEST"]["NAME"]):
            if connections[alias].vendor == "sqlite" and name and not is_in_memory(str(name)):
                yield str(sqlite_file(str(name)))


def _is_known(kind: str, path: str, folders: tuple[str, ...]) -> bool:
    """Return whether the fingerprint has a file already, or Django lists a folder to find migrations or commands."""
    if kind == "folder":
        return f"{path}{os.sep}".startswith(folders) or _OF_COMMANDS in f"{path}{os.sep}"
    below = next((path[len(folder) :] for folder in folders if path.startswith(folder)), "")
    return kind == "file" and bool(below) and not any(map(is_left_by_a_tool, below.split(os.sep)))
