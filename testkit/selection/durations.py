"""How long tests took before: read to foresee, written to remember."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from itertools import islice
from json.encoder import encode_basestring_ascii as _quote
from pathlib import Path
from typing import NamedTuple

from testkit.core.paths import replacing

_FIRST_LINE = '[{"version":1},\n'
SMALL_FILE = 100_000
"""Bytes that are read and written in about a millisecond: some 1,500 tests."""
_BYTES_PER_TEST = 5_000  # with some 70 bytes for a test, a run of one test in 70 is taken in
_ITEMS_AT_ONCE = 1000
_NEW_SHARE = 0.5
"""How much the newest figure counts against what was known: single runs are noisy, but tests do change."""


class Durations(NamedTuple):
    """Seconds by test id, and set-up seconds by class or module id."""

    tests: dict[str, float]
    fixtures: dict[str, float]

    def merge(self, newer: Durations) -> None:
        """Take the figures of ``newer`` in."""
        _blend(self.tests, newer.tests)
        _blend(self.fixtures, newer.fixtures)


def _blend(known: dict[str, float], newer: Mapping[str, float]) -> None:
    for id, seconds in newer.items():
        before = known.get(id)
        known[id] = seconds if before is None else before + (seconds - before) * _NEW_SHARE


def load(path: Path) -> Durations:
    """Return the durations in ``path``; none when the file is missing, damaged or of another version.

    Durations only help to foresee: a run never fails for want of them.
    """
    found = Durations({}, {})
    sections = {"tests": found.tests, "fixtures": found.fixtures}
    try:
        with open(path, encoding="ascii") as lines:
            if next(lines) != _FIRST_LINE:
                return Durations({}, {})
            for line in lines:
                for name, seconds in _part(line).items():
                    sections[name].update({id: float(value) for id, value in seconds.items()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration):
        return Durations({}, {})
    return found


def _part(line: str) -> dict[str, dict[str, float]]:
    part: dict[str, dict[str, float]] = json.loads(line.rstrip(",]\n"))
    return part


def remember(path: Path, newer: Durations) -> None:
    """Take the figures of a run into ``path``; but not those of a few tests into a file of very many.

    To read and write that would take longer than the start of such a run, and a larger run will bring them again.
    """
    size = path.stat().st_size if path.exists() else 0
    if size > max(SMALL_FILE, _BYTES_PER_TEST * len(newer.tests)):
        return
    known = load(path)
    known.merge(newer)
    with suppress(OSError):  # not to be remembered is no reason to fail
        save(path, known)


def save(path: Path, durations: Durations) -> None:
    """Write ``durations`` to ``path``, whole or not at all.

    It is a JSON list with a part on each line, written and read line by line: in one piece it would be the most that a
    run ever holds in memory.
    """
    with replacing(path) as file:
        file.write(_FIRST_LINE)
        for name, seconds in (("tests", durations.tests), ("fixtures", durations.fixtures)):
            # Microseconds are enough, and formatting them here takes a third of the time that json.dumps takes.
            items = (f"{_quote(id)}:{value:.6f}" for id, value in seconds.items())
            while part := ",".join(islice(items, _ITEMS_AT_ONCE)):
                file.write(f'{{"{name}":{{{part}}}}},\n')
        file.write("{}]\n")
