"""A past run as a short Markdown summary, for the page that a CI system shows of a job.

Everything that comes from tests stands in code spans and code blocks, which no text can leave, mention somebody from or
be a link in (https://spec.commonmark.org/0.31.2/#code-spans).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from testkit.core.attempts import Attempts
from testkit.core.errors import ExitStatus
from testkit.core.events import (
    Fact,
    FixtureFinished,
    Outcome,
    RunFinished,
    SubTestFinished,
    TestFinished,
    TestStarted,
)
from testkit.core.text import cut_middle, visible
from testkit.core.verdict import verdict
from testkit.session.aftermath.ending import Ending

MOST_FAILURES = 50
"""Failures that are shown; GitHub drops a whole summary of more than 1 MiB."""
LONGEST_TRACEBACK = 3000  # characters, of up to four bytes
LONGEST_NAME = 300
MOST_NAMES = 20

_WORDS = {
    ExitStatus.PASSED: "passed",
    ExitStatus.TESTS_FAILED: "failed",
    ExitStatus.RUN_FAILED: "the run failed",
    ExitStatus.NOTHING_RAN: "none ran",
    ExitStatus.INTERRUPTED: "interrupted",
    ExitStatus.TERMINATED: "interrupted",
}


class _Failure(NamedTuple):
    """One that is shown: all of it is text of the run."""

    name: str
    type: str
    message: str
    place: str
    text: str


class Summary:
    """Listens to the facts of one run; :meth:`text` then returns the summary."""

    def __init__(self, ending: Ending) -> None:
        """``ending`` hears each fact before this listener does."""
        self._ending = ending
        self._outcomes: Counter[Outcome] = Counter()
        self._subtests: dict[str, list[SubTestFinished]] = {}  # bad ones by test, until that ends
        self._attempts = Attempts()
        self._flaky: list[str] = []
        self._failures: list[_Failure] = []
        self._more = 0

    def __call__(self, fact: Fact) -> None:
        match fact:
            case TestFinished():
                self._take_test(fact)
            case TestStarted():
                self._subtests.pop(fact.id, None)
            case SubTestFinished() if fact.outcome.is_bad:
                self._subtests.setdefault(fact.test, []).append(fact)
            case FixtureFinished() if self._attempts.of_fixture(fact) and fact.outcome.is_bad:
                self._add(f"{fact.id} ({fact.phase})", fact)
            case RunFinished():
                for attempts in self._attempts.unfinished():
                    self._count_test(attempts[-1], [])

    def _take_test(self, fact: TestFinished) -> None:
        subtests = self._subtests.pop(fact.id, [])
        attempts = self._attempts.of_test(fact, subtests)
        if not attempts:
            return
        if any(attempt.outcome.is_bad for attempt in attempts[:-1]) and not fact.outcome.is_bad:
            self._flaky.append(fact.id)
        self._count_test(fact, subtests)

    def _count_test(self, fact: TestFinished, subtests: Sequence[SubTestFinished]) -> None:
        self._outcomes[fact.outcome] += 1
        for subtest in subtests:
            self._add(subtest.id, subtest)
        if fact.outcome.is_bad and (fact.problems or not subtests):
            self._add(fact.id, fact)

    def _add(self, name: str, fact: TestFinished | SubTestFinished | FixtureFinished) -> None:
        said = verdict(fact)
        if said is None or len(self._failures) >= MOST_FAILURES:
            self._more += said is not None
            return
        told = (fact.problem,) if isinstance(fact, SubTestFinished) else fact.problems
        # Where to look first: where it failed, or else where the test is.
        place = next((f"{at.file}:{at.line}" for at in (*told, fact) if at is not None and at.file), "")
        text = cut_middle(said.text, LONGEST_TRACEBACK)
        self._failures.append(_Failure(name, said.type, said.message, place, text))

    def text(self, status: ExitStatus, reason: str) -> str:
        """Return the summary, with the exit status of the run and why it is not that of its tests alone."""
        end = self._ending.fact
        # A test that was tried, and was to be tried again, is not one that did not run.
        not_run = [id for id in end.not_run if id not in self._attempts]
        parts = [f"## Tests: {_WORDS[status]}", self._table(len(not_run))]
        if reason:
            parts.append(_code(reason))
        if self._failures:
            parts += ["### Failures", *map(_shown, self._failures)]
        if self._more:
            parts.append(f"… and {self._more} more")
        for title, ids in (("Lost", end.lost), ("Not run", not_run), ("Flaky, passed when tried again", self._flaky)):
            if ids:
                parts += [f"### {title}: {len(ids)}", _list(ids)]
        return "\n\n".join(parts) + "\n"

    def _table(self, not_run: int) -> str:
        end = self._ending.fact
        cells = {"tests": str(self._outcomes.total())}
        cells |= {outcome.value: str(count) for outcome in Outcome if (count := self._outcomes[outcome])}
        cells |= {name: str(count) for name, count in (("not run", not_run), ("lost", len(end.lost))) if count}
        cells["seconds"] = f"{end.seconds:.1f}"
        rule = "|".join("---:" for _ in cells)
        return f"| {' | '.join(cells)} |\n|{rule}|\n| {' | '.join(cells.values())} |"


def _shown(failure: _Failure) -> str:
    lines = [f"#### {_code(failure.name)}", f"{_code(failure.type)}: {_code(failure.message)}"]
    if failure.place:
        lines[-1] += f" at {_code(failure.place)}"
    if failure.text:
        lines.append(_block(failure.text))
    return "\n\n".join(lines)


def _list(ids: Sequence[str]) -> str:
    more = [f"- … and {len(ids) - MOST_NAMES} more"] if len(ids) > MOST_NAMES else []
    return "\n".join([*(f"- {_code(id)}" for id in ids[:MOST_NAMES]), *more])


def _code(text: str) -> str:
    """Return ``text`` on one line as a code span, between more backticks than it has in a row."""
    shown = " ".join(cut_middle(visible(text), LONGEST_NAME).split()) or "?"
    fence = "`" * (_longest_row_of_backticks(shown) + 1)
    pad = " " if "`" in (shown[0], shown[-1]) else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def _block(text: str) -> str:
    """Return ``text`` as a code block, between more backticks than it has in a row."""
    shown = visible(text).replace("\r", "\\r").rstrip("\n")
    fence = "`" * max(_longest_row_of_backticks(shown) + 1, 3)
    return f"{fence}text\n{shown}\n{fence}"


def _longest_row_of_backticks(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
