"""What came of a run's screenshots: the closing lines, the review page, and whether all baselines were asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, MutableMapping
from typing import Any

from testkit.core.bus import PublishMeasured
from testkit.core.events import Fact, Outcome, RunFinished, RunMeasured, TestFinished
from testkit.screenshots import results
from testkit.screenshots.options import from_base
from testkit.screenshots.results import State
from testkit.screenshots.review.page import write_page
from testkit.screenshots.review.wholeness import conclude

SECTION = MEASURE = "screenshots"

_TO_REVIEW = (State.CHANGED, State.MISSING, State.FAILED)
_NAMED = 3


def comparisons_in(section: Mapping[str, Any]) -> int:
    """Return how many comparisons the data of a section tells of."""
    return sum(int(section.get(state, 0)) for state in State)


def told_of_part(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a shard tells in the data of its section to the run that joins the shards, and nothing of its own."""
    return {name: section[name] for name in ("tests", "gaps") if name in section}


class ScreenshotsListener:
    """Adds up the measure ``screenshots`` of each test, and writes the page when the run is over, if it took some.

    A part of a run (a shard) notes as well what the joined run has to know: which of its tests need a browser, and why
    it may not have asked for all baselines, but for being a part.
    """

    def __init__(
        self,
        publish_measured: PublishMeasured,
        reports: MutableMapping[str, str],
        tests: Collection[str],
        *,
        is_whole: bool,
        limited: str = "",
        is_part: bool = False,
        parts: int = 0,
    ) -> None:
        """Listen to one run.

        Args:
            publish_measured: is called once, with the section's name and its data, if there was a screenshot or this is a part.
            reports: is given the path of the page, by its title.
            tests: the ids of the collected tests that need a browser.
            is_whole: whether all tests of the project were asked for.
            limited: where breakpoints were given for this run alone; empty if it has the project's.
            is_part: whether this run is one of several that are joined.
            parts: how many runs this one is joined from.
        """
        self._publish_measured, self._reports = publish_measured, reports
        self._counts: Counter[str] = Counter()
        self._restarts = 0
        self._tests = dict.fromkeys(tests)  # in their order
        self._passed: set[str] = set()
        self._not_imported: list[str] = []
        self._written: Counter[str] = Counter()
        """How many baselines the earlier attempts of a test have written."""
        self._gaps = [] if is_whole else ["it was not of all tests: run them without labels, tags, names or shards"]
        """Why baselines may have been left out, as far as that is known when the run begins, or from its parts."""
        if limited:
            self._gaps.append(f"it had breakpoints of its own, by {limited}")
        self._is_part, self._parts, self._parts_told = is_part, parts, 0
        self._folder = results.folder()

    def __call__(self, fact: Fact) -> None:
        if isinstance(fact, TestFinished):
            self._add(fact)
        elif self._parts and isinstance(fact, RunMeasured) and fact.section == SECTION and "tests" in fact.data:
            self._tests |= dict.fromkeys(fact.data["tests"])
            self._gaps += [gap for gap in fact.data["gaps"] if gap not in self._gaps]
            self._parts_told += 1
        elif isinstance(fact, RunFinished):
            self._conclude(fact)

    def _conclude(self, end: RunFinished) -> None:
        took_some = bool(self._counts or self._restarts)
        data: dict[str, Any] = {"tests": list(self._tests), "gaps": self._gaps} if self._is_part else {}
        if took_some:
            data |= {state.value: self._counts[state] for state in State}
            data |= {"restarts": self._restarts, "text": self._text()}
        if data:
            self._publish_measured(SECTION, data)
        if not took_some:
            return
        conclude(self._folder, [*self._gaps, *self._later_gaps(end)])
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
            self._passed.add(fact.id)
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

    def _later_gaps(self, end: RunFinished) -> list[str]:
        """Return why baselines may have been left out that tests need, as far as the run's end tells."""
        gaps = []
        if self._is_part:
            gaps.append("it was a shard: ask after the merge of all")
        if self._parts_told < self._parts:
            silent = self._parts - self._parts_told
            gaps.append(
                f"{silent} of {self._parts} shards ran without --with-needle, or came without their screenshots"
            )
        if end.interrupted or end.stopped:
            gaps.append(f"it ended early: {end.interrupted or end.stopped}")
        if self._not_imported:
            gaps.append(f"modules were not imported, with all tests in them: {_some(self._not_imported)}")
        left = {id: None for id in self._tests if id not in self._passed}
        if left:
            gaps.append(f"tests with screenshots were skipped or did not pass: {_some(left)}")
        if lost := [id for id in end.lost if id not in left]:
            gaps.append(f"nothing was heard of tests: {_some(lost)}")
        return gaps


def _some(ids: Collection[str]) -> str:
    more = len(ids) - _NAMED
    return ", ".join(list(ids)[:_NAMED]) + (f" and {more} more" if more > 0 else "")
