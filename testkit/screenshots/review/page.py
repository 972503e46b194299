"""``reports/screenshots/index.html``: one page with all that differs, which needs no server and loads nothing from elsewhere."""

from __future__ import annotations

import atexit
import base64
import functools
import hashlib
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from testkit.core.paths import replacing
from testkit.core.text import visible
from testkit.screenshots import results
from testkit.screenshots.errors import ScreenshotError, UnusableImage
from testkit.screenshots.png import Size, size_of
from testkit.screenshots.results import State
from testkit.screenshots.review.shots import Shot

if TYPE_CHECKING:
    from django.template.base import Template

PAGE = "index.html"
"""The name of the page in the folder of the results."""
_HERE = Path(__file__).parent
_HEADER_BYTES = 64  # the size stands in the first 24
_TITLES = {
    State.CHANGED: "Changed",
    State.NEW: "New",
    State.MISSING: "Missing",
    State.FAILED: "Failed",
    State.PASSED: "Passed",
}
_APPROVED = "approved"


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


class Picture(NamedTuple):
    """An image of a shot: ``before``, ``new`` or ``diff``."""

    kind: str
    src: str
    width: int
    height: int
    alt: str


class ShotView(NamedTuple):
    """What the template shows of a shot; sizes in the image's own pixels."""

    id: str
    label: str
    browser: str
    state: str
    title: str
    title_text: str
    note: str
    message: str
    text: str
    pictures: tuple[Picture, ...]
    width: int
    height: int
    top: int | None
    bottom: int | None
    comparable: bool
    approvable: bool


class Group(NamedTuple):
    """All shots of a name."""

    name: str
    tests: tuple[str, ...]
    shots: tuple[ShotView, ...]
    approvable: int


class Count(NamedTuple):
    """How many shots are in a state, and whether they are shown at first."""

    state: str
    title: str
    number: int
    shown: bool


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

    To be called where tests are collected as well: a parallel run's workers are ended without a word.
    """
    atexit.register(_write_if_newer, results.folder())  # by now: tests go to other folders


def _write_if_newer(folder: Path) -> None:
    newest = max((path.stat().st_mtime for path in folder.glob("results/*.jsonl")), default=0.0)
    page = folder / PAGE
    if newest and (not page.exists() or page.stat().st_mtime < newest):
        write_page(folder)


def render(shots: Sequence[Shot], *, served: bool = False) -> str:
    """Return the page of ``shots``; ``served`` has buttons to approve."""
    from django.template import Context
    from django.utils.safestring import mark_safe

    views = [_view(shot, served=served) for shot in shots]
    css, js = _asset("page.css"), _asset("page.js")
    context = {
        "served": served,
        "policy": policy(served=served),
        "css": mark_safe(css),
        "js": mark_safe(js),
        "modes": MODES,
        "project": _readable(Path.cwd().name),
        "at": datetime.fromtimestamp(max(shot.result.at for shot in shots), UTC).isoformat(timespec="seconds")
        if shots
        else "",
        "waiting": sum(view.approvable for view in views),
        "several_browsers": len({view.browser for view in views}) > 1,
        "counts": list(_counts(views)),
        "groups": _groups(shots, views),
    }
    return str(_template().render(Context(context, use_l10n=False, use_tz=False)))


def policy(*, served: bool) -> str:
    """Return the content security policy of the page: its own style and script, images beside it, and nothing else."""
    return "; ".join(
        (
            "default-src 'none'",
            f"style-src {_hash_of(_asset('page.css'))}",
            f"script-src {_hash_of(_asset('page.js'))}",
            f"img-src 'self' data:{'' if served else ' file:'}",
            "connect-src 'self'" if served else "connect-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


@functools.cache
def _asset(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


@functools.cache
def _template() -> Template:
    from django.template import Engine

    return Engine(autoescape=True).from_string(_asset("page.html"))


def _hash_of(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _readable(text: str) -> str:
    """Return ``text`` without what turns the direction of writing or cannot be seen: names come from tests."""
    return "".join(char if char.isprintable() or char == "\n" else visible(ascii(char)[1:-1]) for char in text)


def _counts(views: Sequence[ShotView]) -> Iterator[Count]:
    numbers = {state: sum(view.state == state for view in views) for state in (*State, _APPROVED)}
    for state, title in _TITLES.items():
        yield Count(state, title, numbers[state], state is not State.PASSED)
    if numbers[_APPROVED]:
        yield Count(_APPROVED, "Approved", numbers[_APPROVED], False)


def _groups(shots: Sequence[Shot], views: Sequence[ShotView]) -> list[Group]:
    """Return the shots by their names: first the names that need a look, each kind by the alphabet."""
    by_name: dict[str, list[tuple[Shot, ShotView]]] = {}
    for pair in zip(shots, views, strict=True):
        by_name.setdefault(pair[0].result.name, []).append(pair)
    groups = []
    for name, pairs in by_name.items():
        pairs.sort(key=lambda pair: pair[1].browser)  # within a browser they keep the order of the breakpoints
        tests = tuple(dict.fromkeys(_readable(shot.result.test) for shot, _ in pairs if shot.result.test))
        members = tuple(view for _, view in pairs)
        groups.append(Group(_readable(name), tests, members, sum(view.approvable for view in members)))
    return sorted(groups, key=lambda group: (all(shot.state == State.PASSED for shot in group.shots), group.name))


def _view(shot: Shot, *, served: bool) -> ShotView:
    result = shot.result
    approvable = shot.can_be_approved
    was_approved = result.state in (State.CHANGED, State.MISSING, State.FAILED) and shot.is_approved
    label = _readable(result.label) or f"{result.width} × {result.height}"
    browser = _readable(shot.browser)
    title_text = f"{_readable(result.name)} {label}" + (f" in {browser}" if browser else "")
    pictures = tuple(_pictures(shot, title_text, served=served))
    width = max([1, *(picture.width for picture in pictures)])
    height = max([1, *(picture.height for picture in pictures)])
    top, bottom = _rows_of_change(shot)
    kinds = {picture.kind for picture in pictures}
    note = note_of(shot)
    return ShotView(
        id=shot.id,
        label=label,
        browser=browser,
        state=_APPROVED if was_approved else result.state.value,
        title="Approved" if was_approved else _TITLES[result.state],
        title_text=title_text,
        note=note,
        message="" if note and result.state is State.CHANGED else _readable(result.message),
        text=f"{title_text} {_readable(result.test)}".lower(),
        pictures=pictures,
        width=width,
        height=height,
        top=top,
        bottom=bottom,
        comparable={"before", "new"} <= kinds,
        approvable=approvable,
    )


def note_of(shot: Shot) -> str:
    """Say in a few words how much changed; empty if nothing is known of that."""
    result = shot.result
    before, new = shot.image("before"), shot.image("new")
    if before and new:
        sizes = [_size_of(path, otherwise=Size(result.width, result.height)) for path in (before, new)]
        if sizes[0] != sizes[1]:
            return f"{sizes[0]} → {sizes[1]}"
    if not (result.changed and result.total):
        return ""
    share = 100 * result.changed / result.total
    pixels = f"{result.changed:,} pixel{'' if result.changed == 1 else 's'}"
    return f"{pixels}, {'under 0.01' if share < 0.01 else format(share, '.2f')} %"


def _rows_of_change(shot: Shot) -> tuple[int | None, int | None]:
    result = shot.result
    return (result.top, result.bottom) if 0 <= result.top < result.bottom else (None, None)


def _pictures(shot: Shot, title: str, *, served: bool) -> Iterator[Picture]:
    """Yield the images there are; those of a shot that passed are its baseline, which is not in the folder."""
    result = shot.result
    size = Size(max(result.width, 1), max(result.height, 1))
    if result.state is State.PASSED:
        src = f"images/{shot.id}-baseline.png" if served else _url(os.path.relpath(shot.baseline, shot.folder))
        yield Picture("before", src, *size, f"Baseline of {title}")
        return
    alternatives = {
        "before": f"Baseline of {title}",
        "new": f"New image of {title}",
        "diff": f"What changed in {title}",
    }
    for kind, alternative in alternatives.items():
        path = shot.image(kind)
        if path is not None:
            src = f"images/{shot.id}-{kind}.png" if served else _url(os.path.relpath(path, shot.folder.resolve()))
            yield Picture(kind, src, *_size_of(path, otherwise=size), alternative)


def _url(path: str) -> str:
    return quote(path.replace(os.sep, "/"), errors="surrogateescape")


def _size_of(path: Path, *, otherwise: Size) -> Size:
    """Return the size that the header of the file tells, for the page's layout."""
    try:
        with open(path, "rb") as file:
            return size_of(file.read(_HEADER_BYTES), str(path))
    except (OSError, UnusableImage):
        return otherwise
