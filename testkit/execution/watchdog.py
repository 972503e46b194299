"""The watchdog: a small process beside the run, for what the run itself cannot do.

It ends a test that takes too long where tests run in the process of the run (a pool watches over its workers itself).
When the run is killed, it ends what that leaves behind, the groups of its workers, and writes the reports from the
journal. It is a process rather than a thread since it has to act when no line of Python can be run, and since a run
without threads can fork.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import mmap
import os
import select
import shutil
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from testkit.core.clock import clock
from testkit.core.debugger import before_debugger
from testkit.core.errors import JournalError
from testkit.core.events import (
    Fact,
    FixtureFinished,
    FixtureStarted,
    RunFinished,
    RunStarted,
    TestFinished,
    TestStarted,
    WorkerLost,
)
from testkit.core.journal import Journal, read
from testkit.execution.processes import DUMP, TIME_IS_UP, kill_group
from testkit.execution.stacks import forget_stacks, stacks_in

PERIOD = 0.2
"""Seconds between two looks at the clock."""
STACK_TIME = 0.3
"""Seconds that a process has to write its stacks."""
INSISTENCE = 1.0
"""Seconds after which a test is told again that its time is up: it may have caught the exception."""
GRACE = 10.0
"""Seconds that a test has to end then; after them the process is killed, as nothing else is left."""

_DEADLINES = struct.Struct("=dd")  # of the test or fixture, and of the run; 0 for none


class Errand(NamedTuple):
    """What the watchdog is told when it starts; plain data."""

    process: int
    journal: str
    run: str
    stacks: str
    shared: str
    reporting: tuple[str, ...]
    """The command that writes the reports of a dead run."""
    folder: str


class TimedOut(BaseException):
    """A test's time is up. Not an Exception, which too many tests catch."""


class RunTimedOut(KeyboardInterrupt):
    """The run's time is up. unittest passes a KeyboardInterrupt on rather than calling it a test's error."""


class Watchdog:
    """The run's side. It listens to the facts of a run whose tests are in this process, to know when their time is up."""

    def __init__(
        self,
        journal: Path,
        run: str,
        folder: Path,
        reporting: Sequence[str],
        *,
        limit_of: Callable[[str], float],
        run_timeout: float = 0.0,
    ) -> None:
        """Watch over this process and the run ``run``.

        Args:
            journal: the folder of its journal.
            run: the run's id.
            folder: a folder of the run's own, which the watchdog removes if the run is killed.
            reporting: the command that writes the reports of a run that was killed.
            limit_of: gives the limit in seconds of a test or fixture by its id; 0 for none.
            run_timeout: that of the run.
        """
        self._limit_of, self._run_timeout = limit_of, run_timeout
        self._limit = 0.0
        self._is_off = False
        self._handlers = contextlib.ExitStack()
        self.overdue: BaseException | None = None
        """What was raised in the running test because its time was up."""
        shared, self._stacks = folder / "deadlines", folder / "run.stacks"
        shared.write_bytes(b"\0" * _DEADLINES.size)
        self._stacks.touch()
        with open(shared, "r+b") as file:
            self._shared = mmap.mmap(file.fileno(), _DEADLINES.size)
        errand = Errand(os.getpid(), str(journal), run, str(self._stacks), str(shared), tuple(reporting), str(folder))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "testkit.execution.watchdog"],
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the run
            env={**os.environ, "PYTHONPATH": os.pathsep.join(_import_path())},
        )
        self._say(json.dumps(errand))

    def _say(self, line: str) -> None:
        if self._process.stdin is not None:
            with suppress(OSError):  # it is gone; the run goes on without
                os.write(self._process.stdin.fileno(), f"{line}\n".encode())

    @property
    def descriptor(self) -> int:
        """The run's end of the pipe to the watchdog, which no worker is to have."""
        return self._process.stdin.fileno() if self._process.stdin is not None else -1

    def watch_group(self, leader: int) -> None:
        """End the process group of ``leader`` when the run is killed."""
        self._say(str(leader))

    def __call__(self, fact: Fact) -> None:
        if isinstance(fact, TestStarted | FixtureStarted):
            self._limit, self.overdue = self._limit_of(fact.id), None
            if self._limit and not self._is_off:
                self._set_deadline(clock.seconds() + self._limit)
        elif isinstance(fact, TestFinished | FixtureFinished):
            self._set_deadline(0.0)

    def _set_deadline(self, at: float) -> None:
        struct.pack_into("=d", self._shared, 0, at)

    @contextmanager
    def enforcing(self) -> Iterator[None]:
        """Let time limits end the tests of this process, for the block; in the main thread only."""
        if threading.current_thread() is not threading.main_thread():
            self._stop_clock()  # no signal would come to the tests
            yield
            return
        self._handle_signals()
        if self._run_timeout:
            struct.pack_into("=d", self._shared, 8, clock.seconds() + self._run_timeout)
        with before_debugger(self._stop_clock):
            try:
                yield
            finally:
                self._stop_clock()

    def _handle_signals(self) -> None:
        """Be ready for the signals of the watchdog until it is gone: a late one would end the process."""
        stacks = self._handlers.enter_context(open(self._stacks, "a"))  # noqa: SIM115  # so it is, by another name
        faulthandler.register(DUMP, stacks)
        self._handlers.callback(faulthandler.unregister, DUMP)
        before = signal.signal(TIME_IS_UP, self._time_is_up)
        self._handlers.callback(signal.signal, TIME_IS_UP, signal.SIG_DFL if before is None else before)
        if not faulthandler.is_enabled():
            faulthandler.enable(stacks)
            self._handlers.callback(faulthandler.disable)

    def _stop_clock(self) -> None:
        """Let a test that is debugged take its time."""
        self._is_off = True
        _DEADLINES.pack_into(self._shared, 0, 0.0, 0.0)

    def _time_is_up(self, number: int, frame: FrameType | None) -> None:
        deadline, run_deadline = _DEADLINES.unpack_from(self._shared)
        now = clock.seconds()
        stacks = stacks_in(self._stacks)
        if run_deadline and now > run_deadline:
            struct.pack_into("=d", self._shared, 8, 0.0)
            raise _with_note(RunTimedOut(f"the run took longer than --run-timeout {self._run_timeout:g}"), stacks)
        if deadline and now > deadline:
            self.overdue = _with_note(TimedOut(f"it took longer than its limit of {self._limit:g} s"), stacks)
            raise self.overdue

    def close(self) -> None:
        """Send it away: the run is over."""
        self._say("bye")
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(PERIOD * 5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._handlers.close()
        self._shared.close()


def _import_path() -> list[str]:
    """Return an import path on which this testkit is found first."""
    return [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]


def _with_note(error: BaseException, stacks: str) -> BaseException:
    if stacks:
        error.add_note(f"\n{stacks}")
    return error


# The watchdog's own side


def main() -> None:
    """Be the watchdog of the run that stdin tells of, until it says goodbye or dies."""
    lines = _Lines(sys.stdin.fileno())
    first = lines.wait(None)
    if not first:
        return
    errand = Errand(*json.loads(first[0]))
    dog = _Dog(errand)
    waiting = first[1:]
    while True:
        for line in waiting:
            if line == "bye":
                return
            dog.groups.append(int(line))
        if lines.ended or os.getppid() != errand.process:
            break  # a process that a test forked may hold the run's end of the pipe
        dog.look_at_the_clock()
        waiting = lines.wait(PERIOD)
    dog.clear_up()


class _Lines:
    """The lines that come from the run."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rest = b""
        self.ended = False

    def wait(self, timeout: float | None) -> list[str]:
        """Return the lines that have come within ``timeout`` seconds."""
        ready, _, _ = select.select([self._descriptor], [], [], timeout)
        if not ready:
            return []
        data = os.read(self._descriptor, 1 << 16)
        self.ended = not data
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [line.decode() for line in lines]


class _Dog:
    """What the watchdog knows and does."""

    def __init__(self, errand: Errand) -> None:
        self._errand = errand
        self._stacks = Path(errand.stacks)
        self.groups: list[int] = []
        with open(errand.shared, "r+b") as file:
            self._shared = mmap.mmap(file.fileno(), _DEADLINES.size)
        self._handled = 0.0
        self._told = 0.0
        self._killed = ""

    def look_at_the_clock(self) -> None:
        """Tell the run when the time of its test, or its own, is up; kill it if that does not help."""
        deadlines = [at for at in _DEADLINES.unpack_from(self._shared) if at]
        deadline, now = min(deadlines, default=0.0), clock.seconds()
        if not deadline or now < deadline:
            return
        if deadline != self._handled:
            self._handled, self._told = deadline, 0.0
            forget_stacks(self._stacks)
            self._signal(DUMP)
            _sleep(STACK_TIME)
        if now - deadline > GRACE:
            self._killed = f"its time was up, and it did not end within {GRACE:g} s: the process was killed"
            self._signal(DUMP)
            _sleep(STACK_TIME)
            self._signal(signal.SIGKILL)
        elif now - self._told > INSISTENCE:
            self._told = now
            self._signal(TIME_IS_UP)

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._errand.process, number)

    def clear_up(self) -> None:
        """Do what is left to do for a run that was killed."""
        for leader in self.groups:
            kill_group(leader, signal.SIGKILL)
        facts = list(self._facts())
        if facts and not any(isinstance(fact, RunFinished) for fact in facts):
            self._note_death()
            _tell("the process of the run died; these are its reports, as far as it came:")
            subprocess.run(self._errand.reporting, stdin=subprocess.DEVNULL, check=False)
        shutil.rmtree(self._errand.folder, ignore_errors=True)

    def _facts(self) -> Iterator[Fact]:
        """Yield those facts of the run that say how far it came."""
        with suppress(JournalError):
            for fact in read(Path(self._errand.journal), self._errand.run):
                if isinstance(fact, RunStarted | RunFinished):
                    yield fact

    def _note_death(self) -> None:
        """Write into the journal what is known of the death of the run: its process cannot tell."""
        death = WorkerLost(worker="", at=clock.now(), reason=self._killed, stacks=stacks_in(self._stacks))
        if death.reason or death.stacks:
            with contextlib.closing(Journal(Path(self._errand.journal), self._errand.run, "watchdog")) as journal:
                journal(death)


def _sleep(seconds: float) -> None:
    select.select([], [], [], seconds)


def _tell(text: str) -> None:
    with suppress(OSError):
        os.write(2, f"\ntestkit: {text}\n".encode())


if __name__ == "__main__":
    main()
