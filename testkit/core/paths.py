"""Files that a run writes: names become paths here, and a file is whole or absent."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from testkit.core.errors import UnsafePathError

_UNSAFE = re.compile(r"[^A-Za-z0-9._+@=-]+")
_LONGEST_NAME = 200  # bytes; file systems allow 255, and suffixes are added


def path_below(folder: Path, *names: str) -> Path:
    """Return the path of ``names`` below ``folder``; the one way from a name to a path.

    Each name is one path component: what file systems do not all allow becomes ``-``.

    Raises:
        UnsafePathError: a name is empty, or nothing but dots, once it is clean.
    """
    path = folder
    for name in names:
        clean = _UNSAFE.sub("-", name)[:_LONGEST_NAME]
        if not clean.strip("."):
            raise UnsafePathError(f"{name!r} cannot be the name of a file below {folder}: give it letters or digits")
        path /= clean
    return path


@contextmanager
def replacing(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file that takes the place of ``path`` when the block ends well, and vanishes when it does not.

    The parent folder is made when it is missing. Text is UTF-8; lone surrogates are written as ``\\udc80``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    encoding, errors = (None, None) if "b" in mode else ("utf-8", "backslashreplace")
    try:
        with open(temporary, mode, encoding=encoding, errors=errors) as file:
            yield file
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
