"""What ``post_migrate`` does after a flush, to rows and to the process, and when it need not be sent."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple

from django.apps import apps
from django.conf import settings
from django.core.management.color import no_style
from django.core.management.sql import emit_post_migrate_signal
from django.db import models, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.base import ModelState
from django.db.models.signals import post_migrate
from django.utils.translation import get_language

# What these do to an empty database depends on `conditions_of` alone.
_OWN_RECEIVERS = frozenset(
    {
        "django.contrib.auth.management.create_permissions",
        "django.contrib.auth.management.rename_permissions_after_model_rename",  # does nothing without a plan
        "django.contrib.contenttypes.management.create_contenttypes",
        "django.contrib.sites.management.create_default_site",
    }
)
_SITES = "django.contrib.sites.management.create_default_site"
_WRITTEN_MODELS = (("contenttypes", "ContentType"), ("auth", "Permission"), ("sites", "Site"))
_SENTINEL = "testkit: not cleared"

Cache = dict[str, dict[Any, Any]]


def conditions_of(alias: str, trusted: Collection[str] = ()) -> tuple[object, ...] | None:
    """Return all that the rows which ``post_migrate`` writes into an empty database depend on.

    None where a receiver is not known: whatever it does has to be done each time.

    Args:
        alias: of the database.
        trusted: dotted paths of receivers beside Django's own that do nothing but to write the same rows each time.
    """
    known, configs = _OWN_RECEIVERS.union(trusted), []
    for config in apps.get_app_configs():
        if config.models_module is None:
            continue
        receivers, asynchronous = _receivers(config)
        names = tuple(map(_dotted_path, receivers))
        if asynchronous or not known.issuperset(names):
            return None
        configs.append((config.label, names, tuple(map(_described, config.get_models()))))
    written = tuple(_can_migrate(alias, *names) for names in _WRITTEN_MODELS)
    # Names of permissions may be translated when they are written.
    return tuple(configs), written, getattr(settings, "SITE_ID", 1), get_language()


def _receivers(config: object) -> tuple[list[Callable[..., Any]], list[Callable[..., Any]]]:
    """Return the receivers for an app, in the order in which they are called, and those that are asynchronous."""
    signal: Any = post_migrate
    found: tuple[list[Callable[..., Any]], list[Callable[..., Any]]] = signal._live_receivers(config)
    return found


def _dotted_path(receiver: Callable[..., Any]) -> str:
    """Return where a function is found, or nothing if it is not that which is found there (a wrapper, a method)."""
    module, name = getattr(receiver, "__module__", ""), getattr(receiver, "__qualname__", "")
    return f"{module}.{name}" if getattr(sys.modules.get(module), name, None) is receiver else ""


def _described(model: type[models.Model]) -> tuple[object, ...]:
    """Return what is written about a model."""
    options = model._meta
    permissions = tuple(map(tuple, options.permissions))
    return options.model_name, options.verbose_name, tuple(options.default_permissions), permissions


def _can_migrate(alias: str, app_label: str, name: str) -> bool:
    model = _installed(app_label, name)
    return model is not None and bool(router.allow_migrate_model(alias, model))


def _installed(app_label: str, name: str) -> type[models.Model] | None:
    try:
        return apps.get_model(app_label, name)
    except LookupError:
        return None


class Caches(NamedTuple):
    """What ``post_migrate`` leaves in the process: the cache of content types, None if it does not touch it."""

    content_types: Cache | None

    def restore(self) -> None:
        """Leave the process as :func:`emit` did. Of the cache of sites, one is removed as it is saved anew."""
        manager = _content_types()
        if manager is not None and self.content_types is not None:
            manager._cache.clear()
            manager._cache.update(_copied(self.content_types))
        sites: Any = sys.modules.get("django.contrib.sites.models")
        if sites is not None and _installed("sites", "Site"):
            sites.SITE_CACHE.pop(getattr(settings, "SITE_ID", 1), None)


def emit(alias: str) -> Caches:
    """Send ``post_migrate`` as Django's flush does, and return what it left in the process."""
    manager = _content_types()
    if manager is None:
        emit_post_migrate_signal(0, False, alias)
        return Caches(None)
    manager._cache[_SENTINEL] = {}
    try:
        emit_post_migrate_signal(0, False, alias)
    finally:
        is_untouched = manager._cache.pop(_SENTINEL, None) is not None
    return Caches(None if is_untouched else _copied(manager._cache))


def sequences_of_sites(connection: BaseDatabaseWrapper) -> Iterable[str]:
    """Return the statements by which, after it has written the default site, Django resets its table's sequence."""
    site = _installed("sites", "Site")
    if site is None or not _can_migrate(connection.alias, "sites", "Site"):
        return []
    if not any(_SITES in map(_dotted_path, _receivers(config)[0]) for config in apps.get_app_configs()):
        return []
    return connection.ops.sequence_reset_sql(no_style(), [site])


def _content_types() -> Any:
    model: Any = _installed("contenttypes", "ContentType")
    return None if model is None else model.objects


def _copied(cache: Cache) -> Cache:
    """Return the cache with objects of its own, each under all of its keys: tests may change what they get."""
    objects = {id(found): found for entries in cache.values() for found in entries.values()}
    copies = {key: _copy_of(found) for key, found in objects.items()}
    return {alias: {key: copies[id(found)] for key, found in entries.items()} for alias, entries in cache.items()}


def _copy_of(found: models.Model) -> models.Model:
    """Return what copy.copy() would, which takes ten times as long: it is done for each model after each test."""
    made = type(found).__new__(type(found))
    vars(made).update(vars(found), _state=ModelState())
    made._state.db, made._state.adding = found._state.db, found._state.adding
    return made
