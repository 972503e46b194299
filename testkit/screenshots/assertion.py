"""One screenshot compared with its baseline, what came of that kept, and what an assertion says of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from testkit.core import current
from testkit.screenshots import results
from testkit.screenshots.compare import Difference, Tolerance, compare, compare_and_draw
from testkit.screenshots.errors import UnusableImage
from testkit.screenshots.options import from_base
from testkit.screenshots.png import size_of
from testkit.screenshots.results import Result, State
from testkit.screenshots.view import Shot

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


class BaselineMissing(AssertionError, OSError):
    """There is no baseline, and none was to be written. Needle raises an OSError for it."""


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


class Approved(Protocol):
    """Where the baselines of a browser are: :class:`~testkit.screenshots.baselines.Baselines`, say."""

    @property
    def browser(self) -> str:
        """The browser's name."""

    def path(self, name: str, label: str = "") -> Path | None:
        """Return the file that approving a new image writes; None if there is none."""

    def read(self, name: str, label: str = "") -> bytes | None:
        """Return the image, or None where there is none yet."""

    def write(self, name: str, label: str, data: bytes) -> object:
        """Write the image in the place of the one that was there."""

    def create(self, name: str, label: str, data: bytes) -> bool:
        """Write the image if there is none, and return whether that was done."""


class Judge(NamedTuple):
    """Compares the screenshots of one test."""

    baselines: Approved
    rules: Rules
    test: str = ""
    """The id of the test."""

    def judge(self, name: str, label: str, take: Callable[[], Shot]) -> Result:
        """Compare what ``take`` takes with the baseline ``name`` at the breakpoint ``label``, and keep what came of it.

        Raises:
            UnsafePathError: ``name`` cannot be that of a file.
        """
        result = self._result(name, label, State.PASSED)
        before = self.baselines.read(name, label)
        if self.rules.saves or (before is None and self.rules.writes_missing):
            return self._write(result, before, take)
        if before is None:
            message = f"there is no baseline {result.baseline}"
            return _kept(result._replace(state=State.MISSING, message=message), new=steady(take)[0].image)
        return self._compare(result, before, take)

    def failed(self, name: str, label: str, error: Exception) -> Result:
        """Keep that the screenshot could not be compared, or not even taken."""
        message = str(error).partition("\n")[0] or type(error).__name__
        return _kept(self._result(name, label, State.FAILED)._replace(message=message), new=b"")

    def _result(self, name: str, label: str, state: State) -> Result:
        path = self.baselines.path(name, label)
        baseline = "" if path is None else from_base(path)
        return Result(name, label, self.baselines.browser, state, self.test, baseline=baseline)

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
            current.attach(from_base(folder / path))
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
    lines += ["", "To look at them:       python -m testkit screenshots review"]
    if any(result.baseline for result in bad):
        lines.append(f"To take the new ones:  python -m testkit screenshots approve {bad[0].name}")
    # Of AssertionErrors, and of no class below, unittest leaves our frames out.
    error = BaselineMissing if len(missing) == len(bad) else AssertionError
    raise error("\n".join(lines))


def _lines(result: Result) -> list[str]:
    folder = results.folder()
    name = f"{result.name}_{result.label}" if result.label else result.name
    files = {"baseline": result.baseline, "new": result.new, "diff": result.diff}
    shown = {kind: path if kind == "baseline" else from_base(folder / path) for kind, path in files.items() if path}
    return [f"  {name}: {result.message}", *(f"    {kind:<8}  {path}" for kind, path in shown.items())]
