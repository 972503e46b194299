"""Comparing: what counts as changed, what is tolerated, what is told, and the picture of it."""

from __future__ import annotations

import builtins
import io
import random

import pytest
from PIL import Image

from testkit.screenshots import blaze
from testkit.screenshots.compare import Difference, Region, Tolerance, compare, compare_and_draw, diff_image
from testkit.screenshots.errors import ScreenshotError, UnusableImage
from testkit.screenshots.mixin import ScreenshotMixin
from testkit.screenshots.png import Size
from tests.screenshots.images import bomb, changed, noise, picture, png, raw_png

STRONG = (225, 0, 100)


@pytest.fixture(params=["with blazediff", "with Pillow only"])
def libraries(request, monkeypatch):
    """Have the test run with each way of comparing."""
    if request.param == "with Pillow only":
        import_module = builtins.__import__

        def without(name, *args, **more):
            if name == "blazediff":
                raise ImportError(name)
            return import_module(name, *args, **more)

        monkeypatch.setattr(builtins, "__import__", without)
    else:
        pytest.importorskip("blazediff")


def pairs(count, seed):
    """Yield images that differ little, much, in a few pixels, and in their edges only."""
    chance = random.Random(seed)
    for number in range(count):
        size = chance.choice([(40, 30), (33, 17), (1, 9), (9, 130)])
        old = picture(size, seed=number) if number % 3 else noise(size, number)
        if number % 4 == 0:
            spots = [(chance.randrange(size[0]), chance.randrange(size[1])) for _ in range(chance.randrange(1, 9))]
            new = changed(old, *spots, by=chance.randrange(1, 256))
        else:
            new = picture(size, seed=number, shift=chance.choice([1, 2, 3, 9]))
        yield old, new


# The rules, pixel by pixel, as plainly as they can be said.


def needle_distance(old, new):
    """What needle.engines.pil_engine computes."""
    return sum(abs(a / 3 - b / 3) / 255 for a, b in zip(old.tobytes(), new.tobytes(), strict=True))


def yiq(pixel):
    red, green, blue = pixel
    return (
        red * 0.29889531 + green * 0.58662247 + blue * 0.11448223,
        red * 0.59597799 - green * 0.27417610 - blue * 0.32180189,
        red * 0.21147017 - green * 0.52261711 + blue * 0.31114694,
    )


def is_apart(old, new, colour):
    y, i, q = (a - b for a, b in zip(yiq(old), yiq(new), strict=True))
    return 0.5053 * y * y + 0.299 * i * i + 0.1957 * q * q > 35215 * colour * colour


def around(image, x, y):
    xs, ys = range(max(x - 1, 0), min(x + 2, image.width)), range(max(y - 1, 0), min(y + 2, image.height))
    return [(a, b) for a in xs for b in ys if (a, b) != (x, y)]


def has_siblings(image, place):
    near = around(image, *place)
    return (len(near) < 8) + sum(image.getpixel(other) == image.getpixel(place) for other in near) > 2


def is_smoothed(image, other, x, y):
    brightness = yiq(image.getpixel((x, y)))[0]
    near = around(image, x, y)
    deltas = {place: brightness - yiq(image.getpixel(place))[0] for place in near}
    if (len(near) < 8) + list(deltas.values()).count(0) > 2:
        return False
    low, high = min(deltas, key=deltas.get), max(deltas, key=deltas.get)
    if deltas[low] >= 0 or deltas[high] <= 0:
        return False
    return any(has_siblings(image, place) and has_siblings(other, place) for place in (low, high))


def count(old, new, tolerance):
    total = 0
    for y in range(old.height):
        for x in range(old.width):
            pixels = old.getpixel((x, y)), new.getpixel((x, y))
            if pixels[0] == pixels[1] or not is_apart(*pixels, tolerance.colour):
                continue
            if tolerance.ignore_antialiasing and (is_smoothed(old, new, x, y) or is_smoothed(new, old, x, y)):
                continue
            total += 1
    return total


def test_equal_bytes_are_equal_whatever_they_are():
    """What is equal is not even looked at."""
    assert compare(b"no image", b"no image") is None
    assert compare_and_draw(bomb(), bomb()) is None


def test_headers_are_checked_before_anything_is_decoded():
    """Of a sound and an unusable image, in either order, the message tells which one it is."""
    sound = png(picture())
    with pytest.raises(UnusableImage, match=r"^the baseline claims to have 60000×60000"):
        compare(bomb(), sound)
    with pytest.raises(UnusableImage, match=r"^the new image claims to have 60000×60000"):
        compare(sound[:-20], bomb())


@pytest.mark.usefixtures("libraries")
def test_one_pixel_is_found_wherever_it_is():
    """A change of one step in one channel of one pixel is found and located, in each corner and in between."""
    old = picture((200, 150))
    for place in [(0, 0), (199, 0), (0, 149), (199, 149), (101, 77)]:
        difference = compare(png(old), png(changed(old, place, by=1)))
        assert (difference.changed, difference.total, difference.box) == (1, 30_000, Region(*place, 1, 1))
        assert difference.message == (
            f"1 of 30,000 pixels changed (0.00%), within 1×1 at {place}; the distance is 0.00"
        )
        assert difference.distance == pytest.approx(1 / 3 / 255)


@pytest.mark.usefixtures("libraries")
def test_the_same_pixels_in_other_bytes_are_equal():
    """Another compression, another mode or a comment is no change."""
    image = picture((300, 200))
    for other in (png(image, compress_level=0), png(image.convert("RGBA")), png(image, dpi=(72, 72))):
        assert compare(png(image), other) is None


@pytest.mark.usefixtures("libraries")
def test_count_box_and_distance_are_those_of_the_rules():
    """On random images the numbers are what going through all pixels one by one gives."""
    for old, new in pairs(12, seed=3):
        difference = compare(png(old), png(new))
        spots = [
            (x, y) for y in range(old.height) for x in range(old.width) if old.getpixel((x, y)) != new.getpixel((x, y))
        ]
        if not spots:
            assert difference is None
            continue
        left, top = min(x for x, _ in spots), min(y for _, y in spots)
        right, bottom = max(x for x, _ in spots) + 1, max(y for _, y in spots) + 1
        assert difference.changed == len(spots)
        assert difference.box == Region(left, top, right - left, bottom - top)
        assert difference.distance == pytest.approx(needle_distance(old, new))


@pytest.mark.parametrize("tolerance", [Tolerance(colour=0.05), Tolerance(colour=0.3)], ids=["0.05", "0.3"])
@pytest.mark.usefixtures("libraries")
def test_colours_are_apart_by_pixelmatchs_rule(tolerance):
    """On random images as many pixels count as by pixelmatch's rule, applied one by one."""
    check_counts(tolerance)


@pytest.mark.parametrize("colour", [0.0, 0.1])
def test_antialiasing_is_told_by_pixelmatchs_rule(colour):
    """On random images as many pixels count as by pixelmatch's rules, applied one by one."""
    check_counts(Tolerance(colour=colour, ignore_antialiasing=True))


def check_counts(tolerance):
    counts = []
    for old, new in pairs(12, seed=4):
        wanted = count(old, new, tolerance)
        difference = compare(png(old), png(new), tolerance)
        assert (difference.changed if difference else 0) == wanted
        counts.append(wanted)
        if wanted:
            assert compare(png(old), png(new), tolerance._replace(max_diff_pixels=wanted)) is None
            assert compare(png(old), png(new), tolerance._replace(max_diff_pixels=wanted - 1)) is not None
    assert counts.count(0) < len(counts) / 2


@pytest.mark.usefixtures("libraries")
def test_each_tolerance_ends_where_it_says():
    """The distance, the number of pixels and their part may be just what is allowed, and no more."""
    old = Image.new("RGB", (20, 10), "black")
    new = changed(old, (3, 4), (15, 2))
    old, new = png(old), png(new)
    distance = 2 / 3
    for allowing, refusing in [
        (Tolerance(threshold=distance + 1e-9), Tolerance(threshold=distance - 1e-6)),
        (Tolerance(max_diff_pixels=2), Tolerance(max_diff_pixels=1)),
        (Tolerance(max_diff_ratio=0.01), Tolerance(max_diff_ratio=0.009)),
        (Tolerance(max_diff_ratio=0.01, max_diff_pixels=1), Tolerance(max_diff_ratio=0.001, max_diff_pixels=1)),
        (Tolerance(threshold=0.1, max_diff_pixels=2), Tolerance(threshold=0.1, max_diff_pixels=1)),
        (Tolerance(colour=0.9), Tolerance(colour=0.1)),
    ]:
        assert compare(old, new, allowing) is None
        assert compare(old, new, refusing).changed == 2


def test_what_is_ignored_is_not_compared():
    """A change within a region is none, one beside it is found, and the part is that of what was compared."""
    old = noise((50, 40), 1)
    new = changed(old, (10, 10), (19, 19), (20, 20))
    region = Region(10, 10, 10, 10)
    difference = compare(png(old), png(new), ignore=[region])
    assert (difference.changed, difference.total, difference.box) == (1, 50 * 40 - 100, Region(20, 20, 1, 1))
    assert compare(png(old), png(new), ignore=[region, Region(15, 15, 10, 10)]) is None
    nothing = compare(png(old), png(new), Tolerance(threshold=9, max_diff_pixels=9), [Region(-30, -30, 200, 200)])
    assert nothing.message == "there is nothing to compare: all of the image is ignored"
    assert compare(png(old), png(new), Tolerance(max_diff_ratio=1 / 1901), ignore=[region]) is not None
    assert compare(png(old), png(new), Tolerance(max_diff_ratio=1 / 1900), ignore=[region]) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_diff_ratio": 5},
        {"max_diff_ratio": 1.0},
        {"colour": 1},
        {"colour": -0.1},
        {"threshold": float("nan")},
        {"threshold": float("inf")},
        {"max_diff_pixels": -1},
    ],
)
def test_what_nothing_would_be_compared_by_is_refused(wrong):
    """A tolerance of all that can differ, or of less than nothing, is an error that names it and what is accepted."""
    (name,) = wrong
    with pytest.raises(ScreenshotError, match=f"^{name} is .*: give a (number from 0 on|part of 1)"):
        ScreenshotMixin()._asked(
            "html", wrong.get("threshold", 0), {key: wrong[key] for key in wrong if key != "threshold"}
        )


def test_what_is_ignored_is_not_painted_over():
    """In the picture a region is as the page shows it, and no change in it is marked."""
    old = Image.new("RGB", (60, 60), "white")
    new = changed(old, (10, 10), (50, 50))
    drawn = Image.open(io.BytesIO(diff_image(png(old), png(new), [Region(5, 5, 10, 10)]))).convert("RGB")
    assert [drawn.getpixel(place) == STRONG for place in ((10, 10), (50, 50))] == [False, True]
    nothing = Image.open(io.BytesIO(diff_image(png(new), png(new)))).convert("RGB")
    assert drawn.crop((5, 5, 15, 15)).tobytes() == nothing.crop((5, 5, 15, 15)).tobytes()


def test_another_size_is_a_difference_with_both_sizes():
    """However much is tolerated, another size is told with both sizes, and with what changed in what both have."""
    old, new = Image.new("RGB", (30, 20), "white"), Image.new("RGB", (30, 50), "white")
    everything = Tolerance(1e9, 10**9, 1.0, 1.0, ignore_antialiasing=True)
    assert compare(png(old), png(new), everything) == Difference(
        changed=900,
        total=1500,
        box=None,
        message="the size was 30×20 and is now 30×50 pixels",
        size=(Size(30, 20), Size(30, 50)),
    )
    difference = compare(png(changed(old, (7, 8))), png(new))
    assert difference.message == (
        "the size was 30×20 and is now 30×50 pixels; 1 of 600 pixels that both images have changed (0.17%), "
        "within 1×1 at (7, 8); the distance is 0.33"
    )
    assert (difference.changed, difference.box) == (901, Region(7, 8, 1, 1))


@pytest.mark.parametrize(("old", "new"), [((30, 20), (30, 50)), ((30, 50), (30, 20)), ((40, 20), (30, 50))])
def test_with_another_size_the_picture_shows_both(old, new):
    """It is as large as both together: what was added is green, what is gone is red, and the rest is as ever."""
    data = compare_and_draw(png(Image.new("RGB", old, "white")), png(Image.new("RGB", new, "white")))[1]
    drawn = Image.open(io.BytesIO(data)).convert("RGB")
    assert drawn.size == (max(old[0], new[0]), max(old[1], new[1]))
    for x in range(5, drawn.width, 10):
        for y in range(5, drawn.height, 10):
            red, green, _ = drawn.getpixel((x, y))
            in_old, in_new = (x < size[0] and y < size[1] for size in (old, new))
            assert (green > red, red > green) == (in_new and not in_old, in_old and not in_new)


def test_a_very_wide_and_a_very_high_image_are_not_padded_to_a_bomb():
    """Two sound images that together would be too large to be drawn are told of, and the new one is drawn."""
    wide, high = png(Image.new("1", (60_000, 2))), png(Image.new("1", (2, 60_000)))
    difference, drawn = compare_and_draw(wide, high)
    assert difference.message == "the size was 60000×2 and is now 2×60000 pixels"
    assert Image.open(io.BytesIO(drawn)).size == (2, 60_000)


def test_the_picture_marks_what_changed():
    """Changed pixels have the strong colour, a frame leads to them, and all others are pale and as they were."""
    old = picture((120, 90))
    new = changed(old, (50, 40), by=1)
    data = compare_and_draw(png(old), png(new))[1]
    assert data == diff_image(png(old), png(new))
    drawn = Image.open(io.BytesIO(data)).convert("RGB")
    strong = {(x, y) for x in range(120) for y in range(90) if drawn.getpixel((x, y)) == STRONG}
    assert (50, 40) in strong
    frame = strong - {(50, 40)}
    assert min(frame) == (42, 32)
    assert max(frame) == (58, 48)
    assert not frame & {(x, y) for x in range(44, 57) for y in range(34, 47)}
    others = [drawn.getpixel((x, y)) for x in range(120) for y in range(90) if (x, y) not in strong]
    assert all(len(set(pixel)) == 1 and pixel[0] >= 150 for pixel in others)
    assert len(set(others)) > 5


def test_the_picture_has_what_counts():
    """What was tolerated (a colour that is a little off) is not marked."""
    old = Image.new("RGB", (60, 60), "white")
    new = changed(changed(old, (10, 10), by=-3), (40, 40), by=-200)
    drawn = Image.open(io.BytesIO(diff_image(png(old), png(new), (), Tolerance(colour=0.1)))).convert("RGB")
    assert [drawn.getpixel(place) == STRONG for place in ((10, 10), (40, 40))] == [False, True]


def test_transparency_is_compared():
    """Another alpha is a change, also against an image without any; another colour of what is not seen is none."""
    opaque = Image.new("RGBA", (8, 8), (200, 0, 0, 255))
    half, unseen, other = (Image.new("RGBA", (8, 8), (red, 0, 0, alpha)) for red, alpha in ((200, 9), (1, 0), (99, 0)))
    assert compare(png(opaque), png(half)).changed == 64
    assert compare(png(opaque.convert("RGB")), png(half)).changed == 64
    assert compare(png(unseen), png(other)) is None
    # Before a white page the one looks like the other.
    white = Image.new("RGB", (8, 8), "white")
    assert compare(png(white), png(unseen)).changed == 64
    assert compare(png(white), png(unseen), Tolerance(colour=0.5)).changed == 64
    assert compare(png(half), png(changed(half, (3, 3), by=1)), Tolerance(colour=0.01)) is None
    difference, drawn = compare_and_draw(png(half), png(changed(half, (3, 3), by=255)), Tolerance(colour=0.01))
    assert difference.changed == 1
    assert Image.open(io.BytesIO(drawn)).convert("RGB").getpixel((3, 3)) == STRONG


def test_a_picture_of_one_pixel_can_be_compared():
    """The rules hold where a pixel has no neighbours."""
    images = [raw_png((1, 1), 8, 2, b"\0" + colour) for colour in (b"\0\0\0", b"\xff\xff\xff")]
    assert compare(*images, Tolerance(colour=0.1, ignore_antialiasing=True)).changed == 1


def test_blazediff_is_asked_only_where_equality_is_likely(monkeypatch):
    """It is asked for a re-encoded image and where something is tolerated: not for what it cannot tell or would delay."""
    asked = []
    monkeypatch.setattr(blaze, "says_equal", lambda *images, **limits: bool(asked.append(limits)))
    image = noise((300, 200), 1)
    old, new = png(image), png(changed(image, (250, 190)))
    compare(old, new)
    compare(old, new, Tolerance(threshold=9))
    compare(old, new, Tolerance(ignore_antialiasing=True, colour=0.1))
    compare(old, new, Tolerance(colour=0.1), [Region(0, 0, 1, 1)])
    compare(old, png(image.crop((0, 0, 300, 100))), Tolerance(colour=0.1))
    assert asked == []
    compare(old, png(image, compress_level=9))
    compare(old, new, Tolerance(colour=0.1))
    compare(old, new, Tolerance(max_diff_pixels=3, max_diff_ratio=0.0001))
    assert asked == [
        {"colour": 0.0, "pixels": 0.0},
        {"colour": 0.1, "pixels": 0.0},
        {"colour": 0.0, "pixels": pytest.approx(6.0)},
    ]


def test_without_pillow_the_message_says_what_to_install(monkeypatch):
    """Only when two images differ in their bytes is Pillow needed, and then the message has the command."""
    import sys

    monkeypatch.setitem(sys.modules, "PIL", None)
    old, new = raw_png((1, 1), 8, 2, b"\0\0\0\0"), raw_png((1, 1), 8, 2, b"\0\1\1\1")
    assert compare(old, old) is None
    with pytest.raises(ScreenshotError, match=r"pip install 'django-testkit\[screenshots\]'"):
        compare(old, new)
