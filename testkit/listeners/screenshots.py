"""The review page of a run's screenshots, and whether the run asked for all baselines that there are."""

from __future__ import annotations

from collections.abc import Collection, MutableMapping
from pathlib import Path

from testkit.core.events import Fact, Outcome, RunFinished, TestFinished
from testkit.screenshots import results
from testkit.screenshots.review.page import write_page
from testkit.screenshots.review.wholeness import conclude

_NAMED = 3


class ScreenshotsListener:
    """Writes the page when the run is over, if it took screenshots."""

    def __init__(self, reports: MutableMapping[str, str], tests: Collection[str], *, is_whole: bool) -> None:
        """Listen to one run.

        Args:
            reports: is given the path of the page, by its title.
            tests: the ids of the collected tests that need a browser.
            is_whole: whether all tests of the project were asked for.
        """
        self._reports = reports
        self._left = dict.fromkeys(tests)  # in their order
        self._is_whole = is_whole
        self._folder = results.folder().absolute()

    def __call__(self, fact: Fact) -> None:
        if isinstance(fact, TestFinished) and fact.final and fact.outcome is Outcome.PASSED:
            self._left.pop(fact.id, None)
        elif isinstance(fact, RunFinished) and results.read(self._folder):
            conclude(self._folder, self._gaps(fact))
            page = write_page(self._folder)
            if page is not None:
                self._reports["screenshots"] = _shown(page)

    def _gaps(self, end: RunFinished) -> list[str]:
        """Return why baselines may have been left out that tests need."""
        gaps = []
        if not self._is_whole:
            gaps.append("it was not of all tests: run them without labels, tags, names or shards")
        if end.interrupted or end.stopped:
            gaps.append(f"it ended early: {end.interrupted or end.stopped}")
        if self._left:
            named, more = list(self._left)[:_NAMED], len(self._left) - _NAMED
            gaps.append(
                f"{len(self._left)} tests with screenshots were skipped or did not pass: {', '.join(named)}"
                + (f" and {more} more" if more > 0 else "")
            )
        return gaps


def _shown(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
