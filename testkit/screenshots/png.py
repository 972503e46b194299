"""PNG files: their header, read before anything decodes them, and their pixels.

A file of 74 bytes may claim to have 60,000 × 60,000 pixels; a native decoder that believes it ends the process.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from testkit.screenshots.errors import ScreenshotError, UnusableImage

if TYPE_CHECKING:
    from PIL.Image import Image

LARGEST_PIXELS = 89_478_485
"""The most pixels that are decoded: Pillow warns of more. Two such images and what differs take about 1 GiB."""
LARGEST_SIDE = 65_535
"""The most pixels that one side may have; browsers give up before that."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


class Size(NamedTuple):
    """The size of an image in its own (device) pixels."""

    width: int
    height: int

    @property
    def pixels(self) -> int:
        """How many pixels there are."""
        return self.width * self.height

    def __str__(self) -> str:
        return f"{self.width}×{self.height}"


def size_of(data: bytes, what: str) -> Size:
    """Return the size that the header of the PNG file ``data`` tells; nothing is decoded.

    Args:
        data: the whole file.
        what: which image it is, for the message: ``the baseline screenshots/baseline/…/home_1024.png``.

    Raises:
        UnusableImage: it is no PNG, its header is cut off, or it has more pixels than are ever decoded.
    """
    raise NotImplementedError


def decode(data: bytes, what: str) -> Image:
    """Return the pixels of the PNG file ``data``, once its header was found to be sound: ``RGB``, or premultiplied ``RGBa``.

    Raises:
        UnusableImage: as :func:`size_of`, or it is damaged after its header.
        ScreenshotError: Pillow is not installed.
    """
    raise NotImplementedError
