"""The watchdog: a small process beside the run, for what the run itself cannot do. This is the run's side of it.

It ends a test that takes too long where tests run in the process of the run (a pool watches over its workers itself).
When the run is killed, it ends what that leaves behind, the groups of its workers, and writes the reports from the
journal. It is a process rather than a thread since it has to act when no line of Python can be run, and since a run
without threads can fork. :mod:`testkit.execution.watchdog_process` is its own side.
"""

from __future__ import annotations

import faulthandler
import functools
import json
import mmap
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType

from testkit.core.clock import clock
from testkit.core.debugger import before_debugger
from testkit.core.events import Fact, FixtureStarted, TestStarted
from testkit.execution.interrupts import Interrupted, Interrupts
from testkit.execution.processes import DUMP, TIME_IS_UP
from testkit.execution.stacks import stacks_in
from testkit.execution.watchdog_process import NUMBER, SHARED_SIZE, Errand, Shared

# By its path, and without `site`, which takes longer than all that the watchdog does.
_START = "import sys; sys.path.insert(0, sys.argv[1]); from testkit.execution.watchdog_process import main; main()"


class TimedOut(BaseException):
    """A test's time is up. Not an Exception, which too many tests catch."""


class RunTimedOut(KeyboardInterrupt):
    """The run's time is up. unittest passes a KeyboardInterrupt on rather than calling it a test's error."""


class Watchdog:
    """The run's side. It listens to the facts of a run whose tests are in this process, to know when their time is up."""

    def __init__(
        self,
        journal: Path | None,
        run: str,
        folder: Path,
        reporting: Sequence[str],
        *,
        limit_of: Callable[[str], float],
        run_timeout: float = 0.0,
    ) -> None:
        """Watch over this process and the run ``run``.

        Args:
            journal: the folder of its journal; without one there are no reports of a run that is killed.
            run: the run's id.
            folder: a folder of the run's own, which the watchdog removes if the run is killed.
            reporting: the command that writes the reports of a run that was killed.
            limit_of: gives the limit in seconds of a test or fixture by its id; 0 for none.
            run_timeout: that of the run.
        """
        self.overdue: BaseException | None = None
        """What was raised in the running test because its time was up."""
        self._limit_of, self._run_timeout = limit_of, run_timeout
        self._limit = 0.0
        self._is_off = False
        self._interrupts = Interrupts()
        self._undo = ExitStack()
        shared, self._stacks = folder / "watchdog", folder / "run.stacks"
        shared.write_bytes(bytes(SHARED_SIZE))
        self._stacks.touch()
        with open(shared, "r+b") as file:
            self._memory = mmap.mmap(file.fileno(), SHARED_SIZE)
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-c", _START, str(Path(__file__).parents[2])],
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the run
        )
        errand = Errand(
            os.getpid(), str(journal or ""), run, str(self._stacks), str(shared), tuple(reporting), str(folder)
        )
        self._say(json.dumps(errand))

    @property
    def descriptor(self) -> int:
        """The run's end of the pipe to the watchdog, which no worker is to have."""
        return self._process.stdin.fileno() if self._process.stdin is not None else -1

    def _say(self, line: str) -> None:
        with suppress(OSError):  # it is gone; the run goes on without
            os.write(self.descriptor, f"{line}\n".encode())

    def watch_group(self, leader: int) -> None:
        """End the process group of ``leader`` when the run is killed."""
        self._say(f"g{leader}")

    def forget_group(self, leader: int) -> None:
        """Do not: it is over, and its number may be given again."""
        self._say(f"r{leader}")

    def __call__(self, fact: Fact) -> None:
        kind = type(fact)
        if kind is TestStarted or kind is FixtureStarted:
            self._limit, self.overdue = self._limit_of(fact.id), None  # type: ignore[union-attr]
            if not self._is_off:
                self._share(Shared.DEADLINE, clock.seconds() + self._limit if self._limit else 0.0)

    def _share(self, what: Shared, number: float) -> None:
        NUMBER.pack_into(self._memory, what * NUMBER.size, number)

    def _shared(self, what: Shared) -> float:
        number: float = NUMBER.unpack_from(self._memory, what * NUMBER.size)[0]
        return number

    @contextmanager
    def enforcing(self, interrupts: Interrupts) -> Iterator[None]:
        """Let time limits end the tests of this process, for the block; in the main thread only.

        A signal to the run is handled by ``interrupts``; one that Python cannot handle, as C code runs, by the watchdog.
        """
        if threading.current_thread() is not threading.main_thread():
            self._stop_clock()  # no signal would come to the tests
            yield
            return
        self._handle_signals(interrupts)
        if self._run_timeout:
            self._share(Shared.RUN_DEADLINE, clock.seconds() + self._run_timeout)
        with before_debugger(self._stop_clock):
            try:
                yield
            finally:
                self._stop_clock()

    def _handle_signals(self, interrupts: Interrupts) -> None:
        """Be ready for the signals of the watchdog until it is gone: a late one would end the process."""
        stacks = self._undo.enter_context(open(self._stacks, "a"))  # noqa: SIM115  # so it is, by another name
        faulthandler.register(DUMP, stacks)
        self._undo.callback(faulthandler.unregister, DUMP)
        before = signal.signal(TIME_IS_UP, self._time_is_up)
        self._undo.callback(signal.signal, TIME_IS_UP, signal.SIG_DFL if before is None else before)
        # Django lets faulthandler write to stderr; here its stacks come into the reports.
        self._undo.callback(faulthandler.enable if faulthandler.is_enabled() else faulthandler.disable)
        faulthandler.enable(stacks)
        # The number of each signal goes to the watchdog at once, from the C handler.
        os.set_blocking(self.descriptor, False)
        self._undo.callback(_set_wakeup, _set_wakeup(self.descriptor))
        _forget_wakeup_in_forks()
        interrupts.end_after = self._end_after
        self._undo.callback(setattr, interrupts, "end_after", None)
        self._interrupts = interrupts

    def _end_after(self, grace: float) -> None:
        self._share(Shared.END_BY, clock.seconds() + grace if grace else 0.0)

    def take_back(self) -> BaseException | None:
        """Set no limit until the next test begins; return what was raised in the one that ended, if its time was up."""
        if not self._is_off:
            self._share(Shared.DEADLINE, 0.0)
        return self.overdue

    def _stop_clock(self) -> None:
        """Set no limit any more: a test that is debugged may take its time."""
        self._is_off = True
        self._share(Shared.DEADLINE, 0.0)
        self._share(Shared.RUN_DEADLINE, 0.0)

    def _time_is_up(self, number: int, frame: FrameType | None) -> None:
        self._share(Shared.ANSWERED, self._shared(Shared.ASKED))
        deadline, run_deadline = self._shared(Shared.DEADLINE), self._shared(Shared.RUN_DEADLINE)
        now = clock.seconds()
        stacks = stacks_in(self._stacks)
        if 0 < self._shared(Shared.END_BY) < now:
            raise Interrupted(self._interrupts.received)
        if run_deadline and now > run_deadline:
            self._share(Shared.RUN_DEADLINE, 0.0)
            raise _with_note(RunTimedOut(f"the run took longer than --run-timeout {self._run_timeout:g}"), stacks)
        if deadline and now > deadline:
            self.overdue = _with_note(TimedOut(f"it took longer than its limit of {self._limit:g} s"), stacks)
            raise self.overdue

    def close(self) -> None:
        """Send it away: the run is over."""
        self._process.kill()  # rather than to wait until it has begun, which short runs would
        self._process.wait()
        self._undo.close()
        if self._process.stdin is not None:
            with suppress(OSError):  # a test has closed it
                self._process.stdin.close()
        self._memory.close()


def _with_note(error: BaseException, stacks: str) -> BaseException:
    if stacks:
        error.add_note(f"\n{stacks}")
    return error


def _set_wakeup(descriptor: int) -> int:
    return signal.set_wakeup_fd(descriptor, warn_on_full_buffer=False)


def _forget_wakeup() -> None:
    _set_wakeup(-1)


@functools.cache
def _forget_wakeup_in_forks() -> None:
    """Let no process that a test forks tell the watchdog of its own signals; once for this process."""
    os.register_at_fork(after_in_child=_forget_wakeup)
