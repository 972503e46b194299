"""What Ctrl-C and SIGTERM do: the first lets the running test end, the second ends it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any, Self

GRACE = {signal.SIGINT: 30.0, signal.SIGTERM: 3.0}
"""How many seconds the running test has to end by itself. CI systems follow SIGTERM with SIGKILL after some 10 s."""
_getpid = os.getpid  # tests patch that of the module
INSISTENCE = 0.5
"""Seconds after which a test is interrupted again, when it has caught the interrupt and goes on."""


class Interrupted(KeyboardInterrupt):
    """The run is to end now. unittest passes a KeyboardInterrupt on rather than calling it a test's error."""


class Interrupts:
    """Handles SIGINT and SIGTERM while it is entered; in the main thread only, since Python allows no other.

    A run has three phases. Before the tests a signal ends it at once, by :class:`Interrupted`. While they run (within
    :meth:`stopping`) the first one asks to stop, and the next one, or the end of ``GRACE``, interrupts the test. After
    them the reports are written: the first signal of this phase is only noted, and the next one interrupts.
    """

    def __init__(self) -> None:
        self.received = ""
        """The name of the first signal that came, if any."""
        self.end_after: Callable[[float], None] | None = None
        """Sees to it that the running test is interrupted after so many seconds (0: it is not needed any more).

        A watchdog does so, whom no C code keeps from it; without one, a thread.
        """
        self._stop: Callable[[], None] | None = None
        self._was_asked = False
        self._has_run = False
        self._disarmed = threading.Event()
        self._before: dict[signal.Signals, Any] = {}
        self._process = _getpid()

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.getsignal(number) for number in GRACE}
            self.install()
        return self

    def install(self) -> None:
        """Put the handlers in place (again: Django installs unittest's own)."""
        for number in self._before:
            signal.signal(number, self._handle)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._disarmed.set()
        self._put_back()

    def _put_back(self) -> None:
        for number, handler in self._before.items():
            # None: the handler was not set from Python, and Python cannot set it again.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def check(self) -> None:
        """Raise :class:`Interrupted` if a signal came: what is imported may have caught the first one."""
        if self.received:
            raise Interrupted(self.received)

    @contextmanager
    def stopping(self, stop: Callable[[], None]) -> Iterator[None]:
        """Call ``stop`` at the first signal, for the block in which the tests run."""
        self.install()
        self._stop = stop
        try:
            yield
        finally:
            self._disarmed.set()
            if self.end_after is not None:
                self.end_after(0.0)
            self._stop, self._was_asked, self._has_run = None, False, True

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if _getpid() != self._process:
            # A child that a test forked: it is not the run, and has to end when it is told to.
            self._put_back()
            signal.raise_signal(number)
            return
        name = signal.Signals(number).name
        self.received = self.received or name
        is_first, self._was_asked = not self._was_asked, True
        if not is_first or not (self._stop or self._has_run):
            raise Interrupted(name)
        if self._stop is None:
            _tell(f"{name}: writing the reports first (again: end it now)")
            return
        self._stop()
        grace = GRACE[signal.Signals(number)]
        _tell(f"{name}: the running test has {grace:.0f} s to end (again: end it now)")
        if self.end_after is not None:
            self.end_after(grace)
            return
        self._disarmed = threading.Event()
        threading.Thread(
            target=_send_after, args=(number, grace, self._disarmed), name="testkit grace", daemon=True
        ).start()


def _send_after(number: int, seconds: float, disarmed: threading.Event) -> None:
    """Send signal ``number`` to the main thread after ``seconds``, and again and again, until ``disarmed``."""
    while not disarmed.wait(seconds):
        # To that thread, as it may wait in a system call that goes on when another one gets the signal.
        signal.pthread_kill(threading.main_thread().ident or 0, number)
        seconds = INSISTENCE


def _tell(text: str) -> None:
    # Not print(): the signal may have come in the middle of a write to the same stream.
    with suppress(OSError):
        os.write(2, f"\n{text}\n".encode())
