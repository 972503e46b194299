"""A past run as one JSON document, for programs."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from math import isfinite
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from testkit.core.attempts import Attempts
from testkit.core.events import (
    Fact,
    FixtureFinished,
    Outcome,
    Problem,
    RunFinished,
    RunMeasured,
    RunStarted,
    SubTestFinished,
    TestFinished,
    TestStarted,
    WorkerLost,
)
from testkit.session.aftermath.completion import has_died
from testkit.session.aftermath.ending import Ending

VERSION = 1
_IN_MEMORY = 1_000_000  # bytes of tests that stay off the disk
_ALWAYS = ("id", "class_id", "outcome", "seconds", "at", "worker", "file", "line", "problems")
_PRINTED = ("stdout", "stderr")
_OF_TEST = ("summary", "reason", *_PRINTED, "sql", "measures", "attachments")
_OF_ATTEMPT = ("outcome", "seconds", "at", "worker", "problems")
_OF_SUBTEST = ("id", "outcome", "problem", "reason")
_OF_FIXTURE = ("id", "phase", "outcome", "seconds", "at", "worker", "file", "line", "problems")


class Document:
    """Listens to the facts of one run; :meth:`write` then writes the document.

    The tests are kept in an unnamed temporary file until then, since what stands before them is known at the end.
    """

    def __init__(self, ending: Ending) -> None:
        """``ending`` hears each fact before this listener does."""
        self._ending = ending
        self._run = RunStarted(run="", at=0.0, ids=())
        self._tests = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115  # see close()
        self._outcomes: Counter[Outcome] = Counter()
        self._attempts = Attempts()
        self._fixtures: list[dict[str, Any]] = []
        self._workers_lost: list[dict[str, Any]] = []
        self._measured: dict[str, Any] = {}

    def __call__(self, fact: Fact) -> None:
        match fact:
            case TestFinished():
                self._take_test(fact)
            case TestStarted() | SubTestFinished():
                self._attempts.hear(fact)
            case FixtureFinished() if self._attempts.of_fixture(fact) and fact.outcome is not Outcome.PASSED:
                self._fixtures.append(_record(fact, _OF_FIXTURE, ("reason", *_PRINTED)))
            case WorkerLost():
                self._workers_lost.append(fact._asdict())
            case RunMeasured():
                self._measured[fact.section] = fact.data
            case RunStarted():
                self._run = fact
            case RunFinished():
                for attempts in self._attempts.unfinished():
                    self._write_test(attempts, [])

    def _take_test(self, fact: TestFinished) -> None:
        attempts, subtests = self._attempts.of_test(fact)
        if attempts:
            self._write_test(attempts, subtests)

    def _write_test(self, attempts: Sequence[TestFinished], subtests: Sequence[SubTestFinished]) -> None:
        """Write a test by its last attempt; the earlier ones stand within it."""
        *earlier, last = attempts
        self._outcomes[last.outcome] += 1
        record = _record(last, _ALWAYS, _OF_TEST)
        record["attempts"] = len(attempts)
        if earlier:
            record["earlier_attempts"] = [_record(attempt, _OF_ATTEMPT, _PRINTED) for attempt in earlier]
        if subtests:
            record["subtests"] = [_record(subtest, _OF_SUBTEST) for subtest in subtests]
        self._tests.write((b",\n" if self._tests.tell() else b"") + _encode(record))

    def write(self, out: IO[bytes], status: int, reason: str) -> None:
        """Write the document to ``out``, with the exit status of the run and why it is not that of its tests alone."""
        end, tally = self._ending.fact, self._ending.tally
        run = {**self._run._asdict(), "seconds": end.seconds, "interrupted": end.interrupted, "stopped": end.stopped}
        del run["ids"]
        # A test that was tried, and was to be tried again, is not one that did not run.
        not_run = [id for id in end.not_run if id not in self._attempts]
        head = {
            "version": VERSION,
            "run": {**run, "died": has_died(end), "status": int(status), "reason": reason},
            "totals": {
                "collected": tally.collected,
                "ran": tally.ran,
                "failures": tally.failures,
                "errors": tally.errors,
                "skipped": tally.skipped,
                "expected_failures": tally.expected_failures,
                "unexpected_successes": tally.unexpected_successes,
                "flaky": tally.flaky,
                "not_run": len(not_run),
                "lost": len(end.lost),
            },
            "outcomes": {outcome.value: self._outcomes[outcome] for outcome in Outcome},
            "not_run": not_run,
            "lost": end.lost,
            "fixtures": self._fixtures,
            "workers_lost": self._workers_lost,
            "measured": self._measured,
        }
        out.write(_encode(head).removesuffix(b"}") + b',"tests":[\n')
        self._tests.seek(0)
        shutil.copyfileobj(self._tests, out)
        out.write(b"\n]}\n")

    def close(self) -> None:
        """Give up the temporary file."""
        self._tests.close()


def _record(fact: Fact, always: Sequence[str], if_any: Sequence[str] = ()) -> dict[str, Any]:
    """Return the fields ``always`` of ``fact``, and those of ``if_any`` that say something."""
    record = {name: _plain(getattr(fact, name)) for name in always}
    return record | {name: value for name in if_any if (value := _plain(getattr(fact, name)))}


def _plain(value: Any) -> Any:
    if isinstance(value, Problem):
        return value._asdict()
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _encode(value: Any) -> bytes:
    # ASCII: what tests print may have lone surrogates, which UTF-8 cannot hold.
    try:
        text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(value), separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")


def _finite(value: Any) -> Any:
    """Return plain data with text in the place of the numbers that JSON has not: infinity and NaN."""
    if isinstance(value, float) and not isfinite(value):
        return repr(value)
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
