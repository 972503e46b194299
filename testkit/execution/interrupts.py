"""What Ctrl-C and SIGTERM do: the first lets the running test end, the second ends it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

GRACE = {signal.SIGINT: 30.0, signal.SIGTERM: 3.0}
"""How many seconds the running test has to end by itself. CI systems follow SIGTERM with SIGKILL after some 10 s."""


class Interrupted(KeyboardInterrupt):
    """The run is to end now. unittest passes a KeyboardInterrupt on rather than calling it a test's error."""


class Interrupts:
    """Handles SIGINT and SIGTERM while it is entered; in the main thread only, since Python allows no other.

    Before and between runs of tests a signal ends the process's work at once, by :class:`Interrupted`. Within
    :meth:`stopping`, and once :attr:`received` names a signal, the first one only asks to stop.
    """

    def __init__(self) -> None:
        self.received = ""
        self._stop: Callable[[], None] | None = None
        self._timer: threading.Timer | None = None
        self._before: dict[signal.Signals, Any] = {}

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
        self._disarm()
        for number, handler in self._before.items():
            # None: the handler was not set from Python, and Python cannot set it again.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    @contextmanager
    def stopping(self, stop: Callable[[], None]) -> Iterator[None]:
        """Call ``stop`` at the first signal, for the block; bounded by ``GRACE``."""
        self._stop = stop
        self.install()
        try:
            yield
        finally:
            self._stop = None
            self._disarm()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        first, self.received = not self.received, self.received or name
        if self._stop is None or not first:
            self._disarm()
            raise Interrupted(name)
        self._stop()
        grace = GRACE[signal.Signals(number)]
        # Not print(): a signal may have come in the middle of a write to the same stream.
        os.write(2, f"\n{name}: letting the running test end for up to {grace:.0f} s (again: end it now)\n".encode())
        self._timer = threading.Timer(grace, os.kill, (os.getpid(), number))
        self._timer.daemon = True
        self._timer.start()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
