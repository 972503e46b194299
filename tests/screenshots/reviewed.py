"""Made-up runs for the tests of reviewing: real results and images, without tests and a browser that made them."""

from __future__ import annotations

import io
import uuid
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image, ImageDraw

from testkit.screenshots import options, results
from testkit.screenshots.compare import compare_and_draw
from testkit.screenshots.results import Result, State

HOSTILE = "<img src=x onerror=hacked=1>\"'><script>hacked=2</script>{{ hacked }}"


def png(width: int = 40, height: int = 30, colour: str = "white", spot: tuple[int, int] | None = None) -> bytes:
    """Return an image of one colour, with a red spot eight pixels wide at ``spot``."""
    image = Image.new("RGB", (width, height), colour)
    if spot:
        ImageDraw.Draw(image).rectangle((*spot, spot[0] + 7, spot[1] + 7), fill="red")
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


class Run(NamedTuple):
    """A run in the working directory."""

    folder: Path
    """Of the project."""

    @property
    def results(self) -> Path:
        return self.folder / results.FOLDER

    def baseline(self, name: str, label: str = "", browser: str = "chromium") -> Path:
        return self.folder / _baseline(name, label, browser)

    def add(
        self,
        name: str,
        label: str = "",
        *,
        before: bytes | None = None,
        new: bytes = b"",
        state: State | None = None,
        browser: str = "chromium",
        message: str = "",
        test: str = "app.tests.PagesTest.test_pages",
    ) -> Result:
        """Keep what a test would have kept that found ``before`` as the baseline and saw ``new``."""
        path = self.baseline(name, label, browser)
        if before is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(before)
        size = Image.open(io.BytesIO(new)).size if new else (0, 0)
        result = Result(name, label, browser, state or State.PASSED, test, message, _baseline(name, label, browser))
        result = result._replace(width=size[0], height=size[1])
        if state is None and before and new != before:
            found = compare_and_draw(before, new)
            assert found is not None
            difference, diff = found
            counted = result._replace(
                state=State.CHANGED, message=difference.message, changed=difference.changed, total=difference.total
            )
            if difference.box:
                counted = counted._replace(top=difference.box.top, bottom=difference.box.top + difference.box.height)
            return results.add(counted, new=new, before=before, diff=diff)
        return results.add(result, new=b"" if result.state is State.PASSED else new)


def _baseline(name: str, label: str, browser: str) -> str:
    return f"screenshots/baseline/{browser}-linux/{name}{'_' * bool(label)}{label}.png"


def begin(folder: Path, patch: pytest.MonkeyPatch) -> Run:
    """Begin a run in ``folder``, which becomes the working directory, and the one of this process's runs."""
    patch.chdir(folder)
    patch.setattr(options, "base_folder", lambda: folder)
    patch.setenv(results.RUN, uuid.uuid4().hex)
    return Run(folder)


def add_some_of_each(run: Run) -> None:
    """Add screenshots in every state: two that changed at three breakpoints, one of them in size."""
    for width in (1024, 800, 320):
        run.add("home", str(width), before=png(width, 1800), new=png(width, 1800, spot=(10, 1500)))
        run.add("books/list", str(width), before=png(width, 600), new=png(width, 700, "lightblue"))
        run.add("about", str(width), before=png(width, 300), new=png(width, 300))
    run.add("loans", "320", before=png(320, 400, "lime"), new=png(320, 400, "lime"), state=State.NEW)
    run.add("card", new=png(200, 80, "orange"), state=State.MISSING, message="there is no baseline")
    run.add(
        "broken",
        "320",
        before=b"",
        new=png(320, 200, "pink"),
        state=State.FAILED,
        message="an LFS pointer: git lfs pull",
    )
