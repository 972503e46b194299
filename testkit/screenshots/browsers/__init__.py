"""Browsers: one of each kind for each process, started when first asked for, and none left behind.

A keeper beside each (:mod:`~testkit.screenshots.browsers.keeper`) ends it with the process that uses it, however that
ends. A process that was forked has none: it starts its own, and leaves its parent's alone.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from testkit.screenshots.browsers.kinds import (
    KINDS,
    SCRIPT_SECONDS,
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
    "SCRIPT_SECONDS",
    "BrowserDied",
    "Clip",
    "Settings",
    "State",
    "answers",
    "despite_alerts",
    "discard",
    "end_all",
    "fresh",
    "is_dead",
    "kind_of",
    "name_of",
    "renewed",
    "say_what_is_unseen",
    "shared",
    "speaking",
    "start",
    "state_of",
]

T = TypeVar("T")
_said: set[str] = set()
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
    from testkit.screenshots.options import without_account
    from testkit.screenshots.settle import watch

    try:
        driver = kind.start(settings, mixin)
    except (WebDriverException, HTTPError, OSError) as error:
        where = f" by {without_account(settings.url)}" if settings.url else ""
        raise ScreenshotError(f"the browser {settings.kind} did not start{where}: {_reason(error)}") from error
    try:
        driver.set_script_timeout(SCRIPT_SECONDS)
        watch(driver)
    except BaseException:
        discard(driver)
        raise
    return driver


def _reason(error: Exception) -> str:
    """Return what an exception says, without the addresses in the code of its server."""
    return str(getattr(error, "msg", None) or error).strip()


def shared(settings: Settings, mixin: type | None = None) -> WebDriver:
    """Return this process's browser of these settings: started when first asked for, and again when it has died."""
    key = _getpid(), settings, mixin
    driver = _shared.get(key)
    if driver is not None:
        if answers(driver):
            return driver
        discard(driver)
    if not any(process == key[0] for process, _, _ in _shared):
        atexit.register(end_all)
    driver = _shared[key] = start(settings, mixin)
    return driver


def renewed(driver: WebDriver, another: Callable[[], WebDriver]) -> WebDriver:
    """Return ``driver`` with a :func:`fresh` context; or ``another``, should it die of that: its page has crashed, say."""
    try:
        fresh(driver)
    except BrowserDied:
        discard(driver)
        return another()
    return driver


def answers(driver: WebDriver) -> bool:
    """Return whether the browser is there."""
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
            if despite_alerts(lambda: driver.current_url) != "about:blank":
                despite_alerts(lambda: driver.get("about:blank"))
            kind.clear(driver)
            kind.page_errors(driver)  # what went wrong is told to no other test
            driver.set_script_timeout(SCRIPT_SECONDS)
            driver.implicitly_wait(0)
        kind.reset(driver)
    state.is_settled = False
    state.is_clean = True


def say_what_is_unseen(driver: WebDriver) -> None:
    """Say, once for each kind of browser, what errors of pages its driver does not tell of."""
    name = name_of(driver)
    if name in KINDS and name not in _said and (unseen := kind_named(name).UNSEEN):
        _said.add(name)
        print(f"testkit: {unseen} fail no test in {name}, whose driver does not tell of them", file=sys.stderr)


def despite_alerts(action: Callable[[], T]) -> T:
    """Return what ``action`` does; it is done again where an alert that a page has opened was in the way; the driver has dismissed it then."""
    from selenium.common.exceptions import UnexpectedAlertPresentException

    try:
        return action()
    except UnexpectedAlertPresentException:
        return action()


def _close_other_windows(driver: WebDriver) -> None:
    handles = driver.window_handles
    if not handles:
        raise BrowserDied(f"the browser ({name_of(driver)}) has no window any more")
    for handle in handles[1:]:
        driver.switch_to.window(handle)
        despite_alerts(driver.close)
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
