"""A run in one process: what it cannot survive is still reported, by a process that watches over it."""

from __future__ import annotations

import signal
import time

import pytest

from testkit.core.events import Outcome
from tests.faults.catalogue import AFTER, BEFORE, DEATHS, FAULT, FAULTS, OTHERS, PASSED, SET_UP, Alone, Fault
from tests.faults.checks import cases_of, check_closing_line, check_fault, check_journal, check_xunit
from tests.faults.running import NOT_RUN, FaultRun
from tests.projects import Project

LIMIT = 60
REPORTS_AFTER = 6.0
"""Seconds after the end of the process in which its reports are written (five are promised)."""


def having(*alone: Alone) -> pytest.MarkDecorator:
    """Give a test the faults of which a run alone becomes that."""
    return pytest.mark.parametrize(
        "fault", [fault for fault in FAULTS if fault.alone in alone], ids=lambda fault: fault.name
    )


def expected_by_then(fault: Fault) -> dict[str, str]:
    """Return what became of the tests when the process ended in the fault."""
    expected = fault.expected()
    early = [id for id in OTHERS if ".test_early." in id]
    if SET_UP in expected:
        left = [*expected, BEFORE, FAULT, AFTER]
        return {id: str(expected[id]) if id in (*early, SET_UP) else NOT_RUN for id in left}
    done = [*early, BEFORE]
    return {id: str(outcome) if id in done else NOT_RUN for id, outcome in expected.items()} | {FAULT: Outcome.ERROR}


def check_ended(project: Project, run: FaultRun, fault: Fault) -> None:
    """Check that the reports come, and say what ran, what ended the process and what did not run."""
    report = project.folder / "reports" / "xunit.xml"
    run.until(report.exists, REPORTS_AFTER, "there was no report")
    check_xunit(project, expected_by_then(fault))
    check_fault(project, fault, in_worker=False)
    assert all(case.message for case in cases_of(project) if case.outcome == Outcome.ERROR)
    left = {pid: command for pid, command in run.has_left().items() if "child" not in fault.name}
    assert left == {}


def check_survived(project: Project, run: FaultRun, fault: Fault) -> None:
    expected = fault.expected()
    check_xunit(project, expected)
    check_journal(project, expected)
    check_closing_line(run, expected)
    check_fault(project, fault)


@having(Alone.GOES_ON)
def test_a_run_goes_on(fault, project, start):
    """What a test does within Python is that test's error, in one process too; the time limit included."""
    fault.write(project)
    run = start(*fault.arguments())
    assert run.wait(LIMIT) == fault.status, run.told()
    check_survived(project, run, fault)
    assert run.has_left() == {}


@having(Alone.ENDS)
def test_a_process_that_ends_is_reported(fault, project, start):
    """A test that ends the process is an error in the reports, those before it have their outcome, the rest not run."""
    fault.write(project)
    run = start(*fault.arguments())
    status = run.wait(LIMIT)
    if fault.timeout:
        assert status == 2 or status < 0, run.told()
    else:
        assert status == fault.status, run.told()
    check_ended(project, run, fault)


@having(Alone.EITHER)
def test_a_run_goes_on_or_is_reported(fault, project, start):
    """Where the fault decides what can be done, the run comes to its end or is reported; nothing is lost."""
    fault.write(project)
    run = start(*fault.arguments())
    if run.wait(LIMIT) == 1:
        check_survived(project, run, fault)
        assert run.has_left() == {}
    else:
        check_ended(project, run, fault)


@having(Alone.BLIND)
def test_a_run_that_cannot_tell_is_not_good(fault, project, start):
    """A run whose files a test has closed does not end as a good one, and what it still reports is true."""
    fault.write(project)
    run = start()
    assert run.wait(LIMIT) != 0, run.told()
    report = project.folder / "reports" / "xunit.xml"
    run.until(report.exists, REPORTS_AFTER, "there was no report")
    expected = fault.expected()
    told = {case.id: case.outcome for case in cases_of(project)}
    assert sorted(told) == sorted(expected)
    assert told[FAULT] in (PASSED, Outcome.ERROR)
    assert all(told[id] in (expected[id], NOT_RUN) for id in told if id != FAULT)
    assert "Traceback" not in run.stderr, run.told()
    assert run.has_left() == {}


@pytest.mark.parametrize("fault", [fault for fault in DEATHS if fault.name == "sigkill"], ids=lambda fault: fault.name)
def test_a_run_without_xunit_is_told_of_too(fault, project, start):
    """What was not asked for is not written, and the console says which test ended the process."""
    fault.write(project)
    run = start("--no-with-xunit")
    assert run.wait(LIMIT) == fault.status
    run.until(lambda: "ERROR: test_2_fault" in run.stdout + run.stderr, REPORTS_AFTER, "nothing was said")
    assert not (project.folder / "reports" / "xunit.xml").exists()
    assert run.has_left() == {}


HELD = """
import collections, itertools, pathlib, time
from django.test import TestCase

class HeldTests(TestCase):
    def test_1_before(self): pass
    def test_2_holds(self):
        pathlib.Path("here").touch()
        collections.deque(itertools.repeat(0), maxlen=0)
    def test_3_after(self): pass
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_loop_in_c_code(number, project, start):
    """SIGTERM has its reports within five seconds also where Python cannot answer it, and SIGINT when it comes again."""
    project.tests(HELD)
    run = start()
    run.until((project.folder / "here").exists, 30, "the test did not begin")
    run.process.send_signal(number)
    if number == signal.SIGINT:
        time.sleep(0.5)
        run.process.send_signal(number)
    at = time.monotonic()
    status = run.wait(15)
    assert status in (128 + number, -signal.SIGKILL, -number), run.told()
    run.until((project.folder / "reports" / "xunit.xml").exists, REPORTS_AFTER, "there was no report")
    assert time.monotonic() - at < REPORTS_AFTER
    base = "shop.tests.test_shop.HeldTests"
    expected = {f"{base}.test_1_before": PASSED, f"{base}.test_2_holds": Outcome.ERROR, f"{base}.test_3_after": NOT_RUN}
    check_xunit(project, {id: str(outcome) for id, outcome in expected.items()})
    assert run.has_left() == {}
