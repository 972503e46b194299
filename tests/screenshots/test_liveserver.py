"""A live server that does not lie: its requests end before the database does, and what goes wrong in a page is told."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator

import pytest

from testkit.core.events import Outcome
from testkit.screenshots.requests import Requests, RequestsHang, Turn
from tests.screenshots.site import HEAD, Ran, site


def ask(requests: Requests, application, path: str = "/slow/") -> tuple[threading.Thread, list[bytes]]:
    """Have ``application`` answer a request in a thread, as a live server has, and return the thread and the answer."""
    answer: list[bytes] = []
    statuses: list[str] = []

    def run() -> None:
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": "page=2"}
        parts = requests.around(application, Turn([]))(environ, lambda status, headers: statuses.append(status))
        answer.extend(parts)
        parts.close() if hasattr(parts, "close") else None
        answer.insert(0, statuses[0].encode())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, answer


class Gate:
    """An application that answers when it is let."""

    def __init__(self) -> None:
        self.began, self.may_end = threading.Event(), threading.Event()

    def __call__(self, environ, start_response):
        self.began.set()
        self.may_end.wait(20)
        start_response("200 OK", [])
        return [b"done"]


def test_the_end_waits_for_requests():
    """close() returns when the last request has ended, and refuses those that come late, until it is opened again."""
    requests, gate = Requests(), Gate()
    thread, answer = ask(requests, gate)
    gate.began.wait(20)
    threading.Timer(0.2, gate.may_end.set).start()
    began = time.monotonic()
    requests.close(20)
    assert time.monotonic() - began > 0.1
    thread.join(20)
    assert answer == [b"200 OK", b"done"]
    late, refused = ask(requests, gate)
    late.join(20)
    assert refused[0] == b"503 Service Unavailable"
    requests.open()
    again, answer = ask(requests, gate)
    again.join(20)
    assert answer == [b"200 OK", b"done"]


def test_a_stream_is_answered_until_its_last_part():
    """A request whose answer is still being read has not ended."""
    requests, gate = Requests(), threading.Event()

    def stream(environ, start_response):
        start_response("200 OK", [])
        yield b"first"
        gate.wait(20)
        yield b"second"

    thread, answer = ask(requests, stream)
    with pytest.raises(RequestsHang, match=r"GET /slow/\?page=2 is still being answered"):
        requests.close(0.2)
    requests.close(20)  # it is told once
    gate.set()
    thread.join(20)
    assert answer == [b"200 OK", b"first", b"second"]


def test_what_hangs_is_named_with_its_line():
    """After the time that is given, the error has the URL and where its thread is."""
    requests, gate = Requests(), Gate()
    ask(requests, gate)
    gate.began.wait(20)
    with pytest.raises(RequestsHang, match=r"GET /slow/\?page=2 .*It is at:(.|\n)*self.may_end.wait\(20\)"):
        requests.close(0.1)
    gate.may_end.set()


VIEWS = f'''
import time
from pathlib import Path
from django.db import transaction
from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from shop.models import Item

NAMES = ["home", "slow", "hangs", "broken", "styled", "tally", "script", "many"]
HEAD = """{HEAD}"""

def home(request):
    return HttpResponse(HEAD + "<p>home<script>fetch('/slow/')</script>")

def slow(request):
    time.sleep(0.7)
    Item.objects.create(name="late")
    Path("wrote").write_text("yes")
    return JsonResponse({{}})

def hangs(request):
    if request.GET:
        time.sleep(4)
    return HttpResponse(HEAD + "<p>hangs<script>fetch('/hangs/?now')</script>")

def broken(request):
    raise LookupError("no such book")

def styled(request):
    return render(request, "styled.html")

def script(request):
    return HttpResponse(HEAD + """<p>script
        <script>console.error("from the console")</script><script>throw new Error("from a script")</script>
        <img src=/missing.png>""")

def many(request):
    "A page of many requests at the same time, each in a transaction of its own."
    return HttpResponse(HEAD + """<p>many<script>
        Promise.all([...Array(12).keys()].map((n) => fetch("/tally/?n=" + n).then((r) => r.ok)))
            .then((all) => document.title = all.every(Boolean) ? "all" : "some")</script>""")

@transaction.atomic
def tally(request):
    item = Item.objects.create(name=request.GET["n"])
    time.sleep(0.01)
    with transaction.atomic():
        Item.objects.create(name="inner")
    if int(request.GET["n"]) % 2:
        transaction.set_rollback(True)
    return JsonResponse({{}})
'''
TESTS = """
import time
from pathlib import Path
from django.contrib.staticfiles.testing import StaticLiveServerTestCase
from django.test import LiveServerTestCase, override_settings
from urllib.error import HTTPError
from urllib.request import urlopen
from selenium.webdriver.support.wait import WebDriverWait
from shop.models import Item
from testkit import NeedleTestCase, ResponsiveScreenshotMixin

class Pages(NeedleTestCase):
    def open(self, path):
        self.driver.get(self.live_server_url + path)

class RequestsTest(Pages, StaticLiveServerTestCase):
    def test_1_ends_in_the_middle_of_a_request(self):
        self.open("/")
        self.driver.execute_async_script("setTimeout(arguments[0], 150)")
        self.assertEqual(Item.objects.count(), 0)

    def test_2_has_an_empty_database(self):
        time.sleep(0.5)
        self.assertEqual(Item.objects.count(), 0)
        self.assertTrue(Path("wrote").exists())

    def test_3_hangs(self):
        self.open("/hangs/")
        self.driver.execute_script("setTimeout(() => console.error('while it hangs'))")
        self.driver.execute_async_script("setTimeout(arguments[0], 150)")

    def test_4_has_transactions_apart(self):
        self.open("/many/")
        for _ in range(20):
            Item.objects.count()
        WebDriverWait(self.driver, 20, 0.05).until(lambda driver: driver.title in ("all", "some"))
        self.assertEqual(self.driver.title, "all")
        self.assertEqual(Item.objects.exclude(name="inner").count(), 6)
        self.assertEqual(Item.objects.filter(name="inner").count(), 6)

class OtherOrderTest(StaticLiveServerTestCase, Pages):
    def test_1_ends_in_the_middle_of_a_request(self):
        Path("wrote").unlink(missing_ok=True)
        self.open("/")
        self.driver.execute_async_script("setTimeout(arguments[0], 150)")

    def test_2_has_an_empty_database(self):
        self.assertEqual(Item.objects.count(), 0)
        self.assertTrue(Path("wrote").exists())

class ErrorsTest(Pages, StaticLiveServerTestCase):
    def test_broken(self):
        self.open("/broken/")

    def test_script(self):
        self.open("/script/")

    def test_while_comparing(self):
        self.open("/script/")
        with self.settings(TESTKIT={"MISSING_BASELINES": "fail"}):
            self.assertScreenshot("p", "script")

    def test_fine(self):
        self.open("/styled/")

    def test_alert(self):
        self.open("/script/")
        self.driver.execute_script("setTimeout(() => alert('open'))")

    def test_unseen(self):
        "A request of no page, after one of Django's client that nobody is told of."
        self.client.raise_request_exception = False
        self.assertEqual(self.client.get("/broken/?client").status_code, 500)
        with self.assertRaises(HTTPError):
            urlopen(self.live_server_url + "/broken/?unseen")

    def test_elsewhere(self):
        self.open("/script/")
        self.driver.get(self.live_server_url.replace("localhost", "127.0.0.1") + "/hangs/")

class AllowedTest(Pages, StaticLiveServerTestCase):
    allowed_page_errors = ["from (the console|a script)", "/missing.png", "/broken/"]

    def test_broken(self):
        self.open("/broken/")

    def test_script(self):
        self.open("/script/")

MANIFEST = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"},
}

@override_settings(STORAGES=MANIFEST)
class ManifestTest(Pages, StaticLiveServerTestCase):
    def test_styled(self):
        self.open("/styled/")
        colour = self.driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        self.assertEqual(colour, "rgb(1, 2, 3)")

@override_settings(STORAGES=MANIFEST)
class CollectedTest(Pages, LiveServerTestCase):
    def test_styled(self):
        self.open("/styled/")
        colour = self.driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        self.assertEqual(colour, "rgb(4, 5, 6)")
        self.assertIn("style.0123456789ab.css", self.driver.page_source)
"""
STYLED = "{% load static %}" + HEAD + "<link rel=stylesheet href=\"{% static 'style.css' %}\"><p>styled"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, chromium: object) -> Iterator[Ran]:
    """One run of all of it, on SQLite in memory; the files of ``collectstatic`` are of another day."""
    project = site(tmp_path_factory.mktemp("live"), VIEWS, TESTS)
    manifest = '{"version": "1.1", "paths": {"style.css": "style.0123456789ab.css"}, "hash": ""}'
    project.write(
        {
            "shop/templates/styled.html": STYLED,
            "shop/static/style.css": "body { background: rgb(1, 2, 3) }",
            "static-root/staticfiles.json": manifest,
            "static-root/style.0123456789ab.css": "body { background: rgb(4, 5, 6) }",
            "query-budgets.toml": '[budgets]\n"GET /slow/" = 0\n',
        }
    )
    return Ran(project, "--screenshot-timeout=2")


@pytest.mark.parametrize("order", ["RequestsTest", "OtherOrderTest"])
def test_no_request_writes_into_the_next_test(ran, order):
    """A page that is left in the middle of a request has ended it when its database is emptied, however the bases stand."""
    assert ran.outcomes[f"{order}.test_2_has_an_empty_database"] is Outcome.PASSED


def test_query_budgets_see_such_requests(ran):
    """A request that ends after its test has made too many queries fails that test, and not the next."""
    assert "GET /slow/ made 1 query; its budget is 0" in ran.message(
        "RequestsTest.test_1_ends_in_the_middle_of_a_request"
    )


def test_a_request_that_hangs_fails_its_test(ran):
    """After --screenshot-timeout the test fails, with the URL and the line of the view."""
    text = ran.message("RequestsTest.test_3_hangs")
    assert "GET /hangs/?now is still being answered" in text
    assert "time.sleep(4)" in text
    assert "while it hangs" in text  # what went wrong in the page is not forgotten for that


def test_transactions_of_requests_do_not_meet(ran):
    """Requests at the same time, each in a transaction, get along on the one connection of a database in memory."""
    assert ran.outcomes["RequestsTest.test_4_has_transactions_apart"] is Outcome.PASSED, ran.message(
        "RequestsTest.test_4_has_transactions_apart"
    )


def test_what_goes_wrong_in_a_page_fails_the_test(ran):
    """A 500 with its traceback; an exception of a script, an error on the console, a file that is missing; no favicon."""
    broken = ran.message("ErrorsTest.test_broken")
    assert "server: " in broken
    assert "LookupError: no such book" in broken
    assert "views.py" in broken
    script = ran.message("ErrorsTest.test_script")
    assert "3 errors in the page" in script
    for part in ("from the console", "from a script", "/missing.png"):
        assert part in script
    assert ran.outcomes["ErrorsTest.test_fine"] is Outcome.PASSED


def test_what_the_server_knows_of_fails_the_test(ran):
    """An answer with status 500 that no page has told of, by its traceback; not those of Django's own test client."""
    text = ran.message("ErrorsTest.test_unseen")
    assert "1 error in the page" in text
    assert "GET /broken/?unseen raised" in text
    assert "LookupError: no such book" in text


@pytest.mark.skipif(shutil.which("WebKitWebDriver") is None, reason="there is no WebKitWebDriver on the PATH")
def test_the_server_tells_what_a_browser_does_not(ran):
    """In WebKitGTK, which tells of no status, a missing file and a 500 fail the test by what the server has answered."""
    assert ran.tests  # before another run of the project
    labels = [f"shop.tests.test_shop.ErrorsTest.{name}" for name in ("test_broken", "test_script", "test_fine")]
    told = Ran(ran.project, *labels, "--browsers=webkit")
    broken, script = told.message("ErrorsTest.test_broken"), told.message("ErrorsTest.test_script")
    assert "1 error in the page" in broken
    assert "LookupError: no such book" in broken
    assert "1 error in the page" in script
    assert "  file: it did not load: status 404 (http://localhost:" in script
    assert "/missing.png)" in script
    assert told.outcomes["ErrorsTest.test_fine"] is Outcome.PASSED


@pytest.mark.parametrize("name", ["test_alert", "test_elsewhere"])
def test_errors_are_told_wherever_the_page_is_in_the_end(ran, name):
    """Also those of a page that leaves an alert open, and of the live server by another of its names."""
    text = ran.message(f"ErrorsTest.{name}")
    assert "3 errors in the page" in text
    assert "/missing.png" in text
    assert len(ran.tests[f"ErrorsTest.{name}"].problems) == 1


def test_a_comparison_that_fails_tells_of_the_page(ran):
    """What went wrong in the page is in the same message: it may be why the picture differs; it is told once."""
    text = ran.message("ErrorsTest.test_while_comparing")
    assert "has no baseline" in text
    assert text.count("from a script") == 1
    assert len(ran.tests["ErrorsTest.test_while_comparing"].problems) == 1


def test_what_is_allowed_fails_nothing(ran):
    """``allowed_page_errors`` are searched for in messages and URLs."""
    assert ran.outcomes["AllowedTest.test_broken"] is ran.outcomes["AllowedTest.test_script"] is Outcome.PASSED


@pytest.mark.parametrize("name", ["ManifestTest", "CollectedTest"])
def test_static_files_are_those_of_the_server(ran, name):
    """With a manifest storage, a StaticLiveServerTestCase serves the files of today, a LiveServerTestCase those collected."""
    assert ran.outcomes[f"{name}.test_styled"] is Outcome.PASSED, ran.message(f"{name}.test_styled")


def test_nothing_is_left_to_be_said(ran):
    """No thread of a server ends with an exception after its class has."""
    assert "Exception in thread" not in ran.stderr
    assert "Traceback" not in ran.stdout
