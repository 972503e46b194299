"""`--find-pollution TEST`: the tests that make another one fail are found, and the command that is printed shows it."""

from __future__ import annotations

import shlex
import subprocess
import sys

from testkit.core.events import RunStarted, TestFinished
from tests.projects import Project, clean_environment

MODULE = "shop.tests.test_shop"
VICTIM = f"{MODULE}.Z.test_9"
POLLUTED = """
import os
from django.test import SimpleTestCase, TestCase
from shop.models import Item

STATE = set()

class A(TestCase):
    def test_1(self): Item.objects.create(name="kept within its transaction")
    def test_2(self): pass
    def test_3(self): STATE.add("first")
    def test_4(self): pass
class B(TestCase):
    def test_1(self): pass
    def test_2(self): STATE.add("second")
    def test_3(self): pass
class Z(TestCase):
    def test_1(self): pass
    def test_9(self):
        self.assertEqual(Item.objects.count(), 0)
        self.assertFalse(STATE >= set(os.environ.get("NEEDED", "first").split()), STATE)
"""


def names(result) -> list[str]:
    """Return the tests that the run named as those at fault."""
    lines = result.stdout.partition(f"{VICTIM} fails after:\n")[2].splitlines()
    return [line.strip() for line in lines if line.startswith("  ") and "python" not in line]


def printed_command(result) -> list[str]:
    """Return the words of the command that the run printed."""
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("  python -m testkit ")]
    return shlex.split(line)


def run_printed(project: Project, result, **environment: str) -> dict[str, str]:
    """Run the command that was printed, and return the outcomes of its tests in their order."""
    words = printed_command(result)
    assert words[0] == "python"
    done = subprocess.run(
        [sys.executable, *words[1:]],
        cwd=project.folder,
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1, done.stderr
    return {fact.id: fact.outcome.value for fact in project.facts() if isinstance(fact, TestFinished)}


def test_one_polluter(project):
    """The one test after which another one fails is named, status 0; the command printed fails with both."""
    project.tests(POLLUTED)
    result = project.run(f"--find-pollution={VICTIM}")
    assert result.returncode == 0, result.stderr
    assert f"8 tests ran before {VICTIM} in this run" in result.stdout
    assert names(result) == [f"{MODULE}.A.test_3"]
    assert run_printed(project, result) == {f"{MODULE}.A.test_3": "passed", VICTIM: "failed"}


def test_two_polluters(project):
    """Two tests that do it only together are both named, and nothing else, also by manage.py."""
    project.tests(POLLUTED)
    result = project.run(f"--find-pollution={VICTIM}", front="manage.py", NEEDED="first second")
    assert result.returncode == 0, result.stderr
    assert names(result) == [f"{MODULE}.A.test_3", f"{MODULE}.B.test_2"]
    ends = run_printed(project, result, NEEDED="first second")
    assert ends == {f"{MODULE}.A.test_3": "passed", f"{MODULE}.B.test_2": "passed", VICTIM: "failed"}


def test_it_fails_by_itself(project):
    """Of a test that fails on its own this is said, and the command is that test alone."""
    project.tests(POLLUTED.replace('os.environ.get("NEEDED", "first").split()', "()"))
    result = project.run(f"--find-pollution={VICTIM}")
    assert result.returncode == 0, result.stderr
    assert f"{VICTIM} fails by itself" in result.stdout
    assert run_printed(project, result) == {VICTIM: "failed"}


def test_it_does_not_fail(project):
    """A test that passes in this order ends the run with status 2, and what to try is said."""
    project.tests(POLLUTED)
    result = project.run(f"--find-pollution={VICTIM}", NEEDED="third")
    assert result.returncode == 2
    assert f"{VICTIM} passes after the 8 tests" in result.stderr
    assert "--shuffle=SEED" in result.stderr
    assert "Traceback" not in result.stderr


def test_unknown_test(project):
    """A test that is not among those of the run ends it with status 2 and says how to name it."""
    project.tests(POLLUTED)
    for test in ("test_9", f"{MODULE}.Z"):
        result = project.run(f"--find-pollution={test}")
        assert result.returncode == 2
        assert f"{test} is not among the 9 tests of this run" in result.stderr
        assert "Traceback" not in result.stderr


def test_a_shuffled_order(project):
    """With --shuffle SEED the order looked at is that of the seed: a test that else comes later is found there."""
    project.tests("""
    from django.test import SimpleTestCase
    STATE = set()
    class A(SimpleTestCase):
        def test_1(self): pass
    class Victim(SimpleTestCase):
        def test_1(self): self.assertFalse(STATE)
    class Z(SimpleTestCase):
        def test_1(self): pass
        def test_2(self): STATE.add(1)
    """)
    victim, late = f"{MODULE}.Victim.test_1", f"{MODULE}.Z.test_2"
    assert project.run(f"--find-pollution={victim}").returncode == 2
    for seed in range(1, 40):
        listed = project.run("--list-tests", f"--shuffle={seed}").stdout.split()
        if listed.index(late) < listed.index(victim):
            break
    result = project.run(f"--find-pollution={victim}", f"--shuffle={seed}")
    assert result.returncode == 0, result.stderr
    assert run_printed(project, result) == {late: "passed", victim: "failed"}


def test_the_order_of_a_worker(project):
    """After a parallel run in which the test failed, the order looked at is that of the worker it failed in."""
    project.tests("""
    import os, time
    from django.test import SimpleTestCase, TestCase
    from testkit import no_split
    STATE = set()
    class A(TestCase):
        def test_1(self): pass
    class Victim(TestCase):
        def test_9(self): self.assertFalse(STATE)
    @no_split
    class Z(TestCase):
        def test_1(self): pass
        def test_2(self): STATE.add(1)
        def test_3(self): pass
    class Other(SimpleTestCase):
        def test_1(self): time.sleep(0.5)
    """)
    project.write(
        {
            ".testkit/durations.json": '[{"version":1},\n{"tests":{'
            f'"{MODULE}.Other.test_1":9,"{MODULE}.Z.test_1":3,"{MODULE}.Z.test_2":3,"{MODULE}.Z.test_3":3,'
            f'"{MODULE}.Victim.test_9":1,"{MODULE}.A.test_1":0.1}}}},\n{{}}]\n'
        }
    )
    victim = f"{MODULE}.Victim.test_9"
    assert project.run(f"--find-pollution={victim}").returncode == 2  # in this run's own order it passes
    assert project.run("--parallel=2").returncode == 1
    facts = project.facts()
    assert len({fact.worker for fact in facts if isinstance(fact, TestFinished)}) == 2
    result = project.run(f"--find-pollution={victim}")
    assert result.returncode == 0, result.stderr
    assert f"ran before {victim} in the last run, where it failed" in result.stdout
    assert run_printed(project, result) == {f"{MODULE}.Z.test_2": "passed", victim: "failed"}


def test_trials_in_other_processes(project):
    """It works with processes that are no forks, each with a database of its own."""
    project.tests(POLLUTED)
    assert project.run(f"--find-pollution={VICTIM}", "--start-method=spawn", f"{MODULE}.A", VICTIM).returncode == 0


def test_what_changes_the_database(project):
    """A test that leaves rows behind is found as well: each trial has a fresh database; the run keeps no journal."""
    project.tests("""
    from django.test import TestCase, TransactionTestCase
    from shop.models import Item
    import unittest
    class Flushes(TransactionTestCase):
        def test_1(self): pass
    class Leaves(unittest.TestCase):
        databases = {"default"}
        def test_1(self): pass
        def test_2(self): Item.objects.create(name="left")
        def test_3(self): pass
    class Sees(unittest.TestCase):
        databases = {"default"}
        def test_1(self): self.assertEqual(Item.objects.count(), 0)
    """)
    project.run()
    (before,) = [fact.run for fact in project.facts() if isinstance(fact, RunStarted)]
    victim = f"{MODULE}.Sees.test_1"
    result = project.run(f"--find-pollution={victim}")
    assert result.returncode == 0, result.stderr
    assert f"{victim} fails after:\n  {MODULE}.Leaves.test_2\n" in result.stdout
    assert [fact.run for fact in project.facts() if isinstance(fact, RunStarted)] == [before]


def test_a_test_that_hangs_has_failed(project):
    """The time limit of tests holds in the trials, so a test that hangs after another one is looked into, too."""
    project.tests("""
    import time
    from django.test import SimpleTestCase
    STATE = set()
    class A(SimpleTestCase):
        def test_1(self): pass
        def test_2(self): STATE.add("locked")
        def test_3(self): pass
    class Z(SimpleTestCase):
        def test_9(self):
            if STATE:
                time.sleep(60)
    """)
    result = project.run(f"--find-pollution={VICTIM}", "--timeout=0.5")
    assert result.returncode == 0, result.stderr
    assert names(result) == [f"{MODULE}.A.test_2"]
