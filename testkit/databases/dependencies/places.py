"""Names of files that are the same in every checkout, and which files say nothing about a project's migrations."""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from functools import lru_cache
from glob import escape
from pathlib import Path

import django

INSTALLED = "{site-packages}"
"""Stands for the folder of installed packages, which each environment has elsewhere."""
_INSTALLED = re.compile(r"^(.*?/(?:site|dist)-packages)(?=/|$)")
_METADATA = re.compile(r"^[^/]+\.(?:dist-info|egg-info|pth)(?=/|$)")
_OF_SYSTEM = ("/dev/", "/etc/", "/lib/", "/proc/", "/run/", "/sys/", "/usr/lib/", "/usr/share/", "/var/run/")
_DJANGO = f"{Path(django.__file__).parent}{os.sep}"
_TESTKIT = f"{Path(__file__).parents[2]}{os.sep}"


def name_of(path: str, folder: str) -> str:
    """Return a name for the absolute ``path``: relative below ``folder`` or a folder of installed packages."""
    installed = _INSTALLED.match(path)
    if installed:
        return INSTALLED + path[installed.end() :]
    for start in (folder, escape(folder)):  # a pattern may have it either way
        if path.startswith(start) and path[len(start) : len(start) + 1] in ("", os.sep):
            return path[len(start) + 1 :] or "."
    return path


def path_of(name: str, folder: str, *, is_pattern: bool = False) -> str:
    """Return the path that :func:`name_of` has given ``name`` to, in this checkout and this environment."""
    if name.startswith(INSTALLED):
        rest = name[len(INSTALLED) + 1 :]
        found = [os.path.join(place, rest) for place in _places_of_packages()]
        return next(filter(os.path.lexists, found), found[0])
    return os.path.join(escape(folder) if is_pattern else folder, name)


def says_nothing(path: str, folder: str) -> bool:
    """Return whether a file has nothing to do with what migrations put into a database.

    It is the system's, Python's, Django's or testkit's, whose versions are known, or tells what is installed.
    """
    if path.startswith((_DJANGO, _TESTKIT)):
        return True
    installed = _INSTALLED.match(path)
    if installed:
        rest = path[installed.end() + 1 :]
        return not rest or bool(_METADATA.match(rest))
    if path.startswith(_places_of_python()):
        return True
    return path.startswith(_OF_SYSTEM) and not path.startswith(f"{folder}{os.sep}")


def is_installed_code(path: str) -> bool:
    """Return whether a module is Python's or of an installed package, rather than of a project."""
    return bool(_INSTALLED.match(path)) or path.startswith((_DJANGO, _TESTKIT, *_places_of_python()))


def is_python_code(path: str) -> bool:
    """Return whether code with this file name is of the standard library."""
    return path.startswith("<frozen ") or (path.startswith(_places_of_python()) and not _INSTALLED.match(path))


def is_own_code(path: str) -> bool:
    """Return whether code with this file name is testkit's."""
    return path.startswith(_TESTKIT)


def is_code_of_django(path: str) -> bool:
    """Return whether code with this file name is Django's."""
    return path.startswith(_DJANGO)


def _places_of_packages() -> tuple[str, ...]:
    return (*filter(_INSTALLED.fullmatch, sys.path), sysconfig.get_path("purelib"))


@lru_cache(maxsize=1)
def _places_of_python() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple({f"{place}{os.sep}" for place in (paths["stdlib"], paths["platstdlib"], os.path.dirname(os.__file__))})
