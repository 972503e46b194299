"""The three ways to start a run are one run, and its flags and statuses are what they say."""

from __future__ import annotations

import subprocess
import sys

import pytest

from testkit.core.events import RunFinished, RunStarted, TestFinished
from tests.projects import MIXED, clean_environment

MISCOUNTS = sys.version_info[:3] == (3, 12, 1)
"""The unittest of that release passes over tests that a decorator skips (python/cpython#106584)."""


def outcomes(project):
    return {fact.id: fact.outcome.value for fact in project.facts() if isinstance(fact, TestFinished)}


def closing(result):
    return [line for line in result.stderr.splitlines() if line.startswith(("OK", "FAILED", "NO TESTS"))]


def test_the_closing_line_and_the_status_are_djangos(project):
    """``python -m testkit``, TEST_RUNNER and stock Django print the same closing line and exit alike."""
    project.tests(MIXED)
    runs = {front: project.run(front=front) for front in ("stock", "manage.py", "testkit")}
    assert {front: (closing(run), run.returncode) for front, run in runs.items()} == dict.fromkeys(
        runs,
        (["FAILED (failures=2, errors=2, skipped=2, expected failures=1, unexpected successes=1)"], 1),
    )
    for front, run in runs.items():
        assert "Found 10 test(s)." in run.stdout
        assert "Ran 8 tests in" in run.stderr or (front == "stock" and MISCOUNTS)


def test_each_test_has_its_fact(project):
    """Every test has one fact with unittest's id; class fixtures have the class's own id."""
    project.tests(MIXED)
    project.run()
    module = "shop.tests.test_shop"
    assert outcomes(project) == {
        f"{module}.DatabaseTests.test_reads": "passed",
        f"{module}.DatabaseTests.test_fails": "failed",
        f"{module}.DatabaseTests.test_errs": "error",
        f"{module}.FlushingTests.test_creates": "passed",
        f"{module}.PlainTests.test_skipped": "skipped",
        f"{module}.PlainTests.test_expected": "expected failure",
        f"{module}.PlainTests.test_unexpected": "unexpected success",
        f"{module}.PlainTests.test_subtests": "failed",
    }
    fixtures = {
        (fact.id, fact.phase, fact.outcome.value): (fact.file, fact.line)
        for fact in project.facts()
        if type(fact).__name__ == "FixtureFinished" and fact.outcome != "passed"
    }
    lines = MIXED.strip().splitlines()
    line_of = {
        name: lines.index(f"class {name}") + 2 for name in ("BrokenClass(TestCase):", "SkippedClass(SimpleTestCase):")
    }
    assert fixtures == {
        (f"{module}.BrokenClass", "setUpClass", "error"): (
            "shop/tests/test_shop.py",
            line_of["BrokenClass(TestCase):"],
        ),
        (f"{module}.SkippedClass", "setUpClass", "skipped"): (
            "shop/tests/test_shop.py",
            line_of["SkippedClass(SimpleTestCase):"],
        ),
    }


def test_subtests_have_ids_of_their_own(project):
    """A subtest's id is its test's plus message and parameters, without addresses."""
    project.tests("""
    from unittest import TestCase
    class T(TestCase):
        def test_parts(self):
            for part in (1, object(), "a.b"):
                with self.subTest(part=part):
                    pass
            with self.subTest("named"):
                self.skipTest("later")
    """)
    project.run()
    subtests = [fact for fact in project.facts() if type(fact).__name__ == "SubTestFinished"]
    head = "shop.tests.test_shop.T.test_parts"
    assert [(fact.id, fact.outcome.value) for fact in subtests] == [
        (f"{head} (part=1)", "passed"),
        (f"{head} (part=<object object>)", "passed"),
        (f"{head} (part='a.b')", "passed"),
        (f"{head} [named]", "skipped"),
    ]
    assert outcomes(project) == {head: "passed"}


@pytest.mark.skipif(MISCOUNTS, reason="the unittest of Python 3.12.1 says nothing of skipped tests at -v 2")
def test_labels_tags_patterns_and_order_are_djangos(project):
    """Labels, --tag, --exclude-tag, -k, --reverse and --shuffle choose and order tests as stock Django does."""
    project.tests(MIXED)
    for flags in (
        ["shop.tests.test_shop.PlainTests"],
        ["shop"],
        ["--tag=slow"],
        ["--exclude-tag=slow"],
        ["-k", "creates", "-k", "reads"],
        ["--reverse"],
        ["--shuffle=7"],
    ):
        stock = project.run("-v2", *flags, front="stock")
        ours = project.run("-v2", *flags)
        # Django tells of a skipped setUpClass without saying which; only the tests' own lines are compared.
        lines = [
            [line.partition(" ... ")[0] for line in run.stderr.splitlines() if line.startswith("test_")]
            for run in (stock, ours)
        ]
        assert lines[0], stock.stderr
        assert lines[1] == lines[0], flags


def test_timings_are_djangos(project):
    """--timing prints the same lines as stock Django."""
    project.tests(MIXED)
    taken = [
        [
            line.partition(" took ")[0]
            for line in project.run("--timing", front=front).stderr.splitlines()
            if " took " in line
        ]
        for front in ("stock", "testkit", "manage.py")
    ]
    assert "Total database setup" in taken[0]
    assert taken[1:] == [taken[0]] * 2


def test_what_is_loaded_before_the_tests_is_frozen_for_a_command_alone(project):
    """The collector passes over what was loaded before the tests, but not over what another program has loaded."""
    project.tests("""
    import gc
    from unittest import TestCase
    class T(TestCase):
        def test_frozen(self):
            print("frozen:", gc.get_freeze_count() > 10_000)
    """)
    for front in ("testkit", "manage.py"):
        assert "frozen: True" in project.run(front=front).stdout
    project.write(
        {
            "program.py": """
    import os, django
    os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
    django.setup()
    from django.core.management import call_command
    call_command("test", verbosity=0)
    """
        }
    )
    run = [sys.executable, "program.py"]
    done = subprocess.run(run, cwd=project.folder, env=clean_environment(), capture_output=True, text=True, check=True)
    assert "frozen: False" in done.stdout


def test_failfast_stops_and_names_what_did_not_run(project):
    """--failfast stops after the first failure, like Django's; what did not run is told."""
    project.tests("""
    from unittest import TestCase
    class T(TestCase):
        def test_1(self): pass
        def test_2(self): self.fail()
        def test_3(self): pass
    """)
    result = project.run("--failfast")
    assert result.returncode == 1
    assert closing(result) == ["FAILED (failures=1, not run=1)"]
    (end,) = [fact for fact in project.facts() if isinstance(fact, RunFinished)]
    assert (end.stopped, end.not_run, end.lost) == ("--failfast", ("shop.tests.test_shop.T.test_3",), ())


def test_nothing_ran_is_red(project):
    """A run in which no test ran exits with 4 and says what to check; --allow-no-tests lets it pass."""
    for front in ("testkit", "manage.py"):
        result = project.run(front=front)
        assert result.returncode == 4
        assert closing(result) == ["NO TESTS RAN"]
        assert "check the labels" in result.stderr
    project.tests(MIXED)
    assert project.run("--tag=nothing").returncode == 4
    assert project.run("--tag=nothing", "--allow-no-tests").returncode == 0


def test_a_test_that_is_never_reported_is_lost(project):
    """A collected test that no fact accounts for is named, and the run exits with 2."""
    project.tests("""
    from unittest import TestCase
    class T(TestCase):
        def test_known(self): pass
        def test_lost(self): pass
        def run(self, result=None):
            if self._testMethodName == "test_known":
                return super().run(result)
    """)
    result = project.run()
    assert result.returncode == 2
    assert closing(result) == ["FAILED (lost=1)"]
    assert "shop.tests.test_shop.T.test_lost" in result.stderr
    (end,) = [fact for fact in project.facts() if isinstance(fact, RunFinished)]
    assert end.lost == ("shop.tests.test_shop.T.test_lost",)


def test_a_module_that_cannot_be_imported_is_an_error_of_that_module(project):
    """A failing import is a fact with the module's own id, and the others run."""
    project.tests("import nothing_of_that_name", module="test_broken")
    project.tests(MIXED)
    result = project.run("-k", "reads", "-k", "broken")
    assert result.returncode == 1
    found = outcomes(project)
    assert found["shop.tests.test_broken"] == "error"
    assert "No module named 'nothing_of_that_name'" in result.stderr


def test_tests_can_be_listed_without_touching_a_database(project):
    """--list-tests prints the ids in the order of the run, makes no database, and exits with 0."""
    project.tests(MIXED)
    project.settings('DATABASES["default"]["ENGINE"] = "nothing.that.exists"')
    project.settings('DATABASES["default"] = {"ENGINE": "django.db.backends.postgresql", "NAME": "x", "PORT": "1"}')
    result = project.run("--list-tests", "-k", "PlainTests")
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        f"shop.tests.test_shop.PlainTests.test_{name}" for name in ("expected", "skipped", "subtests", "unexpected")
    ]
    assert not (project.folder / "reports").exists()


def test_a_label_that_leads_nowhere_has_its_own_id(project):
    """A label that cannot be found is an error with the label as its id, and --list-tests does not pass over it."""
    project.tests(MIXED)
    for label in ("shop.nothing", "shop.tests.test_shop.PlainTests.test_nothing"):
        result = project.run(label)
        assert result.returncode == 1
        assert outcomes(project) == {label: "error"}
        result = project.run("--list-tests", label)
        assert result.returncode == 2
        assert result.stdout == f"{label}\n"
        assert f"cannot be imported: {label}" in result.stderr


def test_help_and_version_need_no_project(tmp_path, project):
    """--help and --version work where there is no project."""
    (project.folder / "manage.py").unlink()
    result = project.run("--help")
    assert result.returncode == 0, result.stderr
    assert "--with-xunit" in result.stdout
    assert "--keepdb" in result.stdout
    assert project.run("--version").stdout.startswith("testkit 0.")


def test_options_without_effect_are_told(project):
    """An option that needs another one to have an effect is told when that is missing."""
    project.tests("from unittest import TestCase\nclass T(TestCase):\n    def test_a(self): pass")
    result = project.run("--xunit-file=x.xml", "--cover-html")
    assert "--xunit-file has no effect without --with-xunit" in result.stderr
    assert "--cover-html has no effect without --with-cov" in result.stderr


def test_too_little_coverage_fails_a_good_run(project):
    """--cover-min-percentage makes a good run exit with 2, and leaves 1 to tests that failed."""
    project.tests("from unittest import TestCase\nclass T(TestCase):\n    def test_a(self): pass")
    flags = ("--with-cov", "--cover-min-percentage=100")
    project.write({"shop/unused.py": "a = 1"})
    result = project.run(*flags)
    assert result.returncode == 2
    assert "which is less than the 100 %" in result.stderr
    project.tests("from unittest import TestCase\nclass T(TestCase):\n    def test_a(self): self.fail()")
    assert project.run(*flags).returncode == 1


def test_last_failed_and_failed_first(project):
    """--last-failed runs what failed last time, --failed-first runs it first; without a failure all tests run."""
    project.tests("""
    import os
    from django.test import TestCase, TransactionTestCase
    class A(TestCase):
        def test_1(self): pass
        def test_2(self): pass
    class B(TestCase):
        def test_3(self): pass
        def test_4(self): self.assertTrue(os.environ.get("GOOD"))
    class C(TransactionTestCase):
        def test_5(self): self.assertTrue(os.environ.get("GOOD"))
    class D(TestCase):
        @classmethod
        def setUpClass(cls):
            super().setUpClass()
            assert os.environ.get("GOOD")
        def test_6(self): pass
    """)

    def order(*flags, **environment):
        project.run(*flags, **environment)
        started = next(fact for fact in project.facts() if isinstance(fact, RunStarted))
        return "".join(id[-1] for id in started.ids)

    assert order() == "123465"
    assert order("--failed-first") == "436125"  # django.test's TestCase stays before TransactionTestCase
    assert order("--last-failed") == "465"
    assert order("--last-failed", GOOD="1") == "465"
    assert [id[-1] for id in project.run("--last-failed", "--list-tests", GOOD="1").stdout.split()] == list("123465")
    result = project.run("--last-failed", GOOD="1")
    assert "so all of them run" in result.stderr
    assert "Ran 6 tests" in result.stderr


def test_a_runner_of_the_projects_own_is_kept(project):
    """``python -m testkit`` puts testkit over the project's runner, whose settings, flags and hooks still work."""
    project.write(
        {
            "own.py": """
        from django.test.runner import DiscoverRunner
        class OwnRunner(DiscoverRunner):
            def __init__(self, *args, greeting="", **kwargs):
                super().__init__(*args, **kwargs)
                self.greeting = greeting
            @classmethod
            def add_arguments(cls, parser):
                super().add_arguments(parser)
                parser.add_argument("--greeting", default="none")
            def setup_test_environment(self, **kwargs):
                super().setup_test_environment(**kwargs)
                from django.conf import settings
                settings.GREETING = self.greeting
            def run_suite(self, suite, **kwargs):
                print("own run_suite begins")
                return super().run_suite(suite, **kwargs)
        """
        }
    )
    project.settings('TEST_RUNNER = "own.OwnRunner"')
    project.tests("""
    from django.conf import settings
    from django.test import SimpleTestCase
    class T(SimpleTestCase):
        def test_greeting(self):
            self.assertEqual(settings.GREETING, "hello")
    """)
    result = project.run("--greeting=hello", "--with-xunit")
    assert result.returncode == 0, result.stderr
    assert "own run_suite begins" in result.stdout
    assert (project.folder / "reports/xunit.xml").exists()


def test_a_runner_that_is_no_discover_runner_is_refused(project):
    """A TEST_RUNNER that is no DiscoverRunner cannot be composed, and the message says so."""
    project.settings('TEST_RUNNER = "unittest.TextTestRunner"')
    result = project.run()
    assert result.returncode == 2
    assert "TEST_RUNNER is unittest.runner.TextTestRunner, which is no DiscoverRunner" in result.stderr


@pytest.mark.parametrize("front", ["testkit", "manage.py"])
def test_debug_sql_and_pdb_go_together(project, front):
    """--debug-sql shows the queries of a failing test also with --pdb, of which Django drops one."""
    project.tests("""
    from django.test import TestCase
    from shop.models import Item
    class T(TestCase):
        def test_fails(self):
            Item.objects.create(name="seen in SQL")
            self.fail("here")
    """)
    result = project.run("--debug-sql", "--pdb", front=front)
    assert "Opening PDB: AssertionError('here')" in result.stdout
    assert "(Pdb)" in result.stdout
    assert "seen in SQL" in result.stderr


def test_errors_of_django_are_failures_of_the_run(project):
    """A failing system check, a database that cannot be made and an unknown option exit with 2 and no false OK."""
    project.tests(MIXED)
    project.write(
        {
            "shop/checks.py": """
        from django.core import checks
        @checks.register
        def broken(app_configs, **kwargs):
            return [checks.Error("nothing works", id="shop.E001")]
        """,
            "shop/tests/__init__.py": "import shop.checks",
        }
    )
    for flags in ([], ["--parallel=2"]):  # beside the tests, where there is a core for it, and before them
        result = project.run(*flags)
        assert result.returncode == 2
        assert "nothing works" in result.stderr
    assert project.run("--no-checks").returncode == 1
    project.write({"shop/tests/__init__.py": ""})
    project.write(
        {
            "shop/migrations/0002_broken.py": """
    from django.db import migrations
    class Migration(migrations.Migration):
        dependencies = [("shop", "0001_initial")]
        operations = [migrations.RunSQL("NO SQL AT ALL")]
    """
        }
    )
    result = project.run()
    assert result.returncode == 2
    assert "OperationalError" in result.stderr
    project.settings('TESTKIT = {"XUNIT_FIEL": "x.xml"}')
    for front in ("testkit", "manage.py"):
        result = project.run(front=front)
        assert result.returncode == 2
        assert 'did you mean TESTKIT["XUNIT_FILE"]?' in result.stderr


def test_options_are_shown_with_their_origin(project):
    """--show-options prints each value and where it came from, and runs nothing."""
    project.settings('TESTKIT = {"SLOWEST": 3}')
    result = project.run("--show-options", "--with-xunit", TESTKIT_XUNIT_FLAVOUR="strict")
    lines = {line.split()[0]: line for line in result.stdout.splitlines()}
    assert lines["--with-xunit"].endswith("true  (--with-xunit)")
    assert lines["--slowest"].endswith('3  (TESTKIT["SLOWEST"] in the settings)')
    assert lines["--xunit-flavour"].endswith("(TESTKIT_XUNIT_FLAVOUR in the environment)")
    assert lines["--failures"].endswith("(default)")
    assert not (project.folder / "reports").exists()


def test_a_listener_of_ones_own_hears_the_run(project):
    """TESTKIT["LISTENERS"] names listeners by dotted path; one that raises is named, and the run exits with 2."""
    project.write(
        {
            "own.py": """
        class Listener:
            def __call__(self, fact):
                with open("heard.txt", "a") as file:
                    print(type(fact).__name__, file=file)
        def broken(fact):
            raise RuntimeError("no disk")
        """
        }
    )
    project.tests(MIXED)
    project.settings('TESTKIT = {"LISTENERS": ["own.Listener"]}')
    assert project.run("-k", "reads").returncode == 0
    heard = (project.folder / "heard.txt").read_text().split()
    assert heard[0] == "RunStarted"
    assert heard[-2:] == ["RunFinished", "RunMeasured"]  # which is the status
    project.settings('TESTKIT = {"LISTENERS": ["own.broken", "own.Listener"]}')
    result = project.run("-k", "reads", "--with-xunit")
    assert result.returncode == 2
    assert "the listener own.broken failed" in result.stderr
    assert "RuntimeError: no disk" in result.stderr
    assert project.xunit().get("tests") == "1"
    project.settings('TESTKIT = {"LISTENERS": ["own.nothing"]}')
    result = project.run("-k", "reads")
    assert result.returncode == 2
    assert 'TESTKIT["LISTENERS"] in the settings names own.nothing' in result.stderr
    assert "Found" not in result.stdout  # before anything was done


def test_where_the_settings_are(project):
    """Settings are found by --settings, then DJANGO_SETTINGS_MODULE, then manage.py; else the message says how."""
    project.tests("""
    from django.conf import settings
    from django.test import SimpleTestCase
    class T(SimpleTestCase):
        def test_which(self):
            print("settings:", settings.SETTINGS_MODULE)
    """)
    project.write({"other.py": "from settings import *", "third.py": "from settings import *"})
    assert "settings: settings" in project.run().stdout
    assert "settings: other" in project.run(DJANGO_SETTINGS_MODULE="other").stdout
    assert "settings: third" in project.run("--settings=third", DJANGO_SETTINGS_MODULE="other").stdout
    (project.folder / "manage.py").unlink()
    result = project.run()
    assert result.returncode == 2
    assert "no settings found: give --settings MODULE" in result.stderr


def test_a_first_word_that_is_no_command_is_a_label(project):
    """``testkit LABEL`` runs it; ``testkit run guard`` runs a label that is named like a command."""
    project.tests(MIXED)
    project.write(
        {
            "guard/__init__.py": "",
            "guard/tests.py": "from unittest import TestCase\nclass T(TestCase):\n def test_g(self): pass\n",
        }
    )
    assert "Ran 1 test in" in project.run("shop.tests.test_shop.FlushingTests").stderr
    assert "Ran 1 test in" in project.run("run", "guard").stderr
    assert "Ran" not in project.run("guard").stderr


def test_a_plain_test_case_never_reaches_the_real_database(project):
    """A unittest.TestCase that uses the ORM, for which Django sets up no database, cannot touch the real one."""
    project.tests("""
    import unittest
    from shop.models import Item
    class T(unittest.TestCase):
        def test_writes(self):
            Item.objects.create(name="real")
    """)
    stock = project.run(front="stock")
    assert "no such table" in stock.stderr  # it went to the real file
    (project.folder / "real.sqlite3").unlink()
    result = project.run()
    assert result.returncode == 1
    assert "no such table" not in result.stderr
    assert not (project.folder / "real.sqlite3").exists()


def test_the_word_test_is_on_the_command_line(project):
    """Settings that look for "test" in sys.argv find it under every front."""
    project.settings('import sys\nTESTING = "test" in sys.argv')
    project.tests("""
    from django.conf import settings
    from django.test import SimpleTestCase
    class T(SimpleTestCase):
        def test_it(self):
            self.assertTrue(settings.TESTING)
    """)
    assert project.run().returncode == 0
    assert project.run(front="manage.py").returncode == 0
