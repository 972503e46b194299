"""Values as text that is the same in every process: no addresses, no order of sets, no path of this checkout."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Set
from enum import Enum
from functools import partial
from hashlib import blake2b
from pathlib import PurePath
from tempfile import gettempdir
from types import ModuleType
from typing import Any

from django.utils.functional import Promise

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_PLAIN = frozenset({int, bool, float, complex, bytes, type(None)})
_TEMPORARY = "{temporary}"
"""Stands for any path below the folder of temporary files: what is in a place to write in decides nothing."""
_DEEPEST = 12
"""Objects nested deeper (or in circles) are told by their type."""


def hashed(text: str) -> str:
    """Return the hash of ``text`` as hexadecimal digits."""
    return blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()


def stable(value: Any, folder: str = "", depth: int = 0) -> str:
    """Return text that is equal for equal values, in whatever process.

    Args:
        value: anything; what has no text of its own is told by its type and attributes.
        folder: the absolute path of the working directory: paths below it are told relative to it. Those of temporary
            files, of which each run has others, are all alike.
        depth: how deep ``value`` is nested already.
    """
    kind = type(value)
    if isinstance(value, str):
        text = str.__str__(value)
        return repr(_portable(text, folder) if os.sep in text else text)
    if kind in _PLAIN:
        return repr(value)
    if isinstance(value, Promise):
        # What is still to be translated: what it is made of is told without loading any catalogue.
        return f"lazy{stable((vars(value).get('_args'), vars(value).get('_kw')), folder, depth + 1)}"
    if depth > _DEEPEST:
        return _name(kind)
    if kind is list or isinstance(value, tuple):
        return f"({', '.join([stable(item, folder, depth + 1) for item in value])})"
    if isinstance(value, Mapping):
        items = [f"{stable(key, folder, depth + 1)}: {stable(value[key], folder, depth + 1)}" for key in value]
        return f"{{{', '.join(sorted(items))}}}"
    if isinstance(value, Set):
        return f"{{{', '.join(sorted([stable(item, folder, depth + 1) for item in value]))}}}"
    return _object(value, folder, depth + 1)


def _object(value: Any, folder: str, depth: int) -> str:
    kind: Any = type(value)
    if isinstance(value, PurePath):
        return stable(str(value), folder)
    if isinstance(value, ModuleType):
        return value.__name__
    if isinstance(value, Enum):
        return f"{_name(kind)}.{value.name}"
    if isinstance(value, partial):
        return f"partial{stable((value.func, value.args, value.keywords), folder, depth)}"
    if hasattr(value, "__qualname__"):  # functions, methods and classes
        return _name(value)
    if callable(getattr(value, "deconstruct", None)):
        return _name(kind) + stable(value.deconstruct(), folder, depth)
    if kind.__repr__ is object.__repr__:
        return _name(kind) + stable(getattr(value, "__dict__", {}), folder, depth)
    text = _ADDRESS.sub("", repr(value))
    return text.replace(folder + os.sep, "./") if folder else text


def _portable(text: str, folder: str) -> str:
    if folder and _is_below(text, folder):
        return f".{text[len(folder) :]}"
    return _TEMPORARY if _is_below(text, gettempdir()) else text


def _is_below(text: str, folder: str) -> bool:
    return text.startswith(folder) and text[len(folder) : len(folder) + 1] in ("", os.sep)


def _name(value: Any) -> str:
    return f"{getattr(value, '__module__', '')}.{value.__qualname__}"
