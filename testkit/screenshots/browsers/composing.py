"""Classes of drivers: Selenium's, with what a test case adds to them."""

from __future__ import annotations

from functools import cache
from typing import Any

from testkit.screenshots.browsers.kinds import state_of

_HARMLESS = frozenset(
    {
        "getLog",
        "getCurrentUrl",
        "setTimeouts",
        "getTimeouts",
        "w3cGetWindowHandles",
        "w3cGetCurrentWindowHandle",
        "switchToWindow",
        "newSession",
        "quit",
    }
)


class Noting:
    """Notes whether something was loaded, so that what is clean is not cleaned again."""

    session_id: str | None = None

    def execute(self, command: str, params: Any = None) -> Any:
        """Send a command."""
        if command not in _HARMLESS and self.session_id and not _changes_nothing(command, params or {}):
            state_of(self).is_clean = False  # type: ignore[arg-type]
        return super().execute(command, params)  # type: ignore[misc]


def _changes_nothing(command: str, params: Any) -> bool:
    if command == "get":
        return bool(params.get("url") == "about:blank")
    return command == "executeCdpCommand" and str(params.get("cmd")).startswith(("Emulation.", "Page."))


@cache
def compose(mixin: type | None, base: Any) -> Any:
    """Return the class of a driver: ``mixin``, if there is one, before ``base``; always the same one for the same two."""
    parents = (Noting, base) if mixin is None else (mixin, Noting, base)
    return type(base.__name__ if mixin is None else mixin.__name__, parents, {})
