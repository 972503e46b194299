"""All tests of a run in columns: ten thousand rows as objects would be four times as long, and slower to read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from testkit.core.events import Outcome, TestFinished
from testkit.core.verdict import class_of
from testkit.listeners.html.texts import short

NOT_RUN, LOST = "not run", "lost"
OUTCOMES = (*(outcome.value for outcome in Outcome), NOT_RUN, LOST)
"""What a row may say of a test; a column has the place in here as a digit."""
LONGEST_NAME = 500
"""Characters; a longer name is cut."""


class Names:
    """Names that occur again and again, and their places."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}
        self._all: list[str] = []

    def place(self, name: str) -> int:
        found = self._places.get(name)
        if found is None:
            found = self._places[name] = len(self._all)
            self._all.append(name)
        return found

    def at(self, place: int) -> str:
        return self._all[place]

    def shown(self) -> list[str]:
        return [short(name, LONGEST_NAME) for name in self._all]


class Table:
    """Takes tests one by one."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.counts = dict.fromkeys(OUTCOMES, 0)
        self.flaky: list[int] = []
        """The rows of tests that failed, and passed when they were tried again."""
        self.details: dict[int, dict[str, Any]] = {}
        self.routes = Names()
        self._classes, self._workers, self._files = Names(), Names(), Names()
        self._names: list[str] = []
        self._outcomes: list[str] = []
        self._columns: dict[str, list[int]] = {
            name: [] for name in ("class", "time", "worker", "file", "line", "queries")
        }
        self._some: dict[str, dict[int, Any]] = {"summary": {}, "attempts": {}, "asked": {}}

    def add(self, attempts: Sequence[TestFinished], told: dict[str, Any], *, is_flaky: bool) -> None:
        """Add a test by its last attempt; ``told`` are its details."""
        last = attempts[-1]
        row = self._add_row(last.id, last.class_id, last.outcome.value)
        columns = self._columns
        columns["time"].append(round(last.seconds * 1e5))  # in units of 10 µs
        columns["worker"].append(self._workers.place(last.worker))
        columns["file"].append(self._files.place(last.file))
        columns["line"].append(last.line)
        columns["queries"].append(self._queries(row, last.measures))
        if last.summary:
            self._some["summary"][row] = short(last.summary)
        if len(attempts) > 1:
            self._some["attempts"][row] = len(attempts)
        if is_flaky:
            self.flaky.append(row)
        if told:
            self.details[row] = told

    def add_untold(self, ids: Iterable[str], outcome: str, reason: str) -> None:
        """Add tests of which no fact tells how they ended."""
        for id in ids:
            row = self._add_row(id, class_of(id), outcome)
            for name in ("time", "line"):
                self._columns[name].append(0)
            self._columns["queries"].append(-1)
            self._columns["worker"].append(self._workers.place(""))
            self._columns["file"].append(self._files.place(""))
            self.details[row] = {"reason": short(reason)}

    def _add_row(self, id: str, class_id: str, outcome: str) -> int:
        self.counts[outcome] += 1
        is_below = bool(class_id) and id.startswith(f"{class_id}.")
        self._columns["class"].append(self._classes.place(class_id if is_below else ""))
        self._names.append(short(id[len(class_id) + 1 :] if is_below else id, LONGEST_NAME))
        self._outcomes.append(str(OUTCOMES.index(outcome)))
        self.ids.append(id)
        return len(self.ids) - 1

    def _queries(self, row: int, measures: Mapping[str, Any]) -> int:
        """Return how many queries a test made, -1 if nobody counted, and note those of its requests."""
        told = measures.get("queries")
        if not isinstance(told, Mapping):
            return -1
        routes = told.get("routes", {})
        if routes:
            self._some["asked"][row] = [
                [self.routes.place(key), cost["requests"], cost["queries"], cost["ms"]] for key, cost in routes.items()
            ]
        return int(told.get("total", -1))

    def is_bad(self, row: int) -> bool:
        """Whether the test of ``row`` fails the run."""
        outcome = OUTCOMES[int(self._outcomes[row])]
        return outcome == LOST or (outcome != NOT_RUN and Outcome(outcome).is_bad)

    def place_of(self, row: int) -> tuple[str, str]:
        """Return the class of a test, and its file."""
        return self._classes.at(self._columns["class"][row]), self._files.at(self._columns["file"][row])

    def to_plain(self) -> dict[str, Any]:
        """Return the columns; in those that are not lists, a row that is missing has nothing to say."""
        columns = dict(self._columns)
        if not any(count >= 0 for count in columns["queries"]):
            columns["queries"] = []
        return {
            "count": len(self.ids),
            "outcomes": OUTCOMES,
            "outcome": "".join(self._outcomes),
            "classes": self._classes.shown(),
            "workers": self._workers.shown(),
            "files": self._files.shown(),
            "routes": self.routes.shown(),
            "name": self._names,
            "flaky": self.flaky,
            **columns,
            **self._some,
        }
