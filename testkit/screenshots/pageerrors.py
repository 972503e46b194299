"""What went wrong in a page: exceptions of its scripts, console errors, files that did not come."""

from __future__ import annotations

from typing import NamedTuple

from selenium.webdriver.remote.webdriver import WebDriver


class PageError(NamedTuple):
    """One thing that went wrong in a page."""

    kind: str
    """``exception``, ``console``, ``server`` (5xx) or ``file`` (a part of the page that did not come)."""
    message: str
    url: str = ""


def collect(driver: WebDriver) -> list[PageError]:
    """Return what went wrong since the last call."""
    raise NotImplementedError
