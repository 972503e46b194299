"""WebKitGTK, by its own driver and MiniBrowser, on a screen that is not there where there is none."""

from __future__ import annotations

import os
import re
import warnings
from glob import glob
from typing import TYPE_CHECKING

from testkit.screenshots.browsers.composing import compose, connect
from testkit.screenshots.browsers.kinds import Clip, Settings, state_of
from testkit.screenshots.browsers.log import PageError
from testkit.screenshots.browsers.pieces import cut_out
from testkit.screenshots.browsers.service import Service, find_program
from testkit.screenshots.errors import ScreenshotError
from testkit.screenshots.viewports import Breakpoint

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver
    from selenium.webdriver.remote.webelement import WebElement

UNSEEN = "exceptions of scripts and console.error"
_REMEDY = "as root `apt-get install webkit2gtk-driver`"
_MINI_BROWSERS = "/usr/lib/*/webkit2gtk-4.*/MiniBrowser"
_DISPLAY = re.compile(rb"^(\d+)\n", re.MULTILINE)
_INSIDE = "return [innerWidth, innerHeight]"
_PAGE = (
    "const page = document.documentElement;"
    "return [Math.max(page.scrollWidth, innerWidth), Math.max(page.scrollHeight, innerHeight)]"
)
_TWO_FRAMES = "const [answer] = arguments; requestAnimationFrame(() => requestAnimationFrame(() => answer()))"


def start(settings: Settings, mixin: type | None) -> WebDriver:
    """Start MiniBrowser, here or by a remote server; without a screen, or headless, on one in memory."""
    from selenium import webdriver
    from selenium.webdriver.webkitgtk.options import Options

    options = Options()
    options.binary_location = settings.binary or next(iter(sorted(glob(_MINI_BROWSERS), reverse=True)), "MiniBrowser")
    for argument in ("--automation", *settings.arguments):
        options.add_argument(argument)
    if settings.url:
        driver = connect(mixin, settings.url, options)
    else:
        options.binary_location = find_program(options.binary_location, (), "the browser MiniBrowser", _REMEDY)
        path = find_program(settings.driver, ("WebKitWebDriver",), "the WebDriver server of WebKitGTK", _REMEDY)
        screen = _screen(settings)
        environment = {"DISPLAY": f":{screen.port}", "GDK_BACKEND": "x11"} if screen else {}
        service = Service(
            path, ["--port={port}"], chooses_port=False, port_in=None, environment=environment, beside=screen
        )
        try:
            with warnings.catch_warnings():
                # Selenium warns of its own way to connect to this driver.
                warnings.filterwarnings("ignore", "setting remote_server_addr", DeprecationWarning)
                driver = compose(mixin, webdriver.WebKitGTK)(options=options, service=service)
        except BaseException:
            service.stop()  # with the screen; Selenium leaves it running where there is no session
            raise
    state = state_of(driver)
    state.settings = settings
    state.is_clean = True
    return driver


def _screen(settings: Settings) -> Service | None:
    if not settings.headless and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return None
    path = find_program("", ("Xvfb",), "the screen in memory that WebKitGTK needs", "as root `apt-get install xvfb`")
    arguments = ["-displayfd", "1", "-screen", "0", "1600x1200x24", "-nolisten", "tcp"]
    screen = Service(path, arguments, port_in=_DISPLAY)
    screen.start()
    return screen


def clear(driver: WebDriver) -> None:
    """Begin another session: what sites store is in the memory of one, and there is no command to throw it away."""
    capabilities = driver.options.to_capabilities()  # type: ignore[attr-defined]
    driver.execute("quit")
    driver.start_session(capabilities)
    state_of(driver).breakpoint = None


def reset(driver: WebDriver) -> None:
    """Do nothing: the size of the window is set by each test."""
    state_of(driver).breakpoint = None


def set_viewport(driver: WebDriver, breakpoint: Breakpoint) -> None:
    """Make the window so large that the page has exactly that size.

    Raises:
        ScreenshotError: for what its driver cannot do, and windows narrower than MiniBrowser's buttons.
    """
    for name, default in Breakpoint._field_defaults.items():
        if name != "name" and getattr(breakpoint, name) != default:
            raise ScreenshotError(f"{name} of a breakpoint is for other browsers; WebKitGTK's driver has no such thing")
    found = _resize(driver, breakpoint.width, breakpoint.height)
    if found != [breakpoint.width, breakpoint.height]:
        raise ScreenshotError(
            f"WebKitGTK did not make the page {breakpoint.width} × {breakpoint.height} but {found[0]} × {found[1]}: its "
            "window cannot be narrower than its buttons; give wider breakpoints to tests in this browser"
        )
    state_of(driver).breakpoint = breakpoint


def _resize(driver: WebDriver, width: int, height: int) -> list[int]:
    """Make the page that large; return how large it is then."""
    for _ in range(3):
        inside: list[int] = driver.execute_script(_INSIDE)
        if inside == [width, height]:
            break
        window = driver.get_window_size()
        driver.set_window_size(window["width"] + width - inside[0], window["height"] + height - inside[1])
        driver.execute_async_script(_TWO_FRAMES)
    return driver.execute_script(_INSIDE)  # type: ignore[no-any-return]


def page_size(driver: WebDriver) -> Clip:
    """Return the extent of the whole page."""
    return Clip(0, 0, *driver.execute_script(_PAGE))


def shot(driver: WebDriver, clip: Clip | None, element: WebElement | None) -> bytes:
    """Return a PNG of what is in the window, which is made as high as the page for what is not.

    Raises:
        ScreenshotError: the window does not become as high as that, or the page overflows to the right: a wider window
            would lay it out anew.
    """
    if clip is None:
        return driver.get_screenshot_as_png()
    inside: list[int] = driver.execute_script(_INSIDE)
    width, height = driver.execute_script(_PAGE)
    if [width, height] == inside:
        return cut_out(driver.get_screenshot_as_png(), clip, 1)
    if clip.left + clip.width > inside[0]:
        raise ScreenshotError(
            f"the page is {width} pixels wide in a window of {inside[0]}, and WebKitGTK cannot show what is beyond: mend "
            "the overflow, or use full_page=False"
        )
    try:
        found = _resize(driver, inside[0], height)
        if found[1] < clip.top + clip.height:
            raise ScreenshotError(
                f"WebKitGTK did not make its window {height} pixels high but {found[1]}; use full_page=False"
            )
        return cut_out(driver.get_screenshot_as_png(), clip, 1)
    finally:
        _resize(driver, *inside)


def preload(driver: WebDriver, name: str, script: str) -> None:
    """Do nothing but raise ScreenshotError, where that is needed: WebKitGTK's driver has no such command."""
    if script and name == "freeze":
        raise ScreenshotError(
            "to stop the clock of a page is for Chromium, Chrome and Edge; WebKitGTK's driver has no such thing"
        )


def page_errors(driver: WebDriver) -> list[PageError]:
    """Return nothing: WebKitGTK 2.50 tells pages of no status, and its driver has neither a log nor WebDriver BiDi."""
    return []
