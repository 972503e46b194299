"""Gathers findings from the facts of a run."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

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
)
from testkit.core.text import cut_middle, first_line, one_line, readable
from testkit.core.verdict import LOST, Verdict, class_of, verdict
from testkit.listeners.findings.rules import RULES
from testkit.listeners.findings.sources import Sources, prefix_of

LONGEST_MESSAGE = 1_000  # characters
LONGEST_TEXT = 3_000
MOST_TEXTS = 5_000  # findings whose traceback is kept

_RANKS = {rule: rank for rank, rule in enumerate(RULES)}
_OUR_TYPES = ("unittest.", "testkit.")
"""How those types begin that are no exception's, and say no more than the message."""
_Told = TestFinished | SubTestFinished | FixtureFinished


class Finding(NamedTuple):
    """Something that is wrong: by which rule, what it is about, and where to look first.

    ``file`` is relative to the root of the repository, empty if there is no place; ``line`` 0 means that the whole file
    is meant. ``fingerprint`` is the same in each run in which the same thing is wrong, wherever its line is by then.
    """

    rule: str
    subject: str
    message: str
    file: str
    line: int
    text: str
    fingerprint: str


class Findings:
    """Listens to the facts of one run; when it has ended, ``found`` has what is wrong, the gravest kinds first."""

    def __init__(self) -> None:
        self.found: list[Finding] = []
        self.run = RunStarted(run="", at=0.0, ids=())
        self.end: RunFinished | None = None
        """The end of the run, once it has come; what is published after it is passed over."""
        self._prefix = ""
        self._sources = Sources()
        self._files: dict[str, str] = {}  # of classes
        self._attempts = Attempts()
        self._repeated: Counter[str] = Counter()

    def __call__(self, fact: Fact) -> None:
        """Take the next fact."""
        if self.end is not None:
            return
        match fact:
            case TestFinished():
                self._take_test(fact)
            case TestStarted():
                self._attempts.hear(fact)
            case SubTestFinished() if fact.outcome.is_bad:
                self._attempts.hear(fact)
            case FixtureFinished() if self._attempts.of_fixture(fact) and fact.outcome.is_bad:
                self._add_told("fixture-failed", f"{fact.id} ({fact.phase})", fact, verdict(fact))
            case RunMeasured():
                self._take_section(fact)
            case RunStarted():
                self.run, self._prefix = fact, prefix_of(fact.directory)
            case RunFinished():
                self._finish(fact)

    # Tests

    def _take_test(self, fact: TestFinished) -> None:
        if fact.class_id not in self._files:
            self._files[fact.class_id] = fact.file
            self._sources.learn(fact.class_id, fact.file)
        attempts, subtests = self._attempts.of_test(fact)
        if attempts:
            self._take_outcome(fact, subtests)
            self._add_leaks(attempts)

    def _take_outcome(self, fact: TestFinished, subtests: Sequence[SubTestFinished]) -> None:
        for subtest in subtests:
            self._add_told(_rule_of(subtest), subtest.id, subtest, verdict(subtest))
        # A test that is bad by its subtests alone is told by these.
        if fact.outcome.is_bad and (fact.problems or not subtests):
            rule = _rule_of(fact) if fact.class_id else "import-failed"
            self._add_told(rule, fact.id, fact, verdict(fact))

    def _add_leaks(self, attempts: Sequence[TestFinished]) -> None:
        last = attempts[-1]
        told = dict.fromkeys(line for attempt in attempts for line in _lines(attempt.measures.get("leaks", ())))
        for line in told:
            self._add("leak", last.id, f"{last.id} left behind: {line}", last.file, last.line, about=line)

    def _finish(self, end: RunFinished) -> None:
        for attempts in self._attempts.unfinished():
            self._take_outcome(attempts[-1], self._attempts.take_subtests(attempts[-1].id))
        for subtests in self._attempts.subtests_left():  # of tests that never ended
            for subtest in subtests:
                self._add_told(_rule_of(subtest), subtest.id, subtest, verdict(subtest))
        for id in end.lost:
            if id not in self._attempts:
                file = self._files.get(class_of(id)) or self._sources.holder(class_of(id))
                self._add("test-lost", id, f"{id}: {LOST.message}", file, 0)
        self.end = end
        self.found.sort(key=lambda finding: _RANKS[finding.rule])  # and within a kind as they came

    # Guards

    def _take_section(self, fact: RunMeasured) -> None:
        # Of a shard they have other members, which the joined run has made its own of.
        if fact.section == "budgets":
            places: Mapping[str, Any] = fact.data.get("places", {})
            for key, broken in fact.data.get("over", {}).items():
                file, line = places.get(key, ("", 0))
                self._add("query-budget", key, f"{key} made {broken}", file, line)
        elif fact.section == "routes":
            endpoints: Mapping[str, Any] = fact.data.get("endpoints", {})
            for key in fact.data.get("failing", ()):
                view = endpoints.get(key, {}).get("view", "")
                message = f"no test asks for {key}" + (f", {view}" if view else "")
                self._add("untested-route", key, message, self._sources.holder(view) if view else "", 0)

    # Adding

    def _add_told(self, rule: str, subject: str, fact: _Told, said: Verdict | None) -> None:
        if said is None:
            return
        problems = (fact.problem,) if isinstance(fact, SubTestFinished) else fact.problems
        file, line = next(((at.file, at.line) for at in (*problems, fact) if at is not None and at.file), ("", 0))
        message = first_line(said.message)
        if said.type not in message and not said.type.startswith(_OUR_TYPES):
            message = f"{said.type}: {message}"
        if rule == "import-failed":
            # Where unittest has wrapped it, the last line says what it was.
            message = said.text.rstrip().rpartition("\n")[2] or message
            file = file or self._sources.module(fact.id)
        self._add(rule, subject, f"{subject}: {message}", file, line, text=said.text)

    def _add(
        self, rule: str, subject: str, message: str, file: str, line: int, *, text: str = "", about: str = ""
    ) -> None:
        key = "\0".join((rule, subject, about))
        self._repeated[key] += 1  # two classes may have one name
        digest = hashlib.sha256(f"{key}\0{self._repeated[key]}".encode("utf-8", "backslashreplace"))
        kept = len(self.found) < MOST_TEXTS
        self.found.append(
            Finding(
                rule,
                one_line(subject, LONGEST_MESSAGE),
                one_line(message, LONGEST_MESSAGE),
                readable(self._from_root(file)) if file else "",
                line,
                readable(cut_middle(text, LONGEST_TEXT)) if kept else "",
                digest.hexdigest()[:32],
            )
        )

    def _from_root(self, file: str) -> str:
        return file if file.startswith("/") else f"{self._prefix}{file.removeprefix('./')}"


def _rule_of(fact: TestFinished | SubTestFinished) -> str:
    said = verdict(fact)
    if fact.outcome is Outcome.UNEXPECTED_SUCCESS:
        return "unexpected-success"
    return "test-failed" if said is not None and said.tag == "failure" else "test-error"


def _lines(measure: str | Iterable[str]) -> Iterable[str]:
    """Return the lines of the measure ``leaks``, which may be one text, as reports show properties."""
    return measure.splitlines() if isinstance(measure, str) else measure
