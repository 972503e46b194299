"""Fixtures: a server on loopback, and one browser for all tests of a process that look at a page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from testkit.screenshots import browsers
from tests.screenshots.web import Web, leased, serving

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver

    from tests.conftest import Chromium


@pytest.fixture
def web() -> Iterator[Web]:
    """A server of pages on loopback."""
    with serving() as web:
        yield web


@pytest.fixture(scope="session")
def settings(chromium: Chromium) -> Iterator[browsers.Settings]:
    """Of the Chromium of this machine; browsers that were started by them are gone after the tests."""
    yield browsers.Settings(binary=chromium.binary, driver=chromium.driver)
    browsers.end_all()


@pytest.fixture
def driver(settings: browsers.Settings) -> WebDriver:
    """This process's browser, with a fresh context."""
    return leased(settings)
