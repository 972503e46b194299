"""How long tests took before: read to foresee, written to remember."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from testkit.core.paths import replacing

VERSION = 1
_NEW_SHARE = 0.5
"""How much the newest figure counts against what was known: single runs are noisy, but tests do change."""


@dataclass(slots=True)
class Durations:
    """Seconds by test id, and set-up seconds by class or module id."""

    tests: dict[str, float] = field(default_factory=dict)
    fixtures: dict[str, float] = field(default_factory=dict)

    def merge(self, newer: Durations) -> None:
        """Take the figures of ``newer`` in."""
        _blend(self.tests, newer.tests)
        _blend(self.fixtures, newer.fixtures)


def _blend(known: dict[str, float], newer: Mapping[str, float]) -> None:
    for id, seconds in newer.items():
        before = known.get(id, seconds)
        known[id] = round(before + (seconds - before) * _NEW_SHARE, 6)


def load(path: Path) -> Durations:
    """Return the durations in ``path``; none when the file is missing, damaged or of another version.

    Durations only help to foresee: a run never fails for want of them.
    """
    try:
        plain = json.loads(path.read_bytes())
        if plain["version"] != VERSION:
            return Durations()
        return Durations(_seconds(plain["tests"]), _seconds(plain["fixtures"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Durations()


def _seconds(plain: Mapping[str, float]) -> dict[str, float]:
    return {str(id): float(seconds) for id, seconds in plain.items()}


def save(path: Path, durations: Durations) -> None:
    """Write ``durations`` to ``path``, whole or not at all."""
    with replacing(path) as file:
        # dumps, not dump: only it uses the C encoder.
        file.write(json.dumps({"version": VERSION, "tests": durations.tests, "fixtures": durations.fixtures}))
