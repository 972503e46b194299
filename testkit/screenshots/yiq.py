"""Pixelmatch's rules: how far two colours are apart, and which pixels are the smoothed edges of shapes.

The rules are those of https://github.com/mapbox/pixelmatch, on which Playwright and others compare, so that numbers can
be taken over from there. They are computed for whole rectangles at once, and only where something has changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from testkit.screenshots.png import on_black, on_white

if TYPE_CHECKING:
    from PIL.Image import Image

_LARGEST_DELTA = 35215
"""The squared distance of the two colours that are farthest apart."""
_STRIP = 64
"""Rows that are looked at together: changes far apart do not have all between them computed."""
_MARGIN = 2
"""Whether a pixel is smoothed depends on its neighbours' neighbours."""
_AROUND = [(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1) if (x, y) != (0, 0)]
"""The neighbours in pixelmatch's order: of several that are equally dark or bright, the first one counts."""

_Box = tuple[int, int, int, int]


def counting(old: Image, new: Image, mask: Image, colour: float, ignore_antialiasing: bool) -> Image:
    """Return ``mask`` without the pixels that do not count.

    Args:
        old: one image, as :func:`testkit.screenshots.png.decode` gives it.
        new: the other, of the same size and mode.
        mask: ``L``; what has changed at all is not 0.
        colour: how far a colour may be off, 0 to 1.
        ignore_antialiasing: whether pixels do not count that are the smoothed edge of a shape in either image.
    """
    from PIL import Image, ImageChops

    kept = Image.new("L", mask.size)
    for box in _boxes(mask):
        changed = mask.crop(box).point(_NOT_ZERO)
        if colour:
            changed = ImageChops.darker(changed, _apart(old.crop(box), new.crop(box), colour))
        if ignore_antialiasing and changed.getbbox():
            changed = ImageChops.subtract(changed, _smoothed(old, new, box))
        kept.paste(changed, box)
    return kept


_NOT_ZERO = [0] + [255] * 255


def _boxes(mask: Image) -> Iterator[_Box]:
    """Yield for each strip of ``mask`` where something has changed the smallest rectangle that has it."""
    width, height = mask.size
    for top in range(0, height, _STRIP):
        box = mask.crop((0, top, width, min(top + _STRIP, height))).getbbox()
        if box:
            yield box[0], box[1] + top, box[2], box[3] + top


def _apart(old: Image, new: Image, colour: float) -> Image:
    """Return a mask of the pixels whose colours are farther apart than ``colour``, before black or before white."""
    from PIL import ImageChops

    apart = _apart_in_rgb(on_white(old), on_white(new), colour)
    if old.mode == "RGB":
        return apart
    return ImageChops.lighter(apart, _apart_in_rgb(on_black(old), on_black(new), colour))


def _apart_in_rgb(old: Image, new: Image, colour: float) -> Image:
    def delta(given: dict[str, Any]) -> Any:
        # Before Pillow 13 only an image of floats can be multiplied with one.
        red, green, blue = (given["float"](given[f"old{band}"] - given[f"new{band}"]) for band in range(3))
        y = red * 0.29889531 + green * 0.58662247 + blue * 0.11448223
        i = red * 0.59597799 - green * 0.27417610 - blue * 0.32180189
        q = red * 0.21147017 - green * 0.52261711 + blue * 0.31114694
        distance = y * y * 0.5053 + i * i * 0.299 + q * q * 0.1957
        return given["convert"]((distance > _LARGEST_DELTA * colour * colour) * 255, "L")

    return _computed(delta, **_bands("old", old), **_bands("new", new))


def _bands(name: str, image: Image) -> dict[str, Image]:
    return {f"{name}{number}": band for number, band in enumerate(image.split())}


def _computed(rule: Any, **images: Image) -> Image:
    from PIL import ImageMath

    result: Image = ImageMath.lambda_eval(rule, **images)
    return result


def _smoothed(old: Image, new: Image, box: _Box) -> Image:
    """Return a mask of the pixels in ``box`` that are the smoothed edge of a shape in either image."""
    from PIL import ImageChops

    left, top, right, bottom = box
    width, height = old.size
    around = max(left - _MARGIN, 0), max(top - _MARGIN, 0), min(right + _MARGIN, width), min(bottom + _MARGIN, height)
    plane = _Plane.at(around, old.size)
    pictures = [on_white(image.crop(around)) for image in (old, new)]
    flat = ImageChops.darker(*(_with_siblings(picture, plane) for picture in pictures))
    masks = [_smoothed_in(picture, flat, plane) for picture in pictures]
    inner = left - around[0], top - around[1], right - around[0], bottom - around[1]
    return ImageChops.lighter(*masks).crop(inner)


class _Plane(NamedTuple):
    """The pixels of a rectangle, by where in the whole image they are."""

    inside: Image
    """1 everywhere, to tell a neighbour from nothing."""
    edge: Image
    """1 at the edge of the whole image, where a pixel has fewer neighbours; pixelmatch counts that as an equal one."""

    @classmethod
    def at(cls, box: _Box, size: tuple[int, int]) -> _Plane:
        from PIL import Image

        left, top, right, bottom = box
        within = right - left, bottom - top
        edge = Image.new("L", within, 1)
        edge.paste(
            0, (max(1 - left, 0), max(1 - top, 0), min(right, size[0] - 1) - left, min(bottom, size[1] - 1) - top)
        )
        return cls(Image.new("L", within, 1), edge)


def _neighbours(image: Image) -> Iterator[Image]:
    """Yield eight images, each with another neighbour of every pixel in its place; 0 where there is none."""
    width, height = image.size
    return (image.crop((x, y, x + width, y + height)) for x, y in _AROUND)


def _with_siblings(picture: Image, plane: _Plane) -> Image:
    """Return a mask (0 or 1) of the pixels that have three neighbours or more of exactly their colour."""
    # One number for a colour, and not 0, which stands for no neighbour.
    code = _computed(lambda of: of["p0"] * 65536 + of["p1"] * 256 + of["p2"] + 1, **_bands("p", picture))
    equal = plane.edge.convert("I")
    for other in _neighbours(code):
        equal = _computed(lambda of: of["equal"] + (of["code"] == of["other"]), equal=equal, code=code, other=other)
    return _computed(lambda of: of["convert"](of["equal"] > 2, "L"), equal=equal)


def _smoothed_in(picture: Image, flat: Image, plane: _Plane) -> Image:
    """Return a mask of the pixels of ``picture`` that are the smoothed edge of a shape.

    Such a pixel has both darker and brighter neighbours, at most two as bright as itself, and the darkest or the
    brightest is one of a plain area (``flat``).
    """
    from PIL import Image

    # Whole numbers, since it matters whether two are equal.
    bright = _computed(lambda of: of["p0"] * 298895 + of["p1"] * 586622 + of["p2"] * 114482, **_bands("p", picture))
    lowest = highest = Image.new("I", picture.size)
    beside_lowest = beside_highest = Image.new("L", picture.size)
    equal = plane.edge.convert("I")
    for other, is_there, is_flat in zip(_neighbours(bright), _neighbours(plane.inside), _neighbours(flat), strict=True):
        delta = _computed(lambda of: (of["a"] - of["b"]) * of["there"], a=bright, b=other, there=is_there)
        equal = _computed(lambda of: of["n"] + (of["d"] == 0) * of["there"], n=equal, d=delta, there=is_there)
        below = _computed(lambda of: of["convert"]((of["d"] < of["low"]) * 255, "L"), d=delta, low=lowest)
        above = _computed(lambda of: of["convert"]((of["d"] > of["high"]) * 255, "L"), d=delta, high=highest)
        lowest, highest = Image.composite(delta, lowest, below), Image.composite(delta, highest, above)
        beside_lowest = Image.composite(is_flat, beside_lowest, below)
        beside_highest = Image.composite(is_flat, beside_highest, above)
    return _computed(
        lambda of: of["convert"](
            (of["n"] <= 2) * (of["low"] < 0) * (of["high"] > 0) * (of["flat_low"] | of["flat_high"]) * 255, "L"
        ),
        n=equal,
        low=lowest,
        high=highest,
        flat_low=beside_lowest,
        flat_high=beside_highest,
    )
