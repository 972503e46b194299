"""The ends of tests and fixtures that cannot tell of them themselves, since their process is gone."""

from __future__ import annotations

from typing import overload

from testkit.core.events import FixtureFinished, FixtureStarted, Outcome, Problem, TestFinished, TestStarted


@overload
def error_end(started: TestStarted, problem: Problem, now: float) -> TestFinished: ...
@overload
def error_end(started: FixtureStarted, problem: Problem, now: float) -> FixtureFinished: ...
def error_end(started: TestStarted | FixtureStarted, problem: Problem, now: float) -> TestFinished | FixtureFinished:
    """Return the end of what ``started`` began: an error with ``problem``, at the Unix time ``now``."""
    seconds = max(now - started.at, 0.0)
    if isinstance(started, FixtureStarted):
        return FixtureFinished(
            id=started.id,
            phase=started.phase,
            at=started.at,
            seconds=seconds,
            outcome=Outcome.ERROR,
            problems=(problem,),
            worker=started.worker,
        )
    return TestFinished(
        id=started.id,
        class_id=started.class_id,
        at=started.at,
        seconds=seconds,
        outcome=Outcome.ERROR,
        summary=started.summary,
        problems=(problem,),
        attempt=started.attempt,
        worker=started.worker,
    )
