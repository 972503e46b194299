"""WebDriver servers of this machine: each with a keeper beside it, so that none outlives its process."""

from __future__ import annotations

import os
import re
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from testkit.screenshots.browsers import fonts, keeper
from testkit.screenshots.errors import ScreenshotError

START_SECONDS = 60.0
"""A server answers within a second; the rest is patience with a loaded machine."""
MEMORY = "/dev/shm"
PLENTY = 2 << 30
"""Bytes of which a browser's folder takes no part that others would miss; it grows to some 50 MB."""
LONGEST = 40
"""Characters that the path of the folder for temporary files may have."""
PORTS = 3
"""How many ports are tried: one that was free may be taken by another process meanwhile, also by IPv4 alone."""
_PORT = re.compile(rb"(?:started successfully on port|Listening on 127\.0\.0\.1:)\s*(\d+)")
_getpid = os.getpid  # tests patch that of the module


class _Ended(Exception):
    """A server has ended by itself, perhaps as another one has its port."""


class Service:
    """What Selenium's drivers want of a service: ``path``, ``start()``, ``service_url`` and ``stop()``.

    Selenium's own takes a port that it found free a moment before, which another worker may have taken since, stops the
    server of its parent in a forked child, and leaves browsers behind when the process is killed.
    """

    def __init__(
        self,
        path: str,
        arguments: Sequence[str],
        *,
        chooses_port: bool = True,
        port_in: re.Pattern[bytes] | None = _PORT,
        environment: Mapping[str, str] | None = None,
        beside: Service | None = None,
    ) -> None:
        """Describe a server.

        Args:
            path: of the program.
            arguments: its own; ``{port}`` in them stands for the port.
            chooses_port: whether it finds one itself when it is told 0.
            port_in: finds the port in what it prints; None for a server that prints nothing.
            environment: what it needs in its environment.
            beside: another one that is stopped with it.
        """
        self.path = path
        self.folder = Path()
        """The browser's own, for all its files; removed at its end."""
        self._arguments = arguments
        self.port = 0
        """Where it listens."""
        self._chooses_port = chooses_port
        self._port_in = port_in
        self._environment = environment or {}
        self._beside = beside
        self._keeper = 0
        self._pipe = -1
        self._owner = 0

    @property
    def service_url(self) -> str:
        """The server's address."""
        return f"http://127.0.0.1:{self.port}"

    def env_path(self) -> str | None:
        """Return nothing: which server is used, the settings say."""
        return None

    def prepare(self) -> Path:
        """Make the browser's folder, and return it."""
        self.folder = Path(tempfile.mkdtemp(prefix="testkit-browser-", dir=_parent()))
        return self.folder

    def start(self) -> None:
        """Start the server, and wait until it answers.

        Raises:
            ScreenshotError: it does not, or ends; the message has what it printed.
        """
        try:
            for chance in reversed(range(PORTS)):
                try:
                    self._start(0 if self._chooses_port else _free_port())
                    return
                except _Ended as ended:
                    if not chance:
                        raise ScreenshotError(str(ended)) from None
        except BaseException:
            self.stop()  # with the one beside it
            raise

    def _start(self, port: int) -> None:
        if not self.folder.name:
            self.prepare()
        self.folder.mkdir(mode=0o700, exist_ok=True)  # again, after a start in vain
        command = [self.path, *(argument.format(port=port) for argument in self._arguments)]
        python = [sys.executable, "-I", "-S", keeper.__file__, str(_getpid()), str(self.folder)]
        reader, self._pipe = os.pipe()
        self._owner = _getpid()
        with os.fdopen(reader, "rb"), open(self.folder / "driver.log", "w+b") as log:
            actions = [
                (os.POSIX_SPAWN_DUP2, reader, 0),
                (os.POSIX_SPAWN_DUP2, log.fileno(), 1),
                (os.POSIX_SPAWN_DUP2, log.fileno(), 2),
            ]
            # What ends the processes of a worker of ours by this mark would leave the keeper's folder behind.
            environment = {name: value for name, value in os.environ.items() if name != "TESTKIT_MARK"}
            environment |= {**fonts.environment(self.folder), **self._environment}
            try:
                self._keeper = os.posix_spawn(python[0], [*python, *command], environment, file_actions=actions)
                self.port = self._await_port(port, log)
            except BaseException:
                self._end()
                raise

    def _await_port(self, port: int, log: BinaryIO) -> int:
        """Return where the server listens, as soon as it does, by what it prints to ``log``."""
        deadline = time.monotonic() + START_SECONDS
        is_running, printed = True, b""
        while time.monotonic() < deadline and is_running:
            is_running = self.is_running()  # before what it printed last is read
            printed += os.pread(log.fileno(), 1 << 16, len(printed))
            if self._port_in is None:
                with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    return port
            elif match := self._port_in.search(printed):
                return int(match[1])
            time.sleep(0.005)
        text = printed.decode(errors="replace").strip()[-2000:]
        error = ScreenshotError if is_running else _Ended
        raise error(f"{self.path} did not start; it printed: {text or 'nothing'}")

    def is_running(self) -> bool:
        """Return whether the server runs still."""
        if not self._keeper or self._owner != _getpid():
            return False
        with suppress(ChildProcessError):
            if os.waitpid(self._keeper, os.WNOHANG) == (0, 0):
                return True
        self._keeper = 0
        self._close_pipe()
        return False

    def stop(self) -> None:
        """End the server and the browser, and wait until nothing is left of them; not those of a parent process."""
        self._end()
        if self._beside is not None:
            self._beside.stop()

    def _end(self) -> None:
        if self._owner not in (0, _getpid()):
            return
        if self._keeper:
            self._close_pipe()
            with suppress(ChildProcessError):
                os.waitpid(self._keeper, 0)
            self._keeper = 0
        if self.folder.name:
            shutil.rmtree(self.folder, ignore_errors=True)  # by the keeper, if one was started and lives

    def _close_pipe(self) -> None:
        pipe, self._pipe = self._pipe, -1
        if pipe != -1:
            with suppress(OSError):
                os.write(pipe, b"\n")  # its end alone says nothing: processes that were forked have it open, too
            with suppress(OSError):
                os.close(pipe)


def _parent() -> str | None:
    """Return where a browser's folder is made; None for where temporary files are."""
    if free_memory() > PLENTY:
        return MEMORY  # to throw away what sites have stored takes a third of the time there
    # Browsers keep sockets in it, whose paths must be shorter than 108 bytes.
    return "/tmp" if len(tempfile.gettempdir()) > LONGEST else None


def free_memory() -> int:
    """Return how many bytes of shared memory are free: 64 MB in many containers; plenty, where there is no such thing."""
    try:
        found = os.statvfs(MEMORY)
    except OSError:
        return PLENTY
    return found.f_frsize * found.f_bavail


def find_program(given: str, names: Sequence[str], what: str, remedy: str) -> str:
    """Return the path of a program: the one that is ``given``, or the first of ``names`` on the PATH.

    Raises:
        ScreenshotError: there is none; the message says ``what`` is missing, and the ``remedy``.
    """
    if given:
        if found := shutil.which(given):
            return found
        raise ScreenshotError(f"{what} cannot be run from {given!r}: there is no such program")
    for name in names:
        if found := shutil.which(name):
            return found
    raise ScreenshotError(f"{what} is not on the PATH (looked for {', '.join(names)}): {remedy}")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
