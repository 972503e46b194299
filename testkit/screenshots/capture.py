"""Takes pictures of pages: the whole page, an element or a part, as the browser makes them."""

from __future__ import annotations

from typing import NamedTuple

from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement

from testkit.screenshots.viewports import Breakpoint


class Clip(NamedTuple):
    """A part of a page, in CSS pixels from the page's top left corner."""

    left: float
    top: float
    width: float
    height: float


def set_viewport(driver: WebDriver, breakpoint: Breakpoint) -> None:
    """Make the inside of the browser's window exactly as large as ``breakpoint`` says, with its other options."""
    raise NotImplementedError


def capture(driver: WebDriver, target: WebElement | Clip | None = None, *, full_page: bool = True) -> bytes:
    """Return a PNG of ``target``, or of the whole page (or of the viewport, without ``full_page``)."""
    raise NotImplementedError


def rect(driver: WebDriver, element: WebElement) -> Clip:
    """Return where ``element`` is on the page."""
    raise NotImplementedError
