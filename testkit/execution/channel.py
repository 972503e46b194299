"""What a pool and a worker say to each other: lines of plain data over a pair of pipes.

A worker on another machine would need another :class:`Channel`.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from testkit.core.events import Fact, from_plain, to_json

_CHUNK = 1 << 18
_read, _write = os.read, os.write  # tests patch those of the module


class Message(NamedTuple):
    """Something that is no fact: ``kind`` and its plain data."""

    kind: str
    data: Mapping[str, Any]


class Channel(Protocol):
    """A worker's side: leases come in, facts and messages go out."""

    def receive(self) -> Message | None:
        """Wait for the next message; None when the run is gone."""

    def publish(self, fact: Fact) -> None:
        """Send a fact."""

    def send(self, kind: str, **data: Any) -> None:
        """Send a message."""


class ChannelBroken(BaseException):
    """The run cannot be reached any more. Not an Exception: no test is to catch it and go on."""


class PipeChannel:
    """A channel over two file descriptors."""

    def __init__(self, incoming: int, outgoing: int) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._lines = Lines()

    def receive(self) -> Message | None:
        while True:
            for line in self._lines.complete():
                return message(line)
            try:
                data = _read(self._incoming, _CHUNK)
            except OSError as error:
                raise ChannelBroken(str(error)) from error
            if not data:
                return None
            self._lines.add(data)

    def publish(self, fact: Fact) -> None:
        self._write(to_json(fact).encode("ascii"))

    def send(self, kind: str, **data: Any) -> None:
        self._write(encoded(kind, data))

    def _write(self, line: bytes) -> None:
        line += b"\n"
        try:
            # One write as a rule; a pipe takes what is larger than it in parts.
            while line:
                line = line[_write(self._outgoing, line) :]
        except OSError as error:
            raise ChannelBroken(str(error)) from error


class Lines:
    """Bytes that come in pieces, as lines. What follows the last line end is kept until the rest comes."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._complete: deque[bytes] = deque()

    @property
    def unfinished(self) -> int:
        """How many bytes wait for the end of their line."""
        return sum(map(len, self._pieces))

    def add(self, data: bytes) -> None:
        """Take in what was read."""
        head, end, rest = data.rpartition(b"\n")
        if end:
            self._complete.extend(b"".join([*self._pieces, head]).split(b"\n"))
            self._pieces = []
        if rest:
            self._pieces.append(rest)

    def complete(self) -> Iterator[bytes]:
        """Yield the lines that are whole, each once."""
        while self._complete:
            yield self._complete.popleft()


def encoded(kind: str, data: Mapping[str, Any]) -> bytes:
    """Return the line of a message, without its end."""
    return json.dumps([kind, data], separators=(",", ":")).encode("ascii")


def message(line: bytes) -> Message:
    """Return the message in ``line``."""
    return Message(*json.loads(line))


def decoded(line: bytes) -> Fact | Message:
    """Return the fact or the message in ``line``.

    Raises:
        ValueError: it is neither.
    """
    try:
        plain = json.loads(line)
        if isinstance(plain, dict):
            return from_plain(plain["fact"], plain)
        kind, data = plain
    except (TypeError, KeyError, RecursionError) as error:
        raise ValueError(str(error)) from error
    if not (isinstance(kind, str) and isinstance(data, dict)):
        raise ValueError("a message is a word and its data")
    return Message(kind, data)
