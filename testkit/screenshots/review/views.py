"""What the review page says and shows of each screenshot: plain values for its template."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from testkit.core.text import readable
from testkit.screenshots.errors import UnusableImage
from testkit.screenshots.png import Size, size_of
from testkit.screenshots.results import Result, State
from testkit.screenshots.review.shots import APPROVED, Shot

_STATES = (State.CHANGED, State.NEW, State.MISSING, State.FAILED, State.PASSED, APPROVED)
_CALM = (State.PASSED, APPROVED)
_HEADER_BYTES = 64  # the size stands in the first 24


class Picture(NamedTuple):
    """An image of a shot: ``before``, ``new`` or ``diff``."""

    kind: str
    src: str
    width: int
    height: int
    alt: str


class View(NamedTuple):
    """What the page shows of a shot; sizes in the image's own pixels."""

    id: str
    label: str
    browser: str
    state: str
    title: str
    """Of the state."""
    title_text: str
    """Of the shot, for those who do not see where it stands."""
    note: str
    message: str
    text: str
    """What the filter looks into."""
    pictures: tuple[Picture, ...]
    width: int
    height: int
    rows: tuple[int, int] | None
    """Between which rows it changed, if that is known."""
    comparable: bool
    approvable: bool


class Group(NamedTuple):
    """All shots of a name."""

    name: str
    tests: tuple[str, ...]
    shots: tuple[View, ...]
    approvable: int


class Count(NamedTuple):
    """How many shots are in a state, and whether they are shown at first."""

    state: str
    title: str
    number: int
    shown: bool


def view_of(shot: Shot, *, served: bool) -> View:
    """Return what the page shows of ``shot``; ``served`` says that images come from the server, by the shot's id."""
    result = shot.result
    label = readable(result.label) or f"{result.width} × {result.height}"
    browser = readable(shot.browser)
    title_text = f"{readable(result.name)} {label}" + (f" in {browser}" if browser else "")
    pictures = tuple(_pictures(shot, title_text, served=served))
    note = _note(result, pictures)
    return View(
        id=shot.id,
        label=label,
        browser=browser,
        state=shot.state,
        title=shot.state.capitalize(),
        title_text=title_text,
        note=note,
        message="" if note and result.state is State.CHANGED else readable(result.message),
        text=f"{title_text} {readable(result.test)}".lower(),
        pictures=pictures,
        width=max([1, *(picture.width for picture in pictures)]),
        height=max([1, *(picture.height for picture in pictures)]),
        rows=(result.top, result.bottom) if 0 <= result.top < result.bottom else None,
        comparable={"before", "new"} <= {picture.kind for picture in pictures},
        approvable=shot.can_be_approved,
    )


def groups_of(shots: Sequence[Shot], views: Sequence[View]) -> list[Group]:
    """Return the shots by their names: first the names that need a look, each kind by the alphabet."""
    by_name: dict[str, list[tuple[Shot, View]]] = {}
    for pair in zip(shots, views, strict=True):
        by_name.setdefault(pair[0].result.name, []).append(pair)
    groups = []
    for name, pairs in by_name.items():
        pairs.sort(key=lambda pair: pair[1].browser)  # within a browser they keep the order of the breakpoints
        tests = tuple(dict.fromkeys(readable(shot.result.test) for shot, _ in pairs if shot.result.test))
        members = tuple(view for _, view in pairs)
        groups.append(Group(readable(name), tests, members, sum(view.approvable for view in members)))
    return sorted(groups, key=lambda group: (all(shot.state == State.PASSED for shot in group.shots), group.name))


def counts_of(views: Sequence[View]) -> list[Count]:
    """Return how many of ``views`` are in each state that there is."""
    numbers = Counter(view.state for view in views)
    return [Count(state, state.capitalize(), numbers[state], state not in _CALM) for state in _STATES if numbers[state]]


def moment_of(shots: Sequence[Shot]) -> str:
    """Return when the last of ``shots`` was taken, as ISO 8601 has it; empty if that cannot be told."""
    try:
        return datetime.fromtimestamp(max(shot.result.at for shot in shots), UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return ""


def note_of(shot: Shot) -> str:
    """Say in a few words how much changed; empty if nothing is known of that."""
    return _note(shot.result, tuple(_pictures(shot, "", served=False)))


def _note(result: Result, pictures: Sequence[Picture]) -> str:
    sizes = {picture.kind: Size(picture.width, picture.height) for picture in pictures}
    before, new = sizes.get("before"), sizes.get("new")
    if before and new and before != new:
        return f"{before} → {new}"
    if not (result.changed and result.total):
        return ""
    share = 100 * result.changed / result.total
    pixels = f"{result.changed:,} pixel{'' if result.changed == 1 else 's'}"
    return f"{pixels}, {'under 0.01' if share < 0.01 else format(share, '.2f')} %"


def _pictures(shot: Shot, title: str, *, served: bool) -> Iterator[Picture]:
    """Yield the images there are; those of a shot that passed are its baseline, which is not in the folder."""
    result = shot.result
    size = Size(max(result.width, 1), max(result.height, 1))
    if result.state is State.PASSED:
        if not result.baseline:
            return  # the test has brought it along; it is no file
        src = f"images/{shot.id}-baseline.png" if served else _url(os.path.relpath(shot.baseline, shot.folder))
        yield Picture("before", src, *size, f"Baseline of {title}")
        return
    kinds = {
        "before": (result.before, f"Baseline of {title}"),
        "new": (result.new, f"New image of {title}"),
        "diff": (result.diff, f"What changed in {title}"),
    }
    for kind, (image, alternative) in kinds.items():
        path = shot.image(kind)
        if path is not None:
            src = f"images/{shot.id}-{kind}.png" if served else _url(image)
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
