"""Files by their content, which is read again only when stat says that it may have changed."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from hashlib import blake2b, file_digest
from pathlib import Path
from stat import S_ISREG
from typing import Any, NamedTuple

from testkit.core.clock import clock
from testkit.core.paths import replacing
from testkit.databases.dependencies.imports import imported_names

_FORMAT = [1, *sys.version_info[:2]]
"""What the remembered facts were made by: the names of the standard library are Python's."""
_SETTLED = 2 * 10**9  # nanoseconds; the coarsest time stamps, those of FAT, are two seconds
_SMALL = 2**20  # bytes that are read at once
_LENGTH = 16  # bytes of a digest
_PASSED_OVER = ("~", "-journal", "-wal", "-shm")
_FIELDS = [int, int, int, int, str]


class File(NamedTuple):
    """A file below a folder."""

    path: str
    name: str
    """Its path below the folder, with slashes."""
    status: os.stat_result


class Files:
    """Digests of files, remembered from run to run.

    A file is the same when size, both times and inode are: who sets the time of its content back cannot set that of its
    status. A file that was changed less than two seconds before it was read is not remembered, since a change right
    after that could leave it with the same times (what git calls racy,
    https://git-scm.com/docs/racy-git).
    """

    def __init__(self, path: Path) -> None:
        """Remember in the file ``path``; one that is damaged or missing is made anew."""
        self._path = path
        self._known = _read(path)
        self._used: dict[str, list[Any]] = {}
        self._is_new = False

    def digest(self, path: str, status: os.stat_result | None = None) -> str:
        """Return the digest of a file's content.

        Raises:
            OSError: it cannot be read, or is none.
        """
        return str(self._facts(path, status)[4])

    def imports(self, path: str, status: os.stat_result | None = None) -> list[str]:
        """Return what a Python file imports, as :func:`~testkit.databases.dependencies.imports.imported_names` has it.

        Raises:
            OSError: it cannot be read, or is none.
        """
        facts = self._facts(path, status)
        if facts[5] is None:
            with open(path, "rb") as file:
                facts[5] = imported_names(file.read())
            self._is_new = True
        return list(facts[5])

    def _facts(self, path: str, status: os.stat_result | None) -> list[Any]:
        status = status or os.stat(path)
        key = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        facts = self._known.get(path)
        if facts is None or facts[:4] != key:
            facts = [*key, content_digest(path, status), None]
            self._known[path] = facts
            self._is_new = True
        self._used[path] = facts
        return facts

    def save(self) -> None:
        """Write down what is new, where it can be written."""
        if not self._is_new:
            return
        others = {path: facts for path, facts in self._known.items() if path in self._used or os.path.exists(path)}
        plain = {"format": _FORMAT, "files": {path: facts for path, facts in others.items() if is_settled(facts[1:3])}}
        with suppress(OSError), replacing(self._path) as file:
            file.write(json.dumps(plain, separators=(",", ":")))  # json.dump() writes by Python's own steps
        self._is_new = False


def is_settled(times: list[int]) -> bool:
    """Return whether a file with these times, in nanoseconds since the epoch, cannot be changed and keep them."""
    return max(times) < clock.now() * 10**9 - _SETTLED


def content_digest(path: str, status: os.stat_result) -> str:
    """Return the digest of the content of a regular file.

    Raises:
        OSError: it cannot be read, or is a folder, a device or a pipe.
    """
    if not S_ISREG(status.st_mode):
        raise OSError(f"{path} is no regular file")
    with open(path, "rb", buffering=0) as file:
        if status.st_size > _SMALL:
            return str(file_digest(file, _hash).hexdigest())
        return blake2b(file.read(), digest_size=_LENGTH).hexdigest()


def files_below(folder: str, below: str = "") -> Iterator[File]:
    """Yield the regular files below ``folder`` in the order of their names, without what tools leave there."""
    try:
        with os.scandir(folder) as scanned:
            entries = sorted(scanned, key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if is_left_by_a_tool(entry.name):
            continue
        name = f"{below}{entry.name}"
        with suppress(OSError):  # it went away
            if entry.is_dir(follow_symlinks=False):
                yield from files_below(entry.path, f"{name}/")
            elif entry.is_file():
                yield File(entry.path, name, entry.stat())


def is_left_by_a_tool(name: str) -> bool:
    """Return whether a file or folder of this name is of an editor, an interpreter or a database rather than content."""
    return name[0] in ".#" or name == "__pycache__" or name.endswith(_PASSED_OVER)


def _hash() -> Any:
    return blake2b(digest_size=_LENGTH)


def _read(path: Path) -> dict[str, list[Any]]:
    try:
        plain = json.loads(path.read_bytes())
        if plain["format"] == _FORMAT and all(map(_is_whole, plain["files"].values())):
            return dict(plain["files"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass
    return {}


def _is_whole(facts: list[Any]) -> bool:
    return [*map(type, facts[:-1])] == _FIELDS and isinstance(facts[-1], list | None)
