"""Classes of drivers: Selenium's, with what a test case adds to them."""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from testkit.screenshots.browsers.kinds import state_of
from testkit.screenshots.options import without_account

if TYPE_CHECKING:
    from selenium.webdriver.common.options import BaseOptions
    from selenium.webdriver.remote.webdriver import WebDriver

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

    def execute_cdp_cmd(self, cmd: str, cmd_args: Any) -> Any:
        """Send a DevTools command of a test's own, which a fresh context takes back."""
        answer = super().execute_cdp_cmd(cmd, cmd_args)  # type: ignore[misc]
        state_of(self).commands.append((cmd, answer))  # type: ignore[arg-type]
        return answer


def _changes_nothing(command: str, params: Any) -> bool:
    if command == "get":
        return bool(params.get("url") == "about:blank")
    return command == "executeCdpCommand" and str(params.get("cmd")).startswith(("Emulation.", "Page."))


@cache
def compose(mixin: type | None, base: Any) -> Any:
    """Return the class of a driver: ``mixin``, if there is one, before ``base``; always the same one for the same two."""
    parents = (Noting, base) if mixin is None else (mixin, Noting, base)
    return type(base.__name__ if mixin is None else mixin.__name__, parents, {})


def connect(mixin: type | None, url: str, options: BaseOptions) -> WebDriver:
    """Start a browser by the server at ``url``, which may have a user and a password in it, or a token alone."""
    from selenium import webdriver
    from selenium.webdriver.remote.client_config import ClientConfig

    remote = compose(mixin, webdriver.Remote)
    account = urlsplit(url)
    if account.username is None:
        return remote(command_executor=url, options=options)  # type: ignore[no-any-return]
    address = without_account(url)
    credentials = f"{unquote(account.username)}:{unquote(account.password or '')}"

    class Account(ClientConfig):  # Selenium's own sends nothing where the password is empty
        def get_auth_header(self) -> dict[str, str]:
            return {"Authorization": f"Basic {b64encode(credentials.encode()).decode('ascii')}"}

    config = Account(address)
    return remote(command_executor=address, options=options, client_config=config)  # type: ignore[no-any-return]
