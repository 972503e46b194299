"""Made-up runs for the tests of what listeners write: facts as a run would have told them, of any number of tests."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from testkit.core.events import (
    Fact,
    FixtureFinished,
    Outcome,
    Problem,
    RunFinished,
    RunMeasured,
    RunStarted,
    SubTestFinished,
    TestFinished,
    TestStarted,
    WorkerStarted,
)

BEGAN = 1_790_000_000.0
HOSTILE = (
    "<img src=x onerror=hacked=1>\"'</script><!--<script>hacked=2</script>{{ hacked }}${hacked=3}javascript:hacked=4"
)
UNSEEN = "right\u202eto\u2066left \x1b[31mred\x1b[0m \x00 bell\x07 \ud800 zero\u200bwidth \u2028 end"
"""What a browser or a terminal would act on, and a lone surrogate, which UTF-8 cannot hold."""
APPS = ("catalogue", "orders", "accounts", "loans", "search", "billing")
WORDS = ("lists", "filters", "refuses", "sends", "renders", "updates", "archives", "exports", "sorts", "validates")
THINGS = ("a book", "an order", "two loans", "the invoice", "a member", "all shelves", "the index", "a reminder")


def many(count: int, *, workers: int = 4, seed: int = 7) -> Iterator[Fact]:
    """Yield the facts of a run of ``count`` tests by ``workers``, of which some fail, are skipped, and are flaky."""
    chance = random.Random(seed)
    classes = [
        (
            f"library.{APPS[number % len(APPS)]}.tests.test_views_{number // 40}.{APPS[number % len(APPS)].title()}Case{number}Tests",
            number,
        )
        for number in range(max(1, count // 12))
    ]
    tests = [(classes[index * len(classes) // count], index) for index in range(count)]
    ids = tuple(f"{name}.{_name(index)}" for (name, _), index in tests)
    yield RunStarted("20261130T120000Z000000-1-abcd", BEGAN, ids, "3.11.2", "5.2.19", "build-7", "/srv/library")
    yield RunMeasured("environment", {"program": "python manage.py test", "seed": 1234567})
    yield RunMeasured(
        "databases", {"databases": {"default": "PostgreSQL, test_library, from a template"}, "seconds": 0.41}
    )
    for worker in range(workers):
        yield WorkerStarted(str(worker + 1), BEGAN, 100 + worker)
    clock = [0.3 + 0.02 * worker for worker in range(workers)]
    seen = set()
    for (name, number), index in tests:
        worker = number % workers
        if name not in seen:
            seen.add(name)
            set_up = chance.choice((0.002, 0.01, 0.05))
            yield FixtureFinished(name, "setUpClass", BEGAN + clock[worker], set_up, worker=str(worker + 1))
            clock[worker] += set_up
        for fact in _test(name, index, BEGAN + clock[worker], str(worker + 1), chance):
            clock[worker] += fact.seconds + 0.0005
            yield fact
    yield RunFinished(BEGAN + max(clock), max(clock))
    yield RunMeasured("reports", {"report page": "reports/index.html"})
    yield RunMeasured("status", {"status": 1, "reason": ""})


def _name(index: int) -> str:
    return f"test_{WORDS[index % 10]}_{THINGS[index // 10 % 8].replace(' ', '_')}_{index}"


def _test(class_id: str, index: int, at: float, worker: str, chance: random.Random) -> Iterator[TestFinished]:
    queries = chance.randrange(0, 12)
    route = f"GET /{APPS[index % 6]}/<int:pk>/"
    told: dict[str, Any] = {
        "id": f"{class_id}.{_name(index)}",
        "class_id": class_id,
        "at": at,
        "seconds": min(chance.lognormvariate(-5.2, 1.6), 30.0),
        "file": f"library/{APPS[index % 6]}/tests/test_views_{index // 480}.py",
        "line": 10 + index % 400,
        "worker": worker,
        "measures": {
            "queries": {"total": queries, "routes": {route: {"requests": 1, "queries": queries, "ms": 1.5 * queries}}}
        },
    }
    if index % 97 == 3:
        yield TestFinished(outcome=Outcome.FAILED, problems=(problem(index),), stdout=f"asked for {index}\n", **told)
    elif index % 211 == 5:
        yield TestFinished(outcome=Outcome.ERROR, problems=(problem(index, "KeyError", "'isbn'"),), **told)
    elif index % 173 == 7:
        yield TestFinished(outcome=Outcome.FAILED, problems=(problem(index),), final=False, **told)
        yield TestFinished(outcome=Outcome.PASSED, **{**told, "at": at + told["seconds"], "attempt": 2})
    elif index % 53 == 9:
        yield TestFinished(outcome=Outcome.SKIPPED, reason="needs row locks, which SQLite does not have", **told)
    elif index % 401 == 11:
        yield TestFinished(outcome=Outcome.EXPECTED_FAILURE, reason="Traceback: not yet", **told)
    else:
        yield TestFinished(outcome=Outcome.PASSED, **told)


def problem(index: int, kind: str = "AssertionError", message: str = "") -> Problem:
    """Return an exception of the test with the number ``index``."""
    file = f"library/{APPS[index % 6]}/tests/test_views_{index // 480}.py"
    message = message or f"{index} != {index + 1} : the page has one book more than the shelf"
    text = (
        "Traceback (most recent call last):\n"
        f'  File "/srv/library/{file}", line {20 + index % 3}, in {_name(index)}\n'
        "    self.assertEqual(len(response.context['books']), shelf.count())\n"
        f"{kind}: {message}\n"
    )
    outcome = Outcome.FAILED if kind == "AssertionError" else Outcome.ERROR
    return Problem(outcome, kind, message, text, file, 20 + index % 3)


def hostile() -> Iterator[Fact]:
    """Yield the facts of a run in which everything that a test can name is markup, script, or unseen characters."""
    evil = f"{HOSTILE} {UNSEEN}"
    huge = f"{HOSTILE}\n" + "0123456789abcde\n" * (10_000_000 // 16) + UNSEEN
    bad = Problem(Outcome.FAILED, evil, evil, f"{evil}\n{evil}", f"{HOSTILE}.py", 3)
    names = ("failed", "passed", "skipped", "flaky", "sub")
    ids = tuple(f"{evil}.{evil} {name}" for name in names)
    told: dict[str, Any] = {"class_id": evil, "summary": evil, "file": HOSTILE, "line": 3, "worker": HOSTILE}
    costs = {
        "queries": {"total": 3, "routes": {evil: {"requests": 1, "queries": 3, "ms": 2.0}}},
        "routes": {},
        evil: evil,
    }
    yield RunStarted(evil, BEGAN, (*ids, f"{evil}.blocked.one"), evil, evil, evil, f"/srv/{HOSTILE}")
    yield RunMeasured("environment", {"program": HOSTILE, "seed": HOSTILE})
    yield FixtureFinished(
        f"{evil}.blocked", "setUpClass", BEGAN, 0.1, Outcome.ERROR, (bad,), file=HOSTILE, line=1, worker=HOSTILE
    )
    yield TestStarted(ids[0], evil, BEGAN + 0.2, worker=HOSTILE)
    yield TestFinished(
        ids[0], at=BEGAN + 0.2, seconds=0.5, outcome=Outcome.FAILED, problems=(bad,), stdout=huge, stderr=evil, sql=evil,
        measures=costs, attachments=(HOSTILE, "../../etc/passwd", "/etc/passwd"), **told,
    )  # fmt: skip
    yield TestFinished(ids[1], at=BEGAN + 0.8, seconds=0.1, outcome=Outcome.PASSED, stdout=huge, **told)
    yield TestFinished(ids[2], at=BEGAN + 0.9, seconds=0.1, outcome=Outcome.SKIPPED, reason=evil, **told)
    yield TestFinished(ids[3], at=BEGAN + 1.0, seconds=0.1, outcome=Outcome.ERROR, problems=(bad,), final=False, **told)
    yield TestFinished(ids[3], at=BEGAN + 1.1, seconds=0.1, outcome=Outcome.PASSED, attempt=2, **told)
    yield SubTestFinished(f"{ids[4]} ({evil})", ids[4], evil, BEGAN + 1.2, Outcome.FAILED, bad, worker=HOSTILE)
    yield TestFinished(ids[4], at=BEGAN + 1.2, seconds=0.1, outcome=Outcome.FAILED, subtests_failed=1, **told)
    yield RunMeasured(
        "budgets", {"over": {evil: evil}, "within": [], "without": {}, "slow": {}, "never": [evil], "text": evil}
    )
    yield RunMeasured("routes", {"whole": True, "figures": {"endpoints": 1, "asked": 0, "untested": 1, "percent": 0.0},
        "failing": [evil], "endpoints": {evil: {"state": "untested", "view": evil, "own": True, "statuses": [], "tests": 0}}})  # fmt: skip
    yield RunMeasured(
        "coverage",
        {"percent": 50.0, "covered": 1, "statements": 2, "files": {evil: {"statements": 2, "missing": [[1, 1]]}}},
    )
    yield RunMeasured(
        "diff_coverage",
        {"base": evil, "percent": None, "lines": 0, "uncovered": {evil: [[1, 2]]}, "failing": evil, "text": evil},
    )
    yield RunMeasured(evil, {"text": evil})
    yield RunFinished(BEGAN + 2.0, 2.0, stopped="")
    yield RunMeasured("reports", {evil: evil})
    yield RunMeasured("status", {"status": 1, "reason": evil})
