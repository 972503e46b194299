"""Chromium, Chrome and Edge, by the DevTools protocol through their WebDriver server."""

from __future__ import annotations

import os
from binascii import a2b_base64
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from testkit.screenshots.browsers.composing import compose, connect
from testkit.screenshots.browsers.kinds import Clip, Settings, State, state_of
from testkit.screenshots.browsers.log import PageError, read_log
from testkit.screenshots.browsers.service import Service, find_program, free_memory
from testkit.screenshots.viewports import Breakpoint

if TYPE_CHECKING:
    from selenium.webdriver.chromium.options import ChromiumOptions
    from selenium.webdriver.remote.webdriver import WebDriver
    from selenium.webdriver.remote.webelement import WebElement

_PROGRAMS = {
    "chromium": (("chromium", "chromium-browser", "google-chrome"), ("chromedriver", "chromium.chromedriver")),
    "chrome": (("google-chrome", "google-chrome-stable", "chrome"), ("chromedriver",)),
    "edge": (("microsoft-edge", "microsoft-edge-stable", "msedge"), ("msedgedriver",)),
}
_REMEDY = {
    "chromium": "as root `apt-get install chromium chromium-driver`, or give its path as the option browser_binary",
    "chrome": "install Google Chrome and its chromedriver",
    "edge": "install Microsoft Edge and its msedgedriver",
}
ARGUMENTS = (
    # The same pixels on every machine.
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--force-device-scale-factor=1",
    "--font-render-hinting=none",
    "--disable-lcd-text",
    # An image is drawn with the frame that it belongs to, and not when its decoding is done.
    "--disable-checker-imaging",
    # All of a picture is drawn anew: edges that are drawn in part, where something moved, differ by a shade.
    "--disable-partial-raster",
    # Images that move show their first picture; what is outside of the viewport is painted, so that a shot of it need
    # not change the viewport, which pages would notice.
    "--blink-settings=imageAnimationPolicy=2,mainFrameClipsContent=false",
    # A window behind others is drawn as well.
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
    "--disable-background-timer-throttling",
    # A page that is left is gone, which takes a third of the time.
    "--disable-back-forward-cache",
    # Nothing but the pages under test is loaded.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-quic",
    "--disable-search-engine-choice-screen",
    "--disable-sync",
    "--disable-features=Translate,OptimizationHints,MediaRouter",
    "--no-default-browser-check",
    "--no-first-run",
    "--mute-audio",
    "--disable-gpu",
    "--window-size=1024,800",
)
_STORED = "cookies,local_storage,indexeddb,cache_storage,service_workers,file_systems,interest_groups,shared_storage,storage_buckets"
"""All but compiled shaders, which take the most time and are not seen."""
_TAKEN_BACK: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "Emulation.setCPUThrottlingRate": ("Emulation.setCPUThrottlingRate", {"rate": 1}),
    "Emulation.setEmulatedMedia": ("Emulation.setEmulatedMedia", {"media": "", "features": []}),
    "Emulation.setGeolocationOverride": ("Emulation.clearGeolocationOverride", {}),
    "Emulation.setLocaleOverride": ("Emulation.setLocaleOverride", {}),
    "Emulation.setScriptExecutionDisabled": ("Emulation.setScriptExecutionDisabled", {"value": False}),
    "Emulation.setTimezoneOverride": ("Emulation.setTimezoneOverride", {"timezoneId": ""}),
    "Emulation.setTouchEmulationEnabled": ("Emulation.setTouchEmulationEnabled", {"enabled": False}),
    "Emulation.setUserAgentOverride": ("Emulation.setUserAgentOverride", {"userAgent": ""}),
    "Network.emulateNetworkConditions": (
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1},
    ),
    "Network.setBlockedURLs": ("Network.setBlockedURLs", {"urls": []}),
    "Network.setExtraHTTPHeaders": ("Network.setExtraHTTPHeaders", {"headers": {}}),
    "Network.setUserAgentOverride": ("Emulation.setUserAgentOverride", {"userAgent": ""}),
}
"""What lasts longer than a page of the DevTools commands that a test may give, and what ends it."""
UNSEEN = ""
_LITTLE = 256 << 20
_PROBE = "data:text/html,<body style='margin:0;height:9000px;background:linear-gradient(red,blue)'>"


def start(settings: Settings, mixin: type | None) -> WebDriver:
    """Start Chromium, Chrome or Edge, here or by a remote server."""
    from selenium import webdriver

    is_edge = settings.kind == "edge"
    options: ChromiumOptions = webdriver.EdgeOptions() if is_edge else webdriver.ChromeOptions()
    for argument in (*_arguments(settings), *settings.arguments):
        options.add_argument(argument)
    options.set_capability("ms:loggingPrefs" if is_edge else "goog:loggingPrefs", {"browser": "ALL"})
    if settings.url:
        if settings.binary:
            options.binary_location = settings.binary
        driver = connect(mixin, settings.url, options)
    else:
        browsers, servers = _PROGRAMS[settings.kind]
        remedy = _REMEDY[settings.kind]
        options.binary_location = find_program(settings.binary, browsers, f"the browser {settings.kind}", remedy)
        path = find_program(settings.driver, servers, f"the WebDriver server of {settings.kind}", remedy)
        # The language of its menus is also what pages are asked for in; on a machine where it is German, dates would be.
        service = Service(path, ["--port={port}", "--log-level=WARNING"], environment={"LANGUAGE": "en_US"})
        options.add_argument(f"--user-data-dir={service.prepare() / 'profile'}")
        driver = compose(mixin, webdriver.Edge if is_edge else webdriver.Chrome)(options=options, service=service)
    state = state_of(driver)
    state.settings = settings
    state.hides_scrollbars = True
    try:
        state.is_unclipped = _paints_beyond(driver, state)
    except BaseException:
        driver.quit()
        raise
    state.is_clean = True
    return driver


def _arguments(settings: Settings) -> list[str]:
    arguments = list(ARGUMENTS)
    if settings.headless:
        arguments.append("--headless=new")
    is_here = not settings.url or urlsplit(settings.url).hostname in ("127.0.0.1", "::1", "localhost")
    if is_here and hasattr(os, "geteuid") and os.geteuid() == 0:
        arguments.append("--no-sandbox")  # which root cannot have
    if free_memory() < _LITTLE:
        arguments.append("--disable-dev-shm-usage")  # containers have 64 MB, and tall pages crash on that
    return arguments


def _paints_beyond(driver: WebDriver, state: State) -> bool:
    """Return whether the browser has understood that it shall paint what is outside of the viewport."""
    driver.get(_PROBE)
    clip = Clip(0, 6000, 8, 8)
    shots = []
    for state.is_unclipped in (False, True):
        shots.append(shot(driver, clip, None))
    driver.get("about:blank")
    return shots[0] == shots[1]


def cdp(driver: WebDriver, command: str, **parameters: Any) -> Any:
    """Send one command of the DevTools protocol, and return its result."""
    # `execute_cdp_cmd` is missing from Selenium's remote drivers before 4.30 or so; the command behind it is not.
    return driver.execute("executeCdpCommand", {"cmd": command, "params": parameters})["value"]


def clear(driver: WebDriver) -> None:
    """Throw away cookies, storage, workers, caches and permissions of all sites."""
    # A new context by Target.createBrowserContext would be the cleaner way; it needs a websocket, and its window takes
    # five times as long as this. In one that is incognito this would be faster still, but nothing could be permitted.
    cdp(driver, "Storage.clearDataForOrigin", origin="*", storageTypes=_STORED)
    cdp(driver, "Network.clearBrowserCache")
    cdp(driver, "Browser.resetPermissions")


def reset(driver: WebDriver) -> None:
    """Be what the machine has again, with a clock that goes, and without what a test has asked for itself."""
    preload(driver, "freeze", "")
    state = state_of(driver)
    while state.commands:
        command, answer = state.commands.pop()
        if command in _TAKEN_BACK:
            by, parameters = _TAKEN_BACK[command]
            cdp(driver, by, **parameters)
        elif command == "Page.addScriptToEvaluateOnNewDocument":
            cdp(driver, "Page.removeScriptToEvaluateOnNewDocument", **answer)
    if state.breakpoint is not None:
        _emulate(driver, state.breakpoint, Breakpoint(1, 1))
        cdp(driver, "Emulation.clearDeviceMetricsOverride")
        state.breakpoint = None


def set_viewport(driver: WebDriver, breakpoint: Breakpoint) -> None:
    """Emulate a screen of exactly that size, and the other options of ``breakpoint``."""
    state = state_of(driver)
    cdp(
        driver,
        "Emulation.setDeviceMetricsOverride",
        width=breakpoint.width,
        height=breakpoint.height,
        deviceScaleFactor=breakpoint.scale,
        mobile=False,
    )
    before, state.breakpoint = state.breakpoint or Breakpoint(1, 1), breakpoint
    _emulate(driver, before, breakpoint)


def _emulate(driver: WebDriver, before: Breakpoint, after: Breakpoint) -> None:
    """Emulate what else differs between two breakpoints: each command takes its milliseconds."""
    if before[4:7] != after[4:7]:
        features = {
            "prefers-color-scheme": after.scheme,
            "prefers-reduced-motion": "reduce" if after.reduced_motion else "",
        }
        named = [{"name": name, "value": value} for name, value in features.items()]
        cdp(driver, "Emulation.setEmulatedMedia", media=after.media, features=named)
    if before.locale != after.locale:
        agent = driver.execute_script("return navigator.userAgent")
        language = {"acceptLanguage": after.locale.replace("_", "-")} if after.locale else {}
        cdp(driver, "Emulation.setUserAgentOverride", userAgent=agent, **language)
        cdp(
            driver,
            "Emulation.setLocaleOverride",
            **({"locale": after.locale.replace("-", "_")} if after.locale else {}),
        )
    if before.time_zone != after.time_zone:
        cdp(driver, "Emulation.setTimezoneOverride", timezoneId=after.time_zone)


def page_size(driver: WebDriver) -> Clip:
    """Return the extent of the whole page."""
    size = cdp(driver, "Page.getLayoutMetrics")["cssContentSize"]
    return Clip(0, 0, size["width"], size["height"])


def shot(driver: WebDriver, clip: Clip | None, element: WebElement | None) -> bytes:
    """Return a PNG as the browser makes it."""
    parameters: dict[str, Any] = {"format": "png", "optimizeForSpeed": True}
    if clip is not None:
        parameters["clip"] = {"x": clip.left, "y": clip.top, "width": clip.width, "height": clip.height, "scale": 1}
        # To capture beyond the viewport, Chromium makes it 1 × 1 for a moment; pages see that, and media queries match.
        parameters["captureBeyondViewport"] = not state_of(driver).is_unclipped
    return a2b_base64(cdp(driver, "Page.captureScreenshot", **parameters)["data"])


def preload(driver: WebDriver, name: str, script: str) -> None:
    """Run ``script`` before those of each page, instead of the one that was given as ``name`` before."""
    preloaded = state_of(driver).preloaded
    if name in preloaded:
        cdp(driver, "Page.removeScriptToEvaluateOnNewDocument", identifier=preloaded.pop(name))
    if script:
        preloaded[name] = cdp(driver, "Page.addScriptToEvaluateOnNewDocument", source=script)["identifier"]


def page_errors(driver: WebDriver) -> list[PageError]:
    """Return what went wrong in pages since the last call."""
    return read_log(driver.execute("getLog", {"type": "browser"})["value"])
