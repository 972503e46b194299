"""The fingerprint of a test database: all that its schema and its initial data are made from.

It is computed anew in each run, from what stat says of files and from models that are loaded anyway; no migration is
imported for it and no connection opened.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from glob import glob, has_magic
from pathlib import Path
from typing import Any, NamedTuple

import django
from django.apps import apps
from django.conf import settings
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from testkit.core.errors import OptionError
from testkit.databases.dependencies.models import classes_of_models, description_of_model, receivers, routers
from testkit.databases.dependencies.modules import Migrations, absolute, file_of, migration_packages
from testkit.databases.dependencies.sources import File, Files, files_below
from testkit.databases.dependencies.stable import hashed, stable

_FORMAT = "1"
_MOST_NAMED = 3
_SETTINGS = (
    "AUTH_USER_MODEL",
    "DEBUG",
    "DEFAULT_AUTO_FIELD",
    "DEFAULT_INDEX_TABLESPACE",
    "DEFAULT_TABLESPACE",
    "LANGUAGE_CODE",
    "MIGRATION_MODULES",
    "PASSWORD_HASHERS",
    "SITE_ID",
    "TIME_ZONE",
    "USE_I18N",
    "USE_TZ",
)
_TEST_WITHOUT_EFFECT = frozenset({"NAME", "MIRROR", "DEPENDENCIES", "USER", "PASSWORD"})
_OPTIONS_WITH_EFFECT = ("charset", "client_encoding", "collation", "init_command", "options", "sql_mode", "use_unicode")
_TABLE_NAME = re.compile(r"[\w.\"]+")
_VARIABLE = re.compile(r"[A-Za-z_]\w*")


class Fingerprint(NamedTuple):
    """What a test database depends on: one digest, and the parts that it is of."""

    digest: str
    """Of all parts, as hexadecimal digits."""
    parts: Mapping[str, str]
    """A version or a hash by a name that says what it is of, such as ``migration library/0004_loan``."""


def fingerprint_of(
    connection: BaseDatabaseWrapper, *, version: str, extra: Sequence[str] = (), cache: Path
) -> Fingerprint:
    """Return the fingerprint of the test database of ``connection``, which is not opened.

    Args:
        connection: of the alias, with its real or its test name: that is no part of it.
        version: what tells the database's server.
        extra: what else counts: files, folders and patterns relative to the working directory, ``env:NAME``.
        cache: the folder of what runs remember; digests of files are kept there.

    Raises:
        OptionError: there is nothing that an entry of ``extra`` means.
    """
    folder = os.getcwd()
    files = Files(cache / "fingerprint.json")
    migrated = [] if connection.settings_dict["TEST"].get("MIGRATE") is False else list(migration_packages())
    parts: dict[str, str] = {}
    modules = _add_migrations(parts, files, migrated)
    modules |= classes_of_models()
    for described in (routers(), receivers()):
        for found in described:
            parts[found.name] = hashed(stable(found.details, folder))
            modules |= found.modules
    _add_modules(parts, files, modules)
    with_migrations = {package.label for package in migrated}
    for model in apps.get_models(include_auto_created=True, include_swapped=True):
        details = description_of_model(model, with_table=model._meta.app_label not in with_migrations)
        parts[f"model {model._meta.label}"] = hashed(stable(details, folder))
    parts.update(_of_settings(folder))
    parts.update(_of_database(connection, version, folder))
    parts.update(_of_extra(files, extra, folder))
    files.save()
    return Fingerprint(hashed(stable(parts)), parts)


def difference(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """Return what has become of the parts ``old`` in a few words, migrations first; empty if nothing has."""
    changes = [(name, "is new" if name not in old else "has changed") for name in new if old.get(name) != new[name]]
    changes += [(name, "is gone") for name in old if name not in new]
    changes.sort(key=lambda change: not change[0].startswith("migration "))
    named = [f"{name.removeprefix('migration ')} {what}" for name, what in changes[:_MOST_NAMED]]
    rest = len(changes) - len(named)
    text = ", ".join(named)
    return f"{text}, and {rest} more" if rest else text


def edited(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """Return which sources were changed between two fingerprints of one process, as :func:`difference` does.

    A database that was built in between is of neither. Modules, models and receivers that the build itself has brought
    in are no change.
    """
    sources = ("migration ", "module ", "file ")
    old = {name: value for name, value in before.items() if name.startswith(sources)}
    new = {name: value for name, value in after.items() if name in old or name.startswith("migration ")}
    return difference(old, new)


def _add_migrations(parts: dict[str, str], files: Files, migrated: Iterable[Migrations]) -> set[str]:
    """Add all files of the packages, and return the modules that they import."""
    modules: set[str] = set()
    for label, package, folders in migrated:
        for file in (file for folder in folders for file in files_below(folder)):
            stem, _, suffix = file.name.rpartition(".")
            is_python = suffix == "py"
            name = f"migration {label}/{stem if is_python else file.name}"
            with suppress(OSError):  # it went away
                # A package may have several folders, each with a file of this name.
                parts[name] = parts.get(name, "") + files.digest(file.path, file.status)
                if is_python:
                    modules.update(_imports(files, file, package))
    return modules


def _imports(files: Files, file: File, package: str) -> Iterator[str]:
    for name in files.imports(file.path, file.status):
        if name.startswith("."):
            inner = ".".join([package, *file.name.split("/")[:-1]])
            resolved = absolute(name, inner)
            if resolved:
                yield resolved
        else:
            yield name


def _add_modules(parts: dict[str, str], files: Files, modules: Iterable[str]) -> None:
    for name in sorted(modules):
        file = file_of(name)
        if file is not None:
            with suppress(OSError):  # in an archive, or made up
                parts[f"module {name}"] = files.digest(file)


def _of_settings(folder: str) -> Iterator[tuple[str, str]]:
    for name in _SETTINGS:
        yield f"setting {name}", hashed(stable(getattr(settings, name, None), folder))
    configs = [
        (type(config), config.name, config.label, config.models_module is not None) for config in apps.get_app_configs()
    ]
    yield "setting INSTALLED_APPS", hashed(stable(configs))
    tables = {alias: _table_of_cache(cache) for alias, cache in settings.CACHES.items()}
    yield "the list of cache tables", hashed(stable(tables))
    yield "Django", django.get_version()
    yield "Python", f"{sys.implementation.name} {sys.version_info[0]}.{sys.version_info[1]}"
    yield "the format of fingerprints", _FORMAT


def _table_of_cache(cache: Mapping[str, Any]) -> tuple[str, str]:
    """Return the backend, and the table that ``createcachetable`` makes for it; other locations may hold passwords."""
    location = cache.get("LOCATION")
    return str(cache["BACKEND"]), location if isinstance(location, str) and _TABLE_NAME.fullmatch(location) else ""


def _of_database(connection: BaseDatabaseWrapper, version: str, folder: str) -> Iterator[tuple[str, str]]:
    given, alias = connection.settings_dict, connection.alias
    yield "the database engine", str(given["ENGINE"])
    yield "the database's version", version
    yield "the database's alias", alias
    yield (
        "the list of databases",
        hashed(stable([(each, connections.settings[each]["ENGINE"]) for each in connections])),
    )
    test = {key: value for key, value in given["TEST"].items() if key not in _TEST_WITHOUT_EFFECT}
    yield 'DATABASES["TEST"]', hashed(stable(test, folder))
    options = {key: given["OPTIONS"].get(key) for key in _OPTIONS_WITH_EFFECT}
    yield 'DATABASES["OPTIONS"]', hashed(stable((options, given.get("TIME_ZONE")), folder))


def _of_extra(files: Files, extra: Iterable[str], folder: str) -> Iterator[tuple[str, str]]:
    for item in extra:
        if not isinstance(item, str) or not item.strip():
            raise _wrong(item, "is neither a file nor a pattern nor env:NAME")
        if item.startswith("env:"):
            yield _of_variable(item)
        else:
            yield from _of_files(files, item, folder)


def _of_variable(item: str) -> tuple[str, str]:
    name = item.removeprefix("env:")
    if not _VARIABLE.fullmatch(name):
        raise _wrong(item, "names no environment variable: write env:NAME")
    return f"environment variable {name}", hashed(stable(os.environ.get(name)))


def _of_files(files: Files, item: str, folder: str) -> Iterator[tuple[str, str]]:
    path = os.path.join(folder, item)
    if os.path.isdir(path):
        paths = [file.path for file in files_below(path)]
    elif os.path.lexists(path) or not has_magic(item):
        paths = [path]
    else:
        paths = sorted(found for found in glob(path, recursive=True) if os.path.isfile(found))
    if not paths:
        raise _wrong(item, f"fits no file below {folder}: correct it or take it out")
    for each in paths:
        try:
            yield f"file {os.path.relpath(each, folder)}", files.digest(each)
        except OSError as error:
            raise _wrong(item, f"cannot be read: {error.strerror or error}") from error


def _wrong(item: object, what: str) -> OptionError:
    return OptionError(f'TESTKIT["FINGERPRINT_EXTRA"] has {item!r}, which {what}')
