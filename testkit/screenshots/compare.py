"""Two screenshots: whether they are equal, what differs, and a picture of that."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
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
    return found and (found.difference, found.draw())


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


class _Pair(NamedTuple):
    """Two images in the same mode, of whatever sizes."""

    old: Image
    new: Image

    @classmethod
    def of(cls, baseline: bytes, new: bytes) -> _Pair:
        old, now = decode(baseline, "the baseline"), decode(new, "the new image")
        if old.mode != now.mode:
            old, now = (image.convert("RGBA").convert("RGBa") if image.mode == "RGB" else image for image in (old, now))
        return cls(old, now)


class _Found(NamedTuple):
    """What differs, and what it is drawn from."""

    difference: Difference
    pair: _Pair
    mask: Image

    def draw(self) -> bytes:
        return drawing.draw(self.pair.old, self.pair.new, self.mask)


def _examine(baseline: bytes, new: bytes, tolerance: Tolerance, ignore: Sequence[Region]) -> _Found | None:
    if baseline == new:
        return None
    sizes = size_of(baseline, "the baseline"), size_of(new, "the new image")
    is_same_size = sizes[0] == sizes[1]
    if is_same_size and _blazediff_says_equal(baseline, new, sizes[0], tolerance, ignore):
        return None
    pair = _Pair.of(baseline, new)
    difference = _difference(pair, ignore)
    mask = _mask(pair, difference, tolerance)
    box = mask.getbbox()
    changed, distance = _extent(difference.crop(box), mask.crop(box)) if box else (0, 0.0)
    common = Size(*mask.size).pixels
    compared = common - _ignored(mask.size, ignore)
    if is_same_size and (changed <= tolerance.pixels(compared) or distance <= tolerance.threshold):
        return None
    only_one_has = sizes[0].pixels + sizes[1].pixels - 2 * common
    found = Difference(
        changed=changed + only_one_has,
        total=compared + only_one_has,
        box=Region(box[0], box[1], box[2] - box[0], box[3] - box[1]) if box else None,
        message=_message(sizes, changed, compared, box, distance),
        size=sizes,
        distance=distance,
    )
    return _Found(found, pair, mask)


def _blazediff_says_equal(
    baseline: bytes, new: bytes, size: Size, tolerance: Tolerance, ignore: Sequence[Region]
) -> bool:
    """Whether blazediff says that nothing has changed that matters; it is asked only where that is likely."""
    if ignore or tolerance.ignore_antialiasing:
        return False
    pixels = tolerance.pixels(size.pixels)
    # Where the first block of data is as long, and compressed alike, the same program wrote both, and would have
    # written the same bytes for the same pixels. (A small image has but one block: there it is asked in vain.)
    is_written_alike = baseline[33:43] == new[33:43]
    is_likely = tolerance.colour or pixels or not is_written_alike
    return bool(is_likely) and blaze.says_equal(baseline, new, colour=tolerance.colour, pixels=pixels)


def _difference(pair: _Pair, ignore: Sequence[Region]) -> Image:
    """Return how far each channel is off, in what both images have: Pillow leaves out the rest."""
    from PIL import ImageChops

    difference = ImageChops.difference(pair.old, pair.new)
    for region in ignore:
        difference.paste((0,) * len(difference.getbands()), region.corners)
    return difference


def _mask(pair: _Pair, difference: Image, tolerance: Tolerance) -> Image:
    """Return an ``L`` image that is 0 where nothing has changed that counts."""
    from PIL import Image, ImageChops

    mask = Image.new("L", difference.size)
    box = difference.getbbox(alpha_only=False)
    if box:
        mask.paste(reduce(ImageChops.lighter, difference.crop(box).split()), box)
        if tolerance.colour or tolerance.ignore_antialiasing:
            both = (0, 0, *mask.size)
            old, new = (image if image.size == mask.size else image.crop(both) for image in pair)
            return yiq.counting(old, new, mask, tolerance.colour, tolerance.ignore_antialiasing)
    return mask


def _extent(difference: Image, mask: Image) -> tuple[int, float]:
    """Return how many pixels of ``mask`` are set, and how far these are off in sum."""
    unchanged, *_ = mask.histogram()
    histogram = difference.histogram(mask.point([0] + [255] * 255))
    off = sum(index % 256 * count for index, count in enumerate(histogram))
    return Size(*mask.size).pixels - unchanged, off / len(difference.getbands()) / 255


def _ignored(size: tuple[int, int], ignore: Sequence[Region]) -> int:
    """Return how many pixels of an image lie in a region of ``ignore``; one may lie in several."""
    if not ignore:
        return 0
    from PIL import Image

    mask = Image.new("L", size)
    for region in ignore:
        mask.paste(1, region.corners)
    return mask.histogram()[1]


def _message(
    sizes: tuple[Size, Size], changed: int, compared: int, box: tuple[int, int, int, int] | None, distance: float
) -> str:
    parts = []
    where = ""
    if sizes[0] != sizes[1]:
        parts.append(f"the size was {sizes[0]} and is now {sizes[1]} pixels")
        where = " that both images have"
    if box:
        left, top, right, bottom = box
        parts.append(
            f"{changed:,} of {compared:,} pixels{where} changed ({changed / compared:.2%}), within {right - left}×"
            f"{bottom - top} at ({left}, {top}); the distance is {distance:.2f}"
        )
    return "; ".join(parts)
