"""Needle's drivers and elements: Selenium 4's, with what Needle adds, and what Selenium has dropped since."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from selenium import webdriver
from selenium.webdriver.chrome.webdriver import WebDriver as Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.firefox.webdriver import WebDriver as Firefox
from selenium.webdriver.remote.webdriver import WebDriver as Remote
from selenium.webdriver.remote.webelement import WebElement

from testkit.screenshots import browsers, options
from testkit.screenshots.capture import capture
from testkit.screenshots.errors import ScreenshotError

if TYPE_CHECKING:
    from PIL.Image import Image

    _Driver = Remote
    _Element = WebElement
else:
    _Driver = object
    _Element = object

NAMES = (
    "NeedleChrome",
    "NeedleFirefox",
    "NeedleFirefoxWebElement",
    "NeedleIe",
    "NeedleOpera",
    "NeedlePhantomJS",
    "NeedleRemote",
    "NeedleSafari",
    "NeedleWebDriverMixin",
    "NeedleWebElement",
    "NeedleWebElementMixin",
)
"""What Needle's module of drivers has."""

_CHROME = ("google-chrome", "google-chrome-stable", "chrome")


class _OldFinders:
    """``find_element_by_css_selector`` and its kind, which Selenium 4.3 has dropped and older suites are full of."""

    def __getattr__(self, name: str) -> Any:
        for prefix, finder in (("find_element_by_", "find_element"), ("find_elements_by_", "find_elements")):
            by = getattr(By, name.removeprefix(prefix).upper(), None) if name.startswith(prefix) else None
            if by is not None:
                return lambda value: getattr(self, finder)(by, value)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


class NeedleWebElementMixin(_OldFinders, _Element):
    """An element that can be looked at."""

    def get_dimensions(self) -> dict[str, int]:
        """Return its ``width`` and ``height``, and its ``left`` and ``top`` on the page, in CSS pixels."""
        location, size = self.location, self.size
        return {"top": location["y"], "left": location["x"], "width": size["width"], "height": size["height"]}

    def get_screenshot(self) -> Image:
        """Return a picture of it, all of it, wherever it is on the page."""
        return _image(capture(self.parent, self))


class NeedleWebDriverMixin(_OldFinders, _Driver):
    """A driver whose pages can be looked at."""

    def load_html(self, html: str) -> None:
        """Open a page that is given as HTML."""
        self.get("data:text/html," + quote(html))

    def get_screenshot_as_image(self) -> Image:
        """Return a picture of the page, all of it."""
        return _image(capture(self))

    def load_jquery(self) -> None:
        """Have jQuery in the page, unless it is there: that of Django's admin."""
        if self.execute_script("return typeof jQuery") == "undefined":
            from django.contrib import admin
            from django.utils._os import safe_join

            path = safe_join(admin.__path__[0], "static/admin/js/vendor/jquery/jquery.min.js")
            with open(path, encoding="utf-8") as script:
                # In the page rather than in a function's scope: the script is for later ones.
                self.execute_script("window.eval(arguments[0])", script.read())

    def create_web_element(self, element_id: str, *args: Any, **kwargs: Any) -> WebElement:
        """Return what Selenium finds as an element that can be looked at."""
        return NeedleWebElement(self, element_id)


def _image(data: bytes) -> Image:
    from PIL import Image

    return Image.open(io.BytesIO(data)).convert("RGB")


class NeedleWebElement(NeedleWebElementMixin, WebElement):
    """Selenium's element, which can be looked at."""


NeedleFirefoxWebElement = NeedleWebElement
"""Firefox's elements are no different any more."""


class NeedleRemote(NeedleWebDriverMixin, Remote):
    """Selenium's remote driver; ``desired_capabilities`` are still understood."""

    def __init__(
        self,
        command_executor: Any = "http://127.0.0.1:4444",
        desired_capabilities: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if desired_capabilities is not None and kwargs.get("options") is None:
            kwargs["options"] = _options_for(desired_capabilities)
        super().__init__(command_executor, **kwargs)


def _options_for(capabilities: Mapping[str, Any]) -> Any:
    kinds = {
        "firefox": webdriver.FirefoxOptions,
        "MicrosoftEdge": webdriver.EdgeOptions,
        "internet explorer": webdriver.IeOptions,
        "safari": webdriver.SafariOptions,
    }
    found = kinds.get(capabilities.get("browserName", ""), webdriver.ChromeOptions)()
    for name, value in capabilities.items():
        found.set_capability(name, value)
    return found


class _Started(NeedleWebDriverMixin):
    """A driver that, without arguments, starts its browser as testkit does."""

    kind = ""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if args or kwargs:
            return super().__new__(cls)
        return browsers.start(browsers.Settings(kind=cls.kind), cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if args or kwargs:  # else it is started by now
            super().__init__(*args, **kwargs)


class NeedleChrome(_Started, Chrome):
    """Selenium's driver of Chrome, or of Chromium."""

    kind = "chromium"


class NeedleFirefox(_Started, Firefox):
    """Selenium's driver of Firefox."""

    kind = "firefox"


class _Gone(NeedleWebDriverMixin, Remote):
    """A driver of Needle's whose browser is none any more of which there are whole pictures."""

    title = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise ScreenshotError(
            f"there are no screenshots of {self.title}: set NEEDLE_BROWSER to one of {', '.join(browsers.KINDS)}, or "
            "leave it out"
        )


class NeedleIe(_Gone):
    """Needle's driver of Internet Explorer, which cannot be had."""

    title = "Internet Explorer"


class NeedleSafari(_Gone):
    """Needle's driver of Safari, which cannot be had; WebKit can."""

    title = "Safari"


class NeedleOpera(_Gone):
    """Needle's driver of Opera, which cannot be had."""

    title = "Opera"


class NeedlePhantomJS(_Gone):
    """Needle's driver of PhantomJS, which cannot be had."""

    title = "PhantomJS"


GONE: Mapping[str, type[Remote]] = {
    "ie": NeedleIe,
    "opera": NeedleOpera,
    "phantomjs": NeedlePhantomJS,
    "safari": NeedleSafari,
}
"""Needle's names of browsers that cannot be had."""


def shared(name: str) -> Remote:
    """Return the driver of this process's browser of that name.

    Raises:
        ScreenshotError: there is no such browser.
    """
    if name not in browsers.KINDS:
        raise ScreenshotError(
            f"there is no browser {name!r} (of NEEDLE_BROWSER, TESTKIT_BROWSERS or an attribute `browser`): "
            f"give one of {', '.join(browsers.KINDS)}"
        )
    wanted = options.current()
    if name == "chrome" and os.environ.get("NEEDLE_BROWSER") == name and not any(map(shutil.which, _CHROME)):
        name = "chromium"  # for Needle they are one, as they are for their driver
    is_first = name == wanted.browsers[0]
    settings = browsers.Settings(
        kind=name,
        url=wanted.webdriver_url.url,
        binary=wanted.browser_binary if is_first else "",
        driver=wanted.browser_driver if is_first else "",
    )
    return browsers.shared(settings, NeedleWebDriverMixin)
