"""Making room for a debugger that a test opens."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def before_debugger(make_room: Callable[[], None]) -> Iterator[None]:
    """Call ``make_room``, for the block, each time before ``breakpoint()`` or ``set_trace()`` stops a test.

    That is wherever the debugger is built on the standard library's ``bdb``, as pdb, ipdb and pudb are.
    """
    import bdb  # here, as few runs need it

    set_trace = bdb.Bdb.set_trace

    def make_room_and_trace(debugger: bdb.Bdb, frame: Any = None, **options: Any) -> None:
        make_room()
        # The debugger is to stop in the caller of this function, not in this one.
        set_trace(debugger, frame or sys._getframe().f_back, **options)

    bdb.Bdb.set_trace = make_room_and_trace  # type: ignore[assignment,method-assign]
    try:
        yield
    finally:
        bdb.Bdb.set_trace = set_trace  # type: ignore[method-assign]
