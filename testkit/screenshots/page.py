"""Page objects: what a page is and can do, apart from the tests that use it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from testkit.screenshots.errors import ScreenshotError

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver
    from selenium.webdriver.remote.webelement import WebElement

T = TypeVar("T")
P = TypeVar("P", bound="Page")


class Page:
    """A page of the site: where it is, how one sees that it is there, and what can be done on it.

    .. code-block:: python

        class LoginPage(Page):
            path = "/login/"
            ready = "form.login"

            def log_in(self, name: str, password: str) -> "HomePage":
                self.fill("[name=username]", name)
                self.fill("[name=password]", password)
                return self.follow("form.login button", HomePage)

        class LoginTest(ResponsiveScreenshotMixin, StaticLiveServerTestCase):
            def test_login(self):
                home = LoginPage.open(self).log_in("ada", "secret")
                self.assertEqual(home.text("h1"), "Hello, Ada")
    """

    path: ClassVar[str] = "/"
    """Of the page, from the root of the site; with ``{names}`` for what :meth:`open` is given."""
    ready: ClassVar[str] = "body"
    """A CSS selector of what must be seen before anything is done."""
    timeout: ClassVar[float] = 10.0
    """Seconds to wait for what must be seen."""

    def __init__(self, driver: WebDriver, base_url: str = "") -> None:
        """Be the page that ``driver`` shows, or is about to show.

        Raises:
            ScreenshotError: it does not come.
        """
        self.driver, self.base_url = driver, base_url
        self.wait_for(self.ready)

    @classmethod
    def open(cls, test: Any, **parts: object) -> Self:
        """Go to the page in the browser of ``test``, at its live server; ``parts`` fill the ``{names}`` of ``path``."""
        base_url = test.live_server_url
        test.driver.get(base_url + cls.path.format(**parts))
        return cls(test.driver, base_url)

    def find(self, selector: str) -> WebElement:
        """Return the first element that the CSS ``selector`` finds."""
        return self.driver.find_element("css selector", selector)

    def find_all(self, selector: str) -> list[WebElement]:
        """Return all elements that it finds."""
        return self.driver.find_elements("css selector", selector)

    def text(self, selector: str) -> str:
        """Return the text that is seen in an element."""
        return str(self.find(selector).text)

    def fill(self, selector: str, value: str) -> None:
        """Write ``value`` into a field, in the place of what was there."""
        field = self.find(selector)
        field.clear()
        field.send_keys(value)

    def click(self, selector: str) -> None:
        """Click an element, once it can be."""
        from selenium.webdriver.support.expected_conditions import element_to_be_clickable

        element: Any = self._wait(element_to_be_clickable(("css selector", selector)), f"{selector} cannot be clicked")
        element.click()

    def follow(self, selector: str, page: type[P]) -> P:
        """Click an element that leads to another page, and return that."""
        from selenium.webdriver.support.expected_conditions import staleness_of

        before = self.find("html")
        self.click(selector)
        self._wait(staleness_of(before), f"a click on {selector} leads nowhere")
        return page(self.driver, self.base_url)

    def wait_for(self, selector: str) -> WebElement:
        """Wait until an element is seen, and return it.

        Raises:
            ScreenshotError: it is not seen in time.
        """
        from selenium.webdriver.support.expected_conditions import visibility_of_element_located

        element: Any = self._wait(visibility_of_element_located(("css selector", selector)), f"{selector} is not seen")
        return element  # type: ignore[no-any-return]

    def _wait(self, condition: Callable[[WebDriver], T], what: str) -> T:
        from selenium.common.exceptions import TimeoutException
        from selenium.webdriver.support.wait import WebDriverWait

        try:
            return WebDriverWait(self.driver, self.timeout, poll_frequency=0.05).until(condition)
        except TimeoutException:
            raise ScreenshotError(
                f"{type(self).__name__}: {what} after {self.timeout:g} s, at {self.driver.current_url}"
            ) from None
