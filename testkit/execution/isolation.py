"""What one worker has for itself beside its database: caches, uploaded files, a temp folder, its name."""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePath
from typing import Any

from testkit.core.paths import path_below
from testkit.core.text import cut_middle

LARGEST_MEDIA_BYTES = 50_000_000
"""Above this, the files below MEDIA_ROOT are not copied for each worker."""

MOST_MEDIA_FILES = 2_000
"""Above this number of files and folders, MEDIA_ROOT is not copied either."""


@contextmanager
def isolated(worker: str, folder: Path) -> Iterator[tuple[str, ...]]:
    """Give this process resources of its own for the block, and yield what it still shares with others, a line each.

    - ``TESTKIT_WORKER`` in the environment is ``worker``, for settings and tests that need a number of their own.
    - ``TMPDIR`` and :mod:`tempfile` lead to a folder below ``folder``.
    - Caches: one in files gets a folder, the ones in memory are emptied (a fork has its parent's content), and one on a
      server, as Redis or memcached, gets ``testkit-<worker>`` at the end of its ``KEY_PREFIX``; ``cache.clear()``
      removes the worker's keys alone from Redis, while memcached can but drop everybody's. A database cache is in the
      worker's own database.
    - ``MEDIA_ROOT`` is a copy, since tests read files that lie there and write beside them; storages that were made with
      a place in it, in ``STORAGES`` or for a field, move along. Where it is large, or holds the project, it stays shared.

    Settings change as ``override_settings`` changes them, so Django's caches and storages notice. Values keep their
    types. Live servers need nothing: ``LiveServerTestCase`` takes a free port from the system, and browsers keep their
    profiles in the temp folder.

    Args:
        worker: the name of the worker: "1", "2", …
        folder: an empty folder for this worker alone; whoever made it removes it when the worker has ended.
    """
    from django.conf import settings
    from django.test.utils import override_settings

    folder = folder.absolute()
    with ExitStack() as undo:
        caches = _OwnCaches(settings.CACHES, worker, folder)
        media = _OwnMedia(settings.MEDIA_ROOT, folder)  # before the temp folder changes, which it may be
        _set_environment(worker, folder, undo)
        changes = {**caches.changes, **media.changes(settings)}
        caches.move_open_ones(undo)
        if changes:
            # It would be None, as of settings that came from no module.
            changes["SETTINGS_MODULE"] = settings.SETTINGS_MODULE
            undo.enter_context(override_settings(**changes))
        media.move_fields(undo)  # now, as storages have forgotten where they were when the setting changed
        yield (*caches.shared, *media.shared)


def _set_environment(worker: str, folder: Path, undo: ExitStack) -> None:
    temporary = path_below(folder, "tmp")
    temporary.mkdir()
    for name, value in {"TESTKIT_WORKER": worker, "TMPDIR": str(temporary)}.items():
        before = os.environ.get(name)
        undo.callback(os.environ.pop, name, None) if before is None else undo.callback(
            os.environ.__setitem__, name, before
        )
        os.environ[name] = value
    undo.callback(setattr, tempfile, "tempdir", tempfile.tempdir)
    tempfile.tempdir = str(temporary)


def _like(original: Any, path: str) -> Any:
    """Return ``path`` as what ``original`` is: a Path, or text, which may end in a slash."""
    if isinstance(original, PurePath):
        return type(original)(path)
    return path + os.sep if str(original).endswith(os.sep) else path


def _set_attribute(undo: ExitStack, owner: Any, name: str, value: Any) -> None:
    undo.callback(setattr, owner, name, getattr(owner, name))
    setattr(owner, name, value)


# Caches


class _OwnCaches:
    """What the caches of one worker are: the changed settings, and the ways of those that are open already."""

    def __init__(self, configured: Mapping[str, Mapping[str, Any]], worker: str, folder: Path) -> None:
        self._suffix = f"testkit-{worker}"
        self._folder = folder
        self._folders: dict[str, str] = {}  # by the folder that it was
        self._on_servers: set[type] = set()
        self.shared: list[str] = []
        own = {alias: self._own(alias, params) for alias, params in configured.items()}
        self.changes = {"CACHES": own} if own != configured else {}

    def _own(self, alias: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        from django.core.cache.backends import db, dummy, filebased, locmem
        from django.utils.module_loading import import_string

        try:
            backend = import_string(params["BACKEND"])
        except (ImportError, KeyError):
            return params  # the tests that use it will say so
        if issubclass(backend, filebased.FileBasedCache):
            location = params.get("LOCATION", "")
            return {**params, "LOCATION": _like(location, self._own_folder(location))}
        if issubclass(backend, locmem.LocMemCache):
            # In place: what has such a cache at hand goes on using it. Its items and their times to live.
            for store in (*locmem._caches.values(), *locmem._expire_info.values()):  # type: ignore[attr-defined]
                store.clear()
            return params
        if issubclass(backend, db.DatabaseCache | dummy.DummyCache):
            return params
        return self._own_keys(alias, params, backend)

    def _own_folder(self, location: str | PurePath) -> str:
        # Two caches may have one folder.
        own = path_below(self._folder, "caches", str(len(self._folders) + 1))
        return self._folders.setdefault(os.path.abspath(location), str(own))

    def _own_keys(self, alias: str, params: Mapping[str, Any], backend: type) -> Mapping[str, Any]:
        from django.core.cache.backends.base import get_key_func

        prefix = params.get("KEY_PREFIX", "")
        if not isinstance(prefix, str):
            self.shared.append(f"the cache {alias!r}, since its KEY_PREFIX is no text")
            return params
        try:
            make_key = get_key_func(params.get("KEY_FUNCTION"))
            is_used = make_key("key", "one", 1) != make_key("key", "other", 1)
        except Exception:
            is_used = False
        if not is_used:
            self.shared.append(f"the cache {alias!r}, since its KEY_FUNCTION does not use KEY_PREFIX")
            return params
        self._on_servers.add(backend)
        return {**params, "KEY_PREFIX": self._prefix(prefix)}

    def _prefix(self, prefix: str) -> str:
        return f"{prefix}:{self._suffix}" if prefix else self._suffix

    def move_open_ones(self, undo: ExitStack) -> None:
        """Give what Django has opened already its new place: a module may have kept it since it was imported."""
        from django.core.cache import caches

        if not self.changes:
            return
        for cache in caches.all(initialized_only=True):
            folder = self._folders.get(getattr(cache, "_dir", ""))
            if folder is not None:
                _set_attribute(undo, cache, "_dir", folder)
            elif type(cache) in self._on_servers:
                _set_attribute(undo, cache, "key_prefix", self._prefix(cache.key_prefix))
        for backend in self._on_servers:
            clear = _clear_own_keys(backend, self._suffix)
            if clear is not None:
                _set_attribute(undo, backend, "clear", clear)


def _clear_own_keys(backend: Any, suffix: str) -> Callable[[Any], Any] | None:
    """Return a ``clear`` method that leaves the other workers' keys alone, or None where there is no way to."""
    from django.core.cache.backends.base import default_key_func
    from django.core.cache.backends.redis import RedisCache

    whole = backend.clear
    if hasattr(backend, "delete_pattern"):  # django-redis, and others after it

        def clear(cache: Any) -> Any:
            if not cache.key_prefix.endswith(suffix):
                return whole(cache)  # one that a test has made by itself
            cache.delete_pattern("*")
            return None  # as its own returns nothing

    elif issubclass(backend, RedisCache):

        def clear(cache: Any) -> Any:
            if not cache.key_prefix.endswith(suffix) or cache.key_func is not default_key_func:
                return whole(cache)
            client = cache._cache.get_client(None, write=True)
            keys = list(client.scan_iter(match=f"{_quote_pattern(cache.key_prefix)}:*", count=1000))
            if keys:
                client.delete(*keys)
            return True

    else:
        return None
    return functools.wraps(whole)(clear)


def _quote_pattern(text: str) -> str:
    return "".join(f"\\{character}" if character in "*?[]\\" else character for character in text)


# Uploaded files


class _OwnMedia:
    """A MEDIA_ROOT of the worker's own, and what else lies in it."""

    def __init__(self, root: Any, folder: Path) -> None:
        self.shared: list[str] = []
        self._root = root
        self._from = self._to = ""
        if not root:
            return  # files go to the working directory then, as tests may know
        if not isinstance(root, str | PurePath):
            self.shared.append(f"MEDIA_ROOT {root}, since it is neither text nor a path")
            return
        source = os.path.abspath(root)
        # The last name stays: a test may look for it in a path.
        target = path_below(folder, "media", os.path.basename(source) or "root")
        reason = _copy(source, target)
        if reason:
            self.shared.append(f"MEDIA_ROOT {root}, since {reason}")
        else:
            self._from, self._to = source, str(target)

    def _moved(self, location: Any) -> Any:
        """Return where ``location`` is now: elsewhere if it is MEDIA_ROOT or below it."""
        if not self._from or not isinstance(location, str | PurePath):
            return location
        path = os.path.abspath(location)
        if path != self._from and not path.startswith(self._from + os.sep):
            return location
        return _like(location, self._to + path.removeprefix(self._from))

    def changes(self, settings: Any) -> dict[str, Any]:
        """Return the settings that change with it."""
        if not self._from:
            return {}
        changes = {"MEDIA_ROOT": self._moved(self._root)}
        storages = {alias: self._own_storage(params) for alias, params in settings.STORAGES.items()}
        return {**changes, "STORAGES": storages} if storages != settings.STORAGES else changes

    def _own_storage(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        options = params.get("OPTIONS") or {}
        if "location" not in options:
            return params
        return {**params, "OPTIONS": {**options, "location": self._moved(options["location"])}}

    def move_fields(self, undo: ExitStack) -> None:
        """Move the storages that were made for fields with a location in MEDIA_ROOT when models were loaded."""
        if not self._from:
            return
        for storage in {id(storage): storage for storage in _storages_of_fields()}.values():
            moved = self._moved(storage._location)
            if moved != storage._location:
                _set_attribute(undo, storage, "_location", moved)


def _storages_of_fields() -> Iterable[Any]:
    from django.apps import apps
    from django.core.files.storage import FileSystemStorage
    from django.db.models import FileField

    for model in apps.get_models(include_auto_created=True):
        for field in model._meta.concrete_fields:
            # By its type: the default storage, which follows the setting, is made only when it is used.
            if isinstance(field, FileField) and issubclass(type(field.storage), FileSystemStorage):
                yield field.storage


def _copy(source: str, target: Path) -> str:
    """Copy the folder ``source``, and return why it was not copied, if it was not.

    One that does not exist is none for the worker either.
    """
    target.parent.mkdir(parents=True)
    if not os.path.isdir(source):
        return ""
    for inside in (os.getcwd(), str(target)):
        if f"{os.path.realpath(inside)}/".startswith(f"{os.path.realpath(source).rstrip('/')}/"):
            return f"{inside} is in it"
    try:
        if not _is_small(source):
            return f"it has more than {MOST_MEDIA_FILES} files or {LARGEST_MEDIA_BYTES // 1_000_000} MB"
        # Not by links: a test that writes into a file would write into everybody's.
        shutil.copytree(source, target, ignore_dangling_symlinks=True)
    except OSError as error:
        shutil.rmtree(target, ignore_errors=True)
        return f"it cannot be copied: {cut_middle(str(error), 300)}"
    return ""


def _is_small(folder: str) -> bool:
    files = size = 0
    folders = [folder]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                files += 1
                if entry.is_dir():
                    folders.append(entry.path)
                elif entry.is_file():
                    size += entry.stat().st_size
                if files > MOST_MEDIA_FILES or size > LARGEST_MEDIA_BYTES:
                    return False
    return True
