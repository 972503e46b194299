"""Page objects, browsers that die, and clocks that stand still: what a test with a browser is given."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from testkit.core.events import Outcome, RunMeasured
from tests.screenshots.site import HEAD, Ran, site

VIEWS = f'''
from django.http import HttpResponse

NAMES = ["home", "hello"]
HEAD = """{HEAD}"""

def home(request):
    return HttpResponse(HEAD + """<form action=/hello/><input name=who value=old><button>Go</button></form>
        <p id=late hidden>later</p><script>setTimeout(() => late.hidden = false, 200)</script>
        <a href=#nowhere>stay</a>""")

def hello(request):
    response = HttpResponse(HEAD + f"<h1>Hello, {{request.GET['who']}}</h1><ul><li>1<li>2</ul>")
    response.set_cookie("seen", "yes")
    return response
'''
TESTS = """
import os, signal, socket
from pathlib import Path
from django.contrib.staticfiles.testing import StaticLiveServerTestCase
from django.test import SimpleTestCase
from selenium.common.exceptions import NoSuchElementException
from shop.models import Item
from testkit import ResponsiveScreenshotMixin
from testkit.screenshots import Page
from testkit.screenshots.errors import ScreenshotError

class HelloPage(Page):
    path = "/hello/?who={who}"
    ready = "h1"

class HomePage(Page):
    ready = "#late"

    def greet(self, who):
        self.fill("[name=who]", who)
        return self.follow("button", HelloPage)

class NoPage(Page):
    path, ready, timeout = "/", "#never", 0.3

class PageTest(ResponsiveScreenshotMixin, StaticLiveServerTestCase):
    def test_page(self):
        home = HomePage.open(self)
        self.assertEqual(home.text("#late"), "later")
        self.assertEqual(home.greet("Ada").text("h1"), "Hello, Ada")
        hello = HelloPage.open(self, who="Bob")
        self.assertEqual(hello.text("h1"), "Hello, Bob")
        self.assertEqual(len(hello.find_all("li")), 2)
        with self.assertRaisesRegex(ScreenshotError, "NoPage: #never is not seen after 0.3 s, at http://localhost"):
            NoPage.open(self)
        home = HomePage.open(self)
        home.timeout = 0.3
        with self.assertRaisesRegex(ScreenshotError, "a click on a leads nowhere"):
            home.follow("a", HelloPage)
        self.driver.execute_script("localStorage.setItem('seen', 'yes')")

    def test_page_again(self):
        "Each test has a fresh context, whatever comes before it."
        HomePage.open(self)
        self.assertEqual(self.driver.get_cookies(), [])
        self.assertIsNone(self.driver.execute_script("return localStorage.getItem('seen')"))
        HelloPage.open(self, who="me")
        self.driver.execute_script("localStorage.setItem('seen', 'yes')")

class FrozenTest(ResponsiveScreenshotMixin, StaticLiveServerTestCase):
    freeze_time, random_seed = "2026-01-31T12:00:00+00:00", 7

    def test_clock(self):
        HomePage.open(self)
        now, first = self.driver.execute_script("return [new Date().toISOString(), Math.random()]")
        self.assertEqual(now[:16], "2026-01-31T12:00")
        HomePage.open(self)
        self.assertEqual(self.driver.execute_script("return Math.random()"), first)

def kill(driver):
    "End the browser, as the kernel does where memory runs out."
    mark = f"--user-data-dir={driver.capabilities['chrome']['userDataDir']}".encode()
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = place.read_bytes().split(b"\\0")
        except OSError:
            continue
        if mark in arguments and not any(argument.startswith(b"--type=") for argument in arguments):
            os.kill(int(place.parent.name), signal.SIGKILL)
            return
    raise LookupError("there is no such browser")

class DyingTest(ResponsiveScreenshotMixin, StaticLiveServerTestCase):
    def setUp(self):
        Item.objects.create(name="one")
        self.driver.get(self.live_server_url)

    def test_dies_once(self):
        self.assertResponsive(None, "dying", sizes=[(320, 540)])
        self.assertEqual(Item.objects.count(), 1)
        if not Path("died").exists():
            Path("died").touch()
            kill(self.driver)
        self.assertTrue(self.driver.title)

    def test_dies_again(self):
        kill(self.driver)
        self.driver.title

    def test_fails_before_it_dies(self):
        with self.subTest("first"):
            self.fail("a failure of its own")
        kill(self.driver)
        self.driver.title

    def test_other_connection(self):
        socket.create_connection(("127.0.0.1", 9))

    def test_lives(self):
        self.assertTrue(self.driver.title)

class DeadAtOnceTest(ResponsiveScreenshotMixin, SimpleTestCase):
    @classmethod
    def get_web_driver(cls):
        driver = super().get_web_driver()
        if not Path("dead").exists():
            Path("dead").touch()
            kill(driver)
        return driver

    def test_lives(self):
        self.assertEqual(self.driver.current_url, "about:blank")
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, chromium: object) -> Iterator[Ran]:
    """One run of all of it."""
    return Ran(site(tmp_path_factory.mktemp("objects"), VIEWS, TESTS), "--with-xunit")


def passed(ran: Ran, id: str) -> bool:
    assert ran.outcomes[id] is Outcome.PASSED, ran.message(id)
    return True


def test_page_objects_do_what_they_say(ran):
    """A page is opened and waited for, filled, clicked and followed; what does not come says what and where."""
    assert passed(ran, "PageTest.test_page")


def test_each_test_has_a_fresh_context(ran):
    """Cookies and storage of another test are gone."""
    assert passed(ran, "PageTest.test_page_again")


def test_the_clock_stands_still_and_chance_is_known(ran):
    """``freeze_time`` and ``random_seed`` of a class hold for each page that its tests load."""
    assert passed(ran, "FrozenTest.test_clock")


def test_a_browser_that_dies_is_started_again(ran):
    """The test begins anew, with its database as it was, and passes; the facts and the closing lines say so."""
    assert passed(ran, "DyingTest.test_dies_once")
    fact = ran.tests["DyingTest.test_dies_once"]
    assert fact.measures["browser_restarted"]
    assert fact.measures["screenshots"] == {"passed": 1}  # of the second attempt alone
    assert "begins again, in another one" in fact.stderr
    (section,) = [
        one.data for one in ran.project.facts() if isinstance(one, RunMeasured) and one.section == "screenshots"
    ]
    assert section["restarts"] == 2
    assert "The browser died in 2 tests" in ran.stderr
    value = ran.project.xunit().xpath("//testcase[@name='test_dies_once']//property[@name='browser_restarted']/@value")
    assert value


def test_a_second_death_is_not_hidden(ran):
    """A test in which the browser dies each time is an error; the next one has a browser again."""
    assert ran.outcomes["DyingTest.test_dies_again"] is Outcome.ERROR
    assert "browser_restarted" in ran.tests["DyingTest.test_dies_again"].measures
    assert passed(ran, "DyingTest.test_lives")


def test_another_connection_that_fails_is_no_death(ran):
    """A test whose own connection is refused is an error at once; its browser is well."""
    fact = ran.tests["DyingTest.test_other_connection"]
    assert fact.outcome is Outcome.ERROR
    assert "refused" in fact.problems[0].message
    assert "browser_restarted" not in fact.measures


def test_a_class_begins_with_a_browser_that_lives(ran):
    """One that dies while the class is set up is started again."""
    assert passed(ran, "DeadAtOnceTest.test_lives")


def test_a_failure_before_the_death_is_told(ran):
    """What the test found before the browser died is not tried away."""
    fact = ran.tests["DyingTest.test_fails_before_it_dies"]
    assert fact.outcome is Outcome.ERROR
    assert fact.subtests_failed == 1
    assert "browser_restarted" not in fact.measures


def test_each_test_is_told_once(ran):
    """However often it began."""
    assert len(ran.tests) == 9
    assert f"Ran {len(ran.tests)} tests" in ran.stderr
