"""Keeping what tests print, test by test, while it is shown as it comes."""

from __future__ import annotations

import codecs
import io
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, BinaryIO, Self, TextIO

from testkit.core.debugger import before_debugger
from testkit.core.text import cut_middle

LIMIT = 1_000_000
"""How many characters of one stream are kept for one test; what is longer is cut in the middle."""


class Kept:
    """Text that grows, and keeps of itself what :func:`cut_middle` would: memory is bounded by some four limits."""

    def __init__(self, limit: int = LIMIT) -> None:
        """``limit`` is in characters."""
        self._limit = limit
        self._lock = threading.Lock()  # tests have threads, and these print
        self._reset()

    def _reset(self) -> None:
        self._head = ""
        self._text = io.StringIO()
        self._size = 0
        self._missing = 0

    def add(self, text: str) -> None:
        """Append ``text``."""
        with self._lock:
            self._append(text)

    def _append(self, text: str) -> None:
        if len(text) > self._limit:
            # Piece by piece: a copy of something huge would be as huge.
            for start in range(0, len(text), self._limit):
                self._append(text[start : start + self._limit])
            return
        self._size += self._text.write(text)
        if self._size > 2 * self._limit:
            self._drop_middle()

    def _drop_middle(self) -> None:
        text = self._text.getvalue()
        if not self._head:
            self._head, text = text[: self._limit], text[self._limit :]
        tail = text[-self._limit :]
        self._missing += len(text) - len(tail)
        self._text = io.StringIO()
        self._size = self._text.write(tail)

    def take(self) -> str:
        """Return what was kept, with a note where something was cut out, and begin anew."""
        if not self._size:
            return ""
        with self._lock:
            text = cut_middle(self._head + self._text.getvalue(), self._limit, self._missing)
            self._reset()
            return text


class Tee(io.TextIOBase):
    """A stream that keeps what is written and, when ``show``, writes it to the original."""

    def __init__(self, original: TextIO, kept: Kept, show: bool) -> None:
        self.original = original
        self.show = show
        self._kept = kept
        self._bytes = _TeeBytes(self)

    def write(self, text: str) -> int:
        if self.show:
            self.original.write(text)
            if "\n" in text:
                # A pipe or file would hold it back, for the log of a slow test to stay empty until the end.
                self.original.flush()
        self._kept.add(text)
        return len(text)

    def keep(self, text: str) -> None:
        """Keep ``text``, which was written to the original by another way."""
        self._kept.add(text)

    def flush(self) -> None:
        if self.show:
            self.original.flush()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self.show and self.original.isatty()

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
    def newlines(self) -> Any:  # type: ignore[override]
        return self.original.newlines

    @property
    def buffer(self) -> BinaryIO:
        return self._bytes  # type: ignore[return-value]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)


class _TeeBytes(io.RawIOBase):
    """What ``sys.stdout.buffer`` is: bytes go on to the real one, and are kept as text."""

    def __init__(self, tee: Tee) -> None:
        self._tee = tee
        # UTF-8 whatever the terminal's encoding is; a character may come in two writes.
        self._decode = codecs.getincrementaldecoder("utf-8")("backslashreplace").decode

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._tee.fileno()

    def isatty(self) -> bool:
        return self._tee.isatty()

    def write(self, data: Any) -> int:
        data = bytes(data)
        text = self._decode(data)
        if not self._tee.show:
            self._tee.keep(text)
        elif hasattr(self._tee.original, "buffer"):
            self._tee.original.buffer.write(data)
            self._tee.keep(text)
        else:
            self._tee.write(text)
        return len(data)

    def flush(self) -> None:
        original = getattr(self._tee.original, "buffer", None)
        if self._tee.show and original is not None:
            original.flush()

    def close(self) -> None:
        """Stay open, as the stream itself does."""


class Capture:
    """Stands in for ``sys.stdout`` and ``sys.stderr`` while it is entered.

    Log handlers that were set up before, and write to the real streams, write here too, so that what Django logs
    during a test is kept with that test.
    """

    def __init__(self, *, show: bool, limit: int = LIMIT) -> None:
        """``show`` says whether what is printed also goes to the real streams; ``limit`` is in characters."""
        self._show = show
        self._stdout, self._stderr = Kept(limit), Kept(limit)
        self._tees: tuple[Tee, ...] = ()
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        for name, kept in (("stdout", self._stdout), ("stderr", self._stderr)):
            stream = getattr(sys, name)
            if stream is not None:  # as it is under pythonw and some daemons
                self._tees += (self._put_in_place(name, Tee(stream, kept, self._show)),)
        if not self._show:
            self._undo.enter_context(before_debugger(self._show_all))
        return self

    def _put_in_place(self, name: str, tee: Tee) -> Tee:
        for handler in _stream_handlers():
            if handler.stream is tee.original:
                handler.stream = tee
                self._undo.callback(_put_back, handler, tee)
        setattr(sys, name, tee)
        self._undo.callback(setattr, sys, name, tee.original)
        return tee

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._undo.close()
        # A test's thread or log handler may go on writing to the stream that it found.
        self._show_all()

    def take(self) -> tuple[str, str]:
        """Return what went to stdout and stderr since the last call."""
        return self._stdout.take(), self._stderr.take()

    def _show_all(self) -> None:
        for tee in self._tees:
            tee.show = True

    @contextmanager
    def showing(self) -> Iterator[None]:
        """Show everything for the block, as a debugger needs it."""
        before = [tee.show for tee in self._tees]
        self._show_all()
        try:
            yield
        finally:
            for tee, show in zip(self._tees, before, strict=True):
                tee.show = show


def _put_back(handler: logging.StreamHandler[Any], tee: Tee) -> None:
    if handler.stream is tee:  # or else a test has given it another, to stay
        handler.stream = tee.original


def _stream_handlers() -> Iterator[logging.StreamHandler[Any]]:
    loggers = [logging.getLogger(), *logging.root.manager.loggerDict.values()]
    for logger in loggers:
        for handler in getattr(logger, "handlers", ()):  # placeholders of loggers not made yet have none
            if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
                yield handler
