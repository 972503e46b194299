"""``assertResponsive`` and ``assertScreenshot`` in real runs: what is compared, what is told, and what is kept."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

from testkit.core.events import Outcome, RunMeasured
from tests.projects import Project
from tests.screenshots.site import HEAD, STYLE, Ran, plain, site

VIEWS = f'''
from django.http import HttpResponse
from pathlib import Path

NAMES = ["home"]

def home(request):
    "A page with one pixel far below the fold that the file `look` gives its colour."
    look = Path("look").read_text()
    return HttpResponse("""{HEAD}{STYLE}<style>
        body {{ height: 2900px }}
        .spot {{ position: absolute; top: 2850px; left: 5px; width: 1px; height: 1px; background: %s }}
        .wide {{ height: 20px; background: green }} @media (max-width: 500px) {{ .wide {{ display: none }} }}
        @media (prefers-color-scheme: dark) {{ .card {{ background: black }} }}
    </style><div class=card>Book</div><div class=wide></div><div class=spot></div>
    <script>document.title = (1.5).toLocaleString()</script>""" % look)
'''
TESTS = """
from django.contrib.staticfiles.testing import StaticLiveServerTestCase
from testkit import NeedleTestCase, ResponsiveScreenshotMixin
from testkit.screenshots import Breakpoint

class PagesTest(ResponsiveScreenshotMixin, NeedleTestCase, StaticLiveServerTestCase):
    def setUp(self):
        self.driver.get(self.live_server_url)

    def test_home(self):
        self.assertResponsive("html", "home")

    def test_card(self):
        self.assertResponsive(".card", "cards/card", sizes=[Breakpoint(400, 300, scale=2, scheme="dark"), (500, 300)])
        size = self.driver.execute_script("return [innerWidth, innerHeight, devicePixelRatio]")
        self.assertEqual(size, [1024, 768, 1])
        self.assertScreenshot(".card", "cards/plain")

    def test_gone(self):
        self.assertResponsive(None, "gone")

    def test_pointer(self):
        self.assertScreenshot(".card", "pointer")

    def test_hidden(self):
        self.assertResponsive(".wide", "wide")

class TolerantTest(StaticLiveServerTestCase, ResponsiveScreenshotMixin, NeedleTestCase):
    SIZES = [(320, 540)]

    def setUp(self):
        self.driver.get(self.live_server_url)

    def test_ignored(self):
        self.assertResponsive("html", "ignored", ignore=[".spot", ".not-there"])

    def test_unseen(self):
        self.assertResponsive("html", "unseen", hide=".spot")

    def test_styled(self):
        self.assertResponsive("html", "styled", style=".spot { background: none !important }")

    def test_tolerated(self):
        self.assertResponsive("html", "tolerated", max_diff_pixels=1)

    def test_below_the_fold(self):
        self.assertResponsive("html", "window", full_page=False)

    def test_language(self):
        self.set_viewport_size(700, 500)
        titles = []
        noting = lambda driver: titles.append(driver.title) or True
        sizes = [Breakpoint(330, 540, locale="de-DE"), (340, 540)]
        self.assertResponsive(".card", "language", sizes=sizes, wait_for=noting)
        self.assertEqual(list(dict.fromkeys(titles)), ["1,5", "1.5"])
        self.assertEqual(self.driver.execute_script("return [innerWidth, innerHeight]"), [700, 500])

    def test_zone(self):
        self.assertResponsive(".card", "zone", sizes=[Breakpoint(330, 540, time_zone="No/Where"), (340, 540)])

    def test_restless(self):
        self.driver.execute_script(
            "const card = document.querySelector('.card');"
            "setInterval(() => card.style.background = `rgb(${Math.random() * 255}, 9, 9)`, 5)"
        )
        self.assertResponsive("body", "calm", ignore=[".card", ".spot"])
        self.assertResponsive("body", "restless")
"""
IN_PARALLEL = (
    *(f"PagesTest.{name}" for name in ("test_home", "test_gone", "test_pointer")),
    *(f"TolerantTest.{name}" for name in ("test_unseen", "test_zone")),
)
LABELS = ("1024", "800", "320")
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


class Story(NamedTuple):
    """The runs of one project, one after the other."""

    project: Project
    first: Ran
    """Without any baseline."""
    serial: Ran
    """With CI=true, after one pixel has changed, one page's baselines were removed, and one was not fetched."""
    parallel: Ran
    """The same of some tests with two workers."""
    files: set[str]
    """The baselines after the first run."""


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, chromium: object) -> Iterator[Story]:
    """Run the tests, change the page, and run them again."""
    project = site(tmp_path_factory.mktemp("pages"), VIEWS, TESTS)
    project.write({"look": "red"})
    first = Ran(project)
    assert first.tests
    baselines = project.folder / "screenshots" / "baseline" / "chromium-linux"
    files = {path.relative_to(baselines).as_posix() for path in baselines.rglob("*.png")}
    project.write({"look": "blue"})
    for path in baselines.glob("gone_*.png"):
        path.unlink()
    (baselines / "pointer.png").write_text(POINTER)
    serial = Ran(project, CI="true")
    assert serial.tests
    labels = [f"shop.tests.test_shop.{name}" for name in IN_PARALLEL]
    parallel = Ran(project, *labels, "--parallel=2", "--with-xunit", CI="true")
    return Story(project, first, serial, parallel, files)


def opened(path: Path) -> Image.Image:
    """Return an image, as much of it as there is; a broken one raises."""
    with Image.open(path) as image:
        return image.convert("RGB")


def test_what_is_missing_is_written_and_told(story):
    """The first run makes the baselines, at every breakpoint by its name, and says so; one that cannot be taken fails."""
    outcomes = dict(story.first.outcomes)
    failed = ("PagesTest.test_hidden", "TolerantTest.test_zone", "TolerantTest.test_restless")
    assert {outcomes.pop(id) for id in failed} == {Outcome.FAILED}
    assert set(outcomes.values()) == {Outcome.PASSED}
    responsive = {f"{name}_{label}.png" for name in ("home", "gone", "wide") for label in LABELS}
    tolerant = {f"{name}_320.png" for name in ("ignored", "unseen", "styled", "tolerated", "window")}
    cards = {"cards/card_400_dark_2x.png", "cards/card_500.png", "cards/plain.png", "pointer.png"}
    languages = {"language_330_de-DE.png", "language_340.png", "zone_340.png", "calm_320.png"}
    assert story.files == (responsive | tolerant | cards | languages) - {"wide_320.png"}
    assert "Screenshots: 21 new, 3 failed" in story.first.stderr
    assert "commit them" in story.first.stderr


def test_one_pixel_far_below_the_fold_is_found_at_every_breakpoint(story):
    """All breakpoints are in one message: how much changed, where, which files, and the commands that come next."""
    text = story.serial.message("PagesTest.test_home")
    assert text.startswith("3 of 3 screenshots of 'home' differ from their baselines (chromium):")
    for label in LABELS:
        part = text.partition(f"home_{label}: ")[2].partition("\n\n")[0]
        assert part.startswith("1 of ")
        assert "2850" in part.partition("\n")[0]
        files = dict(line.split(maxsplit=1) for line in part.splitlines()[1:])
        assert files["baseline"] == f"screenshots/baseline/chromium-linux/home_{label}.png"
        new, diff = opened(story.project.folder / files["new"]), opened(story.project.folder / files["diff"])
        assert new.size == diff.size == (int(label), 2900)
        assert new.getpixel((5, 2850)) == (0, 0, 255)
        assert diff.getpixel((5, 2850)) != diff.getpixel((6, 2850))
    assert "python -m testkit screenshots review" in text
    assert "python -m testkit screenshots approve home" in text
    assert "File" not in text


def test_what_else_is_wrong_is_told_with_the_remedy(story):
    """A missing baseline fails in CI and none is written; an LFS pointer says what fetches it; others are compared."""
    gone = story.serial.message("PagesTest.test_gone")
    assert gone.startswith("3 of 3 screenshots of 'gone' have no baseline")
    assert not list(story.project.folder.glob("screenshots/**/gone*"))
    assert "git lfs pull" in story.serial.message("PagesTest.test_pointer")
    hidden = story.serial.message("PagesTest.test_hidden")
    assert hidden.startswith("1 of 3 screenshots of 'wide'")
    assert "wide_320: there is nothing to see of the element" in hidden


def test_a_page_is_loaded_again_where_its_language_changes(story):
    """Also back to that of the machine, and a test has the viewport that it had before."""
    assert story.first.outcomes["TolerantTest.test_language"] is Outcome.PASSED


def test_a_breakpoint_that_cannot_be_had_leaves_the_others(story):
    """It fails with what the browser says of it, after all others were compared."""
    assert story.first.message("TolerantTest.test_zone").startswith("1 of 2 screenshots of 'zone' differ")
    assert (story.project.folder / "screenshots/baseline/chromium-linux/zone_340.png").exists()


def test_what_never_rests_is_no_baseline(story):
    """A page that looks different each time fails rather than to become the baseline, unless what moves is ignored."""
    text = story.first.message("TolerantTest.test_restless")
    assert "of 'restless'" in text
    assert "it is no baseline: the page looks different from one moment to the next" in text


def test_what_is_not_to_be_compared_is_not(story):
    """Ignored, hidden and restyled parts, tolerated pixels, and what is outside of the window fail nothing."""
    failed = {"test_home", "test_gone", "test_pointer", "test_hidden", "test_zone", "test_restless"}
    assert story.serial.outcomes == {
        id: Outcome.FAILED if id.rpartition(".")[2] in failed else Outcome.PASSED for id in story.first.outcomes
    }


def test_workers_tell_the_same(story):
    """Serial and parallel runs have the same tests, outcomes and messages."""
    assert story.parallel.outcomes == {id: story.serial.outcomes[id] for id in IN_PARALLEL}
    for id in IN_PARALLEL:
        assert plain(story.parallel.message(id)) == plain(story.serial.message(id))


def test_facts_and_reports_have_the_images(story):
    """Baseline, new image and difference are attachments of the test, which the xunit file names; counts are measures."""
    home = story.parallel.tests["PagesTest.test_home"]
    assert home.measures["screenshots"] == {"changed": 3}
    assert len(home.attachments) == 9
    for path in home.attachments:
        opened(story.project.folder / path)
    text = story.project.xunit().xpath("string(//testcase[@name='test_home']/system-out)")
    for path in home.attachments:
        assert f"[[ATTACHMENT|{story.project.folder / path}]]" in text
    assert story.project.xunit().xpath(
        "//testcase[@name='test_home']//property[@name='screenshots.changed']/@value"
    ) == ["3"]
    (section,) = [
        fact.data for fact in story.project.facts() if isinstance(fact, RunMeasured) and fact.section == "screenshots"
    ]
    assert {**section, "text": ""} == {
        "passed": 2,
        "changed": 3,
        "new": 0,
        "missing": 3,
        "failed": 2,
        "restarts": 0,
        "text": "",
    }


def test_all_can_be_written_anew(story):
    """--with-save-baseline writes what the browser shows, whatever was there."""
    names = ["PagesTest.test_home", "PagesTest.test_gone", "PagesTest.test_pointer"]
    saved = Ran(story.project, *(f"shop.tests.test_shop.{name}" for name in names), "--with-save-baseline")
    assert set(saved.outcomes.values()) == {Outcome.PASSED}
    home = opened(story.project.folder / "screenshots/baseline/chromium-linux/home_800.png")
    assert home.getpixel((5, 2850)) == (0, 0, 255)


TWICE = """
from testkit import NeedleTestCase, ResponsiveScreenshotMixin

class TwiceTest(ResponsiveScreenshotMixin, NeedleTestCase):
    SIZES = [(320, 540)]

    def test_it(self):
        self.driver.load_html("<p>twice")
        self.assertResponsive("html", "twice")
        self.assertScreenshot("p", "once")

class FolderTest(NeedleTestCase):
    baseline_directory = output_directory = "own"

    def test_it(self):
        self.driver.load_html("<p>own")
        self.assertScreenshot("p", "own")
"""


def test_each_browser_has_tests_and_baselines_of_its_own(tmp_path, chromium):
    """TESTKIT["BROWSERS"] runs each test in each browser, under whatever runner; ids and folders tell which it was."""
    project = site(tmp_path / "project", "NAMES = []", TWICE)
    project.settings("TESTKIT = {'BROWSERS': ['chromium', 'chrome']}")
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "google-chrome").symlink_to(chromium.binary)  # another one to whoever looks for it
    path = f"{programs}:{os.environ['PATH']}"
    label = "shop.tests.test_shop"
    new = Ran(project, label, PATH=path)
    ids = {f"{name}{browser}.test_it" for name in ("TwiceTest", "FolderTest") for browser in ("", "_chrome")}
    assert new.outcomes == dict.fromkeys(ids, Outcome.PASSED)
    made = {
        path.relative_to(project.folder / "screenshots/baseline").as_posix()
        for path in project.folder.rglob("screenshots/baseline/**/*.png")
    }
    assert made == {
        f"{browser}-linux/{name}.png" for browser in ("chromium", "chrome") for name in ("twice_320", "once")
    }
    assert {path.relative_to(project.folder / "own").as_posix() for path in project.folder.rglob("own/**/*.png")} == {
        "own.png",
        "chrome/own.png",
    }
    others = sorted(id for id in ids if "_chrome" in id)
    labels = [f"{label}.{id}" for id in others]
    again = project.run(*labels, "-v2", front="stock", RUN_NEEDLE_TESTS="1", CI="1", PATH=path)
    assert again.returncode == 0, again.stderr
    assert {line.split(" ")[1] for line in again.stderr.splitlines() if line.endswith(" ... ok")} == {
        f"({label}.{id})" for id in others
    }
    page = (project.folder / "reports/screenshots/index.html").read_text()
    assert (page.count('class="shot"'), page.count('data-state="new"')) == (3, 0)  # also under a stock runner
