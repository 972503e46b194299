"""Which endpoint a request is for: ``GET /library/books/<int:pk>/``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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
    from django.conf.urls.i18n import is_language_prefix_patterns_used

    uses_prefix, _ = is_language_prefix_patterns_used(urlconf or settings.ROOT_URLCONF)
    first, slash, rest = route.partition("/")
    if uses_prefix and slash and first in dict(settings.LANGUAGES):
        route = f"{LANGUAGE}/{rest}"
    return f"/{route}"


def all_paths(urlconf: str | None = None) -> Iterator[str]:
    """Yield the route of each view of ``urlconf`` (the project's by default), as budgets have it."""
    from django.urls import get_resolver

    yield from _paths_below("/", get_resolver(urlconf))


def _paths_below(prefix: str, resolver: Any) -> Iterator[str]:
    from django.urls import URLResolver
    from django.urls.resolvers import LocalePrefixPattern

    for pattern in resolver.url_patterns:
        part = f"{LANGUAGE}/" if isinstance(pattern.pattern, LocalePrefixPattern) else str(pattern.pattern)
        # As Django joins them in a match: https://docs.djangoproject.com/en/5.2/ref/urlresolvers/#resolvermatch
        path = prefix + (part[1:] if part.startswith("^") and prefix != "/" else part)
        if isinstance(pattern, URLResolver):
            yield from _paths_below(path, pattern)
        else:
            yield path
