"""Needle's files: a baseline and a new image by one name, in two folders, and engines that compare such files."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NoReturn

from testkit.core.paths import replacing
from testkit.screenshots import options
from testkit.screenshots.baselines import SUFFIX, Baselines
from testkit.screenshots.compare import Difference, diff_image
from testkit.screenshots.errors import UnusableImage
from testkit.screenshots.png import LARGEST_PIXELS, Size, size_of
from testkit.screenshots.view import Shot

__unittest = True


class OneFolder(Baselines):
    """Baselines in a folder of their own, as Needle has them: for one browser, however it is called."""

    @property
    def home(self) -> Path:
        """That folder itself."""
        return self.folder


class Brought:
    """A baseline as a test has opened it: compared, and never written by the test."""

    def __init__(self, file: IO[bytes], browser: str, *, otherwise: str) -> None:
        """Read ``file``; ``otherwise`` is what it is called by if it has no name."""
        self._data = file.read()
        self.browser = browser
        name = getattr(file, "name", "")
        name = name if isinstance(name, str) else ""  # those of descriptors are numbers
        self._path = self._file(name)
        self.name = (
            options.from_base(self._path.with_suffix("")) if self._path is not None else Path(name).stem or otherwise
        )
        """By the file's path from the base folder, if it is an image of the project that can be approved."""

    def _file(self, name: str) -> Path | None:
        path = Path(os.path.abspath(name))
        is_ours = path.suffix == SUFFIX and path.is_relative_to(options.base_folder()) and path.is_file()
        return path if is_ours and path.read_bytes() == self._data else None

    def path(self, name: str, label: str = "") -> Path | None:
        """Return the file, if a new image can take its place."""
        return self._path

    def read(self, name: str, label: str = "") -> bytes:
        """Return the image as a PNG.

        Raises:
            OSError: it is no image.
            UnusableImage: it is too large to be decoded.
        """
        return as_png(self._data)

    def write(self, name: str, label: str, data: bytes) -> NoReturn:
        """Raise, as nobody asks for that."""
        raise NotImplementedError

    create = write


class Output:
    """The file of a new image."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path = OneFolder(folder, "", "").path(name)

    def write(self, image: bytes) -> None:
        """Write the image, whole or not at all."""
        with replacing(self.path, "wb") as file:
            file.write(image)

    def remove(self) -> None:
        """Remove it."""
        self.path.unlink(missing_ok=True)


def by_engine(
    engine: Any, output: Output, baseline: Path, threshold: float
) -> Callable[[bytes, Shot], tuple[Difference, bytes] | None]:
    """Return a comparison by a class that has ``assertSameFiles``."""

    def compare(before: bytes, shot: Shot) -> tuple[Difference, bytes] | None:
        output.write(shot.image)
        left = output.path.with_suffix(".diff.png")
        left.unlink(missing_ok=True)
        try:
            engine.assertSameFiles(str(output.path), str(baseline), threshold)
        except AssertionError as error:
            message = str(error) or f"{type(engine).__name__} found that they differ"
            sizes = size_of(before, "the baseline"), size_of(shot.image, "the new screenshot")
            diff = left.read_bytes() if left.exists() else diff_image(before, shot.image)
            return Difference(0, sizes[1].pixels, None, message, sizes), diff
        return None

    return compare


def as_png(data: bytes) -> bytes:
    """Return an image of any kind that Pillow reads as a PNG file.

    Raises:
        UnusableImage: it is too large to be decoded.
    """
    if data.startswith(b"\x89PNG"):
        return data
    from PIL import Image

    file = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:  # which reads no pixels yet
        if Size(*image.size).pixels > LARGEST_PIXELS:
            raise UnusableImage(f"the baseline claims to have {Size(*image.size)} pixels, which is too large")
        image.convert("RGB").save(file, "PNG")
    return file.getvalue()
