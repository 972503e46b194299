"""Two screenshots: whether they are equal, what differs, and a picture of that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from testkit.screenshots import blaze, drawing, yiq
from testkit.screenshots.png import Size, decode, size_of

if TYPE_CHECKING:
    from PIL.Image import Image


class Region(NamedTuple):
    """A rectangle in an image's own (device) pixels."""

    left: int
    top: int
    width: int
    height: int

    @property
    def corners(self) -> tuple[int, int, int, int]:
        """The upper left and the lower right corner, as Pillow wants them."""
        return self.left, self.top, self.left + self.width, self.top + self.height


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
    """Whether changed pixels do not count that pixelmatch's rule takes for the smoothed edge of a shape."""

    def pixels(self, total: int) -> float:
        """Return how many of ``total`` pixels may have changed."""
        return max(self.max_diff_pixels, self.max_diff_ratio * total)


class Difference(NamedTuple):
    """How two images differ, beyond what was tolerated."""

    changed: int
    """How many pixels count as changed; with different sizes, also those that only one image has."""
    total: int
    """How many pixels were compared."""
    box: Region | None
    """The smallest rectangle with all that changed; None if the images differ in size alone."""
    message: str
    """One line that says so."""
    size: tuple[Size, Size]
    """The baseline's size, and the new image's."""
    distance: float = 0.0
    """Needle's measure, see :attr:`Tolerance.threshold`."""


EXACT = Tolerance()


def compare(
    baseline: bytes, new: bytes, tolerance: Tolerance = EXACT, ignore: Sequence[Region] = ()
) -> Difference | None:
    """Compare two PNG files; None if they are equal, or within ``tolerance``.

    What lies in a region of ``ignore`` is not compared.

    Raises:
        UnusableImage: one of them cannot be compared.
        ScreenshotError: Pillow is not installed.
    """
    found = _examine(baseline, new, tolerance, ignore)
    return found and found.difference


def compare_and_draw(
    baseline: bytes, new: bytes, tolerance: Tolerance = EXACT, ignore: Sequence[Region] = ()
) -> tuple[Difference, bytes] | None:
    """Return what :func:`compare` does and, if they differ, the :func:`diff_image` too; each file is decoded once.

    Raises:
        UnusableImage: one of them cannot be compared.
        ScreenshotError: Pillow is not installed.
    """
    found = _examine(baseline, new, tolerance, ignore)
    return found and (found.difference, drawing.draw(found.old, found.new, found.mask))


def diff_image(baseline: bytes, new: bytes, ignore: Sequence[Region] = (), tolerance: Tolerance = EXACT) -> bytes:
    """Return a PNG file of the new image, dimmed, with what counts as changed in a strong colour and framed.

    With different sizes it is as large as both together, and what only one image has is tinted: green in the new one,
    red in the baseline. Two images that are equal can be drawn too.

    Raises:
        UnusableImage: one of them cannot be compared.
        ScreenshotError: Pillow is not installed.
    """
    pair = _Pair.of(baseline, new)
    return drawing.draw(pair.old, pair.new, _mask(pair, _difference(pair, ignore), tolerance))


class _Found(NamedTuple):
    """What differs, and what it is drawn from."""

    difference: Difference
    old: Image
    new: Image
    mask: Image


class _Pair(NamedTuple):
    """Two images in the same mode, of whatever sizes."""

    old: Image
    new: Image

    @classmethod
    def of(cls, baseline: bytes, new: bytes) -> _Pair:
        pair = decode(baseline, "the baseline"), decode(new, "the new image")
        modes = {image.mode for image in pair}
        return cls(*pair) if len(modes) == 1 else cls(*(image.convert("RGBA").convert("RGBa") for image in pair))

    @property
    def common(self) -> tuple[int, int, int, int]:
        """The rectangle that both have."""
        return 0, 0, min(self.old.width, self.new.width), min(self.old.height, self.new.height)


def _examine(baseline: bytes, new: bytes, tolerance: Tolerance, ignore: Sequence[Region]) -> _Found | None:
    if baseline == new:
        return None
    sizes = size_of(baseline, "the baseline"), size_of(new, "the new image")
    same_size = sizes[0] == sizes[1]
    if same_size and _blazediff_says_equal(baseline, new, sizes[0], tolerance, ignore):
        return None
    pair = _Pair.of(baseline, new)
    difference = _difference(pair, ignore)
    if same_size and not difference.getbbox(alpha_only=False):
        return None
    mask = _mask(pair, difference, tolerance)
    common = mask.width * mask.height
    only_one_has = sizes[0].pixels + sizes[1].pixels - 2 * common
    changed = common - mask.histogram()[0]
    compared = common - _ignored(mask.size, ignore)
    distance = _distance(difference, mask)
    if same_size and (changed <= tolerance.pixels(compared) or 0 < distance <= tolerance.threshold):
        return None
    box = mask.getbbox()
    found = Difference(
        changed=changed + only_one_has,
        total=compared + only_one_has,
        box=Region(box[0], box[1], box[2] - box[0], box[3] - box[1]) if box else None,
        message="",
        size=sizes,
        distance=distance,
    )
    return _Found(found._replace(message=_message(found, changed)), pair.old, pair.new, mask)


def _blazediff_says_equal(
    baseline: bytes, new: bytes, size: Size, tolerance: Tolerance, ignore: Sequence[Region]
) -> bool:
    """Whether blazediff, which is asked only where it is likely to, says that nothing has changed that matters."""
    if ignore:
        return False
    pixels = tolerance.pixels(size.pixels)
    # Where the first block of data is as long, and compressed alike, the same program wrote both, and would have
    # written the same bytes for the same pixels.
    written_alike = baseline[33:43] == new[33:43]
    likely = tolerance.colour or pixels or not written_alike
    return bool(likely) and blaze.says_equal(baseline, new, colour=tolerance.colour, pixels=pixels)


def _difference(pair: _Pair, ignore: Sequence[Region]) -> Image:
    """Return how far each channel is off in what both images have."""
    from PIL import ImageChops

    # Pillow crops what it subtracts.
    difference = ImageChops.difference(pair.old, pair.new)
    for region in ignore:
        difference.paste(0, region.corners)
    return difference


def _mask(pair: _Pair, difference: Image, tolerance: Tolerance) -> Image:
    """Return an ``L`` image that is 0 where nothing has changed that counts."""
    from PIL import ImageChops

    mask, *others = difference.split()
    for band in others:
        mask = ImageChops.lighter(mask, band)
    if tolerance.colour or tolerance.ignore_antialiasing:
        old, new = (image if image.size == mask.size else image.crop(pair.common) for image in pair)
        mask = yiq.counting(old, new, mask, tolerance.colour, tolerance.ignore_antialiasing)
    return mask


def _ignored(size: tuple[int, int], ignore: Sequence[Region]) -> int:
    if not ignore:
        return 0
    from PIL import Image

    mask = Image.new("L", size)
    for region in ignore:
        mask.paste(1, region.corners)
    return mask.histogram()[1]


def _distance(difference: Image, mask: Image) -> float:
    bands = len(difference.getbands())
    histogram = difference.histogram(mask.point([0] + [255] * 255))
    return sum(index % 256 * count for index, count in enumerate(histogram)) / bands / 255


def _message(found: Difference, changed: int) -> str:
    parts = []
    if found.size[0] != found.size[1]:
        parts.append(f"The size was {found.size[0]} and is now {found.size[1]} pixels")
    if found.box:
        left, top, width, height = found.box
        common = found.total if found.size[0] == found.size[1] else None
        share = f" of {common:,} ({changed / common:.2%})" if common else " of what both images have"
        parts.append(
            f"{changed:,} pixel{'s' if changed != 1 else ''}{share} changed, within {width}×{height} at ({left}, {top}); "
            f"the distance is {found.distance:.2f}"
        )
    return "; ".join(parts)
