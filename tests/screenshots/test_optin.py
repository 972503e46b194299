"""Tests with screenshots run where that is asked for; elsewhere they cost nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from testkit.core.events import FixtureStarted, Outcome, RunStarted, TestFinished
from testkit.screenshots.options import HINT
from tests.projects import Project, clean_environment
from tests.test_imports import HEAVY, loaded

CLASSES = ("PagesTest", "PagesTest_firefox", "PlainTest", "PlainTest_firefox")
TESTS = """
import atexit, sys
from django.contrib.staticfiles.testing import StaticLiveServerTestCase
from django.test import tag
from testkit import NeedleTestCase, ResponsiveScreenshotMixin

@tag("slow")
class PagesTest(ResponsiveScreenshotMixin, NeedleTestCase, StaticLiveServerTestCase):
    fixtures = ["that is not there"]

    @classmethod
    def setUpClass(cls):
        print("SET UP")
        super().setUpClass()

    def test_page(self):
        self.assertResponsive("html", "page")

class PlainTest(NeedleTestCase):
    def test_plain(self):
        self.assertScreenshot("html", "plain")

class Base(NeedleTestCase):
    pass

class OnlyFirefox(NeedleTestCase):
    browser = "firefox"

def within():
    class Inner(NeedleTestCase):
        def test_inner(self):
            pass

within()
atexit.register(lambda: print("LOADED", sorted({"selenium", "PIL", "blazediff"} & set(sys.modules))))
"""


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with tests for two browsers."""
    project = Project(tmp_path_factory.mktemp("gallery"))
    project.settings("INSTALLED_APPS += ['django.contrib.staticfiles']\nSTATIC_URL = '/static/'")
    project.settings("TESTKIT = {'BROWSERS': ['chromium', 'firefox']}")
    project.tests(TESTS)
    return project


def by_module(project: Project, *command: str) -> str:
    """Run the tests by another runner, and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=project.folder,
        env=clean_environment(DJANGO_SETTINGS_MODULE="settings"),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def printed(front: str) -> Callable[[Project], str]:
    def run(project: Project) -> str:
        done = project.run("-v2", front=front)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    return run


RUNNERS: dict[str, Callable[[Project], str]] = {
    "testkit": printed("testkit"),
    "stock": printed("stock"),
    "pytest": lambda project: by_module(
        project, "pytest", "-rs", "-v", "-s", "-p", "no:cacheprovider", "shop/tests/test_shop.py"
    ),
    # nose2 by itself asks live servers of Django for their URL before there is one, and fails.
    "nose2": lambda project: by_module(
        project, "nose2", "-v", *(f"shop.tests.test_shop.{name}" for name in CLASSES[2:])
    ),
}


@pytest.mark.parametrize("runner", RUNNERS.values(), ids=RUNNERS)
def test_who_does_not_ask_for_browsers_pays_for_none(runner, gallery):
    """Whatever runs the tests: they are skipped with the hint, nothing is set up, neither Selenium nor Pillow is loaded.

    There is one for each browser, whose name the ids tell.
    """
    told = runner(gallery)
    assert HINT in told
    assert "LOADED []" in told
    assert "SET UP" not in told
    classes = set(re.findall(r"\b((?:PagesTest|PlainTest|Base|OnlyFirefox|Inner)\w*)\b", told))
    assert classes == set(CLASSES if "PagesTest" in told else CLASSES[2:])


def test_they_are_facts_like_others(gallery):
    """A skipped test is told with the reason, its class is not set up, and the tag chooses it."""
    assert gallery.run("--tag=screenshots", "--exclude-tag=slow", "--parallel=2").returncode == 0
    facts = gallery.facts()
    (started,) = [fact for fact in facts if isinstance(fact, RunStarted)]
    assert sorted(started.ids) == [f"shop.tests.test_shop.{name}.test_plain" for name in CLASSES[2:]]
    ended = [fact for fact in facts if isinstance(fact, TestFinished)]
    assert {(fact.outcome, fact.reason) for fact in ended} == {(Outcome.SKIPPED, HINT)}
    assert not [fact for fact in facts if isinstance(fact, FixtureStarted) and fact.phase == "setUpClass"]


def listed(project: Project, *arguments: str, **environment: str) -> set[str]:
    """Return the classes of the tests that --list-tests prints."""
    done = project.run("--list-tests", *arguments, **environment)
    return set(re.findall(r"^shop\.tests\.test_shop\.(\w+)\.", done.stdout, re.MULTILINE))


def test_an_id_names_the_browser_of_a_test(gallery):
    """The class of a further browser is a label like any other; NEEDLE_BROWSER leaves the first alone."""
    assert listed(gallery, "shop.tests.test_shop.PlainTest_firefox") == {"PlainTest_firefox"}
    assert listed(gallery, NEEDLE_BROWSER="firefox") == {"PagesTest", "PlainTest"}
    assert listed(gallery, "--browsers=chromium,edge,webkit") == {
        f"{name}{suffix}" for name in ("PagesTest", "PlainTest") for suffix in ("", "_edge", "_webkit")
    }


def test_importing_the_names_loads_nothing():
    """testkit's names for screenshots, and a page object's class, load neither Selenium nor Pillow."""
    code = (
        "from django.conf import settings; settings.configure()\n"
        "import testkit, testkit.screenshots.needle\n"
        "testkit.NeedleTestCase, testkit.ResponsiveScreenshotMixin, testkit.screenshots.Page\n"
        "testkit.screenshots.needle.adapt()"
    )
    assert loaded(code) & {*HEAVY, "blazediff"} == set()
