"""``query-budgets.toml``: read strictly, and edited so that comments and order survive."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from testkit.core.errors import OptionError
from testkit.endpoints.files import KEY, Text, by_route, did_you_mean, editing, line_of, shown
from testkit.queries.budgets.costs import DEFAULT, Cost

MAX, TIME, REASON = "max", "time_ms", "reason"
_SETTINGS = ("budgets", "ignore_tables")
_HEADER = """\
# How many queries each endpoint may make. A test whose request makes more fails.
# Numbers go down by --update-query-budgets and up by hand, so that a reviewer sees it.
# "GET /route/" = 4, or a number for each database, or { max = 4, time_ms = 50, reason = "…" }.

[budgets]
"""


class Budget(NamedTuple):
    """What one request to an endpoint may cost.

    ``most`` is the number of queries in all databases together, ``aliases`` has those for single databases; one that is
    not named there may have none. ``milliseconds`` is advice: a longer time is told, and fails nothing.
    """

    most: int | None = None
    aliases: Mapping[str, int] | None = None
    milliseconds: float | None = None
    reason: str = ""
    line: int = 0

    def broken_by(self, cost: Cost) -> str:
        """Return in words what ``cost`` is too much for, empty if it is not."""
        if self.most is not None and cost.queries > self.most:
            return f"{_queries(cost.queries)}; its budget is {self.most}"
        if self.aliases is not None:
            for alias, count in cost.aliases.items():
                if count > self.aliases.get(alias, 0):
                    return f'{_queries(count)} in "{alias}"; its budget there is {self.aliases.get(alias, 0)}'
        return ""

    def is_slow_for(self, cost: Cost) -> bool:
        """Whether a request took longer than it should."""
        return self.milliseconds is not None and cost.seconds * 1000 > self.milliseconds


class Budgets(NamedTuple):
    """All that is in the file."""

    path: Path
    shown: str
    """The path as messages have it: from the working directory, when the file was read, if it lies there."""
    of: Mapping[str, Budget]
    """By endpoint: ``GET /library/books/<int:pk>/``."""
    ignored: frozenset[str] = frozenset()
    """Tables of which queries do not count."""

    def most_of(self, key: str) -> int | None:
        """Return how many queries ``key`` may make in all databases together; None if nothing says so."""
        budget = self.of.get(key)
        if budget is None:
            return None
        return budget.most if budget.aliases is None else sum(budget.aliases.values())

    def place_of(self, key: str) -> str:
        """Return where the budget of ``key`` is: the file and the line."""
        line = self.of[key].line
        return f"{self.shown}, line {line}" if line else self.shown


def read(path: Path) -> Budgets:
    """Read the file ``path``; there are no budgets where it does not exist.

    Raises:
        OptionError: it cannot be read, is no TOML, or has something in it that is none of a budget's.
    """
    try:
        text = Text.read(path).lines
    except FileNotFoundError:
        return Budgets(path, shown(path), {})
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"{path} cannot be read: {error}") from error
    return _parse(path, text)


def _parse(path: Path, text: str) -> Budgets:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise OptionError(f"{path} is no TOML: {error}") from error
    return _Reader(path, text).budgets(data)


class _Reader:
    """Checks what is in a file, and names the line of what is wrong."""

    def __init__(self, path: Path, text: str) -> None:
        self._path, self._lines = path, text.splitlines()

    def budgets(self, data: Mapping[str, Any]) -> Budgets:
        for key in data:
            if key not in _SETTINGS:
                remedy = f'put it below [budgets]: "{key}" = …' if KEY.fullmatch(key) else did_you_mean(key, _SETTINGS)
                raise self._error(key, f"{key!r} is no setting: {remedy}")
        ignored = data.get("ignore_tables", [])
        if not isinstance(ignored, list) or not all(isinstance(name, str) for name in ignored):
            raise self._error("ignore_tables", 'ignore_tables is a list of names: ["django_content_type"]')
        of = data.get("budgets", {})
        if not isinstance(of, dict):
            raise self._error("budgets", '[budgets] is a table: below it stands "GET /route/" = 4')
        found = {key: self._budget(key, value) for key, value in of.items()}
        return Budgets(self._path, shown(self._path), found, frozenset(ignored))

    def _budget(self, key: str, value: Any) -> Budget:
        line = self._line_of(key)
        if not KEY.fullmatch(key):
            raise self._error(key, f'{key!r} is no endpoint: give method and route, "GET /library/books/<int:pk>/"')
        if _is_count(value):
            return Budget(most=value, line=line)
        if not isinstance(value, dict) or not value:
            raise self._error(key, f"{value!r} is no budget: give a whole number, or a table")
        for name, part in value.items():
            self._check_part(key, name, part)
        aliases = {name: part for name, part in value.items() if name not in (MAX, TIME, REASON)}
        return Budget(value.get(MAX), aliases or None, value.get(TIME), value.get(REASON, ""), line)

    def _check_part(self, key: str, name: str, part: Any) -> None:
        if name == REASON:
            good, wanted = isinstance(part, str), "text"
        elif name == TIME:
            good, wanted = isinstance(part, int | float) and not isinstance(part, bool) and part > 0, "milliseconds"
        else:
            good, wanted = _is_count(part), "a whole number, 0 or more"
        if not good:
            raise self._error(key, f"{name} of {key!r} is {part!r}: give {wanted}")
        if name not in (MAX, TIME, REASON):
            self._check_alias(key, name)

    def _check_alias(self, key: str, name: str) -> None:
        from django.conf import settings
        from django.db import connections

        if not settings.configured:  # where reports are joined, the project need not be
            return
        known = [*connections.settings, MAX, TIME, REASON]
        if name not in known:
            raise self._error(key, f"{key!r} has {name!r}, which is no database: {did_you_mean(name, known)}")

    def _line_of(self, key: str) -> int:
        """Return the line that ``key`` stands in, from 1; 0 where that cannot be told."""
        return line_of(key, "budgets", self._lines)

    def _error(self, key: str, problem: str) -> OptionError:
        line = self._line_of(key)
        return OptionError(f"{self._path}{f', line {line}' if line else ''}: {problem}")


def record(path: Path, costs: Mapping[str, Cost]) -> list[str]:
    """Add a budget for each endpoint of ``costs`` that has none, and return these.

    Raises:
        OSError: the file cannot be written.
    """
    with _editing(path) as (budgets, document):
        new = sorted((key for key in costs if key not in budgets), key=by_route)
        for key in new:
            document["budgets"][key] = _value(costs[key])
    return new


def lower(path: Path, costs: Mapping[str, Cost]) -> list[str]:
    """Lower each budget of which ``costs`` used less, and return their endpoints.

    Raises:
        OSError: the file cannot be written.
    """
    with _editing(path) as (budgets, document):
        lowered = {key: _less(budget, costs[key]) for key, budget in budgets.items() if key in costs}
        for key, change in lowered.items():
            if isinstance(document["budgets"][key], dict):
                document["budgets"][key].update(change)
            elif change:
                document["budgets"][key] = change[MAX]
    return [key for key, change in lowered.items() if change]


def _less(budget: Budget, cost: Cost) -> dict[str, int]:
    """Return the members of ``budget`` that go down, and to what."""
    change = {MAX: cost.queries} if budget.most is not None and cost.queries < budget.most else {}
    for alias, most in (budget.aliases or {}).items():
        if cost.aliases.get(alias, 0) < most:
            change[alias] = cost.aliases.get(alias, 0)
    return change


def _value(cost: Cost) -> Any:
    if not cost.aliases.keys() - {DEFAULT}:
        return cost.queries
    import tomlkit

    table = tomlkit.inline_table()
    table.update(cost.aliases)
    return table


@contextmanager
def _editing(path: Path) -> Iterator[tuple[Mapping[str, Budget], Any]]:
    """Give the budgets of the file and its document, and write what the block makes of that."""
    import tomlkit

    with editing(path, _HEADER) as (before, document):
        document.setdefault("budgets", tomlkit.table())
        yield _parse(path, before).of, document


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _queries(count: int) -> str:
    return f"{count} quer{'y' if count == 1 else 'ies'}"
