"""What is behind the view of a route: its class or function, its name, and the methods that it takes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from types import FunctionType
from typing import Any

from testkit.endpoints.code import is_own_code

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE")
"""All methods, in the order in which they are told."""
ANY = "ANY"
"""Stands for the methods of a view that does not tell which ones it takes."""
_LIMITS = "require_http_methods.<locals>.decorator"
"""How Django calls what ``require_http_methods``, ``require_POST`` and their like are made of."""
_LIMITED = f"{_LIMITS}.<locals>.inner"
_DECORATED = "_multi_decorate.<locals>._wrapper"
"""How Django calls what ``method_decorator`` makes of a method."""


def class_of(view: Any) -> type | None:
    """Return the class behind ``view``, of Django's or Django REST framework's kind, or None."""
    found = getattr(view, "view_class", None) or getattr(view, "cls", None)
    return found if isinstance(found, type) else None


def is_plain_class_view(view: Any) -> bool:
    """Return whether ``view`` is what ``as_view()`` of Django has returned, without a decorator."""
    return _code_name(view) == "View.as_view.<locals>.view"


def function_of(view: Any) -> FunctionType | None:
    """Return the function behind ``view``, without its decorators as far as these tell; None if there is none."""
    for inner in _layers(view):
        view = inner
    return view if isinstance(view, FunctionType) and class_of(view) is None else None


def name_of(view: Any) -> str:
    """Return the dotted path of ``view``: of its class, or of its function."""
    found = class_of(view) or function_of(view) or inspect.unwrap(view)
    if not hasattr(found, "__qualname__"):
        found = type(found)
    # `@api_view` of Django REST framework makes a class, and gives it the name of the function.
    name = found.__qualname__ if found.__qualname__.endswith(found.__name__) else found.__name__
    return f"{found.__module__}.{name}"


def methods_of(view: Any) -> tuple[str, ...]:
    """Return the methods that ``view`` takes, in the order of :data:`METHODS`; :data:`ANY` where that cannot be told.

    HEAD is left out where there is GET, of which it is the head, and so is what a library answers without being asked
    for it: OPTIONS, and the PUT that Django's forms take for a POST.
    """
    cls = class_of(view)
    limits = [_limit_of(layer) for layer in _layers(view)]
    methods: Collection[str] | None = None
    if cls is not None:
        methods = _methods_of_class(cls, view)
        limits += _limits_of_method(getattr(cls, "dispatch", None))
    for limit in limits:
        if limit is not None:
            methods = limit if methods is None else [method for method in methods if method in limit]
    return (ANY,) if methods is None else _in_order(methods)


def _in_order(methods: Iterable[str]) -> tuple[str, ...]:
    found = {method.upper() for method in methods}
    if "GET" in found:
        found.discard("HEAD")
    return (*(method for method in METHODS if method in found), *sorted(found.difference(METHODS)))


def _layers(view: Any) -> Iterator[Any]:
    """Yield ``view`` and what lies below its decorators, the innermost last."""
    seen: set[int] = set()
    while view is not None and id(view) not in seen:
        seen.add(id(view))
        yield view
        view = view.func if isinstance(view, functools.partial) else getattr(view, "__wrapped__", None)


# Classes


def _methods_of_class(cls: type, view: Any) -> list[str] | None:
    given: Mapping[str, Any] = getattr(view, "view_initkwargs", None) or getattr(view, "initkwargs", None) or {}
    allowed = [name.lower() for name in given.get("http_method_names", getattr(cls, "http_method_names", ()))]
    actions: Mapping[str, str] | None = getattr(view, "actions", None)  # of a viewset: its action by method
    if actions is not None:
        return [name.upper() for name in actions if name in allowed]
    return [name.upper() for name in allowed if _is_offered(cls, name)] or None  # it may have a dispatch() of its own


def _is_offered(cls: type, method: str) -> bool:
    """Return whether ``cls`` is meant to answer ``method``, rather than having inherited how it could."""
    handler = getattr(cls, method, None)
    if not callable(handler):
        return False
    function = inspect.unwrap(handler)
    code = getattr(function, "__code__", None)
    if code is None or is_own_code(code.co_filename):
        return True
    if getattr(function, "__qualname__", "") == "RedirectView.post":
        return False
    is_api = any(base.__module__ == "rest_framework.views" for base in cls.__mro__)
    return method in (("get", "post", "put", "patch", "delete") if is_api else ("get", "post"))


# Decorators


def _limit_of(layer: Any) -> Collection[str] | None:
    """Return the methods that ``layer`` lets through if it is what ``require_http_methods`` has made."""
    if _code_name(layer) not in (_LIMITED, _LIMITS):
        return None
    methods: Collection[str] | None = _closure_of(layer).get("request_method_list")
    return methods


def _limits_of_method(method: Any) -> list[Collection[str] | None]:
    """Return what decorators let through that ``method_decorator`` has put around ``method``."""
    limits = []
    for layer in _layers(method):
        if _code_name(layer) == _DECORATED:
            limits += [_limit_of(decorator) for decorator in _closure_of(layer).get("decorators", ())]
    return limits


def _code_name(function: Any) -> str:
    """Return how ``function`` was called where it was written, whatever it has been told since to look like."""
    return function.__code__.co_qualname if isinstance(function, FunctionType) else ""


def _closure_of(function: Callable[..., Any]) -> dict[str, Any]:
    assert isinstance(function, FunctionType)
    cells = function.__closure__ or ()
    return {name: cell.cell_contents for name, cell in zip(function.__code__.co_freevars, cells, strict=True)}
