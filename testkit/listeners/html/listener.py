"""Gathers what a run tells, and writes the page when all of it was told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from testkit.core.attempts import Attempts
from testkit.core.events import (
    Fact,
    FixtureFinished,
    Outcome,
    RunFinished,
    RunMeasured,
    RunStarted,
    SubTestFinished,
    TestFinished,
    TestStarted,
    WorkerLost,
)
from testkit.core.paths import replacing
from testkit.core.tally import Tally
from testkit.listeners.html.details import Details, with_files
from testkit.listeners.html.files import Files
from testkit.listeners.html.judgement import Judgement, judge
from testkit.listeners.html.sections import Requests
from testkit.listeners.html.table import LOST, NOT_RUN, Table
from testkit.listeners.html.texts import Texts, short
from testkit.listeners.html.timeline import Timeline

MOST_TEXT, MOST_PASSING_TEXT = 1_500_000, 300_000
"""Characters of all tracebacks and output together: of what failed, and of what passed."""
MOST_FIXTURES = 1_000


class ReportPage:
    """Listens to the facts of one run.

    The page is written when ``RunMeasured`` of the status comes, which is the last that a run says. What is kept until
    then is what the page will show, and no more: memory does not grow with what tests print.
    """

    def __init__(self, path: Path | None) -> None:
        """``path`` is where the page goes; with None it is nowhere, and :meth:`page` returns it."""
        self.path = None if path is None else path.absolute()  # a test may change the working directory
        self.folder = Path.cwd()
        self.tally = Tally()
        self.run = RunStarted(run="", at=0.0, ids=())
        self.end = RunFinished(at=0.0, seconds=0.0)
        self.table, self.timeline, self.requests = Table(), Timeline(), Requests()
        self.bad_texts, self.good_texts = Texts(MOST_TEXT), Texts(MOST_PASSING_TEXT)
        self.fixtures: list[dict[str, Any]] = []
        self.lost_workers: list[dict[str, Any]] = []
        self.sections: dict[str, Mapping[str, Any]] = {}
        self.seeds: dict[int | str, None] = {}
        self._details = Details(self.bad_texts, self.good_texts)
        self._attempts = Attempts()
        self._blocked: dict[str, FixtureFinished] = {}  # set-ups that account for the tests below them, by id
        self._has_ended = False
        self._sources: list[dict[str, Any]] | None = None

    def __call__(self, fact: Fact) -> None:
        """Take the next fact.

        Raises:
            OSError: the page cannot be written.
        """
        self.tally(fact)
        match fact:
            case TestFinished():
                self._take_test(fact)
            case TestStarted() | SubTestFinished():
                self._attempts.hear(fact)
            case FixtureFinished():
                self._take_fixture(fact)
            case RunMeasured():
                self._take_section(fact)
            case WorkerLost():
                self.lost_workers.append({name: short(getattr(fact, name)) for name in ("worker", "reason", "running")})
            case RunStarted():
                self.run = fact
                self.timeline.begin(fact.at)
            case RunFinished():
                self._finish(fact)

    def _take_test(self, fact: TestFinished) -> None:
        self.timeline.add(fact)
        attempts, subtests = self._attempts.of_test(fact)
        if attempts:
            self._add_test(attempts, subtests)

    def _add_test(self, attempts: Sequence[TestFinished], subtests: Sequence[SubTestFinished]) -> None:
        last = attempts[-1]
        self.requests.add(last.measures)
        is_flaky = not last.outcome.is_bad and any(attempt.outcome.is_bad for attempt in attempts[:-1])
        told = self._details.of_test(attempts, subtests)
        self.table.add(attempts, told, is_flaky=is_flaky)

    def _take_fixture(self, fact: FixtureFinished) -> None:
        self.timeline.add(fact)
        self.requests.add(fact.measures)
        attempts = self._attempts.of_fixture(fact)
        if not attempts or fact.outcome is Outcome.PASSED:
            return
        if fact.phase.startswith("setUp") and not fact.interrupted:
            self._blocked.setdefault(fact.id, fact._replace(problems=(), stdout="", stderr=""))
        if len(self.fixtures) < MOST_FIXTURES:
            own = {"id": short(fact.id), "raw": fact.id, "phase": short(fact.phase), "outcome": fact.outcome.value}
            place = {"file": short(fact.file), "line": fact.line, "worker": short(fact.worker)}
            seconds = {"seconds": round(fact.seconds, 4)}
            self.fixtures.append({**own, **place, **seconds, **self._details.of_fixture(attempts)})

    def _take_section(self, fact: RunMeasured) -> None:
        self.sections[fact.section] = fact.data
        if fact.section == "environment" and "seed" in fact.data:
            self.seeds[fact.data["seed"]] = None  # shards may have several
        if fact.section == "status" and self._has_ended and self.path is not None:
            with replacing(self.path, "wb") as file:
                file.write(self.page())

    def _finish(self, end: RunFinished) -> None:
        """Take the end, with the tests that no fact of their own tells of."""
        for attempts in self._attempts.unfinished():
            self._add_test(attempts, ())
        self.end, self._has_ended = end, True
        why = f"interrupted by {end.interrupted}" if end.interrupted else end.stopped
        self.table.add_untold((id for id in end.not_run if id not in self._attempts), NOT_RUN, why)
        self.table.add_untold(end.lost, LOST, "collected, and how it ended was never told")
        self._add_blocked(end)

    def _add_blocked(self, end: RunFinished) -> None:
        """Add the tests that a set-up accounts for, which failed or skipped before they could begin."""
        if not self._blocked:
            return
        told = {*self.table.ids, *end.not_run, *end.lost}
        below: dict[str, list[str]] = {}
        for id in dict.fromkeys(self.run.ids):
            holder = "" if id in told else next((name for name in _above(id) if name in self._blocked), "")
            if holder:
                below.setdefault(holder, []).append(id)
        for holder, ids in below.items():
            fact = self._blocked[holder]
            skipped = fact.outcome is Outcome.SKIPPED
            why = f"{fact.phase} skipped it: {fact.reason}" if skipped else f"{fact.phase} failed"
            self.table.add_untold(ids, Outcome.SKIPPED.value if skipped else NOT_RUN, why)

    def judgement(self) -> Judgement:
        """Return how the run ended, as far as that was told."""
        fixtures = sum(Outcome(fixture["outcome"]).is_bad for fixture in self.fixtures)
        return judge(self.end, self.tally, {**self.table.counts, "fixtures": fixtures}, self.sections)

    def page(self) -> bytes:
        """Return the page of what was told."""
        from testkit.listeners.html.render import render

        if self._sources is None:  # the second time they are there already
            self._sources = with_files([*self.table.details.values(), *self.fixtures], Files(self.folder))
        return render(self, self._sources)


def _above(id: str) -> Iterator[str]:
    """Yield the class of a test, and what that lies in."""
    while id:
        id = id.rpartition(".")[0]
        yield id
