"""Tests with screenshots are run where that is asked for, and once for each browser.

Whether a class is skipped is decided when its tests are about to run, by attributes that unittest, Django, nose2 and
pytest all look at before they set anything up: a run that does not ask for browsers pays for none.
"""

from __future__ import annotations

import os
import sys
import unittest
from typing import Any

from testkit.screenshots import options
from testkit.screenshots.options import HINT, TAG


def is_wanted() -> bool:
    """Return whether tests with screenshots run at all."""
    return options.current().with_needle


class _Skipped:
    """``__unittest_skip__`` of a class: whether its tests are left out."""

    def __get__(self, instance: object, owner: type) -> bool:
        return not is_wanted()


class _Reason:
    """``__unittest_skip_why__`` of a class."""

    def __get__(self, instance: object, owner: type) -> str:
        return "" if is_wanted() else HINT


def browsers() -> tuple[str, ...]:
    """Return the browsers that each test is to run in; Needle's variable names a single one."""
    named = os.environ.get("NEEDLE_BROWSER")
    return (named,) if named else options.current().browsers


class OptIn:
    """For the base classes of tests that need a browser."""

    tags = frozenset({TAG})
    __unittest_skip__: Any = _Skipped()
    __unittest_skip_why__: Any = _Reason()

    browser: str = ""
    """Which browser the class runs in; empty for the first of those that are wanted."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "tags" in vars(cls):  # else they are inherited, together with what a decorator adds later on
            cls.tags = frozenset(cls.tags) | {TAG}
        if not cls.browser and _is_collected(cls):
            _have_page_written()
            for browser in browsers()[1:]:
                _put_beside(cls, browser)


def _have_page_written() -> None:
    """Have the review page written at the exit of this process, which collects tests that are wanted."""
    if is_wanted():
        from testkit.screenshots.review.page import write_page_at_exit

        write_page_at_exit()


def _is_collected(cls: type) -> bool:
    """Return whether test loaders find ``cls`` in its module, and tests in it."""
    return (
        issubclass(cls, unittest.TestCase)
        and cls.__qualname__ == cls.__name__
        and any(name.startswith("test") and callable(getattr(cls, name, None)) for name in dir(cls))
    )


def _put_beside(cls: type, browser: str) -> None:
    """Put into the module of ``cls`` a class with the same tests in ``browser``, which loaders find as any other."""
    name = f"{cls.__name__}_{browser}"
    module = sys.modules[cls.__module__]
    body = {"__module__": cls.__module__, "__qualname__": name, "__doc__": cls.__doc__, "browser": browser}
    setattr(module, name, type(name, (cls,), body))
