"""Shards of real projects: together they run what one run does, each test once, whatever the project is made of."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable

import pytest
from lxml import etree

from testkit.core import journal
from testkit.core.events import Fact, FixtureFinished, RunStarted, SubTestFinished, TestFinished
from tests.projects import Project, counts_skipped_tests

WORDS = '''
def plural(word):
    """
    >>> plural("book")
    'books'
    """
    return word + "s"
'''
# Every way in which tests have come into a suite that a plan by file and class could trip over.
FILES = {
    "shop/words.py": WORDS,
    "shop/tests/base.py": """
        from unittest import TestCase
        class Shared(TestCase):
            def test_shared(self): pass
        """,
    "shop/tests/test_plain.py": """
        from django.test import SimpleTestCase, TestCase
        from shop.models import Item
        from shop.tests.base import Shared
        class Database(TestCase):
            def test_empty(self): self.assertEqual(Item.objects.count(), 0)
            def test_fails(self): self.fail("known")
        class Simple(SimpleTestCase):
            def test_subtests(self):
                for n in range(3):
                    with self.subTest(n=n): self.assertNotEqual(n, 1)
            def test_skipped(self): self.skipTest("not today")
        class Empty(SimpleTestCase):
            pass
        """,
    "shop/tests/test_borrows.py": """
        from django.test import SimpleTestCase
        from shop.tests.base import Shared
        from shop.tests.test_plain import Simple
        from shop.tests import test_hides
        Hidden = test_hides.Holder.Hidden
        class Inherits(Simple):
            pass
        class Own(SimpleTestCase):
            def test_own(self): pass
        """,
    "shop/tests/test_hides.py": """
        from unittest import TestCase
        class Holder:
            class Hidden(TestCase):
                def test_hidden(self): pass
        """,
    "shop/tests/test_broken.py": "import nothing_of_that_name",
    "shop/tests/test_doctests.py": """
        import doctest
        from unittest import TestCase
        from shop import words
        class Beside(TestCase):
            def test_beside(self): pass
        def load_tests(loader, tests, pattern):
            tests.addTests(doctest.DocTestSuite(words))
            return tests
        """,
    "shop/tests/test_fixtures.py": """
        import unittest
        class SetUpFails(unittest.TestCase):
            @classmethod
            def setUpClass(cls): raise RuntimeError("no class")
            def test_a(self): pass
            def test_b(self): pass
        class SetUpSkips(unittest.TestCase):
            @classmethod
            def setUpClass(cls): raise unittest.SkipTest("no browser")
            def test_a(self): pass
        class Fine(unittest.TestCase):
            def test_a(self): pass
        """,
    "shop/tests/test_module.py": """
        import unittest
        def setUpModule(): raise OSError("no module")
        class First(unittest.TestCase):
            def test_a(self): pass
        class Second(unittest.TestCase):
            def test_a(self): pass
        """,
    "shop/tests/test_skipped.py": "import unittest\nraise unittest.SkipTest('no such system')",
    "shop/tests/package/__init__.py": """
        from unittest import TestCase
        class InPackage(TestCase):
            def test_a(self): pass
        """,
    "shop/tests/package/test_below.py": """
        from unittest import TestCase
        class Below(TestCase):
            def test_a(self): pass
        """,
    "shop/tests/loads/__init__.py": """
        import os
        from unittest import TestCase
        class Extra(TestCase):
            def test_extra(self): pass
        def load_tests(loader, tests, pattern):
            tests.addTests(loader.loadTestsFromTestCase(Extra))
            tests.addTests(loader.discover(os.path.dirname(__file__), pattern="check_*.py"))
            return tests
        """,
    "shop/tests/loads/check_one.py": """
        from unittest import TestCase
        class One(TestCase):
            def test_a(self): pass
        """,
    "shop/tests/loads/check_two.py": """
        from unittest import TestCase
        class Two(TestCase):
            def test_a(self): pass
        """,
}


def outcomes(facts: list[Fact]) -> Counter[tuple[str, str]]:
    """Return how each test, subtest and failed fixture ended."""
    return Counter(
        (fact.id, str(fact.outcome))
        for fact in facts
        if isinstance(fact, TestFinished | SubTestFinished)
        or (isinstance(fact, FixtureFinished) and fact.outcome != "passed")
    )


def ids_of(facts: Iterable[Fact]) -> tuple[str, ...]:
    return next(fact.ids for fact in facts if isinstance(fact, RunStarted))


def cases(root: etree._Element) -> Counter[tuple[str, ...]]:
    """Return what the xunit file says of each case, but for times."""
    return Counter(
        (
            *(case.get(name) or "" for name in ("classname", "name", "file", "line")),
            *((child.tag, child.get("type") or "", child.get("message") or "") for child in case),
        )
        for case in root.iter("testcase")
    )


def run_shards(project: Project, total: int, *arguments: str, **environment: str) -> list[int]:
    """Run all shards, put the reports of each into ``shards/N``, and return their exit statuses."""
    shutil.rmtree(project.folder / "shards", ignore_errors=True)
    statuses = []
    for number in range(1, total + 1):
        result = project.run(f"--shard={number}/{total}", *arguments, **environment)
        statuses.append(result.returncode)
        assert (project.folder / "reports/manifest.json").exists(), result.stderr
        shutil.move(project.folder / "reports", project.folder / "shards" / str(number))
    return statuses


def manifest(project: Project, number: int) -> dict:
    return json.loads((project.folder / "shards" / str(number) / "manifest.json").read_text())


def imported(project: Project) -> set[str]:
    """Return the test modules that the last run imported, which they noted themselves."""
    path = project.folder / "imported.txt"
    names = set(path.read_text().split()) if path.exists() else set()
    path.unlink(missing_ok=True)
    return names


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project of FILES, run whole once: its reports are in ``whole``, its durations in ``known``."""
    project = Project(tmp_path_factory.mktemp("whole"))
    project.write(FILES)
    result = project.run("--with-xunit")
    assert result.returncode == 1, result.stderr
    shutil.move(project.folder / "reports", project.folder / "whole")
    shutil.move(project.folder / ".testkit", project.folder / "known")
    return project


@pytest.mark.parametrize(("total", "knows_durations"), [(1, False), (2, True), (3, False), (3, True), (7, True)])
def test_shards_run_what_one_run_does(whole, total, knows_durations):
    """Shards that are merged have the ids, outcomes and xunit cases of the run that was not divided."""
    shutil.rmtree(whole.folder / ".testkit", ignore_errors=True)
    if knows_durations:
        shutil.copytree(whole.folder / "known", whole.folder / ".testkit")
    one_run, one_xunit = list(journal.read(whole.folder / "whole/journal")), whole.xunit("whole/xunit.xml")
    statuses = run_shards(whole, total, "--with-xunit")
    assert set(statuses) <= {0, 1}
    result = whole.run("merge", "shards")
    assert result.returncode == 1, result.stderr
    facts, xunit = whole.facts(), whole.xunit()
    assert ids_of(facts) == ids_of(one_run)
    assert outcomes(facts) == outcomes(one_run)
    assert cases(xunit) == cases(one_xunit)
    counts = ("tests", "failures", "errors", "skipped")
    assert [xunit.get(name) for name in counts] == [one_xunit.get(name) for name in counts]


@counts_skipped_tests
def test_stock_django_collects_the_same(whole):
    """The oracle: Django's own runner has as many tests as all shards together."""
    result = whole.run(front="stock")
    ran = int(result.stderr.split("Ran ")[1].split()[0])
    # Of tests below a fixture that failed, unittest counts none; testkit's ids have them.
    below = {"SetUpFails", "SetUpSkips", "First", "Second"}
    assert ran == len(
        [id for id in ids_of(journal.read(whole.folder / "whole/journal")) if below.isdisjoint(id.split("."))]
    )


NOTING = """
with open({path!r}, "a") as file: file.write(__name__ + "\\n")
import time
from unittest import TestCase
class T(TestCase):
    def test_it(self): time.sleep({seconds})
"""


def note_imports(project: Project, files: int) -> None:
    path = str(project.folder / "imported.txt")
    for number in range(files):
        project.tests(NOTING.format(path=path, seconds=0.01 * number), module=f"test_{number}")


def test_a_shard_imports_its_own_files_only(project):
    """With durations, each file is imported by one shard; so it is without, where there are files enough."""
    note_imports(project, 6)
    for _ in range(2):
        found = []
        for number in (1, 2, 3):
            assert project.run(f"--shard={number}/3").returncode == 0
            found.append(imported(project))
        assert sorted(name for names in found for name in names) == [f"shop.tests.test_{n}" for n in range(6)]
        assert project.run().returncode == 0  # the durations of the second round
        imported(project)


def test_labels_are_divided_without_importing_their_modules(project):
    """Labels that name modules, classes and tests are left to the shards that have a part in them."""
    note_imports(project, 4)
    assert project.run().returncode == 0
    imported(project)
    labels = ["shop.tests.test_0", "shop.tests.test_1.T", "shop.tests.test_2.T.test_it", "shop/tests/"]
    for chosen in (labels[:3], labels):
        found = []
        for number in (1, 2):
            result = project.run(f"--shard={number}/2", *chosen)
            assert result.returncode == 0, result.stderr
            found.append((imported(project), ids_of(project.facts())))
        assert not found[0][0] & found[1][0]
        wanted = 4 if chosen is labels else 3
        assert sorted(found[0][1] + found[1][1]) == [f"shop.tests.test_{n}.T.test_it" for n in range(wanted)]


def test_a_label_that_leads_nowhere_fails_one_shard(project):
    """A mistake in a label is one error on one shard, with the label as its id."""
    note_imports(project, 3)
    statuses = run_shards(project, 2, "shop", "shop.tests.test_0.Missing", "shop.nothing")
    assert max(statuses) == 1
    assert project.run("merge", "shards").returncode == 1
    bad = [fact.id for fact in project.facts() if isinstance(fact, TestFinished) and fact.outcome.is_bad]
    assert sorted(bad) == ["shop.nothing", "shop.tests.test_0.Missing"]


def test_what_changed_since_the_durations_still_runs_once(project):
    """New, renamed and deleted classes and files leave the shards complete: every test there is runs once."""
    note_imports(project, 6)
    assert project.run().returncode == 0
    tests = project.folder / "shop/tests"
    (tests / "test_0.py").unlink()
    (tests / "test_1.py").rename(tests / "test_renamed.py")
    (tests / "test_2.py").write_text((tests / "test_2.py").read_text().replace("class T(", "class Renamed("))
    with open(tests / "test_3.py", "a") as file:
        file.write("class New(TestCase):\n    def test_new(self): pass\n")
    project.tests("", module="test_empty")
    assert run_shards(project, 2) == [0, 0]
    assert project.run("merge", "shards").returncode == 0
    assert sorted(ids_of(project.facts())) == [
        "shop.tests.test_2.Renamed.test_it",
        "shop.tests.test_3.New.test_new",
        "shop.tests.test_3.T.test_it",
        "shop.tests.test_4.T.test_it",
        "shop.tests.test_5.T.test_it",
        "shop.tests.test_renamed.T.test_it",
    ]


@pytest.mark.parametrize("arguments", [("--tag=slow",), ("--exclude-tag=slow",), ("-k", "test_a")], ids=" ".join)
def test_shards_of_chosen_tests_are_even(project, arguments):
    """By tags and patterns, what they leave is divided: no shard is empty while there are classes."""
    for number in range(4):
        slow = "@tag('slow')" if number < 2 else ""
        project.tests(
            f"""
            from django.test import SimpleTestCase, tag
            {slow}
            class T{number}(SimpleTestCase):
                def test_{"ab"[number % 2]}(self): pass
            """,
            module=f"test_{number}",
        )
    assert project.run().returncode == 0
    assert run_shards(project, 2, *arguments) == [0, 0]
    assert [len(manifest(project, number)["ids"]) for number in (1, 2)] == [1, 1]
    assert project.run("merge", "shards").returncode == 0


def test_classes_are_whole_and_balanced_by_durations(project):
    """Classes of one file are divided by how long they took, and none is split."""
    project.tests("""
        import time
        from unittest import TestCase
        class Long(TestCase):
            def test_a(self): time.sleep(0.4)
            def test_b(self): time.sleep(0.2)
        class Set(TestCase):
            @classmethod
            def setUpClass(cls): time.sleep(0.3)
            def test_a(self): pass
        class Short(TestCase):
            def test_a(self): time.sleep(0.1)
            def test_b(self): time.sleep(0.1)
    """)
    assert project.run().returncode == 0
    run_shards(project, 2)
    classes = [{id.split(".")[3] for id in manifest(project, number)["ids"]} for number in (1, 2)]
    assert sorted(map(sorted, classes)) == [["Long"], ["Set", "Short"]]


def test_an_empty_shard_is_right_only_where_there_are_more_shards_than_classes(project):
    """Of three shards over two classes one is empty and passes; a label without tests is status 4 as ever."""
    note_imports(project, 2)
    assert run_shards(project, 3) == [0, 0, 0]
    assert sorted(len(manifest(project, number)["ids"]) for number in (1, 2, 3)) == [0, 1, 1]
    assert project.run("merge", "shards").returncode == 0
    # All that the shard was planned to have is gone: its durations are out of date.
    assert project.run().returncode == 0
    project.tests("", module="test_0")
    project.tests("", module="test_1")
    assert 4 in {project.run(f"--shard={number}/2").returncode for number in (1, 2)}


def test_the_list_of_a_shard_is_what_it_runs(project):
    """--list-tests with --shard prints what the shard would run, and writes no manifest."""
    note_imports(project, 4)
    listed = [project.run("--list-tests", f"--shard={number}/2").stdout.split() for number in (1, 2)]
    assert not (project.folder / "reports").exists()
    run_shards(project, 2)
    assert listed == [manifest(project, number)["ids"] for number in (1, 2)]
    assert all(listed)


def test_shards_leave_the_durations_as_they_are(project):
    """No shard changes the durations that the others are planned from."""
    note_imports(project, 4)
    assert project.run().returncode == 0
    before = (project.folder / ".testkit/durations.json").read_bytes()
    run_shards(project, 2)
    assert (project.folder / ".testkit/durations.json").read_bytes() == before


@pytest.mark.parametrize("front", ["testkit", "manage.py"])
def test_auto_takes_the_shard_from_the_ci_system(project, front):
    """--shard auto reads the variables of the CI system; without it nobody does. Bazel's status file is touched."""
    note_imports(project, 4)
    variables = {
        "TEST_SHARD_INDEX": "1",
        "TEST_TOTAL_SHARDS": "2",
        "TEST_SHARD_STATUS_FILE": str(project.folder / "status"),
    }
    assert project.run("--list-tests", front=front, **variables).stdout.count("test_it") == 4
    result = project.run("--shard=auto", front=front, **variables)
    assert result.returncode == 0, result.stderr
    assert "shard 2/2: 2 tests" in result.stderr
    assert (project.folder / "status").exists()
    result = project.run("--shard=auto", front=front)
    assert result.returncode == 2
    assert "give --shard INDEX/TOTAL" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--shard=3/2"], "INDEX goes from 1 to TOTAL"),
        (["--shard="], "INDEX/TOTAL"),
        (["--shard=1/2", "--last-failed"], "would not be complete"),
        (["--shard-from=missing.json"], "there is no such file"),
        (["--shard-from=settings.py"], "no manifest of a shard"),
    ],
)
def test_mistakes_are_told_before_anything_runs(project, arguments, message):
    """Options that make no shard are refused with what would."""
    for more in ([], ["--list-tests"]):
        result = project.run(*arguments, *more)
        assert result.returncode == 2, result.stdout
        assert message in result.stderr
        assert "Traceback" not in result.stderr


def test_a_node_that_is_run_again_runs_its_recorded_list(project):
    """With its manifest a node repeats its list although the durations have changed since, and can be merged."""
    project.tests("""
        import time, os
        from unittest import TestCase
        for n in range(6):
            exec(f"class T{n}(TestCase):\\n    def test_it(self): time.sleep(0.02 * {n} * float(os.environ['SLOW']))")
    """)
    assert project.run(SLOW="1").returncode == 0
    assert run_shards(project, 2, SLOW="0") == [0, 0]
    recorded = manifest(project, 1)
    durations = project.folder / ".testkit/durations.json"
    durations.write_text(durations.read_text().replace("T5.test_it", "T0.test_it").replace("0.0", "3.0"))
    assert project.run("--shard=1/2", "--list-tests", SLOW="0").stdout.split() != recorded["ids"]
    source = project.folder / "shards/1/manifest.json"
    result = project.run("--shard=1/2", f"--shard-from={source}", SLOW="0")
    assert result.returncode == 0, result.stderr
    again = json.loads((project.folder / "reports/manifest.json").read_text())
    assert (again["ids"], again["plan"]) == (recorded["ids"], recorded["plan"])
    assert again["run"] != recorded["run"]
    shutil.rmtree(project.folder / "shards/1")
    shutil.move(project.folder / "reports", project.folder / "shards/1")
    assert project.run("merge", "shards").returncode == 0


def test_a_recorded_list_of_another_run_is_refused(project):
    """A manifest of another shard, of other labels or of other code is not repeated by mistake."""
    note_imports(project, 4)
    run_shards(project, 2)
    source = project.folder / "shards/1/manifest.json"
    for arguments, message in (
        (["--shard=2/2"], "is the manifest of shard 1/2, and --shard says 2/2"),
        (["shop.tests"], "was recorded with other files, labels"),
        (["--tag=slow"], "was recorded with other tags"),
    ):
        result = project.run(f"--shard-from={source}", *arguments)
        assert (result.returncode, message in result.stderr) == (2, True), result.stderr
    for path in (project.folder / "shop/tests").glob("test_*.py"):
        path.write_text(path.read_text().replace("test_it", "test_other"))
    result = project.run(f"--shard-from={source}")
    assert (result.returncode, "not there any more" in result.stderr) == (2, True), result.stderr


def test_a_manifest_that_is_not_there_yet_means_a_first_attempt(project):
    """With --shard, a --shard-from that does not exist leaves the shard to be planned: one command serves both."""
    note_imports(project, 4)
    result = project.run("--shard=1/2", "--shard-from=before/manifest.json")
    assert result.returncode == 0, result.stderr
    assert "shard 1/2: 2 tests" in result.stderr
