"""PNG files: nothing is decoded whose header was not checked, and whatever is wrong is said with what mends it."""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys

import pytest
from PIL import Image

from testkit.screenshots.errors import UnusableImage
from testkit.screenshots.png import LARGEST_PIXELS, Size, decode, size_of
from tests.projects import ROOT, clean_environment
from tests.screenshots.images import LFS_POINTER, bomb, chunk, noise, picture, png, raw_png, text_bomb

SOUND = png(picture())


def converted(kind: str) -> bytes:
    file = io.BytesIO()
    picture().save(file, kind)
    return file.getvalue()


def damaged_header() -> bytes:
    data = bytearray(SOUND)
    data[18] ^= 1
    return bytes(data)


UNUSABLE = {
    "empty": (b"", "is empty"),
    "LFS pointer": (LFS_POINTER, "Run: git lfs pull"),
    "a few bytes": (SOUND[:5], r"cut off within its header \(5 bytes\)"),
    "no header": (SOUND[:20], r"cut off within its header \(20 bytes\)"),
    "damaged header": (damaged_header(), "the checksum of its header is wrong"),
    "no pixels": (raw_png((0, 5), 8, 2, b"\0"), "claims to have 0×5 pixels"),
    "bomb": (bomb(), "claims to have 60000×60000 pixels and is not decoded: the limit is 89,478,485 pixels"),
    "long bomb": (bomb(1, 70_000), "65,535 on a side"),
    "JPEG": (converted("JPEG"), "is a JPEG file, whatever its name says"),
    "GIF": (converted("GIF"), "is a GIF file"),
    "HTML": (b"<!doctype html>", "is an HTML, XML or SVG file"),
    "text": (b"hello world", r"is no PNG file: it begins with b'hello wo'"),
}


@pytest.mark.parametrize(("data", "reason"), UNUSABLE.values(), ids=UNUSABLE)
def test_what_is_wrong_with_a_header_is_said(data, reason):
    """The message names the image, says what it is instead, and what to do."""
    with pytest.raises(UnusableImage, match=reason) as caught:
        size_of(data, "the baseline home.png")
    assert str(caught.value).startswith("the baseline home.png ")
    assert str(caught.value).endswith((".", "git lfs pull"))


def test_the_size_is_read_from_the_header_alone():
    """The size is told although all that follows the header is missing."""
    assert size_of(png(Image.new("RGB", (3, 70)))[:33], "it") == (3, 70)
    assert str(Size(1024, 3000)) == "1024×3000"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (SOUND[:-30], "is damaged or cut off"),
        (SOUND[:60] + b"\0\0\0\0" + SOUND[64:], "is damaged or cut off"),
        (SOUND[:33], "is damaged or cut off"),
        (bomb(9_000, 9_000), "is damaged or cut off"),
        (text_bomb(), "is damaged or cut off"),
    ],
    ids=["cut off", "altered", "no data", "less data than claimed", "zTXt bomb"],
)
def test_what_is_wrong_after_the_header_is_said(data, reason):
    """An image that cannot be decoded is an unusable one, whatever Pillow calls that."""
    assert size_of(data, "it").pixels < LARGEST_PIXELS
    with pytest.raises(UnusableImage, match=reason):
        decode(data, "the new image")


def test_a_lower_limit_of_the_project_is_told_as_such(monkeypatch):
    """A project that lowers Pillow's own limit gets an unusable image, not Pillow's error or warning."""
    for limit in (100, 900):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(UnusableImage, match=r"is not decoded: .*decompression bomb"):
            decode(SOUND, "it")


GREY = [0x80, 0xFF, 0x00, 0x12]
RGB_ROW = bytes(value for grey in GREY for value in (grey, grey, grey))
SAME = {
    "RGB": raw_png((4, 1), 8, 2, b"\0" + RGB_ROW),
    "RGBA": raw_png((4, 1), 8, 6, b"\0" + b"".join(bytes([grey] * 3 + [255]) for grey in GREY)),
    "grey": raw_png((4, 1), 8, 0, b"\0" + bytes(GREY)),
    "grey and alpha": raw_png((4, 1), 8, 4, b"\0" + b"".join(bytes([grey, 255]) for grey in GREY)),
    "palette": raw_png((4, 1), 8, 3, b"\0\0\1\2\3", chunk(b"PLTE", RGB_ROW)),
    "16 bits of grey": raw_png((4, 1), 16, 0, b"\0" + b"".join(bytes([grey, 0x34]) for grey in GREY)),
    "16 bits RGB": raw_png((4, 1), 16, 2, b"\0" + b"".join(bytes([grey, 0x34] * 3) for grey in GREY)),
    "16 bits of grey, tRNS": raw_png(
        (4, 1), 16, 0, b"\0" + b"".join(bytes([grey, 0x34]) for grey in GREY), chunk(b"tRNS", b"\x90\x34")
    ),
}


@pytest.mark.parametrize("data", SAME.values(), ids=SAME)
def test_the_same_picture_is_the_same_however_it_is_written(data):
    """Grey, palettes, 16 bits and an alpha channel that hides nothing make no difference."""
    image = decode(data, "it")
    assert (image.mode, image.tobytes()) == ("RGB", RGB_ROW)


@pytest.mark.parametrize(
    "data",
    [
        raw_png((2, 1), 8, 6, b"\0" + bytes([10, 20, 30, 0, 7, 8, 9, 255])),
        raw_png((2, 1), 8, 2, b"\0" + bytes([1, 2, 3, 7, 8, 9]), chunk(b"tRNS", b"\0\1\0\2\0\3")),
        raw_png((2, 1), 8, 3, b"\0\0\1", chunk(b"PLTE", bytes([50, 60, 70, 7, 8, 9])), chunk(b"tRNS", b"\0\xff")),
    ],
    ids=["alpha", "a colour that is transparent", "palette"],
)
def test_the_colour_of_what_is_transparent_does_not_matter(data):
    """Of a pixel that cannot be seen nothing is kept but that."""
    image = decode(data, "it")
    assert (image.mode, image.tobytes()) == ("RGBa", bytes([0, 0, 0, 0, 7, 8, 9, 255]))


FUZZ = """
import json, resource, sys
limit = 3 << 30
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
from testkit.screenshots.compare import Tolerance, compare, diff_image
from testkit.screenshots.errors import UnusableImage
outcomes = []
for number, line in enumerate(sys.stdin):
    sound, broken = map(bytes.fromhex, line.split(","))
    for pair in ((sound, broken), (broken, sound)):
        # The first two go to blazediff, where it is installed.
        for tolerance in (Tolerance(), Tolerance(colour=0.1), Tolerance(ignore_antialiasing=True)):
            try:
                outcomes.append("equal" if compare(*pair, tolerance) is None else "different")
            except UnusableImage as error:
                outcomes.append("unusable" if str(error).startswith("the ") else repr(error))
    if number == 0:
        outcomes.append("PIL" in sys.modules or "blazediff" in sys.modules)
print(json.dumps(outcomes))
"""


def broken_images(count: int) -> list[bytes]:
    chance = random.Random(5)
    sources = [SOUND, png(noise((9, 7), 2, "RGBA")), png(picture().convert("P")), *SAME.values()]
    found = [bomb(), bomb(20_000, 20_000), bomb(9_000, 9_000), text_bomb(), *(data for data, _ in UNUSABLE.values())]
    while len(found) < count:
        data = bytearray(chance.choice(sources))
        for _ in range(chance.choice((1, 1, 3))):
            place = chance.randrange(len(data))
            what = chance.randrange(4)
            if what == 0:
                del data[place:]
                break
            if what == 1:
                del data[place : place + chance.randrange(1, 9)]
            elif what == 2:
                data[place:place] = chance.randbytes(chance.randrange(1, 9))
            else:
                data[place] ^= 1 << chance.randrange(8)
            if not data:
                break
        found.append(bytes(data))
    return found


def test_no_image_ends_the_process_or_is_taken_for_another():
    """Hundreds of broken images, in 3 GiB, with blazediff: each is compared or unusable, and a bomb loads no decoder."""
    files = broken_images(200)
    lines = "".join(f"{SOUND.hex()},{data.hex()}\n" for data in files)
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", FUZZ],
        input=lines,
        env=clean_environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    outcomes = json.loads(process.stdout)
    assert outcomes.pop(6) is False
    assert set(outcomes) <= {"equal", "different", "unusable"}
    assert len(outcomes) == 6 * len(files)
    assert outcomes[: 6 * (4 + len(UNUSABLE))].count("unusable") == 6 * (4 + len(UNUSABLE))
    # A checksum that is wrong may be in a part that nobody reads; but most of what is broken cannot be used.
    assert outcomes.count("unusable") > len(outcomes) / 2
