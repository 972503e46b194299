"""Brings a page to rest before its picture is taken, and lets it go on afterwards.

One script in the page does it all, as each call of the browser takes milliseconds; ``watch.js`` has noted before what
the page asks for.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from testkit.screenshots.browsers.kinds import SCRIPT_SECONDS, kind_of, speaking, state_of
from testkit.screenshots.errors import ScreenshotError

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver

WaitFor: TypeAlias = "str | Callable[[WebDriver], object] | None"
"""A CSS selector of what must be seen, or a function of the driver that must return something true."""
POLL_SECONDS = 0.05
_PARTS = "settle_begin", "settle_moving", "settle_loading", "settle_end"
_SPARE = 10.0
"""Seconds that the script may take to say that its time is up."""
_SHOWN = 8
"""How many of the things that a page waits for are named."""


class NotSettled(ScreenshotError):
    """The page did not come to rest in time; the message names what was still going on."""


def settle(
    driver: WebDriver,
    *,
    hide: Sequence[str] = (),
    style: str = "",
    wait_for: WaitFor = None,
    background: Sequence[str] = (),
    timeout: float = 10.0,
) -> AbstractContextManager[None]:
    """Bring the page to rest, and return what undoes that at the end of a ``with``; an earlier call is undone first.

    Lazy images are loaded; images, fonts, style sheets, requests and short timers are awaited; animations that end
    are at their end, others at their beginning; the caret is hidden.

    Args:
        driver: of the browser.
        hide: CSS selectors of what is not to be seen; it keeps its place.
        style: further CSS rules.
        wait_for: a CSS selector of what must be seen, or a function of the driver that must return something true.
        background: parts of the addresses of requests that are not awaited, such as those that stay open for news.
        timeout: seconds for all of it.

    Raises:
        NotSettled: it was not at rest by then.
        BrowserDied: the browser is gone.
        ScreenshotError: one of ``hide`` is no selector.
    """
    end = time.monotonic() + timeout
    if callable(wait_for):
        _await(driver, wait_for, timeout)
    with speaking(driver):
        if timeout + _SPARE > SCRIPT_SECONDS:
            driver.set_script_timeout(timeout + _SPARE)
        answer = _run(driver, hide, style, wait_for if isinstance(wait_for, str) else "", background, end)
    state_of(driver).is_settled = bool(answer.get("undo"))
    if error := answer.get("error"):
        raise ScreenshotError(f"the page could not be brought to rest: {error}")
    if pending := answer["pending"]:
        unsettle(driver)
        more = f" and {len(pending) - _SHOWN} more" if len(pending) > _SHOWN else ""
        raise NotSettled(
            f"the page did not come to rest within {timeout:g} s: {'; '.join(pending[:_SHOWN])}{more}. "
            "A longer time is given by the option screenshot_timeout"
        )
    return _unsettled_after(driver)


@contextmanager
def _unsettled_after(driver: WebDriver) -> Iterator[None]:
    try:
        yield
    finally:
        unsettle(driver)


def _await(driver: WebDriver, condition: Callable[[WebDriver], object], timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while not condition(driver):
        if time.monotonic() > deadline:
            name = getattr(condition, "__name__", repr(condition))
            raise NotSettled(f"wait_for={name} did not hold within {timeout:g} s")
        time.sleep(POLL_SECONDS)


def _run(
    driver: WebDriver, hide: Sequence[str], style: str, wait_for: str, background: Sequence[str], end: float
) -> dict[str, Any]:
    """Run the script, again where the page was left for another one meanwhile; return its answer."""
    from selenium.common.exceptions import JavascriptException, TimeoutException

    while True:
        left = max(end - time.monotonic(), 0.1)
        options = {
            "hide": list(hide),
            "style": style,
            "scrollbars": "" if state_of(driver).hides_scrollbars else SCROLLBARS,
            "waitFor": wait_for,
            "background": list(background),
            "timeout": left * 1000,
        }
        try:
            answer: dict[str, Any] = driver.execute_async_script(script_of(*_PARTS), options)
            return answer
        except JavascriptException as error:
            if "unloaded" not in str(error.msg) or time.monotonic() > end:
                raise
        except TimeoutException:
            # Of a page that is left, chromedriver says this at once, now and then.
            if time.monotonic() > end:
                return {"pending": ["a script of the page that does not end"]}


SCROLLBARS = "* { scrollbar-width: none !important } *::-webkit-scrollbar { display: none !important }"


def unsettle(driver: WebDriver) -> None:
    """Undo what :func:`settle` has changed in the page: hidden things are seen again, endless animations go on."""
    state = state_of(driver)
    if state.is_settled:
        state.is_settled = False
        with speaking(driver):
            driver.execute_script("window[Symbol.for('testkit.undo')]?.()")


def watch(driver: WebDriver) -> None:
    """Have requests and timers of pages noted, from the next load on, where the browser can do that.

    It is done for drivers of :func:`~testkit.screenshots.browsers.start`. Without it, what scripts ask for is not
    awaited.
    """
    kind_of(driver).preload(driver, "watch", script_of("watch"))


def freeze(driver: WebDriver, *, at: str | None = None, seed: int | None = None) -> None:
    """Stop the page's clock, and seed ``Math.random``, from the next load on until the context is a fresh one.

    With a stopped clock, frames that scripts draw are counted: each is a sixtieth of a second by the page's clock, and
    after 120 of them, or when the page is brought to rest, no more are drawn until there is an action of the user.
    Timers go on. Workers are not reached.

    Args:
        driver: of the browser.
        at: an ISO date and time, of UTC unless it says otherwise; None for the true time.
        seed: a whole number; None for true randomness.

    Raises:
        ScreenshotError: ``at`` is no such date, or the browser cannot do that.
    """
    script = ""
    if at is not None or seed is not None:
        milliseconds = None if at is None else _milliseconds(at)
        script = script_of("freeze").replace("(AT, SEED)", f"({json.dumps(milliseconds)}, {json.dumps(seed)})")
    with speaking(driver):
        kind_of(driver).preload(driver, "freeze", script)


def _milliseconds(at: str) -> int:
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        raise ScreenshotError(
            f"the clock cannot be stopped at {at!r}: an ISO date is wanted, as 2024-02-29T12:00"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


@cache
def script_of(*names: str) -> str:
    """Return the text of scripts of this folder, one after the other."""
    return "\n".join(Path(__file__).with_name(f"{name}.js").read_text(encoding="utf-8") for name in names)
