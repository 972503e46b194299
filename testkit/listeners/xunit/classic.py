"""The classic xunit files: one for each class, made by unittest-xml-reporting, for pipelines that expect its layout.

The files are ``TEST-<class>.xml``. That package puts the time of the run behind the class unless told otherwise; here
there is none, so that a run replaces the files of the one before, and ``TEST-*.xml`` finds both forms. Files of classes
that have not run this time are left alone.

What its layout has no place for is left out, as it does itself: subtests that passed (a test with bad subtests is told
by these alone), earlier attempts of a repeated test, measures and attachments. What it gets wrong when it listens
itself (fixtures under ``unittest.suite._ErrorHolder``, tests of other processes, text that XML cannot hold) is right
here, since it is given facts.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.dom.minidom import Document

from testkit.core.attempts import Attempts
from testkit.core.errors import TestkitError
from testkit.core.events import (
    Fact,
    FixtureFinished,
    Outcome,
    RunFinished,
    SubTestFinished,
    TestFinished,
    TestStarted,
)
from testkit.core.paths import path_below, replacing
from testkit.core.text import visible
from testkit.core.verdict import LOST, Verdict, class_of, not_run, verdict

_Told = TestFinished | SubTestFinished | FixtureFinished
_WORDS = {
    "unittest.expectedFailure": "XFAIL",
    "unittest.skip": "skip",
    "unittest.unexpectedSuccess": "UnexpectedSuccess",
}


class XunitClassic:
    """Listens to the facts of one run and writes the files when it ends.

    The package makes each file from all results of its class, so these are in memory until then.
    """

    def __init__(self, folder: Path) -> None:
        """``folder``: where the files go.

        Raises:
            TestkitError: unittest-xml-reporting is not installed.
        """
        try:
            from xmlrunner.result import _TestInfo, _XMLTestResult
        except ImportError:
            raise TestkitError(
                "the xunit flavour classic (--xunit-flavour) needs unittest-xml-reporting, which is not installed: "
                'pip install "django-testkit[classic]", or choose the flavour default or strict'
            ) from None
        self._folder = folder.absolute()  # a test may change the working directory
        self._info_class: Any = _TestInfo
        self._report: Any = _XMLTestResult._report_testsuite
        self._cases: dict[str, list[Any]] = {}  # by class
        self._attempts = Attempts()
        self._ended = False

    def __call__(self, fact: Fact) -> None:
        """Take the next fact; what comes after ``RunFinished`` is passed over.

        Raises:
            OSError: a file cannot be written.
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
                    self._add(fact.id, f"{fact.id}.{fact.phase}", said, fact.at, fact)
            case RunFinished():
                self._finish(fact)

    def _take_test(self, fact: TestFinished) -> None:
        attempts, subtests = self._attempts.of_test(fact)
        if not attempts:
            return
        self._add_subtests(subtests)
        told = fact.subtests_failed and any(subtest.outcome.is_bad for subtest in subtests)
        if fact.problems or not told:
            self._add_test(fact)

    def _add_test(self, fact: TestFinished) -> None:
        # A module that could not be imported belongs to no class.
        class_id, id = (fact.class_id, fact.id) if fact.class_id else (fact.id, f"{fact.id}.import")
        self._add(class_id, id, verdict(fact), fact.at, fact)

    def _add_subtests(self, subtests: Iterable[SubTestFinished]) -> None:
        for fact in subtests:
            if fact.outcome is not Outcome.PASSED:
                # The package takes a method's name and its parameters apart at the first space.
                id = f"{fact.test} {fact.id.removeprefix(fact.test).lstrip()}"
                self._add(fact.class_id or class_of(fact.test), id, verdict(fact), fact.at, fact)

    def _add(self, class_id: str, id: str, said: Verdict | None, at: float, fact: _Told | None = None) -> None:
        """Make the package's record of a case: its constructor wants a live test, so the fields are set here."""
        info = self._info_class.__new__(self._info_class)
        info.test_result = None
        info.test_name, info.test_id, info.test_description = visible(class_id), visible(id), ""
        info.outcome, info.test_exception_name, info.test_exception_message = self._outcome(said)
        info.test_exception_info = visible(said.text) if said else ""
        info.elapsed_time = getattr(fact, "seconds", 0.0)
        # When it ended, and without an offset, as the package writes it; Jenkins takes that for UTC.
        ended = datetime.fromtimestamp(at + info.elapsed_time, UTC).replace(tzinfo=None)
        info.timestamp = ended.isoformat(timespec="seconds")
        info.stdout = visible(getattr(fact, "stdout", ""))
        info.stderr = visible(getattr(fact, "stderr", ""))
        info.filename = visible(fact.file) if fact and fact.file else None
        info.lineno = fact.line if fact and fact.line else None
        summary = visible(getattr(fact, "summary", ""))
        # It becomes an XML comment, which may not end in a hyphen.
        info.doc = f"{summary} " if summary.endswith("-") else summary or None
        self._cases.setdefault(class_id, []).append(info)

    def _outcome(self, said: Verdict | None) -> tuple[int, str, str]:
        """Return the package's outcome for ``said``, and the type and message in its words."""
        info = self._info_class
        if said is None:
            return info.SUCCESS, "", ""
        outcome = {"failure": info.FAILURE, "error": info.ERROR, "skipped": info.SKIP}[said.tag]
        type = visible(said.type)
        if type == "unittest.unexpectedSuccess":
            outcome = info.ERROR
        return outcome, _WORDS.get(type, type), visible(said.message)

    def _finish(self, fact: RunFinished) -> None:
        self._ended = True
        for attempts in self._attempts.unfinished():
            self._add_test(attempts[-1])
        for subtests in self._attempts.subtests_left():
            self._add_subtests(subtests)
        untold = ((fact.not_run, not_run(fact.interrupted, fact.stopped)), (fact.lost, LOST))
        for ids, said in untold:
            for id in ids:
                if id not in self._attempts:
                    self._add(class_of(id), id, said, fact.at)
        written: set[Path] = set()
        for class_id, cases in self._cases.items():
            written.add(self._write(class_id, cases, written))

    def _write(self, class_id: str, cases: list[Any], written: Container[Path]) -> Path:
        """Write the file of a class beside those ``written``, and return its path."""
        document = Document()
        self._report(visible(class_id), cases, document, document, None)
        stem = path_below(self._folder, f"TEST-{class_id}")
        path, number = stem.with_name(f"{stem.name}.xml"), 1
        while path in written:  # names that are long or odd may become the same
            number += 1
            path = stem.with_name(f"{stem.name}-{number}.xml")
        with replacing(path, "wb") as file:
            file.write(document.toprettyxml(indent="\t", encoding="UTF-8"))
        return path
