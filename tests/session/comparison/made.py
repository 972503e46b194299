"""Runs made of plain facts, to compare."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from testkit.core.events import (
    Fact,
    FixtureFinished,
    Outcome,
    RunFinished,
    RunMeasured,
    RunStarted,
    TestFinished,
)
from testkit.session.comparison.compare import Side
from testkit.session.comparison.figures import Figures

PASSED, FAILED, SKIPPED = Outcome.PASSED, Outcome.FAILED, Outcome.SKIPPED
NASTY = (
    "a.T.t``x``` ~~~ | <b>&amp;</b><script>alert(1)</script> @me #1 [l](http://h) \x1b[31m \u202e \ud800\r\n- *line*"
)
"""An id that is no name: markup of all kinds, control characters, a lone surrogate, a change of direction."""


def ended(name: str, outcome: Outcome = PASSED, seconds: float = 0.1, **fields: Any) -> TestFinished:
    return TestFinished(id=name, class_id="a.T", at=2.0, seconds=seconds, outcome=outcome, **fields)


def bad_set_up(id: str) -> FixtureFinished:
    return FixtureFinished(id=id, phase="setUpClass", at=2.0, seconds=0.1, outcome=Outcome.ERROR)


def measured(section: str, **data: Any) -> RunMeasured:
    return RunMeasured(section=section, data=data)


def facts(*middle: Fact, ids: Sequence[str] | None = None, run: str = "r", **end: Any) -> list[Fact]:
    """Return the facts of a run: ``ids`` are those of its tests by default."""
    named = tuple(fact.id for fact in middle if isinstance(fact, TestFinished)) if ids is None else tuple(ids)
    finished = RunFinished(at=9.0, seconds=8.0, **end)
    return [RunStarted(run=run, at=1.0, ids=named), *middle, finished]


def figures(told: Iterable[Fact]) -> Figures:
    found = Figures()
    for fact in told:
        found(fact)
    return found


def side(*runs: Iterable[Fact], title: str = "given") -> Side:
    return Side(title, tuple(map(figures, runs)))


def timed(seconds: Mapping[str, float], run: str = "r") -> list[Fact]:
    return facts(*(ended(name, seconds=value) for name, value in seconds.items()), run=run)


def random_run(seed: int, run: str = "r") -> list[Fact]:
    """Return a run in which anything may be: every outcome, retries, set-ups, and all that is measured."""
    rng = random.Random(seed)
    told: list[Fact] = []
    for number in range(60):
        name = f"a.T{number % 6}.t{number}"
        outcome = rng.choice([*Outcome, *[PASSED] * 8])
        if rng.random() < 0.15:
            continue
        if rng.random() < 0.1:
            told.append(ended(name, FAILED, final=False))
        queries = {
            "total": 3,
            "routes": {f"GET /{rng.randrange(9)}/": {"requests": 1, "queries": rng.randrange(9), "ms": 1}},
        }
        shots = {"passed": 1, rng.choice(["changed", "new", "missing"]): rng.randrange(3)}
        measures = {"queries": queries} | ({"screenshots": shots} if rng.random() < 0.2 else {})
        told.append(ended(name, outcome, rng.expovariate(4), measures=measures))
    told += [bad_set_up(f"a.T{number}") for number in range(6) if rng.random() < 0.2]
    told += [bad_set_up(f"a.T{number}")._replace(outcome=SKIPPED) for number in range(6) if rng.random() < 0.1]
    states = ["tested", "untested", "errors", "called"]
    endpoints = {f"GET /{number}/": {"state": rng.choice(states)} for number in range(9) if rng.random() < 0.8}
    files = {
        f"a/{n}.py": {"statements": 20, "missing": [[1, 1 + rng.randrange(9)]]} for n in range(9) if rng.random() < 0.8
    }
    sections = {"routes": {"endpoints": endpoints}, "coverage": {"percent": rng.uniform(50, 99), "files": files}}
    told += [measured(name, **data) for name, data in sections.items() if rng.random() < 0.8]
    not_run = [f"a.n{number}" for number in range(9) if rng.random() < 0.3]
    return facts(*told, run=run, not_run=tuple(not_run))
