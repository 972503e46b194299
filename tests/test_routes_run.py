"""Which routes a suite asks for, by real runs: every way of running the tests tells the same."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from testkit.core.events import FixtureFinished, RunMeasured
from tests.projects import Project
from tests.test_shards_run import run_shards

VIEWS = """
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.views import View
from django.views.decorators.http import require_GET
from django.views.generic import ListView
from shop.models import Item

def items(request):
    return HttpResponse("items")

@require_GET
def item(request, pk):
    return HttpResponse(get_object_or_404(Item, pk=pk).name)

@login_required
@require_GET
def called(request):
    return inner(request)

def inner(request):
    return HttpResponse("called")

class Mixed(View):
    def get(self, request):
        return inner(request)
    def post(self, request):
        return HttpResponse("posted")

class Called(ListView):
    queryset, template_name = Item.objects.all(), "no.html"

async def slow(request):
    return HttpResponse("slow")

async def slow_called(request):
    return HttpResponse("slow")

@require_GET
def mine(request):
    return HttpResponse(str(request.user))

@require_GET
def streamed(request):
    return StreamingHttpResponse(iter(["a", "b"]))

def fails(request):
    raise RuntimeError("no")
"""
URLS = """
from django.urls import path
from shop import views

urlpatterns = [
    path("items/", views.items),
    path("items/<int:pk>/", views.item, name="item"),
    path("called/", views.called),
    path("inner/", views.inner),
    path("mixed/", views.Mixed.as_view()),
    path("called/class/", views.Called.as_view()),
    path("slow/", views.slow),
    path("slow/called/", views.slow_called),
    path("mine/", login_required(views.mine)),
    path("streamed/", views.streamed),
    path("fails/", views.fails),
    path("never/", views.items),
]
""".replace(
    "from shop import views", "from django.contrib.auth.decorators import login_required\nfrom shop import views"
)
TESTS = """
import asyncio, urllib.error, urllib.request
from django.contrib.auth.models import AnonymousUser, User
from django.test import LiveServerTestCase, RequestFactory, TestCase, TransactionTestCase, override_settings
from django.urls import path
from shop.models import Item
from shop.views import Called, called, inner, items, slow_called

urlpatterns = [path("never/", items)]

class SetUp(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.client_class().get("/items/")

    def test_nothing(self):
        pass

class Plain(TestCase):
    def test_missing(self):
        self.client.get("/items/7/")
        self.client.get("/nowhere/")
        self.client.get("/mixed")

    def test_mixed(self):
        self.client.get("/mixed/")
        self.client.put("/mixed/")

    def test_own_urls(self):
        with override_settings(ROOT_URLCONF=__name__):
            self.client.get("/never/")

    def test_mine(self):
        self.client.get("/mine/")
        self.client.force_login(User.objects.create(username="a"))
        with self.assertNumQueries(2):
            self.client.get("/mine/")
        with self.assertNumQueries(0):
            self.client.get("/streamed/").getvalue()

    def test_fails(self):
        with self.assertRaises(RuntimeError):
            self.client.get("/fails/")

class Direct(TestCase):
    def request(self):
        request = RequestFactory().get("/")
        request.user = User(username="a")
        return request

    def test_function(self):
        self.assertEqual(called(self.request()).status_code, 200)

    def test_class(self):
        Called.as_view()(self.request())

    def test_asynchronous(self):
        self.assertEqual(asyncio.run(slow_called(self.request())).status_code, 200)

class Asynchronous(TransactionTestCase):
    async def test_slow(self):
        await self.async_client.get("/slow/")

class Live(LiveServerTestCase):
    def test_live(self):
        urllib.request.urlopen(f"{self.live_server_url}/mixed/", data=b"a=b", timeout=20).close()
"""
T = "shop.tests.test_shop"
EXPECTED: dict[str, Any] = {
    "ANY /items/": ["tested", [200], [f"{T}.SetUp"], []],
    "GET /items/<int:pk>/": ["errors", [404], [f"{T}.Plain.test_missing"], []],
    "GET /called/": ["called", [], [], [f"{T}.Direct.test_function"]],
    "GET /called/class/": ["called", [], [], [f"{T}.Direct.test_class"]],
    # What a view calls by itself, while it is called directly, is called directly as well.
    "ANY /inner/": ["called", [], [], [f"{T}.Direct.test_function"]],
    "GET /mixed/": ["tested", [200], [f"{T}.Plain.test_mixed"], []],
    "POST /mixed/": ["tested", [200], [f"{T}.Live.test_live"], []],
    "ANY /slow/": ["tested", [200], [f"{T}.Asynchronous.test_slow"], []],
    "ANY /slow/called/": ["called", [], [], [f"{T}.Direct.test_asynchronous"]],
    "GET /mine/": ["tested", [200, 302], [f"{T}.Plain.test_mine"], []],
    "GET /streamed/": ["tested", [200], [f"{T}.Plain.test_mine"], []],
    "ANY /fails/": ["errors", [500], [f"{T}.Plain.test_fails"], []],
    "ANY /never/": ["untested", [], [], []],
}
ANONYMOUS = {"ANY /items/", "GET /items/<int:pk>/", "GET /mixed/", "POST /mixed/", "ANY /slow/", "ANY /fails/"}
TEXT = """
Routes: tests ask for 8 of 13 (61.5 %)
  No test asks for:
    GET /called/  shop.views.called, which shop.tests.test_shop.Direct.test_function calls past its route
    GET /called/class/  shop.views.Called, which shop.tests.test_shop.Direct.test_class calls past its route
    ANY /inner/  shop.views.inner, which shop.tests.test_shop.Direct.test_function calls past its route
    ANY /never/  shop.views.items
    ANY /slow/called/  shop.views.slow_called, which shop.tests.test_shop.Direct.test_asynchronous calls past its route
  Asked for with errors alone:
    ANY /fails/  500
    GET /items/<int:pk>/  404
  Asked for without a user alone:
    ANY /fails/  500
    GET /items/<int:pk>/  404
"""


def make(project: Project) -> Project:
    project.write({"shop/views.py": VIEWS, "shop/urls.py": URLS})
    project.settings(
        """
        ROOT_URLCONF = "shop.urls"
        ALLOWED_HOSTS = ["*"]
        STATIC_URL = MEDIA_URL = "/files/"
        INSTALLED_APPS += ["django.contrib.sessions"]
        MIDDLEWARE = [
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ]
        """
    )
    project.tests(TESTS)
    return project


@pytest.fixture
def shop(project: Project) -> Project:
    return make(project)


def document(project: Project) -> dict[str, Any]:
    return json.loads((project.folder / "reports" / "routes.json").read_text())


def told(project: Project) -> dict[str, Any]:
    endpoints = document(project)["endpoints"]
    return {key: [each[name] for name in ("state", "statuses", "tests", "callers")] for key, each in endpoints.items()}


def run(project: Project, *flags: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    result = project.run("--with-routes", *flags)
    assert result.returncode == status, result.stdout + result.stderr
    return result


def test_a_run_tells_what_its_tests_ask_for(shop):
    """In text, in the file and in the journal; tests need no more queries for it."""
    result = run(shop)
    assert TEXT in result.stderr
    assert "  routes  reports/routes.json\n" in result.stderr
    assert told(shop) == EXPECTED
    whole = document(shop)
    assert {key for key, each in whole["endpoints"].items() if each["anonymous"]} == ANONYMOUS
    assert whole["others"] == ["PUT /mixed/"]
    assert whole["endpoints"]["GET /items/<int:pk>/"]["view"] == "shop.views.item"
    facts = shop.facts()
    (section,) = [fact.data for fact in facts if isinstance(fact, RunMeasured) and fact.section == "routes"]
    assert section["figures"] == whole["figures"]
    (set_up,) = [fact for fact in facts if isinstance(fact, FixtureFinished) and fact.measures]
    assert set_up.id == f"{T}.SetUp"


@pytest.mark.parametrize("flags", [["--parallel=2"], ["--parallel=2", "--start-method=spawn"]], ids=" ".join)
def test_workers_tell_the_same(flags, shop):
    """Forked or spawned: and the file of budgets does not come between."""
    run(shop, *flags, "--query-budgets=record")
    assert told(shop) == EXPECTED
    assert "GET /mixed/" in (shop.folder / "query-budgets.toml").read_text()


def test_shards_and_their_merge_tell_the_same(shop):
    """The shards tell of no untested route, the merge of those that none of them asks for, and it alone fails for them."""
    assert set(run_shards(shop, 2, "--fail-untested-routes=all", "--routes-file=reports/r.json")) == {0}
    assert not list(shop.folder.glob("shards/*/**/r.json"))
    result = shop.run("merge", "shards")
    assert result.returncode == 2
    assert "5 routes that no test asks for: GET /called/, GET /called/class/, ANY /inner/ …" in result.stderr
    shutil.move(shop.folder / "reports" / "r.json", shop.folder / "reports" / "routes.json")
    assert told(shop) == EXPECTED


def git(folder: Path, *arguments: str) -> None:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def test_new_routes_are_those_that_the_commit_lacks(tmp_path):
    """The project of the merge base is loaded from its commit, also where it is not the whole repository."""
    site = make(Project(tmp_path / "site"))
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "before")
    git(tmp_path, "checkout", "-q", "-b", "work")
    urls = site.folder / "shop" / "urls.py"
    urls.write_text(urls.read_text() + 'urlpatterns.append(path("new/", views.items))\n')
    git(tmp_path, "commit", "-q", "-a", "-m", "after")
    site.tests(TESTS.partition("class Direct")[0])
    result = run(site, "--routes-base=main", "--fail-untested-routes=new", status=2)
    assert "  New since main, and no test asks for it:\n    ANY /new/  shop.views.items\n  No test" in result.stderr
    assert "1 route that no test asks for: ANY /new/" in result.stderr
    assert [key for key, each in document(site)["endpoints"].items() if each["new"]] == ["ANY /new/"]
    result = run(site, "--routes-base=gone", status=2)
    assert "--routes-base gone: there is no commit gone here: `git fetch --all` may bring it" in result.stderr
    assert "Ran" not in result.stderr
    run(site, "--routes-base=gone", "--shard=1/2")  # which leaves that to the run that joins the shards


def test_the_file_is_written_and_shrinks(shop):
    """Without it nothing is new, and that is said before anything runs; with it what is new fails, until it is tested."""
    result = run(shop, "--fail-untested-routes=new", status=2)
    assert "--update-untested-routes writes untested-routes.toml" in result.stderr
    assert "Ran" not in result.stderr
    shop.tests("from django.test import TestCase\nclass T(TestCase):\n    def test_it(self): pass")
    result = run(shop, "--fail-untested-routes=new", "--update-untested-routes", status=2)
    file = shop.folder / "untested-routes.toml"
    assert file.read_text().count(' = ""') == 13
    file.write_text(file.read_text().replace('"ANY /never/" = ""\n', ""))
    shop.tests(TESTS)
    result = run(shop, "--fail-untested-routes=new", "--update-untested-routes", status=2)
    assert "1 route that no test asks for and untested-routes.toml does not have: ANY /never/" in result.stderr
    assert [line for line in file.read_text().splitlines() if line.endswith(' = ""')] == [
        f'"{key}" = ""' for key in ("GET /called/", "GET /called/class/", "ANY /inner/", "ANY /slow/called/")
    ]
    result = run(shop, "--fail-untested-routes=all", "--pattern=test_s*.py")
    assert "Which ones no test asks for is told after a run of all tests" in result.stderr
