"""Images for tests: made from a seed, written in all ways that PNG has, and broken on purpose."""

from __future__ import annotations

import io
import random
import struct
import zlib

from PIL import Image, ImageDraw


def png(image: Image.Image, **options: object) -> bytes:
    """Return ``image`` as a PNG file."""
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return file.getvalue()


def picture(size: tuple[int, int] = (40, 30), seed: int = 1, shift: int = 0) -> Image.Image:
    """Return shapes with smoothed edges, moved by ``shift`` quarters of a pixel."""
    chance = random.Random(seed)
    width, height = (4 * side for side in size)
    large = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(large)
    for _ in range(6):
        left, top = chance.randrange(width) + shift, chance.randrange(height)
        colour = tuple(chance.randrange(0, 256, 51) for _ in range(3))
        draw.ellipse((left, top, left + 40, top + 60), fill=colour)
        draw.line((left, top, left + 50, top + 70), fill=colour, width=5)
    return large.resize(size, Image.Resampling.BOX)


def noise(size: tuple[int, int], seed: int, mode: str = "RGB") -> Image.Image:
    """Return an image of random pixels."""
    return Image.frombytes(mode, size, random.Random(seed).randbytes(size[0] * size[1] * len(mode)))


def changed(image: Image.Image, *pixels: tuple[int, int], by: int = 255) -> Image.Image:
    """Return ``image`` with another green in some pixels."""
    image = image.copy()
    for pixel in pixels:
        red, green, *rest = image.getpixel(pixel)
        image.putpixel(
            pixel, (red, green + by if green + by < 256 else green - by if green >= by else 255 - green, *rest)
        )
    return image


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a part of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def raw_png(size: tuple[int, int], depth: int, colour: int, rows: bytes, *more: bytes) -> bytes:
    """Return a PNG file with that header, those rows (each with its filter) and ``more`` chunks before them."""
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    end = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(more) + end


def bomb(width: int = 60_000, height: int = 60_000) -> bytes:
    """Return a small file that claims to be a large image."""
    return raw_png((width, height), 8, 6, b"\0" * 9)


def text_bomb() -> bytes:
    """Return a sound image with a comment that is small in the file and large in memory."""
    comment = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"\0" * 20_000_000, 9))
    return raw_png((2, 1), 8, 2, b"\0" + b"\1\2\3" * 2, comment)


LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
