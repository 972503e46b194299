"""Providing the databases of a run."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections


@contextmanager
def timed(aliases: Iterable[str] | None) -> Iterator[dict[str, Any]]:
    """Give a dict that describes, when the block has set the databases up, which they are and how long it took.

    It stays empty when there are none. ``seconds`` is wall time; ``text`` is the one line for the console.
    """
    report: dict[str, Any] = {}
    started = time.perf_counter()
    yield report
    names = {alias: _describe(alias) for alias in (connections if aliases is None else aliases)}
    if names:
        seconds = round(time.perf_counter() - started, 3)
        listed = ", ".join(f"{alias} ({name})" for alias, name in names.items())
        report |= {"databases": names, "seconds": seconds, "text": f"Databases: {listed} in {seconds:.2f} s"}


def _describe(alias: str) -> str:
    connection = connections[alias]
    name = str(connection.settings_dict["NAME"])
    is_in_memory = connection.vendor == "sqlite" and (name == ":memory:" or "mode=memory" in name)
    return f"{connection.display_name}, {'in memory' if is_in_memory else name}"
