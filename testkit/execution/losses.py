"""What is said of a worker that died, and of the tests that it took with it."""

from __future__ import annotations

from collections.abc import Iterable

from testkit.core.clock import clock
from testkit.core.ends import error_end
from testkit.core.events import Fact, FixtureFinished, FixtureStarted, Outcome, Problem, TestFinished, WorkerLost
from testkit.execution.members import Member, Running
from testkit.execution.stacks import stacks_in
from testkit.selection.order import Unit


def loss_of(member: Member, how: str, running: Running | None) -> WorkerLost:
    """Return the fact that ``member`` is gone: how, and what it was at."""
    return WorkerLost(
        worker=member.name,
        at=clock.now(),
        reason=how,
        running=running.fact.id if running else "",
        unsaved=tuple(member.lease.finished) if member.lease else (),
        stacks=stacks_in(member.files.stacks),
    )


def end_of(running: Running, member: Member, how: str, *, interrupted: bool = False) -> TestFinished | FixtureFinished:
    """Return the end of what ``member`` was at when it died: an error that says how, with all that is known."""
    started = running.fact
    message = f"the worker process died in this {running.phase or 'test'}: {how}"
    if member.blamed or interrupted:
        message = f"ended with its worker process: {how}"
    problem = Problem(Outcome.ERROR, "testkit.WorkerLost", message, f"{message}\n\n{member.evidence}".rstrip() + "\n")
    if isinstance(started, FixtureStarted):
        attempt = member.lease.attempt if member.lease else 1
        return error_end(started, problem, clock.now())._replace(interrupted=interrupted, attempt=attempt)
    return error_end(started, problem, clock.now())


def quarantined(unit: Unit, deaths: int) -> Iterable[Fact]:
    """Yield the ends of the tests of ``unit``, which do not run since their class has ended ``deaths`` workers."""
    text = (
        f"not run: {unit.key} has ended {deaths} worker processes in this run, and may end more. Mend or skip the tests "
        "that did, whose errors tell how."
    )
    for id, _ in unit.tests:
        if not unit.only or id in unit.only:
            yield TestFinished(
                id=id,
                class_id=unit.key if id.startswith(f"{unit.key}.") else id.rpartition(".")[0],
                at=clock.now(),
                seconds=0.0,
                outcome=Outcome.ERROR,
                problems=(Problem(Outcome.ERROR, "testkit.Quarantined", text, f"{text}\n"),),
                attempt=unit.attempt,
            )
