"""The verdict on a test, subtest or fixture: its outcome and all its problems in the one element that JUnit allows."""

from __future__ import annotations

import re
from typing import NamedTuple

from testkit.core.events import FixtureFinished, Outcome, SubTestFinished, TestFinished


class Verdict(NamedTuple):
    """What is said of something that did not simply pass; ``tag`` is ``failure``, ``error`` or ``skipped``."""

    tag: str
    type: str
    message: str
    text: str = ""

    @property
    def is_bad(self) -> bool:
        """Whether it fails the run."""
        return self.tag != "skipped"


def verdict(fact: TestFinished | FixtureFinished | SubTestFinished) -> Verdict | None:
    """Return the verdict on ``fact``, or None when it simply passed.

    An error is graver than a failure: ``type`` and ``message`` are those of the first of the gravest problems, ``text``
    has the tracebacks of all.
    """
    problems = ((fact.problem,) if fact.problem else ()) if isinstance(fact, SubTestFinished) else fact.problems
    failed = fact.subtests_failed if isinstance(fact, TestFinished) else 0
    outcome = fact.outcome
    if outcome is Outcome.PASSED and not problems and not failed:
        return None
    text = "\n".join(problem.traceback or f"{problem.type}: {problem.message}" for problem in problems)
    if outcome is Outcome.EXPECTED_FAILURE:
        text = text or fact.reason
        why = problems[0].message if problems else text.rstrip().rpartition("\n")[2]
        return Verdict("skipped", "unittest.expectedFailure", f"expected failure: {why}", text)
    if problems:
        gravest = next((problem for problem in problems if problem.outcome is Outcome.ERROR), problems[0])
        tag = "error" if Outcome.ERROR in (outcome, gravest.outcome) else "failure"
        return Verdict(tag, gravest.type, gravest.message or gravest.type, text)
    if failed:
        # pytest's words for the same.
        return Verdict("failure", "unittest.subTest", f"contains {failed} failed subtest{'s' * (failed > 1)}")
    if outcome is Outcome.SKIPPED:
        return Verdict("skipped", "unittest.skip", fact.reason)
    if outcome is Outcome.UNEXPECTED_SUCCESS:
        return Verdict("failure", "unittest.unexpectedSuccess", "unexpected success")
    tag = "error" if outcome is Outcome.ERROR else "failure"
    return Verdict(tag, f"unittest.{tag}", fact.reason or outcome.value)


def not_run(interrupted: str, stopped: str) -> Verdict:
    """Return the verdict on a test that an early end of the run left out; both arguments as in ``RunFinished``."""
    why = f"interrupted by {interrupted}" if interrupted else stopped
    return Verdict("skipped", "testkit.notRun", f"not run: {why}" if why else "not run")


LOST = Verdict("error", "testkit.lost", "lost: it was collected, but how it ended was never told")
"""The verdict on a test that no fact accounts for."""


def class_of(id: str) -> str:
    """Return the class's part of a test's ``id``; parameters at its end may have dots of their own."""
    bare = re.split(r"[\s(\[]", id, maxsplit=1)[0]
    return bare.rpartition(".")[0] or id
