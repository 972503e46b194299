"""Where modules are, found without importing them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from importlib.util import resolve_name
from typing import NamedTuple

from django.apps import apps
from django.conf import settings

_VAIN = (ImportError, AttributeError, ValueError, TypeError)
"""What finders of all kinds raise for a name that is none."""


class Migrations(NamedTuple):
    """The package of an app's migrations."""

    label: str
    package: str
    folders: tuple[str, ...]


def migration_packages() -> Iterator[Migrations]:
    """Yield the migrations of each app that has some, by the rules of Django's ``MigrationLoader.load_disk``.

    The loader itself is not asked: to import it takes longer than all the rest.
    """
    modules = settings.MIGRATION_MODULES
    for config in apps.get_app_configs():
        # No get(): to disable migrations, some give an object that has only what Django asks.
        package = modules[config.label] if config.label in modules else f"{config.name}.migrations"  # noqa: SIM401
        folders = _package_folders(package) if package else ()
        if package and folders:
            yield Migrations(config.label, package, folders)


def _package_folders(name: str) -> tuple[str, ...]:
    module = sys.modules.get(name)
    if module is not None:
        if getattr(module, "__file__", None) is None and not isinstance(getattr(module, "__path__", None), list):
            return ()  # a namespace: an empty folder
        return tuple(getattr(module, "__path__", ()))
    spec = _spec(name)
    if spec is None or spec.origin is None:
        return ()
    return tuple(spec.submodule_search_locations or ())


def file_of(name: str) -> str | None:
    """Return the file of a module, or None if there is no such module, or none with a file."""
    module = sys.modules.get(name)
    if module is not None:
        file = getattr(module, "__file__", None)
        return file if isinstance(file, str) else None
    spec = _spec(name)
    return spec.origin if spec is not None and spec.has_location else None


def absolute(name: str, package: str) -> str | None:
    """Return the name that a relative one has in ``package``, or None if it leads out of it."""
    try:
        return resolve_name(name, package)
    except _VAIN:
        return None


def _spec(name: str) -> ModuleSpec | None:
    """Find a module that is not loaded; packages above it are not executed either."""
    parent, _, _ = name.rpartition(".")
    path = None
    if parent:
        module = sys.modules.get(parent)
        if module is not None:
            path = getattr(module, "__path__", None)
        else:
            spec = _spec(parent)
            path = spec.submodule_search_locations if spec else None
        if path is None:
            return None
    for finder in sys.meta_path:
        try:
            found = finder.find_spec(name, path)
        except _VAIN:
            continue
        if found is not None:
            return found
    return None
