"""Browsers: one for each process, started when first asked for, and none left behind."""

from __future__ import annotations

from typing import NamedTuple

from selenium.webdriver.remote.webdriver import WebDriver

KINDS = ("chromium", "chrome", "edge", "firefox", "webkit")


class Settings(NamedTuple):
    """Which browser, and how it is started."""

    kind: str = "chromium"
    url: str = ""
    """Of a remote WebDriver server or grid; empty for a browser of this machine."""
    binary: str = ""
    """Path of the browser; empty to look for it on the PATH."""
    driver: str = ""
    """Path of its WebDriver server; empty to look for it on the PATH."""
    arguments: tuple[str, ...] = ()
    """Further command line arguments for the browser."""
    headless: bool = True


def start(settings: Settings, mixin: type | None = None) -> WebDriver:
    """Start a browser of its own; its driver's class is Selenium's, with ``mixin`` before it."""
    raise NotImplementedError


def shared(settings: Settings, mixin: type | None = None) -> WebDriver:
    """Return this process's browser of these settings: started when first asked for, and again when it has died."""
    raise NotImplementedError


def fresh(driver: WebDriver) -> None:
    """Give the browser a new context: no cookies, storage, caches, permissions or emulation, one window."""
    raise NotImplementedError


def is_dead(error: BaseException) -> bool:
    """Return whether ``error`` says that the browser, its tab or its driver is gone."""
    raise NotImplementedError


def discard(driver: WebDriver) -> None:
    """End the browser, dead or alive, and forget it: the next :func:`shared` starts another."""
    raise NotImplementedError


def name_of(driver: WebDriver) -> str:
    """Return the browser's name for the baselines' folder: ``chromium``, ``firefox``, …"""
    raise NotImplementedError
