"""What goes wrong in pages, and what does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testkit.screenshots import browsers
from testkit.screenshots.pageerrors import PageError, collect
from testkit.screenshots.settle import settle
from tests.screenshots.web import HEAD, Answer, Web, leased

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver


def test_what_goes_wrong_in_a_page_is_told_once(driver: WebDriver, web: Web) -> None:
    """Exceptions, rejected promises, console errors, missing parts and bad answers are told, each once."""
    web.give("/page.js", Answer(b"null.length", "text/javascript"))
    driver.get(
        web.page(
            "<link rel=stylesheet href='/none.css'><img src='/none.png'><img src='/swatch/red.png?status=503'>"
            "<script src='/page.js'></script><script>console.error('went', 'wrong'); console.warn('perhaps');"
            "Promise.reject(new Error('unheard'))</script>"
        )
    )
    settle(driver)
    errors = {(error.kind, error.url.removeprefix(web.url)): error.message for error in collect(driver)}
    assert errors.pop(("exception", "/page.js:0:5")).startswith("Uncaught TypeError")
    assert errors == {
        ("file", "/none.css"): "it did not load: status 404",
        ("file", "/none.png"): "it did not load: status 404",
        ("server", "/swatch/red.png?status=503"): "the server answered with the status 503",
        **{key: errors[key] for key in errors if key[0] in ("console", "exception")},
    }
    texts = sorted(errors[key] for key in errors if key[0] in ("console", "exception"))
    assert texts[0] == '"went" "wrong"'
    assert texts[1].startswith("Uncaught")
    assert texts[1].endswith("Error: unheard")
    assert collect(driver) == []


def test_a_page_that_the_server_fails_at_is_told(driver: WebDriver, web: Web) -> None:
    """A page that is answered with status 500 is an error, also when the test has gone on to another."""
    driver.get(web.page("<p>sorry") + "?status=500")
    driver.get(web.page("<p>fine", "/fine"))
    assert collect(driver) == [
        PageError("server", "the server answered with the status 500", f"{web.url}/page?status=500")
    ]


def test_what_may_be_meant_is_no_error(driver: WebDriver, web: Web) -> None:
    """A missing favicon or page, what a script asks for in vain, and other sites' files are no errors of the page."""
    web.give("/page", Answer(HEAD.replace("data:,", "/favicon.ico").encode() + b"<p>", status=404))
    driver.get(f"{web.url}/page#part")
    driver.execute_async_script("fetch('/api').then(() => fetch('/api2', {method: 'POST'})).then(() => arguments[0]())")
    driver.execute_async_script(
        "const image = new Image(); image.onerror = () => arguments[0](); image.src = 'http://127.0.0.1:9/x.png'"
    )
    assert collect(driver) == []
    assert web.asked["/api2"] == 1


def test_a_fresh_context_has_no_errors(driver: WebDriver, web: Web, settings: browsers.Settings) -> None:
    """What went wrong in one test is not told to the next."""
    driver.get(web.page("<script>console.error('old')</script>"))
    assert collect(leased(settings)) == []
