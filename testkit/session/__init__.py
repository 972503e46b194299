"""The session: from options to one run of tests. The one place where all rooms meet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from testkit.session.host import Host
from testkit.session.options import CACHE, GROUPS, RunOptions, resolve_options

if TYPE_CHECKING:
    from testkit.session.run import Session

__all__ = ["CACHE", "GROUPS", "Host", "RunOptions", "Session", "resolve_options"]


def __getattr__(name: str) -> Any:
    if name != "Session":  # which a process needs that runs tests by it, and not one that asks for options
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from testkit.session.run import Session

    return Session
