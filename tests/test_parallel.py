"""`--parallel`: the same tests end alike in worker processes, and what is said of how they are run is so."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Mapping
from itertools import pairwise

import pytest

from testkit.core.events import (
    FixtureFinished,
    Outcome,
    RunFinished,
    RunMeasured,
    RunStarted,
    SubTestFinished,
    TestFinished,
    TestStarted,
    WorkerLost,
    WorkerStarted,
)
from tests.projects import MIXED, Project, clean_environment

MODULE = "shop.tests.test_shop"
TWO = "--parallel=2"

MEETING = """
import os, pathlib, time

PLACE = pathlib.Path(__file__).parent / "met"

def meet(name, count=2, seconds=30.0):
    \"\"\"Come to the place called `name`, and wait until `count` processes have.\"\"\"
    folder = PLACE / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / str(os.getpid())).touch()
    deadline = time.monotonic() + seconds
    while len(list(folder.iterdir())) < count:
        if time.monotonic() > deadline:
            raise AssertionError(f"{count} processes did not come to {name}")
        time.sleep(0.01)

def note(name, text):
    \"\"\"Add a line to the file called `name`.\"\"\"
    with open(pathlib.Path(__file__).parent / name, "a") as file:
        file.write(f"{text}\\n")
"""
PRINTING = MIXED.replace(
    "    def test_fails(self):\n", '    def test_fails(self):\n        print("said by a test that fails")\n'
)
WITH_MODULE_FIXTURES = """
from django.test import TestCase

def setUpModule():
    raise OSError("no module")

class A(TestCase):
    def test_1(self): pass
"""


@pytest.fixture
def meeting(project: Project) -> Project:
    """A project whose tests can meet tests in other processes."""
    project.write({"meeting.py": MEETING})
    return project


def know(project: Project, **seconds: float) -> None:
    """Write the durations of tests of ``MODULE``, named ``Class_test_name``, as a run before had left them."""
    tests = {f"{MODULE}.{name.replace('_', '.', 1)}": value for name, value in seconds.items()}
    lines = [json.dumps({"version": 1}, separators=(",", ":")), json.dumps({"tests": tests}), "{}]"]
    project.write({".testkit/durations.json": "[" + ",\n".join(lines) + "\n"})


def of_type(project: Project, *types: type) -> list:
    return [fact for fact in project.facts() if isinstance(fact, types)]


def outcomes(project: Project) -> dict[str, str]:
    """Return how each test, subtest and bad or skipped fixture of the last run ended."""
    found = {}
    for fact in of_type(project, TestFinished, SubTestFinished, FixtureFinished):
        if not isinstance(fact, FixtureFinished) or fact.outcome is not Outcome.PASSED:
            name = f"{fact.id} {fact.phase}" if isinstance(fact, FixtureFinished) else fact.id
            assert name not in found
            found[name] = fact.outcome.value
    return found


def workers_of(project: Project) -> dict[str, set[str]]:
    """Return the workers that the tests of each class ran in."""
    found: dict[str, set[str]] = {}
    for fact in of_type(project, TestFinished):
        found.setdefault(fact.class_id.removeprefix(f"{MODULE}."), set()).add(fact.worker)
    return found


def cases(project: Project) -> set[tuple]:
    """Return what the xunit file says of each test, but for times and the names of workers."""
    return {
        (
            case.get("classname"),
            case.get("name"),
            tuple((child.tag, child.get("type"), child.get("message")) for child in case if child.tag != "properties"),
        )
        for case in project.xunit().iter("testcase")
    }


def closing(result) -> list[str]:
    return [line for line in result.stderr.splitlines() if line.startswith(("OK", "FAILED", "NO TESTS"))]


def ran(result) -> str:
    return re.search(r"Ran \d+ tests?", result.stderr)[0]


def log(project: Project, name: str) -> list[list[str]]:
    """Return the words of each line that tests noted in the file ``name``."""
    return [line.split() for line in (project.folder / name).read_text().splitlines()]


# The same story


def test_it_ends_as_in_one_process(project):
    """Ids, outcomes, counts, status and the xunit file are those of a run in one process; -v 2 names each test."""
    project.tests(PRINTING)
    project.tests(WITH_MODULE_FIXTURES, "test_module")
    project.tests("import nothing_of_that_name", "test_broken")
    told = []
    for arguments in ([], [TWO]):
        result = project.run("--with-xunit", "-v2", *arguments)
        lines = sorted(line for line in result.stderr.splitlines() if re.search(r" \.\.\. \w", line))
        told.append((result.returncode, closing(result), ran(result), lines, outcomes(project), cases(project)))
    assert told[0] == told[1]
    status, (line,), _, lines, ends, _ = told[1]
    assert (status, line.partition(" (")[0]) == (1, "FAILED")
    assert f"test_reads ({MODULE}.DatabaseTests.test_reads) ... ok" in lines
    assert len(ends) == 15
    assert ends["shop.tests.test_broken"] == "error"


def test_facts_name_their_worker(project):
    """Each fact of a test or fixture says in which worker it was, and each worker's process is told once."""
    project.tests(PRINTING)
    project.run(TWO)
    started = of_type(project, WorkerStarted)
    assert {fact.worker for fact in started} == {"1", "2"}
    assert len({fact.pid for fact in started}) == len(started)
    facts = of_type(project, TestStarted, TestFinished, SubTestFinished, FixtureFinished)
    assert {fact.worker for fact in facts} == {"1", "2"}
    begun = set()
    for fact in project.facts():  # no worker is heard of before it has begun
        if isinstance(fact, WorkerStarted):
            begun.add(fact.worker)
        assert getattr(fact, "worker", "") in ({""} | begun)
    project.run("--parallel=1")
    assert not of_type(project, WorkerStarted)
    assert {fact.worker for fact in of_type(project, TestFinished, FixtureFinished)} == {""}


TALKERS = """
import os, subprocess, sys, time
from django.test import SimpleTestCase
from meeting import meet

class Talks:
    def talk(self, name):
        meet(name)
        for number in range(40):
            print(f"{type(self).__name__} prints {number}", flush=number % 2 == 0)
            sys.stderr.write(f"{type(self).__name__} complains {number}\\n")
            time.sleep(0.001)
        subprocess.run(["echo", f"{type(self).__name__}'s child"], check=True)
        os.write(1, f"{type(self).__name__} ends\\n".encode())

    def test_passes(self):
        self.talk("passes")

    def test_xfails(self):
        self.talk("fails")
        self.fail()

class A(Talks, SimpleTestCase): pass
class B(Talks, SimpleTestCase): pass
"""


def talk(name: str) -> tuple[str, str]:
    stdout = "".join(f"{name} prints {number}\n" for number in range(40)) + f"{name}'s child\n{name} ends\n"
    return stdout, "".join(f"{name} complains {number}\n" for number in range(40))


def test_output_is_shown_whole(meeting):
    """What a test and its children print in a worker stands together under its name, though others print meanwhile."""
    meeting.tests(TALKERS)
    shown = meeting.run(TWO).stderr
    for name in "AB":
        stdout, stderr = talk(name)
        printed = f"Stdout:\n{stdout}\nStderr:\n{stderr}"
        assert f"test_passes ({MODULE}.{name}.test_passes):\n{printed}" in shown
        assert shown.count(printed) == 2
        assert shown.index(f"FAIL: test_xfails ({MODULE}.{name}") < shown.rindex(printed)
    facts = {fact.id: (fact.stdout, fact.stderr) for fact in of_type(meeting, TestFinished)}
    assert facts == {f"{MODULE}.{name}.{test}": talk(name) for name in "AB" for test in ("test_passes", "test_xfails")}


def test_buffer_shows_the_output_of_what_fails_alone(meeting):
    """With --buffer, a test that passes in a worker shows nothing."""
    meeting.tests(TALKERS)
    shown = meeting.run(TWO, "--buffer").stderr
    for name in "AB":
        stdout, stderr = talk(name)
        assert shown.count(f"Stdout:\n{stdout}\nStderr:\n{stderr}") == 1
        assert f"{name}.test_passes)" not in shown


def test_debug_sql_shows_the_queries_of_what_fails(project):
    """--debug-sql works in workers as in one process."""
    project.tests(PRINTING)
    for arguments in ([], [TWO]):
        shown = project.run("--debug-sql", *arguments).stderr
        block = shown.partition(f"FAIL: test_fails ({MODULE}.DatabaseTests.test_fails)")[2].partition("=" * 70)[0]
        assert 'SELECT COUNT(*) AS "__count"' in block.replace("\n", " "), arguments


# How many workers


SHORT = """
import os, time
from django.test import SimpleTestCase
from meeting import meet

class A(SimpleTestCase):
    def test_1(self):
        if os.environ.get("MEET"):
            meet("all", int(os.environ["MEET"]))
        print("process", os.getpid(), os.getppid(), os.environ.get("TESTKIT_WORKER"))
class B(A): pass
class C(A): pass
"""


def test_auto_asks_the_environment(meeting):
    """--parallel auto, or without a number, makes DJANGO_TEST_PROCESSES workers, but none without a test for it."""
    meeting.tests(SHORT)
    for flag in ("--parallel=auto", "--parallel"):
        assert meeting.run(flag, DJANGO_TEST_PROCESSES="3", MEET="3").returncode == 0
        assert {fact.worker for fact in of_type(meeting, WorkerStarted)} == {"1", "2", "3"}
        for place in (meeting.folder / "met/all").iterdir():
            place.unlink()
    assert meeting.run("--parallel=auto", DJANGO_TEST_PROCESSES="9").returncode == 0
    assert {fact.worker for fact in of_type(meeting, WorkerStarted)} <= {"1", "2", "3"}
    result = meeting.run("--parallel", DJANGO_TEST_PROCESSES="many")
    assert result.returncode == 2
    assert "DJANGO_TEST_PROCESSES is 'many', and not a number" in result.stderr


@pytest.mark.parametrize("arguments", [["--parallel=1"], [TWO, f"{MODULE}.A"]], ids=["one worker", "one test"])
def test_one_is_this_process(arguments, meeting):
    """--parallel 1, and one test alone, run in the process of the run."""
    meeting.tests(SHORT)
    process = meeting.start(*arguments)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert not of_type(meeting, WorkerStarted)
    said = re.findall(r"process (\d+) \d+ (\w+)", stdout)
    assert set(said) == {(str(process.pid), "None")}


# Ending early


MANY = """
import time
from django.test import SimpleTestCase

class Passes(SimpleTestCase):
    def test_1(self): time.sleep(0.1)
    def test_2(self): time.sleep(0.1)
    def test_3(self): time.sleep(0.1)
    def test_4(self): time.sleep(0.1)
class Fails(SimpleTestCase):
    def test_1(self): self.fail()
    def test_2(self): self.fail()
    def test_3(self): self.fail()
    def test_4(self):
        time.sleep(0.2)
        self.fail()
    def test_5(self): pass
"""


@pytest.mark.parametrize("arguments", [[], [TWO]], ids=["serial", "parallel"])
@pytest.mark.parametrize(
    ("flags", "failures", "reason"),
    [
        (["--failfast"], 1, "--failfast"),
        (["--max-failures=3"], 3, "--max-failures 3"),
        (["--max-failures=1"], 1, "--max-failures 1"),
    ],
)
def test_it_stops_at_a_number_of_failures(flags, failures, reason, arguments, project):
    """--failfast and --max-failures let the running tests end, begin no other one, and name what did not run."""
    project.tests(MANY)
    result = project.run(*flags, *arguments)
    assert result.returncode == 1
    end = of_type(project, RunFinished)[0]
    assert (end.stopped, end.lost, end.interrupted) == (reason, (), "")
    (started,) = of_type(project, RunStarted)
    ended = {fact.id: fact.outcome for fact in of_type(project, TestFinished)}
    assert {*ended, *end.not_run} == set(started.ids)
    assert not ended.keys() & set(end.not_run)
    assert f"{MODULE}.Fails.test_5" in end.not_run
    failed = sum(outcome.is_bad for outcome in ended.values())
    # A worker may have begun the next test before it hears that it is to stop.
    assert failures <= failed <= failures + bool(arguments)
    assert f"not run={len(end.not_run)})" in closing(result)[0]


def test_failfast_in_one_worker_stops_after_the_failure(project):
    """A worker begins no test after its own failure with --failfast."""
    project.tests(MANY)
    for _ in range(3):
        project.run("--failfast", TWO)
        failed = [fact.id for fact in of_type(project, TestFinished) if fact.outcome.is_bad]
        assert failed == [f"{MODULE}.Fails.test_1"]


@pytest.mark.parametrize("arguments", [[], [TWO]], ids=["serial", "parallel"])
def test_a_test_may_stop_the_run(arguments, project):
    """A test that calls ``stop()`` of its result stops the whole run; what did not run then is not lost."""
    project.tests("""
    from django.test import SimpleTestCase
    class A(SimpleTestCase):
        def test_1(self): self._outcome.result.stop()
        def test_2(self): pass
    class B(SimpleTestCase):
        def test_1(self): pass
    class C(SimpleTestCase):
        def test_1(self): pass
    """)
    result = project.run(*arguments)
    assert result.returncode == 2
    assert "a test stopped the run" in result.stderr
    (end,) = of_type(project, RunFinished)
    assert (end.stopped, end.lost) == ("a test stopped the run", ())
    assert f"{MODULE}.A.test_2" in end.not_run


@pytest.mark.parametrize("arguments", [[], [TWO]], ids=["serial", "parallel"])
def test_the_run_has_a_time_limit(arguments, project):
    """--run-timeout ends the tests that run then, says where they were, and what did not run; the status is 1."""
    project.tests("""
    import time
    from django.test import SimpleTestCase
    class A(SimpleTestCase):
        def test_1(self): pass
        def test_2(self): time.sleep(60)
        def test_3(self): pass
    class B(SimpleTestCase):
        def test_1(self): pass
        def test_2(self): time.sleep(60)
        def test_3(self): pass
    """)
    result = project.run("--run-timeout=1", *arguments)
    assert result.returncode == 1
    (end,) = of_type(project, RunFinished)
    assert end.stopped == "the run took longer than --run-timeout 1"
    assert end.seconds < 5
    at_work = ["A.test_2", "B.test_2"] if arguments else ["A.test_2"]
    bad = [fact for fact in of_type(project, TestFinished) if fact.outcome.is_bad]
    assert sorted(fact.id for fact in bad) == [f"{MODULE}.{name}" for name in at_work]
    for fact in bad:
        assert "--run-timeout 1" in fact.problems[0].message
        assert re.search(r"test_shop\.py.*test_2", fact.problems[0].traceback), fact.problems[0].traceback
    assert f"{MODULE}.A.test_3" in end.not_run


@pytest.mark.parametrize("arguments", [[], [TWO]], ids=["serial", "parallel"])
def test_only_the_tests_have_a_time_limit(arguments, project):
    """What comes after the tests, as the tear-down of databases, may go beyond --run-timeout."""
    project.settings('TEST_RUNNER = "own.Runner"')
    project.write(
        {
            "own.py": """
            import time
            from django.test.runner import DiscoverRunner
            class Runner(DiscoverRunner):
                def teardown_databases(self, *args, **kwargs):
                    super().teardown_databases(*args, **kwargs)
                    time.sleep(2.5)
            """
        }
    )
    project.tests(PRINTING)
    assert (
        project.run("--run-timeout=2", *arguments, f"{MODULE}.FlushingTests", f"{MODULE}.SkippedClass").returncode == 0
    )


def test_slow_tests_are_told_of_while_they_run(project):
    """--slow-after names a test that is still running, once, and its worker."""
    project.tests("""
    import time
    from django.test import SimpleTestCase
    class A(SimpleTestCase):
        def test_slow(self): time.sleep(1.2)
    class B(SimpleTestCase):
        def test_quick(self): pass
    """)
    shown = project.run(TWO, "--slow-after=0.3").stderr
    told = re.findall(r"slow: (.*) has been running for (\d+) s \(worker (\d)\)", shown)
    assert [name for name, _, _ in told] == [f"{MODULE}.A.test_slow"]


# Order


def test_shuffled_tests_keep_their_order(project):
    """Each worker runs its share of a shuffled run in the order of that, which the seed gives again."""
    tests = "".join(f"class C{number}(SimpleTestCase):\n    def test_1(self): pass\n" for number in range(12))
    project.tests(f"from django.test import SimpleTestCase\n{tests}")
    know(project, **{f"C{number}_test_1": 0.01 * number for number in range(12)})
    orders = []
    for arguments in (["--shuffle=7"], ["--shuffle=7", TWO], ["--shuffle=7", TWO]):
        result = project.run(*arguments)
        assert "Using shuffle seed: 7" in result.stdout
        (started,) = of_type(project, RunStarted)
        orders.append(started.ids)
        for worker in "12":
            mine = [started.ids.index(fact.id) for fact in of_type(project, TestStarted) if fact.worker == worker]
            assert mine == sorted(mine)
    assert orders[0] == orders[1] == orders[2]
    assert list(orders[0]) != sorted(orders[0])


def test_the_longest_class_comes_first(project):
    """Without --shuffle, the classes that took longest in former runs begin first."""
    tests = "".join(f"class C{number}(SimpleTestCase):\n    def test_1(self): pass\n" for number in range(6))
    project.tests(f"from django.test import SimpleTestCase\n{tests}")
    know(project, C0_test_1=0.1, C1_test_1=0.2, C2_test_1=0.3, C3_test_1=0.6, C4_test_1=0.5, C5_test_1=0.4)
    project.run(TWO)
    place = {f"{MODULE}.C{number}.test_1": place for place, number in enumerate((3, 4, 5, 2, 1, 0))}
    for worker in "12":
        mine = [place[fact.id] for fact in of_type(project, TestStarted) if fact.worker == worker]
        assert mine == sorted(mine)
    first = next(fact for fact in of_type(project, TestStarted) if fact.worker == "1")
    assert place[first.id] == 0


# What goes to a worker together


SPLIT = """
import os
from django.test import SimpleTestCase, TestCase
from django.test.testcases import SerializeMixin
from testkit import no_split
from meeting import meet

class Tests:
    def test_1(self): self.work()
    def test_2(self): self.work()
    def test_3(self): self.work()
    def test_4(self): self.work()
    def work(self): pass

class Divided(Tests, TestCase):
    def work(self): meet("divided")
@no_split
class Marked(Tests, TestCase): pass
class OwnSetUp(Tests, TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
class Inherits(OwnSetUp): pass
class Locked(SerializeMixin, Tests, TestCase):
    lockfile = __file__
"""


@pytest.mark.parametrize("name", ["Divided", "Marked", "OwnSetUp", "Inherits", "Locked"])
def test_a_long_class_is_divided_where_it_may_be(name, meeting):
    """A class longer than a worker's share goes to two workers, unless it has a set-up or a word of its own against it."""
    meeting.tests(SPLIT)
    know(meeting, **{f"{name}_test_{number}": 1.0 for number in range(1, 5)})
    result = meeting.run(TWO, f"{MODULE}.{name}")
    assert result.returncode == 0, result.stderr
    assert ran(result) == "Ran 4 tests"
    assert len(workers_of(meeting)[name]) == (2 if name == "Divided" else 1)


def test_a_short_class_is_not_divided(meeting):
    """Durations decide: the same class is one piece where another one takes longer."""
    meeting.tests(SPLIT.replace('meet("divided")', "pass"))
    names = [f"{name}_test_{number}" for name in ("Divided", "Marked") for number in range(1, 5)]
    know(meeting, **{name: 0.01 if name.startswith("Divided") else 1.0 for name in names})
    meeting.run(TWO, f"{MODULE}.Divided", f"{MODULE}.Marked")
    assert {name: len(workers) for name, workers in workers_of(meeting).items()} == {"Divided": 1, "Marked": 1}


def test_module_fixtures_run_once(meeting):
    """The classes of a module with setUpModule run in one worker, between one set-up and one tear-down."""
    meeting.tests("""
    from django.test import SimpleTestCase
    from meeting import note
    def setUpModule(): note("log", "setUpModule")
    def tearDownModule(): note("log", "tearDownModule")
    class A(SimpleTestCase):
        def test_1(self): note("log", "A")
        def test_2(self): note("log", "A")
    class B(SimpleTestCase):
        def test_1(self): note("log", "B")
    class C(SimpleTestCase):
        def test_1(self): note("log", "C")
    """)
    meeting.tests(
        "from django.test import SimpleTestCase\nclass D(SimpleTestCase):\n    def test_1(self): pass", "test_d"
    )
    assert meeting.run(TWO).returncode == 0
    noted = [line for (line,) in log(meeting, "log")]
    assert (noted[0], sorted(noted[1:-1]), noted[-1]) == ("setUpModule", ["A", "A", "B", "C"], "tearDownModule")


RESOURCES = """
import os, time
from django.test import SimpleTestCase
from testkit import resource
from meeting import meet, note

class Uses(SimpleTestCase):
    def use(self):
        began = time.monotonic()
        time.sleep(0.1)
        note("log", f"{type(self).__name__} {began} {time.monotonic()}")
    def test_1(self): self.use()
    def test_2(self): self.use()

SLOTS = int(os.environ["SLOTS"])
@resource("redis", slots=SLOTS)
class A(Uses):
    def test_0(self):
        if SLOTS > 1:
            meet("both")
@resource("redis", slots=SLOTS)
class B(Uses):
    def test_0(self):
        if SLOTS > 1:
            meet("both")
class Free(Uses):
    def test_0(self):
        time.sleep(0.3)
del Uses
"""


def spans(project: Project, names: Iterable[str]) -> list[tuple[float, float]]:
    return sorted((float(began), float(ended)) for name, began, ended in log(project, "log") if name in names)


@pytest.mark.parametrize("slots", [1, 2])
def test_a_resource_has_its_slots(slots, meeting):
    """Two classes that name a resource with one slot never run at the same time; with two slots they may."""
    meeting.tests(RESOURCES)
    result = meeting.run("--parallel=3", SLOTS=str(slots))
    assert result.returncode == 0, result.stderr
    if slots == 1:
        used = spans(meeting, "AB")
        assert len(used) == 4
        assert all(before[1] <= after[0] for before, after in pairwise(used))
        assert len({worker for name in "AB" for worker in workers_of(meeting)[name]}) in (1, 2)
        # What needs none of it does not wait.
        free = spans(meeting, ["Free"])
        assert free[0][0] < used[-1][1]


# What a worker has for itself


ISOLATION = """
import os, pathlib, tempfile
from django.conf import settings
from django.core.cache import cache, caches
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import SimpleTestCase
from meeting import meet, note

class A(SimpleTestCase):
    def test_1(self):
        mine = type(self).__name__
        self.assertIsNone(cache.get("who"))
        cache.set("who", mine)
        caches["files"].set("who", mine)
        default_storage.save("who.txt", ContentFile(mine))
        meet("all")
        self.assertEqual(cache.get("who"), mine)
        self.assertEqual(caches["files"].get("who"), mine)
        self.assertEqual(default_storage.listdir("")[1], ["given.txt", "who.txt"])
        with default_storage.open("who.txt") as file:
            self.assertEqual(file.read().decode(), mine)
        temporary = tempfile.mkdtemp()
        note("log", f"{os.environ['TESTKIT_WORKER']} {settings.MEDIA_ROOT} {caches['files']._dir} {temporary}")
class B(A): pass

if "TESTKIT_WORKER" not in os.environ:
    cache.set("who", "the run")
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_have_files_and_caches_of_their_own(method, meeting):
    """Caches, uploaded files and temporary ones of two workers do not meet, and are gone when the run is over."""
    meeting.settings("""
    MEDIA_ROOT = "media"
    CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
        "files": {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": "cached"},
    }
    """)
    meeting.write({"media/given.txt": "given"})
    meeting.tests(ISOLATION)
    result = meeting.run(TWO, f"--start-method={method}")
    assert result.returncode == 0, result.stderr
    noted = log(meeting, "log")
    assert {words[0] for words in noted} == {"1", "2"}
    for places in zip(*noted, strict=True):
        assert len(set(places)) == 2
    for words in noted:
        assert not any((meeting.folder / place).exists() for place in words[1:])
    assert [path.name for path in (meeting.folder / "media").iterdir()] == ["given.txt"]
    assert not list((meeting.folder / "cached").glob("*"))


# Start methods


def test_what_cannot_be_found_is_named(project):
    """A test that is made while tests are collected runs in a fork; another process names it, and what to do."""
    project.tests("""
    from django.test import SimpleTestCase
    def make():
        class Made(SimpleTestCase):
            def test_1(self): pass
        return Made
    Kept = make()
    """)
    project.tests(
        """
    from django.test import SimpleTestCase
    def load_tests(loader, tests, pattern):
        class Made(SimpleTestCase):
            def test_1(self): pass
        return loader.loadTestsFromTestCase(Made)
    """,
        "test_made",
    )
    project.write({"shop/tests/test_doc.py": DOCTEST, "shop/wipe.py": WIPE})
    assert project.run(TWO, "--start-method=fork").returncode == 0
    forked = outcomes(project)
    assert project.run(TWO, "--start-method=spawn").returncode == 1
    assert outcomes(project) == {**forked, "shop.wipe.wipe": "error"}
    assert len(forked) == 3
    (bad,) = [fact for fact in of_type(project, TestFinished) if fact.outcome.is_bad]
    assert "--start-method=fork" in bad.problems[0].message
    assert not (project.folder / "wiped").exists()


WIPE = """
def wipe():
    '''
    >>> 1 + 1
    2
    '''
    open("wiped", "w").close()
"""
DOCTEST = """
import doctest
import shop.wipe

def load_tests(loader, tests, pattern):
    return doctest.DocTestSuite(shop.wipe)
"""
FOUND_OTHERWISE = """
import doctest, sys, unittest
from django.test import SimpleTestCase

def add():
    '''
    >>> 1 + 1
    2
    '''

class Given(unittest.TestCase):
    def __init__(self, method="test_given", number=None):
        super().__init__(method)
        self.number = number
    def test_given(self):
        print("given", self.number)

class Outer:
    class Inner(SimpleTestCase):
        def test_1(self): print("inner")

def load_tests(loader, tests, pattern):
    own = unittest.TestSuite([Given("test_given", 1)])
    own.addTests(doctest.DocTestSuite(sys.modules[__name__]))
    own.addTest(Outer.Inner("test_1"))
    return own
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_tests_that_load_tests_made_are_found(method, project):
    """What a module's load_tests makes of the module runs in a worker of any kind, with what it was given."""
    project.tests(FOUND_OTHERWISE)
    result = project.run(TWO, f"--start-method={method}")
    assert result.returncode == 0, result.stderr
    assert sorted(fact.stdout for fact in of_type(project, TestFinished)) == ["", "given 1\n", "inner\n"]
    assert f"{MODULE}.add" in outcomes(project)


def test_what_cannot_be_imported_is_told_alike(project):
    """A module that cannot be imported or is skipped, and a label that leads nowhere, are told of as in one process."""
    project.tests("import nothing_of_that_name", "test_broken")
    project.tests("import unittest\nraise unittest.SkipTest('not here')", "test_skipped")
    project.tests("from unittest import TestCase\nclass A(TestCase):\n    def test_1(self): pass")
    told = []
    for arguments in ([], [TWO, "--start-method=spawn"]):
        result = project.run("shop", "shop.nothing", *arguments)
        finished = of_type(project, TestFinished)
        told.append(
            (
                result.returncode,
                closing(result),
                {
                    (fact.id, fact.outcome, fact.reason, tuple((p.type, p.message) for p in fact.problems))
                    for fact in finished
                },
            )
        )
    assert told[0] == told[1]
    assert told[0][0] == 1
    assert any("nothing_of_that_name" in p[1] for fact in told[1][2] for p in fact[3])


def test_a_long_lease_keeps_nobody_waiting(meeting):
    """A class with more tests than a pipe takes does not keep other workers from starting, however long its own does."""
    meeting.settings("""
    import multiprocessing
    if multiprocessing.parent_process():
        from meeting import meet
        meet("the start", 2, seconds=15)
    """)
    meeting.tests("""
    from django.test import SimpleTestCase
    from testkit import no_split
    @no_split
    class A(SimpleTestCase): pass
    @no_split
    class B(SimpleTestCase): pass
    for number in range(700):
        for cls in (A, B):
            setattr(cls, f"test_{number}_{'x' * 100}", lambda self: None)
    """)
    result = meeting.run(TWO, "--start-method=spawn")
    assert result.returncode == 0, result.stderr
    assert ran(result) == "Ran 1400 tests"
    assert not of_type(meeting, WorkerLost)


def test_a_projects_own_init_worker_is_called(project):
    """``init_worker`` of a runner's own ParallelTestSuite sets each forked worker up, as it does under Django."""
    project.settings('TEST_RUNNER = "own.Runner"')
    project.write(
        {
            "own.py": """
            import os
            from django.test.runner import DiscoverRunner, ParallelTestSuite, _init_worker

            def init_worker(counter, *args, **kwargs):
                _init_worker(counter, *args, **kwargs)
                from django.test import runner
                os.environ["OWN_WORKER"] = str(runner._worker_id)

            class Suite(ParallelTestSuite):
                init_worker = init_worker

            class Runner(DiscoverRunner):
                parallel_test_suite = Suite
            """
        }
    )
    project.tests("""
    import os
    from django.test import TestCase
    from shop.models import Item
    class A(TestCase):
        def test_1(self):
            self.assertEqual(os.environ["OWN_WORKER"], os.environ["TESTKIT_WORKER"])
            Item.objects.create(name="x")
            self.assertEqual(Item.objects.count(), 1)
    class B(A): pass
    """)
    result = project.run(TWO)
    assert result.returncode == 0, result.stderr
    assert {fact.worker for fact in of_type(project, WorkerStarted)} == {"1", "2"}


# Coverage


COVERED = {
    "shop/logic.py": """
    import os

    def first(number):
        if number:
            return "yes"
        return "no"

    def second():
        return [
            number
            for number in range(3)
        ]

    def third():
        if os.environ.get("KILL"):
            os.kill(os.getpid(), 9)
        return 3

    def never():
        return 0
    """,
    "shop/tests/test_shop.py": """
    from django.test import SimpleTestCase, TestCase
    from shop import logic

    class A(TestCase):
        def test_1(self): self.assertEqual(logic.first(1), "yes")
    class B(SimpleTestCase):
        def test_1(self): self.assertEqual(logic.first(0), "no")
        def test_2(self): self.assertEqual(len(logic.second()), 3)
    class C(TestCase):
        def test_1(self): self.assertEqual(logic.third(), 3)
    """,
}


def covered(project: Project, file: str = "reports/coverage.json") -> Mapping[str, list[int]]:
    plain = json.loads((project.folder / file).read_text())
    return {name: data["executed_lines"] for name, data in plain["files"].items()}


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_coverage_is_that_of_one_process(method, project):
    """Lines, branches and the lines of each test are those of a run in one process, whatever workers ran them."""
    project.write(COVERED)
    flags = ["--with-cov", "--cover-package=shop", "--cover-branches", "--cover-contexts"]
    told = []
    for arguments in ([], [TWO, f"--start-method={method}"]):
        result = project.run(*flags, "--cover-json", *arguments)
        assert result.returncode == 0, result.stderr
        (section,) = [fact.data for fact in of_type(project, RunMeasured) if fact.section == "coverage"]
        told.append((covered(project), section["covered"]))
    assert told[0] == told[1]
    assert len(told[0][0]["shop/logic.py"]) > 10


def test_a_lost_worker_loses_the_lines_of_its_lease(project):
    """What was measured before the lease in which a worker died is kept, and the run names the tests it is without."""
    project.write(COVERED)
    know(project, B_test_1=3.0, B_test_2=3.0, A_test_1=2.0, C_test_1=1.5)
    result = project.run(
        TWO, "--with-cov", "--cover-package=shop", "--cover-json", "--cover-json-file=lost.json", KILL="1"
    )
    assert result.returncode == 1
    (loss,) = of_type(project, WorkerLost)
    assert loss.running == f"{MODULE}.C.test_1"
    assert f"the coverage lacks what 1 tests ran in workers that were lost: {MODULE}.C.test_1" in result.stderr
    lost = set(covered(project, "lost.json")["shop/logic.py"])
    project.run("--with-cov", "--cover-package=shop", "--cover-json")
    missing = set(covered(project)["shop/logic.py"]) - lost
    lines = textwrap.dedent(COVERED["shop/logic.py"]).lstrip("\n").splitlines()
    assert {lines[number - 1].strip() for number in missing} == {'if os.environ.get("KILL"):', "return 3"}


def test_coverage_run_has_the_lines_of_workers(project):
    """`coverage run manage.py test --with-cov --parallel 2` gives the workers' lines to coverage's own data file."""
    project.write(COVERED)
    told = []
    for arguments in ([], [TWO]):
        run_coverage(project, "run", "--source=shop", "manage.py", "test", "--with-cov", *arguments)
        run_coverage(project, "json", "-o", "out.json")
        told.append(covered(project, "out.json"))
    assert told[0] == told[1]
    assert len(told[0]["shop/logic.py"]) > 10


def run_coverage(project: Project, *arguments: str) -> None:
    command = [sys.executable, "-m", "coverage", *arguments]
    done = subprocess.run(command, cwd=project.folder, env=clean_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
