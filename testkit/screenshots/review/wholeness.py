"""Whether a run asked for all baselines that its project has: only then is one that nobody asked for an orphan."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from testkit.core.paths import replacing
from testkit.screenshots import results
from testkit.screenshots.review.shots import Shot

_NAME = "run.json"
UNKNOWN = (
    "whether it was of all tests is not known: only testkit's own runner tells. Run `python -m testkit --with-needle`, "
    "or say --run-was-whole if the last run was of all tests and all of them passed"
)


def conclude(folder: Path, gaps: Sequence[str]) -> None:
    """Note that the run whose results are in ``folder`` is over.

    ``gaps`` says why it may not have asked for all baselines, a reason each; none if it has.
    """
    with replacing(folder / _NAME) as file:
        json.dump({"results": _mark(folder), "gaps": list(gaps)}, file)


def gaps_of(folder: Path) -> list[str]:
    """Return why the run whose results are in ``folder`` may not have asked for all baselines; nothing if it has."""
    try:
        noted = json.loads((folder / _NAME).read_bytes())
        # Tests that ran since then, by another runner, leave the file of the run before.
        return [str(gap) for gap in noted["gaps"]] if noted["results"] == _mark(folder) else [UNKNOWN]
    except (OSError, ValueError, KeyError, TypeError):
        return [UNKNOWN]


def _mark(folder: Path) -> list[str]:
    """Return what tells these results from all others."""
    return sorted(Shot(result, folder).id for result in results.read(folder))
