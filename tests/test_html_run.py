"""The report page of real runs: by every front, from a journal, and of shards that are joined."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.listeners.test_html import data_in, ids_in
from tests.projects import MIXED, Project

TESTS = (
    MIXED
    + """
from pathlib import Path

class FlakyTests(SimpleTestCase):
    def test_flaky(self):
        print("</script><script>hacked=1</script>\\u202e")
        tried = Path("tried")
        if not tried.exists():
            tried.touch()
            self.fail("at first")
"""
)


class Story(NamedTuple):
    """A run, its page, and the JSON document of its journal."""

    project: Project
    stderr: str
    page: dict[str, Any]
    document: dict[str, Any]


def page_at(project: Project, file: str = "reports/index.html") -> dict[str, Any]:
    return data_in((project.folder / file).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    project = Project(tmp_path_factory.mktemp("shop"))
    project.tests(TESTS)
    ran = project.run(
        "--html", "--with-cov", "--cover-package=shop", "--shuffle=77", "--retries=1", "--parallel=2", "-v0"
    )
    assert ran.returncode == 1, ran.stderr
    told = project.run("report", "--format=json", "--output=run.json")
    assert told.returncode == 1, told.stderr
    return Story(project, ran.stderr, page_at(project), json.loads((project.folder / "run.json").read_text()))


def test_the_page_says_what_the_journal_says(story):
    """Outcomes, totals, problems, attempts and workers on the page are those of the journal's JSON document."""
    page, document = story.page, story.document
    told = {test["id"]: test["outcome"] for test in document["tests"]}
    shown = ids_in(page)
    below = {id for id in shown if id not in told}
    assert {id: shown[id] for id in told} == told
    assert below == {f"shop.tests.test_shop.{name}.test_never" for name in ("BrokenClass", "SkippedClass")}
    totals = document["totals"]
    names = ("collected", "ran", "failures", "errors", "skipped", "flaky", "lost")
    assert {name: page["totals"][name] for name in names} == {name: totals[name] for name in names}
    assert len(page["tests"]["flaky"]) == totals["flaky"] == 1
    traces = {problem["traceback"] for test in document["tests"] for problem in test["problems"]}
    assert traces <= set(page["texts"])
    assert {fixture["id"] for fixture in page["fixtures"]} == {fixture["id"] for fixture in document["fixtures"]}
    assert sorted(lane["worker"] for lane in page["timeline"]["lanes"]) == sorted({test["worker"] for test in document["tests"]})  # fmt: skip


def test_a_failure_has_its_source_and_its_command(story):
    """The line that failed stands there with those around it, and the command runs that one test, which fails again."""
    page = story.page
    row = list(ids_in(page)).index("shop.tests.test_shop.DatabaseTests.test_fails")
    source = page["sources"][page["details"][str(row)]["problems"][0]["source"] - 1]
    assert "self.assertEqual(Item.objects.count(), 2)" in source["lines"][source["line"] - source["first"]]
    assert page["commands"]["program"] == "python -m testkit"
    again = story.project.run("shop.tests.test_shop.DatabaseTests.test_fails", "-v0")
    assert "Ran 1 test" in again.stderr
    assert again.returncode == 1


def test_the_environment_is_there(story):
    """Versions, the folder, how the databases were made, the seed of the shuffle and the coverage are on the page."""
    facts = dict(map(tuple, story.page["facts"]))
    assert facts["Seed of --shuffle"] == "77"
    assert facts["Folder"] == str(story.project.folder)
    assert facts["Databases"].startswith("default (SQLite")
    assert story.page["coverage"]["percent"] == story.document["measured"]["coverage"]["percent"]
    assert "report page" in story.document["measured"]["reports"]


def test_the_page_can_be_made_from_the_journal(story):
    """`report --html`, and `--format html`, make the same page of a past run but for the links beside it."""
    project = story.project
    (project.folder / "reports" / "index.html").unlink()
    run = ("--run", story.document["run"]["run"])
    assert project.run("report", *run, "--html", "--no-with-xunit").returncode == 1
    made = project.run("report", *run, "--format=html", "--output=other/page.html")
    assert "the report is in other/page.html" in made.stderr
    for page in (page_at(project), page_at(project, "other/page.html")):
        assert {**page, "reports": 0} == {**story.page, "reports": 0}


def test_a_killed_run_has_a_page(story):
    """From a journal that was cut off in a test, the page says that the run died, in which test, and what did not run."""
    project = story.project
    (journal,) = (project.folder / "reports" / "journal").glob(f"{story.document['run']['run']}.*")
    lines = journal.read_text().splitlines(keepends=True)
    cut = [place for place, line in enumerate(lines) if line.startswith('{"fact":"TestStarted"')][2]
    folder = project.folder / "cut"
    folder.mkdir()
    (folder / journal.name).write_text("".join(lines[: cut + 1]))
    made = project.run("report", "--journal=cut", "--format=html", "--output=cut/page.html")
    assert made.returncode == 2
    page = page_at(project, "cut/page.html")
    assert page["verdict"]["why"].startswith("the run's process died: ")
    assert json.loads(lines[cut])["id"] in ids_in(page)
    assert any(problem["type"] == "testkit.ProcessDied" for told in page["details"].values() for problem in told.get("problems", ()))  # fmt: skip
    assert "not run" in ids_in(page).values()


def test_shards_are_joined_into_one_page(project):
    """A merge writes the page that the shards were told to write, with the tests of all; the shards have their own."""
    project.tests(TESTS)
    project.tests(
        "from django.test import TestCase\nclass More(TestCase):\n    def test_more(self): pass\n", "test_more"
    )
    shown: dict[str, str] = {}
    for number in (1, 2):
        project.run(f"--shard={number}/2", "--with-html", "-v0")
        shown |= ids_in(page_at(project))
        shutil.move(project.folder / "reports", project.folder / f"part-{number}")
    merged = project.run("merge", "part-1", "part-2", "-v0")
    assert merged.returncode == 1, merged.stderr
    page = page_at(project)
    assert ids_in(page) == shown
    assert len(shown) == page["totals"]["collected"] == 12
    assert {lane["worker"] for lane in page["timeline"]["lanes"]} == {"1", "2"}


@pytest.mark.parametrize(
    ("front", "flag", "command"),
    [
        ("pytest", "--testkit-html", "python -m pytest shop/tests/test_shop.py::DatabaseTests::test_fails"),
        ("nose2", "--with-html", "python -m nose2 shop.tests.test_shop.DatabaseTests.test_fails"),
        ("manage.py", "--with-html", "python manage.py test shop.tests.test_shop.DatabaseTests.test_fails"),
    ],
)
def test_every_front_writes_it(project, front, flag, command):
    """pytest, nose2 and manage.py write the same page, each with the command that it is itself run by."""
    project.tests(MIXED)
    (project.folder / "pytest.ini").write_text(
        "[pytest]\nDJANGO_SETTINGS_MODULE = settings\npython_files = test_*.py\n"
    )
    project.nose2()
    ran = project.run(*(["shop"] if front != "pytest" else []), flag, front=front)
    assert "reports/index.html" in ran.stdout + ran.stderr
    page = page_at(project)
    shown = ids_in(page)
    row = list(shown).index("shop.tests.test_shop.DatabaseTests.test_fails")
    program = page["commands"]["program"]
    assert (page["commands"]["odd"].get(str(row)) or f"{program} {list(shown)[row]}") == command
    assert shown["shop.tests.test_shop.DatabaseTests.test_errs"] == "error"


def test_a_page_of_an_earlier_run_does_not_stay(project):
    """A run that is refused before its tests has taken the last run's page away, which is not its own."""
    project.tests(MIXED)
    page = Path(project.folder, "reports", "index.html")
    page.parent.mkdir()
    page.write_text("of yesterday")
    project.settings(
        'DATABASES["default"] |= {"ENGINE": "django.db.backends.postgresql", "HOST": "db.abc.eu-west-1.rds.amazonaws.com"}'
    )
    assert project.run("--with-html").returncode != 0
    assert not page.exists()
