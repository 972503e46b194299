"""The xunit document of the default and the strict flavour, streamed to disk."""

from __future__ import annotations

import functools
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, Any

from testkit.core.attempts import Attempts
from testkit.core.events import (
    Fact,
    FixtureFinished,
    RunFinished,
    RunStarted,
    SubTestFinished,
    TestFinished,
    TestStarted,
)
from testkit.core.paths import replacing
from testkit.core.text import visible
from testkit.core.verdict import LOST, Verdict, class_of, not_run, verdict
from testkit.listeners.xunit.suite import COUNTS, Suite

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

_IN_MEMORY = 256 * 1024  # bytes of an open suite that stay off the disk; most classes need less
_Told = TestFinished | SubTestFinished | FixtureFinished


class Xunit:
    """Listens to the facts of one run and writes them as one xunit file when the run ends.

    What comes is put into unnamed temporary files in the target's folder, so memory does not grow with the number of
    tests, and the target is whole or absent. The time of class and module fixtures is billed to no test: it is in
    the suite's time, and that of set-ups in its property ``setup_seconds``.

    Attempts follow Maven Surefire's "Rerun failing tests": a test that passed in the end shows its earlier attempts as
    ``flakyFailure``; one that failed to the end shows its first attempt, and the others as ``rerunFailure``. Errors
    have these names too, not ``flakyError`` and ``rerunError``: Jenkins' junit plugin and others pass over those, and
    ``type`` tells the exception.
    """

    def __init__(self, path: Path, *, strict: bool = False) -> None:
        """``path``: where the file goes. ``strict``: keep to ``junit-10.xsd``."""
        from lxml import etree

        self._etree = etree
        self._path = path.absolute()  # a test may change the working directory
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._strict = strict
        # The schema's SUREFIRE_TIME has at most three decimals; nobody's has an exponent.
        self._time = ("{:.3f}" if strict else "{:.6f}").format
        self._run = RunStarted(run="", at=0.0, ids=())
        self._ended = False
        self._body: SpooledTemporaryFile[bytes] | None = None
        self._totals = dict.fromkeys(COUNTS, 0)
        self._open: dict[str, Suite] = {}  # by worker
        self._module_set_up: dict[str, FixtureFinished] = {}  # by worker, until its first suite opens
        self._attempts = Attempts()

    def __call__(self, fact: Fact) -> None:
        """Take the next fact; what comes after ``RunFinished`` is passed over.

        Raises:
            OSError: the file cannot be written; the temporary ones are gone then.
        """
        if self._ended:
            return
        try:
            self._take(fact)
        except Exception:
            self._discard()
            raise

    def _take(self, fact: Fact) -> None:
        match fact:
            case TestFinished():
                self._take_test(fact)
            case TestStarted() | SubTestFinished():
                self._attempts.hear(fact)
            case FixtureFinished():
                self._take_fixture(fact)
            case RunStarted():
                self._run = fact
            case RunFinished():
                self._finish(fact)

    def _take_test(self, fact: TestFinished) -> None:
        attempts, subtests = self._attempts.of_test(fact)
        if attempts:
            self._write_test(attempts)
            self._write_subtests(subtests)

    def _take_fixture(self, fact: FixtureFinished) -> None:
        attempts = self._attempts.of_fixture(fact)
        said = verdict(fact)
        if attempts and said is not None:
            self._write_fixture(attempts)
        elif fact.phase == "setUpModule":
            self._module_set_up[fact.worker] = fact
        elif fact.phase == "setUpClass":
            self._suite(fact.worker, fact.id, fact.at).bill(fact)
        elif fact.worker in self._open:
            self._open[fact.worker].bill(fact)

    def _finish(self, fact: RunFinished) -> None:
        """Write what was never told to its end, and put the file together."""
        for attempts in self._attempts.unfinished():
            self._write_test(attempts)
        for subtests in self._attempts.subtests_left():
            self._write_subtests(subtests)
        self._write_untold(fact.not_run, not_run(fact.interrupted, fact.stopped), fact.at)
        self._write_untold(fact.lost, LOST, fact.at)
        for suite in self._open.values():
            self._close(suite)
        root = self._suite_element("testsuites", "testkit", fact.seconds, self._run.at or fact.at, self._totals)
        if self._strict:
            for name in ("skipped", "timestamp"):
                root.attrib.pop(name)
        self._body = self._body or self._spool()
        with replacing(self._path, "wb") as file:
            file.write(b"<?xml version='1.0' encoding='UTF-8'?>\n")
            self._write_around(root, self._body, file)
        self._discard()

    def _discard(self) -> None:
        """Give up what is temporary, and listen no more."""
        self._ended = True
        for spool in (self._body, *(suite.cases for suite in self._open.values())):
            if spool is not None:
                spool.close()

    # Suites

    def _suite(self, worker: str, id: str, at: float) -> Suite:
        """Return the open suite of ``worker`` if it is of ``id``; else close it and open one."""
        suite = self._open.get(worker)
        if suite is None or suite.id != id:
            if suite is not None:
                self._close(suite)
            suite = self._open[worker] = Suite(id, worker, at, self._spool())
            set_up = self._module_set_up.pop(worker, None)
            if set_up is not None:
                suite.bill(set_up)
        return suite

    def _spool(self) -> SpooledTemporaryFile[bytes]:
        # Beside the target, since the system's folder for temporary files may be small, or be memory.
        return SpooledTemporaryFile(_IN_MEMORY, dir=str(self._path.parent))

    def _close(self, suite: Suite) -> None:
        with suite.cases as cases:
            if not suite.counts["tests"]:
                return  # of a class of which nothing but its set-up was told
            element = self._suite_element("testsuite", suite.name, suite.seconds, suite.at, suite.counts)
            for name, value in (("hostname", self._run.hostname), ("file", suite.file)):
                if value:
                    element.set(name, visible(value))
            set_up = "" if suite.set_up is None else self._time(suite.set_up)
            self._add_properties(element, {"worker": suite.worker, "setup_seconds": set_up})
            self._add_output(element, suite.stdout, suite.stderr)
            self._body = self._body or self._spool()
            self._write_around(element, cases, self._body)
        for name, count in suite.counts.items():
            self._totals[name] += count

    def _suite_element(self, tag: str, name: str, seconds: float, at: float, counts: Mapping[str, int]) -> Element:
        attributes = {"name": name, "time": self._time(seconds), "timestamp": _iso(at)}
        return self._etree.Element(tag, attributes | {name: str(count) for name, count in counts.items()})

    def _write_around(self, element: Element, cases: IO[bytes], out: IO[bytes]) -> None:
        """Write ``element`` to ``out`` with ``cases``, which are XML already, behind its own children."""
        end = f"</{element.tag}>\n".encode()
        element.text = "\n"  # lest it be written as an empty element
        out.write(self._bytes(element).removesuffix(end))
        cases.seek(0)
        shutil.copyfileobj(cases, out)
        out.write(end)

    # Test cases

    def _write_fixture(self, attempts: Sequence[FixtureFinished]) -> None:
        """Write the case of a fixture that did not pass; the ``attempts`` before were bad as well."""
        last = attempts[-1]
        suite = self._suite(last.worker, last.id, last.at)
        suite.bill(last)
        judged = [(attempt, said) for attempt in attempts if (said := verdict(attempt)) is not None]
        if last.outcome.is_bad:
            (shown, said), *others = judged
            repeated = "rerunFailure"
        else:
            *others, (shown, said) = judged
            repeated = "flakyFailure"
        case = self._case(suite, shown.phase, said, shown, shown.seconds)
        self._add_others(case, repeated, others)
        self._add_output(case, shown.stdout, shown.stderr)
        suite.add(self._bytes(case), said)

    def _write_test(self, attempts: Sequence[TestFinished]) -> None:
        """Write the one case of a test, of which ``attempts`` are all attempts in order."""
        last = attempts[-1]
        suite = self._suite(last.worker, last.class_id or last.id, last.at)
        suite.seconds += sum([attempt.seconds for attempt in attempts])
        shown, said, repeated = last, verdict(last), "flakyFailure"
        if said is None and len(attempts) == 1 and self._write_plainly(suite, last):
            return
        bad: list[tuple[TestFinished, Verdict]] = []
        if len(attempts) > 1:
            judged = [(attempt, verdict(attempt)) for attempt in attempts]
            bad = [(attempt, each) for attempt, each in judged if each is not None and each.is_bad]
            if said is not None and said.is_bad:
                (shown, said), *bad = bad
                repeated = "rerunFailure"
        # A module that could not be imported belongs to no class, but readers drop cases without class or name.
        name = last.id.removeprefix(suite.prefix) if last.class_id else "import"
        case = self._case(suite, name, said, shown, shown.seconds)
        self._add_others(case, repeated, bad)
        self._add_output(case, shown.stdout, shown.stderr, shown.attachments)
        suite.add(self._bytes(case), said)

    def _add_others(
        self, case: Element, tag: str, attempts: Iterable[tuple[TestFinished | FixtureFinished, Verdict]]
    ) -> None:
        """Add the bad attempts that the case itself does not show."""
        for attempt, said in attempts:
            again = self._add(case, tag, type=said.type, message=said.message)
            self._add(again, "stackTrace", said.text)
            self._add_output(again, attempt.stdout, attempt.stderr, getattr(attempt, "attachments", ()))

    def _write_plainly(self, suite: Suite, fact: TestFinished) -> bool:
        """Write the case of a test that passed if it is just a name and figures, and return whether it was.

        Most cases are, so they are made without lxml, which takes three times as long; nothing in them is to be
        escaped but what the suite's start has escaped already.
        """
        name = fact.id.removeprefix(suite.prefix)
        if fact.stdout or fact.stderr or fact.attachments or fact.summary or fact.measures or not name.isidentifier():
            return False
        if self._strict:
            line = f'{suite.start}{name}" time="{fact.seconds:.3f}"/>\n'
        else:
            suite.file = suite.file or fact.file
            line = (
                f'{suite.start}{name}" time="{fact.seconds:.6f}"{suite.file_attribute(fact.file)} '
                f'line="{fact.line}" timestamp="{_iso(fact.at)}"/>\n'
            )
        suite.add(line.encode(), None)
        return True

    def _write_subtests(self, subtests: Iterable[SubTestFinished]) -> None:
        for fact in subtests:
            suite = self._suite(fact.worker, fact.class_id or fact.test, fact.at)
            said = verdict(fact)
            # Without a time: nobody measured it, and it is in the time of the test around.
            case = self._case(suite, fact.id.removeprefix(suite.prefix), said, fact)
            suite.add(self._bytes(case), said)

    def _write_untold(self, ids: Iterable[str], said: Verdict, at: float) -> None:
        """Write a case for each test of ``ids``, which has no fact of its own."""
        by_class: dict[str, list[str]] = {}
        for id in ids:
            if id not in self._attempts:
                by_class.setdefault(class_of(id), []).append(id)
        for class_id, below in by_class.items():
            suite = self._suite("", class_id, at)
            for id in below:
                suite.add(self._bytes(self._case(suite, id.removeprefix(suite.prefix), said)), said)

    # Elements

    def _case(
        self, suite: Suite, name: str, said: Verdict | None, fact: _Told | None = None, seconds: float | None = None
    ) -> Element:
        attributes = {"classname": suite.name, "name": visible(name) or "?"}
        if seconds is not None:
            attributes["time"] = self._time(seconds)
        if fact is not None:
            suite.file = suite.file or fact.file
            if not self._strict:
                if fact.file:
                    attributes["file"] = visible(fact.file)
                if fact.line:
                    attributes["line"] = str(fact.line)
                attributes["timestamp"] = _iso(fact.at)
        case: Element = self._etree.Element("testcase", attributes)
        sql = ""
        if isinstance(fact, TestFinished):
            sql = f"\nSQL:\n{fact.sql}" if fact.sql else ""
            if not self._strict and (fact.summary or fact.measures):
                self._add_properties(case, {"description": fact.summary, **dict(_flat(fact.measures))})
        if said is not None:
            self._add(case, said.tag, said.text + sql, type=said.type, message=said.message)
        return case

    def _bytes(self, element: Element) -> bytes:
        return self._etree.tostring(element, encoding="utf-8") + b"\n"

    def _add(self, parent: Element, tag: str, text: str = "", **attributes: str) -> Element:
        shown = {name: visible(value) for name, value in attributes.items()}
        child: Element = self._etree.SubElement(parent, tag, shown)
        if text:
            child.text = visible(text)
        return child

    def _add_properties(self, parent: Element, properties: Mapping[str, str]) -> None:
        """Add the properties that say something."""
        told = {name: value for name, value in properties.items() if value}
        if told:
            holder = self._add(parent, "properties")
            for name, value in told.items():
                self._add(holder, "property", name=name, value=value)

    def _add_output(self, parent: Element, stdout: str, stderr: str, attachments: Sequence[str] = ()) -> None:
        if attachments:
            # The form that Jenkins' junit-attachments plugin and GitLab look for, each alone on its line.
            marks = [f"[[ATTACHMENT|{self._place(path)}]]\n" for path in attachments]
            stdout = "".join([stdout, "" if stdout.endswith("\n") or not stdout else "\n", *marks])
        if stdout:
            self._add(parent, "system-out", stdout)
        if stderr:
            self._add(parent, "system-err", stderr)

    def _place(self, attachment: str) -> str:
        """Return the absolute path of ``attachment``; on GitLab that from the project, as it asks for."""
        path = os.path.join(self._run.directory or os.getcwd(), attachment)
        project = os.environ.get("CI_PROJECT_DIR", "")
        if os.environ.get("GITLAB_CI") and path.startswith(f"{project}/"):
            return os.path.relpath(path, project)
        return path


def _flat(measures: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield names and text for plain data; what lies within another mapping has both names, with a dot.

    What lies deeper is for the journal: a property for each endpoint of each test would be most of the file.
    """
    for name, value in measures.items():
        if isinstance(value, Mapping):
            if not prefix:
                yield from _flat(value, f"{name}.")
        else:
            shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
            yield f"{prefix}{name}", shown


def _iso(at: float) -> str:
    return f"{_iso_second(int(at))}.{int(at % 1 * 1000):03d}+00:00"


@functools.lru_cache(maxsize=16)  # of a quick test, most of what its case costs
def _iso_second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S")
