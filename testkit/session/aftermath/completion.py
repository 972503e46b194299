"""Completing the facts of a run whose process died: what had begun becomes an error, and the run gets an end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from testkit.core.ends import error_end
from testkit.core.errors import JournalError
from testkit.core.events import (
    Fact,
    FixtureFinished,
    FixtureStarted,
    Outcome,
    Problem,
    RunFinished,
    RunStarted,
    SubTestFinished,
    TestFinished,
    TestStarted,
    WorkerLost,
    WorkerStarted,
)
from testkit.core.tally import Tally
from testkit.session.aftermath.journals import moment_of

PROCESS = "the run's process"
PROCESS_DIED = f"{PROCESS} died"
"""What ``RunFinished.stopped`` begins with when the run could not say itself how it ended."""
DIED_TYPE, LOST_TYPE = "testkit.ProcessDied", "testkit.lost"
RUN_ID, RUN_PHASE = "testkit", "run"
"""What has the problem when the process died while neither a test nor a fixture ran."""

_Started = TestStarted | FixtureStarted
_Finished = TestFinished | FixtureFinished


def completed(facts: Iterable[Fact], title: str = "this journal") -> Iterator[Fact]:
    """Yield the facts of one run, with what is missing because the run's process died.

    A run that says how it ended is left as it is. Otherwise each test and fixture that had begun and not ended gets an
    end, which is an error; when there was none, the run itself gets such an error, so that no report of a run that was
    cut off looks good. An attempt that was to be repeated, and was not any more, is the final one. The tests that were
    never begun are the ``not_run`` of the added RunFinished, also those of a class or module whose set-up was cut off.

    Args:
        facts: can be walked over twice, as a list or a :class:`RecordedRun` can.
        title: names the journal in messages.

    Raises:
        JournalError: the facts do not say how the run began, or are those of several runs.
    """
    if iter(facts) is facts:
        raise TypeError("completed() walks over the facts twice: give it a list or a RecordedRun, not an iterator")
    survey = _survey(facts, title)
    return iter(facts) if survey.has_ended else _with_end(facts, survey)


class _Survey(NamedTuple):
    """What must be known of a run beforehand: whether it says how it ended, and which attempts were the last ones.

    ``unsettled`` has the numbers of the attempts that did not end, or were to be repeated and never were, by test or
    fixture.
    """

    has_ended: bool
    unsettled: dict[tuple[str, str], int]

    def settle(self, fact: Fact) -> Fact:
        """Return ``fact``, made final if no attempt came after it."""
        if not isinstance(fact, TestFinished | FixtureFinished | SubTestFinished) or fact.final:
            return fact
        return fact._replace(final=True) if self.unsettled.get(_name(fact)) == fact.attempt else fact


def _survey(facts: Iterable[Fact], title: str) -> _Survey:
    runs: set[str] = set()
    has_ended = False
    unsettled: dict[tuple[str, str], int] = {}
    settled: set[tuple[str, str]] = set()
    for fact in facts:
        match fact:
            case TestStarted():
                unsettled[_name(fact)] = fact.attempt
            case FixtureStarted():
                unsettled.pop(_name(fact), None)
            case TestFinished() | FixtureFinished():
                if fact.final:
                    unsettled.pop(_name(fact), None)
                    settled.add(_name(fact))
                elif _name(fact) in settled:
                    # It has its outcome, and ran again with its class for the sake of another test.
                    unsettled.pop(_name(fact), None)
                else:
                    unsettled[_name(fact)] = fact.attempt
            case RunStarted():
                runs.add(fact.run)
            case RunFinished():
                has_ended = True
    if not runs:
        raise JournalError(
            f"{title} does not say how its run began: it was cut off in its first line, or is no journal. Run the "
            f"tests again, or choose another run (--run)"
        )
    if len(runs) > 1:
        raise JournalError(f"{title} has the facts of {len(runs)} runs ({', '.join(sorted(runs))}): give one at a time")
    return _Survey(has_ended, unsettled)


def _name(fact: _Started | _Finished | SubTestFinished) -> tuple[str, str]:
    """Return what a test (that of a subtest) or fixture is known by: its id, and the phase of a fixture."""
    if isinstance(fact, SubTestFinished):
        return fact.test, ""
    return fact.id, fact.phase if isinstance(fact, FixtureStarted | FixtureFinished) else ""


def _with_end(facts: Iterable[Fact], survey: _Survey) -> Iterator[Fact]:
    ledger = _Ledger()
    for fact in facts:
        settled = survey.settle(fact)
        ledger.enter(settled)
        yield settled
    yield from ledger.close()


class _Open:
    """A test or fixture that has begun, and what is known of it since."""

    def __init__(self, started: _Started, pid: int | None) -> None:
        self.started = started
        self.pid = pid
        self.reason = self.stacks = ""  # why its process ended, and where it was, if somebody said so
        self.was_left = False  # something else began after it in the same process
        self.subtests = self.subtests_failed = 0
        self.file, self.line = "", 0

    def take_subtest(self, fact: SubTestFinished) -> None:
        self.subtests += 1
        self.subtests_failed += fact.outcome.is_bad
        self.file, self.line = fact.file, fact.line

    def finished(self, now: float) -> _Finished:
        """Return its end, at the Unix time ``now``: it may have run longer, but nothing was heard after that."""
        started = self.started
        problem = _problem(LOST_TYPE if self.was_left and not self.reason else DIED_TYPE, self._message(), self.stacks)
        if isinstance(started, FixtureStarted):
            return error_end(started, problem, now)._replace(interrupted=True)
        end = error_end(started, problem, now)
        return end._replace(subtests_failed=self.subtests_failed, file=self.file, line=self.line)

    def _message(self) -> str:
        started = self.started
        subject = f"this {started.phase}" if isinstance(started, FixtureStarted) else "this test"
        began = f"it began at {_clock_time(started.at)}"
        if self.subtests:
            began += f", and {self.subtests} of its subtests had ended"
        worker = f"worker {started.worker}" if started.worker else ""
        if worker and self.pid is not None:
            worker += f" (process {self.pid})"
        if self.reason:
            return f"{worker or PROCESS} ended while {subject} ran: {self.reason}; {began}"
        if self.was_left:
            return f"how {subject} ended was never told, though more ran after it in {worker or PROCESS}; {began}"
        place = f" in {worker}" if worker else ""
        return f"{PROCESS} was killed, or ended by itself, while {subject} ran{place}; {began}"


class _Ledger:
    """Keeps account of what is open while the facts of a run pass, and writes the end that they lack."""

    def __init__(self) -> None:
        self._tally = Tally()
        self._open: dict[tuple[str, str, str], _Open] = {}  # by worker, id and phase
        self._pids: dict[str, int] = {}  # by worker
        self._began = self._now = 0.0
        self._last_ended = self._reason = self._stacks = ""

    def enter(self, fact: Fact) -> None:
        """Take the next fact."""
        self._tally(fact)
        self._now = max(self._now, moment_of(fact) or 0.0)
        match fact:
            case TestStarted() | FixtureStarted():
                self._begin(fact)
            case TestFinished() | FixtureFinished():
                self._end(fact)
            case SubTestFinished():
                if (around := self._open.get((fact.worker, fact.test, ""))) is not None:
                    around.take_subtest(fact)
            case WorkerStarted():
                self._pids[fact.worker] = fact.pid
                self._leave(fact.worker)
            case WorkerLost():
                self._lose(fact)
            case RunStarted():
                self._began = fact.at

    def _begin(self, fact: _Started) -> None:
        self._leave(fact.worker)
        if isinstance(fact, TestStarted) and fact.attempt > 1:
            self._drop_other_attempts(_name(fact))
        self._open[fact.worker, *_name(fact)] = _Open(fact, self._pids.get(fact.worker))

    def _end(self, fact: _Finished) -> None:
        name = _name(fact)
        if self._open.pop((fact.worker, *name), None) is None or fact.attempt > 1:
            # Told by another process than its own, or tried again elsewhere.
            self._drop_other_attempts(name)
        self._last_ended = f"{fact.id} ({fact.phase})" if isinstance(fact, FixtureFinished) else fact.id

    def _drop_other_attempts(self, name: tuple[str, str]) -> None:
        self._open = {key: item for key, item in self._open.items() if key[1:] != name}

    def _leave(self, worker: str) -> None:
        # A process does one thing at a time: what is still open in it when the next begins will never be told.
        for key, item in self._open.items():
            if key[0] == worker:
                item.was_left = True

    def _lose(self, fact: WorkerLost) -> None:
        if not fact.worker:
            # The run's own process, by somebody who watched it.
            self._reason, self._stacks = fact.reason, fact.stacks
        for key, item in self._open.items():
            if key[0] == fact.worker and not item.was_left and fact.running in ("", key[1]):
                item.reason, item.stacks = fact.reason, fact.stacks

    def close(self) -> Iterator[Fact]:
        """Yield the ends of what is open, and the end of the run."""
        ends = [item.finished(self._now) for item in self._open.values()]
        for end in ends or [self._end_of_run()]:
            self._tally(end)
            yield end
        yield RunFinished(
            at=self._now,
            seconds=max(self._now - self._began, 0.0),
            stopped=f"{PROCESS_DIED}: {self._reason}" if self._reason else PROCESS_DIED,
            not_run=self._tally.unaccounted(),
        )

    def _end_of_run(self) -> FixtureFinished:
        message = f"{PROCESS_DIED} ({self._reason or 'killed, or ended by itself'}) while no test ran"
        if self._last_ended:
            message += f"; the last to end was {self._last_ended}, at {_clock_time(self._now)}"
        return FixtureFinished(
            id=RUN_ID,
            phase=RUN_PHASE,
            at=self._now,
            seconds=0.0,
            outcome=Outcome.ERROR,
            problems=(_problem(DIED_TYPE, message, self._stacks),),
        )


def has_died(fact: RunFinished) -> bool:
    """Return whether ``fact`` is the end that :func:`completed` gave to a run whose process died."""
    return fact.stopped.startswith(PROCESS_DIED)


def _problem(type: str, message: str, stacks: str) -> Problem:
    text = f"{type}: {message}\n" + (f"\n{stacks.rstrip()}\n" if stacks else "")
    return Problem(outcome=Outcome.ERROR, type=type, message=message, traceback=text)


def _clock_time(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S} UTC"
