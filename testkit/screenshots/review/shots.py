"""The results of a run as a reviewer sees them: what waits for a decision, and which file becomes which baseline."""

from __future__ import annotations

import fnmatch
import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from testkit.core.paths import replacing
from testkit.screenshots import options, results
from testkit.screenshots.errors import ScreenshotError
from testkit.screenshots.png import size_of
from testkit.screenshots.results import Result, State

APPROVED = "approved"
"""What a screenshot is called that failed its test, and whose new image is its baseline by now."""
FAILING = (State.CHANGED, State.MISSING, State.FAILED)


class Shot(NamedTuple):
    """A result of the run in ``folder``."""

    result: Result
    folder: Path

    @property
    def id(self) -> str:
        """What stands for this one comparison: the next run's of the same name has another."""
        result = self.result
        parts = (result.browser, result.name, result.label, result.new, repr(result.at))
        return hashlib.sha256("\0".join(parts).encode("utf-8", "backslashreplace")).hexdigest()[:16]

    @property
    def title(self) -> str:
        """Its name and breakpoint, as messages call it."""
        return " ".join(part for part in (self.result.name, self.result.label) if part)

    @property
    def browser(self) -> str:
        """The browser with its platform, as their folder of baselines is called, or the browser alone."""
        parts = Path(self.result.baseline).parts[:-1]
        return next((part for part in parts if part.startswith(f"{self.result.browser}-")), self.result.browser)

    @property
    def baseline(self) -> Path:
        """The file that people approved, or would approve."""
        return options.base_folder() / self.result.baseline

    @property
    def is_approved(self) -> bool:
        """Whether the baseline is by now what the browser showed in the run."""
        if self.result.state is State.PASSED:
            return True
        new = self.image("new")
        try:
            return (
                new is not None
                and new.stat().st_size == self.baseline.stat().st_size
                and new.read_bytes() == self.baseline.read_bytes()
            )
        except OSError:
            return False

    @property
    def state(self) -> str:
        """The state of its result, or :data:`APPROVED`."""
        return APPROVED if self.result.state in FAILING and self.is_approved else self.result.state.value

    @property
    def can_be_approved(self) -> bool:
        """Whether there is a new image that is not the baseline."""
        return bool(self.result.new and self.result.baseline) and not self.is_approved

    def image(self, kind: str) -> Path | None:
        """Return the file of the ``new`` image, of ``before``, ``diff`` or the ``baseline`` as it is now, if there is one.

        What is not in this run's folder (results may come from another machine) is none.
        """
        if kind == "baseline":
            return self.baseline if _may_be_baseline(self.baseline) and self.baseline.is_file() else None
        image = {"new": self.result.new, "before": self.result.before, "diff": self.result.diff}[kind]
        return results.image_in(self.folder, image)


def read_shots(folder: Path | None = None) -> list[Shot]:
    """Return what the last run compared.

    Raises:
        ScreenshotError: there is no run.
    """
    place = results.folder() if folder is None else folder
    found = [Shot(result, place) for result in results.read(place)]
    if not found:
        raise ScreenshotError(
            f"{place} has no screenshots of a run: run the tests with --with-needle, or name the folder by --results"
        )
    return found


def matching(shots: Iterable[Shot], patterns: Sequence[str]) -> list[Shot]:
    """Return those of ``shots`` that a pattern fits, all if there is none.

    A pattern has shell wildcards. It fits a name, ``name_label`` as the file is called, that with the browser before
    it (``firefox-linux/home_320``), or the browser alone.
    """
    return [shot for shot in shots if not patterns or any(_fits(shot, pattern) for pattern in patterns)]


def _fits(shot: Shot, pattern: str) -> bool:
    result = shot.result
    file = f"{result.name}_{result.label}" if result.label else result.name
    browsers = {result.browser, shot.browser}
    names = [result.name, file, *browsers, *(f"{browser}/{file}" for browser in browsers)]
    return any(fnmatch.fnmatchcase(name, pattern.removesuffix(".png")) for name in names)


def approve(shot: Shot) -> Path:
    """Make the new image the baseline, whole or not at all, and return the baseline's path.

    Raises:
        ScreenshotError: there is no image that can be one, or no place for it.
    """
    new = shot.image("new")
    if new is None:
        raise ScreenshotError(f"{shot.title} has no new image in {shot.folder}: run its test again")
    target = target_of(shot)
    try:
        data = new.read_bytes()
        size_of(data, f"the new image {new}")
        with replacing(target, "wb") as file:
            file.write(data)
    except OSError as error:
        raise ScreenshotError(f"{shot.title} was not approved: {error}") from error
    return target


def target_of(shot: Shot) -> Path:
    """Return the file that approving ``shot`` writes.

    Raises:
        ScreenshotError: it is no place for a baseline. Results may come from another machine, as an artifact.
    """
    target, shown = shot.baseline, options.from_base(shot.baseline)
    if target.suffix != ".png":
        raise ScreenshotError(f"{shot.title} was not approved: its baseline would be {shown}, which is no PNG file")
    if not _may_be_baseline(target):
        raise ScreenshotError(
            f"{shot.title} was not approved: its baseline would be {shown}, outside of {options.base_folder()} and of the "
            "folder of baselines. Go to the folder that the tests were run in, or give TESTKIT_BASELINES"
        )
    return target


def _may_be_baseline(path: Path) -> bool:
    """Return whether ``path``, which may be what a stranger wrote into results, is that of an image of this project."""
    if path.suffix != ".png" or os.pardir in path.parts:
        return False
    base = options.base_folder()
    places = (base, options.current().baselines, os.environ.get("NEEDLE_BASELINE_DIR"))
    real = path.resolve()
    return any(real.is_relative_to((base / place).resolve()) for place in places if place)
