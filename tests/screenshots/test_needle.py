"""Needle's contract: all of it is there, and does in a real browser what Needle's documentation says."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from testkit.core.events import FixtureFinished, Outcome
from testkit.screenshots import needle
from testkit.screenshots.errors import ScreenshotError, UnusableImage
from testkit.screenshots.needle import driver as drivers
from testkit.screenshots.needle.files import as_png
from tests.projects import ROOT
from tests.screenshots.site import HEAD, STYLE, Ran, site

TESTS = '''
import io, os, warnings
from pathlib import Path
from PIL import Image
from django.test import SimpleTestCase
from selenium.webdriver.common.by import By
from testkit import NeedleTestCase
from testkit.screenshots.needle import NeedleChrome, NeedleWebElement, NeedleWebElementMixin

HTML = """PAGE""".replace("COLOUR", os.environ["COLOUR"])

class ContractTest(NeedleTestCase):
    def setUp(self):
        self.driver.load_html(HTML)

    def test_selector(self):
        self.assertScreenshot(".card", "selector")

    def test_locator(self):
        self.assertScreenshot((By.CLASS_NAME, "card"), "locator")

    def test_element(self):
        element = self.driver.find_element_by_css_selector(".card")
        self.assertIsInstance(element, NeedleWebElement)
        self.assertIsInstance(element, NeedleWebElementMixin)
        self.assertEqual(element.get_dimensions(), {"top": 2000, "left": 0, "width": 120, "height": 60})
        self.assertEqual(element.get_screenshot().size, (120, 60))
        self.assertNotEqual(element.get_screenshot().getcolors(), [(7200, (0, 0, 0))])
        self.assertEqual(self.driver.get_screenshot_as_image().size, (1024, 5000))
        self.assertEqual(len(self.driver.find_elements_by_tag_name("body")), 1)
        self.assertRaises(AttributeError, getattr, self.driver, "find_element_by_magic")
        self.assertScreenshot(element, "element")

    def test_context(self):
        with self.compareScreenshot(".card", "context"):
            self.driver.execute_script("document.querySelector('.card').style.width = '50px'")

    def test_threshold(self):
        self.assertScreenshot(".card", "threshold", threshold=120 * 60)

    def test_file(self):
        file = io.BytesIO()
        Image.new("RGB", (120, 60), "#cde").save(file, "BMP")
        file.seek(0)
        self.assertScreenshot(".card", file)

    def test_file_of_project(self):
        with open("looks/card.png", "rb") as file:
            self.assertScreenshot(".card", file)

    def test_jquery(self):
        self.driver.load_jquery()
        self.assertEqual(self.driver.execute_script("return jQuery('.card').length"), 1)

    def test_folders(self):
        self.assertEqual(Path(self.baseline_directory).parts[-2:], ("baseline", "chromium-linux"))
        self.assertEqual(Path(self.output_directory).parts[-3:], ("reports", "screenshots", "output"))

class FoldersTest(NeedleTestCase):
    baseline_directory, output_directory = "own/baselines", "own/output"
    cleanup_on_success = True
    viewport_width, viewport_height = 600, 400

    def setUp(self):
        self.driver.load_html(HTML)

    def test_own(self):
        self.assertEqual(self.driver.execute_script("return [innerWidth, innerHeight]"), [600, 400])
        self.set_viewport_size(500, 300)
        self.assertEqual(self.driver.execute_script("return [innerWidth, innerHeight]"), [500, 300])
        self.assertScreenshot(".card", "sub/own")

    def test_outside(self):
        self.assertScreenshot(".card", "../outside")

    def test_unseen_after_another(self):
        self.assertScreenshot(".card", "seen")
        self.assertScreenshot(".not-there", "not-there")

class EngineTest(NeedleTestCase):
    engine_class = "shop.tests.test_shop.OwnEngine"
    output_directory = "own/output"

    def test_engine(self):
        self.driver.load_html(HTML)
        self.assertScreenshot(".card", "engine", threshold=0.25)

class OwnEngine:
    def assertSameFiles(self, output_file, baseline_file, threshold):
        assert threshold == 0.25
        same = Image.open(output_file).tobytes() == Image.open(baseline_file).tobytes()
        raise AssertionError(f"own engine: {same}") if not same else SystemError("own engine: equal")

class CaptureTest(NeedleTestCase):
    capture = True
    missing_baselines = "fail"

    def test_capture(self):
        self.driver.load_html(HTML)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                self.assertScreenshot(".card", "capture")
            finally:
                self.assertEqual([warning.category for warning in caught], [PendingDeprecationWarning])

class OwnDriverTest(NeedleTestCase):
    @classmethod
    def get_web_driver(cls):
        cls.own = NeedleChrome()
        return cls.own

    def test_1_own(self):
        self.assertIsInstance(self.driver, NeedleChrome)
        self.driver.load_html("<title>kept</title><p>")

    def test_2_kept(self):
        self.assertEqual(self.driver.title, "kept")

class QuitTest(NeedleTestCase):
    def test_quit(self):
        self.assertRaises(Exception, getattr, OwnDriverTest.own, "title")
'''
PAGE = f"{HEAD}{STYLE}<style>body {{ height: 3000px }} .card {{ margin-top: 2000px; background: COLOUR }}</style><div class=card></div>"
NEEDLE = Path(
    str(importlib.util.find_spec("needle") and importlib.util.find_spec("needle").submodule_search_locations[0])
)


OUTPUT = {
    "own/output/engine.png",
    "own/output/engine.diff.png",
    "own/output/sub/own.png",
    "own/output/seen.png",  # and none of what could not be taken
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, chromium: object) -> Iterator[tuple[Ran, Ran]]:
    """A run that makes the baselines, and one of what looks at the card, after that has changed its colour."""
    project = site(tmp_path_factory.mktemp("contract"), "NAMES = []", TESTS.replace("PAGE", PAGE))
    (project.folder / "looks").mkdir()
    Image.new("RGB", (120, 60), "#cde").save(project.folder / "looks/card.png")
    first = Ran(project, COLOUR="#cde")
    assert first.tests
    looking = [f"shop.tests.test_shop.{name}Test" for name in ("Contract", "Folders", "Engine", "Capture")]
    return first, Ran(project, *looking, COLOUR="red")


def names_of(module: str) -> dict[str, set[str]]:
    """Return the public names that each class of a module of Needle's has, which is not imported for that."""
    tree = ast.parse((NEEDLE / f"{module}.py").read_text(encoding="utf-8"))
    found = {}
    for cls in [node for node in tree.body if isinstance(node, ast.ClassDef)]:
        functions = {node.name for node in cls.body if isinstance(node, ast.FunctionDef)}
        assigned = {node.targets[0].id for node in cls.body if isinstance(node, ast.Assign)}
        found[cls.name] = {name for name in functions | assigned if not name.startswith("_")}
    return found


def test_nothing_of_needle_is_missing():
    """Every public name of Needle's test case, drivers and elements is here, and on the page of the documentation."""
    page = (ROOT / "docs/reference/needle.md").read_text(encoding="utf-8")
    (case,) = names_of("cases").values()
    assert {name for name in case if not hasattr(needle.NeedleTestCase, name)} == set()
    assert {name for name in case - {"setUpClass", "tearDownClass"} if name not in page} == set()
    classes = names_of("driver")
    assert set(classes) == set(drivers.NAMES)
    for name, members in classes.items():
        cls = getattr(needle, name)
        assert {member for member in members if not hasattr(cls, member)} == set()
        assert {member for member in members if member not in page} == set()
    source = "".join((NEEDLE / f"{name}.py").read_text(encoding="utf-8") for name in ("cases", "driver"))
    variables = set(re.findall(r"NEEDLE_[A-Z_]+", source))
    ours = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("testkit/screenshots/**/*.py"))
    assert {name for name in variables if name not in ours or name not in page} == set()


def test_calls_are_as_they_were():
    """What Needle's methods may be given, by position or by name, ours may be given."""
    tree = ast.parse((NEEDLE / "cases.py").read_text(encoding="utf-8"))
    (cls,) = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    for method in [node for node in cls.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]:
        theirs = [argument.arg for argument in method.args.args][1:]
        parameters = inspect.signature(getattr(needle.NeedleTestCase, method.name)).parameters
        ours = [name for name in parameters if name != "self"]
        assert ours[: len(theirs)] == theirs, method.name


def test_baselines_are_made_by_what_was_asked_for(runs):
    """Selectors, locators, elements, and the block of compareScreenshot; by name, and with Needle's folders in those."""
    first, _ = runs
    assert [id for id, outcome in first.outcomes.items() if outcome is not Outcome.PASSED] == [
        "FoldersTest.test_outside",
        "FoldersTest.test_unseen_after_another",
    ]
    folder = first.project.folder
    images = {path.relative_to(folder) for path in folder.rglob("*.png")}
    made = {path.as_posix() for path in images if path.parts[0] not in ("reports", "looks")}
    names = ("selector", "locator", "element", "context", "threshold", "engine", "capture")
    assert made - OUTPUT == {
        *(f"screenshots/baseline/chromium-linux/{name}.png" for name in names),
        "own/baselines/sub/own.png",
        "own/baselines/seen.png",
    }
    with Image.open(folder / "screenshots/baseline/chromium-linux/context.png") as image:
        assert image.size == (50, 60)
        assert image.convert("RGB").getpixel((0, 0)) == (0xCC, 0xDD, 0xEE)


def test_a_name_leads_nowhere_else(runs):
    """``../outside`` is an error that says so."""
    first, _ = runs
    assert "'..' cannot be the name of a file" in first.message("FoldersTest.test_outside")


def test_what_changed_fails(runs):
    """Another colour is found by each way; the threshold is Needle's sum; a project's own engine has the last word."""
    _, second = runs
    failed = {id.rpartition(".")[2] for id, outcome in second.outcomes.items() if outcome is Outcome.FAILED}
    assert failed == {
        "test_selector",
        "test_locator",
        "test_element",
        "test_context",
        "test_file",
        "test_file_of_project",
        "test_own",
        "test_unseen_after_another",
        "test_engine",
    }
    assert second.message("EngineTest.test_engine").count("own engine: False") == 1
    assert {
        path.relative_to(second.project.folder).as_posix()
        for path in (second.project.folder / "own/output").rglob("*.png")
    } == OUTPUT - {"own/output/engine.diff.png"}


def test_a_file_that_a_test_has_opened_is_reviewed(runs):
    """Its result and images are kept; one of the project is called by its path, and can be approved, others cannot."""
    _, second = runs
    folder = second.project.folder
    unnamed, named = (second.tests[f"ContractTest.{name}"] for name in ("test_file", "test_file_of_project"))
    assert len(unnamed.attachments) == len(named.attachments) == 3
    assert all((folder / path).is_file() for path in (*unnamed.attachments, *named.attachments))
    text = second.message("ContractTest.test_file")
    assert text.startswith("the screenshot of 'ContractTest.test_file 1' differs from its baseline (chromium):")
    assert "To take the new ones" not in text
    assert "approve looks/card" in second.message("ContractTest.test_file_of_project")
    told = second.project.run("screenshots", "approve", "looks/card", "ContractTest.test_file 1")
    assert told.stdout.startswith("approved  looks/card.png\n1 new baseline.")
    with Image.open(folder / "looks/card.png") as image:
        assert image.convert("RGB").getpixel((0, 0)) == (255, 0, 0)


def test_capture_skips_what_is_there(runs):
    """``capture``, which Needle deprecates, writes what is missing and skips the test where there is a baseline."""
    first, second = runs
    assert first.outcomes["CaptureTest.test_capture"] is Outcome.PASSED
    assert second.outcomes["CaptureTest.test_capture"] is Outcome.SKIPPED
    assert "its baseline image already exists" in second.tests["CaptureTest.test_capture"].reason


def test_an_unknown_browser_is_an_error(runs):
    """NEEDLE_BROWSER with a name that is none does not mean Firefox, as in Needle: the class fails and says what there is."""
    project = runs[0].project
    ran = Ran(project, "shop.tests.test_shop.ContractTest", COLOUR="red", NEEDLE_BROWSER="netscape")
    assert ran.status == 1
    (problem,) = [one for fact in project.facts() if isinstance(fact, FixtureFinished) for one in fact.problems]
    assert "there is no browser 'netscape'" in problem.message
    assert "chromium" in problem.message


@pytest.mark.parametrize("name", ["phantomjs", "opera", "ie", "safari"])
def test_browsers_of_needle_that_cannot_be_had_say_so(name):
    """They are no unknown names, and what can be had instead is told."""
    with pytest.raises(ScreenshotError, match=r"there are no screenshots of .*: set NEEDLE_BROWSER to one of chromium"):
        drivers.GONE[name]()


def test_a_file_that_claims_to_be_huge_is_not_decoded():
    """A baseline that is given as a file may be of any kind; its size is looked at first."""
    header = struct.pack("<2sIHHI", b"BM", 54, 0, 0, 54)
    huge = header + struct.pack("<IiiHHIIiiII", 40, 12_000, 12_000, 1, 24, 0, 0, 0, 0, 0, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with pytest.raises(UnusableImage, match="12000×12000 pixels, which is too large"):
            as_png(huge)
