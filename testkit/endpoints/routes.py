"""The routes of a project, and which of them a request was for: ``GET /library/books/<int:pk>/``.

A route is what ``path()`` was given, joined from the root of the site as Django's ``ResolverMatch.route`` joins it.
Behind ``i18n_patterns`` it begins with :data:`LANGUAGE`; a translated route is written as its source text has it.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

from django.conf import settings

from testkit.endpoints.code import is_own_code
from testkit.endpoints.views import class_of, function_of, is_plain_class_view, methods_of, name_of

LANGUAGE = "<language>"
"""What stands for the prefix of ``i18n_patterns``, whichever language is on."""
_SUFFIXES = (r"\.(?P<format>", "<drf_format_suffix")
"""How what ``format_suffix_patterns`` of Django REST framework puts behind a route begins."""


class Route(NamedTuple):
    """A route of the project.

    ``methods`` are those that its view takes, ``ANY`` where that cannot be told; ``view`` is the view's dotted path,
    ``name`` the name to reverse it by. ``is_own`` says whether it is for the project to test: its view is the project's
    own code, or the project's own URLconf names that of a library, as it does with ``LoginView.as_view(…)``.
    """

    path: str
    methods: tuple[str, ...]
    view: str
    name: str
    is_own: bool


def key_of(request: Any) -> str:
    """Return the method and the route of ``request``; empty when it was for no route."""
    match = getattr(request, "resolver_match", None)
    if match is None:
        return ""
    return f"{request.method} {_paths(getattr(request, 'urlconf', None) or settings.ROOT_URLCONF)[match.route]}"


def all_routes(urlconf: str | None = None) -> list[Route]:
    """Return the routes of ``urlconf`` (the project's by default), sorted.

    Where several patterns are written alike, Django asks the first one alone.
    """
    found: dict[str, Route] = {}
    for path, place in views_of(urlconf):
        if path not in found:
            view = place.callback
            found[path] = Route(path, methods_of(view), name_of(view), place.name, place.is_listed or is_own_view(view))
    return [found[path] for path in sorted(found)]


def all_paths() -> dict[str, bool]:
    """Return the path of each route of the project, sorted, and whether it is for the project to test."""
    return {route.path: route.is_own for route in all_routes()}


def views_of(urlconf: str | None = None) -> Iterator[tuple[str, Place]]:
    """Yield the route and the place of each view of ``urlconf`` (the project's by default)."""
    urlconf = urlconf or getattr(settings, "ROOT_URLCONF", None)
    if urlconf is None:
        return  # an app of its own, whose tests bring their URLs
    paths = _paths(urlconf)
    for path, place in paths.places:
        if path not in paths.twins:
            yield path, place


def is_own_view(view: Any) -> bool:
    """Return whether ``view`` is no library's, as those of Django's admin are."""
    found = class_of(view) or function_of(view) or view
    module = sys.modules.get(getattr(found, "__module__", "") or "")
    return is_own_code(getattr(module, "__file__", None) or "")


class Place(NamedTuple):
    """Where a view stands: what is called, the name to reverse it by, and whether the project's URLconf lists it."""

    callback: Any
    name: str
    is_listed: bool


def _source(pattern: Any) -> str:
    from django.urls.resolvers import LocalePrefixPattern

    return f"{LANGUAGE}/" if isinstance(pattern, LocalePrefixPattern) else str(pattern)


Listed = Callable[[Any], bool]
"""Tells of a view whether the project itself has put it into a list of patterns."""


class _Walk:
    """Finds the views below a resolver. ``spell`` says how a pattern is written."""

    def __init__(self, spell: Callable[[Any], str]) -> None:
        self._spell = spell
        self.is_translated = False
        """Whether a route is text to be translated."""

    def below(
        self, resolver: Any, prefix: str, names: tuple[str, ...], is_listed: Listed
    ) -> Iterator[tuple[str, Place]]:
        from django.urls import URLResolver

        for pattern in resolver.url_patterns:
            written = pattern.pattern
            path = prefix + self._spell(written).removeprefix("^")  # as Django leaves it out of all but the first part
            self._note(written)
            if isinstance(pattern, URLResolver):
                inner = (*names, pattern.namespace) if pattern.namespace else names
                yield from self.below(pattern, path, inner, _listed_by(pattern, is_listed))
            else:
                name = ":".join((*names, pattern.name)) if pattern.name else ""
                yield path, Place(pattern.callback, name, is_listed(pattern.callback))

    def _note(self, written: Any) -> None:
        from django.utils.functional import Promise

        text = getattr(written, "_route", getattr(written, "_regex", ""))
        self.is_translated = self.is_translated or isinstance(text, Promise)


def _listed_by(resolver: Any, around: Listed | None = None) -> Listed:
    """Return what tells of the views of ``resolver``; ``around`` tells of those of the resolver around it."""
    from django.urls.resolvers import LocalePrefixPattern

    module = resolver.urlconf_module
    if isinstance(module, ModuleType):
        return _is_no_root if is_own_code(module.__file__ or "") else _never
    if around is not None and isinstance(resolver.pattern, LocalePrefixPattern):
        return around  # the list is what i18n_patterns() was given
    # Whoever has made a list that is included, as `admin.site.urls` is: the project, if its own views are in it.
    callbacks = [pattern.callback for pattern in resolver.url_patterns if hasattr(pattern, "callback")]
    return _is_made_here if any(map(is_own_view, callbacks)) else _never


def _never(view: Any) -> bool:
    return False


def _is_no_root(view: Any) -> bool:
    """The root view of a router stands wherever the router was put."""
    return not name_of(view).startswith("rest_framework.routers.")


def _is_made_here(view: Any) -> bool:
    """``LoginView.as_view(…)`` as it is: what the admin has around its views is no project's."""
    return _is_no_root(view) and is_plain_class_view(view)


class _Paths(dict[str, str]):
    """The path of each route of a URLconf by the route as ``ResolverMatch`` has it."""

    def __init__(self, urlconf: Any) -> None:
        from django.urls import get_resolver
        from django.utils import translation

        super().__init__()
        self._resolver = get_resolver(urlconf)
        self._is_listed = _listed_by(self._resolver)
        walk = _Walk(_source)
        with translation.override(None):
            self.places = list(walk.below(self._resolver, "/", (), self._is_listed))
        self._is_translated = walk.is_translated
        self.twins = _twins(self.places)
        self._known = {path: self.twins.get(path, path) for path, _ in self.places}

    def __missing__(self, route: str) -> str:
        self[route] = path = self._find(f"/{route.removeprefix('^')}")
        return path

    def _find(self, path: str) -> str:
        # The default language may have no prefix.
        for candidate in (path, f"/{LANGUAGE}/{path[1:].partition('/')[2]}", f"/{LANGUAGE}{path}"):
            if candidate in self._known:
                return self._known[candidate]
        if self._is_translated:
            self._is_translated = False
            self._learn_translations()
            return self._find(path)
        return path

    def _learn_translations(self) -> None:
        from django.utils import translation

        for language in dict(settings.LANGUAGES):
            with translation.override(language):
                spelled = list(_Walk(_source).below(self._resolver, "/", (), self._is_listed))
            for (path, _), (source, _) in zip(spelled, self.places, strict=True):
                self._known.setdefault(path, self.twins.get(source, source))


@functools.cache
def _paths(urlconf: Any) -> _Paths:
    return _Paths(urlconf)


def _twins(places: list[tuple[str, Place]]) -> dict[str, str]:
    """Return the routes that end with a format (``/books.json``), and the one without it that has the same view."""
    plain = {(id(place.callback), path.rstrip("$").rstrip("/")): path for path, place in places}
    found = {}
    for path, place in places:
        for suffix in _SUFFIXES:
            base = plain.get((id(place.callback), path.partition(suffix)[0]), path)
            if suffix in path and base != path:
                found[path] = base
    return found
