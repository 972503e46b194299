"""Worker processes as their parent sees them, and the watch that it keeps over them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import Enum
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

from testkit.core.clock import clock
from testkit.core.events import Fact, FixtureFinished, FixtureStarted, TestFinished, TestStarted
from testkit.execution.channel import Lines, Message, decoded, encoded
from testkit.execution.leases import Lease
from testkit.execution.limits import Limits
from testkit.execution.outputs import Files
from testkit.execution.processes import DUMP, is_stopped, kill_group
from testkit.execution.stacks import forget_stacks, stacks_in

STACK_TIME = 0.3
"""Seconds that a worker has to write its stacks before it is ended."""
TERMINATION = 1.0
"""Seconds between SIGTERM and SIGKILL to a worker's processes."""
ENDING = 5.0
"""Seconds that a worker has to end when it has nothing more to do."""
SILENCE = 10.0
"""Seconds of silence after which a worker is asked for a sign of life."""
ANSWER = 5.0
"""Seconds that it has to give one."""
LONGEST_LINE = 100_000_000
"""How many bytes a fact has at most: what is kept of outputs and tracebacks is far less."""
MOST_OUTPUT = 1_000_000_000
"""How many bytes a test may write: more would fill the disk, for everybody."""
STARTING = 300.0
"""Seconds that a worker has to be ready: to import a project takes a while."""
_CHUNK = 1 << 18


class State(Enum):
    """What a worker is at."""

    STARTING = "it started"
    IDLE = "it had nothing to do"
    BUSY = "it had a lease and ran no test"
    ENDING = "it was to end (a thread or an exit handler keeps it?)"
    DOOMED = "it was being ended"


class Running(NamedTuple):
    """A test or fixture that a worker is at, since when (the run's clock), and how long it may take."""

    fact: TestStarted | FixtureStarted
    since: float
    limit: float

    @property
    def phase(self) -> str:
        """That of a fixture; empty for a test."""
        return self.fact.phase if isinstance(self.fact, FixtureStarted) else ""

    def __str__(self) -> str:
        return f"{self.fact.id} ({self.phase})" if self.phase else self.fact.id


class Member:
    """One worker process."""

    def __init__(
        self, name: str, process: BaseProcess, mark: str, files: Files, incoming: Connection, outgoing: Connection
    ) -> None:
        """``mark`` is in the environment of what it starts; ``incoming`` and ``outgoing`` are the parent's ends of its
        pipes.
        """
        self.name = name
        self.process = process
        self.mark = mark
        self.files = files
        self.state = State.STARTING
        self.is_ready = False
        self.is_mute = False
        """Whether it has closed its end of the pipe, by ending as a rule."""
        self.lease: Lease | None = None
        self.running: Running | None = None
        self.blamed: Running | None = None
        """What ran when it was decided to end the worker."""
        self.reason = ""
        """Why it is ended, or what it said before it ended."""
        self.steps: list[tuple[float, int]] = []
        """Signals that its process group gets, and when."""
        self.since = self.heard = clock.seconds()
        """When it began what it is at, and when it was last heard of."""
        self._incoming, self._outgoing = incoming, outgoing
        self._lines = Lines()
        self._asked: tuple[float, int] | None = None  # for a sign of life: when, and how much it had written before
        self._was_told_slow = False
        self._unsent = b""
        # A lease may be more than a pipe takes, and a worker that starts, or hangs, takes nothing from it.
        for connection in (incoming, outgoing):
            os.set_blocking(connection.fileno(), False)

    @property
    def pid(self) -> int:
        """The id of the process and of its group."""
        return self.process.pid or 0

    @property
    def descriptors(self) -> tuple[int, int]:
        """The parent's ends of the pipes: what comes in, what goes out."""
        return self._incoming.fileno(), self._outgoing.fileno()

    def read(self) -> Iterator[Fact | Message]:
        """Yield what has come since the last time."""
        with suppress(OSError):  # nothing more is there now
            while not self.is_mute:
                data = os.read(self._incoming.fileno(), _CHUNK)
                self.is_mute = not data
                self.heard, self._asked = clock.seconds(), None
                self._lines.add(data)
                for line in self._lines.complete():
                    try:
                        said = decoded(line)
                    except ValueError:
                        self.end_by_force("something else than facts came from it (a test wrote to its pipe?)")
                        return
                    yield said
                if self._lines.unfinished > LONGEST_LINE:
                    self.end_by_force("a line without end came from it (a test wrote to its pipe?)")
                    return

    def note(self, fact: Fact, limits: Limits) -> None:
        """Take in what ``fact`` says about what the worker is at."""
        if isinstance(fact, TestStarted | FixtureStarted):
            self.running, self._was_told_slow = Running(fact, self.heard, limits.of(fact.id)), False
        elif isinstance(fact, TestFinished | FixtureFinished):
            self.running, self.since = None, self.heard

    def enter(self, state: State) -> None:
        """Say what the worker is at from now on."""
        self.state, self.since = state, clock.seconds()

    def send(self, kind: str, **data: Any) -> None:
        """Send a message; what the pipe does not take now goes with :meth:`flush`."""
        self._unsent += encoded(kind, data) + b"\n"
        self.flush()

    def flush(self) -> bool:
        """Send what has been left, and return whether there is more."""
        try:
            while self._unsent:
                self._unsent = self._unsent[os.write(self._outgoing.fileno(), self._unsent) :]
        except BlockingIOError:
            return True
        except OSError:
            self._unsent = b""  # it has just died, as will be seen
        return False

    def signal(self, number: int) -> None:
        """Send the process a signal."""
        if self.process.exitcode is None:  # or else its number may be somebody else's
            with suppress(OSError):
                os.kill(self.pid, number)

    def end_with(self, number: int) -> None:
        """Send a signal to its process group, and to itself: a spawned one may not lead its group yet."""
        kill_group(self.pid, number)
        self.signal(number)

    def ask_for_stacks(self) -> None:
        """Let it write the stacks of its threads, and nothing but these."""
        forget_stacks(self.files.stacks)
        self.signal(DUMP)

    def end_by_force(self, reason: str) -> None:
        """Begin to end it: its stacks, then SIGTERM to its process group, then SIGKILL."""
        if self.state is State.DOOMED:
            return  # what it does on its way is no reason to begin anew
        now = clock.seconds()
        self.state, self.reason, self.blamed = State.DOOMED, reason, self.running
        self.ask_for_stacks()
        self.steps = [(now + STACK_TIME, signal.SIGTERM), (now + STACK_TIME + TERMINATION, signal.SIGKILL)]

    @property
    def evidence(self) -> str:
        """The stacks that faulthandler wrote, and what was printed last."""
        output = self.files.last_output().strip()
        parts = [stacks_in(self.files.stacks), f"Its last output:\n{output}" if output else ""]
        return "\n\n".join(filter(None, parts))

    @property
    def was_done(self) -> bool:
        """Whether nothing is lost with it: it was told to end, or had to be ended when it had no lease any more."""
        had_no_lease = self.is_ready and self.lease is None
        return self.state is State.ENDING or (self.state is State.DOOMED and had_no_lease)

    def at_fault(self) -> Running | None:
        """Return what ran when it died, unless that is innocent: it began after the end was decided."""
        if self.blamed and self.running and self.running.fact.id != self.blamed.fact.id:
            return None
        return self.blamed or self.running

    def close(self) -> None:
        """Close the pipes."""
        self._incoming.close()
        self._outgoing.close()

    # Watching

    def look_after(self, now: float, limits: Limits, tell: Callable[[str], None]) -> None:
        """Do what is due at ``now``: end what takes too long, ask what is silent for a sign of life."""
        while self.steps and self.steps[0][0] <= now:
            self.end_with(self.steps.pop(0)[1])
        if self.state is State.DOOMED:
            return
        if self.running is not None and self.state is State.BUSY:
            self._look_after_running(self.running, now, limits, tell)
        elif (limit := self._limit(limits)) and now - self.since > limit:
            self.end_by_force(f"nothing was heard of it for {limit:g} s while {self.state.value}")
        if self.state is State.BUSY and now - self.heard > SILENCE:
            self._ask(now)

    def _look_after_running(self, running: Running, now: float, limits: Limits, tell: Callable[[str], None]) -> None:
        spent = now - running.since
        if running.limit and spent > running.limit:
            self.end_by_force(f"it took longer than its limit of {running.limit:g} s")
        elif self.files.size() > MOST_OUTPUT:
            self.end_by_force(f"it wrote more than {MOST_OUTPUT / 1e9:g} GB to stdout and stderr")
        elif limits.slow and spent > limits.slow and not self._was_told_slow:
            self._was_told_slow = True
            tell(f"slow: {running} has been running for {spent:.0f} s (worker {self.name})")

    def _limit(self, limits: Limits) -> float:
        """Return how long the worker may take for what it is at when neither a test nor a fixture runs."""
        match self.state:
            case State.STARTING:
                return STARTING
            case State.ENDING:
                return ENDING
            case State.BUSY if limits.test:
                return max(limits.test, SILENCE)
        return 0.0

    def _ask(self, now: float) -> None:
        """Ask for a sign of life: the stacks of its threads, which even C code does not keep it from writing."""
        written = self.files.stacks.stat().st_size
        if self._asked is None:
            self._asked = (now, written)
            self.signal(DUMP)
        elif written > self._asked[1]:
            self.heard, self._asked = now, None
        elif now - self._asked[0] > ANSWER and is_stopped(self.pid):
            self.end_by_force(f"it has not answered for {SILENCE + ANSWER:g} s: the process is stopped")
