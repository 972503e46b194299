"""Putting something around the methods of a class for a while, as those of Django by which a request is answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def wrapped(*changes: tuple[type, str, Callable[[Any], Any]]) -> Iterator[None]:
    """Put in the place of each method, given by class and name, what a function makes of it, for the block."""
    before: list[tuple[type, str, Any]] = []
    try:
        for cls, name, wrap in changes:
            before.append((cls, name, cls.__dict__.get(name)))
            setattr(cls, name, wrap(getattr(cls, name)))
        yield
    finally:
        for cls, name, method in reversed(before):
            if method is None:
                delattr(cls, name)
            else:
                setattr(cls, name, method)
