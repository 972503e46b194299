"""What tests say about how they want to be run: decorators for test classes and test methods.

They only note it on what they decorate; under another runner they do nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

_TIMEOUT = "__testkit_timeout__"
_RESOURCES = "__testkit_resources__"
_NO_SPLIT = "__testkit_no_split__"
_TAG = "timeout="


def timeout(seconds: float) -> Callable[[T], T]:
    """Give a test, or each test of a class, a time limit of its own; 0 stands for none.

    The tag ``timeout=SECONDS`` (``django.test.tag``) does the same, for tests that must not import testkit.

    Raises:
        ValueError: ``seconds`` is negative or no number.
    """
    limit = _checked(seconds)
    return lambda decorated: _noted(decorated, _TIMEOUT, limit)


def resource(name: str, slots: int = 1) -> Callable[[T], T]:
    """Let at most ``slots`` of the tests (classes as a rule) that name the resource ``name`` run at the same time.

    Raises:
        ValueError: ``slots`` is less than 1.
    """
    if slots < 1:
        raise ValueError(f"@resource({name!r}, slots={slots}): at least one slot is needed")

    def note(decorated: T) -> T:
        return _noted(decorated, _RESOURCES, {**getattr(decorated, _RESOURCES, {}), name: slots})

    return note


def no_split(decorated: T) -> T:
    """Say that the tests of a class must run one after the other in one process, in their order."""
    return _noted(decorated, _NO_SPLIT, True)


def _noted(decorated: T, name: str, value: Any) -> T:
    setattr(decorated, name, value)
    return decorated


def _checked(seconds: Any) -> float:
    try:
        number = float(seconds)
    except (TypeError, ValueError):
        number = math.nan
    if not (number >= 0 and math.isfinite(number)):
        raise ValueError(f"a time limit is a number of seconds, 0 or more, not {seconds!r}")
    return number


def timeout_of(test: Any) -> float | None:
    """Return the time limit in seconds that ``test`` (a test case) has of its own, or None.

    Raises:
        ValueError: a tag ``timeout=…`` of it is no number of seconds.
    """
    method = getattr(type(test), getattr(test, "_testMethodName", ""), None)
    limit = _limit_on(method)
    return _limit_on(type(test)) if limit is None else limit


def _limit_on(holder: Any) -> float | None:
    limit: float | None = getattr(holder, _TIMEOUT, None)
    tags = getattr(holder, "tags", ())
    if limit is not None or not tags:
        return limit
    return min((_checked(tag.removeprefix(_TAG)) for tag in tags if str(tag).startswith(_TAG)), default=None)


def resources_of(test: Any) -> Mapping[str, int]:
    """Return the slots of each resource that ``test`` (a test case) or its class names."""
    return {**getattr(type(test), _RESOURCES, {}), **getattr(_method(test), _RESOURCES, {})}


def may_be_split(cls: type) -> bool:
    """Return whether nothing on ``cls`` says :func:`no_split`."""
    return not getattr(cls, _NO_SPLIT, False)


def _method(test: Any) -> Any:
    return getattr(test, str(getattr(test, "_testMethodName", "")), None)
