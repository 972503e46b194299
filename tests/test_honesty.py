"""No test, and no runner of a project's own, makes a bad or incomplete run look good."""

from __future__ import annotations

import pytest

from testkit.core.events import RunFinished, TestFinished

FAILING = """
from unittest import TestCase
class T(TestCase):
    def test_1(self): self.fail("bad")
    def test_2(self): pass
"""
GOOD = FAILING.replace('self.fail("bad")', "pass")
RUNNERS = """
import sys
from django.test.runner import DiscoverRunner

class Forgetful(DiscoverRunner):
    def run_tests(self, *args, **kwargs):
        super().run_tests(*args, **kwargs)

class Leaving(DiscoverRunner):
    def run_tests(self, *args, **kwargs):
        super().run_tests(*args, **kwargs)
        sys.exit(0)

class Twice(DiscoverRunner):
    def run_suite(self, suite, **kwargs):
        super().run_suite(suite, **kwargs)
        return super().run_suite(suite, **kwargs)

class Elsewhere(DiscoverRunner):
    def run_suite(self, suite, **kwargs):
        import unittest
        return unittest.TextTestRunner().run(suite)

class Tolerant(DiscoverRunner):
    def suite_result(self, suite, result, **kwargs):
        return 0

class BadTearDown(DiscoverRunner):
    def teardown_databases(self, *args, **kwargs):
        raise RuntimeError("cannot tear down")

class OwnFlags(DiscoverRunner):
    def __init__(self, *args, with_xunit=None, slowest=None, **kwargs):
        super().__init__(*args, **kwargs)
        print("own:", with_xunit, slowest)

    @classmethod
    def add_arguments(cls, parser):
        super().add_arguments(parser)
        parser.add_argument("--with-xunit", action="store_true")
        parser.add_argument("--slowest", default="zero")
"""


@pytest.mark.parametrize(
    "code",
    [
        "class T(TestCase):\n    def test_a(self): self.fail()\n    @classmethod\n    def tearDownClass(cls): sys.exit(0)",
        "class T(TestCase):\n    @classmethod\n    def setUpClass(cls): sys.exit(0)\n    def test_a(self): pass",
        "def setUpModule(): sys.exit(0)\nclass T(TestCase):\n    def test_a(self): pass",
        "class T(TestCase):\n    def test_a(self): pass\n    def _post_teardown(self): sys.exit(0)",
        "class T(TestCase):\n    def test_a(self): sys.exit(0)",
    ],
)
@pytest.mark.parametrize("front", ["testkit", "manage.py"])
def test_a_test_that_exits_is_an_error(project, code, front):
    """sys.exit(0) in a test, in a fixture or in what Django does around a test is an error, and the others run."""
    project.tests(f"import sys\nfrom django.test import SimpleTestCase as TestCase\n{code}\n")
    project.tests(GOOD, module="test_z")
    result = project.run(front=front)
    assert result.returncode == 1, result.stderr
    assert "SystemExit: 0" in result.stderr
    assert {fact.id.rpartition(".")[2] for fact in project.facts() if isinstance(fact, TestFinished)} >= {
        "test_1",
        "test_2",
    }


@pytest.mark.parametrize("code", ["sys.exit(0)", "def load_tests(*args): sys.exit(0)"])
def test_an_exit_while_tests_are_collected_fails_the_run(project, code):
    """sys.exit(0) at import, or in load_tests, does not end the run as a good one."""
    project.tests(f"import sys\n{code}\n")
    for front in ("testkit", "manage.py"):
        assert project.run(front=front).returncode in (1, 2)


def test_a_test_that_ends_the_process_is_told_of(project):
    """os._exit(0) in a test ends with status 2 and a line that says so; a child may end as it likes."""
    project.tests("import os\nfrom unittest import TestCase\nclass T(TestCase):\n    def test_a(self): os._exit(0)")
    result = project.run()
    assert result.returncode == 2
    assert "a test ended the process by os._exit(0)" in result.stderr
    project.tests("""
    import multiprocessing
    from unittest import TestCase
    class T(TestCase):
        def test_a(self):
            process = multiprocessing.get_context("fork").Process(target=print)
            process.start()
            process.join()
            self.assertEqual(process.exitcode, 0)
    """)
    assert project.run().returncode == 0


def test_a_child_that_falls_out_of_its_test_does_not_run_the_others(project):
    """A forked child that leaves its test by an exception tells of it and ends; the run is its parent's."""
    project.tests("""
    import os
    from unittest import TestCase
    class T(TestCase):
        def test_a(self):
            child = os.fork()
            if child == 0:
                raise ValueError("in the child")
            os.waitpid(child, 0)
        def test_b(self): pass
    """)
    result = project.run("--with-xunit")
    assert result.returncode == 0, result.stderr
    assert "ValueError: in the child" in result.stderr
    assert result.stderr.count("Ran 2 tests") == 1
    assert sum(isinstance(fact, RunFinished) for fact in project.facts()) == 1


def test_a_test_that_stops_the_run_is_told_of(project):
    """A test that calls stop() on the result leaves the others out, which is no good run."""
    project.tests("""
    from unittest import TestCase
    class T(TestCase):
        def run(self, result=None):
            result.stop()
            return super().run(result)
        def test_a(self): pass
        def test_b(self): pass
    """)
    result = project.run()
    assert result.returncode == 2
    assert "FAILED (not run=1)" in result.stderr


@pytest.mark.parametrize(
    ("runner", "tests", "status", "text"),
    [
        ("Forgetful", FAILING, 1, "FAILED (failures=1)"),
        ("Forgetful", GOOD, 0, "OK"),
        ("Leaving", FAILING, 2, "sys.exit(0) was called outside of the tests"),
        ("Twice", GOOD, 2, "runs tests a second time"),
        ("Elsewhere", GOOD, 2, "did not run the tests by testkit"),
        ("Tolerant", FAILING, 0, "lets 1 failures pass"),
        ("BadTearDown", GOOD, 2, "cannot tear down"),
    ],
)
def test_a_runner_of_the_projects_own_cannot_hide_failures(project, runner, tests, status, text):
    """Whatever a project's runner makes of the result, the status is that of the facts, or the run says why not."""
    project.write({"own.py": RUNNERS})
    project.tests(tests)
    project.settings(f'TEST_RUNNER = "own.{runner}"')
    result = project.run("--with-cov", "--cover-xml")
    assert result.returncode == status, result.stderr
    assert text in result.stderr
    if runner != "Elsewhere":
        assert (project.folder / "reports" / "coverage.xml").exists()


def test_a_flag_of_the_projects_own_goes_to_the_project(project):
    """A flag that the project's runner has defined is passed to it, and is no option of testkit then."""
    project.write({"own.py": RUNNERS})
    project.tests(GOOD)
    project.settings('TEST_RUNNER = "own.OwnFlags"')
    result = project.run("--with-xunit")
    assert result.returncode == 0, result.stderr
    assert "own: True zero" in result.stdout
    assert not (project.folder / "reports" / "xunit.xml").exists()


def test_what_failed_is_remembered_until_it_passes(project):
    """Failures that a later run did not reach, by --failfast or by other labels, are still what --last-failed runs."""
    project.tests("""
    import os
    from unittest import TestCase
    class T(TestCase):
        def test_a(self): self.assertIn("a", os.environ["GOOD"])
        def test_b(self): self.assertIn("b", os.environ["GOOD"])
        def test_c(self): pass
    """)
    project.run(GOOD="-")
    project.run("--last-failed", "--failfast", GOOD="-")
    project.run("-k", "test_c", GOOD="-")
    project.run("-k", "nothing", GOOD="-")
    listed = project.run("--last-failed", "--list-tests", GOOD="-").stdout.split()
    assert [id[-1] for id in listed] == ["a", "b"]
    project.run("--failed", GOOD="a")
    assert [id[-1] for id in project.run("--lf", "--list-tests", GOOD="-").stdout.split()] == ["b"]


def test_no_file_of_an_earlier_run_stands_for_this_one(project):
    """A run that does not come to its tests leaves no xunit file of the run before."""
    project.tests(GOOD)
    assert project.run("--with-xunit").returncode == 0
    assert project.xunit().get("tests") == "2"
    assert project.run("--with-xunit", DATABASE_URL="postgres://me@db.example.com/shop").returncode == 2
    assert not (project.folder / "reports" / "xunit.xml").exists()


def test_listing_no_tests_is_no_success(project):
    """--list-tests with nothing to list prints nothing and exits with 4, unless --allow-no-tests."""
    project.tests(GOOD)
    result = project.run("--list-tests", "-k", "nothing")
    assert (result.returncode, result.stdout) == (4, "")
    assert project.run("--list-tests", "-k", "nothing", "--allow-no-tests").returncode == 0


def test_the_runner_of_unittest_xml_reporting_is_replaced(project):
    """Over unittest-xml-reporting's runner, ours says what to give for its files, and it writes none."""
    project.tests(GOOD)
    project.settings(
        'TEST_RUNNER = "xmlrunner.extra.djangotestrunner.XMLTestRunner"\nTEST_OUTPUT_FILE_NAME = "all.xml"'
    )
    result = project.run()
    assert result.returncode == 0, result.stderr
    assert "give --with-xunit" in result.stderr
    assert not list(project.folder.glob("*.xml"))
