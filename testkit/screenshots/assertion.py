"""One screenshot: taken when the page is at rest, compared with its baseline, and what came of that kept."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from testkit.core import current
from testkit.screenshots import results
from testkit.screenshots.compare import Difference, Region, Tolerance, compare, compare_and_draw
from testkit.screenshots.errors import ScreenshotError, UnusableImage
from testkit.screenshots.png import size_of
from testkit.screenshots.results import Result, State

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver

    from testkit.screenshots.baselines import Baselines
    from testkit.screenshots.settle import WaitFor

__unittest = True
__tracebackhide__ = True  # pytest's name for it

MEASURE = "screenshots"
"""The measure of a test: how many of its comparisons ended in which state."""
WAITS = (0.1, 0.25, 0.5, 1.0)
"""Seconds before each further shot of a page that does not look as it should: until two are equal, or for the last time."""
RESTLESS = (
    "it is no baseline: the page looks different from one moment to the next; hide= what moves, ignore= it, or wait_for= "
    "its end"
)

Target = Any
"""What is looked at: a CSS selector, ``(By.…, value)``, an element, a ``Clip``; None or ``"html"`` for the whole page."""


class BaselineMissing(AssertionError, OSError):
    """There is no baseline, and none was to be written. Needle raises an OSError for it."""


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


Compare = Callable[[bytes, Shot], tuple[Difference, bytes] | None]
"""Returns how a shot differs from a baseline, and a picture of that; None if it does not."""


class Rules(NamedTuple):
    """What is done with a screenshot."""

    tolerance: Tolerance = Tolerance()
    saves: bool = False
    """Whether it becomes the baseline, whatever was there."""
    writes_missing: bool = True
    """Whether it becomes the baseline if there is none."""
    compare: Compare | None = None
    """What compares, in the place of :func:`testkit.screenshots.compare.compare_and_draw` with the tolerance."""


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


class Judge(NamedTuple):
    """Compares the screenshots of one test."""

    baselines: Baselines
    rules: Rules
    test: str = ""
    """The id of the test."""

    def judge(self, name: str, label: str, take: Callable[[], Shot]) -> Result:
        """Compare what ``take`` takes with the baseline ``name`` at the breakpoint ``label``, and keep what came of it.

        Raises:
            UnsafePathError: ``name`` cannot be that of a file.
        """
        path = self.baselines.path(name, label)
        result = Result(name, label, self.baselines.browser, State.PASSED, self.test, baseline=_shown(path))
        before = self.baselines.read(name, label)
        if self.rules.saves or (before is None and self.rules.writes_missing):
            return self._write(result, before, take)
        if before is None:
            message = f"there is no baseline {result.baseline}"
            return _kept(result._replace(state=State.MISSING, message=message), new=steady(take)[0].image)
        return self._compare(result, before, take)

    def failed(self, name: str, label: str, error: Exception) -> Result:
        """Keep that the screenshot could not be compared, or not even taken."""
        path = self.baselines.path(name, label)
        message = str(error).partition("\n")[0] or type(error).__name__
        return _kept(
            Result(name, label, self.baselines.browser, State.FAILED, self.test, message, baseline=_shown(path)),
            new=b"",
        )

    def _write(self, result: Result, before: bytes | None, take: Callable[[], Shot]) -> Result:
        shot, last = steady(take)
        if before == shot.image:
            return _kept(result, new=shot.image)
        size_of(shot.image, "the new screenshot")  # what cannot be compared is no baseline
        if compare(last.image, shot.image, self.rules.tolerance, shot.ignored) is not None:
            return _kept(result._replace(state=State.FAILED, message=RESTLESS), new=shot.image)
        if self.rules.saves:
            self.baselines.write(result.name, result.label, shot.image)
        elif not self.baselines.create(result.name, result.label, shot.image):
            # Another process was faster: its image is the baseline by now, for this test as well.
            return self._compare(result, self.baselines.read(result.name, result.label) or b"", take)
        return _kept(result._replace(state=State.NEW, message="written as the baseline"), new=shot.image)

    def _compare(self, result: Result, before: bytes, take: Callable[[], Shot]) -> Result:
        shot = take()
        try:
            found = self._difference(before, shot)
            if found is not None:
                # A page that was still changing is no different page.
                first = shot
                shot, _ = steady(take, first)
                if shot.image != first.image:
                    found = self._difference(before, shot)
        except UnusableImage as error:
            return _kept(result._replace(state=State.FAILED, message=str(error)), new=shot.image)
        if found is None:
            return _kept(result, new=shot.image)
        difference, diff = found
        changed = result._replace(
            state=State.CHANGED, message=difference.message, changed=difference.changed, total=difference.total
        )
        if difference.box is not None:
            changed = changed._replace(top=difference.box.top, bottom=difference.box.top + difference.box.height)
        return _kept(changed, new=shot.image, before=before, diff=diff)

    def _difference(self, before: bytes, shot: Shot) -> tuple[Difference, bytes] | None:
        if self.rules.compare is not None:
            return self.rules.compare(before, shot)
        if before == shot.image:
            return None
        return compare_and_draw(before, shot.image, self.rules.tolerance, shot.ignored)


def steady(take: Callable[[], Shot], first: Shot | None = None) -> tuple[Shot, Shot]:
    """Return a shot that is equal to the one before it, or else the last of a few; and the one before it."""
    shot = first or take()
    for seconds in WAITS:
        time.sleep(seconds)
        last, shot = shot, take()
        if shot.image == last.image:
            break
    return shot, last


def _shown(path: os.PathLike[str]) -> str:
    """Return ``path`` from the working directory, if it lies below."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative.replace(os.sep, "/")


def _kept(result: Result, *, new: bytes, before: bytes = b"", diff: bytes = b"") -> Result:
    """Keep ``result`` for the review and on the facts of the test."""
    if new:
        size = size_of(new, "the new screenshot")
        result = result._replace(width=size.width, height=size.height)
    if result.state is State.PASSED:
        new = b""
    result = results.add(result, new=new, before=before, diff=diff)
    folder = results.folder()
    for path in (result.before, result.new, result.diff):
        if path:
            current.attach(_shown(folder / path))
    notes = current.current()
    if notes is not None:
        counts = notes.measures.setdefault(MEASURE, {})
        counts[result.state.value] = counts.get(result.state.value, 0) + 1
    return result


def fail_for(found: Sequence[Result], compared: int) -> None:
    """Raise one error for all of ``found``, the results that are not as they should be, of ``compared`` ones."""
    bad = [result for result in found if result.state not in (State.PASSED, State.NEW)]
    if not bad:
        return
    missing = [result for result in bad if result.state is State.MISSING]
    what = "has no baseline" if len(missing) == len(bad) == 1 else "have no baseline"
    if len(missing) < len(bad):
        what = "differs from its baseline" if len(bad) == 1 else "differ from their baselines"
    head = f"{len(bad)} of {compared} screenshots" if compared > 1 else "the screenshot"
    lines = [f"{head} of {bad[0].name!r} {what} ({bad[0].browser}):"]
    for result in bad:
        lines += ["", *_lines(result)]
    pattern = bad[0].name
    lines += [
        "",
        "To look at them:       python -m testkit screenshots review",
        f"To take the new ones:  python -m testkit screenshots approve {pattern}",
    ]
    # Of AssertionErrors, and of no class below, unittest leaves our frames out.
    error = BaselineMissing if len(missing) == len(bad) else AssertionError
    raise error("\n".join(lines))


def _lines(result: Result) -> list[str]:
    folder = results.folder()
    name = f"{result.name}_{result.label}" if result.label else result.name
    lines = [f"  {name}: {result.message}", f"    baseline  {result.baseline}"]
    lines += [
        f"    {kind:<8}  {_shown(folder / path)}" for kind, path in (("new", result.new), ("diff", result.diff)) if path
    ]
    return lines
