"""What the kinds of browsers have in common: what is asked of each, and what is noted of each driver."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast
from weakref import WeakKeyDictionary

from testkit.screenshots.errors import ScreenshotError
from testkit.screenshots.options import BROWSERS, without_account
from testkit.screenshots.viewports import Breakpoint

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver
    from selenium.webdriver.remote.webelement import WebElement

    from testkit.screenshots.browsers.log import PageError

KINDS = BROWSERS
_MODULES = {"chrome": "chromium", "edge": "chromium"}
"""What knows a kind of browsers, if it is not called as they are."""
SCRIPT_SECONDS = 60.0
"""How long a script may take."""
_BROWSERS = {
    "chrome": "chrome",
    "chrome-headless-shell": "chrome",
    "chromium": "chromium",
    "msedge": "edge",
    "microsoftedge": "edge",
    "firefox": "firefox",
    "minibrowser": "webkit",
    "epiphany": "webkit",
}


class Settings(NamedTuple):
    """Which browser, and how it is started."""

    kind: str = "chromium"
    """One of ``KINDS``."""
    url: str = ""
    """Of a remote WebDriver server or grid; empty for a browser of this machine."""
    binary: str = ""
    """Path of the browser; empty to look for it on the PATH."""
    driver: str = ""
    """Path of its WebDriver server; empty to look for it on the PATH."""
    arguments: tuple[str, ...] = ()
    """Further command line arguments for the browser."""
    headless: bool = True

    def __repr__(self) -> str:
        # There may be a password in the URL.
        return f"Settings({self.kind!r}, {without_account(self.url)!r}, {', '.join(map(repr, self[2:]))})"


class BrowserDied(ScreenshotError):
    """The browser, its tab or its WebDriver server is gone; another one must be started."""


class Clip(NamedTuple):
    """A part of a page, in CSS pixels from the page's top left corner."""

    left: float
    top: float
    width: float
    height: float


class Kind(Protocol):
    """A module that knows one family of browsers."""

    UNSEEN: str
    """What of the errors of pages its driver does not tell of; empty if it tells all."""

    def start(self, settings: Settings, mixin: type | None) -> WebDriver:
        """Start a browser; its driver's class is Selenium's, with ``mixin`` before it."""

    def clear(self, driver: WebDriver) -> None:
        """Throw away what sites have stored in the browser, which has one window, at ``about:blank``."""

    def reset(self, driver: WebDriver) -> None:
        """Undo what :meth:`set_viewport` and :meth:`preload` have emulated."""

    def set_viewport(self, driver: WebDriver, breakpoint: Breakpoint) -> None:
        """Make the viewport what ``breakpoint`` says; raise ScreenshotError for what this kind cannot do."""

    def page_size(self, driver: WebDriver) -> Clip:
        """Return the extent of the whole page."""

    def shot(self, driver: WebDriver, clip: Clip | None, element: WebElement | None) -> bytes:
        """Return a PNG of ``clip``, which is that of ``element`` if that is given; of the viewport without either."""

    def preload(self, driver: WebDriver, name: str, script: str) -> None:
        """Run ``script`` in each document before the page's own, from the next load on.

        It takes the place of the one given as ``name`` before; an empty one of that only.
        """

    def page_errors(self, driver: WebDriver) -> list[PageError]:
        """Return what went wrong in pages since the last call, as far as the driver tells."""


class State:
    """What is noted of one driver."""

    def __init__(self) -> None:
        self.settings: Settings | None = None
        """How it was started; None for a driver that was made elsewhere."""
        self.breakpoint: Breakpoint | None = None
        """What the viewport was last set to."""
        self.preloaded: dict[str, str] = {}
        """The identifiers of the scripts that are run before a page's own, by our name for them."""
        self.commands: list[tuple[str, Any]] = []
        """The DevTools commands that tests gave themselves since the context was fresh, and what came back."""
        self.is_unclipped = False
        """Whether the browser paints what is outside of the viewport, too."""
        self.is_settled = False
        """Whether a page may have something to undo."""
        self.is_clean = False
        """Whether nothing was loaded in its context yet."""
        self.hides_scrollbars = False
        """Whether the browser draws none by itself."""


_states: WeakKeyDictionary[WebDriver, State] = WeakKeyDictionary()


def state_of(driver: WebDriver) -> State:
    """Return what is noted of ``driver``; of any, also of one that was made elsewhere."""
    return _states.setdefault(driver, State())


def name_of(driver: WebDriver) -> str:
    """Return the browser's name for the baselines' folder: ``chromium``, ``firefox``, …"""
    settings = state_of(driver).settings
    if settings is not None:
        return settings.kind
    return _BROWSERS.get(str(driver.capabilities.get("browserName", "")).lower(), "unknown")


def kind_named(name: str) -> Kind:
    """Return the module for browsers of the kind ``name``.

    Raises:
        ScreenshotError: there is none.
    """
    if name not in KINDS:
        raise ScreenshotError(f"there is no browser {name!r}; it is one of {', '.join(KINDS)}")
    return cast(Kind, import_module(f"testkit.screenshots.browsers.{_MODULES.get(name, name)}"))


def kind_of(driver: WebDriver) -> Kind:
    """Return the module that knows the browser of ``driver``."""
    name = str(driver.capabilities.get("browserName", ""))
    if name.lower() not in _BROWSERS:
        raise ScreenshotError(
            f"screenshots of the browser {name!r} are not known to testkit; it is one of {', '.join(KINDS)}"
        )
    return kind_named(_BROWSERS[name.lower()])


_GONE = (
    "invalid session id",
    "session deleted",
    "disconnected",
    "not reachable",
    "tab crashed",
    "page crash",
    "not connected to devtools",
    "browsing context has been discarded",
    "failed to decode response from marionette",
    "tried to run command without establishing a connection",
    "connection refused",
    "remote end closed connection",
    "session not found",
)


def is_dead(error: BaseException) -> bool:
    """Return whether ``error`` says that the browser, its tab or its WebDriver server is gone."""
    from selenium.common.exceptions import InvalidSessionIdException, WebDriverException
    from urllib3.exceptions import HTTPError

    if isinstance(error, BrowserDied | InvalidSessionIdException | ConnectionError | HTTPError):
        return True
    if isinstance(error, WebDriverException):
        text = str(error.msg or "").lower()
        return any(phrase in text for phrase in _GONE)
    return False


@contextmanager
def speaking(driver: WebDriver) -> Iterator[None]:
    """Raise :class:`BrowserDied` for any error in the block by which the browser turns out to be gone."""
    try:
        yield
    except Exception as error:
        if isinstance(error, BrowserDied) or not is_dead(error):
            raise
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise BrowserDied(f"the browser ({name_of(driver)}) is gone, or its page has crashed: {first}") from error
