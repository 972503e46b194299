"""What every run that goes wrong must still have told."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from testkit.core.events import FixtureFinished, Outcome, RunFinished, TestFinished
from tests.faults.catalogue import FAULT, LAST_WORDS, MODULE, SET_UP, Fault
from tests.faults.running import NOT_RUN, Case, FaultRun, xunit_cases
from tests.projects import Project

_WORDS = {
    Outcome.FAILED: "failures",
    Outcome.ERROR: "errors",
    Outcome.SKIPPED: "skipped",
    Outcome.EXPECTED_FAILURE: "expected failures",
    Outcome.UNEXPECTED_SUCCESS: "unexpected successes",
    NOT_RUN: "not run",
}


def cases_of(project: Project) -> list[Case]:
    """Return the tests in the project's xunit file."""
    return xunit_cases(project.folder / "reports" / "xunit.xml")


def check_xunit(project: Project, expected: Mapping[str, str]) -> None:
    """Check that the xunit file has each test once, with the outcome that is ``expected``, and nothing else."""
    told = Counter((case.id, str(case.outcome)) for case in cases_of(project))
    assert told == Counter((id, str(outcome)) for id, outcome in expected.items())


def check_journal(project: Project, expected: Mapping[str, str]) -> None:
    """Check that the journal has each test that ran once, and the others as not run; none is lost."""
    facts = project.facts()
    assert any(isinstance(fact, FixtureFinished) and fact.outcome.is_bad for fact in facts) == (SET_UP in expected)
    told = Counter((fact.id, str(fact.outcome)) for fact in facts if isinstance(fact, TestFinished) and fact.final)
    assert told == Counter(
        (id, str(outcome)) for id, outcome in expected.items() if outcome != NOT_RUN and id != SET_UP
    )
    (finish,) = [fact for fact in facts if isinstance(fact, RunFinished)]
    assert finish.lost == ()
    assert set(finish.not_run) == {id for id, outcome in expected.items() if outcome == NOT_RUN}


def check_closing_line(run: FaultRun, expected: Mapping[str, str]) -> None:
    """Check the last words of the run, which are unittest's."""
    counts = Counter(expected.values())
    ran = len(expected) - counts[NOT_RUN] - (SET_UP in expected)
    assert re.search(rf"^Ran {ran} tests? in \d+\.\d+s$", run.stderr, re.MULTILINE), run.told()
    verdict = "FAILED" if any(counts[bad] for bad in (Outcome.FAILED, Outcome.ERROR)) else "OK"
    told = ", ".join(f"{word}={counts[outcome]}" for outcome, word in _WORDS.items() if counts[outcome])
    assert f"\n{verdict} ({told})\n" in run.stderr, run.told()


def check_fault(project: Project, fault: Fault, *, in_worker: bool = True) -> None:
    """Check what the xunit file says of the test at fault.

    How a process that was no worker ended, and what it printed last, nobody was there to see but its terminal.
    """
    if fault.outcome is Outcome.PASSED:
        return
    # The test, its class's set-up, or its module, whichever there is.
    case = next(
        case for case in cases_of(project) if case.id in (FAULT, SET_UP, MODULE) and case.outcome == fault.outcome
    )
    if in_worker:
        assert re.search(fault.message, case.message, re.DOTALL), case.message
    for words in fault.words:
        if words == LAST_WORDS and not in_worker:
            continue
        assert re.search(words, case.text, re.DOTALL), case.text[-4000:]
