"""Exact viewports, and pictures of what was asked for: whole pages, elements and clips."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from PIL import Image, ImageChops

from testkit.screenshots import browsers
from testkit.screenshots.browsers import chromium
from testkit.screenshots.capture import Clip, capture, rect, set_viewport
from testkit.screenshots.errors import ScreenshotError
from testkit.screenshots.view import View, shoot
from testkit.screenshots.viewports import DEFAULT, Breakpoint
from tests.screenshots.web import Web

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver

RED, TEAL, NAVY, GOLD, WHITE = (255, 0, 0), (0, 128, 128), (0, 0, 128), (255, 215, 0), (255, 255, 255)
BARE = "<style>body, p { margin: 0 }</style>"
NOTICED = (
    "<script>window.noticed = []; addEventListener('resize', () => noticed.push([innerWidth, innerHeight]));"
    "matchMedia('(max-width: 300px)').onchange = () => noticed.push('media')</script>"
)


def picture(shot: bytes) -> Image.Image:
    """Return the picture of a PNG."""
    return Image.open(io.BytesIO(shot)).convert("RGB")


def only(shot: bytes) -> object:
    """Return the one colour of a PNG, or all that it has."""
    colours = [colour for _, colour in picture(shot).getcolors() or []]
    return colours[0] if len(colours) == 1 else colours


def box_of(image: Image.Image, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Return the corners of all that has that colour in a picture."""
    red, green, blue = ImageChops.difference(image, Image.new("RGB", image.size, colour)).split()
    box = ImageChops.lighter(ImageChops.lighter(red, green), blue).point([255] + [0] * 255).getbbox()
    assert box
    return box


def find(driver: WebDriver, selector: str) -> object:
    """Return the element that ``selector`` finds."""
    return driver.find_element("css selector", selector)


def test_viewports_are_exact(driver: WebDriver, web: Web) -> None:
    """The page has the width and height of each breakpoint, to the pixel, also where it scrolls; media queries agree."""
    driver.get(web.page("<p style='height:3000px'>"))
    for breakpoint in (*DEFAULT, Breakpoint(101, 77)):
        set_viewport(driver, breakpoint)
        told = driver.execute_script(
            "return [innerWidth, innerHeight, document.documentElement.clientWidth,"
            " matchMedia(`(width: ${arguments[0]}px) and (height: ${arguments[1]}px)`).matches]",
            *breakpoint[:2],
        )
        assert told == [breakpoint.width, breakpoint.height, breakpoint.width, True]


LOOKS = (
    "const is = (query) => matchMedia(query).matches;"
    "return [devicePixelRatio, is('(prefers-color-scheme: dark)'), is('(prefers-reduced-motion: reduce)'), is('print'),"
    " navigator.language, Intl.DateTimeFormat().resolvedOptions().timeZone, (1.5).toLocaleString()]"
)


def test_a_breakpoint_has_its_options_and_leaves_none(driver: WebDriver, web: Web) -> None:
    """Scale, scheme, motion, media, locale and time zone are a breakpoint's, and gone with the next, or a new context."""
    usual = [1, False, False, False]
    everything = Breakpoint(320, 540, "all", 2, "dark", True, "print", "de-DE", "Asia/Tokyo")
    driver.get(web.page("<p>"))
    before = driver.execute_script(LOOKS)
    assert before[:4] == usual
    set_viewport(driver, everything)
    driver.refresh()
    assert driver.execute_script(LOOKS) == [2, True, True, True, "de-DE", "Asia/Tokyo", "1,5"]
    set_viewport(driver, Breakpoint(320, 540))
    driver.refresh()
    assert driver.execute_script(LOOKS) == before
    set_viewport(driver, everything)
    browsers.fresh(driver)
    driver.get(web.url + "/page")
    assert driver.execute_script(LOOKS) == before


def test_the_language_of_a_breakpoint_is_asked_for(driver: WebDriver, web: Web) -> None:
    """A server is asked for the language of the breakpoint, so that translated pages are."""
    set_viewport(driver, Breakpoint(320, 540, locale="fr-CA"))
    driver.get(web.page("<p>"))
    assert web.headers[-1]["Accept-Language"].startswith("fr-CA")


def test_the_whole_page_is_in_the_picture(driver: WebDriver, web: Web) -> None:
    """A page of 30,000 pixels is in its picture to the last row, though the viewport is small, and notices nothing."""
    driver.get(
        web.page(
            f"{BARE}<p style='height:29950px;background:linear-gradient(red, navy)'>"
            f"<p style='height:50px;background:gold'>{NOTICED}"
        )
    )
    set_viewport(driver, Breakpoint(200, 300))
    driver.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(() => arguments[0]()))")
    driver.execute_script("noticed.length = 0")
    whole = picture(capture(driver))
    assert whole.size == (200, 30000)
    assert whole.getpixel((100, 10)) == pytest.approx(RED, abs=2)
    assert whole.getpixel((100, 29949)) == pytest.approx(NAVY, abs=2)
    assert [whole.getpixel((100, y)) for y in (29950, 29999)] == [GOLD, GOLD]
    assert driver.execute_script("return [noticed, innerHeight]") == [[], 300]


def test_a_pixel_below_the_fold_is_seen(driver: WebDriver, web: Web) -> None:
    """One pixel that changes 2,000 pixels below the fold changes the picture at every breakpoint; else it is the same."""
    url = web.page(
        f"{BARE}<p style='height:2900px'><i style='display:block;width:1px;height:1px'></i><p style='height:99px'>"
    )
    driver.get(url)
    for breakpoint in DEFAULT:
        set_viewport(driver, breakpoint)
        before, again = capture(driver), capture(driver)
        driver.execute_script("document.querySelector('i').style.background = '#fefefe'")
        after = capture(driver)
        driver.execute_script("document.querySelector('i').style.background = ''")
        assert before == again
        assert before != after


def test_what_is_fixed_or_sticks_is_where_the_viewport_has_it(driver: WebDriver, web: Web) -> None:
    """A fixed header and footer are once in a whole page, where they are in the viewport; a sticky one where it is."""
    driver.get(
        web.page(
            f"{BARE}<style>header, footer {{ position: fixed; width: 100%; height: 20px; background: teal }}"
            "header { top: 0 } footer { bottom: 0 } nav { position: sticky; top: 20px; height: 20px; background: gold }"
            "main { height: 2000px; background: navy } section { height: 50vh; background: red }</style>"
            "<header></header><section></section><nav></nav><main></main><footer></footer>"
        )
    )
    set_viewport(driver, Breakpoint(300, 400))

    def bands() -> list[tuple[object, int]]:
        """Return the colours from top to bottom, each with its height."""
        whole = picture(capture(driver))
        found: list[tuple[object, int]] = []
        for y in range(whole.height):
            colour = whole.getpixel((150, y))
            found = (
                [*found[:-1], (colour, found[-1][1] + 1)] if found and found[-1][0] == colour else [*found, (colour, 1)]
            )
        return found

    top = [(TEAL, 20), (RED, 180), (GOLD, 20), (NAVY, 160), (TEAL, 20), (NAVY, 1820)]
    assert bands() == top
    driver.execute_script("scrollTo(0, 1000)")
    scrolled = [(RED, 200), (NAVY, 780), (TEAL, 20), (GOLD, 20), (NAVY, 340), (TEAL, 20), (NAVY, 820)]
    assert [band for band in bands() if band[0] != WHITE] == scrolled
    assert driver.execute_script("return scrollY") == 1000


CARDS = (
    f"{BARE}<style>div {{ width: 50px; height: 40px }} .box {{ width: 100px; height: 60px; overflow: auto; margin-left: 10px }}"
    "</style><p style='height:2500px'></p>"
    "<div id=plain style='background:teal;margin-left:7px'></div>"
    "<div class=box><p style='height:500px'></p><div id=boxed style='background:navy'></div><p style='height:300px'></p></div>"
    "<div class=box><div id=large style='background:gold;width:500px;height:300px'></div></div>"
    "<my-card></my-card><iframe style='border:5px solid;margin:0;display:block' width=100 height=80 src='/inner'></iframe>"
    "<div id=part style='background:red;width:10.4px;height:10.4px;margin:0.3px'></div>"
    "<div id=gone style='display:none'></div><div id=out style='position:absolute;left:-500px'>x</div>"
    "<script>document.querySelector('my-card').attachShadow({mode: 'open'}).innerHTML ="
    " '<div style=\"width:33px;height:22px;background:teal\"></div>'</script>"
)


@pytest.fixture
def cards(driver: WebDriver, web: Web) -> WebDriver:
    """A page with elements below the fold, in boxes that scroll, in a shadow tree and in a frame."""
    web.page(
        f"{BARE}<p style='height:200px'></p><p id=framed style='width:30px;height:20px;background:gold'></p>", "/inner"
    )
    driver.get(web.page(CARDS))
    return driver


@pytest.mark.parametrize("scale", [1, 2])
def test_an_element_is_the_whole_picture(cards: WebDriver, scale: int) -> None:
    """An element is its picture, to the pixel: below the fold, in a box that has to be scrolled, at twice the pixels."""
    set_viewport(cards, Breakpoint(320, 300, scale=scale))
    for selector, colour, size in (("#plain", TEAL, (50, 40)), ("#boxed", NAVY, (50, 40)), ("#large", GOLD, (100, 60))):
        shot = capture(cards, find(cards, selector))
        assert picture(shot).size == (size[0] * scale, size[1] * scale)
        assert only(shot) == colour
    assert cards.execute_script(
        "return [scrollY, ...[...document.querySelectorAll('.box')].map((box) => box.scrollTop)]"
    ) == [0, 0, 0]


def test_an_element_of_part_pixels_is_in_the_picture_whole(cards: WebDriver) -> None:
    """Where an element ends within a pixel, that pixel belongs to its picture."""
    set_viewport(cards, Breakpoint(320, 300))
    where = rect(cards, find(cards, "#part"))
    assert (where.width, where.height) == (11, 11)
    assert picture(capture(cards, find(cards, "#part"))).size == (11, 11)


def test_elements_in_shadow_trees_and_frames_have_pictures(cards: WebDriver) -> None:
    """An element in a shadow tree, and one in a frame that has to be scrolled, are taken from where they are seen."""
    set_viewport(cards, Breakpoint(320, 300))
    shadowed = find(cards, "my-card").shadow_root.find_element("css selector", "div")
    assert (only(capture(cards, shadowed)), picture(capture(cards, shadowed)).size) == (TEAL, (33, 22))
    cards.switch_to.frame(find(cards, "iframe"))
    shot = capture(cards, find(cards, "#framed"))
    assert (only(shot), picture(shot).size) == (GOLD, (30, 20))


def test_what_is_not_seen_has_a_place_without_size(cards: WebDriver) -> None:
    """The place of what is hidden, or scrolled out of sight in its box, has no size; that is no error."""
    set_viewport(cards, Breakpoint(320, 300))
    for selector in ("#gone", "#out", "#boxed"):
        assert rect(cards, find(cards, selector))[2:] == (0, 0)


@pytest.mark.parametrize("scale", [1, 2])
def test_what_is_ignored_is_found_where_the_picture_has_it(cards: WebDriver, scale: int) -> None:
    """In a box that is scrolled for the picture, and in a clip that begins within a pixel, the ignored place is the thing's."""
    set_viewport(cards, Breakpoint(320, 300, scale=scale))
    cards.execute_script(
        "boxed.innerHTML = '<b style=\"display:inline-block;margin:10px 20px;width:8px;height:6px;background:red\"></b>';"
        "plain.style.background = 'rgb(1, 2, 3)'"
    )
    place = rect(cards, find(cards, "#part"))
    for view, colour in [
        (View("#boxed", ignore=["b"]), RED),
        (View(Clip(place.left - 3.4, place.top - 2.6, 30, 20), ignore=["#part"]), RED),
        (View(None, ignore=["#plain"]), (1, 2, 3)),
    ]:
        shot = shoot(cards, view)
        (region,) = shot.ignored
        image = picture(shot.image)
        left, top, right, bottom = box_of(image, colour)
        corners = region.corners
        assert (corners[0] <= left, corners[1] <= top, right <= corners[2], bottom <= corners[3]) == (True,) * 4
        assert region.width * region.height <= (right - left) * (bottom - top) + 50 * scale


def test_a_clip_and_the_viewport_can_be_taken(driver: WebDriver, web: Web) -> None:
    """A clip is a part of the page wherever that is scrolled to; without the full page, the viewport is taken as it is."""
    driver.get(web.page(f"{BARE}<p style='height:1000px;background:teal'><p style='height:1000px;background:navy'>"))
    set_viewport(driver, Breakpoint(200, 100))
    assert (only(capture(driver, Clip(10, 900, 50, 100))), only(capture(driver, Clip(0, 1000, 50, 30)))) == (TEAL, NAVY)
    driver.execute_script("scrollTo(0, 950)")
    seen = picture(capture(driver, full_page=False))
    assert (seen.size, seen.getpixel((9, 49)), seen.getpixel((9, 50))) == ((200, 100), TEAL, NAVY)


@pytest.mark.parametrize(
    ("target", "reason"),
    [("#gone", "its size is 0"), ("#out", "nothing of the page in"), (Clip(-50, 0, 20, 20), "nothing of the page in")],
)
def test_what_cannot_be_seen_has_no_picture(cards: WebDriver, target: object, reason: str) -> None:
    """To take what has no size or is off the page is an error that says so."""
    with pytest.raises(ScreenshotError, match=reason):
        capture(cards, find(cards, target) if isinstance(target, str) else target)


def test_a_browser_that_was_started_otherwise_takes_the_same_pictures(driver: WebDriver, web: Web) -> None:
    """Without our command line, Chromium is asked to capture beyond the viewport: the picture is the same."""
    driver.get(web.page(f"{BARE}<p style='height:3000px;background:linear-gradient(red, navy)'>"))
    set_viewport(driver, Breakpoint(200, 300))
    state = browsers.state_of(driver)
    assert state.is_unclipped
    ours = capture(driver)
    state.is_unclipped = False
    try:
        assert capture(driver) == ours
    finally:
        state.is_unclipped = True


def test_whether_the_browser_paints_beyond_is_found_out(driver: WebDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser that does not know the switch by which it paints beyond the viewport is found out."""
    shots = iter([b"as it is", b"blank"])
    monkeypatch.setattr(chromium, "shot", lambda *_: next(shots))
    assert not chromium._paints_beyond(driver, browsers.State())
