"""Pieces of screenshots, for browsers that take the whole only."""

from __future__ import annotations

from io import BytesIO

from testkit.screenshots.browsers.kinds import Clip
from testkit.screenshots.errors import ScreenshotError


def cut_out(image: bytes, clip: Clip, scale: float) -> bytes:
    """Return the part ``clip`` (in CSS pixels) of a PNG that has ``scale`` pixels for each; all of it as it is.

    Raises:
        ScreenshotError: the image is smaller than that.
    """
    from PIL import Image

    with Image.open(BytesIO(image)) as whole:
        edges = (clip.left, clip.top, clip.left + clip.width, clip.top + clip.height)
        left, top, right, bottom = (round(edge * scale) for edge in edges)
        if right > whole.width + 1 or bottom > whole.height + 1:
            raise ScreenshotError(
                f"the browser gave {whole.width} × {whole.height} pixels where {right} × {bottom} were asked for"
            )
        box = left, top, min(right, whole.width), min(bottom, whole.height)
        if box == (0, 0, whole.width, whole.height):
            return image
        piece = BytesIO()
        whole.crop(box).save(piece, "PNG", compress_level=1)
        return piece.getvalue()
