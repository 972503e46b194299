"""Providing the databases of a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections

from testkit.core.clock import clock
from testkit.databases.targets import family_of, is_in_memory, name_of, shown


@contextmanager
def timed(aliases: Iterable[str] | None) -> Iterator[dict[str, Any]]:
    """Give a dict that describes, when the block has set the databases up, which they are and how long it took.

    It stays empty when there are none. ``seconds`` is wall time; ``text`` is the one line for the console.
    """
    report: dict[str, Any] = {}
    started = clock.seconds()
    yield report
    names = {alias: _describe(alias) for alias in (connections if aliases is None else aliases)}
    if names:
        seconds = round(clock.seconds() - started, 3)
        listed = ", ".join(f"{alias} ({name})" for alias, name in names.items())
        report |= {"databases": names, "seconds": seconds, "text": f"Databases: {listed} in {seconds:.2f} s"}


def _describe(alias: str) -> str:
    connection = connections[alias]
    family, name = family_of(connection), name_of(connection)
    place = "in memory" if family == "sqlite3" and is_in_memory(name) else shown(name, family)
    return f"{connection.display_name}, {place}"
