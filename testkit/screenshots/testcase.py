"""What tests with a browser have in common: the browser itself, a fresh context for each, and an honest end.

Selenium is imported when a class is set up, not before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from testkit.screenshots import options
from testkit.screenshots.attempts import SecondChance
from testkit.screenshots.optin import OptIn, browsers

if TYPE_CHECKING:
    from unittest import TestCase

    from selenium.webdriver.remote.webdriver import WebDriver

    from testkit.screenshots.pageerrors import PageError

    _Base = TestCase
else:
    _Base = object

__unittest = True


class BrowserMixin(SecondChance, OptIn, _Base):
    """For test cases whose tests need a browser, at ``self.driver``.

    Each test begins with a fresh context: no cookies, no storage, an empty page. What goes wrong in a page fails the
    test. Before the database is emptied, the page is left, and requests that a live server is still answering are
    waited for. Should the browser die, the test is tried once more, in another.
    """

    driver: Any = None
    """Selenium's driver of the browser: there from ``setUpClass`` on."""
    fresh_context: ClassVar[bool] = True
    """False: the tests of the class share cookies, storage and the page, as Needle's do."""
    allowed_page_errors: ClassVar[Sequence[str]] = ()
    """Regular expressions, searched for in what goes wrong in a page; what one is found in fails no test."""
    freeze_time: ClassVar[str | None] = None
    """An ISO date at which the clock of all pages stops; None for what the option of that name says."""
    random_seed: ClassVar[int | None] = None
    """Seeds ``Math.random`` of all pages; None for 0 where the clock is stopped, else for true randomness."""
    viewport_width: ClassVar[int] = 1024
    """Of the page, in CSS pixels, at the beginning of each test."""
    viewport_height: ClassVar[int] = 768

    _shared_driver: ClassVar[Any] = None

    # The browser

    @classmethod
    def get_web_driver(cls) -> WebDriver:
        """Return the browser's driver: by default that of this process, which all classes share.

        A driver of your own is quit at the end of the class.

        Raises:
            ScreenshotError: there is no such browser.
        """
        from testkit.screenshots.needle.driver import GONE, shared

        name = cls.browser or browsers()[0]
        if name in GONE:
            return GONE[name]()
        driver = shared(name)
        cls._shared_driver = driver
        return driver

    @classmethod
    def set_viewport_size(cls, width: int, height: int) -> None:
        """Make the inside of the window so many CSS pixels large."""
        from testkit.screenshots.capture import set_viewport
        from testkit.screenshots.viewports import Breakpoint

        set_viewport(cls.driver, Breakpoint(width, height))

    @classmethod
    def setUpClass(cls) -> None:
        if hasattr(cls, "server_thread_class"):
            from testkit.screenshots import liveserver

            liveserver.follow(cls)
        cls._open_browser()
        super().setUpClass()

    @classmethod
    def _open_browser(cls) -> None:
        from testkit.screenshots.browsers import say_what_is_unseen

        cls.driver = cls.get_web_driver()
        say_what_is_unseen(cls.driver)
        if cls._is_own():
            cls.addClassCleanup(cls._quit, cls.driver)
        else:
            cls._freshen()
        cls.set_viewport_size(cls.viewport_width, cls.viewport_height)

    @classmethod
    def _freshen(cls) -> None:
        """Give the browser a fresh context; or have another one, should it die of that."""
        from testkit.screenshots.browsers import renewed

        cls.driver = renewed(cls.driver, cls.get_web_driver)

    @classmethod
    def _is_own(cls) -> bool:
        return cls.driver is not cls._shared_driver

    @classmethod
    def _quit(cls, driver: WebDriver) -> None:
        from testkit.screenshots.browsers import discard

        discard(driver)

    # One test

    def _callSetUp(self) -> None:
        if hasattr(self, "server_thread_class"):
            from testkit.screenshots.liveserver import static_files

            self.enterContext(static_files(type(self)))
        self._begin_in_browser()
        # The first clean-up is the last one, but for that of who counts the test's queries.
        self.addCleanup(self._end_in_browser)
        super()._callSetUp()  # type: ignore[misc]

    def _begin_in_browser(self) -> None:
        cls = type(self)
        self._open_requests()
        if not cls._is_own():
            cls.driver = cls.get_web_driver()  # perhaps another one by now
        if cls.fresh_context and not cls._is_own():
            cls._freshen()
            cls.set_viewport_size(cls.viewport_width, cls.viewport_height)
        self._freeze()
        # What went wrong before this test is not its fault.
        self._collect_page_errors()
        if (requests := self._requests()) is not None:
            requests.take_failures()
            requests.take_refusals()

    def _freeze(self) -> None:
        at = self.freeze_time if self.freeze_time is not None else options.current().freeze_time
        seed = 0 if at and self.random_seed is None else self.random_seed
        if at or seed is not None:
            from testkit.screenshots.settle import freeze

            freeze(self.driver, at=at or None, seed=seed)

    def _end_in_browser(self) -> None:
        """Leave the page, wait for its requests, and fail the test for what went wrong in it."""
        from testkit.screenshots.browsers import despite_alerts
        from testkit.screenshots.pageerrors import describe

        cls = type(self)
        try:
            errors = self._page_errors()
            if cls.fresh_context and not cls._is_own():
                despite_alerts(lambda: cls.driver.get("about:blank"))
        finally:
            hanging = self._close_requests()
        errors += self._not_allowed([])  # of requests that the page has not waited for
        told = [text for text in (describe(errors), hanging) if text]
        if told:
            raise AssertionError("\n\n".join(told))

    # Requests

    def _open_requests(self) -> None:
        if (requests := self._requests()) is not None:
            requests.open()

    def _close_requests(self) -> str:
        """Wait for requests to end, and return what there is to say of those that do not."""
        from testkit.screenshots.requests import RequestsHang

        try:
            if (requests := self._requests()) is not None:
                requests.close(options.current().screenshot_timeout)
        except RequestsHang as error:
            return str(error)
        return ""

    def _requests(self) -> Any:
        if not hasattr(self, "server_thread_class"):
            return None
        from testkit.screenshots.liveserver import requests_of

        return requests_of(type(self))

    def _post_teardown(self) -> None:
        """Django's, around the test; what clears up after the class may make requests again."""
        super()._post_teardown()
        self._open_requests()

    # What went wrong in pages

    def _collect_page_errors(self) -> list[PageError]:
        from testkit.screenshots.pageerrors import collect

        return collect(self.driver, self._server())

    def _server(self) -> str:
        """Return the URL of the live server, if there is one."""
        return str(getattr(self, "live_server_url", ""))

    def _page_errors(self) -> list[PageError]:
        """Return what went wrong in pages since the last call, but for what is allowed."""
        return self._not_allowed(self._collect_page_errors())

    def _not_allowed(self, errors: Sequence[PageError]) -> list[PageError]:
        """Return ``errors``, with those that the live server knows of, but for what is allowed."""
        from testkit.screenshots.pageerrors import allowed_not, with_those_of_server

        if (requests := self._requests()) is not None:
            errors = with_those_of_server(self.driver, errors, requests, self._server())
        return allowed_not(errors, self.allowed_page_errors)
