"""What tests may do to the process that they run in, and to its children."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from testkit.core.errors import ExitStatus


@contextmanager
def honest_exits() -> Iterator[None]:
    """Let no test end the process by ``os._exit(0)``, which would look like a good run, for the block.

    Children that a test forks may end as they like.
    """
    real, process = os._exit, os.getpid()

    def exit_honestly(status: int) -> NoReturn:
        if os.getpid() == process:
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
