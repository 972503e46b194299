"""What the comparisons of the last run came to, and the images of those that were not equal.

``reports/screenshots/`` has ``results/``, with one append-only file of JSON lines for each process that compares, and
``images/``. A killed run still has all that it said: an image is whole before a line names it.
"""

from __future__ import annotations

import fcntl
import functools
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from hashlib import blake2s
from pathlib import Path
from typing import Any, NamedTuple

from testkit.core.clock import clock
from testkit.core.paths import path_below, replacing
from testkit.screenshots import options
from testkit.screenshots.errors import ScreenshotError

RUN = "TESTKIT_SCREENSHOT_RUN"
"""The variable of the environment that says which run a process belongs to, where that cannot be seen otherwise."""
FOLDER = Path("reports", "screenshots")

_LINES, _IMAGES, _RUN_FILE = "results", "images", "run"
_XDIST = "PYTEST_XDIST_TESTRUNUID"
_LONGEST = 120  # bytes of a name in that of an image; what follows tells it from others


class State(StrEnum):
    """What came of one comparison."""

    PASSED = "passed"
    CHANGED = "changed"
    NEW = "new"
    """There was no baseline, and one was written; or it was written anew."""
    MISSING = "missing"
    """There was no baseline, and none was to be written."""
    FAILED = "failed"
    """It could not be compared: the baseline is unusable, say."""


class Result(NamedTuple):
    """One comparison."""

    name: str
    label: str
    """The breakpoint, as in the baseline's file name; empty if there is none."""
    browser: str
    state: State
    test: str = ""
    """The id of the test, if it is known."""
    message: str = ""
    baseline: str = ""
    """The file of the baseline, from the base folder if it lies there; with ``/`` on all systems."""
    new: str = ""
    """The new image; like ``before`` (the baseline as it was) and ``diff`` from the folder of the results."""
    before: str = ""
    diff: str = ""
    changed: int = 0
    """How many of ``total`` pixels changed."""
    total: int = 0
    width: int = 0
    """The size of the new image in device pixels."""
    height: int = 0
    top: int = 0
    """Between which rows of the image all that changed is; both 0 if that is not known."""
    bottom: int = 0
    at: float = 0.0
    """Unix time; set by :func:`add`."""


def folder() -> Path:
    """Return the folder of the results, which is where the run began: tests go to other folders."""
    return options.base_folder() / FOLDER


def begin() -> None:
    """Remove what the last run left, unless this process belongs to the run that made it.

    :func:`add` calls it; so the results of a run stay until another one compares something.

    Raises:
        ScreenshotError: the folder cannot be written.
    """
    place, run = folder(), _run()
    try:
        place.mkdir(parents=True, exist_ok=True)
        if _made_by(place) == run:
            return
        with locked(place):
            if _made_by(place) == run:  # another worker was faster
                return
            for name in (_LINES, _IMAGES):
                shutil.rmtree(place / name, ignore_errors=True)
            with replacing(place / _RUN_FILE) as file:
                file.write(run)
    except OSError as error:
        raise ScreenshotError(f"the results of screenshots cannot be kept in {place}: {error}") from error


def add(result: Result, *, new: bytes = b"", before: bytes = b"", diff: bytes = b"") -> Result:
    """Keep ``result`` and its images, and return it with their paths.

    Raises:
        ScreenshotError: they cannot be written.
    """
    return _store(result._replace(at=clock.now()), new=new, before=before, diff=diff)


def adopt(result: Result, place: Path) -> Result:
    """Keep a result of another run, whose folder is ``place``, as one of this; images that it lacks are left out.

    Raises:
        ScreenshotError: it cannot be written.
    """
    paths = {kind: image_in(place, getattr(result, kind)) for kind in ("new", "before", "diff")}
    return _store(result, **{kind: b"" if path is None else path.read_bytes() for kind, path in paths.items()})


def image_in(place: Path, image: str) -> Path | None:
    """Return the file of an image that a result in the folder ``place`` names, if there is one.

    What is not in that folder (results may come from another machine) is none.
    """
    real = _real(place)
    path = os.path.realpath(os.path.join(real, image))
    return Path(path) if image and path.startswith(real + os.sep) and os.path.isfile(path) else None


@functools.lru_cache(maxsize=8)
def _real(place: Path) -> str:
    return os.path.realpath(place)


def _store(result: Result, *, new: bytes, before: bytes, diff: bytes) -> Result:
    begin()
    place = folder()
    try:
        result = result._replace(
            new=_keep(place, result, "new", new),
            before=_keep(place, result, "before", before),
            diff=_keep(place, result, "diff", diff),
        )
        _append(path_below(place / _LINES, f"{os.getpid()}.jsonl"), json.dumps(result._asdict()))
    except OSError as error:
        raise ScreenshotError(f"the results of screenshots cannot be kept in {place}: {error}") from error
    return result


def read(place: Path | None = None) -> list[Result]:
    """Return the results of the run in the folder ``place``, in the order of their time; of one that was repeated, the last.

    A baseline that was written by the first attempt stays new, though a later one found it.

    The last line of a killed process may be cut off; such a line is passed over.
    """
    found: list[Result] = []
    for path in sorted(((place or folder()) / _LINES).glob("*.jsonl")):
        with open(path, "rb") as lines:
            found += filter(None, map(_decode, lines))
    latest: dict[tuple[str, ...], Result] = {}
    for result in sorted(found, key=lambda result: result.at):
        key = result.test, result.browser, result.name, result.label
        before = latest.pop(key, None)  # so that it takes the later one's place
        if before is not None and (before.state, result.state) == (State.NEW, State.PASSED):
            result = before._replace(at=result.at)  # equal to what the first attempt wrote: people have not seen it
        latest[key] = result
    return list(latest.values())


@contextmanager
def locked(place: Path) -> Iterator[None]:
    """Let one process after the other change what is in the folder ``place`` as a whole."""
    descriptor = os.open(place, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _run() -> str:
    """Return what all processes of a run have in common.

    The workers of testkit, Django and nose2 come from multiprocessing: they are known by their parent, and the parent
    by itself. So nothing has to be said to them, and a test changes no environment.
    """
    given = os.environ.get(RUN) or os.environ.get(_XDIST)
    if given:
        return given
    parent = None
    if "multiprocessing.process" in sys.modules:
        from multiprocessing import parent_process

        parent = parent_process()
    pid = parent.pid if parent is not None and parent.pid is not None else os.getpid()
    return f"{pid} {_start_of(pid)}"


def _start_of(pid: int) -> str:
    """Return when the process began, where the system tells that in a file: numbers of processes come again."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _made_by(place: Path) -> str:
    try:
        return (place / _RUN_FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def _keep(place: Path, result: Result, kind: str, data: bytes) -> str:
    """Write an image, if there is one, and return its path. The image of another attempt has a file of its own."""
    if not data:
        return ""
    title = "_".join(filter(None, (result.name, result.label))).encode()[:_LONGEST].decode(errors="ignore")
    digest = blake2s(data, digest_size=6).hexdigest()
    path = path_below(place / _IMAGES, result.browser, f"{title}.{kind}.{digest}.png")
    if not path.exists():
        with replacing(path, "wb") as file:
            file.write(data)
    return path.relative_to(place).as_posix()


def _append(path: Path, line: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # In one go, and straight to the file: a killed process has lost nothing that it said.
    with open(path, "ab", buffering=0) as file:
        file.write(f"{line}\n".encode("ascii"))


def _decode(line: bytes) -> Result | None:
    try:
        plain: dict[str, Any] = json.loads(line)
        known = {name: plain[name] for name in Result._fields if name in plain}
        result = Result(**{**known, "state": State(known["state"])})
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    sound = all(isinstance(getattr(result, name), type(default)) for name, default in Result._field_defaults.items())
    return result if sound and all(isinstance(value, str) for value in result[:3]) else None
