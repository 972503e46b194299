"""What a run tells when its tests go wrong: testkit and its peers, fault by fault.

    python benchmarks/faults.py [--only NAME ...] [--runners NAME ...] [--limit SECONDS]

The faults are those of ``tests/faults``, each in a little project of its own. Needs unittest-xml-reporting,
pytest-django, pytest-xdist and tblib (without which any failing test ends stock Django's ``--parallel``) beside testkit's
own requirements, and Linux's /proc. All of it takes half an hour, nearly all of which is spent waiting for runs that
never end. Prints Markdown tables for the README.

A run has *survived* when it ended by itself, all tests but the one at fault had their true outcome, and no process was
left over. It has *reported* when its report (the file for CI, or the lines of ``-v 2`` where there is no file) says what
happened to the test at fault and what became of every other one (its outcome, or that it did not run), and its exit
status agrees. testkit is given a time limit for tests that hang (``--timeout 2``); stock Django, unittest-xml-reporting
and pytest without pytest-timeout know none, so these runs are cut after ``--limit``.
"""

from __future__ import annotations

import argparse
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from lxml.etree import XMLSyntaxError
from runs import ROOT, table

sys.path.insert(0, str(ROOT))  # for the projects of the tests

from tests.faults.catalogue import AFTER, BEFORE, FAULT, FAULTS, SET_UP, WAITING, WAITING_CLASSES, WAITING_IDS, Fault
from tests.faults.running import NOT_RUN, FaultRun, xunit_cases
from tests.projects import Project, clean_environment

Told = Mapping[str, str]
"""What is said of each test by its id: ``good``, ``bad``, ``skipped`` or ``not run``; ``twice`` where it is told twice."""
_BAD = ("failed", "error", "unexpected success")
_LINE = re.compile(
    r"^\s*(\S+) \((\S+)\)(?: \(.*\))? \.\.\. (ok|FAIL|ERROR|skipped|expected failure|unexpected success)", re.MULTILINE
)
_HEADING = re.compile(r"^(?:FAIL|ERROR): (\S+) \((\S+)\)", re.MULTILINE)
_KINDS = {"ok": "good", "skipped": "skipped", "expected failure": "skipped"}
_FAILED_IMPORT = "unittest.loader._FailedTest."


@dataclass(frozen=True, slots=True)
class Runner:
    """A way to run a project's tests: its command, and how to read what it told."""

    command: Sequence[str]
    read: Callable[[FaultRun, Path], Told]
    is_testkit: bool = False
    """Whether it takes a time limit for tests, and makes reports from what a killed run has left."""


def _kind(outcome: str) -> str:
    if outcome in _BAD:
        return "bad"
    return {"passed": "good", NOT_RUN: NOT_RUN}.get(outcome, "skipped")


def _once(told: Iterable[tuple[str, str]]) -> Told:
    told = list(told)
    counts = Counter(id for id, _ in told)
    return {id: kind if counts[id] == 1 else "twice" for id, kind in told}


def told_by_files(*patterns: str) -> Callable[[FaultRun, Path], Told]:
    """Return a reader of the xunit files that match ``patterns``; one that is no XML makes all of them worth nothing."""

    def read(run: FaultRun, folder: Path) -> Told:
        files = [path for pattern in patterns for path in folder.glob(pattern)]
        with suppress(XMLSyntaxError):
            cases = [case for path in files for case in xunit_cases(path)]
            return _once((case.id.removeprefix(_FAILED_IMPORT), _kind(case.outcome)) for case in cases)
        return {}

    return read


def told_by_console(run: FaultRun, folder: Path) -> Told:
    """Read the lines of unittest's ``-v 2``, and its headings of what failed."""
    printed = run.stderr
    lines = _once((id.removeprefix(_FAILED_IMPORT), _KINDS.get(word, "bad")) for _, id, word in _LINE.findall(printed))
    failed = {_id_of_heading(name, id): "bad" for name, id in _HEADING.findall(printed)}
    return {**failed, **lines} | {id: "bad" for id in failed if lines.get(id) == "good"}


def _id_of_heading(name: str, id: str) -> str:
    return f"{id}.{name}" if name == "setUpClass" else id.removeprefix(_FAILED_IMPORT)


_MANAGE = (sys.executable, "manage.py", "test", "--noinput")
_STOCK = (*_MANAGE, "-v", "2", "--testrunner=django.test.runner.DiscoverRunner")
_XMLRUNNER = (*_MANAGE, "--testrunner=xmlrunner.extra.djangotestrunner.XMLTestRunner")
_PYTEST = (sys.executable, "-m", "pytest", "--ds=settings", "--junitxml=reports/junit.xml", "-p", "no:cacheprovider")
_TESTKIT = (sys.executable, "-m", "testkit", "--with-xunit")
RUNNERS: Mapping[str, Runner] = {
    "stock": Runner(_STOCK, told_by_console),
    "stock -p 2": Runner((*_STOCK, "--parallel=2"), told_by_console),
    "xmlrunner -p 2": Runner((*_XMLRUNNER, "--parallel=2"), told_by_files("reports/*.xml")),
    "pytest -n 2": Runner((*_PYTEST, "-n", "2"), told_by_files("reports/junit.xml")),
    "testkit": Runner(_TESTKIT, told_by_files("reports/xunit.xml"), is_testkit=True),
    "testkit -p 2": Runner((*_TESTKIT, "--parallel=2"), told_by_files("reports/xunit.xml"), is_testkit=True),
}
"""By name: stock Django, unittest-xml-reporting, pytest-django with xdist, and testkit; "-p 2" is ``--parallel 2``."""

SIGNALS: Mapping[str, tuple[int, str]] = {
    "sigint": (signal.SIGINT, "Ctrl-C (SIGINT) while tests run"),
    "sigterm": (signal.SIGTERM, "SIGTERM while tests run"),
    "sigkill-run": (signal.SIGKILL, "SIGKILL of the run itself"),
}


@dataclass(frozen=True, slots=True)
class Score:
    """What a runner made of a fault."""

    survived: bool
    reported: bool
    seconds: float
    was_cut: bool

    def __str__(self) -> str:
        words = [("no", "yes")[self.survived], ("no", "yes")[self.reported]]
        return f"{' / '.join(words)} / {'> ' * self.was_cut}{self.seconds:.{0 if self.was_cut else 1}f} s"


def score_fault(runner: Runner, fault: Fault, limit: float) -> Score:
    """Run a project that has ``fault``, and say how that went; ``limit`` is in seconds."""
    with tempfile.TemporaryDirectory() as name:
        project = _project(Path(name))
        fault.write(project)
        arguments = fault.arguments() if runner.is_testkit else []
        with FaultRun([*runner.command, *arguments], project.folder, clean_environment()) as run:
            seconds, was_cut = _wait(run, limit)
            left = {} if was_cut else run.has_left()
            status = run.process.poll()
            told = _settled(runner.read(run, project.folder), fault)
    expected = {id: _kind(outcome) for id, outcome in fault.expected().items()}
    at_fault = {id for id in expected if expected[id] == "bad"} or {FAULT}
    at_fault -= {id for id in at_fault if id.endswith("is_not_run")}
    for id in list(expected):
        if id.endswith("is_not_run") and told.get(id) in ("good", NOT_RUN):
            expected[id] = told[id]  # to run a class that has killed two processes is a choice, too
    others_true = all(told.get(id) == kind for id, kind in expected.items() if id not in at_fault)
    # Where the process is at an end with the first fault, a second one in it is not run.
    fault_told = any(told.get(id) == expected[id] for id in at_fault)
    others_told = all(told.get(id) in (kind, NOT_RUN) for id, kind in expected.items())
    status_agrees = status is not None and bool(status) == ("bad" in expected.values())
    return Score(
        survived=not was_cut and not left and others_true,
        reported=fault_told and others_told and status_agrees,
        seconds=seconds,
        was_cut=was_cut,
    )


def score_signal(runner: Runner, number: int, limit: float) -> Score:
    """Send a signal to a run that waits in its tests, and say how that went; ``limit`` is in seconds.

    It survived when it ended by itself, not as if all were well, and left no process. It reported when every test that
    had ended by then has its outcome in the report.
    """
    with tempfile.TemporaryDirectory() as name:
        project = _project(Path(name))
        project.tests(WAITING)
        with FaultRun(runner.command, project.folder, clean_environment(WAIT="in Python")) as run:
            places = [project.folder / f"here-{name}" for name in WAITING_CLASSES]
            run.until(lambda: any(place.exists() for place in places), 30, "no test began")
            time.sleep(1.0)  # for the other worker, if there is one, and if the other test that waits is for it
            waiting = {place.name.removeprefix("here-") for place in places if place.exists()}
            ended = [id for id in WAITING_IDS if id.endswith("before") and id.split(".")[-2] in waiting]
            time.sleep(0.5)  # for what has ended by now to be heard of
            run.process.send_signal(number)
            sent = run.seconds
            if number == signal.SIGINT:
                time.sleep(0.5)
                (project.folder / "go").touch()
            _, was_cut = _wait(run, limit)
            seconds = run.seconds - sent
            left = run.has_left()
            status = run.process.poll()
            if number == signal.SIGKILL and runner.is_testkit:
                _report(project)
            told = runner.read(run, project.folder)
    return Score(
        survived=not was_cut and not left and bool(status),
        reported=bool(status) and all(told.get(id) == "good" for id in ended),
        seconds=seconds,
        was_cut=was_cut,
    )


def _project(folder: Path) -> Project:
    project = Project(folder)
    project.settings('TEST_OUTPUT_DIR = "reports"')
    return project


def _settled(told: Told, fault: Fault) -> Told:
    """Count the set-up of a class as told where any of its tests is: there are runners that name no set-up."""
    if SET_UP in fault.expected() and any(told.get(id) == "bad" for id in (BEFORE, FAULT, AFTER)):
        return {SET_UP: "bad", **told}
    return told


def _wait(run: FaultRun, limit: float) -> tuple[float, bool]:
    """Wait for the end of the run, and return the seconds that it took and whether it had to be cut."""
    while run.process.poll() is None and run.seconds < limit:
        time.sleep(0.01)
    return run.seconds, run.process.poll() is None


def _report(project: Project) -> None:
    command = [sys.executable, "-m", "testkit", "report"]
    with FaultRun(command, project.folder, clean_environment()) as report:
        _wait(report, 30)


def _rows(only: Sequence[str]) -> Iterable[tuple[str, str, Callable[[Runner, float], Score]]]:
    for fault in FAULTS:
        if not only or fault.name in only:
            yield fault.name, fault.title, lambda runner, limit, fault=fault: score_fault(runner, fault, limit)
    for name, (number, title) in SIGNALS.items():
        if not only or name in only:
            yield name, title, lambda runner, limit, number=number: score_signal(runner, number, limit)


def main() -> None:
    """Measure and print."""
    names = [fault.name for fault in FAULTS] + list(SIGNALS)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=names, default=[], metavar="NAME", help=", ".join(names))
    parser.add_argument("--runners", nargs="+", choices=list(RUNNERS), default=list(RUNNERS), metavar="NAME")
    parser.add_argument("--limit", type=float, default=25.0, help="cut a run after so many seconds")
    options = parser.parse_args()
    missing = [name for name in ("xmlrunner", "pytest_django", "xdist", "tblib") if find_spec(name) is None]
    if missing:
        parser.error(
            f"not installed: {', '.join(missing)}; pip install unittest-xml-reporting pytest-django pytest-xdist"
        )
    rows, scores = [], {name: [] for name in options.runners}
    for name, title, score in _rows(options.only):
        row = [title]
        for runner in options.runners:
            print(f"{name}: {runner}", end=" ", file=sys.stderr, flush=True)
            scores[runner].append(score(RUNNERS[runner], options.limit))
            row.append(str(scores[runner][-1]))
            print(row[-1], file=sys.stderr, flush=True)
        rows.append(row)
    print(table(["fault: survived / reported / time", *options.runners], rows), end="\n\n")
    sums = [
        [runner, *(f"{sum(getattr(s, what) for s in found)} of {len(found)}" for what in ("survived", "reported"))]
        for runner, found in scores.items()
    ]
    print(table([f"{len(rows)} faults", "survived", "reported"], sums))


if __name__ == "__main__":
    main()
