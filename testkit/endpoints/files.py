"""TOML files by endpoint, which people edit as well: comments, order and line ends of what is there stay."""

from __future__ import annotations

import codecs
import difflib
import errno
import fcntl
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

from testkit.core.paths import replacing

KEY = re.compile(r"[^\s/]+ /.*", re.DOTALL)
"""An endpoint, as a key of such a file: ``GET /library/books/<int:pk>/``."""


class Text(NamedTuple):
    """A file's text with plain line ends, and what editors of other systems have put in besides."""

    lines: str
    has_mark: bool = False
    has_returns: bool = False

    @classmethod
    def read(cls, path: Path) -> Self:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
        return cls(text.replace("\r\n", "\n"), data.startswith(codecs.BOM_UTF8), "\r\n" in text)

    def changed(self, lines: str) -> str:
        """Return ``lines`` with the line ends and the mark of this text."""
        text = lines.replace("\n", "\r\n") if self.has_returns else lines
        return f"\ufeff{text}" if self.has_mark else text


@contextmanager
def editing(path: Path, header: str) -> Iterator[tuple[str, Any]]:
    """Give the text of a file and its document, and write what the block makes of that; one process at a time.

    ``header`` is what a file begins with that is not there yet.
    """
    import tomlkit

    path = path.resolve()  # a link stays one
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.parent):
        before = Text.read(path) if path.exists() else Text("")
        document: Any = tomlkit.parse(before.lines or header)
        yield before.lines, document
        after = document.as_string()
        if after != before.lines:
            _replace(path, before.changed(after))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one process after the other edit files in ``folder``."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(path: Path, text: str) -> None:
    mode = path.stat().st_mode if path.exists() else None
    if mode is not None and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, "it is read-only", str(path))
    with replacing(path) as file:
        file.write(text)
    if mode is not None:
        path.chmod(mode)


def shown(path: Path) -> str:
    """Return ``path`` as messages have it: from the working directory, if it lies there."""
    with suppress(FileNotFoundError):  # a test has removed the working directory
        here = Path.cwd()
        return str(path.relative_to(here) if path.is_relative_to(here) else path)
    return str(path)


def line_of(key: str, table: str, lines: Iterable[str]) -> int:
    """Return the line that ``key``, of ``table`` or of none, stands in, from 1; 0 where that cannot be told."""
    spellings = (json.dumps(key, ensure_ascii=False), f"'{key}'", key)
    keys = "|".join(map(re.escape, spellings))
    beginning = re.compile(rf"\s*\[?\s*(?:{table}\s*\.\s*)?(?:{keys})\s*[=.\]]")
    return next((number for number, line in enumerate(lines, 1) if beginning.match(line)), 0)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a remedy for ``name``, which is not among the ``known`` ones."""
    known = list(known)
    near = difflib.get_close_matches(name, known, 1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"


def by_route(key: str) -> tuple[str, str]:
    """Return what to sort an endpoint by: its route, then its method."""
    method, _, route = key.partition(" ")
    return route, method
