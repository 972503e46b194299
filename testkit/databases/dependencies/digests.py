"""Digests of what migrations read: files, lists of folders, environment variables, settings."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from glob import glob
from typing import Any

from django.conf import settings

from testkit.databases.dependencies.places import path_of
from testkit.databases.dependencies.sources import content_digest, is_left_by_a_tool, is_settled
from testkit.databases.dependencies.stable import hashed, stable

MISSING = "missing"
"""The digest of what is not there."""


def digest_now(kind: str, name: str, folder: str) -> str:
    """Return the digest of an input as it is now.

    Args:
        kind: that of the input.
        name: its name, as inputs have it.
        folder: the absolute path of the working directory.
    """
    if kind in _OF_PATHS:
        return _OF_PATHS[kind](path_of(name, folder, is_pattern=kind == "pattern"))
    if kind == "environment":
        return digest_of_value(os.environ.get(name, MISSING_VALUE), folder)
    values: Any = settings._wrapped  # LazySettings puts a prefix before some
    return digest_of_value(getattr(values, name, MISSING_VALUE), folder)


MISSING_VALUE = object()
"""Stands for a variable or a setting that is not there."""


def digest_of_value(value: Any, folder: str) -> str:
    """Return the digest of the value of a variable or a setting."""
    if value is MISSING_VALUE:
        return MISSING
    try:
        return hashed(stable(value, folder))
    except Exception:  # a value whose repr() fails is told by its type
        return hashed(stable(type(value)))


def digest_of_file(path: str) -> str:
    """Return the digest of a file's content, and what stat says of it where that can be relied on."""
    try:
        status = os.stat(path)
        content = content_digest(path, status)
    except (FileNotFoundError, NotADirectoryError):
        return MISSING
    except OSError:
        return "unreadable"
    settled = is_settled([status.st_mtime_ns, status.st_ctime_ns])
    return f"{content} {_key(status)}" if settled else content


def is_same_file(path: str, digest: str) -> bool:
    """Return whether a file still has the ``digest``; its content is read only when stat does not say so."""
    content, _, key = digest.partition(" ")
    if key:
        try:
            if _key(os.stat(path)) == key:
                return True
        except OSError:
            pass
    return digest_of_file(path).partition(" ")[0] == content


def digest_of_folder(path: str) -> str:
    """Return the digest of the names in a folder."""
    try:
        names = os.listdir(path)
    except OSError:
        return MISSING
    return hashed(stable(sorted(name for name in names if not is_left_by_a_tool(name))))


def digest_of_pattern(pattern: str) -> str:
    """Return the digest of the names that fit a pattern."""
    found = sorted(os.path.relpath(path, _fixed_part(pattern)) for path in glob(pattern, recursive=True))
    return hashed(stable(found))


def _fixed_part(pattern: str) -> str:
    head = pattern
    while any(sign in head for sign in "*?["):
        head = os.path.dirname(head)
    return head or os.sep


def _key(status: os.stat_result) -> str:
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"


_OF_PATHS: Mapping[str, Callable[[str], str]] = {
    "file": digest_of_file,
    "folder": digest_of_folder,
    "pattern": digest_of_pattern,
}
