"""``--find-pollution``: which tests make another one fail, tried out in worker processes that know nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from testkit.core import journal
from testkit.core.errors import OptionError, TestkitError
from testkit.core.events import Fact, FixtureFinished, TestFinished, TestStarted, WorkerStarted
from testkit.execution.ids import iterate, test_id, tests_by_id
from testkit.execution.limits import Limits
from testkit.execution.pool import Plan, Pool
from testkit.execution.watchdog import Watchdog
from testkit.selection.order import Kind, Queue, Test, Unit
from testkit.selection.pollution import command, find_polluters
from testkit.session.pooled import Workers


class Trials:
    """Runs a test after others, each time in a fresh process with a fresh database."""

    def __init__(
        self, suite: Any, test: str, workers: Workers, limits: Limits, folder: Path, watchdog: Watchdog
    ) -> None:
        """Prepare trials.

        Args:
            suite: all tests, in their order.
            test: the id of the one in question.
            workers: what the processes are.
            limits: how long tests may take: one that hangs has failed.
            folder: a folder for files of the processes.
            watchdog: ends them when this process is killed.

        Raises:
            OptionError: it is not among them.
        """
        self._by_id = tests_by_id(iterate(suite))
        self.ids = [test_id(each) for each in iterate(suite)]
        if test not in self._by_id:
            raise OptionError(
                f"--find-pollution: {test} is not among the {len(self.ids)} tests of this run: give its whole id, as "
                "--list-tests prints it, and labels (or none) that it is among"
            )
        self.test = test
        self.count = 0
        self._workers, self._limits, self._folder, self._watchdog = workers, limits, folder, watchdog

    def before(self) -> list[str]:
        """Return the ids of the tests that come before the test in the order of the run."""
        return self.ids[: self.ids.index(self.test)]

    def knows(self, id: str) -> bool:
        """Return whether ``id`` is among the tests."""
        return id in self._by_id

    def fails_after(self, ids: Sequence[str]) -> bool:
        """Run ``ids`` and then the test, in that order; return whether the test failed."""
        self.count += 1
        verdict = _Verdict(self.test)
        tests: tuple[Test, ...] = tuple((id, 0) for id in (*ids, self.test))
        plan = Plan(
            workers=1,
            start_method=self._workers.start_method,
            surroundings=lambda worker: self._workers.surroundings(worker, self._folder),
            suite=self._workers.suite,
            recording={},
            folder=self._folder,
        )
        queue = Queue([Unit("", tests, 0.0, kind=Kind.NEEDS_ROWS)], 1)
        Pool(plan, queue, self._by_id, verdict, limits=self._limits, watchdog=self._watchdog).run()
        return verdict.is_bad


class _Verdict:
    """Listens to a trial."""

    def __init__(self, test: str) -> None:
        self._test = test
        self.is_bad = False

    def __call__(self, fact: Fact) -> None:
        if isinstance(fact, TestFinished) and fact.id == self._test:
            self.is_bad = self.is_bad or fact.outcome.is_bad
        elif isinstance(fact, FixtureFinished) and fact.outcome.is_bad and self._test.startswith(f"{fact.id}."):
            self.is_bad = self.is_bad or fact.phase.startswith("setUp")


def find_pollution(
    trials: Trials, journals: Path, options: Sequence[str], tell: Callable[[str], None]
) -> tuple[str, ...]:
    """Return the tests after which the test of ``trials`` fails, and tell the command that shows it.

    The order looked at is the one in which the test failed in the last run, if the journal in ``journals`` has that (in
    a parallel run it is the order of the worker), and else the order of this run. ``options`` are arguments that the
    command needs to find the tests.

    Raises:
        TestkitError: the test does not fail in that order.
    """
    ran = [id for id in ran_before(trials.test, journals) if trials.knows(id)]
    origin, candidates = ("the last run, where it failed", ran) if ran else ("this run", trials.before())
    tell(f"--find-pollution: {len(candidates)} tests ran before {trials.test} in {origin}")
    if not trials.fails_after(candidates):
        raise TestkitError(
            f"{trials.test} passes after the {len(candidates)} tests that ran before it in {origin}: it fails for another "
            "reason than the order, or in another order (--shuffle=SEED with the seed of the run in which it failed)"
        )
    polluters = find_polluters(candidates, trials.fails_after)
    program = command("python -m testkit", polluters, trials.test, [*options, "--in-order"])
    if polluters:
        names = "".join(f"\n  {id}" for id in polluters)
        tell(f"{trials.test} fails after:{names}\n({trials.count} trials). To see it:\n  {program}")
    else:
        tell(f"{trials.test} fails by itself: no other test is needed. To see it:\n  {program}")
    return polluters


def ran_before(test: str, journals: Path) -> list[str]:
    """Return the tests that ran before ``test`` in the same process, in the last run if ``test`` failed there."""
    try:
        facts = list(journal.read(journals))
    except TestkitError:
        return []
    order: dict[str, list[str]] = {}
    for fact in facts:
        if isinstance(fact, WorkerStarted):
            order[fact.worker] = []
        elif isinstance(fact, TestStarted):
            order.setdefault(fact.worker, []).append(fact.id)
        elif isinstance(fact, TestFinished) and fact.id == test and fact.outcome.is_bad:
            return list(dict.fromkeys(id for id in order.get(fact.worker, ()) if id != test))
    return []
