"""Runs of pytest as our listeners hear them: every outcome, every way to end, and the reports of each."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
from lxml import etree

from testkit.core.events import (
    FixtureFinished,
    Outcome,
    RunFinished,
    RunStarted,
    SubTestFinished,
    TestFinished,
    WorkerLost,
    WorkerStarted,
)
from tests.projects import Project, clean_environment
from tests.pytest_plugin.conftest import run_pytest

INI = "[pytest]\npython_files = test_*.py\n"
OUTCOMES = '''
import sys, time, unittest
import pytest

def test_passes():
    """It is fine.

    More of it."""
    print("said"); print("beside", file=sys.stderr)

def test_fails():
    assert [1, 2] == [1, 3]

def test_raises():
    raise KeyError("x")

def test_fails_by_word():
    pytest.fail("no good")

@pytest.mark.skip(reason="not today")
def test_skipped(): pass

@pytest.mark.xfail(reason="a bug")
def test_expected(): assert 0

@pytest.mark.xfail
def test_passes_unexpectedly(): pass

@pytest.mark.xfail(strict=True, reason="mended?")
def test_must_not_pass(): pass

@pytest.mark.parametrize("value", [1, "a::b[c] d"])
def test_parametrised(value): pass

def test_parts(subtests):
    for number in range(3):
        with subtests.test("part", number=number, thing=object):
            assert number != 1

def test_surrogates():
    raise ValueError("\\udc80")

@pytest.fixture
def torn():
    yield
    raise OSError("in tear-down")

def test_torn(torn): pass

def test_fails_and_is_torn(torn): assert 0

@pytest.fixture
def broken(): raise OSError("in set-up")

def test_not_set_up(broken): pass

@pytest.fixture(scope="module")
def slow():
    time.sleep(1)
    yield
    time.sleep(1)

class TestGroup:
    class TestInner:
        def test_deep(self, slow): pass

class TestBrokenGroup:
    @classmethod
    def setup_class(cls): raise OSError("no group")
    def test_one(self): pass
    def test_two(self): pass

class TestTornGroup:
    @classmethod
    def teardown_class(cls): raise OSError("group in pieces")
    def test_it(self): pass

class Case(unittest.TestCase):
    def test_both(self):
        self.addCleanup(lambda: 1 / 0)
        self.fail("first")
'''
STATUSES = {
    "test_passes": "passed",
    "test_fails": "failed",
    "test_raises": "error",
    "test_fails_by_word": "failed",
    "test_skipped": "skipped",
    "test_expected": "expected failure",
    "test_passes_unexpectedly": "passed",
    "test_must_not_pass": "unexpected success",
    "test_parametrised[1]": "passed",
    "test_parametrised[a::b[c] d]": "passed",
    "test_parts": "failed",
    "test_surrogates": "error",
    "test_torn": "error",
    "test_fails_and_is_torn": "error",
    "test_not_set_up": "error",
    "TestGroup.TestInner.test_deep": "passed",
    "TestTornGroup.test_it": "passed",
    "Case.test_both": "error",
}


class Plain(Project):
    """A folder of tests without Django."""

    def __init__(self, folder) -> None:
        self.folder = folder
        self.write({"pytest.ini": INI})


@pytest.fixture
def plain(tmp_path) -> Plain:
    return Plain(tmp_path)


def of_type(project: Project, kind: type) -> list:
    return [fact for fact in project.facts() if isinstance(fact, kind)]


@pytest.mark.parametrize("workers", [[], ["-n2"]], ids=["one process", "workers"])
def test_every_outcome_is_told(plain, workers):
    """Each outcome of pytest's is one of unittest's in the facts, with what was said; so is what fails around tests."""
    plain.write({"test_all.py": OUTCOMES, "test_gone.py": "import nothing_of_that_name", "sub/test_gone.py": "1 / 0"})
    plain.write({"test_left_out.py": "import pytest\npytest.skip('not here', allow_module_level=True)"})
    plain.write({"sub/__init__.py": ""})
    result = run_pytest(
        plain, "--testkit-journal", "--testkit-xunit", "--continue-on-collection-errors", "-p", "no:django", *workers
    )
    assert result.returncode == 1, result.stdout
    assert "reports/xunit.xml" in result.stdout
    tests = {fact.id: fact for fact in of_type(plain, TestFinished)}
    modules = {"test_gone": Outcome.ERROR, "sub.test_gone": Outcome.ERROR, "test_left_out": Outcome.SKIPPED}
    expected = {f"test_all.{name}": outcome for name, outcome in STATUSES.items()} | modules
    assert {id: fact.outcome for id, fact in tests.items()} == expected
    (started,), (ended,) = of_type(plain, RunStarted), of_type(plain, RunFinished)
    assert Counter(started.ids) == Counter(
        [*tests, "test_all.TestBrokenGroup.test_one", "test_all.TestBrokenGroup.test_two"]
    )
    assert (ended.lost, ended.not_run, ended.stopped) == ((), (), "")

    passed = tests["test_all.test_passes"]
    assert (passed.stdout, passed.stderr, passed.summary) == ("said\n", "beside\n", "It is fine.")
    assert (passed.class_id, passed.file, passed.line) == ("test_all", "test_all.py", 4)
    assert tests["test_all.TestGroup.TestInner.test_deep"].class_id == "test_all.TestGroup.TestInner"
    assert tests["test_all.TestGroup.TestInner.test_deep"].seconds < 1  # the time of what others use, too, is not its
    failed = tests["test_all.test_fails"].problems[0]
    assert (failed.type, failed.file, failed.line) == ("AssertionError", "test_all.py", 11)
    assert "At index 1 diff: 2 != 3" in failed.traceback
    assert tests["test_all.test_skipped"].reason == "not today"
    assert tests["test_all.test_expected"].reason == "a bug"
    assert tests["test_all.test_surrogates"].problems[0].message == "\udc80"
    assert [p.message for p in tests["test_all.Case.test_both"].problems] == ["first", "division by zero"]
    assert [p.outcome for p in tests["test_all.test_fails_and_is_torn"].problems] == [Outcome.FAILED, Outcome.ERROR]
    assert "ModuleNotFoundError" in tests["test_gone"].problems[0].message
    parts = {fact.id: fact.outcome for fact in of_type(plain, SubTestFinished)}
    of_part = "test_all.test_parts [part] (number={}, thing=<class 'object'>)"
    assert parts == {of_part.format(n): Outcome.FAILED if n == 1 else Outcome.PASSED for n in range(3)}
    bad = [(f.id, f.phase, f.problems[0].message) for f in of_type(plain, FixtureFinished) if f.outcome.is_bad]
    assert sorted(bad) == [
        ("test_all.TestBrokenGroup", "setUpClass", "no group"),
        ("test_all.TestTornGroup", "tearDownClass", "group in pieces"),
    ]
    assert {worker.worker for worker in of_type(plain, WorkerStarted)} == ({"gw0", "gw1"} if workers else set())
    cases = plain.xunit().iter("testcase")
    assert {case.get("name") for case in cases} >= {"test_parametrised[a::b[c] d]", "test_deep", "setUpClass"}


BASES = """
import unittest

class TestGroup:
    @classmethod
    def setup_class(cls): raise OSError("no group")
    def test_one(self): pass

class Case(unittest.TestCase):
    def test_two(self): pass
"""


def test_ids_are_those_of_the_place(plain):
    """Classes that are imported, doctests and text files have ids that are told apart, and each is accounted for."""
    plain.write({"bases.py": BASES, "test_a.py": "from bases import *", "test_b.py": "from bases import *"})
    plain.write({"test_c.py": "from bases import Case\ndef setup_module():\n    raise OSError('no module')"})
    plain.write({"one/test_d.txt": ">>> 1\n2", "two/test_d.txt": ">>> 1\n1", "test_e.py": "'>>> 1 / 0'"})
    result = run_pytest(plain, "-p", "no:django", "--testkit-journal", "--doctest-modules")
    (ended,) = of_type(plain, RunFinished)
    assert ended.lost == (), result.stdout
    tests = Counter((fact.id, fact.outcome) for fact in of_type(plain, TestFinished))
    assert tests == {
        ("bases.Case.test_two", Outcome.PASSED): 2,
        ("bases.Case.test_two", Outcome.ERROR): 1,  # of test_c, below whose set-up it lies for pytest alone
        ("one.test_d.txt", Outcome.FAILED): 1,
        ("two.test_d.txt", Outcome.PASSED): 1,
        ("test_e", Outcome.FAILED): 1,
    }
    bad = {(fact.id, fact.phase) for fact in of_type(plain, FixtureFinished) if fact.outcome.is_bad}
    assert bad == {("test_a.TestGroup", "setUpClass"), ("test_b.TestGroup", "setUpClass"), ("test_c", "setUpModule")}


LONG = """
import os, time
import pytest

def test_first(): pass

def test_second():
    {second}

@pytest.mark.parametrize("n", range(3))
def test_later(n): pass
"""


def test_fail_fast_leaves_the_others_out(plain):
    """With -x what did not run is not lost; the ini file may ask for the reports. A listener of one's own is heard, and
    what goes wrong with it is told beside tests that fail."""
    plain.write({"pytest.ini": INI + "testkit_journal = true\ntestkit_xunit = yes\ntestkit_xunit_file = out/x.xml\n"})
    plain.write({"test_it.py": LONG.format(second="assert 0"), "setup.cfg": "[testkit]\nlisteners = mine.Heard\n"})
    plain.write(
        {
            "mine.py": "class Heard:\n    def __call__(self, fact): open('heard', 'a').write('x'); raise OSError('no space')"
        }
    )
    result = run_pytest(plain, "-x", PYTHONPATH=os.pathsep.join([str(plain.folder), clean_environment()["PYTHONPATH"]]))
    assert result.returncode == 1, result.stdout
    (ended,) = of_type(plain, RunFinished)
    assert (ended.stopped, ended.not_run, ended.lost) == (
        "stopping after 1 failures",
        tuple(f"test_it.test_later[{n}]" for n in range(3)),
        (),
    )
    assert etree.parse(plain.folder / "out/x.xml").getroot().get("tests") == "5"
    assert (plain.folder / "heard").exists()
    assert "OSError: no space" in result.stdout


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_ends_the_run_with_its_reports(plain, name):
    """Ctrl-C, and SIGTERM as CI systems send it, end the run by pytest's status 2, and every report is written."""
    plain.write({"test_it.py": LONG.format(second="open('here', 'w').close(); time.sleep(60)")})
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:django",
            "--testkit-journal",
            "--testkit-xunit",
        ],
        cwd=plain.folder,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (plain.folder / "here").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.Signals[name])
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2, output
    (ended,) = of_type(plain, RunFinished)
    assert ended.interrupted == name
    assert "test_it.test_second" in ended.not_run
    assert plain.xunit().get("tests") == "5"


def test_a_worker_that_dies_is_told(plain):
    """A test that ends its worker is an error, the others run; `report` makes the same file of the journal alone."""
    plain.write({"test_it.py": LONG.format(second="os._exit(3)")})
    result = run_pytest(plain, "-n2", "-p", "no:django", "--testkit-journal", "--testkit-xunit")
    assert result.returncode == 1, result.stdout
    outcomes = Counter(fact.outcome for fact in of_type(plain, TestFinished))
    assert outcomes == {Outcome.PASSED: 4, Outcome.ERROR: 1}
    (lost,) = of_type(plain, WorkerLost)
    assert lost.running == "test_it.test_second"
    counts = dict(plain.xunit().attrib)
    (plain.folder / "reports/xunit.xml").unlink()
    assert plain.run("report", "--with-xunit").returncode == 1
    assert {name: plain.xunit().get(name) for name in ("tests", "errors")} == {"tests": counts["tests"], "errors": "1"}


def test_what_each_worker_runs_is_told(plain):
    """With --dist each every test runs in each worker, and each time is told."""
    plain.write({"test_it.py": "import time\ndef test_one(): time.sleep(0.2)\ndef test_two(): time.sleep(0.2)"})
    result = run_pytest(plain, "-n2", "--dist=each", "-p", "no:django", "--testkit-journal")
    assert result.returncode == 0, result.stdout
    tests = Counter((fact.id, fact.worker) for fact in of_type(plain, TestFinished))
    assert tests == {(f"test_it.{name}", worker): 1 for name in ("test_one", "test_two") for worker in ("gw0", "gw1")}
    (ended,) = of_type(plain, RunFinished)
    assert ended.lost == ()


ELSEWHERE = """
import tempfile

def pytest_configure(config):
    if hasattr(config, "workerinput"):
        config.workerinput["testkit"]["folder"] = tempfile.mkdtemp(dir=".")
"""


def test_workers_that_share_no_folder_are_heard(plain):
    """Workers on another machine cannot say what their tests are called: each goes by its node id, and none is lost."""
    plain.write({"bases.py": BASES, "test_a.py": "from bases import Case", "conftest.py": ELSEWHERE})
    result = run_pytest(plain, "-n2", "-p", "no:django", "--testkit-journal")
    assert result.returncode == 0, result.stdout
    assert [fact.id for fact in of_type(plain, TestFinished)] == ["test_a.Case.test_two"]
    (ended,) = of_type(plain, RunFinished)
    assert ended.lost == ()


AGAIN = '''
from _pytest.runner import runtestprotocol

def pytest_runtest_protocol(item, nextitem):
    """Run a test that fails once more, as pytest-rerunfailures does: it tells of a test when that is over, and of an
    attempt that failed nothing after the failure."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for attempt in (1, 2):
        item._initrequest()
        for report in runtestprotocol(item, nextitem=nextitem, log=False):
            is_rerun = report.failed and attempt == 1
            if is_rerun:
                report.outcome = "rerun"
            item.ihook.pytest_runtest_logreport(report=report)
            if is_rerun:
                break
        else:
            break
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True
'''
FLAKY = """
import itertools
from testkit import record_property

times = itertools.count()

def test_flaky():
    time = next(times)
    record_property(f"time {time}", time)
    assert time

def test_bad(): assert 0

def test_parts(subtests):
    with subtests.test("part"):
        assert 0
"""


def test_each_attempt_is_told(plain):
    """What is run once more, by a plugin that does not tell of the first attempt's end, is told attempt by attempt."""
    plain.write({"conftest.py": AGAIN, "test_it.py": FLAKY})
    (plain.folder / "pytest.ini").unlink()
    plain.write({"pytest.toml": "[pytest]\ntestkit_journal = true"})
    result = run_pytest(plain, "-p", "no:django")
    assert result.returncode == 1, result.stdout
    told = [(f.id, f.attempt, f.final, str(f.outcome)) for f in of_type(plain, TestFinished)]
    assert told == [
        ("test_it.test_flaky", 1, False, "failed"),
        ("test_it.test_flaky", 2, True, "passed"),
        ("test_it.test_bad", 1, False, "failed"),
        ("test_it.test_bad", 2, True, "failed"),
        ("test_it.test_parts", 1, True, "failed"),  # for pytest the test itself has passed
    ]
    assert [f.outcome for f in of_type(plain, SubTestFinished)] == ["failed"]
    assert [[name for name in f.measures if "time" in name] for f in of_type(plain, TestFinished)][:2] == [
        [],
        ["time 1"],
    ]
