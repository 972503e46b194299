"""The process in which system checks run beside the tests: what it leaves alone, and what it tells."""

from __future__ import annotations

import faulthandler
import gc
import io
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import IO, Any, NamedTuple, NoReturn

from django.core.management.base import CommandError, SystemCheckError
from django.db import connections

from testkit.core.errors import TestkitError
from testkit.databases.targets import is_in_memory, name_of

_exit = os._exit  # tests patch that of the module
STACKS = signal.SIGUSR2 if hasattr(signal, "SIGUSR2") else None
"""The signal at which the process prints its stacks."""
_foreign: list[Any] = []  # connections of the parent's: to be collected, they would be closed


class Failure(NamedTuple):
    """Why the checks did not end well."""

    kind: str
    """What was raised: ``checks``, ``command``, ``exit``, or something else."""
    text: str
    status: int = 1

    def error(self) -> BaseException:
        """Return what Django would have raised, or a :class:`TestkitError` that has the traceback of something else."""
        match self.kind:
            case "checks":
                return SystemCheckError(self.text, returncode=self.status)
            case "command":
                return CommandError(self.text, returncode=self.status)
            case "exit":
                return SystemExit(self.text or self.status)
        return TestkitError(self.text)


def be_child(
    parent: int,
    run: Callable[[], None],
    warning: Callable[[], str] | None,
    printed: tuple[IO[bytes], ...],
    writer: int,
    mask: Collection[int],
) -> NoReturn:
    """Run the checks, tell how it went and then what there is to warn of; leave all that is the parent's as it is."""
    try:
        gc.freeze()  # what the parent has is not collected here: a file would be flushed, a connection closed
        _leave_run(parent, mask)
        old = sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__
        _print_into(printed)
        _foreign.extend(_take_connections_away())
        told = _outcome_of(run)
        with suppress(Exception):
            connections.close_all()  # no session of the checks' is to outlive them
        for stream in (*old, sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()  # type: ignore[union-attr]  # under pythonw there is none
        _tell(writer, told)
        if warning is not None:
            _tell(writer, warning())
        _exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        _exit(1)


def _tell(writer: int, told: Any) -> None:
    data = json.dumps(told).encode() + b"\n"
    while data:
        data = data[os.write(writer, data) :]


def _leave_run(parent: int, mask: Collection[int]) -> None:
    """Be a process that no signal to the run's group reaches, and that dies with the run."""
    with suppress(OSError):
        os.setpgid(0, 0)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG, prctl(2)
    if os.getppid() != parent:  # it has died before that
        _exit(1)


def _print_into(files: tuple[IO[bytes], ...]) -> None:
    """Let everything that this process prints go to ``files``, looking as it would on the parent's terminal."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    is_terminal = sys.stdout.isatty(), sys.stderr.isatty()
    for number, file in enumerate(files, start=1):
        os.dup2(file.fileno(), number)
    sys.stdout, sys.stderr = map(_Printed, (1, 2), is_terminal)
    faulthandler.enable(2)
    if STACKS is not None:
        faulthandler.register(STACKS, 2)


class _Printed(io.TextIOWrapper):
    """A standard stream that is a file, and says of itself that it is a terminal if the run's is one."""

    def __init__(self, descriptor: int, is_terminal: bool) -> None:
        raw: Any = io.FileIO(descriptor, "w", closefd=False)
        super().__init__(raw, encoding="utf-8", errors="backslashreplace", write_through=True)
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


def _take_connections_away() -> list[Any]:
    """Take what the parent has open away from Django's connections, which open their own when asked, and return it.

    A database in memory stays: the fork has a copy of its own.
    """
    taken = []
    for connection in connections.all(initialized_only=True):
        if connection.connection is not None and not (
            connection.vendor == "sqlite" and is_in_memory(name_of(connection))
        ):
            taken.append(connection.connection)
            connection.connection = None
    return taken


def _outcome_of(run: Callable[[], None]) -> Mapping[str, Any]:
    """Run it and return the fields of a :class:`Failure`, with no ``kind`` when it went well."""
    kind, text, status = "", "", 1
    try:
        run()
    except TestkitError as error:
        kind, text = "testkit", str(error)
    except CommandError as error:
        kind = "checks" if isinstance(error, SystemCheckError) else "command"
        text, status = str(error), error.returncode
    except SystemExit as error:
        is_number = error.code is None or isinstance(error.code, int)
        kind, text, status = "exit", "" if is_number else str(error.code), int(error.code or 0) if is_number else 1
    except BaseException as error:
        summary = "".join(traceback.format_exception_only(error)).strip()
        kind, text = "error", f"the system checks failed: {summary}\n{traceback.format_exc()}".rstrip()
    return Failure(kind, text, status)._asdict()
