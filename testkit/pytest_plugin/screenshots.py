"""Screenshots under pytest: what test cases do by mixins, fixtures do here, by the same classes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from testkit.core.options import Options
from testkit.pytest_plugin.ids import name_of
from testkit.screenshots import NeedleTestCase, ResponsiveScreenshotMixin
from testkit.screenshots.optin import browsers, is_wanted
from testkit.screenshots.options import ScreenshotOptions, export

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver

__tracebackhide__ = True

FIXTURES = frozenset({"screenshot", "responsive_screenshot"})
_HINT = "needs a browser: --testkit-needle or RUN_NEEDLE_TESTS=1 includes the tests with screenshots"


class Camera:
    """What the fixtures give: a browser, and what compares its pages with their baselines."""

    def __init__(self, case: Any) -> None:
        self._case = case

    @property
    def driver(self) -> WebDriver:
        """Selenium's driver of the browser."""
        driver: WebDriver = self._case.driver
        return driver

    def open(self, url: str) -> None:
        """Open a page, such as ``live_server.url``."""
        self.driver.get(url)


class Screenshot(Camera):
    """Compares at the size that the window has."""

    def __call__(self, name: str, target: Any = "html", **more: Any) -> None:
        """Compare ``target`` with the baseline ``name``; the arguments are those of ``assertScreenshot``."""
        self._case.assertScreenshot(target, name, **more)


class ResponsiveScreenshot(Camera):
    """Compares at each breakpoint."""

    def __call__(self, name: str, target: Any = "html", **more: Any) -> None:
        """Compare ``target`` with the baselines ``name``; the arguments are those of ``assertResponsive``."""
        self._case.assertResponsive(target, name, **more)


@contextmanager
def opened(request: pytest.FixtureRequest, browser: str) -> Iterator[Any]:
    """Give a test case that was set up in ``browser`` for the test that asks, and take it down."""
    if not is_wanted():
        pytest.skip(_HINT)
    if "live_server" in request.fixturenames:
        request.getfixturevalue(
            "live_server"
        )  # first, so that the page is left before its server and database are gone
    sizes = request.node.get_closest_marker("breakpoints")
    name = name_of(request.node)
    body = {
        "browser": browser,
        "SIZES": tuple(sizes.args) if sizes is not None else (),
        "runTest": lambda self: None,
        "id": lambda self: name.id,
    }
    cls: Any = type("PytestScreenshots", (ResponsiveScreenshotMixin, NeedleTestCase), body)
    try:
        cls.setUpClass()
        case = cls("runTest")
        case._begin_in_browser()
        yield case
        case._end_in_browser()
    finally:
        cls.tearDownClass()
        cls.doClassCleanups()


def browsers_of(marks: Any) -> tuple[str, ...]:
    """Return the browsers of a test: those that its marker names, or else those of the run."""
    mark = next(iter(marks), None)
    return tuple(mark.args) if mark is not None and mark.args else browsers()


def export_options(options: Options, file: str) -> None:
    """Put what was typed, or stands in pytest's configuration ``file``, where tests in whatever process find it."""
    settings = {
        name: setting._replace(origin=f"--{setting.origin}") if setting.origin.endswith(f" in {file}") else setting
        for name, setting in options.settings.items()
        if name in ScreenshotOptions.declared
    }
    export(Options({}, settings))
