"""A run with two workers survives whatever its tests do, and says what they did."""

from __future__ import annotations

import os
import re
import signal
import time

import pytest

from testkit.core.events import Outcome, RunFinished, TestFinished, TestStarted, WorkerLost, WorkerStarted
from tests.faults.catalogue import CLASSES, FAULT, FAULTS, PASSED, WAITING, WAITING_CLASSES, WAITING_IDS, WAITS, Fault
from tests.faults.checks import cases_of, check_closing_line, check_fault, check_journal, check_xunit
from tests.faults.running import NOT_RUN, FaultRun, xunit_cases
from tests.projects import FRONTS, Project, clean_environment

LIMIT = 60
"""Seconds within which every run ends; nearly all take two or three."""


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_run_goes_on(fault, project, start):
    """The run ends by itself, the test at fault is told of, every other one has its outcome, no process is left."""
    fault.write(project)
    run = start("--parallel=2", *fault.arguments())
    assert run.wait(LIMIT) == (1 if fault.outcome.is_bad else 0), run.told()
    assert run.has_left() == {}
    expected = fault.expected()
    check_xunit(project, expected)
    check_journal(project, expected)
    check_closing_line(run, expected)
    check_fault(project, fault)
    facts = project.facts()
    assert len({fact.pid for fact in facts if isinstance(fact, WorkerStarted)}) >= 2
    if fault.lost is not None:
        assert sum(isinstance(fact, WorkerLost) for fact in facts) == fault.lost


def test_a_class_that_ends_two_workers_runs_no_more(project, start):
    """The tests of a class that has killed two workers are errors that say so, and none of them runs."""
    fault = next(fault for fault in CLASSES if fault.name == "quarantine")
    fault.write(project)
    run = start("--parallel=2")
    run.wait(LIMIT)
    assert not (project.folder / "it-ran").exists()
    told = [case.message for case in cases_of(project) if case.id.endswith("is_not_run")]
    assert len(told) == 2
    for message in told:
        assert re.search(r"(?i)(killed|ended|lost) (two|2) worker", message), message
    lost = [fact.running for fact in project.facts() if isinstance(fact, WorkerLost)]
    assert sorted(lost) == [FAULT, FAULT.replace("2_fault", "4_kills")]


def test_a_test_at_fault_is_no_other_tests_business(project, start):
    """The faults of all classes at once: each is told of, and every other test has its outcome."""
    faults = [fault for fault in FAULTS if not fault.module and not fault.timeout and fault.name != "output"]
    expected = {}
    for fault in faults:
        fault.write(project)
        module = f"test_{fault.name.replace('-', '_')}"
        (project.folder / "shop/tests/test_fault.py").rename(project.folder / f"shop/tests/{module}.py")
        expected |= {id.replace("test_fault", module): outcome for id, outcome in fault.expected().items()}
    run = start("--parallel=2")
    assert run.wait(2 * LIMIT) == 1, run.told()
    assert run.has_left() == {}
    check_xunit(project, expected)
    check_journal(project, expected)


# Signals to the run


def start_waiting(project: Project, start, wait: str, *arguments: str) -> FaultRun:
    """Start a run, and return it when both workers wait in a test, and it has heard of that."""
    project.tests(WAITING)
    run = start("--parallel=2", *arguments, WAIT=wait)
    places = [project.folder / f"here-{name}" for name in WAITING_CLASSES]
    run.until(lambda: all(place.exists() for place in places), 30, "the tests did not begin")
    run.until(lambda: begun(project).issuperset(WAITS), 30, "the run did not hear of its tests")
    return run


def begun(project: Project) -> set[str]:
    """Return the tests that have begun, by the journal."""
    return {fact.id for fact in project.facts() if isinstance(fact, TestStarted)}


def send(run: FaultRun, number: int, to: str = "the run") -> float:
    """Send a signal, and return when."""
    if to == "the run":
        run.process.send_signal(number)
    elif to == "its process group":
        os.killpg(run.process.pid, number)
    else:
        for pid in run.processes():
            os.kill(pid, number)
    return time.monotonic()


def check_interrupted(project: Project, run: FaultRun, name: str) -> dict[str, str]:
    """Check that each test is told of once, by the xunit file as by the journal, and return the outcomes."""
    told = {case.id: str(case.outcome) for case in cases_of(project)}
    assert sorted(told) == sorted(WAITING_IDS)
    check_xunit(project, told)
    check_journal(project, told)
    (finish,) = [fact for fact in project.facts() if isinstance(fact, RunFinished)]
    assert finish.interrupted == name
    assert all(told[id] == NOT_RUN for id in WAITING_IDS if id.endswith("test_3_after"))
    assert f"interrupted by {name})\n" in run.stderr, run.told()
    assert run.has_left() == {}
    return told


@pytest.mark.parametrize("to", ["the run", "its process group"])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_lets_the_running_tests_end(number, status, to, project, start):
    """No test begins any more, those that run come to their end, and the reports say what did not run.

    A terminal sends Ctrl-C to a process group.
    """
    run = start_waiting(project, start, "in Python")
    send(run, number, to)
    time.sleep(0.5)
    (project.folder / "go").touch()
    assert run.wait(15) == status, run.told()
    told = check_interrupted(project, run, signal.Signals(number).name)
    assert [told[id] for id in WAITS] == [PASSED, PASSED]


@pytest.mark.parametrize("wait", ["in Python", "in C"])
def test_the_second_signal_ends_the_run_now(wait, project, start):
    """The running tests are ended, wherever they are, and the reports written."""
    run = start_waiting(project, start, wait)
    send(run, signal.SIGINT)
    time.sleep(0.5)
    second = send(run, signal.SIGINT)
    assert run.wait(15) == 130, run.told()
    assert time.monotonic() - second < 4
    told = check_interrupted(project, run, "SIGINT")
    assert all(told[id] in (Outcome.ERROR, NOT_RUN) for id in WAITS)


@pytest.mark.parametrize("to", ["the run", "its process group", "every process"])
@pytest.mark.parametrize("wait", ["in Python", "in C"])
def test_sigterm_has_its_reports_within_five_seconds(wait, to, project, start):
    """Tests that do not end in time are ended: CI systems follow SIGTERM with SIGKILL after some ten seconds.

    Jenkins sends it to every process that it finds in the build.
    """
    run = start_waiting(project, start, wait)
    at = send(run, signal.SIGTERM, to)
    assert run.wait(15) == 143, run.told()
    assert time.monotonic() - at < 5
    told = check_interrupted(project, run, "SIGTERM")
    assert all(told[id] in (Outcome.ERROR, NOT_RUN) for id in WAITS)


@pytest.mark.parametrize("to", ["the run", "every process"])
@pytest.mark.parametrize("wait", ["in Python", "in C"])
def test_a_run_that_is_killed_leaves_its_journal_and_no_process(wait, to, project, start):
    """SIGKILL of the run: its workers end too, and `testkit report` makes the reports from the journal."""
    run = start_waiting(project, start, wait)
    send(run, signal.SIGKILL, to)
    assert run.wait(5) == -signal.SIGKILL
    assert run.has_left() == {}
    ran = {fact.id: fact.outcome for fact in project.facts() if isinstance(fact, TestFinished)}
    assert {id for id in WAITING_IDS if id.endswith("before")} <= set(ran)
    (project.folder / "reports" / "xunit.xml").unlink(missing_ok=True)
    command = [*FRONTS["testkit"], "report"]
    with FaultRun(command, project.folder, clean_environment()) as report:
        report.wait(LIMIT)
        cases = xunit_cases(project.folder / "reports" / "xunit.xml")
        told = {case.id: str(case.outcome) for case in cases}
        assert len(cases) == len(told) == len(WAITING_IDS), report.told()
        assert [told[id] for id in WAITS] == [Outcome.ERROR, Outcome.ERROR]
        assert all(told[id] == NOT_RUN for id in WAITING_IDS if id.endswith("after"))
        assert all(told[id] == outcome for id, outcome in ran.items())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP])
def test_a_worker_that_is_hit_from_outside_is_replaced(number, project, start):
    """A worker that something kills or stops loses the test that it was at, and no other."""
    run = start_waiting(project, start, "in Python", "--timeout=3")
    started = [fact for fact in project.facts() if isinstance(fact, WorkerStarted)]
    os.kill(started[0].pid, number)
    time.sleep(0.5)
    (project.folder / "go").touch()
    assert run.wait(LIMIT) == 1, run.told()
    assert run.has_left() == {}
    told = {case.id: str(case.outcome) for case in cases_of(project)}
    check_xunit(project, told)
    check_journal(project, told)
    assert sorted(told) == sorted(WAITING_IDS)
    assert sorted(told[id] for id in WAITS) == [Outcome.ERROR, PASSED]
    assert all(told[id] == PASSED for id in WAITING_IDS if id not in WAITS)


def test_a_fault_is_reproduced_by_its_name(project):
    """The names of the faults are unique, so that `-k NAME` and the benchmark's `--only NAME` mean one."""
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert all(isinstance(fault, Fault) and fault.title for fault in FAULTS)
