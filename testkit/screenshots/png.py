"""PNG files: their header, read before anything decodes them, and their pixels.

A file of 74 bytes may claim to have 60000² pixels; a native decoder that believes it ends the process.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING, NamedTuple

from testkit.screenshots.errors import ScreenshotError, UnusableImage

if TYPE_CHECKING:
    from PIL.Image import Image

LARGEST_PIXELS = 89_478_485
"""The most pixels that are decoded: of more, Pillow warns. Two such images and what differs take some 1.5 GiB."""
LARGEST_SIDE = 65_535
"""The most pixels that one side may have; browsers give up before that."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_LFS = b"version https://git-lfs.github.com/spec/"
_AGAIN = "Make it again (--with-save-baseline), or restore it from version control"
# Formats that are taken for PNG files, and how they begin.
_OTHERS = {b"\xff\xd8\xff": "a JPEG", b"GIF8": "a GIF", b"RIFF": "a WebP", b"BM": "a BMP", b"<": "an HTML, XML or SVG"}


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
        UnusableImage: it is no PNG, its header is damaged, or it has more pixels than are ever decoded.
    """
    if not data.startswith(_SIGNATURE):
        raise UnusableImage(f"{what} {_why_not_png(data)}")
    header = data[8:33]
    if len(header) < 25 or header[:8] != b"\x00\x00\x00\x0dIHDR":
        raise UnusableImage(f"{what} is cut off within its header ({len(data)} bytes). {_AGAIN}.")
    if zlib.crc32(header[4:21]) != int.from_bytes(header[21:], "big"):
        raise UnusableImage(f"{what} is damaged: the checksum of its header is wrong. {_AGAIN}.")
    size = Size(*struct.unpack(">II", header[8:16]))
    if not size.pixels:
        raise UnusableImage(f"{what} claims to have {size} pixels. {_AGAIN}.")
    if size.pixels > LARGEST_PIXELS or max(size) > LARGEST_SIDE:
        raise UnusableImage(
            f"{what} claims to have {size} pixels and is not decoded: the limit is {LARGEST_PIXELS:,} pixels, and "
            f"{LARGEST_SIDE:,} on a side. Take a part of the page (an element, a clip), or a smaller scale."
        )
    return size


def _why_not_png(data: bytes) -> str:
    if not data:
        return f"is empty. {_AGAIN}."
    if data.startswith(_LFS):
        return "is a pointer of Git LFS, not the image itself. Run: git lfs pull"
    if _SIGNATURE.startswith(data[:8]):
        return f"is cut off within its header ({len(data)} bytes). {_AGAIN}."
    for start, name in _OTHERS.items():
        if data.startswith(start):
            return f"is {name} file, whatever its name says. {_AGAIN}."
    return f"is no PNG file: it begins with {data[:8]!r}. {_AGAIN}."


def decode(data: bytes, what: str) -> Image:
    """Return the pixels of the PNG file ``data``: 8 bits a channel, ``RGB``, or ``RGBa`` if anything is transparent.

    ``RGBa`` is premultiplied: the colour of what cannot be seen does not matter. Of 16 bits the upper 8 are taken.

    Raises:
        UnusableImage: as :func:`size_of`, or it is damaged after its header.
        ScreenshotError: Pillow is not installed.
    """
    size_of(data, what)
    try:
        from PIL import Image
    except ImportError as error:
        raise ScreenshotError(
            "screenshots are compared with Pillow, which is not installed. Run: pip install 'django-testkit[screenshots]'"
        ) from error
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=("PNG",))
        image.load()
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error) as error:  # what Pillow raises
        raise UnusableImage(f"{what} is damaged or cut off ({error}). {_AGAIN}.") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:  # the project has a lower limit
        raise UnusableImage(f"{what} is not decoded: {error}") from error
    return _plain(image)


def _plain(image: Image) -> Image:
    """Return ``image`` in one of the two modes that are compared."""
    if image.mode.startswith("I"):  # 16 bits of grey: convert() alone would make white of all above 255
        image = image.convert("I").point([value >> 8 for value in range(65536)], "L")
        image.info.pop("transparency", None)  # a 16-bit value, which no longer fits
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    image = image.convert("RGBA")
    opaque = image.getchannel("A").getextrema() == (255, 255)
    return image.convert("RGB" if opaque else "RGBa")


def on_white(image: Image) -> Image:
    """Return ``image``, as :func:`decode` gave it, as ``RGB``: what it shows before a white page."""
    if image.mode == "RGB":
        return image
    from PIL import Image, ImageChops

    *colours, alpha = image.split()
    white = ImageChops.invert(alpha)
    return Image.merge("RGB", [ImageChops.add(band, white) for band in colours])


def on_black(image: Image) -> Image:
    """Return ``image``, as :func:`decode` gave it, as ``RGB``: what it shows before a black page."""
    if image.mode == "RGB":
        return image
    from PIL import Image

    return Image.merge("RGB", image.split()[:3])
