"""The TAP document of a run: a test point for each test and each bad fixture, subtests as documents within."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any

from testkit.core.attempts import Attempts
from testkit.core.events import (
    Fact,
    FixtureFinished,
    RunFinished,
    SubTestFinished,
    TestFinished,
    TestStarted,
)
from testkit.core.paths import replacing
from testkit.core.text import first_line, one_line
from testkit.core.verdict import LOST, Verdict, not_run, verdict
from testkit.listeners.tap.points import LONGEST_NAME, NESTED, description, diagnostic, lines_of, point

_IN_MEMORY = 1_000_000  # bytes of test points that stay off the disk
_DIRECTIVES = {"unittest.expectedFailure": "TODO", "unittest.skip": "SKIP", "testkit.notRun": "SKIP"}


class Tap:
    """Listens to the facts of one run and writes them as one TAP file when it ends.

    The test points are in an unnamed temporary file until then, since the plan stands before them: a run that was cut
    off ends with ``Bail out!``, behind which nothing may come. The file is whole or absent.

    An unexpected success is ``not ok`` with no directive: TAP would let it pass as a TODO that is done.
    """

    def __init__(self, path: Path) -> None:
        """``path``: where the file goes."""
        self._path = path.absolute()  # a test may change the working directory
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._body = SpooledTemporaryFile(_IN_MEMORY, dir=str(self._path.parent))  # noqa: SIM115  # see close()
        self._points = 0
        self._attempts = Attempts()
        self._ended = False

    def __call__(self, fact: Fact) -> None:
        """Take the next fact; what comes after ``RunFinished`` is passed over.

        Raises:
            OSError: the file cannot be written.
        """
        if self._ended:
            return
        match fact:
            case TestFinished():
                self._take_test(fact)
            case TestStarted() | SubTestFinished():
                self._attempts.hear(fact)
            case FixtureFinished():
                attempts, said = self._attempts.of_fixture(fact), verdict(fact)
                if attempts and said is not None:
                    self._add(f"{fact.id} ({fact.phase})", said, _told(attempts, said))
            case RunFinished():
                self._finish(fact)

    def close(self) -> None:
        """Give up the temporary file."""
        self._ended = True
        self._body.close()

    def _take_test(self, fact: TestFinished) -> None:
        attempts, subtests = self._attempts.of_test(fact)
        if attempts:
            self._add_test(attempts, subtests)

    def _add_test(self, attempts: Sequence[TestFinished], subtests: Sequence[SubTestFinished]) -> None:
        last = attempts[-1]
        self._add_subtests(last.id, subtests)
        said = verdict(last)
        self._add(last.id, said, _told(attempts, said))

    def _add_subtests(self, test: str, subtests: Sequence[SubTestFinished]) -> None:
        """Write the document that stands before the point of its ``test``."""
        if not subtests:
            return
        self._write(f"# Subtest: {description(test)}")
        for number, fact in enumerate(subtests, start=1):
            said = verdict(fact)
            name = fact.id.removeprefix(test).strip() or fact.id
            self._write(*_point(number, name, said, _told([fact], said)), indent=NESTED)
        self._write(f"1..{len(subtests)}", indent=NESTED)

    def _add(self, name: str, said: Verdict | None, told: Mapping[str, Any]) -> None:
        self._points += 1
        self._write(*_point(self._points, name, said, told))

    def _write(self, *lines: str, indent: str = "") -> None:
        for line in lines:
            self._body.write(f"{indent}{line}\n".encode())

    def _finish(self, fact: RunFinished) -> None:
        """Write what was never told to its end, and put the file together."""
        for attempts in self._attempts.unfinished():
            self._add_test(attempts, self._attempts.take_subtests(attempts[-1].id))
        for subtests in self._attempts.subtests_left():  # of tests that never ended
            for subtest in subtests:
                said = verdict(subtest)
                self._add(subtest.id, said, _told([subtest], said))
        self._add_untold(fact.not_run, not_run(fact.interrupted, fact.stopped))
        self._add_untold(fact.lost, LOST)
        if fact.interrupted or fact.not_run or fact.lost:
            self._write(f"Bail out! {_why(fact)}")
        with replacing(self._path, "wb") as file:
            file.write(f"TAP version 14\n1..{self._points}\n".encode())
            self._body.seek(0)
            shutil.copyfileobj(self._body, file)
        self.close()

    def _add_untold(self, ids: Iterable[str], said: Verdict) -> None:
        for id in ids:
            if id not in self._attempts:
                self._add(id, said, {"message": said.message} if said.is_bad else {})


def _why(end: RunFinished) -> str:
    why = f"interrupted by {end.interrupted}" if end.interrupted else end.stopped
    counts = [
        f"{len(ids)} tests {what}" for ids, what in ((end.not_run, "did not run"), (end.lost, "were lost")) if ids
    ]
    return description(", ".join([why, *counts] if why else counts))


def _point(number: int, name: str, said: Verdict | None, told: Mapping[str, Any]) -> list[str]:
    directive = "" if said is None else _DIRECTIVES.get(said.type, "") if not said.is_bad else ""
    ok = said is None or directive == "SKIP"
    reason = said.message if said is not None and directive else ""
    return [point(ok, number, name, directive, reason), *diagnostic(told)]


def _told(
    attempts: Sequence[TestFinished] | Sequence[FixtureFinished] | Sequence[SubTestFinished], said: Verdict | None
) -> dict[str, Any]:
    """Return what the diagnostics of a test point say; the most of those that are bad."""
    last = attempts[-1]
    told: dict[str, Any] = {}
    if isinstance(last, TestFinished | FixtureFinished):
        told["duration_ms"] = round(last.seconds * 1000, 3)
    if len(attempts) > 1:
        earlier = [verdict(attempt) for attempt in attempts[:-1]]
        told["earlier_attempts"] = [
            {"type": one_line(each.type, LONGEST_NAME), "message": one_line(first_line(each.message), LONGEST_NAME)}
            for each in earlier
            if each is not None
        ]
    if said is None or not said.is_bad:
        return told
    place = _place(last)
    printed = {"stdout": last.stdout, "stderr": last.stderr} if not isinstance(last, SubTestFinished) else {}
    return {
        "message": one_line(first_line(said.message), LONGEST_NAME),
        "severity": "fail" if said.tag == "failure" else "error",
        "type": one_line(said.type, LONGEST_NAME),
        "at": {"file": one_line(place[0], LONGEST_NAME), "line": place[1]} if place[0] else {},
        **told,
        "traceback": lines_of(said.text),
        **{name: lines_of(text) for name, text in printed.items()},
    }


def _place(fact: TestFinished | FixtureFinished | SubTestFinished) -> tuple[str, int]:
    """Return where to look first: where it failed, or else where it is."""
    problems = (fact.problem,) if isinstance(fact, SubTestFinished) else fact.problems
    return next(((at.file, at.line) for at in (*problems, fact) if at is not None and at.file), ("", 0))
