"""What goes wrong in a page, as browsers tell their drivers of it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

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


def read_log(entries: Iterable[dict[str, Any]]) -> list[PageError]:
    """Return what the entries of Chromium's log tell of errors."""
    return [_read(entry) for entry in entries if entry["level"] == "SEVERE"]


def _read(entry: dict[str, Any]) -> PageError:
    message = str(entry["message"])
    if match := _LOADING.fullmatch(message):
        status = _STATUS.search(match["reason"])
        return status_error(match["url"], int(status[1]) if status else 0, match["reason"])
    kind = "console" if entry.get("source") == "console-api" else "exception"
    if match := _SOURCE.fullmatch(message):
        return PageError(kind, match["text"], f"{match['url']}:{match['line']}")
    return PageError(kind, message)


def statuses(driver: WebDriver) -> list[PageError]:
    """Return which parts of the present page came with an error's status, where the browser has no log of that."""
    return [status_error(url, status) for url, status in driver.execute_script(_STATUSES)]


def status_error(url: str, status: int, reason: str = "") -> PageError:
    """Return that what is at ``url`` came with ``status``, or did not come at all for the ``reason``."""
    if status >= 500:
        return PageError("server", f"the server answered with the status {status}", url)
    return PageError("file", f"it did not load: {f'status {status}' if status else reason}", url)
