"""Django's system checks beside the first tests rather than before them.

The checks run in a forked process: they change nothing that tests see, and on a big project they are most of the time
that is left until the first test. Where there is no fork to be had they run where Django has them.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import IO, Literal

from django.apps import apps
from django.db import connections

from testkit.core.clock import clock
from testkit.core.errors import TestkitError
from testkit.databases.checks_process import STACKS, Failure, be_child
from testkit.databases.migrations import describe_missing

Missing = Literal["ignore", "warn", "fail"]
"""What comes of changes to models that have no migration."""

_getpid = os.getpid  # tests patch that of the module
_HELD = {signal.SIGINT, signal.SIGTERM}
_STACK_TIME = 0.3
_SLICE = 0.2
"""Seconds after which a process is looked at that says nothing: something that it started may keep its pipe open."""
_NO_ISSUES = re.compile(r"^System check identified no issues \(\d+ silenced\)\.\n", re.MULTILINE)
"""What is no news when the tests have passed."""


class Beside:
    """The system checks of one run, in a process of their own if there can be one.

    Make it before the tests are loaded: models that they define need no migrations. Call :meth:`start`, then
    :meth:`poll` between the tests and :meth:`finish` after them; however the run ends, call :meth:`end`.
    """

    def __init__(self) -> None:
        self.process = 0
        """The id of the process, which leads a group of its own; 0 when there is none, or none any more."""
        self._models = {(label, name) for label, models in apps.all_models.items() for name in models}
        self._owner = _getpid()
        self._pipe = -1
        self._told = b""
        self._printed: tuple[IO[bytes], ...] = ()
        self._is_over = False
        self._failure: Failure | None = None

    def start(self, run: Callable[[], None], *, apart: bool, missing: Missing = "warn") -> bool:
        """Begin the checks, and return whether they go on beside this process; if not, they are done.

        Args:
            run: runs the checks as Django's (or the project's) runner does.
            apart: whether they may run beside: there is a core for them, and nothing (coverage) follows what they run.
            missing: what comes of changes to models without a migration. To find them takes time, so a warning is only
                given where the checks run beside, and if it is there when the tests are over.

        Raises:
            Exception: whatever ``run`` raises, when it runs here.
            TestkitError: migrations are missing, when that is looked for here.
        """

        def run_all() -> None:
            run()
            if missing == "fail" and (text := describe_missing(self._models)):
                raise TestkitError(f"--fail-on-missing-migrations: {text}")

        if apart and can_fork() and self._fork(run_all, warns=missing == "warn"):
            return True
        run_all()
        return False

    def _fork(self, run: Callable[[], None], *, warns: bool) -> bool:
        _load_urls()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()  # or both processes would have what is left to write
        printed = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115  # a pipe would be full some day
        reader, writer = os.pipe()
        # No handler of the run's is to raise an interrupt in the child, before that has its own.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
        try:
            process = os.fork()
            if not process:
                warning = partial(describe_missing, self._models) if warns else None
                be_child(self._owner, run, warning, printed, writer, before)
        except OSError:  # no memory, no more processes
            os.close(reader)
            return False
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            os.close(writer)
        with suppress(OSError):  # here and there, as either may come first
            os.setpgid(process, process)
        self.process, self._pipe, self._printed = process, reader, printed
        return True

    def poll(self) -> Failure | None:
        """Return why the checks have failed, and None as long as they have not; it does not wait."""
        self.wait(0.0)
        return self._failure

    def finish(self, timeout: float | None = None) -> None:
        """Wait for the checks, print what they have printed, and raise what they have raised.

        Args:
            timeout: how long to wait, in seconds; None for as long as it takes.

        Raises:
            SystemCheckError: as Django's own, with the same text.
            CommandError: a project's own ``run_checks`` has raised it.
            SystemExit: something in them has called ``sys.exit()``.
            TestkitError: something else was raised, their process has died, or the time is over.
        """
        if _getpid() != self._owner:  # a child that a test forked
            return
        if not self.wait(timeout):
            self._fail(f"the system checks did not end within {timeout:g} s: see the stacks above")
            if STACKS is not None:
                os.kill(self.process, STACKS)
                self.wait(_STACK_TIME)
        warning = self._warning()
        self._end_process()
        self._show()
        if warning:
            print(f"testkit: {warning}", file=sys.stderr)
        if self._failure is not None:
            raise self._failure.error() from None

    def _warning(self) -> str:
        """Return what the process has told of migrations by now."""
        if self.process:
            self._hear(0.0)
        _, _, line = self._told.partition(b"\n")
        return str(json.loads(line)) if line.endswith(b"\n") else ""

    def end(self) -> None:
        """End the process, if it is still there, and forget what it has printed."""
        self._end_process()
        self._forget()

    def _end_process(self) -> None:
        if not self.process or _getpid() != self._owner:
            return
        with suppress(ProcessLookupError, PermissionError):
            # What good checks have started and left may go on, as it does with Django.
            (os.kill if self._is_over else os.killpg)(self.process, signal.SIGKILL)
        self._reap(os.WEXITED)
        self._close_pipe()

    def wait(self, timeout: float | None) -> bool:
        """Wait for the end of the checks, at most ``timeout`` seconds, and return whether it has come; nothing is raised."""
        if _getpid() != self._owner:  # a child that a test forked
            return True
        deadline = None if timeout is None else clock.seconds() + timeout
        while self.process and not self._is_over:
            left = _SLICE if deadline is None else min(_SLICE, max(0.0, deadline - clock.seconds()))
            is_told = self._hear(left)
            if is_told and b"\n" in self._told:
                self._settle(0)
            elif (status := self._reap(os.WEXITED | (0 if is_told else os.WNOHANG))) is not None:
                self._hear(0.0)  # it may have ended after that
                self._settle(status)
                self._close_pipe()
            elif deadline is not None and clock.seconds() >= deadline:
                return False
        return True

    def _hear(self, seconds: float) -> bool:
        """Take in what comes within ``seconds``, and return whether the outcome is there, or nothing more will come."""
        poll = select.poll()
        poll.register(self._pipe, select.POLLIN)
        if not poll.poll(seconds * 1000):
            return False
        try:
            data = os.read(self._pipe, 1 << 20)
        except OSError:  # a test has closed it
            data = b""
        self._told += data
        return not data or b"\n" in self._told

    def _reap(self, how: int) -> int | None:
        """Return the exit status (``-N`` for signal N), or None while there is none; 0 if a test has taken it."""
        try:
            ended = os.waitid(os.P_PID, self.process, how)
        except ChildProcessError:
            self.process = 0
            return 0
        if ended is None:
            return None
        self.process = 0
        return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status

    def _close_pipe(self) -> None:
        with suppress(OSError):  # a test has closed it
            os.close(self._pipe)

    def _settle(self, status: int) -> None:
        self._is_over = True
        line, end, _ = self._told.partition(b"\n")
        if self._failure is not None:
            return
        if end:
            told = json.loads(line)
            self._failure = Failure(**told) if told["kind"] else None
        elif status < 0:
            self._fail(f"the process of the system checks was ended by {signal.Signals(-status).name}")
        else:
            self._fail(f"the process of the system checks ended with exit status {status} before they were done")

    def _fail(self, text: str) -> None:
        self._failure = Failure("lost", f"{text}; --no-checks runs the tests without them")

    def _show(self) -> None:
        for stream, file in zip((sys.stdout, sys.stderr), self._printed, strict=False):
            file.seek(0)
            encoding = getattr(stream, "encoding", None) or "utf-8"
            text = file.read().decode(errors="replace").encode(encoding, "backslashreplace").decode(encoding)
            stream.write(_NO_ISSUES.sub("", text))
            stream.flush()
        self._forget()

    def _forget(self) -> None:
        for file in self._printed:
            file.close()
        self._printed = ()


def can_fork() -> bool:
    """Return whether a process that is forked here now would be whole: not with threads, nor on macOS.

    Nor within a transaction, of which it would see nothing, nor under a debugger.
    """
    if not hasattr(os, "fork") or sys.platform == "darwin" or sys.gettrace() is not None:
        return False
    try:
        threads = len(os.listdir("/proc/self/task"))  # those of C libraries, too
    except OSError:
        threads = threading.active_count()
    return threads == 1 and not any(each.in_atomic_block for each in connections.all(initialized_only=True))


def _load_urls() -> None:
    """Import the URLconf, as the checks do: what is registered by that (receivers of signals) is there in tests."""
    from django.conf import settings
    from django.urls import get_resolver

    if getattr(settings, "ROOT_URLCONF", None):
        with suppress(Exception):  # the checks will raise it as well
            get_resolver().url_patterns  # noqa: B018
