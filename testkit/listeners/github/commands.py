"""Workflow commands: lines of the log that the service acts on."""

from __future__ import annotations

import re
import secrets
import sys
from contextlib import suppress
from typing import NamedTuple, TextIO

from testkit.core.text import cut_middle, visible

LONGEST_MESSAGE = 4000
"""Characters; the service takes 64 KiB, and readers less."""
LONGEST_TITLE = 250
_DATA = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_PROPERTY = {**_DATA, ":": "%3A", ",": "%2C"}


class Annotation(NamedTuple):
    """A remark at a line of a file, or at none; ``level`` is ``error``, ``warning`` or ``notice``."""

    level: str
    title: str
    message: str
    file: str = ""
    """Its path from the root of the repository."""
    line: int = 0
    end: int = 0
    """The last line, if there are several."""

    def command(self) -> str:
        """Return the line that makes it."""
        places = {"file": self.file, "line": self.line if self.file else 0, "endLine": self.end if self.file else 0}
        told = {name: str(value) for name, value in places.items() if value}
        told["title"] = cut_middle(visible(self.title), LONGEST_TITLE)
        properties = ",".join(f"{name}={_escape(value, _PROPERTY)}" for name, value in told.items())
        message = _escape(cut_middle(visible(self.message), LONGEST_MESSAGE), _DATA)
        # An empty message would make the service pass over it.
        return f"::{self.level} {properties}::{message or self.level}"


def _escape(text: str, codes: dict[str, str]) -> str:
    """Return ``text`` as actions/toolkit writes it (``packages/core/src/command.ts``)."""
    return re.sub("[%\r\n:,]", lambda match: codes.get(match[0], match[0]), text)


class Log:
    """The log of the step, in which nothing that tests print is taken for a command.

    From :meth:`close` to :meth:`open`, the service acts on no command. Only who knows the word can open it again, and each is
    used once.
    """

    def __init__(self, stream: TextIO) -> None:
        """``stream`` is what the console writes to, too."""
        self._stream = stream
        self._word = ""

    def close(self) -> None:
        """Have no command acted on from here on."""
        self._word = secrets.token_hex(16)
        self._write(f"::stop-commands::{self._word}")

    def open(self) -> None:
        """Have commands acted on again."""
        if self._word:
            with suppress(OSError, ValueError):  # nobody reads it any more, or a test has closed it
                sys.stdout.flush()  # what stands in there came before
            self._write(f"::{self._word}::")
            self._word = ""

    def group(self, title: str) -> None:
        """Begin a part of the log that is folded."""
        self._write(f"::group::{_escape(visible(title), _DATA)}")

    def end_group(self) -> None:
        """End it."""
        self._write("::endgroup::")

    def annotate(self, annotation: Annotation) -> None:
        """Make an annotation."""
        self._write(annotation.command())

    def _write(self, line: str) -> None:
        stream = self._stream
        # Whatever a test printed last may not have ended its line, and a command must begin one.
        text = f"\n{line}\n" if self._word else f"{line}\n"
        try:
            stream.write(text)
        except UnicodeEncodeError:
            encoding = stream.encoding or "ascii"
            stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
