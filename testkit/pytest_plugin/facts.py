"""pytest's reports, and what :mod:`testkit.pytest_plugin.annotate` has put on them, as facts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from testkit.core import journal
from testkit.core.clock import clock
from testkit.core.events import (
    Fact,
    FixtureFinished,
    Outcome,
    Problem,
    SubTestFinished,
    TestFinished,
    TestStarted,
    WorkerLost,
)
from testkit.core.text import cut_middle
from testkit.execution.capture import LIMIT
from testkit.pytest_plugin.annotate import ATTRIBUTE
from testkit.pytest_plugin.ids import Name, name_of_nodeid

Plain = Mapping[str, Any]
_Key = tuple[str, str]
"""A test where it runs: the worker, and the node id. Two workers may run one, by ``--dist each``."""


class _Running:
    """What is known so far of a test that runs."""

    def __init__(self, name: Name, worker: str, attempt: int) -> None:
        self.name, self.worker, self.attempt = name, worker, attempt
        self.at = clock.now()
        self.seconds = 0.0
        self.plain: Plain = {}
        self.outcome = Outcome.PASSED
        self.reason = ""
        self.problems: list[Problem] = []
        self.subtests_failed = 0
        self.is_of_fixture = False
        """Whether it did not run since a fixture accounts for it."""
        self.is_final = True
        """Whether no further attempt follows; one that is not may be done without a word of its tear-down."""
        self.last: tuple[Any, Plain] | None = None
        """The report that came last, and what was put on it."""
        self.measures: dict[str, Any] = {}

    def settled(self) -> Outcome:
        if self.problems:
            return Outcome.ERROR if any(p.outcome is Outcome.ERROR for p in self.problems) else Outcome.FAILED
        return Outcome.FAILED if self.subtests_failed and not self.outcome.is_bad else self.outcome


class Translator:
    """Makes facts of the reports of a run, which may be those of several processes at a time."""

    def __init__(self, publish: Callable[[Fact], None]) -> None:
        self._publish = publish
        self.names: dict[str, Name] = {}
        """What tests are called, by their node ids; one that is not among them is called after its own."""
        self.has_names = True
        """Whether a test is called what its report says; else the process of the run knows it by its node id alone."""
        self._running: dict[_Key, _Running] = {}
        self._attempts: dict[_Key, int] = {}
        self._subtests: dict[_Key, list[tuple[Any, Plain]]] = {}
        """Those that were told before their test's set-up, by what tells of tests when they are over."""
        self._broken: set[tuple[str, str]] = set()

    def collected(self, report: pytest.CollectReport) -> TestFinished | None:
        """Return the fact of a module that could not be imported, or that is skipped as a whole."""
        plain = _plain_of(report)
        if "id" not in plain:
            if report.passed or report.skipped:
                return None
            plain = {"id": name_of_nodeid(report.nodeid).id, "problems": [_problem_of(report)]}
        skipped = report.skipped
        return TestFinished(
            id=plain["id"],
            class_id="",
            at=clock.now(),
            seconds=0.0,
            outcome=Outcome.SKIPPED if skipped else Outcome.ERROR,
            problems=() if skipped else tuple(_problems_in(plain)),
            reason=_skip_reason(report) if skipped else "",
            file=report.nodeid,
        )

    def take(self, report: pytest.TestReport) -> None:
        """Publish what ``report`` tells."""
        plain = _plain_of(report)
        for line in plain.get("facts", ()):
            self._publish_line(line)
        worker = _worker_of(report)
        if report.when == "setup":
            self._begin(report, plain, worker)
        key = (worker, report.nodeid)
        running = self._running.get(key)
        if hasattr(report, "context"):
            if running is not None and running.is_final:
                self._end_subtest(report, plain, running)
            else:
                self._subtests.setdefault(key, []).append((report, plain))
            return
        if running is None:
            if report.when in ("call", "teardown"):
                return  # a plugin's own, of a test that ran no set-up
            running = self._running[key] = _Running(self.name_of(report.nodeid), worker, 1)
        self._note(report, plain, running)
        running.last = (report, plain)
        if report.when not in ("setup", "call"):  # torn down, or its worker has crashed
            self._end(key, report, plain)

    def lost(self, worker: str, reason: str) -> None:
        """Publish that ``worker`` has died; pytest-xdist tells of the test that it was at."""
        at = next((running.name.id for running in self._running.values() if running.worker == worker), "")
        self._publish(WorkerLost(worker=worker, at=clock.now(), reason=reason, running=at))

    def name_of(self, nodeid: str) -> Name:
        """Return what the test of this node id is called."""
        return Name(*self.names[nodeid]) if nodeid in self.names else name_of_nodeid(nodeid)

    def _publish_line(self, line: str) -> None:
        fact = journal.decode(line)
        if isinstance(fact, FixtureFinished) and fact.outcome is not Outcome.PASSED:
            # Each worker sets a class up for itself; that it cannot be set up is one error.
            if (fact.id, fact.phase) in self._broken:
                return
            self._broken.add((fact.id, fact.phase))
        if fact is not None:
            self._publish(fact)

    def _begin(self, report: pytest.TestReport, plain: Plain, worker: str) -> None:
        is_named = "id" in plain and self.has_names
        name = Name(plain["id"], plain["class_id"]) if is_named else self.name_of(report.nodeid)
        key = (worker, report.nodeid)
        before = self._running.get(key)
        if before is not None and not before.is_final and before.last is not None:
            self._end(key, *before.last)
        attempt = self._attempts.get(key, 1)
        running = self._running[key] = _Running(name, worker, attempt)
        running.at, running.plain = getattr(report, "start", running.at), plain
        running.is_of_fixture = plain.get("cause") == "fixture"
        if not running.is_of_fixture:
            self._publish(
                TestStarted(
                    id=name.id,
                    class_id=name.class_id,
                    at=running.at,
                    summary=plain.get("summary", ""),
                    attempt=attempt,
                    worker=worker,
                )
            )
        for subtest in self._subtests.pop(key, ()):
            self._end_subtest(*subtest, running)

    def _note(self, report: pytest.TestReport, plain: Plain, running: _Running) -> None:
        running.seconds += max(getattr(report, "duration", 0.0) - plain.get("outer", 0.0), 0.0)
        running.measures |= plain.get("measures", {})
        if str(report.outcome) == "rerun":  # of pytest-rerunfailures
            running.is_final = False
            running.problems += _problems_in(plain, report)
        elif report.skipped:
            is_expected = hasattr(report, "wasxfail")
            running.outcome = Outcome.EXPECTED_FAILURE if is_expected else Outcome.SKIPPED
            running.reason = plain.get("reason") or (_xfail_reason(report) if is_expected else _skip_reason(report))
        elif report.failed:
            if plain.get("cause") == "unexpected" or _text_of(report).startswith("[XPASS(strict)]"):
                running.outcome = Outcome.UNEXPECTED_SUCCESS
            elif not (running.subtests_failed and "problems" not in plain):  # else pytest's remark on these
                running.problems += _problems_in(plain, report)
        elif hasattr(report, "wasxfail"):
            # pytest lets it pass, unless `xfail_strict` is set.
            running.measures["xpass"] = str(report.wasxfail) or "unexpectedly passed"

    def _end_subtest(self, report: Any, plain: Plain, running: _Running) -> None:
        problems = list(_problems_in(plain, report)) if report.failed else []
        running.subtests_failed += report.failed
        outcome = problems[0].outcome if problems else Outcome.SKIPPED if report.skipped else Outcome.PASSED
        self._publish(
            SubTestFinished(
                id=f"{running.name.id} {plain.get('subtest') or '(<subtest>)'}",
                test=running.name.id,
                class_id=running.name.class_id,
                at=clock.now(),
                outcome=outcome,
                problem=problems[0] if problems else None,
                reason=_skip_reason(report) if report.skipped else "",
                file=running.plain.get("file", ""),
                line=running.plain.get("line", 0),
                attempt=running.attempt,
                worker=running.worker,
            )
        )

    def _end(self, key: _Key, report: pytest.TestReport, plain: Plain) -> None:
        running = self._running.pop(key)
        self._attempts[key] = 1 if running.is_final else running.attempt + 1
        if running.is_of_fixture:
            return
        outcome = running.settled()
        self._publish(
            TestFinished(
                id=running.name.id,
                class_id=running.name.class_id,
                at=running.at,
                seconds=running.seconds,
                outcome=outcome,
                summary=running.plain.get("summary", ""),
                problems=tuple(running.problems),
                reason=running.reason if running.outcome in (outcome, Outcome.SKIPPED) else "",
                subtests_failed=running.subtests_failed,
                stdout=cut_middle(report.capstdout, LIMIT),
                stderr=cut_middle(report.capstderr, LIMIT),
                file=running.plain.get("file", ""),
                line=running.plain.get("line", 0),
                attempt=running.attempt,
                final=running.is_final,
                worker=running.worker,
                measures=running.measures,
                attachments=tuple(plain.get("attachments", ())),
            )
        )


def _plain_of(report: Any) -> dict[str, Any]:
    text = getattr(report, ATTRIBUTE, "")
    plain: dict[str, Any] = json.loads(text) if text else {}
    return plain


def _worker_of(report: Any) -> str:
    node = getattr(report, "node", None)  # set by pytest-xdist
    return str(node.gateway.id) if node is not None else ""


def _problems_in(plain: Plain, report: Any = None) -> Iterator[Problem]:
    """Yield the problems that ``plain`` has, with the traceback that pytest made; where it has none, what pytest says."""
    if "problems" in plain:  # none, if all were those of a class's or module's fixtures
        found = [Problem(Outcome(outcome), *rest) for outcome, *rest in plain["problems"]]
    else:
        found = [_problem_of(report)] if report is not None else []
    for problem in found:
        text = problem.traceback or (_text_of(report) if report is not None else "")
        yield problem._replace(message=cut_middle(problem.message, LIMIT), traceback=cut_middle(text, LIMIT))


def _text_of(report: Any) -> str:
    """Return what pytest says of a failure, without the line by which it says on which worker that was."""
    text: str = report.longreprtext
    return text.partition("\n")[2] if hasattr(report, "node") and text.startswith("[gw") else text


def _problem_of(report: Any) -> Problem:
    """Return what can be said of a report that failed by no exception that was seen: its worker has crashed, say."""
    text = _text_of(report)
    return Problem(Outcome.ERROR, "pytest.failed", text.strip().rpartition("\n")[2], text)


def _skip_reason(report: Any) -> str:
    longrepr = report.longrepr
    text = str(longrepr[2]) if isinstance(longrepr, tuple | list) and len(longrepr) == 3 else _text_of(report)
    return text.removeprefix("Skipped: ")


def _xfail_reason(report: Any) -> str:
    return str(report.wasxfail).removeprefix("reason: ") or _text_of(report)
