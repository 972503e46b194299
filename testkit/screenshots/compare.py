"""Two screenshots: whether they are equal, what differs, and a picture of that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from testkit.screenshots.png import Size


class Region(NamedTuple):
    """A rectangle in an image's own (device) pixels."""

    left: int
    top: int
    width: int
    height: int


class Tolerance(NamedTuple):
    """How much two images may differ. By default not at all.

    ``colour`` and ``ignore_antialiasing`` say which pixels count as changed; what the others allow is enough each by
    itself. A different size is never within tolerance.
    """

    threshold: float = 0.0
    """Needle's: the sum over all changed pixels of their channels' mean difference, black to white being 1."""
    max_diff_pixels: int = 0
    """How many pixels may have changed."""
    max_diff_ratio: float = 0.0
    """Which part of the compared pixels may have changed, 0 to 1."""
    colour: float = 0.0
    """How far a pixel's colour may be off, 0 to 1, in pixelmatch's measure (YIQ), as Playwright's ``threshold`` is."""
    ignore_antialiasing: bool = False
    """Whether changed pixels do not count which pixelmatch's rule takes for the smoothed edge of a shape."""


class Difference(NamedTuple):
    """How two images differ, beyond what was tolerated."""

    changed: int
    """How many pixels count as changed; with different sizes, also those that only one image has."""
    total: int
    """How many pixels were compared."""
    box: Region | None
    """The smallest rectangle with all that changed; None if only pixels differ that one image does not have."""
    message: str
    """One line that says so."""
    size: tuple[Size, Size]
    """The baseline's size, and the new image's."""
    distance: float = 0.0
    """Needle's measure, see :attr:`Tolerance.threshold`."""


def compare(
    baseline: bytes,
    new: bytes,
    tolerance: Tolerance = Tolerance(),  # noqa: B008  # frozen
    ignore: Sequence[Region] = (),
) -> Difference | None:
    """Compare two PNG files; None if they are equal, or within ``tolerance``.

    What lies in a region of ``ignore`` is not compared.

    Raises:
        UnusableImage: one of them cannot be compared.
    """
    raise NotImplementedError


def diff_image(
    baseline: bytes,
    new: bytes,
    ignore: Sequence[Region] = (),
    tolerance: Tolerance = Tolerance(),  # noqa: B008  # frozen
) -> bytes:
    """Return a PNG file of the new image, dimmed, with what changed in a strong colour.

    With different sizes it is as large as both together, and what only one image has is tinted.
    """
    raise NotImplementedError


def compare_and_draw(
    baseline: bytes,
    new: bytes,
    tolerance: Tolerance = Tolerance(),  # noqa: B008  # frozen
    ignore: Sequence[Region] = (),
) -> tuple[Difference, bytes] | None:
    """Return what :func:`compare` does and, if they differ, the :func:`diff_image` too; each file is decoded once."""
    raise NotImplementedError
