"""Browsers: one of each kind for each process, started when first asked for, and none left behind.

A keeper beside each (:mod:`~testkit.screenshots.browsers.keeper`) ends it with the process that uses it, however that
ends. A process that was forked has none: it starts its own, and leaves its parent's alone.
"""

from __future__ import annotations

import atexit
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from testkit.screenshots.browsers.kinds import (
    KINDS,
    BrowserDied,
    Clip,
    Settings,
    State,
    is_dead,
    kind_named,
    kind_of,
    name_of,
    speaking,
    state_of,
)
from testkit.screenshots.errors import ScreenshotError

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver

__all__ = [
    "KINDS",
    "BrowserDied",
    "Clip",
    "Settings",
    "State",
    "discard",
    "end_all",
    "fresh",
    "is_dead",
    "kind_of",
    "lease",
    "name_of",
    "shared",
    "speaking",
    "start",
    "state_of",
]

SCRIPT_SECONDS = 600
"""How long a script may take: those that wait for a page have a limit of their own."""
_getpid = os.getpid  # tests patch that of the module
_shared: dict[tuple[int, Settings, type | None], WebDriver] = {}
"""By process, too: a child must not use its parent's, nor let Python collect them, which would say so."""


def start(settings: Settings, mixin: type | None = None) -> WebDriver:
    """Start a browser of its own; its driver's class is Selenium's, with ``mixin`` before it.

    Whoever starts it ends it, by :func:`discard` or ``quit()``; if not, it ends with this process.

    Raises:
        ScreenshotError: Selenium, the browser or its WebDriver server is missing, or does not start.
    """
    kind = kind_named(settings.kind)
    try:
        from selenium.common.exceptions import WebDriverException
        from urllib3.exceptions import HTTPError
    except ImportError as error:
        raise ScreenshotError(
            f"screenshots need Selenium ({error}): pip install 'django-testkit[screenshots]'"
        ) from error
    from testkit.screenshots.settle import watch

    try:
        driver = kind.start(settings, mixin)
    except (WebDriverException, HTTPError, OSError) as error:
        where = f" by {_without_secrets(settings.url)}" if settings.url else ""
        raise ScreenshotError(f"the browser {settings.kind} did not start{where}: {str(error).strip()}") from error
    driver.set_script_timeout(SCRIPT_SECONDS)
    watch(driver)
    return driver


def _without_secrets(url: str) -> str:
    """Return ``url`` without its user and password."""
    scheme, separator, rest = url.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def shared(settings: Settings, mixin: type | None = None) -> WebDriver:
    """Return this process's browser of these settings: started when first asked for, and again when it has died."""
    key = _getpid(), settings, mixin
    driver = _shared.get(key)
    if driver is not None:
        if _answers(driver):
            return driver
        discard(driver)
    if not any(process == key[0] for process, _, _ in _shared):
        atexit.register(end_all)
    driver = _shared[key] = start(settings, mixin)
    return driver


def lease(settings: Settings, mixin: type | None = None) -> WebDriver:
    """Return the shared browser with a :func:`fresh` context; what a test begins with."""
    driver = shared(settings, mixin)
    try:
        fresh(driver)
    except BrowserDied:
        discard(driver)
        driver = shared(settings, mixin)
    return driver


def _answers(driver: WebDriver) -> bool:
    try:
        return bool(driver.window_handles)
    except Exception as error:
        if is_dead(error):
            return False
        raise


def fresh(driver: WebDriver) -> None:
    """Give the browser a new context: no cookies, storage, caches, permissions or emulation; one empty window.

    Raises:
        BrowserDied: it cannot, as it is gone.
    """
    state = state_of(driver)
    kind = kind_of(driver)
    with speaking(driver):
        _close_other_windows(driver)
        if not state.is_clean:
            if driver.current_url != "about:blank":
                _leave_page(driver)
            kind.clear(driver)
            with suppress(Exception):  # not every kind has logs
                driver.execute("getLog", {"type": "browser"})
            driver.set_script_timeout(SCRIPT_SECONDS)
            driver.implicitly_wait(0)
        kind.reset(driver)
    state.is_settled = False
    state.is_clean = True


def _leave_page(driver: WebDriver) -> None:
    from selenium.common.exceptions import UnexpectedAlertPresentException

    try:
        driver.get("about:blank")
    except UnexpectedAlertPresentException:  # which has dismissed the alert
        driver.get("about:blank")


def _close_other_windows(driver: WebDriver) -> None:
    handles = driver.window_handles
    if not handles:
        raise BrowserDied(f"the browser ({name_of(driver)}) has no window any more")
    for handle in handles[1:]:
        driver.switch_to.window(handle)
        driver.close()
    # Also out of a frame, and where the test has closed the window that it was in.
    driver.switch_to.window(handles[0])


def discard(driver: WebDriver) -> None:
    """End the browser, dead or alive, and forget it: the next :func:`shared` starts another."""
    for key in [key for key, other in _shared.items() if other is driver]:
        if key[0] != _getpid():
            return  # a parent's
        del _shared[key]
    service = getattr(driver, "service", None)
    if service is not None and state_of(driver).settings is not None:
        # Its profile is thrown away: there is nothing that a browser would have to write before it ends.
        service.stop()
    else:
        with suppress(Exception):
            driver.quit()


def end_all() -> None:
    """End the browsers of this process; it is called at exit, too."""
    for (process, _, _), driver in list(_shared.items()):
        if process == _getpid():
            discard(driver)
