"""``reports/screenshots/index.html``: one page with all that differs, which needs no server and loads nothing from elsewhere."""

from __future__ import annotations

import atexit
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from testkit import pages
from testkit.core.paths import replacing
from testkit.core.text import readable
from testkit.screenshots import options, results
from testkit.screenshots.errors import ScreenshotError
from testkit.screenshots.review.shots import Shot
from testkit.screenshots.review.views import counts_of, groups_of, moment_of, view_of

PAGE = "index.html"
"""The name of the page in the folder of the results."""
_HERE = Path(__file__).parent


class Mode(NamedTuple):
    """A way to look at a screenshot."""

    key: str
    title: str
    help: str


MODES = (
    Mode("baseline", "Baseline", "the baseline, as it was when the run began"),
    Mode("new", "New", "the new image"),
    Mode("diff", "Diff", "what changed, highlighted"),
    Mode("slider", "Slider", "baseline and new image to both sides of a line that you move"),
    Mode("blink", "Blink", "both in turn; a press or Space goes on by hand"),
)


def write_page(folder: Path | None = None) -> Path | None:
    """Write the page of the run in ``folder`` and return its path; None, and nothing is written, if there are no results.

    Any process of the run may call it at its end, several at once: the last one's page has the results of all.

    Raises:
        ScreenshotError: it cannot be written.
    """
    place = results.folder() if folder is None else folder
    if not place.is_dir():
        return None
    try:
        with results.locked(place):  # else an older page could take the place of a newer one
            shots = [Shot(result, place) for result in results.read(place)]
            if not shots:
                return None
            with replacing(place / PAGE) as file:
                file.write(render(shots))
    except OSError as error:
        raise ScreenshotError(f"the review page {place / PAGE} cannot be written: {error}") from error
    return place / PAGE


@functools.cache
def write_page_at_exit() -> None:
    """Let this process write the page when it ends: for runners that tell nobody of their end.

    To be called where tests are collected as well: a parallel run's workers are ended without a word. Where the page
    was written since the last comparison, as by testkit's own runner, nothing is left to do.
    """
    atexit.register(_write_if_newer, results.folder())


def _write_if_newer(folder: Path) -> None:
    newest = max((path.stat().st_mtime for path in folder.glob("results/*.jsonl")), default=0.0)
    page = folder / PAGE
    if newest and (not page.exists() or page.stat().st_mtime < newest):
        write_page(folder)


def render(shots: Sequence[Shot], *, served: bool = False) -> str:
    """Return the page of ``shots``; ``served`` has buttons to approve."""
    from django.template import Context
    from django.utils.safestring import mark_safe

    views = [view_of(shot, served=served) for shot in shots]
    context = {
        "served": served,
        "policy": policy(served=served),
        "css": mark_safe(_styles()),
        "js": mark_safe(pages.asset(_HERE / "page.js")),
        "modes": MODES,
        "project": readable(options.base_folder().name),
        "at": moment_of(shots),
        "waiting": sum(view.approvable for view in views),
        "several_browsers": len({view.browser for view in views}) > 1,
        "counts": counts_of(views),
        "groups": groups_of(shots, views),
    }
    return str(pages.template(_HERE / "page.html").render(Context(context, use_l10n=False, use_tz=False)))


def policy(*, served: bool) -> str:
    """Return the content security policy of the page: its own style and script, images beside it, and nothing else."""
    sources = {
        "img-src": f"'self' data:{'' if served else ' file:'}",
        "connect-src": "'self'" if served else "'none'",
    }
    return pages.policy(_styles(), pages.asset(_HERE / "page.js"), sources)


def _styles() -> str:
    return pages.asset(pages.BASE_CSS) + pages.asset(_HERE / "page.css")
