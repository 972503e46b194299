"""What a comparison needs to know of one run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from testkit.core.events import Fact, Outcome, RunFinished, RunMeasured, RunStarted, TestFinished
from testkit.core.results import Result, Results

NOT_OF_A_SHARD = frozenset({"coverage", "routes"})
"""Sections that a shard has for itself alone, and that only a merge can join."""


class Coverage(NamedTuple):
    """How much is covered: in percent, and by file the numbers of statements and of those that are not covered."""

    percent: float
    files: Mapping[str, tuple[int, int]]


class Figures:
    """Listens to the facts of one run, or of the shards of one, and keeps what is compared.

    ``queries``, ``routes``, ``coverage`` and ``screenshots`` are None if the run did not measure them.
    """

    def __init__(self, *, is_joined: bool = False) -> None:
        """``is_joined``: the facts are those of several shards."""
        self.run = ""
        self.at = 0.0
        self.seconds = 0.0
        self.commit = ""
        self.ended_early = ""
        self.not_run: set[str] = set()
        self.queries: dict[str, tuple[int, str]] | None = None
        """By endpoint the most queries that a request made, and the test that made it."""
        self.routes: dict[str, str] | None = None
        """By endpoint how it is tested: a ``testkit.coverage.routes.standing.State``."""
        self.coverage: Coverage | None = None
        self.screenshots: dict[str, dict[str, int]] | None = None
        """By test how many comparisons ended in each ``testkit.screenshots.results.State``."""
        self.is_joined = is_joined
        self._results = Results()
        self._set_ups: dict[str, Outcome] = {}
        """What the ids of tests begin with that a set-up accounts for, which was bad or skipped."""

    @property
    def tests(self) -> Mapping[str, Result]:
        return self._results.tests

    @property
    def fixtures(self) -> Mapping[str, Result]:
        return self._results.fixtures

    def set_up_of(self, id: str) -> Outcome | None:
        """Return how the set-up ended that accounts for the test ``id``, which therefore did not run."""
        return next((outcome for above, outcome in self._set_ups.items() if id.startswith(above)), None)

    def __call__(self, fact: Fact) -> None:
        self._results(fact)
        match fact:
            case TestFinished() if fact.final and fact.measures:
                self._take_measures(fact)
            case RunMeasured():
                self._take_section(fact.section, fact.data)
            case RunStarted():
                self.run = f"{self.run}, {fact.run}" if self.run else fact.run
                self.at = min(self.at or fact.at, fact.at)
            case RunFinished():
                self._finish(fact)

    def _finish(self, fact: RunFinished) -> None:
        self.seconds = max(self.seconds, fact.seconds)  # shards run at the same time
        self.ended_early = self.ended_early or fact.stopped or fact.interrupted
        self.not_run |= {id for id in (*fact.not_run, *fact.lost) if id not in self.tests}
        self._set_ups = {
            f"{name.rpartition(' (')[0]}.": result.outcome
            for name, result in self.fixtures.items()
            if result.outcome is not Outcome.PASSED and name.endswith(("(setUpClass)", "(setUpModule)"))
        }

    def _take_measures(self, fact: TestFinished) -> None:
        queries = fact.measures.get("queries")
        if isinstance(queries, Mapping):
            if self.queries is None:
                self.queries = {}
            for endpoint, cost in _mapping(queries, "routes").items():
                count = int(cost["queries"])
                if count > self.queries.get(endpoint, (-1, ""))[0]:
                    self.queries[endpoint] = (count, fact.id)
        shots = fact.measures.get("screenshots")
        if isinstance(shots, Mapping):
            counts = {state: count for state, count in shots.items() if isinstance(count, int) and count}
            if self.screenshots is None:
                self.screenshots = {}
            self.screenshots[fact.id] = counts

    def _take_section(self, section: str, data: Mapping[str, Any]) -> None:
        if self.is_joined and section in NOT_OF_A_SHARD:
            return
        match section:
            case "budgets":
                self.queries = self.queries or {}
            case "screenshots":
                self.screenshots = self.screenshots or {}
            case "routes" if "endpoints" in data:
                self.routes = {key: str(each["state"]) for key, each in _mapping(data, "endpoints").items()}
            case "coverage" if data.get("percent") is not None:
                self.coverage = Coverage(float(data["percent"]), dict(_files(_mapping(data, "files"))))
            case "source":
                self.commit = str(data.get("commit", ""))


def _files(files: Mapping[str, Any]) -> Iterable[tuple[str, tuple[int, int]]]:
    for path, each in files.items():
        missing = sum(last - first + 1 for first, last in each["missing"])
        yield path, (int(each["statements"]), missing)


def _mapping(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = data.get(name)
    return found if isinstance(found, Mapping) else {}
