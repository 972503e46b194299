"""Pages that are never twice the same give one picture, which is the right one."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from testkit.screenshots.capture import capture, set_viewport
from testkit.screenshots.settle import freeze, settle
from testkit.screenshots.viewports import Breakpoint
from tests.screenshots.images import png
from tests.screenshots.web import Answer, Web

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver

LOADS = 10
AT_REST = """
const [answer] = arguments;
Promise.all([document.fonts.ready, ...[...document.images].map((image) => image.decode())])
  .then(() => requestAnimationFrame(() => answer()));
"""
MOVING = b"""<svg xmlns='http://www.w3.org/2000/svg' width='60' height='40'><rect width='60' height='40' fill='red'>
<animate attributeName='fill' values='red;lime;blue' dur='300ms' repeatCount='indefinite'/></rect></svg>"""


@pytest.fixture
def site(web: Web) -> Web:
    """The trap pages, and the images that move in one of them."""
    colours = [Image.new("RGB", (60, 40), colour) for colour in ("red", "lime", "blue")]
    for kind, options in (("gif", {}), ("webp", {"lossless": True})):
        file = io.BytesIO()
        colours[0].save(file, kind, save_all=True, append_images=colours[1:], duration=70, loop=0, **options)
        web.give(f"/moving.{kind}", Answer(file.getvalue(), f"image/{kind}"))
    web.give("/moving.svg", Answer(MOVING, "image/svg+xml"))
    return web


def settled_shot(driver: WebDriver, url: str) -> bytes:
    """Return the whole page at ``url``, brought to rest."""
    driver.get(url)
    with settle(driver):
        return capture(driver)


def pixels(shot: bytes) -> bytes:
    """Return the decoded pixels of a PNG, in its own encoding."""
    return png(Image.open(io.BytesIO(shot)).convert("RGB"))


@pytest.mark.parametrize(
    "page",
    [
        "endless.html",
        "finite.html",
        "lazy.html",
        "late_image.html",
        "late_font.html",
        "caret.html",
        "caret.html?shadow",
        "gif.html",
        "frames.html",
        "clock.html",
    ],
)
def test_ten_loads_give_one_picture_and_the_right_one(driver: WebDriver, site: Web, page: str) -> None:
    """Ten loads of a page that moves, loads late or tells the time give one picture: that of the same page at rest.

    What scripts draw and tell needs a stopped clock for that; nothing else does.
    """
    set_viewport(driver, Breakpoint(400, 500))
    name, _, query = page.partition("?")
    driver.get(f"{site.url}/{name}?still")
    driver.execute_async_script(AT_REST)
    reference = pixels(capture(driver))
    if name in ("frames.html", "clock.html"):
        freeze(driver, at="2024-02-29T12:00", seed=1)
    shots = {pixels(settled_shot(driver, f"{site.url}/{name}{query and '?' + query}")) for _ in range(LOADS)}
    assert shots == {reference}


def test_what_scripts_draw_is_not_still_without_a_stopped_clock(driver: WebDriver, site: Web) -> None:
    """Without a stopped clock, scripts draw by their own: the pictures differ, as the documentation says."""
    set_viewport(driver, Breakpoint(400, 500))
    shots = {settled_shot(driver, f"{site.url}/{page}") for page in ("frames.html", "clock.html") for _ in range(3)}
    assert len(shots) > 2


def test_a_stopped_clock_draws_again_when_the_user_acts(driver: WebDriver, web: Web) -> None:
    """With a stopped clock, what a click moves is drawn to its end, though the frames before it are used up."""
    url = web.page(
        "<button style='width:50px;height:50px'>go</button><p id=out>0</p><script>let n = 0;"
        "const spin = () => requestAnimationFrame(spin); spin();"
        "const draw = () => { out.textContent = ++n; if (n < 30) requestAnimationFrame(draw) };"
        "document.querySelector('button').onclick = () => requestAnimationFrame(draw)</script>"
    )
    freeze(driver, at="2024-02-29T12:00")
    driver.get(url)
    with settle(driver):
        assert driver.find_element("id", "out").text == "0"
    driver.find_element("tag name", "button").click()
    with settle(driver):
        assert driver.find_element("id", "out").text == "30"


def test_a_stopped_clock_is_a_whole_clock(driver: WebDriver, web: Web) -> None:
    """Dates with a stopped clock are dates: built from parts, parsed, derived from, and of the time zone's day."""
    freeze(driver, at="2024-02-29T12:00+02:00", seed=7)
    driver.get(web.page("<p>"))
    told = driver.execute_script(
        "class Day extends Date { day() { return this.getUTCDate() } }"
        "const first = Math.random();"
        "return [new Date().toISOString(), Date.now(), new Date(2020, 1, 2).getDate(), new Date(0).getTime(),"
        " Date.parse('1970-01-02T00:00Z'), new Day().day(), new Day(0).day(), new Date() instanceof Date, typeof Date(),"
        " new Date().constructor === Date, performance.now() < performance.now(), Date.length, first !== Math.random()]"
    )
    assert told == [
        *("2024-02-29T10:00:00.000Z", 1709200800000, 2, 0, 86400000, 29, 1, True, "string"),
        *(True, True, 7, True),
    ]
