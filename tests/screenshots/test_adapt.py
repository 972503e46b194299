"""Suites that import the real Needle 0.5.0 run on Selenium 4, and find what Needle on today's Chrome passes over."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

from testkit.core.events import Outcome
from testkit.screenshots.options import HINT
from tests.projects import Project, clean_environment
from tests.screenshots.site import HEAD, STYLE, Ran, site

VIEWS = f'''
from pathlib import Path
from django.http import HttpResponse

NAMES = ["home"]

def home(request):
    return HttpResponse("""{HEAD}{STYLE}<style>
      .spot {{ position: absolute; top: 2500px; width: 1px; height: 1px; background: %s }} body {{ height: 2600px; background: white }}
    </style><div class=card></div><div class=spot></div>""" % Path("look").read_text())
'''
TESTS = """
import os
from django.contrib.staticfiles.testing import StaticLiveServerTestCase
from django.test import SimpleTestCase
from needle.cases import NeedleTestCase
from needle.driver import NeedleChrome, NeedleWebElementMixin
from needle.engines.pil_engine import Engine

class OldTest(NeedleTestCase, StaticLiveServerTestCase):
    viewport_height = 600

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.driver.get(cls.live_server_url)

    def test_body(self):
        self.assertScreenshot("body", "body")

    def test_element(self):
        element = self.driver.find_element_by_css_selector(".card")
        self.assertIsInstance(element, NeedleWebElementMixin)
        self.assertEqual(element.get_screenshot().size, (120, 60))
        with self.compareScreenshot(element, "element"):
            pass

class OtherOrderTest(StaticLiveServerTestCase, NeedleTestCase):
    engine_class = "shop.tests.test_old.OwnEngine"
    output_directory = "output"

    @classmethod
    def get_web_driver(cls):
        return NeedleChrome()

    def test_body(self):
        self.driver.get(self.live_server_url)
        self.assertScreenshot("body", "engine", threshold=0.1)

    def test_missing(self):
        if self.save_baseline:
            self.skipTest("it would be there")
        self.driver.get(self.live_server_url)
        with self.assertRaises(IOError):
            self.assertScreenshot(".card", "nobody made this")

class OwnEngine(Engine):
    pass

class PlainTest(SimpleTestCase):
    def test_that_needs_no_browser(self):
        pass
"""


class Suite(NamedTuple):
    project: Project
    saved: Ran
    serial: Ran
    spawned: Ran


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory, chromium: object) -> Iterator[Suite]:
    """A suite of Needle's: its baselines are saved; then one pixel changes."""
    pytest.importorskip("needle", reason="needle is not installed: tools/venv.sh needle")
    project = site(tmp_path_factory.mktemp("old"), VIEWS, "")
    project.tests(TESTS, "test_old")
    project.write({"look": "red"})
    saved = Ran(project, NEEDLE_SAVE_BASELINE="1", NEEDLE_BROWSER="chrome")
    assert saved.tests
    project.write({"look": "blue"})
    serial = Ran(project, NEEDLE_BROWSER="chrome")
    assert serial.tests
    labels = [f"shop.tests.test_old.{name}" for name in ("OldTest", "PlainTest")]
    spawned = Ran(project, *labels, "--parallel=2", "--start-method=spawn", NEEDLE_BROWSER="chrome")
    return Suite(project, saved, serial, spawned)


def outcomes(ran: Ran) -> dict[str, Outcome]:
    return {id.removeprefix("shop.tests.test_old."): outcome for id, outcome in ran.outcomes.items()}


def test_baselines_are_where_needle_has_them_and_are_no_more_black(suite):
    """``screenshots/baseline/body.png`` has all of the page; tests of a class share its page, as in Needle."""
    found = outcomes(suite.saved)
    assert found.pop("OtherOrderTest.test_missing") is Outcome.SKIPPED
    assert set(found.values()) == {Outcome.PASSED}
    with Image.open(suite.project.folder / "screenshots/baseline/body.png") as image:
        image = image.convert("RGB")
    assert image.size == (1024, 2600)
    assert image.getpixel((0, 2500)) == (255, 0, 0)
    assert image.getpixel((0, 2599)) == (255, 255, 255)


def test_a_pixel_below_the_fold_is_no_false_pass(suite):
    """What Needle itself cannot see fails the test, by its default engine and by one of the suite's own."""
    assert outcomes(suite.serial) == {
        "OldTest.test_body": Outcome.FAILED,
        "OldTest.test_element": Outcome.PASSED,
        "OtherOrderTest.test_body": Outcome.FAILED,
        "OtherOrderTest.test_missing": Outcome.PASSED,
        "PlainTest.test_that_needs_no_browser": Outcome.PASSED,
    }
    assert "1 of 2,662,400 pixels changed" in suite.serial.message("shop.tests.test_old.OldTest.test_body")
    assert "by a distance of 0.67" in suite.serial.message("shop.tests.test_old.OtherOrderTest.test_body")


def test_spawned_workers_tell_the_same(suite):
    """A worker that imports the suite anew has Needle mended as well."""
    spawned, serial = outcomes(suite.spawned), outcomes(suite.serial)
    assert spawned == {id: serial[id] for id in serial if not id.startswith("OtherOrderTest")}


def test_other_runners_need_one_line(suite):
    """With ``adapt()`` in the settings the suite runs under Django's own runner, and is skipped where nobody asks for it.

    It finds its baselines in the folder that the option names.
    """
    suite.project.settings("import testkit.screenshots.needle\ntestkit.screenshots.needle.adapt()")
    skipped = suite.project.run("-v2", front="stock")
    assert skipped.returncode == 0
    assert skipped.stderr.count(HINT) == 4
    label = "shop.tests.test_old.OldTest.test_element"
    place = suite.project.folder / "looks"
    (suite.project.folder / "screenshots/baseline").rename(place)
    environment = {"RUN_NEEDLE_TESTS": "1", "NEEDLE_BROWSER": "chromium", "TESTKIT_BASELINES": "looks"}
    ran = suite.project.run(label, front="stock", **environment)
    assert ran.returncode == 0, ran.stderr
    assert "OK" in ran.stderr


def test_needle_cannot_be_imported_without(tmp_path: Path):
    """Beside Selenium 4 the real Needle fails at its import; that, and no more, is what there is to mend."""
    pytest.importorskip("needle", reason="needle is not installed: tools/venv.sh needle")
    code = (
        "import sys\n"
        "try: import needle.driver\n"
        "except ImportError as error: print(error)\n"
        "from testkit.screenshots.needle import adapt\n"
        "adapt(); adapt()\n"
        "import needle.cases, needle.driver, selenium\n"
        "from testkit.screenshots.needle import NeedleChrome\n"
        "print(issubclass(needle.driver.NeedleChrome, NeedleChrome), needle.cases.NeedleTestCase.__module__)\n"
        "print([name for name in sys.modules if 'webdriver.opera' in name or 'phantomjs' in name])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
    )
    first, second, third = done.stdout.splitlines() or [done.stderr, "", ""]
    assert "selenium.webdriver.opera" in first
    assert second == "True needle.cases"
    assert third == "[]"
    assert list(tmp_path.iterdir()) == []  # no folder is made
