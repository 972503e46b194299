"""One suite, told alike by every way to run it: ids, outcomes, messages and the reports are those of one process."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest
from coverage import CoverageData

from testkit.core.events import FixtureFinished, Outcome, Problem, SubTestFinished, TestFinished
from tests.projects import MIXED, Project, clean_environment, counts_skipped_tests
from tests.test_shards_run import run_shards

MODULE = """
from django.test import TestCase

def setUpModule():
    raise OSError("no module")

class NeverTests(TestCase):
    def test_never(self): pass
"""
MORE = """
import sys, unittest
from unittest.mock import patch
from django.test import SimpleTestCase, TestCase
from shop.models import Item

class Told(Exception):
    def __init__(self, one, two):  # cannot be made again from its arguments, so it cannot be unpickled
        super().__init__("told once")

class WordsTests(TestCase):
    def test_an_exception_of_its_own(self):
        raise Told(1, 2)

    def test_prints_and_fails(self):
        print("on the way out"); print("and beside it", file=sys.stderr)
        self.assertEqual([*range(30)], [*range(29)])

    def test_subtests_of_each_kind(self):
        for number, action in enumerate([lambda: None, lambda: 1 / 0, lambda: self.fail("no"), lambda: self.skipTest("n/a")]):
            with self.subTest(action=number):
                action()

class InheritedTests(WordsTests):
    pass

class CleanupTests(TestCase):
    def tearDown(self):
        raise OSError("in tearDown")

    def test_passes_but_for_the_end(self):
        Item.objects.create(name="pen")

class TornClassTests(SimpleTestCase):
    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        raise OSError("in tearDownClass")

    def test_passes(self):
        pass
"""
Story = tuple[frozenset[tuple[str, ...]], Mapping[str, str | None]]


def story_of(project: Project) -> Story:
    """Return what the facts say of every test, subtest and bad fixture, and the counts of the xunit file."""
    told = set()
    for fact in project.facts():
        match fact:
            case TestFinished():
                told.add(("test", fact.id, *described(fact.outcome, fact.problems, fact.reason)))
            case SubTestFinished():
                told.add(("subtest", fact.id, *described(fact.outcome, filter(None, [fact.problem]), fact.reason)))
            case FixtureFinished() if fact.outcome is not Outcome.PASSED:  # good ones depend on how classes are divided
                told.add((fact.phase, fact.id, *described(fact.outcome, fact.problems, fact.reason)))
    root = project.xunit()
    return frozenset(told), {name: root.get(name) for name in ("tests", "failures", "errors", "skipped")}


def described(outcome: Outcome, problems: Iterable[Problem], reason: str) -> list[str]:
    """Return the outcome, the problems and the reason in words, of a traceback the last line, of an object its kind."""
    words = [*(f"{problem.outcome}: {problem.type}: {problem.message}" for problem in problems), reason]
    # What failed as expected has its traceback as the reason, and what cannot be imported has the loader's.
    lines = [re.sub("(?s)Traceback.*\n(?=.)", "", text.rstrip()) for text in words]
    return [str(outcome), *(re.sub("0x[0-9a-f]+", "0x", text) for text in lines)]


def serial(project: Project) -> None:
    project.run("--with-xunit")


def parallel(*flags: str) -> Callable[[Project], None]:
    def run(project: Project) -> None:
        project.run("--with-xunit", "--parallel=2", *flags)

    return run


def merged(total: int, *flags: str) -> Callable[[Project], None]:
    def run(project: Project) -> None:
        run_shards(project, total, "--with-xunit", *flags)
        result = project.run("merge", "shards")
        assert result.returncode == 1, result.stderr

    return run


def nose2(*flags: str) -> Callable[[Project], None]:
    def run(project: Project) -> None:
        project.nose2("nose2.plugins.mp")
        project.run("--with-xunit", *flags, front="nose2")

    return run


def by_pytest(*flags: str) -> Callable[[Project], None]:
    def run(project: Project) -> None:
        given = ["--ds=settings", "--continue-on-collection-errors", "--testkit-journal", "--testkit-xunit", *flags]
        project.run(*given, str(project.folder / "shop" / "tests"), front="pytest", timeout=180)

    return run


def pytest_shards(project: Project) -> None:
    elsewhere = Project.__new__(Project)  # as on another machine
    elsewhere.folder = Path(shutil.copytree(project.folder, project.folder.parent / "workspace" / "of two"))
    for number, where, workers in ((1, project, []), (2, elsewhere, ["-n2"])):
        by_pytest(f"--testkit-shard={number}/2", *workers)(where)
        (where.folder / "reports").rename(project.folder / f"shard{number}")
    result = project.run("merge", "shard1", "shard2")
    assert result.returncode == 1, result.stderr


def reported(project: Project) -> None:
    """The journal alone: what a run that was killed has left."""
    serial(project)
    (project.folder / "reports" / "xunit.xml").unlink()
    project.run("report", "--with-xunit")


WAYS: Mapping[str, Callable[[Project], None]] = {
    "once more": serial,
    "shuffled": lambda project: project.run("--with-xunit", "--shuffle=7") and None,
    "forked workers": parallel(),
    "spawned workers": parallel("--start-method=spawn"),
    "workers from a server": parallel("--start-method=forkserver"),
    "two shards": merged(2),
    "three parallel shards": merged(3, "--parallel=2"),
    "report": reported,
    "nose2": nose2(),
    "nose2's processes": nose2("-N", "2"),
    "pytest": by_pytest(),
    "pytest's workers": by_pytest("-n2"),
    "pytest's shards": pytest_shards,
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Story]:
    """The project after a serial run, and what that told."""
    project = Project(tmp_path_factory.mktemp("story") / "project")
    project.tests(MIXED)
    project.tests(MORE, "test_more")
    project.tests(MODULE, "test_module")
    project.tests("import nothing_of_that_name", "test_broken")
    serial(project)
    return project.folder, story_of(project)


@pytest.fixture
def copy(told: tuple[Path, Story], tmp_path: Path) -> Project:
    project = Project.__new__(Project)
    project.folder = tmp_path / "copy"
    shutil.copytree(told[0], project.folder, ignore=shutil.ignore_patterns("reports", ".testkit"))
    return project


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_every_way_tells_the_same(way, told, copy):
    way(copy)
    story, counts = story_of(copy)
    assert (story - told[1][0], told[1][0] - story) == (set(), set())
    assert counts == told[1][1]


def measured(project: Project) -> Mapping[str, list[int]]:
    """Return the lines of the app that ran, by file."""
    data = CoverageData(basename=str(project.folder / "reports" / "coverage.data"))
    data.read()
    files = {Path(file).relative_to(project.folder): data.lines(file) for file in data.measured_files()}
    # Without --parallel templates are there after the first run, so that no migration runs.
    return {str(file): sorted(lines or ()) for file, lines in files.items() if "migrations" not in file.parts}


def test_pytest_covers_the_same_lines(copy):
    """Under `coverage run`, also with pytest-xdist, pytest runs the lines of the project that our runner runs."""
    copy.write({".coveragerc": """
        [run]
        source = shop
        data_file = reports/coverage.data
        patch = subprocess
    """})  # fmt: skip
    copy.run("--with-cov")
    expected = measured(copy)
    assert sum(map(len, expected.values())) > 50
    flags = ["--ds=settings", "--continue-on-collection-errors", "shop/tests"]
    for workers in ([], ["-n2"]):
        shutil.rmtree(copy.folder / "reports")
        for command in (["run", "-m", "pytest", "-p", "no:cacheprovider", *workers, *flags], ["combine"]):
            subprocess.run(
                [sys.executable, "-m", "coverage", *command],
                cwd=copy.folder,
                env=clean_environment(),
                capture_output=True,
                timeout=180,
                check=False,
            )
        assert measured(copy) == expected


@counts_skipped_tests
def test_stock_django_tells_the_same(told, copy):
    """The oracle: each line that Django's own runner has at ``-v 2`` for a test is one of ours, and the other way round."""

    def lines(front: str) -> list[str]:
        result = copy.run("-v2", front=front)
        return sorted(re.findall(r"^(?:  )*test_\w+ \(.*\.\.\. .+$", result.stderr, re.MULTILINE))

    stock = lines("stock")
    assert len(stock) >= 20
    assert lines("testkit") == stock
