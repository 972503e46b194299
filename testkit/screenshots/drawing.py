"""A picture of what changed, to look at."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from testkit.screenshots.png import LARGEST_PIXELS, on_white

if TYPE_CHECKING:
    from PIL.Image import Image

# A picture has a palette: shades of three tints, one byte a pixel, which is written six times as fast as true colours.
_SHADES = 80
_GREY, _ADDED, _REMOVED = 0, _SHADES, 2 * _SHADES
_STRONG = 255
_NOTHING = 254
_FRAME_GAP, _FRAME_WIDTH = 6, 2


def draw(old: Image, new: Image, mask: Image) -> bytes:
    """Return a PNG file: ``new``, dimmed, what ``mask`` has in a strong colour, and what only one image has tinted.

    ``mask`` is ``L``, as large as what both images have.
    """
    from PIL import Image, ImageDraw

    width, height = max(old.width, new.width), max(old.height, new.height)
    if width * height > LARGEST_PIXELS:  # one very wide, one very high
        width, height = new.size
    picture = Image.new("L", (width, height), _NOTHING)
    both = 0, 0, *mask.size
    if old.size != new.size:
        picture.paste(_dimmed(old, _REMOVED))
        picture.paste(_dimmed(new, _ADDED))
    picture.paste(_dimmed(new.crop(both), _GREY))
    picture.paste(_STRONG, both, mask.point([0] + [255] * 255))
    box = mask.getbbox()
    if box:  # A single pixel would not be seen.
        gap = _FRAME_GAP + _FRAME_WIDTH
        frame = box[0] - gap, box[1] - gap, box[2] + gap - 1, box[3] + gap - 1
        ImageDraw.Draw(picture).rectangle(frame, outline=_STRONG, width=_FRAME_WIDTH)
    picture.putpalette(_palette())
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=1)
    return file.getvalue()


def _dimmed(image: Image, tint: int) -> Image:
    """Return ``image`` in shades of ``tint``, as numbers of the palette."""
    return on_white(image).convert("L").point([tint + value * (_SHADES - 1) // 255 for value in range(256)])


def _palette() -> bytes:
    colours = bytearray()
    for darkest in ((150, 150, 150), (70, 160, 90), (200, 90, 80)):
        lightest = (255, 255, 255) if len(set(darkest)) == 1 else tuple(255 - (255 - part) // 4 for part in darkest)
        for shade in range(_SHADES):
            colours += bytes(
                low + (high - low) * shade // (_SHADES - 1) for low, high in zip(darkest, lightest, strict=True)
            )
    colours += bytes((235, 235, 235)) * (_STRONG - len(colours) // 3)
    return bytes(colours) + bytes((225, 0, 100))
