"""Files that a run writes: names become paths here, and a file is whole or absent."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from testkit.core.errors import UnsafePathError

_UNSAFE = re.compile(r"[^A-Za-z0-9._+@=-]+")
_LONGEST_NAME = 200  # bytes; file systems allow 255, and suffixes are added
_FORBIDDEN = '<>:"/\\|?*'  # by Windows
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\..*)?", re.IGNORECASE)  # by Windows


def path_below(folder: Path, *names: str, exact: bool = False) -> Path:
    """Return the path of ``names`` below ``folder``; the one way from a name to a path.

    Each name is one path component: what file systems do not all allow becomes ``-``. With ``exact`` it is an error
    instead, so that two names never have the same path; letters of all languages are allowed then.

    Raises:
        UnsafePathError: a name is empty, or nothing but dots, once it is clean; or ``exact``, and it is not clean.
    """
    path = folder
    for name in names:
        clean = name if exact else _UNSAFE.sub("-", name)[:_LONGEST_NAME]
        reason = _why_not(name) if exact else "give it letters or digits" if not clean.strip(".") else ""
        if reason:
            raise UnsafePathError(f"{name!r} cannot be the name of a file below {folder}: {reason}")
        path /= clean
    return path


def _why_not(name: str) -> str:
    """Return what is wrong with ``name`` on one of the file systems that a project may be checked out on, else nothing."""
    if not name:
        return "it is empty"
    if not name.isprintable():
        return "it has a character that cannot be printed"
    forbidden = [character for character in _FORBIDDEN if character in name]
    if forbidden:
        return f"it has {' '.join(forbidden)} in it, which not all file systems allow"
    if name.startswith((".", " ")) or name.endswith((".", " ")):
        return "it begins or ends with a dot or a space"
    if _RESERVED.fullmatch(name):
        return "Windows keeps that name for a device"
    if unicodedata.normalize("NFC", name) != name:
        return "its accents are characters of their own; normalise it to NFC"
    if len(name.encode()) > _LONGEST_NAME:
        return f"it has {len(name.encode())} bytes, and {_LONGEST_NAME} is the most"
    return ""


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
