"""Needle's engines, which compare two files: those that it has, by its names for them, and a project's own.

An engine is a class with ``assertSameFiles(output_file, baseline_file, threshold)``, which raises an AssertionError if
the files differ by more than ``threshold``, in whatever measure. Needle's run their programs through a shell, and with
Pillow take two seconds for what takes 50 ms; so, under the same names, there are others here.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path
from typing import ClassVar, Protocol

from testkit.screenshots.compare import Tolerance, compare
from testkit.screenshots.errors import ScreenshotError
from testkit.screenshots.png import Size, size_of

SECONDS = 120
"""How long a program may take to compare two files."""


class Engine(Protocol):
    """What compares two files."""

    def assertSameFiles(self, output_file: str, baseline_file: str, threshold: float) -> None:
        """Raise an AssertionError if the files differ by more than ``threshold``."""


class PillowEngine:
    """Needle's ``pil_engine``: the threshold is the summed distance, see :attr:`Tolerance.threshold`."""

    def assertSameFiles(self, output_file: str, baseline_file: str, threshold: float = 0) -> None:
        baseline, new = _read(baseline_file), _read(output_file)
        difference = compare(baseline, new, Tolerance(threshold=threshold))
        if difference is not None:
            raise AssertionError(
                f"The new screenshot '{output_file}' did not match the baseline '{baseline_file}' "
                f"(by a distance of {difference.distance:.2f}): {difference.message}"
            )


class _ProgramEngine:
    """Lets a program compare copies of the two files, whose names mean nothing to it, in a folder of their own."""

    title: ClassVar[str]

    def assertSameFiles(self, output_file: str, baseline_file: str, threshold: float = 0) -> None:
        baseline, new = _read(baseline_file), _read(output_file)
        if baseline == new:
            return
        sizes = size_of(baseline, baseline_file), size_of(new, output_file)
        start = f"The new screenshot '{output_file}' did not match the baseline '{baseline_file}'"
        if sizes[0] != sizes[1]:
            raise AssertionError(f"{start}: the size was {sizes[0]} and is now {sizes[1]} pixels")
        with tempfile.TemporaryDirectory(prefix="testkit-") as name:
            folder = Path(name)
            (folder / "baseline.png").write_bytes(baseline)
            (folder / "new.png").write_bytes(new)
            verdict = self.verdict(folder, sizes[0], threshold)
            if verdict is None:
                return
            diff = folder / "diff.png"
            seen = ""
            if diff.exists():
                kept = Path(output_file).with_suffix(".diff.png")
                kept.write_bytes(diff.read_bytes())
                seen = f" (see {kept})"
        raise AssertionError(f"{start}{seen}: {verdict}")

    def verdict(self, folder: Path, size: Size, threshold: float) -> str | None:
        """Compare ``baseline.png`` and ``new.png`` in ``folder``; return how they differ, or None if they do not.

        What differs is drawn in ``diff.png``.
        """
        raise NotImplementedError

    def run(self, program: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``program`` in ``folder``, without a shell.

        Raises:
            ScreenshotError: it is not installed, or does not end.
        """
        try:
            return subprocess.run(
                [program, *arguments],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=SECONDS,
                check=False,
            )
        except FileNotFoundError as error:
            raise ScreenshotError(
                f"engine_class is {self.title}, but there is no program {program!r} in the PATH. Install {self.title}, "
                "or leave engine_class out: images are compared with Pillow then"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise ScreenshotError(f"{program} did not end in {SECONDS} seconds") from error


class ImageMagickEngine(_ProgramEngine):
    """Needle's ``imagemagick_engine``: the threshold is the root mean square of what channels are off, 0 to 1.

    Unlike Needle's it does not look for one image in the other: a page that has lost its end is a different one.
    """

    title = "ImageMagick"
    compare_path = "compare"

    def verdict(self, folder: Path, size: Size, threshold: float) -> str | None:
        result = self.run(self.compare_path, folder, "-metric", "RMSE", "baseline.png", "new.png", "diff.png")
        # "1285.87 (0.0196211)": the figure in brackets does not depend on how ImageMagick was built.
        figure = re.search(r"\(([\d.e+-]+)\)", result.stderr)
        if result.returncode not in (0, 1) or figure is None:
            raise ScreenshotError(
                f"{self.compare_path} could not compare: {result.stderr.strip() or 'it said nothing'}"
            )
        distance = float(figure[1])
        return None if distance <= threshold else f"by {distance} in ImageMagick's RMSE"


class PerceptualDiffEngine(_ProgramEngine):
    """Needle's ``perceptualdiff_engine``: the threshold is the part of the pixels that may differ, 0 to 1."""

    title = "perceptualdiff"
    perceptualdiff_path = "perceptualdiff"

    def verdict(self, folder: Path, size: Size, threshold: float) -> str | None:
        pixels = str(int(size.pixels * threshold))
        files = "-output", "diff.png", "baseline.png", "new.png"
        result = self.run(self.perceptualdiff_path, folder, "-threshold", pixels, *files)
        # Some versions fail with this text when nothing differs.
        if result.returncode == 0 or "\n0 pixels are different" in result.stdout:
            return None
        return result.stdout.strip() or result.stderr.strip() or f"{self.perceptualdiff_path} failed"


_OURS: dict[str, type[Engine]] = {
    "needle.engines.pil_engine.Engine": PillowEngine,
    "needle.engines.imagemagick_engine.Engine": ImageMagickEngine,
    "needle.engines.perceptualdiff_engine.Engine": PerceptualDiffEngine,
}


def engine_of(dotted_path: str) -> Engine:
    """Return an engine of the class that ``engine_class`` names.

    Raises:
        ScreenshotError: there is no such class, or it is no engine.
    """
    found = _OURS.get(dotted_path)
    if found is None:
        from django.utils.module_loading import import_string

        try:
            found = import_string(dotted_path)
        except ImportError as error:
            raise ScreenshotError(
                f"engine_class = {dotted_path!r} cannot be imported: {error}. It is the dotted path of a class, "
                f"or one of Needle's: {', '.join(_OURS)}"
            ) from error
    engine: Engine = found()
    if not callable(getattr(engine, "assertSameFiles", None)):
        raise ScreenshotError(
            f"engine_class = {dotted_path!r} is no engine: it has no assertSameFiles(output_file, baseline_file, threshold)"
        )
    return engine


def _read(file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise ScreenshotError(f"{file} cannot be read: {error.strerror}") from error
