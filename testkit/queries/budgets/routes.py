"""Which endpoint a request is for: ``GET /library/books/<int:pk>/``."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

from testkit.queries.origins import is_own_code

LANGUAGE = "<language>"
"""What stands for the prefix of ``i18n_patterns``, whichever language is on."""


def key_of(request: Any) -> str:
    """Return the method and the route of ``request``; empty when it was for no route."""
    match = getattr(request, "resolver_match", None)
    if match is None:
        return ""
    return f"{request.method} {_path(match.route, getattr(request, 'urlconf', None))}"


def _path(route: str, urlconf: Any) -> str:
    from django.conf import settings

    first, slash, rest = route.partition("/")
    if slash and first in {settings.LANGUAGE_CODE, *dict(settings.LANGUAGES)}:
        behind_language = f"/{LANGUAGE}/{rest}"
        if behind_language in _localised_paths(urlconf or settings.ROOT_URLCONF):
            return behind_language
    return f"/{route.removeprefix('^')}"  # as Django leaves it out of all but the first part


@functools.cache
def _localised_paths(urlconf: Any) -> frozenset[str]:
    from django.urls import get_resolver

    paths = (path for path, _ in _views_below("/", get_resolver(urlconf)))
    return frozenset(path for path in paths if path.startswith(f"/{LANGUAGE}/"))


class Route(NamedTuple):
    """A route of the project: its path as budgets have it, and whether its view is the project's own code."""

    path: str
    is_own: bool


def all_routes(urlconf: str | None = None) -> list[Route]:
    """Return the route of each view of ``urlconf`` (the project's by default), sorted."""
    from django.conf import settings
    from django.urls import get_resolver

    if urlconf is None and not getattr(settings, "ROOT_URLCONF", None):
        return []  # an app of its own, whose tests bring their URLs
    own: dict[str, bool] = {}
    for path, view in _views_below("/", get_resolver(urlconf)):
        own[path] = own.get(path, False) or _is_own(view)
    return [Route(*found) for found in sorted(own.items())]


def _is_own(view: Any) -> bool:
    """Return whether ``view`` is no library's, as those of Django's admin are."""
    cls = getattr(view, "view_class", None) or getattr(view, "cls", None)  # of Django, of Django REST framework
    module = sys.modules.get(getattr(cls or view, "__module__", "") or "")
    return is_own_code(getattr(module, "__file__", None) or "")


def _views_below(prefix: str, resolver: Any) -> Iterator[tuple[str, Any]]:
    from django.urls import URLResolver
    from django.urls.resolvers import LocalePrefixPattern

    for pattern in resolver.url_patterns:
        part = f"{LANGUAGE}/" if isinstance(pattern.pattern, LocalePrefixPattern) else str(pattern.pattern)
        path = prefix + part.removeprefix("^")
        if isinstance(pattern, URLResolver):
            yield from _views_below(path, pattern)
        else:
            yield path, pattern.callback
