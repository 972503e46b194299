"""The output of a worker process: all that it, and its children, write to stdout and stderr, test by test.

A worker's own capture is one of file descriptors, so that a process that is killed has left behind what it printed.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from testkit.core.paths import path_below
from testkit.core.text import cut_middle
from testkit.execution.capture import LIMIT

_TAIL = 4_000
"""How many characters of what a lost worker printed last are told."""


class Files(NamedTuple):
    """The files that one worker process writes, for its parent to read when it is lost."""

    stdout: Path
    stderr: Path
    stacks: Path
    """What faulthandler writes: the stacks of a crash, and those that the parent asks for."""

    @classmethod
    def of_worker(cls, folder: Path, worker: str) -> Files:
        """Return the files of ``worker`` below ``folder``."""
        return cls(*(path_below(folder, f"{worker}.{name}") for name in cls._fields))

    def create(self) -> None:
        """Make them anew, empty."""
        for path in self:
            path.unlink(missing_ok=True)  # a child of the last worker of this name may still write to the old one
            path.touch()

    def size(self) -> int:
        """Return how many bytes were printed since the last test ended."""
        with suppress(OSError):
            return self.stdout.stat().st_size + self.stderr.stat().st_size
        return 0

    def last_output(self) -> str:
        """Return the end of what was printed since the last test ended, stdout before stderr."""
        return "".join(_end_of(path) for path in (self.stdout, self.stderr))


def _end_of(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 4 * _TAIL))
            return file.read().decode("utf-8", "backslashreplace")[-_TAIL:]
    except OSError:
        return ""


class OutputFiles:
    """Stdout and stderr of a worker as files, and a ``Capture`` to the recorder."""

    def __init__(self, files: Files, limit: int = LIMIT) -> None:
        """Turn stdout and stderr of this process into ``files``, for good; ``limit`` is in characters."""
        self._limit = limit
        self._descriptors = [_redirect(files.stdout, "stdout", 1), _redirect(files.stderr, "stderr", 2)]

    def take(self) -> tuple[str, str]:
        """Return what went to stdout and stderr since the last call."""
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError, AttributeError):
                continue  # a test has closed or replaced it
        stdout, stderr = (self._take(descriptor) for descriptor in self._descriptors)
        return stdout, stderr

    def _take(self, descriptor: int) -> str:
        size = os.fstat(descriptor).st_size
        if not size:
            return ""
        # In bytes, of which a character has one or more: never less than what is kept.
        kept = 4 * self._limit
        if size <= 2 * kept:
            text, missing = os.pread(descriptor, size, 0).decode("utf-8", "backslashreplace"), 0
        else:
            head, tail = os.pread(descriptor, kept, 0), os.pread(descriptor, kept, size - kept)
            text = f"{head.decode('utf-8', 'backslashreplace')[: self._limit]}"
            text += tail.decode("utf-8", "backslashreplace")[-self._limit :]
            missing = size - 2 * self._limit
        os.ftruncate(descriptor, 0)
        return cut_middle(text, self._limit, missing)

    @contextmanager
    def showing(self) -> Iterator[None]:
        """Change nothing: a worker has no terminal to show anything on."""
        yield


class _Stream(io.TextIOWrapper):
    def close(self) -> None:
        """Stay open: the stream is the process's, not the test's."""
        self.flush()


def _redirect(path: Path, name: str, number: int) -> int:
    """Make ``path`` the descriptor ``number`` and the stream ``sys.name``; return a descriptor of our own for it."""
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
    os.dup2(descriptor, number)  # inherited by what a test starts
    stream = _Stream(open(number, "wb", closefd=False), "utf-8", "backslashreplace", line_buffering=True)  # noqa: SIM115
    setattr(sys, name, stream)
    setattr(sys, f"__{name}__", stream)
    return descriptor
