"""Query budgets of a whole suite: no test is edited, and every way to run it makes the same file of the same requests."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from testkit.core.events import RunMeasured, TestFinished
from tests.projects import Project
from tests.test_shards_run import run_shards
from tests.test_worker_databases import Server

VIEWS = """
import threading
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.http import HttpResponse, StreamingHttpResponse
from shop.models import Item

def items(request):
    return HttpResponse(", ".join(item.name for item in Item.objects.all()))

def item(request, pk):
    found = Item.objects.get(pk=pk)
    if request.method == "POST":
        with transaction.atomic():
            found.name = "changed"
            found.save()
    return HttpResponse(found.name)

def each(request):
    "One query for each item: the more there are, the more it costs."
    return HttpResponse("".join(Item.objects.get(pk=pk).name for pk in list(Item.objects.values_list("pk", flat=True))))

async def slowly(request):
    return HttpResponse(str(await Item.objects.acount()))

def stream(request):
    def rows():
        for number in range(3):
            yield f"{Item.objects.count()}\\n"
    return StreamingHttpResponse(rows())

def fails(request):
    list(Item.objects.all())
    raise RuntimeError("no")
"""
URLS = """
from django.urls import include, path, re_path
from shop import views

urlpatterns = [
    path("items/", views.items),
    path("items/<int:pk>/", views.item),
    path("each/", views.each),
    path("async/", include([path("slowly/", views.slowly)])),
    re_path("^stream/(?P<word>[a-z]+)?$", lambda request, word=None: views.stream(request)),
    path("fails/", views.fails),
    path("never/", views.items),
]
"""
TESTS = """
import urllib.request
from django.test import LiveServerTestCase, SimpleTestCase, TestCase, TransactionTestCase, override_settings
from django.urls import path
from shop import views
from shop.models import Item

urlpatterns = [path("only/here/", views.items)]

class SmallTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.item = Item.objects.create(name="pen")
        cls.client_class().get("/each/")

    def test_reads(self):
        self.assertContains(self.client.get(f"/items/{self.item.pk}/"), "pen")
        self.client.get("/items/")

    def test_writes(self):
        self.client.post(f"/items/{self.item.pk}/")

    def test_each(self):
        self.client.get("/each/")

    def test_not_found(self):
        self.assertEqual(self.client.get("/nowhere/").status_code, 404)

    def test_of_its_own_urls(self):
        with override_settings(ROOT_URLCONF=__name__):
            self.client.get("/only/here/")

class LargeTests(TestCase):
    def test_each(self):
        Item.objects.bulk_create([Item(name=str(number)) for number in range(5)])
        self.client.get("/each/")

    def test_fails(self):
        with self.assertRaises(RuntimeError):
            self.client.get("/fails/")

class OtherTests(TransactionTestCase):
    async def test_async(self):
        await self.async_client.get("/async/slowly/")

    def test_streams(self):
        self.assertEqual(self.client.get("/stream/x").getvalue(), b"0\\n" * 3)

class LiveTests(LiveServerTestCase):
    def test_over_the_wire(self):
        Item.objects.create(name="wire")
        with urllib.request.urlopen(f"{self.live_server_url}/items/?live", timeout=20) as response:
            self.assertEqual(response.read(), b"wire")
"""
BUDGETS = """\
"GET /async/slowly/" = 1
"GET /each/" = 6
"GET /items/" = 1
"GET /items/<int:pk>/" = 1
"POST /items/<int:pk>/" = 2
"GET /stream/(?P<word>[a-z]+)?$" = 3
"""


def make(project: Project) -> None:
    project.write({"shop/views.py": VIEWS, "shop/urls.py": URLS})
    project.settings(
        "ROOT_URLCONF = 'shop.urls'\nINSTALLED_APPS += ['testkit']\nALLOWED_HOSTS = ['*']\nSTATIC_URL = MEDIA_URL = '/files/'"
    )
    project.tests(TESTS)


@pytest.fixture
def shop(project: Project) -> Project:
    """A project with views, and tests that request them."""
    make(project)
    return project


def budgets_of(project: Project) -> str:
    return (project.folder / "query-budgets.toml").read_text()


def allow(project: Project, text: str) -> None:
    """Write the file of budgets."""
    project.write({"query-budgets.toml": f"[budgets]\n{text}\n"})


def record(project: Project, *flags: str, **options) -> None:
    result = project.run("--query-budgets=record", *flags, **options)
    assert result.returncode == 0, result.stdout + result.stderr


def record_shards(project: Project) -> None:
    statuses = run_shards(project, 3, "--query-budgets=record")
    assert set(statuses) == {0}
    assert not (project.folder / "query-budgets.toml").exists()  # a shard knows but its own
    result = project.run("merge", "shards")
    assert result.returncode == 0, result.stderr


def record_stock(*flags: str) -> Callable[[Project], None]:
    def run(project: Project) -> None:
        result = project.run(*flags, front="stock", TESTKIT_QUERY_BUDGETS="record")
        assert result.returncode == 0, result.stdout + result.stderr

    return run


def record_pytest(*flags: str) -> Callable[[Project], None]:
    def run(project: Project) -> None:
        result = project.run(
            "--ds=settings", "--testkit-query-budgets=record", *flags, "shop", front="pytest", timeout=180
        )
        assert result.returncode == 0, result.stdout + result.stderr

    return run


def record_nose2(*flags: str) -> Callable[[Project], None]:
    def run(project: Project) -> None:
        project.nose2("nose2.plugins.mp")
        record(project, *flags, front="nose2")

    return run


WAYS: Mapping[str, Callable[[Project], None]] = {
    "serial": record,
    "parallel": lambda project: record(project, "--parallel=2"),
    "spawned": lambda project: record(project, "--parallel=2", "--start-method=spawn"),
    "shards": record_shards,
    "manage.py": lambda project: record(project, front="manage.py"),
    "stock": record_stock(),
    "stock, parallel": record_stock("--parallel=2"),
    "nose2": record_nose2(),
    "nose2's processes": record_nose2("-N", "2"),
    "pytest": record_pytest(),
    "pytest's workers": record_pytest("-n2"),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_every_way_records_the_same(way, shop):
    """Whoever runs the tests, and in however many processes: the file is the same to the byte."""
    way(shop)
    assert budgets_of(shop).partition("[budgets]\n")[2] == BUDGETS


@pytest.mark.parametrize("way", ["serial", "parallel", "shards", "stock", "stock, parallel"])
@pytest.mark.parametrize("url", ["postgres_url", "mysql_url"])
def test_every_database_records_the_same(url, way, shop, request):
    """PostgreSQL and MariaDB need the numbers that SQLite needs."""
    server = Server(request.getfixturevalue(url))
    server.drop_all()  # what other tests keep there by --keepdb
    request.addfinalizer(server.drop_all)
    shop.settings(f"DATABASES = {{'default': {server.settings!r}}}")
    WAYS[way](shop)
    assert budgets_of(shop).partition("[budgets]\n")[2] == BUDGETS


ASKS: Mapping[str, tuple[list[str], dict[str, str]]] = {
    "serial": ([], {}),
    "parallel": (["--parallel=2"], {}),
    "stock": ([], {"front": "stock", "TESTKIT_QUERY_BUDGETS": "check"}),
    "stock, parallel": (["--parallel=2"], {"front": "stock", "TESTKIT_QUERY_BUDGETS": "check"}),
}


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
def test_a_broken_budget_fails_the_test(ask, shop):
    """It fails at its own line, with the queries in groups, their line and what to do; the others pass."""
    allow(shop, BUDGETS.replace('"GET /each/" = 6', '"GET /each/" = 5'))
    result = shop.run(*ask[0], **ask[1])
    assert result.returncode == 1
    assert re.findall(r"^(?:FAIL|ERROR): (\w+)", result.stderr, re.MULTILINE) == ["test_each"]
    assert "GET /each/ made 6 queries; its budget is 5" in result.stderr
    assert re.search(r"5 × SELECT .*shop_item", result.stderr)
    assert re.search(r"shop/views\.py:\d+ in each", result.stderr)
    assert "raise its budget in" in result.stderr
    assert "query-budgets.toml, line 3." in result.stderr
    assert re.search(r'test_shop\.py", line \d+, in test_each\n\s+self\.client\.get\("/each/"\)', result.stderr)


@pytest.mark.parametrize("ask", [ASKS["serial"], ASKS["stock"]], ids=["testkit", "stock"])
def test_a_live_server_breaks_budgets_too(ask, shop):
    """What a thread of the server saw fails the test that made the request."""
    allow(shop, '"GET /items/" = 0')
    result = shop.run("shop.tests.test_shop.LiveTests", *ask[0], **ask[1])
    assert result.returncode == 1
    assert "GET /items/ made 1 query; its budget is 0" in result.stderr


def test_a_stream_breaks_its_budget_at_its_end(shop):
    allow(shop, '"GET /stream/(?P<word>[a-z]+)?$" = 2')
    result = shop.run("shop.tests.test_shop.OtherTests")
    assert result.returncode == 1
    assert "made 3 queries; its budget is 2" in result.stderr


def test_a_file_is_reason_enough_to_check(shop):
    """No flag is needed; --query-budgets=off is one not to."""
    allow(shop, '"GET /each/" = 1')
    assert shop.run().returncode == 1
    assert shop.run("--query-budgets=off").returncode == 0


def test_without_a_file_nothing_is_counted(shop):
    assert shop.run().returncode == 0
    assert not any(fact.measures for fact in shop.facts() if isinstance(fact, TestFinished))


def test_counts_are_measures_of_the_facts(shop):
    """Each test has its queries, and what its requests cost by endpoint; the xunit file shows them."""
    allow(shop, BUDGETS)
    assert shop.run("--with-xunit").returncode == 0
    (large,) = [
        fact for fact in shop.facts() if isinstance(fact, TestFinished) and fact.id.endswith("LargeTests.test_each")
    ]
    queries = large.measures["queries"]
    assert queries["total"] == 7
    assert {**queries["routes"]["GET /each/"], "ms": 0} == {"requests": 1, "queries": 6, "ms": 0}
    assert shop.xunit().xpath("//testcase[@name='test_each']//property[@name='queries.total']/@value")


def test_the_end_tells_what_is_missing(shop):
    """Requests without a budget, budgets of routes that are gone with the nearest one, routes that no test requests."""
    allow(shop, '"GET /each/" = 6\n"GET /item/" = 9\n"GET /items/<int:pk>/" = { max = 9, time_ms = 0.0001 }')
    result = shop.run()
    assert result.returncode == 0
    (section,) = [fact.data for fact in shop.facts() if isinstance(fact, RunMeasured) and fact.section == "budgets"]
    assert section["without"] == {
        "GET /async/slowly/": 1,
        "GET /items/": 1,
        "GET /stream/(?P<word>[a-z]+)?$": 3,
        "POST /items/<int:pk>/": 2,
    }
    assert section["gone"] == {"GET /item/": "GET /items/"}
    assert list(section["slow"]) == ["GET /items/<int:pk>/"]
    assert section["never"] == ["/fails/", "/never/"]
    assert "GET /item/ (query-budgets.toml, line 3), did you mean GET /items/?" in result.stderr
    assert "    /never/\n" in result.stderr


def test_a_part_of_the_tests_knows_no_route_that_is_never_requested(shop):
    allow(shop, BUDGETS)
    result = shop.run("shop.tests.test_shop.SmallTests")
    assert "no test requests" not in result.stderr


def test_merged_shards_tell_what_a_run_does(shop):
    allow(shop, BUDGETS)
    run_shards(shop, 2)
    result = shop.run("merge", "shards", "--update-query-budgets")
    assert result.returncode == 0, result.stderr
    assert "    /never/\n" in result.stderr
    assert "Lowered: none" in result.stderr


def test_budgets_go_down_after_a_whole_green_run(shop):
    allow(shop, BUDGETS.replace('"GET /each/" = 6', '"GET /each/" = 60  # many'))
    part = shop.run("shop.tests.test_shop.SmallTests", "--update-query-budgets")
    assert part.returncode == 0
    assert "Not lowered" in part.stderr
    assert '"GET /each/" = 60' in budgets_of(shop)
    whole = shop.run("--update-query-budgets", "--parallel=2")
    assert whole.returncode == 0
    assert "Lowered: GET /each/" in whole.stderr
    assert '"GET /each/" = 6  # many' in budgets_of(shop)


def test_budgets_do_not_go_down_after_a_red_run(shop):
    allow(shop, BUDGETS.replace('"GET /each/" = 6', '"GET /each/" = 60'))
    shop.tests(
        "from django.test import SimpleTestCase\nclass T(SimpleTestCase):\n    def test_it(self): self.fail()",
        "test_red",
    )
    result = shop.run("--update-query-budgets")
    assert result.returncode == 1
    assert '"GET /each/" = 60' in budgets_of(shop)


def test_tables_may_be_ignored(shop):
    """What the process caches costs queries in some orders of the tests, and none in others."""
    shop.write({"query-budgets.toml": 'ignore_tables = ["shop_item"]\n[budgets]\n"GET /each/" = 0\n'})
    assert shop.run().returncode == 0


@pytest.mark.parametrize("front", ["testkit", "stock"])
def test_a_file_with_a_mistake_runs_nothing(front, shop):
    """It is told before any database is made, with the line and the remedy."""
    allow(shop, '"GET /each/" = "6"')
    result = shop.run(front=front, TESTKIT_QUERY_BUDGETS="check")
    assert result.returncode != 0
    assert "query-budgets.toml, line 2: '6' is no budget: give a whole number, or a table" in result.stderr
    assert "Ran" not in result.stderr


def test_a_database_that_does_not_exist_is_told(shop):
    allow(shop, '"GET /each/" = { defualt = 6 }')
    result = shop.run()
    assert result.returncode == 2
    assert "'defualt', which is no database: did you mean 'default'?" in result.stderr


def test_a_missing_budgets_file_can_be_named_elsewhere(shop):
    record(shop, "--query-budgets-file=ci/budgets.toml")
    assert (shop.folder / "ci" / "budgets.toml").read_text().partition("[budgets]\n")[2] == BUDGETS


def test_a_stock_run_leaves_nothing_behind(shop, tmp_path_factory):
    """The files by which its processes told are removed."""
    temp = tmp_path_factory.mktemp("temp")
    allow(shop, BUDGETS)
    result = shop.run("--parallel=2", front="stock", TESTKIT_QUERY_BUDGETS="check", TMPDIR=str(temp))
    assert result.returncode == 0, result.stderr
    assert list(Path(temp).iterdir()) == []
    shutil.rmtree(temp)


STREAMS = """
from django.test import TestCase

class StreamTests(TestCase):
    def test_is_not_read(self):
        self.client.get("/stream/x")

    def test_is_read_in_part(self):
        response = self.client.get("/stream/x")
        parts = iter(response.streaming_content)
        next(parts), next(parts)
        response.close()
"""


def test_a_stream_that_is_closed_early_counts_as_far_as_it_came(shop):
    """What is raised while a response is closed nobody sees: the test itself fails."""
    shop.tests(STREAMS)
    allow(shop, '"GET /stream/(?P<word>[a-z]+)?$" = 1')
    result = shop.run()
    assert re.findall(r"^(?:FAIL|ERROR): (\w+)", result.stderr, re.MULTILINE) == ["test_is_read_in_part"]
    assert "made 2 queries; its budget is 1" in result.stderr


SWALLOWS = """
import contextlib, unittest, urllib.request
from django.test import LiveServerTestCase, TestCase

class {name}({base}):
    def test_it(self):
        {body}
{more}
"""
SWALLOWED = {
    "except": ("TestCase", 'with contextlib.suppress(Exception): self.client.get("/items/")', ""),
    "assertRaises": ("TestCase", 'with self.assertRaises(AssertionError): self.client.get("/items/")', ""),
    "expected": ("TestCase", 'self.client.get("/items/")', "    test_it = unittest.expectedFailure(test_it)"),
}


@pytest.mark.parametrize("way", SWALLOWED)
def test_a_broken_budget_that_a_test_swallows_fails_the_run(way, shop):
    """No test fails, and yet the endpoint is over its budget: that is said, and the status is 2."""
    base, body, more = SWALLOWED[way]
    shop.tests(SWALLOWS.format(name="Swallows", base=base, body=body, more=more))
    allow(shop, '"GET /items/" = 0')
    result = shop.run()
    assert result.returncode == 2
    assert "  Over budget:\n    GET /items/ made 1 query; its budget is 0 (query-budgets.toml, line 2)" in result.stderr
    assert "more queries than the budgets allow, at GET /items/ (see above)" in result.stderr


@pytest.mark.parametrize("ask", [ASKS["serial"], ASKS["stock"]], ids=["testkit", "stock"])
def test_what_a_live_server_answers_in_a_tear_down_counts(ask, shop):
    """The last clean-up of a test is when it hears of what it has not seen."""
    shop.tests(
        SWALLOWS.format(
            name="Ends",
            base="LiveServerTestCase",
            body="pass",
            more='    def tearDown(self): urllib.request.urlopen(self.live_server_url + "/items/").close()',
        )
    )
    allow(shop, '"GET /items/" = 0')
    result = shop.run(*ask[0], **ask[1])
    assert result.returncode == 1
    assert re.findall(r"^(?:FAIL|ERROR): (\w+)", result.stderr, re.MULTILINE) == ["test_it"]


OTHER_KINDS = """
import unittest
from django.test import AsyncClient, Client, SimpleTestCase, TestCase

class PlainTests(unittest.TestCase):
    def test_it(self):
        Client().get("/async/slowly/")

class AsyncTests(unittest.IsolatedAsyncioTestCase):
    async def test_it(self):
        await AsyncClient().get("/never/")

class OuterTests(TestCase):
    def test_it(self):
        self.client.get("/items/")
        class Inner(SimpleTestCase):
            databases = {"default"}
            def test_inner(self):
                self.client.get("/each/")
        result = unittest.TestResult()
        Inner("test_inner")(result)
        self.assertTrue(result.wasSuccessful())
        self.client.get("/stream/x")
"""


def test_tests_of_all_kinds_are_heard(shop):
    """unittest's own test cases, and a test that runs another test."""
    shop.tests(OTHER_KINDS)
    record(shop)
    recorded = budgets_of(shop).partition("[budgets]\n")[2].splitlines()
    routes = ["/async/slowly/", "/each/", "/items/", "/never/", "/stream/(?P<word>[a-z]+)?$"]
    assert [line.partition('" =')[0] for line in recorded] == [f'"GET {route}' for route in routes]
    (outer,) = [fact for fact in shop.facts() if isinstance(fact, TestFinished) and "OuterTests" in fact.id]
    assert outer.measures["queries"]["total"] == 2
    assert sorted(outer.measures["queries"]["routes"]) == [f"GET {routes[number]}" for number in (1, 2, 4)]


def test_a_merge_with_a_shard_that_counted_nothing_changes_nothing(shop):
    allow(shop, BUDGETS.replace("= 6", "= 60"))
    run_shards(shop, 1)
    shutil.move(shop.folder / "shards", shop.folder / "counted")
    for number, flags in ((1, []), (2, ["--query-budgets=off"])):
        assert shop.run(f"--shard={number}/2", *flags).returncode == 0
        shutil.move(shop.folder / "reports", shop.folder / "shards" / str(number))
    for flag in ("--update-query-budgets", "--query-budgets=record"):
        result = shop.run("merge", "shards", "--query-budgets=auto", flag)
        assert "Not written: 1 of 2 shards counted no queries" in result.stderr
    assert '"GET /each/" = 60' in budgets_of(shop)


@pytest.mark.parametrize(
    ("flags", "options"),
    [
        (["--query-budgets-file=typo.toml"], {}),
        (["--query-budgets=check"], {}),
        ([], {"front": "stock", "TESTKIT_QUERY_BUDGETS": "check"}),
    ],
)
def test_a_file_that_is_asked_for_and_missing_is_an_error(flags, options, shop):
    """It would check nothing; the message says what writes it."""
    result = shop.run(*flags, **options)
    assert result.returncode != 0
    assert "there is no file" in result.stderr
    assert "record" in result.stderr
    assert "Ran" not in result.stderr


def test_auto_and_nothing_are_fine_in_the_environment(shop):
    """Under either runner."""
    for front in ("testkit", "stock"):
        for value in ("auto", "off") if front == "testkit" else ("auto", "off", ""):
            result = shop.run("shop.tests.test_shop.LargeTests", front=front, TESTKIT_QUERY_BUDGETS=value)
            assert result.returncode == 0, result.stderr


def test_a_file_that_cannot_be_written_is_told(shop):
    """The rest of the report is there, and the run does not end as a good one."""
    result = shop.run("--query-budgets=record", "--query-budgets-file=/proc/budgets.toml")
    assert result.returncode == 2
    assert "the query budgets cannot be written: " in result.stderr
    assert "Traceback" not in result.stderr


def test_languages_are_one_route_and_other_words_are_none(shop):
    """Behind i18n_patterns the language is left out; a path that only looks like a language stays."""
    shop.settings("MIDDLEWARE = ['django.middleware.locale.LocaleMiddleware']\nUSE_I18N = True")
    shop.write(
        {
            "shop/urls.py": """
            from django.conf.urls.i18n import i18n_patterns
            from django.urls import path
            from shop import views
            urlpatterns = [path("my/loans/", views.items), path("id/<int:pk>/", views.item)]
            urlpatterns += i18n_patterns(path("about/", views.items))
            """
        }
    )
    shop.tests(
        """
        from django.test import TestCase
        from shop.models import Item
        class T(TestCase):
            def test_it(self):
                item = Item.objects.create(name="pen")
                for path in ("/my/loans/", f"/id/{item.pk}/", "/de/about/", "/en/about/"):
                    self.assertEqual(self.client.get(path).status_code, 200)
        """
    )
    record(shop)
    assert budgets_of(shop).partition("[budgets]\n")[2] == (
        '"GET /<language>/about/" = 1\n"GET /id/<int:pk>/" = 1\n"GET /my/loans/" = 1\n'
    )
    result = shop.run()
    assert "exist no more" not in result.stderr
    assert "no test requests" not in result.stderr


def test_an_app_without_urls_of_its_own_is_fine(project):
    """Its tests bring their URLs."""
    project.tests("from django.test import TestCase\nclass T(TestCase):\n    def test_it(self): pass")
    allow(project, '"GET /each/" = 6')
    assert project.run().returncode == 0


REMOVES = """
import os, tempfile
from django.test import TestCase
class T(TestCase):
    def test_it(self):
        folder = tempfile.mkdtemp()
        os.chdir(folder)
        os.rmdir(folder)
        self.client.get("/items/")
"""


def test_a_test_that_removes_the_working_directory_fails_for_its_budget(shop):
    allow(shop, '"GET /items/" = 0')
    shop.tests(REMOVES)
    result = shop.run()
    assert result.returncode == 1
    assert "GET /items/ made 1 query; its budget is 0" in result.stderr


def test_budgets_are_recorded_without_a_working_directory(shop):
    shop.tests(REMOVES)
    record(shop)
    assert budgets_of(shop).endswith('"GET /items/" = 1\n')
