"""What came of a run's screenshots: the closing lines, the review page, and whether all baselines were asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, MutableMapping
from typing import Any

from testkit.core.events import Fact, Outcome, RunFinished, TestFinished
from testkit.screenshots import results
from testkit.screenshots.options import from_base
from testkit.screenshots.results import State
from testkit.screenshots.review.page import write_page
from testkit.screenshots.review.wholeness import conclude

SECTION = MEASURE = "screenshots"
PublishMeasured = Callable[[str, Mapping[str, Any]], None]

_TO_REVIEW = (State.CHANGED, State.MISSING, State.FAILED)
_NAMED = 3


class ScreenshotsListener:
    """Adds up the measure ``screenshots`` of each test, and writes the page when the run is over, if it took some."""

    def __init__(
        self,
        publish_measured: PublishMeasured,
        reports: MutableMapping[str, str],
        tests: Collection[str],
        *,
        is_whole: bool,
        limited: str = "",
    ) -> None:
        """Listen to one run.

        Args:
            publish_measured: is called once, with the section's name and its data, if there was a screenshot.
            reports: is given the path of the page, by its title.
            tests: the ids of the collected tests that need a browser.
            is_whole: whether all tests of the project were asked for.
            limited: where breakpoints were given for this run alone; empty if it has the project's.
        """
        self._publish_measured, self._reports = publish_measured, reports
        self._counts: Counter[str] = Counter()
        self._restarts = 0
        self._left = dict.fromkeys(tests)  # in their order
        self._not_imported: list[str] = []
        self._written: Counter[str] = Counter()
        """How many baselines the earlier attempts of a test have written."""
        self._is_whole, self._limited = is_whole, limited
        self._folder = results.folder()

    def __call__(self, fact: Fact) -> None:
        if isinstance(fact, TestFinished):
            self._add(fact)
        elif isinstance(fact, RunFinished) and (self._counts or self._restarts):
            counts = {state.value: self._counts[state] for state in State}
            self._publish_measured(SECTION, {**counts, "restarts": self._restarts, "text": self._text()})
            conclude(self._folder, self._gaps(fact))
            page = write_page(self._folder)
            if page is not None:
                self._reports["screenshots"] = from_base(page)

    def _add(self, fact: TestFinished) -> None:
        counts = Counter(fact.measures.get(MEASURE, {}))
        if not fact.final:
            self._written[fact.id] += counts[State.NEW]
            return
        found = min(self._written.pop(fact.id, 0), counts[State.PASSED])
        self._counts.update(counts + Counter({State.NEW: found}) - Counter({State.PASSED: found}))
        if fact.outcome is Outcome.PASSED:
            self._left.pop(fact.id, None)
        elif not fact.class_id:
            self._not_imported.append(fact.id)  # whatever tests are in there, nobody has collected them
        self._restarts += "browser_restarted" in fact.measures

    def _text(self) -> str:
        counted = ", ".join(f"{self._counts[state]} {state}" for state in State if self._counts[state])
        lines = [f"\nScreenshots: {counted or 'none'}"]
        if self._counts[State.NEW]:
            lines.append("  The new ones are baselines now: look at them, and commit them")
        if any(self._counts[state] for state in _TO_REVIEW):
            lines.append("  To look at what differs: python -m testkit screenshots review")
        if self._restarts:
            tests = f"{self._restarts} test{'' if self._restarts == 1 else 's'}"
            lines.append(f"  The browser died in {tests}, which began again in another one")
        return "\n".join(lines)

    def _gaps(self, end: RunFinished) -> list[str]:
        """Return why baselines may have been left out that tests need."""
        gaps = []
        if not self._is_whole:
            gaps.append("it was not of all tests: run them without labels, tags, names or shards")
        if self._limited:
            gaps.append(f"it had breakpoints of its own, by {self._limited}")
        if end.interrupted or end.stopped:
            gaps.append(f"it ended early: {end.interrupted or end.stopped}")
        if self._not_imported:
            gaps.append(f"modules were not imported, with all tests in them: {_some(self._not_imported)}")
        if self._left:
            gaps.append(f"tests with screenshots were skipped or did not pass: {_some(self._left)}")
        if lost := [id for id in end.lost if id not in self._left]:
            gaps.append(f"nothing was heard of tests: {_some(lost)}")
        return gaps


def _some(ids: Collection[str]) -> str:
    more = len(ids) - _NAMED
    return ", ".join(list(ids)[:_NAMED]) + (f" and {more} more" if more > 0 else "")
