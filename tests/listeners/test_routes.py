"""From what tests note, and the routes there are, follow text, JSON, the file of untested routes, and the verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest

from testkit.core.errors import OptionError, TestkitError
from testkit.core.events import FixtureFinished, Outcome, RunFinished, RunMeasured, TestFinished
from testkit.core.tally import Tally
from testkit.coverage.routes.options import RouteOptions
from testkit.endpoints.routes import Route
from testkit.listeners.routes import RoutesListener

ROUTES = [
    Route("/", ("ANY",), "app.views.home", "home", True),
    Route("/books/", ("GET", "POST"), "app.views.Books", "books", True),
    Route("/loans/", ("GET",), "app.views.Loans", "loans", True),
    Route("/old/", ("GET",), "app.views.old", "", True),
    Route("/secret/", ("GET",), "app.views.secret", "", True),
    Route("/admin/", ("ANY",), "django.admin", "admin:index", False),
]
ASKED = {
    "a": {
        "asked": {"POST /": {"user": [200, 302]}, "GET /books/": {"anonymous": [200]}, "PUT /books/": {"user": [405]}}
    },
    "b": {"asked": {"GET /books/": {"anonymous": [404, 200]}, "GET /secret/": {"anonymous": [403]}}},
    "c": {"called": ["app.views.Loans", "app.views.other", "app.views.Books"]},
}


def ended(name, measure, outcome=Outcome.PASSED):
    return TestFinished(id=name, class_id="C", at=0, seconds=1, outcome=outcome, measures={"routes": measure})


FACTS = [ended(name, measure) for name, measure in ASKED.items()]


class Heard(NamedTuple):
    data: dict
    listener: RoutesListener

    @property
    def lines(self):
        return self.data["text"].splitlines()


class Base:
    name = "main"

    def __init__(self, *keys):
        self.keys = keys

    def endpoints(self):
        if not self.keys:
            raise TestkitError("the routes of main cannot be listed")
        return frozenset(self.keys)


@pytest.fixture
def hear(tmp_path, monkeypatch):
    """Return what a listener hands over at the end of the given facts, and the listener."""
    monkeypatch.chdir(tmp_path)

    def hear(*facts, end=None, routes=ROUTES, base=None, is_whole=True, is_part=False, parts=0, **options):
        handed, tally = [], Tally()
        listener = RoutesListener(
            lambda name, data: handed.append((name, data)),
            RouteOptions(**options),
            tally,
            routes=None if routes is None else lambda: routes,
            base=base,
            is_whole=is_whole,
            is_part=is_part,
            parts=parts,
        )
        for fact in (*(facts or FACTS), end or RunFinished(at=0, seconds=1)):
            tally(fact)
            listener(fact)
        ((name, data),) = handed
        assert name == "routes"
        assert json.loads(json.dumps(data)) == data
        return Heard(data, listener)

    return hear


def untested_file(tmp_path):
    return tmp_path / "untested-routes.toml"


def test_each_endpoint_has_its_state(hear, tmp_path):
    """Tested, with errors alone, called past its route, or not at all; the file has the tests, the section their number."""
    section = hear().data
    document = json.loads((tmp_path / "reports" / "routes.json").read_text())
    assert {key: each["state"] for key, each in document["endpoints"].items()} == {
        "ANY /": "tested",
        "GET /books/": "tested",
        "POST /books/": "called",
        "GET /loans/": "called",
        "GET /old/": "untested",
        "GET /secret/": "errors",
        "ANY /admin/": "untested",
    }
    books = document["endpoints"]["GET /books/"]
    assert (books["tests"], books["statuses"], books["callers"]) == (["a", "b"], [200, 404], ["c"])
    assert (books["anonymous"], document["endpoints"]["ANY /"]["anonymous"]) == (True, False)
    assert document["others"] == ["PUT /books/"]
    assert document["figures"] == {
        "endpoints": 6,
        "asked": 3,
        "tested": 2,
        "errors": 1,
        "called": 2,
        "untested": 1,
        "anonymous": 2,
        "percent": 50.0,
    }
    numbers = {"tests": 2, "callers": 1}
    assert section["endpoints"]["GET /books/"] == {**books, **numbers}
    assert {**document, "endpoints": 0} == {
        **{name: section[name] for name in section if name != "text"},
        "endpoints": 0,
        "kind": "testkit routes",
        "version": 1,
    }


def test_the_text_tells_them_apart(hear):
    assert hear().lines == [
        "",
        "Routes: tests ask for 3 of 6 (50.0 %)",
        "  No test asks for:",
        "    POST /books/  app.views.Books, which c calls past its route",
        "    GET /loans/  app.views.Loans, which c calls past its route",
        "    GET /old/  app.views.old",
        "  Asked for with errors alone:",
        "    GET /secret/  403",
        "  Asked for without a user alone:",
        "    GET /secret/  403",
        "    GET /books/  200, 404",
    ]


def test_where_nobody_signs_in_nothing_is_told_of_users(hear):
    assert "without a user" not in hear(ended("b", ASKED["b"])).data["text"]


def test_a_set_up_asks_as_well(hear):
    """What setUpTestData asks for is asked for by the class; attempts that were repeated count."""
    set_up = FixtureFinished(id="app.C", phase="setUpClass", at=0, seconds=1, measures={"routes": ASKED["b"]})
    heard = hear(set_up, ended("a", ASKED["a"])._replace(final=False))
    assert heard.data["endpoints"]["GET /books/"]["tests"] == 2
    assert heard.data["endpoints"]["ANY /"]["state"] == "tested"


def test_what_a_test_notes_by_that_name_harms_nothing(hear):
    assert hear(ended("a", "by record_property")).data["figures"]["asked"] == 0


@pytest.mark.parametrize(
    ("end", "is_whole"),
    [
        (None, False),
        (RunFinished(at=0, seconds=1, lost=("t",)), True),
        (RunFinished(at=0, seconds=1, not_run=("t",)), True),
        (RunFinished(at=0, seconds=1, interrupted="SIGINT"), True),
    ],
)
def test_a_part_of_the_tests_cannot_tell_what_is_untested(end, is_whole, hear, tmp_path):
    """Nor fail for it, nor begin the file."""
    heard = hear(end=end, is_whole=is_whole, fail_untested_routes="all", update_untested_routes=True)
    assert "  Which ones no test asks for is told after a run of all tests" in heard.lines
    assert "/old/" not in heard.data["text"]
    assert (heard.data["failing"], heard.listener.problem) == ([], "")
    assert not untested_file(tmp_path).exists()


def test_all_untested_routes_may_fail_a_run(hear, tmp_path):
    """What is ignored does not, what the file allows does."""
    untested_file(tmp_path).write_text('ignore = ["/old/"]\n[untested]\n"GET /loans/" = ""')
    heard = hear(fail_untested_routes="all")
    assert heard.data["failing"] == ["POST /books/", "GET /loans/"]
    assert heard.listener.problem == "2 routes that no test asks for: POST /books/, GET /loans/"


def test_new_untested_routes_may_fail_a_run(hear, tmp_path):
    """New is what neither the file nor the commit has; the text parts them."""
    untested_file(tmp_path).write_text('[untested]\n"GET /loans/" = ""\n"GET /books/" = ""\n"GET /gone/" = ""')
    heard = hear(fail_untested_routes="new")
    assert heard.data["failing"] == ["POST /books/", "GET /old/"]
    assert heard.listener.problem == (
        "2 routes that no test asks for and untested-routes.toml does not have: POST /books/, GET /old/"
    )
    assert heard.lines[5:10] == [
        "  Untested so far, by untested-routes.toml: 1",
        "  In untested-routes.toml, and tested or gone by now (--update-untested-routes takes them out):",
        "    GET /books/",
        "    GET /gone/",
        "  Asked for with errors alone:",
    ]
    before = Base("GET /", "POST /books/", "GET /loans/")
    heard = hear(fail_untested_routes="new", base=before)
    assert heard.data["failing"] == ["GET /old/"]
    assert heard.lines[2:6] == [
        "  New since main, and no test asks for it:",
        "    GET /old/  app.views.old",
        "  No test asks for:",
        "    POST /books/  app.views.Books, which c calls past its route",
    ]
    assert [key for key, each in heard.data["endpoints"].items() if each["new"]] == [
        "ANY /admin/",
        "GET /books/",
        "GET /old/",
        "GET /secret/",
    ]


def test_a_view_that_comes_to_tell_its_methods_is_not_new(hear):
    heard = hear(base=Base("ANY /books/", "GET /", "ANY /loans/", "ANY /old/", "ANY /secret/", "ANY /admin/"))
    assert not [key for key, each in heard.data["endpoints"].items() if each["new"]]


def test_a_commit_that_cannot_be_read_fails_the_run(hear):
    """What is new is not known then."""
    heard = hear(base=Base(), fail_untested_routes="new")
    assert heard.listener.problem == "the routes of main cannot be listed"
    assert heard.data["failing"] == []


def test_the_file_is_begun_and_only_shrinks(hear, tmp_path):
    """A run of all tests begins it; after that routes leave it, and none is added."""
    path = untested_file(tmp_path)
    heard = hear(ended("a", {}), update_untested_routes=True)
    assert heard.lines[-1] == "  Written to untested-routes.toml: 6"
    begun = path.read_text()
    assert '"ANY /" = ""\n"GET /books/" = ""\n"POST /books/" = ""\n' in begun
    heard = hear(ended("a", ASKED["a"]), update_untested_routes=True, is_whole=False, routes=ROUTES[:-3])
    assert heard.lines[-1] == "  Taken out of untested-routes.toml: ANY /, GET /books/, GET /old/, GET /secret/"
    assert path.read_text().partition("[untested]\n")[2] == '"POST /books/" = ""\n"GET /loans/" = ""\n'
    hear(ended("a", {}), update_untested_routes=True)
    assert path.read_text().partition("[untested]\n")[2] == '"POST /books/" = ""\n"GET /loans/" = ""\n'


def test_a_run_that_failed_begins_no_file(hear, tmp_path):
    """A test that was cut short may have wanted to ask for more."""
    failed = RunMeasured(section="other", data={})
    heard = hear(
        ended("a", {}, Outcome.UNEXPECTED_SUCCESS), failed, update_untested_routes=True, fail_untested_routes="new"
    )
    assert "  Not written: a file is begun by a run of all tests, and they have to pass" in heard.lines
    assert not untested_file(tmp_path).exists()


def test_a_shard_hands_over_the_routes_and_the_merge_joins_them(hear, tmp_path):
    parts = [hear(fact, routes=ROUTES[number:], is_part=True).data for number, fact in enumerate(FACTS)]
    assert not (tmp_path / "reports").exists()
    sections = [RunMeasured(section="routes", data=json.loads(json.dumps(part))) for part in parts]
    joined = hear(*FACTS, *sections, routes=None, parts=3)
    whole = hear()
    assert joined.data["endpoints"] == {key: whole.data["endpoints"][key] for key in joined.data["endpoints"]}
    assert set(joined.data["endpoints"]) == set(whole.data["endpoints"])
    assert joined.data["figures"] == whole.data["figures"]
    some = sections[0]._replace(data={**sections[0].data, "whole": False})
    assert not hear(*FACTS, some, *sections[1:], routes=None, parts=3).data["whole"]


def test_a_shard_that_noted_nothing_is_told(hear):
    section = RunMeasured(section="routes", data=hear(is_part=True).data)
    heard = hear(*FACTS, section, routes=None, parts=2, fail_untested_routes="all")
    assert "1 of 2 shards have not noted which routes they ask for" in heard.listener.problem
    assert heard.data["text"] == f"\nRoutes: {heard.listener.problem}"


def test_urls_that_cannot_be_imported_fail_the_run(hear):
    def broken():
        yield ROUTES[0]
        raise ImportError("no module named shop")

    heard = hear(routes=broken())
    assert heard.listener.problem == "the routes of the project cannot be listed: ImportError: no module named shop"


def test_what_cannot_be_written_fails_the_run(hear, tmp_path):
    """And the text is there all the same."""
    (tmp_path / "taken").write_text("")
    heard = hear(routes_file=tmp_path / "taken" / "routes.json", update_untested_routes=True)
    assert "the routes cannot be written" in heard.listener.problem
    assert "Routes: tests ask for 3 of 6 (50.0 %)" in heard.lines
    heard = hear(untested_routes_file=Path("/proc/untested.toml"), update_untested_routes=True)
    assert "cannot be written" in heard.listener.problem


def test_a_file_with_a_mistake_ends_the_run_before_it_begins(hear, tmp_path):
    untested_file(tmp_path).write_text("oops = 1")
    with pytest.raises(OptionError):
        hear()
