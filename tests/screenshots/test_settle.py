"""Bringing pages to rest: what is awaited, what is stopped, what is undone, and what is said when it takes too long."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from testkit.screenshots.capture import capture, set_viewport
from testkit.screenshots.errors import ScreenshotError
from testkit.screenshots.settle import NotSettled, freeze, settle, unsettle
from testkit.screenshots.viewports import Breakpoint
from tests.screenshots.web import Answer, Web

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver

TEAL, WHITE = (0, 128, 128), (255, 255, 255)


def colour_at(driver: WebDriver, x: int, y: int) -> object:
    """Return the colour of a pixel of the page."""
    return Image.open(io.BytesIO(capture(driver))).convert("RGB").getpixel((x, y))


def test_a_page_is_as_it_was_afterwards(driver: WebDriver, web: Web) -> None:
    """Hidden things are seen again, styles are gone, endless animations move on."""
    driver.get(
        web.page(
            "<style>body { margin: 0; background: teal } @keyframes turn { to { rotate: 1turn } }"
            "b { animation: turn 3s linear infinite; display: block }</style>"
            "<p style='margin:0;height:50px;background:red'>x</p><b>turns</b><input autofocus>"
        )
    )
    set_viewport(driver, Breakpoint(300, 200))
    look = (
        "return [getComputedStyle(document.querySelector('p')).visibility, getComputedStyle(document.body).paddingTop,"
        " document.getAnimations().map((each) => each.playState), document.adoptedStyleSheets.length]"
    )
    before = driver.execute_script(look)
    assert before == ["visible", "0px", ["running"], 0]
    with settle(driver, hide=["p", "#none"], style="body { padding-top: 7px }"):
        assert driver.execute_script(look) == ["hidden", "7px", [], 1]
        assert colour_at(driver, 150, 30) == TEAL
    assert driver.execute_script(look) == before
    settle(driver, hide=["p"])
    settle(driver)  # undoes the one before
    assert driver.execute_script(look)[0] == "visible"
    unsettle(driver)
    assert driver.execute_script(look) == before


def test_an_animation_goes_on_from_where_it_was(driver: WebDriver, web: Web) -> None:
    """What was stopped goes on at the time at which it was, and finished transitions tell of their end."""
    driver.get(
        web.page(
            "<style>p { width: 10px; transition: width 60s } p.wide { width: 90px }</style><p></p><b>x</b><script>"
            "window.ends = 0; document.querySelector('p').ontransitionend = () => ends++;"
            "window.turn = document.querySelector('b').animate([{opacity: 0}, {opacity: 1}], {duration: 1e6, iterations: Infinity});"
            "turn.currentTime = 500000</script>"
        )
    )
    driver.execute_script("document.querySelector('p').className = 'wide'")
    with settle(driver):
        assert driver.execute_script("return [ends, document.querySelector('p').offsetWidth, turn.playState]") == [
            1,
            90,
            "idle",
        ]
    state, at = driver.execute_script("return [turn.playState, turn.currentTime]")
    assert (state, at) == ("running", pytest.approx(500_000, abs=60_000))


def test_a_page_at_rest_leaves_nothing_to_undo(driver: WebDriver, web: Web) -> None:
    """Where nothing was changed, nothing is undone: not even the browser is asked."""
    driver.get(web.page("<p>still</p>"))
    with settle(driver):
        driver.execute_script("window[Symbol.for('testkit.undo')] = () => { window.isUndone = true }")
    assert driver.execute_script("return window.isUndone") is None


def test_what_is_late_is_awaited(driver: WebDriver, web: Web) -> None:
    """Requests with their bodies, style sheets, frames, backgrounds and images of another breakpoint are awaited."""
    web.give("/late.css", Answer(b"p { height: 33px }", "text/css"))
    web.page("<body style='margin:0'><img src='/swatch/red.png?wait=0.2'>", "/inner")
    driver.get(
        web.page(
            "<style>div { height: 40px } @media (max-width: 400px) { div { background: url('/swatch/teal.png?wait=0.2') } }</style>"
            "<div></div><p></p><img srcset='/swatch/red.png 500w, /swatch/navy.png?wait=0.2 50w' sizes='100vw'><script>"
            "window.log = [];"
            "const ask = () => { const xhr = new XMLHttpRequest(); xhr.open('POST', '/swatch/gold.png?wait=0.2');"
            "  xhr.onload = () => { log.push('xhr'); fetch('/swatch/gold.png?wait=0.1').then((r) => r.text()).then(() => log.push('text')) };"
            "  xhr.send() };"
            "addEventListener('load', () => setTimeout(() => { ask();"
            " document.head.insertAdjacentHTML('beforeend', \"<link rel=stylesheet href='/late.css?wait=0.2'>\");"
            " document.body.insertAdjacentHTML('beforeend', \"<iframe src='/inner?wait=0.1'></iframe>\") }, 50))</script>"
        )
    )
    set_viewport(driver, Breakpoint(390, 500))
    with settle(driver):
        told = driver.execute_script(
            "const inner = document.querySelector('iframe').contentDocument;"
            "return [log, document.querySelector('p').offsetHeight, inner.images[0].naturalWidth,"
            " new URL(document.images[0].currentSrc).pathname]"
        )
        assert told == [["xhr", "text"], 33, 60, "/swatch/red.png"]
        assert colour_at(driver, 20, 20) == TEAL


def test_backgrounds_are_awaited_wherever_they_come_from(driver: WebDriver, web: Web) -> None:
    """Those of classes set late, of parts made by rules, variables, nested rules, imports, inline and in shadow trees."""
    web.give("/more.css", Answer(b".imported { background: url('/swatch/red.png?wait=0.15&6') }", "text/css"))
    web.give("/base.css", Answer(b"@import '/more.css';", "text/css"))
    driver.get(
        web.page(
            "<link rel=stylesheet href='/base.css'><style>i { display: block; width: 20px; height: 20px }"
            "@media all { .on .plain { background: url('/swatch/red.png?wait=0.15&1') } }"
            ".on .made::before { content: ''; display: block; height: 9px; background: url('/swatch/red.png?wait=0.15&2') }"
            ".on { --picture: url('/swatch/red.png?wait=0.15&3') } .on .variable { background: var(--picture) }"
            ".on { .nested { mask-image: url('/swatch/red.png?wait=0.15&4') } }</style><i class=plain></i><i class=made></i>"
            "<i class=variable></i><i class=nested></i><i></i><i></i><my-box></my-box><script>"
            "const root = document.querySelector('my-box').attachShadow({mode: 'open'}); addEventListener('load', () => {"
            " document.body.className = 'on'; const all = document.querySelectorAll('i'); all[5].className = 'imported';"
            " all[4].style.background = \"url('/swatch/red.png?wait=0.15&5')\"; root.innerHTML = `<style>b { display: block;"
            " height: 9px; background: url('/swatch/red.png?wait=0.15&7') }</style><b></b>` })</script>"
        )
    )
    with settle(driver):
        loaded = driver.execute_script(
            "return performance.getEntriesByType('resource').map((each) => each.name.at(-1))"
        )
    assert sorted(set(loaded) & set("1234567")) == list("1234567")


def test_a_timeout_names_what_was_still_loading(driver: WebDriver, web: Web) -> None:
    """What never comes ends after the time that was given, with its name; requests that are meant to stay are left out."""
    driver.get(
        web.page(
            "<script>addEventListener('load', () => { fetch('/news?hang'); const image = new Image();"
            " image.src = '/swatch/red.png?hang'; document.body.append(image);"
            " document.head.insertAdjacentHTML('beforeend', \"<link rel=stylesheet href='/a.css?hang'>\") })</script>"
        )
    )
    began = time.monotonic()
    with pytest.raises(NotSettled) as late:
        settle(driver, wait_for="#never", timeout=0.6)
    assert time.monotonic() - began < 5
    for part in (
        "within 0.6 s",
        "image /swatch/red.png?hang",
        "fetch GET /news?hang",
        "style sheet /a.css?hang",
        "wait_for #never",
    ):
        assert part in str(late.value)
    with pytest.raises(NotSettled) as late:
        settle(driver, background=["/news"], timeout=0.3)
    assert "/news" not in str(late.value)


def test_what_failed_is_not_awaited(driver: WebDriver, web: Web) -> None:
    """Images, style sheets and backgrounds that do not exist, or may not be loaded, keep no page from its rest."""
    web.page("<link rel=stylesheet href='/none5.css'>", "/inner")
    url = web.page(
        "<iframe src='/inner'></iframe>"
        "<img src='/none.png'><img><link rel=stylesheet href='/none.css'><p style='background:url(/none2.png)'>x</p>"
        "<link rel=stylesheet href='http://127.0.0.1:9/foreign.css'><img src='http://127.0.0.1:9/foreign.png'>"
        "<link rel='alternate stylesheet' href='/none3.css' title=other><img loading=lazy style='display:none' src='/none4.png'>",
        headers=(("Content-Security-Policy", "style-src 'self'; img-src 'self'"),),
    )
    driver.get(url)
    settle(driver, style="p { color: red }", timeout=5)
    assert driver.execute_script("return getComputedStyle(document.querySelector('p')).color") == "rgb(255, 0, 0)"


def test_short_timers_are_awaited_and_endless_ones_once(driver: WebDriver, web: Web) -> None:
    """A timer of a second or less is awaited; a page that sets one after the other gets a second, once."""
    driver.get(
        web.page("<script>setTimeout(() => { window.isDone = true }, 300); setTimeout(() => {}, 50000)</script>")
    )
    with settle(driver):
        assert driver.execute_script("return window.isDone")
    driver.get(web.page("<script>let n = 0; const tick = () => { n++; setTimeout(tick, 40) }; tick()</script>"))
    took = []
    for _ in range(2):
        began = time.monotonic()
        settle(driver)
        took.append(time.monotonic() - began)
    assert took[0] > 0.9
    assert took[1] < 0.9


def test_a_condition_is_awaited(driver: WebDriver, web: Web) -> None:
    """A selector is awaited until something of it is seen, a function until it returns something true."""
    driver.get(
        web.page(
            "<p style='visibility:hidden'>x</p><script>let n = 0; const id = setInterval(() => { if (++n < 20) return;"
            " clearInterval(id); document.querySelector('p').style.visibility = 'visible' }, 10)</script>"
        )
    )
    settle(driver, wait_for="p")
    assert driver.execute_script("return document.querySelector('p').style.visibility") == "visible"
    looks = iter([None, "", "found"])
    settle(driver, wait_for=lambda _: next(looks))
    assert next(looks, "over") == "over"
    with pytest.raises(NotSettled, match=r"wait_for=<lambda> did not hold within 0\.1 s"):
        settle(driver, wait_for=lambda _: False, timeout=0.1)


@pytest.mark.parametrize("options", [{"hide": ["p:::x"]}, {"wait_for": "p["}])
def test_what_is_no_selector_is_an_error(driver: WebDriver, web: Web, options: dict[str, object]) -> None:
    """A selector that the browser does not know is an error that quotes it, and not a thing that is never found."""
    driver.get(web.page("<p>x</p>"))
    with pytest.raises(ScreenshotError, match=r"p:::x|p\["):
        settle(driver, **options)  # type: ignore[arg-type]


def test_a_page_that_goes_to_another_is_awaited(driver: WebDriver, web: Web) -> None:
    """A page that leaves for another one meanwhile is brought to rest as that, however late the server answers."""
    web.page("<img src='/swatch/teal.png?wait=0.2'>", "/second")
    driver.get(
        web.page(
            "<script>addEventListener('load', () => setTimeout(() => location.replace('/second?wait=0.3'), 100))</script>"
        )
    )
    with settle(driver):
        assert driver.execute_script("return [location.pathname, document.images[0].naturalWidth]") == ["/second", 60]


def test_the_page_does_not_see_that_it_is_watched(driver: WebDriver, web: Web) -> None:
    """Functions that are watched look and fail as they do otherwise, and the window has no new names."""
    driver.get(web.page("<p>"))
    told = driver.execute_script(
        "return [fetch.name, fetch.length, String(fetch).includes('[native code]'), setTimeout.name,"
        " Object.keys(window).filter((name) => name.includes('testkit')), typeof setTimeout('1', 0)]"
    )
    assert told == ["fetch", 1, True, "setTimeout", [], "number"]
    failed = driver.execute_async_script("fetch('http://127.0.0.1:9/').catch((error) => arguments[0](error.name))")
    assert failed == "TypeError"


def test_a_clock_that_cannot_be_set_is_an_error(driver: WebDriver) -> None:
    """A date that is none is refused before the browser is asked."""
    with pytest.raises(ScreenshotError, match="cannot be stopped at 'noon'"):
        freeze(driver, at="noon")
