"""Needle's engines under its names for them, without its shell, and a project's own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from PIL import Image

from testkit.screenshots.engines import ImageMagickEngine, PerceptualDiffEngine, PillowEngine, engine_of
from testkit.screenshots.errors import ScreenshotError, UnusableImage
from tests.screenshots.images import bomb, changed, picture, png
from tests.servers import Missing, find

ENGINES = {
    "needle.engines.pil_engine.Engine": PillowEngine,
    "needle.engines.imagemagick_engine.Engine": ImageMagickEngine,
    "needle.engines.perceptualdiff_engine.Engine": PerceptualDiffEngine,
}


@pytest.fixture
def files(tmp_path):
    """Write two images, and return the path of the new one and that of the baseline."""

    def write(new: bytes, baseline: bytes, name: str = "home") -> tuple[str, str]:
        paths = [tmp_path / "new" / f"{name}.png", tmp_path / "baseline" / f"{name}.png"]
        for path, data in zip(paths, (new, baseline), strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return str(paths[0]), str(paths[1])

    return write


@pytest.fixture
def imagemagick():
    try:
        find("compare", package="imagemagick")
    except Missing as missing:
        pytest.skip(str(missing))


class OwnEngine:
    """A project's own engine."""

    def assertSameFiles(self, output_file, baseline_file, threshold):
        raise AssertionError(f"{output_file} {baseline_file} {threshold}")


class NoEngine:
    """Something else."""


@pytest.mark.parametrize(("name", "engine"), ENGINES.items())
def test_needles_names_stand_for_engines_of_ours(name, engine):
    """They do so whether Needle is installed or not."""
    assert type(engine_of(name)) is engine


def test_an_engine_of_the_projects_own_is_used():
    """It is imported by its dotted path, and needs no base class."""
    with pytest.raises(AssertionError, match=r"new\.png old\.png 0\.5"):
        engine_of(f"{__name__}.OwnEngine").assertSameFiles("new.png", "old.png", 0.5)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nowhere.Engine", "No module named 'nowhere'"),
        ("Engine", "doesn't look like a module path"),
        (f"{__name__}.Nothing", 'does not define a "Nothing"'),
        (f"{__name__}.NoEngine", "is no engine: it has no assertSameFiles"),
    ],
)
def test_what_is_no_engine_is_told(name, reason):
    """The error names the attribute and its value."""
    with pytest.raises(ScreenshotError, match=reason) as caught:
        engine_of(name)
    assert f"engine_class = {name!r}" in str(caught.value)


def test_pillows_threshold_is_needles_distance(files):
    """It passes up to the distance, and beyond it fails with Needle's words and the reason."""
    old = picture()
    new, baseline = files(png(changed(old, (3, 3))), png(old))
    engine = PillowEngine()
    engine.assertSameFiles(new, baseline, 0.34)
    with pytest.raises(AssertionError) as caught:
        engine.assertSameFiles(new, baseline, 0.3)
    text = str(caught.value)
    assert text.startswith(f"The new screenshot '{new}' did not match the baseline '{baseline}' (by a distance of 0.")
    assert "1 of 1,200 pixels changed" in text
    engine.assertSameFiles(baseline, baseline, 0)


@pytest.mark.parametrize("engine", ENGINES.values())
def test_another_size_and_an_unusable_file_have_a_message(files, engine):
    """No engine fails without a word, and none lets a bomb through to a program."""
    new, baseline = files(png(Image.new("RGB", (30, 10))), png(Image.new("RGB", (30, 30))))
    with pytest.raises(AssertionError, match="the size was 30×30 and is now 30×10 pixels"):
        engine().assertSameFiles(new, baseline, 0.5)
    with pytest.raises(UnusableImage, match="claims to have 60000×60000"):
        engine().assertSameFiles(*files(bomb(), png(picture())), 0.5)
    with pytest.raises(ScreenshotError, match=r"missing\.png cannot be read: No such file"):
        engine().assertSameFiles("missing.png", baseline, 0)


@pytest.mark.usefixtures("imagemagick")
def test_imagemagick_compares_by_its_own_measure(files):
    """It passes up to the threshold; beyond it the picture of the difference stays beside the new image."""
    new, baseline = files(png(changed(picture(), (3, 3))), png(picture()))
    engine = ImageMagickEngine()
    engine.assertSameFiles(new, baseline, 0.5)
    diff = Path(new).with_suffix(".diff.png")
    assert not diff.exists()
    with pytest.raises(AssertionError, match=r"\(see .*home\.diff\.png\): by 0\.0\d+ in ImageMagick's RMSE"):
        engine.assertSameFiles(new, baseline, 0)
    with Image.open(diff) as drawn:
        assert drawn.size == (40, 30)
    engine.assertSameFiles(*files(png(picture(), compress_level=1), png(picture(), compress_level=9)), 0)


@pytest.mark.usefixtures("imagemagick")
def test_names_of_files_mean_nothing_to_programs(files, tmp_path, monkeypatch):
    """Neither a shell's characters nor those that ImageMagick gives a meaning do anything."""
    monkeypatch.chdir(tmp_path)
    for name in ("$(touch made)", "a;touch made;b", "-write x", "home[0]", "label:x", "@list", "%d"):
        new, baseline = files(png(changed(picture(), (3, 3))), png(picture()), name)
        ImageMagickEngine().assertSameFiles(new, baseline, 0.5)
        with pytest.raises(AssertionError, match="RMSE"):
            ImageMagickEngine().assertSameFiles(new, baseline, 0)
        assert Path(new).with_suffix(".diff.png").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["baseline", "new"]


def test_a_program_that_is_missing_is_named(files, monkeypatch):
    """The error says what to install and what goes without it."""
    monkeypatch.setenv("PATH", "/nowhere")
    pair = files(png(changed(picture(), (3, 3))), png(picture()))
    for name, program in [("imagemagick", "compare"), ("perceptualdiff", "perceptualdiff")]:
        with pytest.raises(ScreenshotError, match=f"no program '{program}' in the PATH. Install .*with Pillow then"):
            engine_of(f"needle.engines.{name}_engine.Engine").assertSameFiles(*pair, 0)


def test_perceptualdiff_is_given_a_number_of_pixels(files, tmp_path, monkeypatch):
    """Its threshold is a part of the image; what it prints is the message, and 0 different pixels are none."""
    program = tmp_path / "bin" / "perceptualdiff"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport os, sys, pathlib\npathlib.Path('diff.png').write_bytes(b'drawn')\n"
        "print('FAIL: ' + ' '.join(sys.argv[1:]) + os.environ.get('MORE', ''))\nsys.exit(1)\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    new, baseline = files(png(changed(picture(), (3, 3))), png(picture()))
    with pytest.raises(AssertionError, match=r"FAIL: -threshold 120 -output diff\.png baseline\.png new\.png$"):
        PerceptualDiffEngine().assertSameFiles(new, baseline, 0.1)
    assert Path(new).with_suffix(".diff.png").read_bytes() == b"drawn"
    monkeypatch.setenv("MORE", "\n0 pixels are different\n")
    PerceptualDiffEngine().assertSameFiles(new, baseline, 0.1)
