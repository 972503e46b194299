"""Which environment variables and settings code asks for, by name."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import local
from types import FrameType
from typing import Any

from django.conf import settings

from testkit.databases.dependencies.digests import MISSING_VALUE, digest_of_value
from testkit.databases.dependencies.places import is_code_of_django, is_own_code, is_python_code
from testkit.databases.dependencies.reads import caller_of

_VARIABLES_OF_OTHERS = re.compile(
    r"(?:COLUMNS|COVERAGE_\w*|DJANGO_COLORS|DJANGO_SETTINGS_MODULE|FORCE_COLOR|HOME|HOSTNAME|LANG|LANGUAGE|LC_\w+|LINES"
    r"|LOGNAME|MYSQL_\w+|NO_COLOR|PATH|PG[A-Z]+|PSYCOPG_\w+|PWD|PYTEST_\w*|PYTHON[A-Z_]*|TEMP|TERM|TESTKIT_\w*|TMP|TMPDIR"
    r"|TZ|USER|VIRTUAL_ENV)"
)
"""Variables of terminals, machines and clients: they differ from run to run, and projects have others."""
_ASKED_BY_DJANGO = "DJANGO_SUPERUSER_"
_SETTINGS_OF_OTHERS = re.compile(
    r".*(?:SECRET|PASSWORD|TOKEN|KEY).*|ALLOWED_HOSTS|AUTH_USER_MODEL|CACHES|DATABASES|DATABASE_ROUTERS|DEBUG"
    r"|DEFAULT_(?:AUTO_FIELD|INDEX_TABLESPACE|TABLESPACE)|EMAIL_\w+|FILE_UPLOAD_TEMP_DIR|INSTALLED_APPS|LOGGING\w*|MAILERS"
    r"|MEDIA_ROOT|MIGRATION_MODULES|SETTINGS_MODULE|SITE_ID|STATIC_ROOT|STORAGES|TESTKIT|TEST_RUNNER|USE_I18N|USE_TZ"
)
"""Settings that the fingerprint has, that hold passwords, or that say where to write; some differ from run to run."""
# Through these, code asks for a variable by a name of its own.
_ASKS_FOR_OTHERS = frozenset(
    {
        "<frozen _collections_abc>",
        "<frozen os>",
        "<frozen posixpath>",
        *(sys.modules[name].__file__ for name in ("_collections_abc", "os", "posixpath")),
    }
)
_Environ: Any = type(os.environ)


class Asked:
    """The variables and settings that are asked for while it listens, with the digests of their values."""

    def __init__(self, folder: str) -> None:
        """Listen for a project whose working directory is ``folder``."""
        self._folder = folder
        self.is_listening = True
        self.variables: dict[str, str] = {}
        self.settings: dict[str, str] = {}
        self.given: set[str] = set()
        """What the code itself has set."""

    def variable(self, name: Any, value: Any, caller: str) -> None:
        """Note that code in the file ``caller`` has asked for a variable."""
        name = os.fsdecode(name)
        if name in self.variables or name in self.given or _VARIABLES_OF_OTHERS.fullmatch(name):
            return
        by_django = is_code_of_django(caller) and not name.startswith(_ASKED_BY_DJANGO)
        if not (by_django or is_python_code(caller) or is_own_code(caller)):
            value = os.fsdecode(value) if isinstance(value, bytes) else value
            self.variables[name] = digest_of_value(value, self._folder)

    def setting(self, name: str, value: Any) -> None:
        """Note that a setting was asked for."""
        if not self.is_listening or not name.isupper():
            return
        if not (name in self.settings or name in self.given or _SETTINGS_OF_OTHERS.fullmatch(name)):
            self.settings[name] = digest_of_value(value, self._folder)


# Environment


class _AskedEnviron(_Environ):  # type: ignore[misc]
    """What ``os.environ`` is while somebody listens: the same object, of this class."""

    _asked: Asked
    _own = local()

    def __getitem__(self, key: Any) -> Any:
        frame = caller_of(sys._getframe(1), _ASKS_FOR_OTHERS.__contains__)
        if key == getattr(self._own, "passing", None) or _place(frame) == getattr(self._own, "copying", None):
            return super().__getitem__(key)  # all are looked at: this asks for none by its name
        caller = frame.f_code.co_filename
        try:
            value = super().__getitem__(key)
        except KeyError:
            _AskedEnviron._asked.variable(key, MISSING_VALUE, caller)
            raise
        _AskedEnviron._asked.variable(key, value, caller)
        return value

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)
        _AskedEnviron._asked.given.add(os.fsdecode(key))

    def __iter__(self) -> Iterator[Any]:
        # dict() asks for all names first and for each value then, in one instruction of its caller.
        self._own.copying = _place(caller_of(sys._getframe(1), _ASKS_FOR_OTHERS.__contains__))
        try:
            for key in super().__iter__():
                self._own.passing = key
                yield key
        finally:
            self._own.passing = None

    def popitem(self) -> tuple[Any, Any]:
        for key in super().__iter__():
            value = super().__getitem__(key)
            del self[key]
            return key, value
        raise KeyError


def _place(frame: FrameType) -> tuple[object, ...]:
    return id(frame), frame.f_code, frame.f_lasti


@contextmanager
def _asked_environ(asked: Asked) -> Iterator[None]:
    environs = [environ for environ in (os.environ, os.environb) if type(environ) is _Environ]
    _AskedEnviron._asked = asked
    for environ in environs:
        environ.__class__ = _AskedEnviron
    try:
        yield
    finally:
        for environ in environs:
            environ.__class__ = _Environ


# Settings


class _AskedSettings:
    """Stands before the settings of a project. It may be left behind in code that has kept it, and is no more than them."""

    __slots__ = ("_asked", "_inner")
    _asked: Asked
    _inner: Any

    def __init__(self, inner: Any, asked: Asked) -> None:
        object.__setattr__(self, "_inner", inner)
        object.__setattr__(self, "_asked", asked)

    def __getattr__(self, name: str) -> Any:
        try:
            value = getattr(self._inner, name)
        except AttributeError:
            self._asked.setting(name, MISSING_VALUE)
            raise
        self._asked.setting(name, value)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        self._asked.given.add(name)
        setattr(self._inner, name, value)

    def __delattr__(self, name: str) -> None:
        self._asked.given.add(name)
        delattr(self._inner, name)

    def __dir__(self) -> list[str]:
        return dir(self._inner)


@contextmanager
def _asked_settings(asked: Asked) -> Iterator[None]:
    lazy: Any = settings
    if not lazy.configured:
        yield
        return
    inner = lazy._wrapped
    # To set _wrapped also empties what settings remember: each is asked for anew.
    lazy._wrapped = standing = _AskedSettings(inner, asked)
    try:
        yield
    finally:
        _take_away(lazy, standing, inner)


def _take_away(lazy: Any, standing: Any, inner: Any) -> None:
    """Put the settings back, also below an ``override_settings`` that was not ended."""
    if lazy._wrapped is standing:
        lazy._wrapped = inner
        return
    holder = lazy._wrapped
    while holder is not None:
        below = vars(holder).get("default_settings")
        if below is standing:
            holder.default_settings = inner
        holder = below if hasattr(below, "__dict__") else None


@contextmanager
def asking(asked: Asked) -> Iterator[None]:
    """Let ``asked`` note what all threads ask for in the block."""
    try:
        with _asked_environ(asked), _asked_settings(asked):
            yield
    finally:
        asked.is_listening = False  # an override_settings of the block may still put back what it has found
