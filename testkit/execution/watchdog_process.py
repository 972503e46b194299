"""The watchdog's own side: the process beside the run. What it needs for a dead run alone, it imports then."""

from __future__ import annotations

import json
import mmap
import os
import select
import signal
import struct
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from testkit.core.clock import clock
from testkit.execution.processes import DUMP, TIME_IS_UP, end_marked, kill_group, mark_of
from testkit.execution.stacks import forget_stacks, stacks_in

PERIOD = 0.2
"""Seconds between two looks at the clock."""
STACK_TIME = 0.3
"""Seconds that a process has to write its stacks."""
INSISTENCE = 1.0
"""Seconds after which a test is told again that its time is up: it may have caught the exception."""
GRACE = 10.0
"""Seconds that a test has to end then; after them the process is killed, as nothing else is left."""
PATIENCE = {signal.SIGTERM: 3.5, signal.SIGINT: 30.5}
"""Seconds after which a signal that the run did not get to handle ends it: what a test has then to end, and a bit."""
AGAIN = 1.0
"""The same, if it came again."""
LAST_GRACE = 1.2
"""Seconds that a test has to end when it is interrupted after a signal."""


class Shared(IntEnum):
    """The numbers that the run writes into shared memory, by their place."""

    DEADLINE = 0
    """When the time of the running test or fixture is up, by the run's clock; 0 for never."""
    RUN_DEADLINE = 1
    """The same for the run."""
    ASKED = 2
    """How many signals the watchdog knows of, and has asked the run about."""
    ANSWERED = 3
    """Of how many it was asked when Python last ran there."""
    END_BY = 4
    """When the running test is to be interrupted after a signal; 0 for not at all."""


NUMBER = struct.Struct("=d")
SHARED_SIZE = NUMBER.size * len(Shared)


class Errand(NamedTuple):
    """What the watchdog is told when it starts; plain data."""

    process: int
    journal: str
    """Its folder; empty when there is none."""
    run: str
    stacks: str
    shared: str
    reporting: tuple[str, ...]
    """The command that writes the reports of a dead run."""
    folder: str


def main() -> None:
    """Be the watchdog of the run that stdin tells of, until that is gone. A run that ends well kills it before."""
    told = _Told(sys.stdin.fileno())
    while not told.lines and not told.ended:
        told.wait(None)
    if not told.lines:
        return
    dog = _Dog(Errand(*json.loads(told.lines.pop(0))))
    while True:
        for line in told.lines:
            dog.take(line)
        told.lines.clear()
        if dog.is_run_gone():  # the pipe's end tells nothing: tests close and inherit descriptors
            break
        dog.look_at_signals(told.signals)
        dog.look_at_the_end()
        dog.look_at_the_clock()
        told.wait(PERIOD)
    dog.clear_up()


class _Told:
    """What comes from the run: lines, and among them the numbers of signals, as bytes."""

    def __init__(self, descriptor: int) -> None:
        self.lines: list[str] = []
        self.signals: list[signal.Signals] = []
        self.ended = False
        self._descriptor = descriptor
        self._rest = b""

    def wait(self, timeout: float | None) -> None:
        """Take in what comes within ``timeout`` seconds."""
        if self.ended:
            _sleep(timeout or 0.0)
            return
        ready, _, _ = select.select([self._descriptor], [], [], timeout)
        if not ready:
            return
        data = os.read(self._descriptor, 1 << 16)
        self.ended = not data
        for number in PATIENCE:
            self.signals += [number] * data.count(bytes([number]))
        # Lines are text without control characters.
        text = bytes(byte for byte in data if byte >= ord(" ") or byte == ord("\n"))
        *lines, self._rest = (self._rest + text).split(b"\n")
        self.lines += [line.decode() for line in lines]


class _Dog:
    """What the watchdog knows and does."""

    def __init__(self, errand: Errand) -> None:
        self._groups: set[int] = set()
        self._errand = errand
        self._stacks = Path(errand.stacks)
        with open(errand.shared, "r+b") as file:
            self._memory = mmap.mmap(file.fileno(), SHARED_SIZE)
        self._handled_deadline = 0.0
        self._told = 0.0
        self._signals = 0
        self._signalled = 0.0
        self._interrupted = 0.0
        self._killed = ""

    def take(self, line: str) -> None:
        """Take what the run says: a process group to end with it (``gNUMBER``), or one that is over (``rNUMBER``)."""
        # Letters: a signal's number may come as any byte up to 64, digits among them.
        change = {"g": self._groups.add, "r": self._groups.discard}.get(line[:1])
        if change is not None and line[1:].isdigit():
            change(int(line[1:]))

    def is_run_gone(self) -> bool:
        """Return whether the process of the run has ended, whoever has adopted this one since."""
        return os.getppid() != self._errand.process

    def _shared(self, what: Shared) -> float:
        number: float = NUMBER.unpack_from(self._memory, what * NUMBER.size)[0]
        return number

    def look_at_signals(self, signals: list[signal.Signals]) -> None:
        """Kill the run if it got a signal and does not come to handle it, since C code keeps Python from running."""
        if len(signals) > self._signals:
            self._signals, self._signalled = len(signals), clock.seconds()
            NUMBER.pack_into(self._memory, Shared.ASKED * NUMBER.size, len(signals))
            self._signal(TIME_IS_UP)
        unhandled = len(signals) - int(self._shared(Shared.ANSWERED))
        if unhandled <= 0:
            return
        patience = AGAIN if unhandled > 1 else PATIENCE[signals[-1]]
        if clock.seconds() - self._signalled > patience:
            self._kill(f"it got {signals[-1].name} and did not end within {patience:g} s")

    def look_at_the_end(self) -> None:
        """Interrupt the running test when a signal came and the test has had its time to end; kill the run in the end."""
        end, now = self._shared(Shared.END_BY), clock.seconds()
        if not end or now < end:
            return
        if now - end > LAST_GRACE:
            self._kill("it was interrupted, and did not end")
        elif now - self._interrupted > LAST_GRACE / 2:
            # Not again at once: the end of the test, which the first one has begun, must not be interrupted itself.
            self._interrupted = now
            self._signal(TIME_IS_UP)

    def look_at_the_clock(self) -> None:
        """Tell the run when the time of its test, or its own, is up; kill it if that does not help."""
        deadlines = [at for at in (self._shared(Shared.DEADLINE), self._shared(Shared.RUN_DEADLINE)) if at]
        deadline, now = min(deadlines, default=0.0), clock.seconds()
        if deadline != self._handled_deadline:
            self._handled_deadline, self._told = deadline, 0.0
        if not deadline or now < deadline:
            return
        if not self._told:
            self._ask_for_stacks()
        if now - deadline > GRACE:
            self._kill(f"its time was up, and it did not end within {GRACE:g} s")
        elif now - self._told > INSISTENCE:
            self._told = now
            self._signal(TIME_IS_UP)

    def _ask_for_stacks(self) -> None:
        forget_stacks(self._stacks)
        self._signal(DUMP)
        _sleep(STACK_TIME)

    def _kill(self, why: str) -> None:
        self._killed = f"{why}: the process was killed"
        self._ask_for_stacks()
        self._signal(signal.SIGKILL)
        _sleep(PERIOD)

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._errand.process, number)

    def clear_up(self) -> None:
        """Do what is left to do for a run that was killed."""
        import shutil
        import subprocess

        for leader in self._groups:
            kill_group(leader, signal.SIGKILL)
        end_marked(mark_of(self._errand.folder))
        facts = list(self._milestones()) if self._errand.journal else []
        if "RunStarted" in facts and "RunFinished" not in facts:
            self._note_death()
            _tell("the process of the run died; these are its reports, as far as it came:")
            subprocess.run(self._errand.reporting, stdin=subprocess.DEVNULL, check=False)
        shutil.rmtree(self._errand.folder, ignore_errors=True)

    def _milestones(self) -> Iterator[str]:
        """Yield the names of those facts of the run that say how far it came."""
        from testkit.core.errors import JournalError
        from testkit.core.events import RunFinished, RunStarted
        from testkit.core.journal import read

        with suppress(JournalError):
            for fact in read(Path(self._errand.journal), self._errand.run):
                if isinstance(fact, RunStarted | RunFinished):
                    yield type(fact).__name__

    def _note_death(self) -> None:
        """Write into the journal what is known of the death of the run: its process cannot tell."""
        from testkit.core.events import WorkerLost
        from testkit.core.journal import Journal

        death = WorkerLost(worker="", at=clock.now(), reason=self._killed, stacks=stacks_in(self._stacks))
        if death.reason or death.stacks:
            with closing(Journal(Path(self._errand.journal), self._errand.run, "watchdog")) as journal:
                journal(death)


def _sleep(seconds: float) -> None:
    select.select([], [], [], seconds)


def _tell(text: str) -> None:
    with suppress(OSError):
        os.write(2, f"\ntestkit: {text}\n".encode())
