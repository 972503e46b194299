"""``untested-routes.toml``: the routes that may be untested for now. They may only leave it."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from testkit.core.errors import OptionError
from testkit.endpoints.files import KEY, Text, by_route, did_you_mean, editing, line_of, shown

_SETTINGS = ("ignore", "untested")
_HEADER = """\
# Routes that no test asks for yet, each with the reason if there is one: "GET /route/" = "needs the payment service".
# They leave this file by --update-untested-routes when they are tested; one is added by hand, so that a reviewer sees it.

# Routes that need no test: ignore = ["/health/", "GET /legacy/*"]
ignore = []

[untested]
"""


class Baseline(NamedTuple):
    """What is in the file. ``untested`` has the reason of each endpoint, ``ignored`` patterns of what needs no test."""

    path: Path
    shown: str
    untested: Mapping[str, str] = {}
    ignored: tuple[str, ...] = ()
    exists: bool = False

    def ignores(self, key: str) -> bool:
        """Whether the endpoint ``key`` needs no test: its route, or method and route, are like a pattern."""
        path = key.partition(" ")[2]
        return any(
            given in (key, path) or fnmatchcase(path, given) or fnmatchcase(key, given) for given in self.ignored
        )


def read(path: Path) -> Baseline:
    """Read the file ``path``; nothing may be untested where it does not exist.

    Raises:
        OptionError: it cannot be read, is no TOML, or has something in it that does not belong there.
    """
    try:
        text = Text.read(path).lines
    except FileNotFoundError:
        return Baseline(path, shown(path))
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"{path} cannot be read: {error}") from error
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise OptionError(f"{path} is no TOML: {error}") from error
    return _checked(path, data, text.splitlines())


def _checked(path: Path, data: Mapping[str, Any], lines: list[str]) -> Baseline:
    def wrong(key: str, problem: str) -> OptionError:
        line = line_of(key, "untested", lines)
        return OptionError(f"{path}{f', line {line}' if line else ''}: {problem}")

    for key in data:
        if key not in _SETTINGS:
            below = f'put it below [untested]: "{key}" = ""'
            raise wrong(key, f"{key!r} is no setting: {below if KEY.fullmatch(key) else did_you_mean(key, _SETTINGS)}")
    ignored, untested = data.get("ignore", []), data.get("untested", {})
    if not isinstance(ignored, list) or not all(isinstance(item, str) for item in ignored):
        raise wrong("ignore", 'ignore is a list of patterns: ["/health/", "GET /legacy/*"]')
    if not isinstance(untested, dict):
        raise wrong("untested", '[untested] is a table: below it stands "GET /route/" = ""')
    for key, reason in untested.items():
        if not KEY.fullmatch(key):
            raise wrong(key, f'{key!r} is no endpoint: give method and route, "GET /library/books/<int:pk>/"')
        if not isinstance(reason, str):
            raise wrong(key, f'{reason!r} is no reason: give text, which may be empty: "{key}" = ""')
    return Baseline(path, shown(path), untested, tuple(ignored), exists=True)


def begin(path: Path, untested: Iterable[str]) -> None:
    """Write the file, which is not there, with the endpoints ``untested``.

    Raises:
        OSError: it cannot be written.
    """
    with editing(path, _HEADER) as (_, document):
        for key in sorted(untested, key=by_route):
            document["untested"][key] = ""


def shrink(path: Path, gone: Collection[str]) -> None:
    """Take the endpoints ``gone`` out of the file.

    Raises:
        OSError: it cannot be written.
    """
    with editing(path, _HEADER) as (_, document):
        for key in gone:
            document["untested"].remove(key)
