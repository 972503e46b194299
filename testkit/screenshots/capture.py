"""Takes pictures of pages: the whole page, an element or a part, as the browser makes them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from testkit.screenshots.browsers.kinds import Clip, kind_of, speaking, state_of
from testkit.screenshots.errors import ScreenshotError
from testkit.screenshots.viewports import Breakpoint

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver
    from selenium.webdriver.remote.webelement import WebElement

__all__ = ["Clip", "capture", "rect", "set_viewport"]

_EDGE = 1e-3
"""Of a pixel: what sums of fractions may be off by."""

# Coordinates are of the outermost page, since that is what pictures are taken of.
_PLACE = """
const element = arguments[0];
const parentOf = (node) => node.assignedSlot ?? node.parentElement ?? node.getRootNode().host;
let { left, top, right, bottom } = element.getBoundingClientRect();
const whole = [right - left, bottom - top];
// What is cut off by boxes that clip, and by frames, is not seen, and is no part of the picture.
const cut = (edge, box) => {
  left = Math.max(left, edge.left + box.clientLeft);
  top = Math.max(top, edge.top + box.clientTop);
  right = Math.min(right, edge.left + box.clientLeft + box.clientWidth);
  bottom = Math.min(bottom, edge.top + box.clientTop + box.clientHeight);
};
let position = getComputedStyle(element).position;
for (let box = parentOf(element); box && position !== "fixed"; box = parentOf(box)) {
  if (box === document.documentElement || box === document.body) break;
  const style = getComputedStyle(box);
  if (position === "absolute" && style.position === "static" && style.transform === "none") continue;
  if (style.overflowX !== "visible" || style.overflowY !== "visible") cut(box.getBoundingClientRect(), box);
  position = style.position;
}
for (let view = window; view !== view.top; view = view.parent) {
  const frame = view.frameElement;
  if (!frame) return null;
  const edge = frame.getBoundingClientRect();
  left += edge.left + frame.clientLeft;
  right += edge.left + frame.clientLeft;
  top += edge.top + frame.clientTop;
  bottom += edge.top + frame.clientTop;
  cut(edge, frame);
}
const { scrollX, scrollY } = window.top;
return [left + scrollX, top + scrollY, right - left, bottom - top, ...whole];
"""

_SCROLL = """
const element = arguments[0];
const boxes = [];
for (let inner = element; inner; inner = inner.ownerDocument.defaultView.frameElement)
  for (let box = inner; box; box = box.assignedSlot ?? box.parentElement ?? box.getRootNode().host)
    boxes.push([box, box.scrollLeft, box.scrollTop]);
let page = null;
try {
  const { scrollX, scrollY } = window.top;
  page = [scrollX, scrollY];
} catch {
  return [false, null]; // a frame of another site
}
element.scrollIntoView({ block: "nearest", inline: "nearest", behavior: "instant" });
window.top.scrollTo({ left: page[0], top: page[1], behavior: "instant" });
const moved = boxes.filter(([box, left, top]) => box.scrollLeft !== left || box.scrollTop !== top);
const SCROLLED = Symbol.for("testkit.scrolled");
window[SCROLLED] = () => {
  delete window[SCROLLED];
  for (const [box, left, top] of moved) box.scrollTo({ left, top, behavior: "instant" });
};
const place = (function () {PLACE}).apply(null, arguments);
return [moved.length > 0, place];
""".replace("PLACE", _PLACE)


def set_viewport(driver: WebDriver, breakpoint: Breakpoint) -> None:
    """Make the inside of the browser's window exactly as large as ``breakpoint`` says, with its other options.

    Raises:
        ScreenshotError: the browser cannot do what it asks for.
        BrowserDied: the browser is gone.
    """
    with speaking(driver):
        kind_of(driver).set_viewport(driver, breakpoint)


def capture(driver: WebDriver, target: WebElement | Clip | None = None, *, full_page: bool = True) -> bytes:
    """Return a PNG of ``target``, or of the whole page (or of the viewport, without ``full_page``).

    An element is scrolled to within what contains it, and what containers cut off of it is not in the picture; both
    the page's position and theirs are the same afterwards.

    Raises:
        ScreenshotError: there is nothing to see of ``target``.
        BrowserDied: the browser is gone.
    """
    kind = kind_of(driver)
    with speaking(driver):
        if target is None:
            return kind.shot(driver, kind.page_size(driver) if full_page else None, None)
        if isinstance(target, Clip):
            return kind.shot(driver, _whole_pixels(driver, target), None)
        is_moved, place = driver.execute_script(_SCROLL, target)
        try:
            return kind.shot(driver, _whole_pixels(driver, _seen(target, place)), target)
        finally:
            if is_moved:
                driver.execute_script("window[Symbol.for('testkit.scrolled')]?.()")


def rect(driver: WebDriver, element: WebElement) -> Clip:
    """Return where ``element`` is on the page, as far as it is seen: what :func:`capture` would take.

    What is not seen at all has no width and height.
    """
    with speaking(driver):
        place = driver.execute_script(_PLACE, element)
        try:
            return _whole_pixels(driver, _seen(element, place))
        except ScreenshotError:
            if place is None:
                raise
            return Clip(max(place[0], 0), max(place[1], 0), 0, 0)


def _seen(element: WebElement, place: list[float] | None) -> Clip:
    """Return the clip of what is seen of an element.

    Raises:
        ScreenshotError: nothing is.
    """
    if place is None:
        raise ScreenshotError("an element in a frame of another site has no place on the page that can be known")
    left, top, width, height, *whole = place
    if width <= 0 or height <= 0:
        why = "its size is 0" if 0 in whole else "it is scrolled or cut out of sight"
        raise ScreenshotError(
            f"there is nothing to see of the element <{element.tag_name}>: {why} ({whole[0]:g} × {whole[1]:g})"
        )
    return Clip(left, top, width, height)


def _whole_pixels(driver: WebDriver, clip: Clip) -> Clip:
    """Return ``clip`` with the device pixels at its edges whole, and nothing left of the page or above it.

    Raises:
        ScreenshotError: nothing is left.
    """
    breakpoint = state_of(driver).breakpoint
    scale = breakpoint.scale if breakpoint else 1
    left, top = (max(math.floor(edge * scale + _EDGE), 0) for edge in clip[:2])
    right = math.ceil((clip.left + clip.width) * scale - _EDGE)
    bottom = math.ceil((clip.top + clip.height) * scale - _EDGE)
    if right <= left or bottom <= top:
        raise ScreenshotError(f"there is nothing of the page in {clip}")
    return Clip(left / scale, top / scale, (right - left) / scale, (bottom - top) / scale)
