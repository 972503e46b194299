"""Whose code a file holds: the user's own, or Python's, Django's, testkit's or a package's."""

from __future__ import annotations

import os
import sysconfig
from functools import cache

import django


def is_own_code(filename: str) -> bool:
    """Return whether ``filename`` holds code of the user's rather than of Python, Django, testkit or a package.

    What is no .py file is a template made Python, whose line numbers are of the Python.
    """
    return filename.endswith(".py") and not is_installed(filename)


def is_installed(filename: str) -> bool:
    """Return whether ``filename`` belongs to Python, Django, testkit or a package."""
    return "/site-packages/" in filename or "/dist-packages/" in filename or filename.startswith(_libraries())


@cache
def _libraries() -> tuple[str, ...]:
    """Return how the names of files begin that are not the user's: Python's, Django's and ours, wherever they lie."""
    python = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    ours = {os.path.dirname(django.__file__), os.path.dirname(os.path.dirname(__file__))}
    return ("<", *(os.path.join(folder, "") for folder in python | ours))
