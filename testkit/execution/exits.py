"""The end of a run's process, which has to come: a thread or an exit handler of the tests may keep it for ever."""

from __future__ import annotations

import atexit
import faulthandler
import os
import signal
import sys
import threading
from contextlib import suppress
from functools import partial
from types import FrameType

GRACE = 10.0
"""Seconds that threads and exit handlers have when all else has ended."""
LAST_GRACE = 3.0
"""Seconds more, after which the process is ended even if it handles no signal."""

_exit = os._exit  # tests patch that of the module


def limit_exit(status: int, grace: float = GRACE) -> None:
    """End the process ``grace`` seconds after Python has begun to end it, if it is still there then.

    Nothing happens before Python begins to. A process that does not even handle signals any more is ended a little
    later by faulthandler, which shows all stacks; its exit status is 1 then.

    Args:
        status: the exit status of a process that has to be ended so.
        grace: how long it may take, in seconds.
    """
    begin = partial(_begin, os.getpid(), status, grace)
    # Python waits for threads before it calls exit handlers; what is registered with `threading` comes before both.
    getattr(threading, "_register_atexit", atexit.register)(begin)


def _begin(process: int, status: int, grace: float) -> None:
    if os.getpid() != process or threading.current_thread() is not threading.main_thread():
        return
    if sys.__stderr__ is not None:
        with suppress(OSError, ValueError):  # a test has closed it
            faulthandler.dump_traceback_later(grace + LAST_GRACE, exit=True, file=sys.__stderr__)
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, partial(_end, status, grace))
        signal.setitimer(signal.ITIMER_REAL, grace)


def _end(status: int, grace: float, number: int, frame: FrameType | None) -> None:
    main = threading.main_thread()
    threads = [thread.name for thread in threading.enumerate() if thread is not main and not thread.daemon]
    kept_by = f"threads that do not end: {', '.join(threads)}" if threads else "an exit handler"
    text = f"testkit: the process did not end within {grace:g} s and was ended with status {status}. Kept by {kept_by}."
    advice = " --leaks names the tests that leave threads behind." if threads else ""
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
        os.write(2, f"\n{text}{advice}\n".encode(errors="backslashreplace"))
    _exit(status)
