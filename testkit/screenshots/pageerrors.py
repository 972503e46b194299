"""What went wrong in a page: exceptions of its scripts, console errors, files that did not come."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import SplitResult, urlsplit

from testkit.screenshots.browsers import despite_alerts, name_of, speaking

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver


class PageError(NamedTuple):
    """One thing that went wrong in a page."""

    kind: str
    """``exception``, ``console``, ``server`` (5xx) or ``file`` (a part of the page that did not come)."""
    message: str
    url: str = ""


_LOADING = re.compile(r"(?P<url>\S+) - Failed to load resource: (?P<reason>.*)", re.DOTALL)
_STATUS = re.compile(r"status of (\d{3})")
_SOURCE = re.compile(r"(?P<url>\S+) (?P<line>\d+(?::\d+)?) (?P<text>.*)", re.DOTALL)
_ASKED = """
const noted = window[Symbol.for("testkit.watch")]?.asked ?? [];
return performance.getEntriesByType("resource")
  .filter((entry) => ["fetch", "xmlhttprequest", "beacon"].includes(entry.initiatorType)).map((entry) => entry.name)
  .concat([...noted]);
"""
_STATUSES = """
const TOLD = Symbol.for("testkit.told");
const told = (window[TOLD] ??= new Set());
const page = performance.getEntriesByType("navigation")[0];
const parts = performance.getEntriesByType("resource")
  .filter((entry) => !["fetch", "xmlhttprequest", "beacon"].includes(entry.initiatorType));
const found = [];
for (const [entry, limit] of [[page, 500], ...parts.map((part) => [part, 400])])
  if (entry && entry.responseStatus >= limit && !told.has(entry.name)) {
    told.add(entry.name);
    found.push([entry.name, entry.responseStatus]);
  }
return found;
"""
_CHROMIUM = ("chromium", "chrome", "edge")


def collect(driver: WebDriver, server: str = "") -> list[PageError]:
    """Return what went wrong since the last call (or since the browser's context is a fresh one).

    That is: exceptions that no script caught; ``console.error``; answers with a status of 500 and above; and parts of a
    page from its own site that did not come: style sheets, scripts, images, fonts. A favicon that is missing is none,
    nor is the status 404 of a page itself, or of what a script of the present page asks for: they may be what is tested.

    Firefox and WebKit tell their drivers of the statuses only, and only of the present page.

    Args:
        driver: of the browser.
        server: the URL of the live server; what it should have had is missing, whatever page that was a part of.

    Raises:
        BrowserDied: the browser is gone.
    """
    with speaking(driver):
        if name_of(driver) not in _CHROMIUM:
            statuses = despite_alerts(lambda: driver.execute_script(_STATUSES))
            found = [_status_error(url, status) for url, status in statuses]
        else:
            log = driver.execute("getLog", {"type": "browser"})["value"]
            found = [_read(entry) for entry in log if entry["level"] == "SEVERE"]
        files = [error for error in found if error.kind == "file"]
        if not files:
            return found
        harmless = despite_alerts(lambda: _harmless(driver, files, urlsplit(server)))
        return [error for error in found if error not in harmless]


def _read(entry: dict[str, Any]) -> PageError:
    """Return what an entry of Chromium's log tells."""
    message = str(entry["message"])
    if match := _LOADING.fullmatch(message):
        status = _STATUS.search(match["reason"])
        return _status_error(match["url"], int(status[1]) if status else 0, match["reason"])
    kind = "console" if entry.get("source") == "console-api" else "exception"
    if match := _SOURCE.fullmatch(message):
        return PageError(kind, match["text"], f"{match['url']}:{match['line']}")
    return PageError(kind, message)


def _status_error(url: str, status: int, reason: str = "") -> PageError:
    if status >= 500:
        return PageError("server", f"the server answered with the status {status}", url)
    return PageError("file", f"it did not load: {f'status {status}' if status else reason}", url)


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
    if url.path == "/favicon.ico":
        return True
    if server.port and (url.scheme, url.port) == (server.scheme, server.port):
        return False  # by whatever name of this machine
    return page.scheme in ("http", "https") and (url.scheme, url.netloc) != (page.scheme, page.netloc)
