"""What went wrong in a page: exceptions of its scripts, console errors, files that did not come."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from testkit.screenshots.browsers import despite_alerts, kind_of, name_of, speaking
from testkit.screenshots.browsers.log import PageError, status_error

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver

    from testkit.screenshots.requests import Requests

__all__ = ["PageError", "allowed_not", "collect", "describe", "with_those_of_server"]

_ASKED = """
const noted = window[Symbol.for("testkit.watch")]?.asked ?? [];
return performance.getEntriesByType("resource")
  .filter((entry) => ["fetch", "xmlhttprequest", "beacon"].includes(entry.initiatorType)).map((entry) => entry.name)
  .concat([...noted]);
"""
_FAVICON = "/favicon.ico"
_CHROMIUM = ("chromium", "chrome", "edge")


def collect(driver: WebDriver, server: str = "") -> list[PageError]:
    """Return what went wrong since the last call (or since the browser's context is a fresh one).

    That is: exceptions that no script caught; ``console.error``; answers with a status of 500 and above; and parts of a
    page from its own site that did not come: style sheets, scripts, images, fonts. A favicon that is missing is none,
    nor is the status 404 of a page itself, or of what a script of the present page asks for: they may be what is tested.

    Firefox tells of the statuses of the present page only, and WebKit's driver of nothing; the live server knows more.

    Args:
        driver: of the browser.
        server: the URL of the live server; what it should have had is missing, whatever page that was a part of.

    Raises:
        BrowserDied: the browser is gone.
    """
    with speaking(driver):
        found = despite_alerts(lambda: kind_of(driver).page_errors(driver))
        files = [error for error in found if error.kind == "file"]
        if not files:
            return found
        harmless = despite_alerts(lambda: _harmless(driver, files, urlsplit(server)))
        return [error for error in found if error not in harmless]


def _harmless(driver: WebDriver, files: list[PageError], server: SplitResult) -> list[PageError]:
    """Return those of ``files`` that are no parts of a page of the same site, nor of ``server``."""
    page = urlsplit(driver.current_url)
    not_parts = set(driver.execute_script(_ASKED))
    if name_of(driver) in _CHROMIUM:
        history = driver.execute("executeCdpCommand", {"cmd": "Page.getNavigationHistory", "params": {}})["value"]
        not_parts.update(entry["url"].partition("#")[0] for entry in history["entries"])
    return [
        error
        for error in files
        if error.url.partition("#")[0] in not_parts or _is_foreign(urlsplit(error.url), page, server)
    ]


def _is_foreign(url: SplitResult, page: SplitResult, server: SplitResult) -> bool:
    """Return whether ``url`` is a favicon, or another site's than ``page`` (if that is a site's at all) and ``server``."""
    if url.path == _FAVICON:
        return True
    if server.port and (url.scheme, url.port) == (server.scheme, server.port):
        return False  # by whatever name of this machine
    return page.scheme in ("http", "https") and (url.scheme, url.netloc) != (page.scheme, page.netloc)


def with_those_of_server(
    driver: WebDriver, errors: Iterable[PageError], requests: Requests, server: str
) -> list[PageError]:
    """Return ``errors``, and what ``requests`` of the live server at the URL ``server`` came to since the last call.

    That is its exceptions, also those that no page has told of; and, for browsers that do not tell of all statuses, these.
    """
    found, refusals = list(errors), requests.take_refusals()
    told = {urlsplit(error.url)[2:4] for error in found}
    for path, status in refusals if name_of(driver) not in _CHROMIUM else ():
        url = urlsplit(path)
        if url[2:4] not in told and url.path != _FAVICON:
            found.append(status_error(f"{server}{path}", status))
    for failure in requests.take_failures():
        raised = f"\n{failure.method} {failure.path} raised\n{failure.error}\n"
        for place, error in enumerate(found):
            if error.kind == "server" and error.url.endswith(failure.path) and "\n" not in error.message:
                found[place] = error._replace(message=f"{error.message}{raised}")
                break
        else:
            message = f"the server answered with the status 500{raised}"
            found.append(PageError("server", message, f"{server}{failure.path}"))
    return found


def allowed_not(errors: Iterable[PageError], patterns: Iterable[str]) -> list[PageError]:
    """Return those of ``errors`` in whose message and URL none of ``patterns`` (regular expressions) is found."""
    allowed = [re.compile(pattern) for pattern in patterns]
    return [error for error in errors if not any(pattern.search(f"{error.message} {error.url}") for pattern in allowed)]


def describe(errors: Sequence[PageError]) -> str:
    """Return the text that fails a test for ``errors``; empty if there are none."""
    if not errors:
        return ""
    lines = [f"{len(errors)} error{'s' * (len(errors) > 1)} in the page (allowed_page_errors names those that may be):"]
    for error in errors:
        first, end, more = error.message.partition("\n")
        lines.append(f"  {error.kind}: {first}{f' ({error.url})' * bool(error.url)}{end}{more}")
    return "\n".join(lines)
