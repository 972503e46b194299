"""What tests may do to the process that they run in, and to its children."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from testkit.core.errors import ExitStatus

_getpid = os.getpid  # tests patch that of the module
_REAL_TIME = hasattr(signal, "SIGRTMIN")
DUMP = signal.SIGRTMIN + 7 if _REAL_TIME else signal.SIGUSR2
"""The signal at which a process of a run writes the stacks of its threads, even from within C code."""
TIME_IS_UP = signal.SIGRTMIN + 8 if _REAL_TIME else signal.SIGUSR1
"""The signal at which a run ends the test that it runs."""


@contextmanager
def honest_exits() -> Iterator[None]:
    """Let no test end the process by ``os._exit(0)``, which would look like a good run, for the block.

    Children that a test forks may end as they like.
    """
    real, process = os._exit, _getpid()

    def exit_honestly(status: int) -> NoReturn:
        if _getpid() == process:
            os.write(
                2, f"\ntestkit: a test ended the process by os._exit({status}); the run is not complete\n".encode()
            )
            status = status or ExitStatus.RUN_FAILED
        real(status)

    os._exit = exit_honestly
    try:
        yield
    finally:
        os._exit = real


def end_child(problems: list[str]) -> NoReturn:
    """End a child process that a test forked and let fall out of the test: the rest of the run is its parent's."""
    for text in problems:
        print(f"testkit: in a process that a test forked:\n{text}", file=sys.stderr, flush=True)
    os._exit(1 if problems else 0)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ignore SIGINT and SIGTERM for the block, which ends what they would: a clean-up that is cut short leaves things."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def ending_of(status: int, cut_off: int) -> str:
    """Return in words how a process ended whose status is ``status`` (``-N`` for signal N)."""
    if status == cut_off:
        return "it could not reach the run any more (a test has closed file descriptors that are not its own?)"
    if status >= 0:
        return f"the process ended with exit status {status} (os._exit?)"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    hint = " (out of memory?)" if name == "SIGKILL" else ""
    return f"the process was ended by {name}{hint}"


def end_marked(mark: str) -> None:
    """Kill all processes that were started with ``mark`` in their environment; on Linux, which tells of that."""
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError, ValueError):
            if mark.encode() in path.read_bytes():
                os.kill(int(path.parent.name), signal.SIGKILL)


def kill_group(leader: int, number: int) -> None:
    """Send the signal ``number`` to the process group of ``leader``; nothing happens when there is none any more."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


def is_stopped(process: int) -> bool:
    """Return whether ``process`` is stopped (by SIGSTOP, or a debugger); where that cannot be told, it is."""
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in (b"T", b"t")
    except (OSError, IndexError):
        return True


def mark_of(folder: str, worker: str = "") -> str:
    """Return what the environment of a worker, and of whatever it starts, has in it: the run's ``folder``, its name."""
    return f"TESTKIT_MARK={os.path.basename(folder)}/{worker}"
