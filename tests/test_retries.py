"""`--retries`, `--repeat` and `--until-fail`: what is tried again, what counts, and what is told of it."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from testkit.core.events import FixtureFinished, RunFinished, RunStarted, SubTestFinished, TestFinished
from tests.projects import Project

MODULE = "shop.tests.test_shop"
WAYS = pytest.mark.parametrize("way", [(), ("--parallel=2",)], ids=["serial", "parallel"])

HELP = """
import os, pathlib, time

HERE = pathlib.Path(__file__).parent

def times(name):
    \"\"\"Return how often this was asked about `name` in this run, this time included.\"\"\"
    with open(HERE / f"{name}.times", "a") as file:
        file.write("x")
        return file.tell()

def note(text):
    with open(HERE / "log", "a") as file:
        file.write(f"{text} {os.getpid()} {time.monotonic()}\\n")
"""
FLAKY = """
from django.test import SimpleTestCase
from help import note, times

class A(SimpleTestCase):
    def test_1(self): note("A.1")
    def test_2(self):
        note("A.2")
        print("attempt", n := times("A.2"))
        self.assertGreater(n, 2, f"attempt {n}")
    def test_3(self): note("A.3")
class B(SimpleTestCase):
    def test_1(self):
        note("B.1")
        if times("B.1") == 1:
            raise KeyError("once")
class C(SimpleTestCase):
    def test_1(self): note("C.1")
"""


@pytest.fixture
def project(project: Project) -> Project:
    project.write({"help.py": HELP})
    return project


def attempts(project: Project) -> dict[str, list[tuple[int, str, bool]]]:
    """Return what the journal of the last run says of each attempt of each test: number, outcome, whether it counts."""
    found: dict[str, list[tuple[int, str, bool]]] = {}
    for fact in project.facts():
        if isinstance(fact, TestFinished):
            found.setdefault(fact.id.removeprefix(f"{MODULE}."), []).append(
                (fact.attempt, fact.outcome.value, fact.final)
            )
    return found


def log(project: Project) -> list[tuple[str, int, float]]:
    """Return what the tests noted: the word, the process and when, in the order of time."""
    lines = [line.split() for line in (project.folder / "log").read_text().splitlines()]
    return [(word, int(process), float(at)) for word, process, at in lines]


def closing(result) -> str:
    (line,) = [line for line in result.stderr.splitlines() if line.startswith(("OK", "FAILED", "NO TESTS"))]
    return line


def ran(result) -> int:
    return int(re.search(r"Ran (\d+) test", result.stderr)[1])


def children(project: Project, test: str) -> list[tuple[str, str]]:
    """Return the tags and messages below the test case in the xunit file, of which there is one."""
    class_name, _, name = f"{MODULE}.{test}".rpartition(".")
    found = [
        case
        for case in project.xunit().iter("testcase")
        if (case.get("classname"), case.get("name")) == (class_name, name)
    ]
    assert len(found) == 1, test
    return [
        (child.tag, child.get("message"))
        for child in found[0]
        if child.tag not in ("properties", "system-out", "system-err")
    ]


# What fails and then passes


@WAYS
def test_a_flaky_test_lets_the_run_pass(way, project):
    """A test that passes in the end counts as passed and is named as flaky; every attempt is in the reports."""
    project.tests(FLAKY)
    result = project.run("--retries=2", "--with-xunit", *way)
    assert (result.returncode, closing(result), ran(result)) == (0, "OK (flaky=2)", 5)
    assert attempts(project) == {
        "A.test_1": [(1, "passed", True)],
        "A.test_2": [(1, "failed", False), (2, "failed", False), (3, "passed", True)],
        "A.test_3": [(1, "passed", True)],
        "B.test_1": [(1, "error", False), (2, "passed", True)],
        "C.test_1": [(1, "passed", True)],
    }
    assert [tag for tag, _ in children(project, "A.test_2")] == ["flakyFailure", "flakyFailure"]
    assert [message for _, message in children(project, "A.test_2")] == [
        f"{number} not greater than 2 : attempt {number}" for number in (1, 2)
    ]
    assert children(project, "B.test_1") == [("flakyFailure", "'once'")]
    assert children(project, "A.test_1") == []
    root = project.xunit()
    assert [root.get(name) for name in ("tests", "failures", "errors")] == ["5", "0", "0"]
    told = result.stderr.partition("Flaky: failed, and passed when tried again:\n")[2].splitlines()[:2]
    assert sorted(line.split(" (")[0].strip() for line in told) == ["test_1", "test_2"]
    # One that needs nothing of its class runs alone.
    words = [word for word, _, _ in log(project)]
    assert {word: words.count(word) for word in words} == {"A.1": 1, "A.2": 3, "A.3": 1, "B.1": 2, "C.1": 1}


@WAYS
def test_flaky_tests_may_fail_the_run(way, project):
    """With --flaky fail the status is 1 although every test passed in the end, and the reason is told."""
    project.tests(FLAKY)
    result = project.run("--retries=2", "--flaky=fail", *way)
    assert result.returncode == 1
    assert "2 flaky tests, and --flaky=fail" in result.stderr
    assert project.run("--retries=2", "--flaky=fail", f"{MODULE}.C", *way).returncode == 0


@WAYS
def test_what_fails_to_the_end_fails(way, project):
    """A test that fails in every attempt is one failure, with its further attempts in the xunit file."""
    project.tests("""
    from django.test import SimpleTestCase
    from help import times
    class A(SimpleTestCase):
        def test_1(self): pass
        def test_2(self): self.fail(f"attempt {times('A.2')}")
    class B(SimpleTestCase):
        def test_1(self): pass
    """)
    result = project.run("--retries=2", "--with-xunit", *way)
    assert (result.returncode, closing(result), ran(result)) == (1, "FAILED (failures=1)", 3)
    assert attempts(project)["A.test_2"] == [(1, "failed", False), (2, "failed", False), (3, "failed", True)]
    assert children(project, "A.test_2") == [
        ("failure", "attempt 1"),
        ("rerunFailure", "attempt 2"),
        ("rerunFailure", "attempt 3"),
    ]
    assert result.stderr.count("FAIL: test_2") == 1


def test_it_is_tried_again_on_another_worker(project):
    """The second attempt is in another process than the first, while that one goes on with other tests."""
    project.tests("""
    import time
    from django.test import SimpleTestCase
    from help import note, times
    class A(SimpleTestCase):
        def test_1(self):
            note("A")
            time.sleep(0.05)
            self.assertGreater(times("A"), 1)
    class B(SimpleTestCase):
        def test_1(self): time.sleep(0.3)
    """)
    result = project.run("--retries=1", "--parallel=2")
    assert (result.returncode, closing(result)) == (0, "OK (flaky=1)")
    (_, first, _), (_, second, _) = log(project)
    assert first != second
    workers = [fact.worker for fact in project.facts() if isinstance(fact, TestFinished) and "A." in fact.id]
    assert sorted(workers) == ["1", "2"]


@WAYS
def test_a_class_with_a_set_up_of_its_own_is_tried_as_a_whole(way, project):
    """Its tests build on each other, so all of them run again, and those that passed keep their outcome."""
    project.tests("""
    from django.test import SimpleTestCase
    from help import note, times
    class A(SimpleTestCase):
        @classmethod
        def setUpClass(cls):
            super().setUpClass()
            note("set-up")
            cls.steps = []
        def test_1(self):
            note("1")
            self.steps.append(1)
            self.assertEqual(times("1"), 1, "it fails when tried again, which does not count")
        def test_2(self):
            note("2")
            self.assertEqual(self.steps, [1])
            self.assertGreater(times("2"), 1)
        def test_3(self):
            note("3")
    class B(SimpleTestCase):
        def test_1(self): pass
    """)
    result = project.run("--retries=3", "--with-xunit", *way)
    assert (result.returncode, closing(result), ran(result)) == (0, "OK (flaky=1)", 4)
    assert [word for word, _, _ in log(project)] == ["set-up", "1", "2", "3"] * 2
    told = attempts(project)
    assert told["A.test_1"] == [(1, "passed", True), (2, "failed", False)]
    assert told["A.test_2"] == [(1, "failed", False), (2, "passed", True)]
    assert children(project, "A.test_1") == []


@WAYS
@pytest.mark.parametrize("phase", ["setUpClass", "setUpModule"])
def test_a_set_up_that_fails_once(phase, way, project):
    """A class's or a module's set-up that fails once is tried again, with all tests below it, and is no error then."""
    fixture = 'note("set-up")\n    if times("set-up") == 1:\n        raise OSError("not yet")'
    if phase == "setUpClass":
        fixture = f"@classmethod\ndef setUpClass(cls):\n    super().setUpClass()\n    {fixture}"
        head, inner = "", "\n".join(f"    {line}" for line in fixture.splitlines())
    else:
        head, inner = f"def setUpModule():\n    {fixture}", ""
    project.tests(
        "from django.test import SimpleTestCase, TestCase\nfrom help import note, times\n"
        f"{head}\nclass A(TestCase):\n{inner}\n    def test_1(self): note('1')\n    def test_2(self): note('2')\n"
    )
    project.tests("from django.test import TestCase\nclass B(TestCase):\n    def test_1(self): pass\n", "test_other")
    result = project.run("--retries=1", "--with-xunit", *way)
    assert (result.returncode, closing(result), ran(result)) == (0, "OK (flaky=2)", 3)
    assert [word for word, _, _ in log(project)] == ["set-up", "set-up", "1", "2"]
    assert attempts(project)["A.test_1"] == [(1, "error", False), (2, "passed", True)]
    set_ups = [fact for fact in project.facts() if isinstance(fact, FixtureFinished) and fact.phase == phase]
    told = [(fact.attempt, fact.outcome.value, fact.final) for fact in set_ups if fact.id in (MODULE, f"{MODULE}.A")]
    assert told == [(1, "error", False), (2, "passed", True)]
    for test in ("A.test_1", "A.test_2"):
        assert children(project, test) == [("flakyFailure", "not yet")]


@WAYS
def test_a_set_up_that_fails_to_the_end(way, project):
    """A set-up that fails in every attempt is one error, as without --retries."""
    project.tests("""
    from django.test import SimpleTestCase
    from help import times
    class A(SimpleTestCase):
        @classmethod
        def setUpClass(cls):
            raise OSError(f"attempt {times('set-up')}")
        def test_1(self): pass
        def test_2(self): pass
    class B(SimpleTestCase):
        def test_1(self): pass
    """)
    result = project.run("--retries=1", "--with-xunit", *way)
    assert (result.returncode, closing(result), ran(result)) == (1, "FAILED (errors=1)", 1)
    assert (project.folder / "set-up.times").read_text() == "xx"
    root = project.xunit()
    assert [root.get(name) for name in ("failures", "errors")] == ["0", "1"]


@WAYS
def test_a_subtest_that_fails_once(way, project):
    """The failure of a subtest is its test's: all of it is tried again, and the first attempt's counts no more."""
    project.tests("""
    from django.test import SimpleTestCase
    from help import times
    class A(SimpleTestCase):
        def test_1(self):
            time = times("A")
            for number in range(3):
                with self.subTest(number=number):
                    self.assertFalse(time == 1 and number == 1, "once")
    class B(SimpleTestCase):
        def test_1(self): pass
    """)
    result = project.run("--retries=1", "--with-xunit", *way)
    assert (result.returncode, closing(result), ran(result)) == (0, "OK (flaky=1)", 2)
    subtests = [fact for fact in project.facts() if isinstance(fact, SubTestFinished)]
    told = [(fact.attempt, fact.id.partition(" ")[2], fact.outcome.value, fact.final) for fact in subtests]
    assert told == [
        (1, "(number=0)", "passed", False),
        (1, "(number=1)", "failed", False),
        (1, "(number=2)", "passed", False),
        (2, "(number=0)", "passed", True),
        (2, "(number=1)", "passed", True),
        (2, "(number=2)", "passed", True),
    ]
    assert "flakyFailure" in {child.tag for child in project.xunit().iter()}
    assert [project.xunit().get(name) for name in ("failures", "errors")] == ["0", "0"]


@WAYS
def test_it_waits_before_it_tries_again(way, project):
    """--retry-delay keeps a test waiting, give or take a half of it; in parallel, the others go on meanwhile."""
    project.tests(FLAKY)
    assert project.run("--retries=2", "--retry-delay=0.4", *way).returncode == 0
    at = [when for word, _, when in log(project) if word == "A.2"]
    pauses = [after - before for before, after in pairwise(at)]
    assert len(pauses) == 2
    assert all(0.2 <= pause < 5 for pause in pauses)
    if way:
        assert next(when for word, _, when in log(project) if word == "C.1") < at[1]


@WAYS
def test_only_what_counts_stops_a_run(way, project):
    """With --failfast a failure that is going to be tried again does not stop the run; one that is final does."""
    project.tests(FLAKY)
    assert closing(project.run("--retries=2", "--failfast", *way)) == "OK (flaky=2)"
    for path in project.folder.glob("*.times"):
        path.unlink()
    result = project.run("--retries=1", "--failfast", f"{MODULE}.A", *way)
    assert result.returncode == 1
    (end,) = [fact for fact in project.facts() if isinstance(fact, RunFinished)]
    assert end.stopped == "--failfast"
    assert attempts(project)["A.test_2"] == [(1, "failed", False), (2, "failed", True)]


@WAYS
def test_what_is_expected_to_fail_is_not_tried_again(way, project):
    """Expected failures and skipped tests have one attempt; an unexpected success is a failure like any other."""
    project.tests("""
    import unittest
    from django.test import SimpleTestCase
    from help import times
    class A(SimpleTestCase):
        @unittest.expectedFailure
        def test_expected(self): self.fail()
        def test_skipped(self): self.skipTest("not today")
        @unittest.expectedFailure
        def test_unexpected(self): self.assertEqual(times("A"), 1)
    class B(SimpleTestCase):
        def test_1(self): pass
    """)
    result = project.run("--retries=1", *way)
    assert (result.returncode, closing(result)) == (0, "OK (skipped=1, expected failures=2, flaky=1)")
    told = attempts(project)
    assert told["A.test_expected"] == [(1, "expected failure", True)]
    assert told["A.test_skipped"] == [(1, "skipped", True)]
    assert told["A.test_unexpected"] == [(1, "unexpected success", False), (2, "expected failure", True)]


# Again and again


REPEATED = """
from django.test import SimpleTestCase, TestCase
from help import note, times
from shop.models import Item

class A(TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.seen = []
    def test_1(self):
        Item.objects.create(name="one")
        self.assertEqual(Item.objects.count(), 1)
        self.seen.append(1)
        self.assertEqual(self.seen, [1])
    def test_2(self): times("A.2")
class B(SimpleTestCase):
    def test_1(self):
        self.own = getattr(self, "own", 0) + 1
        self.assertEqual(self.own, 1, "a test case is used twice")
        times("B.1")
"""


@WAYS
def test_repeat_runs_all_tests_again(way, project):
    """--repeat 3 runs each test three times, each time set up anew, and passes when all of them passed."""
    project.tests(REPEATED)
    result = project.run("--repeat=3", "--with-xunit", *way)
    assert (result.returncode, closing(result), ran(result)) == (0, "OK", 9)
    assert (project.folder / "A.2.times").read_text() == (project.folder / "B.1.times").read_text() == "xxx"
    (started,) = [fact for fact in project.facts() if isinstance(fact, RunStarted)]
    assert len(started.ids) == 9
    assert project.xunit().get("tests") == "9"


@WAYS
def test_repeat_fails_when_one_round_fails(way, project):
    """A test that fails in one of the rounds fails the run, which goes on to its end."""
    project.tests("""
    from django.test import SimpleTestCase
    from help import times
    class A(SimpleTestCase):
        def test_1(self): self.assertNotEqual(times("A"), 2)
    class B(SimpleTestCase):
        def test_1(self): pass
    """)
    result = project.run("--repeat=4", *way)
    assert (result.returncode, closing(result), ran(result)) == (1, "FAILED (failures=1)", 8)


@WAYS
def test_until_fail_ends_with_the_first_failure(way, project):
    """--until-fail runs round after round until a test fails, and says why it stopped."""
    project.tests("""
    from django.test import SimpleTestCase, TestCase
    from help import times
    class A(TestCase):
        def test_1(self): self.assertLess(times("A"), 4)
    class B(SimpleTestCase):
        def test_1(self): times("B")
    """)
    result = project.run("--until-fail", *way)
    assert result.returncode == 1
    assert [outcome for _, outcome, _ in attempts(project)["A.test_1"]] == ["passed"] * 3 + ["failed"]
    assert len((project.folder / "B.times").read_text()) in (3, 4)
    (end,) = [fact for fact in project.facts() if isinstance(fact, RunFinished)]
    assert (end.stopped, end.lost) == ("--until-fail", ())


@WAYS
def test_until_fail_has_a_limit(way, project):
    """--until-fail --repeat 3 ends after three good rounds, with 0; it stops earlier when a test fails."""
    project.tests(REPEATED)
    result = project.run("--until-fail", "--repeat=3", *way)
    assert (result.returncode, closing(result), ran(result)) == (0, "OK", 9)
    project.tests("""
    from django.test import SimpleTestCase
    from help import times
    class A(SimpleTestCase):
        def test_1(self): self.assertLess(times("A"), 2)
    class B(SimpleTestCase):
        def test_1(self): times("B")
    """)
    result = project.run("--until-fail", "--repeat=9", *way)
    assert result.returncode == 1
    assert ran(result) < 9
    assert len((project.folder / "A.times").read_text()) in ((2, 3) if way else (2,))  # both workers may be at it
