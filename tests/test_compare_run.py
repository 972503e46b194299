"""`compare`: two versions of a real project are run, and what differs is told, as text, Markdown and JSON, with gates."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from testkit import cli
from tests.projects import ROOT, Project, clean_environment
from tests.test_shards_run import run_shards

BASE_VIEWS = """
from django.http import HttpResponse
from shop.models import Item

def books(request):
    return HttpResponse(", ".join(item.name for item in Item.objects.all()))

def loans(request):
    return HttpResponse(str(Item.objects.count()))
"""
HEAD_VIEWS = """
from django.http import HttpResponse
from shop.models import Item

def books(request):
    names = []
    for pk in Item.objects.values_list("pk", flat=True):
        names.append(Item.objects.get(pk=pk).name)
    return HttpResponse(", ".join(names))

def loans(request):
    if request.GET.get("late"):
        loans = Item.objects.filter(name__startswith="late")
        return HttpResponse(str(loans.count()))
    return HttpResponse(str(Item.objects.count()))
"""
URLS = """
from django.urls import path
from shop import views
urlpatterns = [path("library/books/", views.books), path("library/loans/", views.loans)]
"""
BASE_TESTS = """
import time
from django.test import TestCase
from shop.models import Item

class LibraryTests(TestCase):
    def test_books(self):
        Item.objects.bulk_create([Item(name=str(number)) for number in range(28)])
        self.client.get("/library/books/")
    def test_loans(self): self.client.get("/library/loans/")
    def test_breaks(self): pass
    def test_is_mended(self): self.fail("known")
    def test_goes(self): pass
    def test_is_skipped(self): pass
    def test_is_flaky(self): pass
    def test_is_slow(self): pass

class OtherTests(TestCase):
    def test_other(self): pass
"""
HEAD_TESTS = """
import time
from django.test import TestCase
from shop.models import Item

class LibraryTests(TestCase):
    seen = []
    def test_books(self):
        Item.objects.bulk_create([Item(name=str(number)) for number in range(28)])
        self.client.get("/library/books/")
    def test_loans(self): pass
    def test_breaks(self): self.fail("new")
    def test_is_mended(self): pass
    def test_comes(self): pass
    def test_is_skipped(self): self.skipTest("for now")
    def test_is_flaky(self):
        self.seen.append(1)
        self.assertEqual(len(self.seen), 2)
    def test_is_slow(self): time.sleep(0.8)

class OtherTests(TestCase):
    @classmethod
    def setUpClass(cls): raise RuntimeError("no class")
    def test_other(self): pass
"""
LIBRARY = "shop.tests.test_shop.LibraryTests"


def make(project: Project) -> None:
    project.write({"shop/urls.py": URLS, "query-budgets.toml": "[budgets]\n"})
    project.settings("ROOT_URLCONF = 'shop.urls'\nALLOWED_HOSTS = ['*']")


def become(project: Project, views: str, tests: str) -> None:
    project.write({"shop/views.py": views})
    project.tests(tests)


class Both:
    """The reports of the base and of the head, and ways to compare them."""

    def __init__(self, folder: Path) -> None:
        self.base, self.head = folder / "base", folder / "head"


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    """The two versions of the project, each run once."""
    folder = tmp_path_factory.mktemp("compare")
    project, found = Project(folder), Both(folder)
    make(project)
    for views, tests, place in ((BASE_VIEWS, BASE_TESTS, found.base), (HEAD_VIEWS, HEAD_TESTS, found.head)):
        become(project, views, tests)
        result = project.run("--with-routes", "--with-cov", "--cover-package=shop", "--retries=1")
        assert result.returncode == 1, result.stderr
        shutil.move(project.folder / "reports", place)
    return found


@pytest.fixture
def compare(both: Both, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Compare them with some flags: the status, and what was printed."""

    def run(*flags: str, base: Path = both.base, head: Path = both.head) -> tuple[int, str, str]:
        status = cli.main(["compare", str(base), str(head), *flags])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def test_all_that_differs_is_told_as_text(compare):
    """Tests, queries by route, routes, coverage and times that differ have a line each, and without gates nothing fails."""
    status, text, said = compare()
    assert (status, said) == (0, "")
    for line in (
        f"{LIBRARY}.test_breaks: passed → failed",
        "shop.tests.test_shop.OtherTests (setUpClass): passed → failed",
        "shop.tests.test_shop.OtherTests.test_other: passed → not run",
        f"GET /library/books/: 1 → 29 queries, in {LIBRARY}.test_books",
        "ANY /library/loans/: tested → untested",
        f"{LIBRARY}.test_goes: passed → not there",
        f"{LIBRARY}.test_is_skipped: passed → skipped",
        f"{LIBRARY}.test_is_flaky: passed → flaky",
        f"{LIBRARY}.test_is_mended: failed → passed",
        f"{LIBRARY}.test_comes: new, passed",
        "GET /library/loans/: 1 query before",
    ):
        assert f"\n  {line}\n" in text, line
    assert re.search(rf"\nSlower: \d+\n  {re.escape(LIBRARY)}.test_is_slow: 0\.\d\d s → ", text)
    assert " % in all\n" in text


def test_a_pull_request_is_told_by_a_comment(compare, tmp_path):
    """The Markdown begins with what is worse, fits a comment, and is written to the file that is asked for."""
    path = tmp_path / "out" / "comment.md"
    status, out, _ = compare("--format", "markdown", "--output", str(path), "--fail-on", "new-failures,queries")
    text = path.read_text(encoding="utf-8")
    assert (status, out) == (1, "")
    mark, headline = text.splitlines()[0], text.splitlines()[2]
    assert mark == "<!-- testkit compare -->"
    assert headline.startswith("### Tests: 2 new failures, 1 not run, 1 endpoint with more queries, ")
    assert f"- `GET /library/books/`: 1 → 29 queries, in `{LIBRARY}.test_books`" in text
    assert text.index("**New failures") < text.index("**More queries") < text.index("<details>") < text.index("**Fixed")
    assert "\n**Failed by new-failures, queries**\n" in text
    assert len(text) < 65_536


BREAKS = {
    "new-failures": "2 new: ",
    "not-run": "1 not run any more: ",
    "gone": "1 gone: ",
    "skipped": "1 skipped now: ",
    "flaky": "1 newly flaky: ",
    "queries": "1 with more queries: GET /library/books/ (1 → 29)",
    "routes": "1 no longer tested: ANY /library/loans/",
    "coverage": " points less",
    "slower": f" slower: {LIBRARY}.test_is_slow",  # what is slower by most; on a busy machine others may be, too
}


def test_each_gate_fails_by_its_own_change_and_none_by_nothing(compare, both):
    """Each gate exits with 1 and its reason, a run compared with itself breaks none, and limits let changes pass."""
    for gate, reason in BREAKS.items():
        status, _, said = compare("--fail-on", gate)
        assert status == 1, gate
        assert said.startswith(f"testkit: {gate}: ")
        assert reason in said
    status, _, said = compare("--fail-on", "all")
    assert status == 1
    assert "testkit: --fail-on screenshots: not judged: BASE and HEAD did not measure it\n" in said
    assert compare("--fail-on", "all", head=both.base)[0] == 0
    assert compare("--fail-on", "queries", "--more-queries", "28")[0] == 0
    assert compare("--fail-on", "queries", "--more-queries", "27")[0] == 1
    assert compare("--fail-on", "coverage", "--coverage-drop", "99")[0] == 0
    assert compare("--fail-on", "slower", "--slower-seconds", "9")[0] == 0


def test_what_cannot_be_judged_is_said(compare, both, tmp_path):
    """Unknown gates, wrong numbers, places without a run, and a gate on what HEAD never measured end with status 2."""
    status, _, said = compare("--fail-on", "new-failures,slow")
    assert status == 2
    assert "--fail-on 'slow' is no gate: give new-failures, not-run, " in said
    status, _, said = compare("--fail-on", "screenshots")
    assert status == 2
    assert said == "testkit: --fail-on screenshots: HEAD has none: run it with --with-needle\n"
    status, _, said = compare(base=tmp_path)
    assert status == 2
    assert "has no journal" in said
    status, _, said = compare(base=tmp_path / "no")
    assert status == 2
    assert "does not exist" in said
    for flags in (["--slower", "1"], ["--slower", "nan"], ["--more-queries", "-1"], ["--coverage-drop", "inf"]):
        with pytest.raises(SystemExit) as error:
            compare(*flags)
        assert error.value.code == 2


def test_documents_and_journals_come_to_the_same(compare, both, tmp_path, capsys):
    """The JSON document of `report` stands for its journal, and the JSON of a comparison has all that text has."""
    documents = {}
    for place in (both.base, both.head):
        documents[place] = tmp_path / f"{place.name}.json"
        cli.main(["report", "--journal", str(place), "--format", "json", "--output", str(documents[place])])
    capsys.readouterr()
    _, text, _ = compare("--format", "json", "--fail-on", "all")
    of_journals = json.loads(text)
    assert text.isascii()
    _, text, _ = compare("--format", "json", "--fail-on", "all", base=documents[both.base], head=documents[both.head])
    of_documents = json.loads(text)
    for found in (of_journals, of_documents):
        del found["base"], found["head"], found["timings"]  # a document has no time of a set-up that passed
    fixture = of_documents["tests"]["new-failures"][-1]
    assert fixture == {"name": "shop.tests.test_shop.OtherTests (setUpClass)", "before": "not there", "after": "failed"}
    fixture["before"] = "passed"
    assert of_documents == of_journals
    assert of_journals["queries"][0] == {
        "endpoint": "GET /library/books/",
        "before": 1,
        "after": 29,
        "test": f"{LIBRARY}.test_books",
    }
    assert {gate for gate, reason in of_journals["gates"].items() if reason} == set(BREAKS)


def test_the_step_of_the_guide_writes_the_comment(both, tmp_path):
    """GitHub's step as the guide has it compares, comments by `gh`, fills the summary, and fails by its gates alone."""
    (source,) = re.findall(
        r"```yaml\n(name: Tests.*?)```", (ROOT / "docs/how-to/compare-runs.md").read_text(), re.DOTALL
    )
    steps = YAML(typ="safe").load(source)["jobs"]["test"]["steps"]
    (step,) = [step for step in steps if step.get("name") == "Compare"]
    gh = tmp_path / "bin" / "gh"
    gh.parent.mkdir()
    gh.write_text('#!/bin/sh\necho "$@" > asked\ncp compare.md comment.md\n')
    gh.chmod(0o755)
    (tmp_path / "base").symlink_to(both.base)
    path = f"{gh.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    for head, status in ((both.head, 1), (both.base, 0)):
        (tmp_path / "reports").unlink(missing_ok=True)
        (tmp_path / "reports").symlink_to(head)
        environment = clean_environment(PATH=path, NUMBER="12", GITHUB_STEP_SUMMARY=str(tmp_path / "summary.md"))
        done = subprocess.run(
            ["bash", "-e", "-c", step["run"]], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == status, done.stderr
    assert (tmp_path / "asked").read_text().split() == [
        *("pr", "comment", "12", "--edit-last", "--create-if-none", "--body-file", "compare.md")
    ]
    assert "### Tests: nothing differs" in (tmp_path / "comment.md").read_text()
    assert "1 → 29 queries" in (tmp_path / "summary.md").read_text()


def test_shards_are_one_run_merged_or_not(project, capsys):
    """The reports of all shards, as they come from their machines, compare like the run that they are merged into."""
    make(project)
    become(project, BASE_VIEWS, BASE_TESTS)
    assert 1 in run_shards(project, 2)
    merged = project.run("merge", "shards/1", "shards/2")
    assert merged.returncode == 1, merged.stderr
    status = cli.main(["compare", str(project.folder / "shards"), str(project.folder / "reports"), "--format", "json"])
    told = json.loads(capsys.readouterr().out)
    assert status == 0
    ((base,), (head,)) = told["base"]["runs"], told["head"]["runs"]
    assert (base["tests"], base["joined"], head["tests"], head["joined"]) == (9, True, 9, False)
    assert not any(told["tests"].values())
    assert told["queries"] == told["timings"]["slower"] == told["timings"]["faster"] == []
