"""Brings a page to rest before its picture is taken, and lets it go on afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from selenium.webdriver.remote.webdriver import WebDriver

from testkit.screenshots.errors import ScreenshotError

WaitFor = str | Callable[[WebDriver], object] | None
"""A CSS selector of what must be seen, or a function of the driver that must return something true."""


class NotSettled(ScreenshotError):
    """The page did not come to rest in time; the message names what was still going on."""


def settle(
    driver: WebDriver, *, hide: Sequence[str] = (), style: str = "", wait_for: WaitFor = None, timeout: float = 10.0
) -> None:
    """Bring the page to rest; what an earlier call has changed is undone first."""
    raise NotImplementedError


def unsettle(driver: WebDriver) -> None:
    """Undo what :func:`settle` has changed in the page: hidden things are seen again, animations go on."""
    raise NotImplementedError


@contextmanager
def settled(
    driver: WebDriver, *, hide: Sequence[str] = (), style: str = "", wait_for: WaitFor = None, timeout: float = 10.0
) -> Iterator[None]:
    """:func:`settle` for the block; :func:`unsettle` after it."""
    settle(driver, hide=hide, style=style, wait_for=wait_for, timeout=timeout)
    try:
        yield
    finally:
        unsettle(driver)


def freeze(driver: WebDriver, *, at: str | None = None, seed: int | None = None) -> None:
    """Stop the page's clock at the ISO date ``at``, and seed ``Math.random``, from the next load on."""
    raise NotImplementedError
