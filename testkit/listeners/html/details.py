"""What the page shows of a single test beside its row: problems, output, queries, attachments, attempts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from testkit.core.events import FixtureFinished, Outcome, Problem, SubTestFinished, TestFinished
from testkit.listeners.html.files import Files
from testkit.listeners.html.texts import Texts, short

TRACEBACK, OUTPUT, PASSING_OUTPUT, SQL, MESSAGE = 16_000, 8_000, 2_000, 16_000, 2_000
"""Characters that are kept of one text."""
MOST_SOURCES = 1_000
MOST_PROBLEMS = 20
"""Subtests and attempts that are shown of one test."""
_OWN_MEASURES = frozenset({"queries", "routes", "screenshots"})
_Told = TestFinished | FixtureFinished


class Details:
    """Makes plain data of facts, and keeps the long texts that these refer to."""

    def __init__(self, bad: Texts, good: Texts) -> None:
        """``bad`` takes the texts of what failed, ``good`` those of what passed: these must not push out the others."""
        self._bad, self._good = bad, good

    def of_test(self, attempts: Sequence[TestFinished], subtests: Sequence[SubTestFinished]) -> dict[str, Any]:
        """Return what is told of a test, of which ``attempts`` are all attempts in order; nothing for most tests."""
        *earlier, last = attempts
        is_bad = last.outcome.is_bad
        texts = self._bad if is_bad else self._good
        reason = "" if last.outcome is Outcome.EXPECTED_FAILURE else last.reason
        trouble = last.reason if last.outcome is Outcome.EXPECTED_FAILURE and not last.problems else ""
        data = {
            "reason": texts.excerpt(reason, MESSAGE),
            "problems": [self._problem(problem) for problem in last.problems],
            "trouble": self._keep(trouble, TRACEBACK, is_bad=True),
            "subtests": [self._subtest(fact) for fact in subtests if fact.outcome is not Outcome.PASSED][
                :MOST_PROBLEMS
            ],
            "earlier": [self._attempt(attempt) for attempt in earlier[:MOST_PROBLEMS]],
            "sql": self._keep(last.sql, SQL, is_bad=is_bad),
            "attachments": [short(path) for path in last.attachments[:MOST_PROBLEMS]],
            "measures": dict(_told_measures(last.measures, texts)),
        }
        return {**_without_nothing(data), **self._output(last, is_bad=is_bad or bool(earlier))}

    def of_fixture(self, attempts: Sequence[FixtureFinished]) -> dict[str, Any]:
        """Return what is told of a set-up or tear-down that did not pass."""
        *earlier, last = attempts
        data = {
            "reason": self._bad.excerpt(last.reason, MESSAGE),
            "problems": [self._problem(problem) for problem in last.problems],
            "earlier": [self._attempt(attempt) for attempt in earlier[:MOST_PROBLEMS]],
        }
        return {**_without_nothing(data), **self._output(last, is_bad=True)}

    def _keep(self, text: str, limit: int, *, is_bad: bool) -> int:
        """Return the place of ``text``; below zero, that among the texts of what passed."""
        return self._bad.keep(text, limit) if is_bad else -self._good.keep(text, limit)

    def _output(self, fact: _Told, *, is_bad: bool) -> dict[str, Any]:
        limit = OUTPUT if is_bad else PASSING_OUTPUT
        told: dict[str, Any] = {}
        for name, text in (("stdout", fact.stdout), ("stderr", fact.stderr)):
            if text:
                place = self._keep(text, limit, is_bad=is_bad)
                told[name] = {"text": place, "length": len(text)}
        return told

    def _problem(self, problem: Problem) -> dict[str, Any]:
        traceback = self._bad.keep(problem.traceback, TRACEBACK)
        data = {
            "type": short(problem.type),
            "message": self._bad.excerpt(problem.message, MESSAGE),
            "traceback": traceback,
            "left_out": bool(problem.traceback) and not traceback,
            "file": short(problem.file),
            "line": problem.line,
        }
        return _without_nothing(data) | {"outcome": problem.outcome.value}

    def _subtest(self, fact: SubTestFinished) -> dict[str, Any]:
        problems = [] if fact.problem is None else [self._problem(fact.problem)]
        name = short(fact.id.removeprefix(fact.test).strip())
        return {"name": name, "outcome": fact.outcome.value, "reason": short(fact.reason), "problems": problems}

    def _attempt(self, fact: _Told) -> dict[str, Any]:
        data = {
            "outcome": fact.outcome.value,
            "seconds": round(fact.seconds, 4),
            "worker": short(fact.worker),
            "problems": [self._problem(problem) for problem in fact.problems],
        }
        return {**data, **self._output(fact, is_bad=True)}


def with_files(details: Iterable[dict[str, Any]], files: Files) -> list[dict[str, Any]]:
    """Return the lines around the problems of ``details``, as they are now, and embed the images that are attached.

    Problems get the place of their lines in the list, from 1 on: many tests fail at one line.
    """
    sources: list[dict[str, Any]] = []
    places: dict[tuple[str, int], int] = {}
    for told in details:
        for problem in _problems_in(told):
            place = problem.get("file", ""), problem.get("line", 0)
            if place not in places:
                found = files.excerpt(*place) if len(sources) < MOST_SOURCES else None
                sources += [found] if found else []
                places[place] = len(sources) if found else 0
            problem["source"] = places[place]
        if "attachments" in told:
            told["attachments"] = list(files.images(told["attachments"]))
    return sources


def _problems_in(told: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    for holder in (told, *told.get("subtests", ()), *told.get("earlier", ())):
        yield from holder.get("problems", ())


def _told_measures(measures: Mapping[str, Any], texts: Texts) -> Iterable[tuple[str, str]]:
    """Yield what a test noted about itself; what has a place of its own on the page is left out."""
    for name, value in measures.items():
        if name not in _OWN_MEASURES:
            lines = [str(line) for line in value] if isinstance(value, list | tuple) else [str(value)]
            yield short(name), texts.excerpt("\n".join(lines), MESSAGE)


def _without_nothing(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if value}
