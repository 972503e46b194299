"""Keeping forked processes off their parent's sessions of a MySQL or MariaDB server."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

_open: list[Any] = []  # the drivers' connections that this process has opened
_inherited: list[Any] = []


def hold(driver: Any) -> None:
    """Note a connection that forked processes must not use."""
    _open.append(driver)
    with suppress(AttributeError, OSError):
        os.set_inheritable(driver.fileno(), False)


def _leave_to_parent() -> None:
    """Keep a forked process from ending its parent's sessions.

    The driver says good-bye to the server whenever its object is removed, at the latest when the interpreter ends. Its
    socket becomes one end of nothing; the real one stays open in this process, as locks are to last until it ends.
    """
    while _open:
        driver = _open.pop()
        _inherited.append(driver)
        with suppress(AttributeError, OSError):
            os.dup(driver.fileno())
            nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            os.dup2(nowhere, driver.fileno(), inheritable=False)
            os.close(nowhere)


def let_go(driver: Any) -> None:
    """Forget a connection that is about to be closed."""
    _open[:] = [each for each in _open if each is not driver]


if hasattr(os, "register_at_fork"):  # where processes are forked
    os.register_at_fork(after_in_child=_leave_to_parent)
