"""What an assertion looks at, how the page is made ready for that, and the picture of it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from testkit.screenshots.compare import Region
from testkit.screenshots.errors import ScreenshotError

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver

    from testkit.screenshots.settle import WaitFor

__unittest = True
__tracebackhide__ = True  # pytest's name for it

Target = Any
"""What is looked at: a CSS selector, ``(By.…, value)``, an element, a ``Clip``; None or ``"html"`` for the whole page."""


class Look(TypedDict, total=False):
    """What each assertion may be told by name: how the page is made ready, and how much may differ."""

    hide: str | Sequence[str]
    """CSS selectors of what is not to be seen; its place stays empty."""
    ignore: Target | Sequence[Target]
    """Selectors, elements or clips of what is not compared; it is not painted over."""
    style: str
    """Further CSS for the page."""
    wait_for: WaitFor
    """A CSS selector of what must be seen first, or a function of the driver that must return something true."""
    max_diff_pixels: int
    """How many pixels may differ; this and what follows goes with the default engine."""
    max_diff_ratio: float
    """Which part of the pixels may differ, from 0 to below 1."""
    colour: float
    """How far a pixel's colour may be off, from 0 to below 1, as Playwright's ``threshold``."""
    ignore_antialiasing: bool
    """Whether smoothed edges may differ."""


_LISTS = "hide", "ignore"
_READY = *_LISTS, "style", "wait_for"


def parts_of(look: Look) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return how ``look`` has the page made ready, as a :class:`View` has it, and what is tolerated.

    Raises:
        TypeError: there is something in it that is neither.
    """
    if unknown := look.keys() - Look.__optional_keys__:
        known = ", ".join(sorted(Look.__optional_keys__))
        raise TypeError(f"an assertion of screenshots has no argument {min(unknown)!r}; by name there are also {known}")
    given: dict[str, Any] = {**look, **{name: listed(value) for name, value in look.items() if name in _LISTS}}
    return {name: given.pop(name) for name in _READY if name in given}, given


class View(NamedTuple):
    """What is looked at, and how the page is made ready for it."""

    target: Target = None
    full_page: bool = True
    """Whether a whole page is more than what fits into the window."""
    hide: Sequence[str] = ()
    """CSS selectors of what is not to be seen; its place stays empty."""
    ignore: Sequence[Target] = ()
    """What is not compared, as selectors, elements or clips; it is not painted over."""
    style: str = ""
    """Further CSS for the page."""
    wait_for: WaitFor = None
    timeout: float = 10.0
    """Seconds for the page to come to rest."""


class Shot(NamedTuple):
    """A picture, and the regions of it that are not compared."""

    image: bytes
    ignored: Sequence[Region] = ()


def shoot(driver: WebDriver, view: View) -> Shot:
    """Return a picture of what the page shows now."""
    from testkit.screenshots.capture import framed, scale_of

    with framed(driver, locate(driver, view.target), full_page=view.full_page) as part:
        image = part.shot()
        if not view.ignore:
            return Shot(image)
        origin = _scrolled(driver) if part.clip is None else part.clip
        clips = [clip for what in view.ignore for clip in _clips(driver, what)]
    scale = scale_of(driver)
    return Shot(image, [_region(clip, origin, scale) for clip in clips])


def locate(driver: WebDriver, target: Target) -> Any:
    """Return the element or the clip that ``target`` stands for; None for the whole page."""
    if target is None or target == "html":
        return None
    if isinstance(target, str):
        return driver.find_element("css selector", target)
    if type(target) is tuple and len(target) == 2:
        return driver.find_element(*target)
    return target


def _clips(driver: WebDriver, target: Target) -> list[Any]:
    """Return the place of each thing that ``target`` stands for: a selector may find several, or none."""
    from testkit.screenshots.capture import Clip, rect

    if isinstance(target, Clip):
        return [target]
    if isinstance(target, str):
        target = ("css selector", target)
    found = driver.find_elements(*target) if type(target) is tuple else [target]
    clips = []
    for element in found:
        with suppress(ScreenshotError):  # nothing is seen of it
            clips.append(rect(driver, element))
    return clips


def _scrolled(driver: WebDriver) -> Any:
    from testkit.screenshots.capture import Clip

    left, top = driver.execute_script("return [window.scrollX, window.scrollY]")
    return Clip(left, top, 0, 0)


def _region(clip: Any, origin: Any, scale: float) -> Region:
    """Return the pixels of an image from ``origin`` on that ``clip`` touches."""
    left, top = clip.left - origin.left, clip.top - origin.top
    edges = [int(left * scale), int(top * scale)]
    ends = [-int(-(left + clip.width) * scale // 1), -int(-(top + clip.height) * scale // 1)]
    return Region(edges[0], edges[1], ends[0] - edges[0], ends[1] - edges[1])


def listed(given: Any) -> Sequence[Any]:
    """Return a list of what may be one thing."""
    return given if isinstance(given, list) or (type(given) is tuple and not _is_locator(given)) else [given]


def _is_locator(given: tuple[Any, ...]) -> bool:
    """Return whether a tuple is Selenium's ``(By.…, value)`` rather than several things."""
    return len(given) == 2 and given[0] in (
        "id",
        "xpath",
        "link text",
        "partial link text",
        "name",
        "tag name",
        "class name",
        "css selector",
    )
