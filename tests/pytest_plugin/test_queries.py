"""Query budgets under pytest: fixtures, the marker, and those of the suite, with and without workers."""

from __future__ import annotations

import pytest

from testkit.core.events import RunMeasured, TestFinished
from tests.projects import Project

VIEWS = """
from django.http import HttpResponse
from shop.models import Item

def items(request):
    return HttpResponse(str(Item.objects.count()) + str(Item.objects.first()))
"""
TESTS = """
import pytest
from django.test import TestCase
from shop.models import Item

pytestmark = pytest.mark.django_db

def make(n):
    for i in range(n):
        Item.objects.create(name="x")

def test_query_budget(query_budget):
    with query_budget(1):
        Item.objects.count()
    with pytest.raises(AssertionError, match="Expected at most 1 query, but 2 queries ran"):
        query_budget(1, lambda: [Item.objects.count(), Item.objects.count()])

def test_constant(assert_constant_num_queries):
    assert_constant_num_queries(make, lambda: list(Item.objects.all()))
    with pytest.raises(AssertionError, match="not to grow"):
        assert_constant_num_queries(make, lambda: [item.refresh_from_db() for item in Item.objects.all()])

def test_no_duplicates(assert_no_duplicate_queries):
    with pytest.raises(AssertionError, match="repeated"), assert_no_duplicate_queries():
        for _ in range(3):
            Item.objects.count()

def test_index(assert_uses_index):
    assert_uses_index(Item.objects.filter(pk=1))
    with pytest.raises(AssertionError):
        assert_uses_index(Item.objects.filter(name="x"))

@pytest.fixture
def five():
    make(5)

@pytest.mark.max_num_queries(1)
def test_within(five):
    Item.objects.count()

@pytest.mark.max_num_queries(0, using="default")
def test_over(): Item.objects.count()

@pytest.mark.max_num_queries("some")
def test_wrong_marker(): pass

@pytest.mark.max_num_queries(1)
class Cases(TestCase):
    def setUp(self):
        make(3)
    def test_within(self): Item.objects.count()
    def test_over(self): make(2)
    async def test_awaited(self): await Item.objects.acount()
    async def test_awaited_over(self): [await Item.objects.acount(), await Item.objects.acount()]

def test_request(client):
    client.get("/items/")

class RequestTests(TestCase):
    def test_request(self): self.client.get("/items/")
"""


@pytest.fixture
def shop(project: Project) -> Project:
    project.write({"shop/views.py": VIEWS, "urls.py": """
        from django.urls import path
        from shop.views import items
        urlpatterns = [path("items/", items), path("never/", items)]
    """})  # fmt: skip
    project.settings("ROOT_URLCONF = 'urls'\nALLOWED_HOSTS = ['*']")
    project.tests(TESTS)
    return project


def test_fixtures_and_the_marker(shop, run):
    """Each fixture asserts what it says; the marker counts the test's own queries, of a test case without its set-up, and when it is awaited."""
    result = run()
    assert "4 failed, 9 passed" in result.stdout, result.stdout
    assert "Expected at most 0 queries on default, but 1 query ran" in result.stdout
    assert "@pytest.mark.max_num_queries('some'): give a number" in result.stdout
    assert result.stdout.count("Expected at most 1 query, but 2 queries ran") >= 2
    assert "FAILED shop/tests/test_shop.py::Cases::test_awaited_over" in result.stdout


def test_the_budgets_of_the_suite(shop, run):
    """Budgets are recorded, checked also in workers, and their standing is told; a broken one fails the test."""
    result = run("-k", "request", "--testkit-query-budgets=record", "--testkit-journal")
    assert result.returncode == 0, result.stdout
    budgets = shop.folder / "query-budgets.toml"
    assert '"GET /items/" = 2' in budgets.read_text()
    assert "Recorded: 1 new budget" in result.stdout
    costs = {fact.id: fact.measures["queries"]["routes"] for fact in shop.facts() if isinstance(fact, TestFinished)}
    assert [*costs] == ["shop.tests.test_shop.RequestTests.test_request", "shop.tests.test_shop.test_request"] or [
        *costs
    ] == ["shop.tests.test_shop.test_request", "shop.tests.test_shop.RequestTests.test_request"]
    assert all(routes["GET /items/"]["queries"] == 2 for routes in costs.values())

    budgets.write_text(budgets.read_text().replace("= 2", "= 1"))
    result = run("-n2", "--testkit-journal", "--testkit-routes")
    assert "GET /items/ made 2 queries; its budget is 1" in result.stdout
    assert "6 failed" in result.stdout
    assert "Routes that no test requests" in result.stdout  # all tests were asked for
    assert "Routes: tests ask for 1 of 2" in result.stdout
    assert "ANY /never/" in result.stdout.partition("Routes: tests ask for 1 of 2")[2]
    (standing,) = (f.data for f in shop.facts() if isinstance(f, RunMeasured) and f.section == "budgets")
    assert [*standing["over"]] == ["GET /items/"]
    assert standing["never"] == ["/never/"]

    shop.write({"conftest.py": """
    def pytest_collection_modifyitems(config, items):
        config.hook.pytest_deselected(items=[items.pop()])
    """})  # fmt: skip
    result = run("-n2", "--testkit-routes")
    assert "Which ones no test asks for is told after a run of all tests" in result.stdout
    assert "ANY /never/" not in result.stdout
