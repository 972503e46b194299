"""Firefox, by geckodriver, and by scripts in the browser's own window for what WebDriver has no command for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from testkit.screenshots.browsers.composing import compose, connect
from testkit.screenshots.browsers.kinds import Clip, Settings, state_of
from testkit.screenshots.browsers.log import PageError, statuses
from testkit.screenshots.browsers.pieces import cut_out
from testkit.screenshots.browsers.service import Service, find_program
from testkit.screenshots.errors import ScreenshotError
from testkit.screenshots.viewports import Breakpoint

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver
    from selenium.webdriver.remote.webelement import WebElement

_PREFERENCES: dict[str, Any] = {
    # Images that move show their first picture; scrollbars take no room.
    "image.animation_mode": "none",
    "ui.useOverlayScrollbars": 1,
    "widget.gtk.overlay-scrollbars.enabled": True,
    "gfx.color_management.mode": 0,
    # Nothing but the pages under test is loaded.
    "app.update.disabledForTesting": True,
    "browser.newtabpage.enabled": False,
    "browser.safebrowsing.update.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "http://127.0.0.1:9/",
}
UNSEEN = ""
_REMEDY = "install Firefox (as root `apt-get install firefox-esr`) and geckodriver"

_CLEAR = """
const [answer] = arguments;
Services.clearData.deleteData(Ci.nsIClearDataService.CLEAR_ALL, { onDataDeleted: () => answer() });
"""
# The size of the page's own part of the window, whatever the least size of a window is.
_RESIZE = """
const [options, answer] = arguments;
const browser = gBrowser.selectedBrowser;
const context = browser.browsingContext;
const [width, height] = [options.width, options.height].map((side) => (side ? `${side}px` : ""));
for (const [name, value] of [["width", width], ["min-width", width], ["height", height], ["min-height", height]])
  browser.style.setProperty(name, value);
context.overrideDPPX = options.scale;
context.prefersColorSchemeOverride = options.scheme || "none";
context.mediumOverride = options.media;
const flush = () => browser.getBoundingClientRect();
flush();
requestAnimationFrame(() => { flush(); requestAnimationFrame(() => answer()); });
"""
# What consoles were given is kept by the processes that pages run in; of exceptions the browser itself is told. Selenium
# would tell of both by WebDriver BiDi, in threads of its own, and thus in any order, and perhaps too late.
_OF_PROCESS = """() => {
  const storage = Cc["@mozilla.org/consoleAPI-storage;1"].getService(Ci.nsIConsoleAPIStorage);
  const text = (value) => { try { return String(value); } catch { return "…"; } };
  const errors = storage.getEvents().filter(({ level, innerID }) => level === "error" && typeof innerID === "number");
  storage.clearEvents();
  const told = errors.map((event) => [event.arguments.map(text).join(" "), `${event.filename}:${event.lineNumber}`]);
  Services.cpmm.sendAsyncMessage("testkit:console", told);
}"""
_ERRORS = """
const [script, seconds, answer] = arguments;
const logged = [];
const conclude = () => {
  clearTimeout(patience);
  Services.ppmm.removeMessageListener("testkit:console", hear);
  const exceptions = Services.console.getMessageArray()
    .filter((one) => one instanceof Ci.nsIScriptError && !(one.flags & (one.warningFlag | one.infoFlag)))
    .filter((one) => ["content javascript", "Web Worker"].includes(one.category))
    .map((one) => [one.errorMessage, `${one.sourceName}:${one.lineNumber}`]);
  Services.console.reset();
  answer([exceptions, logged]);
};
const patience = setTimeout(conclude, seconds * 1000); // one of the processes is just ending, say
let left = 0;
const hear = ({ data }) => { logged.push(...data); if (!--left) conclude(); };
Services.ppmm.addMessageListener("testkit:console", hear);
for (let index = 0; index < Services.ppmm.childCount; index++) {
  const process = Services.ppmm.getChildAt(index);
  if (process.isInProcess) continue;
  left++;
  process.loadProcessScript(`data:,(${encodeURIComponent(script)})()`, false);
}
if (!left) conclude();
"""
_PATIENCE = 2.0


def start(settings: Settings, mixin: type | None) -> WebDriver:
    """Start Firefox, here or by a remote server."""
    from selenium import webdriver

    options = webdriver.FirefoxOptions()
    for name, value in _PREFERENCES.items():
        options.set_preference(name, value)
    for argument in (*(["-headless"] * settings.headless), "--remote-allow-system-access", *settings.arguments):
        options.add_argument(argument)
    if settings.url:
        if settings.binary:
            options.binary_location = settings.binary
        driver = connect(mixin, settings.url, options)
    else:
        options.binary_location = find_program(
            settings.binary, ("firefox", "firefox-esr"), "the browser firefox", _REMEDY
        )
        path = find_program(settings.driver, ("geckodriver",), "the WebDriver server of firefox", _REMEDY)
        service = Service(path, ["--port={port}"], chooses_port=False)  # of port 0, geckodriver refuses its own address
        driver = compose(mixin, webdriver.Firefox)(options=options, service=service)
    state = state_of(driver)
    state.settings = settings
    state.is_clean = True
    return driver


@contextmanager
def _chrome(driver: WebDriver) -> Iterator[None]:
    """Let scripts run in the browser's own window for the block."""
    driver.execute("SET_CONTEXT", {"context": "chrome"})
    try:
        yield
    finally:
        driver.execute("SET_CONTEXT", {"context": "content"})


def clear(driver: WebDriver) -> None:
    """Throw away all that sites have stored, and what they were permitted."""
    with _chrome(driver):
        driver.execute_async_script(_CLEAR)


def reset(driver: WebDriver) -> None:
    """Be what the machine has again."""
    state = state_of(driver)
    if state.breakpoint is not None:
        _resize(driver, {"width": 0, "height": 0, "scale": 0, "scheme": "", "media": ""})
        state.breakpoint = None


def set_viewport(driver: WebDriver, breakpoint: Breakpoint) -> None:
    """Give the page a part of the window of exactly that size.

    Raises:
        ScreenshotError: for what Firefox's driver cannot do.
    """
    for name in ("reduced_motion", "locale", "time_zone"):
        if getattr(breakpoint, name):
            raise ScreenshotError(
                f"{name} of a breakpoint is for Chromium, Chrome and Edge; Firefox's driver has no such thing"
            )
    _resize(driver, breakpoint._asdict())
    state_of(driver).breakpoint = breakpoint
    found = driver.execute_script("return [innerWidth, innerHeight]")
    if found != [breakpoint.width, breakpoint.height]:
        raise ScreenshotError(
            f"Firefox did not make the page {breakpoint.width} × {breakpoint.height} but {found[0]} × {found[1]}"
        )


def _resize(driver: WebDriver, options: dict[str, Any]) -> None:
    with _chrome(driver):
        driver.execute_async_script(_RESIZE, options)


def page_size(driver: WebDriver) -> Clip:
    """Return the extent of the whole page."""
    size = driver.execute_script(
        "const page = document.documentElement;"
        "return [Math.max(page.scrollWidth, innerWidth), Math.max(page.scrollHeight, innerHeight)]"
    )
    return Clip(0, 0, *size)


def shot(driver: WebDriver, clip: Clip | None, element: WebElement | None) -> bytes:
    """Return a PNG; a part of the page is cut out of that of all of it."""
    if clip is None:
        return driver.get_screenshot_as_png()
    whole: bytes = driver.get_full_page_screenshot_as_png()  # type: ignore[attr-defined]
    breakpoint = state_of(driver).breakpoint
    return cut_out(whole, clip, breakpoint.scale if breakpoint else driver.execute_script("return devicePixelRatio"))


def preload(driver: WebDriver, name: str, script: str) -> None:
    """Do nothing but raise ScreenshotError, where that is needed: Firefox's driver has no such command."""
    if script and name == "freeze":
        raise ScreenshotError(
            "to stop the clock of a page is for Chromium, Chrome and Edge; Firefox's driver has no such thing"
        )


def page_errors(driver: WebDriver) -> list[PageError]:
    """Return what went wrong in pages since the last call; statuses are those of the present page."""
    found = statuses(driver)
    with _chrome(driver):
        exceptions, console = driver.execute_async_script(_ERRORS, _OF_PROCESS, _PATIENCE)
    return [
        *(PageError("exception", *error) for error in exceptions),
        *(PageError("console", *error) for error in console),
        *found,
    ]
