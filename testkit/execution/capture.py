"""Keeping what tests print, test by test, while it is shown as it comes."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, BinaryIO, Self, TextIO

LIMIT = 1_000_000
"""How many characters of one stream are kept for one test; what is longer is cut in the middle."""


class Kept:
    """Text that grows: all of it up to the limit, then its beginning and its end."""

    __slots__ = ("_dropped", "_head", "_limit", "_parts", "_size")

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._reset()

    def _reset(self) -> None:
        self._head = ""
        self._parts: list[str] = []
        self._size = 0
        self._dropped = 0

    def add(self, text: str) -> None:
        """Append ``text``."""
        self._parts.append(text)
        self._size += len(text)
        if self._size > 2 * self._limit:
            self._shorten()

    def take(self) -> str:
        """Return what was kept, with a note where something was cut out, and begin anew."""
        if not self._parts and not self._head:
            return ""
        if self._dropped or self._size > self._limit:
            self._shorten()
        note = f"\n[… {self._dropped:,} characters were cut out here …]\n" if self._dropped else ""
        text = self._head + note + "".join(self._parts)
        self._reset()
        return text

    def _shorten(self) -> None:
        half = self._limit // 2
        text = "".join(self._parts)
        if not self._head:
            self._head, text = text[:half], text[half:]
        tail = text[-half:]
        self._dropped += len(text) - len(tail)
        self._parts, self._size = [tail], len(tail)


class _TeeBytes(io.RawIOBase):
    """What ``sys.stdout.buffer`` is: bytes go on to the real one, and are kept as text."""

    def __init__(self, original: BinaryIO | None, kept: Kept) -> None:
        self._original = original
        self._kept = kept

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        data = bytes(data)
        self._kept.add(data.decode("utf-8", "backslashreplace"))
        if self._original is not None:
            self._original.write(data)
        return len(data)

    def flush(self) -> None:
        if self._original is not None:
            self._original.flush()


class Tee(io.TextIOBase):
    """A stream that keeps what is written and, when ``show``, writes it to the original."""

    def __init__(self, original: TextIO, kept: Kept, show: bool) -> None:
        self.original = original
        self.show = show
        self._kept = kept

    def write(self, text: str) -> int:
        if self.show:
            self.original.write(text)
        self._kept.add(text)
        return len(text)

    def flush(self) -> None:
        if self.show:
            self.original.flush()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self.original.isatty()

    def fileno(self) -> int:
        return self.original.fileno()

    def close(self) -> None:
        """Stay open: the stream is the process's, not the test's."""

    # TextIOBase has these as attributes of its own, so __getattr__ would not be asked.
    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.original.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return self.original.errors

    @property
    def buffer(self) -> BinaryIO:
        original = getattr(self.original, "buffer", None) if self.show else None
        if original is not None:
            self.original.flush()
        return _TeeBytes(original, self._kept)  # type: ignore[return-value]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)


class Capture:
    """Stands in for ``sys.stdout`` and ``sys.stderr`` while it is entered.

    Log handlers that were set up before, and write to the real streams, write here too, so that what Django logs
    during a test is kept with that test.
    """

    def __init__(self, *, show: bool, limit: int = LIMIT) -> None:
        """``show`` says whether what is printed also goes to the real streams; ``limit`` is in characters."""
        self._show = show
        self._stdout, self._stderr = Kept(limit), Kept(limit)
        self._redirected: list[tuple[logging.StreamHandler[Any], Any]] = []

    def __enter__(self) -> Self:
        self._tees = (Tee(sys.stdout, self._stdout, self._show), Tee(sys.stderr, self._stderr, self._show))
        streams = {id(tee.original): tee for tee in self._tees}
        for handler in _stream_handlers():
            tee = streams.get(id(handler.stream))
            if tee is not None:
                self._redirected.append((handler, handler.stream))
                handler.stream = tee
        sys.stdout, sys.stderr = self._tees
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        sys.stdout, sys.stderr = (tee.original for tee in self._tees)
        for handler, stream in self._redirected:
            handler.stream = stream
        self._redirected.clear()

    def take(self) -> tuple[str, str]:
        """Return what went to stdout and stderr since the last call."""
        return self._stdout.take(), self._stderr.take()

    @contextmanager
    def showing(self) -> Iterator[None]:
        """Show everything for the block, as a debugger needs it."""
        before = [tee.show for tee in self._tees]
        for tee in self._tees:
            tee.show = True
        try:
            yield
        finally:
            for tee, show in zip(self._tees, before, strict=True):
                tee.show = show


def _stream_handlers() -> Iterator[logging.StreamHandler[Any]]:
    loggers = [logging.getLogger(), *logging.root.manager.loggerDict.values()]
    for logger in loggers:
        for handler in getattr(logger, "handlers", ()):  # placeholders of loggers not made yet have none
            if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
                yield handler
