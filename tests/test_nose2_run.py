"""Runs by nose2 with our plugin: Django's tests, its own kinds of test, and worker processes."""

from __future__ import annotations

import re
import signal
import time
from collections import Counter

import pytest
from lxml import etree

from testkit.core.events import Fact, FixtureFinished, RunFinished, TestFinished, WorkerLost, WorkerStarted
from tests.projects import MIXED, Project
from tests.test_same_story import measured

OWN = """
import os, signal, unittest
from django.db import connection
from django.test import LiveServerTestCase, TestCase
from nose2.tools import params, such
from shop.models import Item
from testkit import record_property

@params(1, 2, object())
def test_params(n):
    assert n != 2

def less(a, b):
    assert a < b

def test_generated():
    for n in range(3):
        yield less, n, 2

def test_function():
    \"\"\"Of one line.\"\"\"

class ParamsTests(TestCase):
    @params((1, 2), (2, 1), ("x.y", 3))
    def test_pairs(self, a, b):
        self.assertLess(a, b)

    def test_yields(self):
        yield less, 1, 2
        yield less, (3, 2)

class TestPlain:
    def test_method(self):
        pass

class TestBroken:
    @classmethod
    def setUpClass(cls):
        raise OSError("plain class")

    def test_method(self):
        pass

class Lower:
    @classmethod
    def setUp(cls):
        cls.value = ["Lower"]

    @classmethod
    def tearDown(cls):
        open("torn-down", "a").write("Lower;")

class Upper(Lower):
    @classmethod
    def setUp(cls):
        cls.value += ["Upper"]

    @classmethod
    def testSetUp(cls, test):
        test.from_layer = [*cls.value, test._testMethodName]
        if "bad" in test._testMethodName:
            raise OSError("layer's testSetUp")

class LayeredTests(TestCase):
    layer = Upper

    @classmethod
    def setUpTestData(cls):
        Item.objects.create(name="of the class")

    def test_first(self):
        Item.objects.create(name="of the test")
        self.assertEqual(self.from_layer, ["Lower", "Upper", "test_first"])

    def test_second(self):
        self.assertEqual([item.name for item in Item.objects.all()], ["of the class"])

    def test_that_is_bad(self):
        pass

class Bad:
    @classmethod
    def setUp(cls):
        raise OSError("no server")

class BadLayerTests(TestCase):
    layer = Bad

    def test_one(self): pass
    def test_two(self): pass

with such.A("shop") as it:
    @it.should("have a name")
    def test(case):
        case.assertTrue(Item._meta.db_table)

    it.createTests(globals())

class LiveTests(LiveServerTestCase):
    def test_is_served(self):
        self.assertTrue(self.live_server_url.startswith("http"))

class NamesTests(TestCase):
    def test_database(self):
        record_property("database", str(connection.settings_dict["NAME"]))
        record_property("worker", os.environ.get("TESTKIT_WORKER", ""))

class MoreNamesTests(NamesTests):
    pass
"""
"""A test module with everything that nose2 has of its own, and Django's live server."""
HERE = "shop.tests.test_own"
OF_NOSE2 = {
    **{f"{HERE}.test_params:{n}": outcome for n, outcome in enumerate(["passed", "failed", "passed"], 1)},
    **{f"{HERE}.test_generated:{n}": outcome for n, outcome in enumerate(["passed", "passed", "failed"], 1)},
    f"{HERE}.test_function": "passed",
    **{f"{HERE}.ParamsTests.test_pairs:{n}": outcome for n, outcome in enumerate(["passed", "failed", "error"], 1)},
    **{f"{HERE}.ParamsTests.test_yields:{n}": outcome for n, outcome in enumerate(["passed", "failed"], 1)},
    f"{HERE}.TestPlain.test_method": "passed",
    f"{HERE}.LayeredTests.test_first": "passed",
    f"{HERE}.LayeredTests.test_second": "passed",
    f"{HERE}.LayeredTests.test_that_is_bad": "error",
    f"{HERE}.A shop.test 0000: should have a name": "passed",
    f"{HERE}.LiveTests.test_is_served": "passed",
    f"{HERE}.NamesTests.test_database": "passed",
    f"{HERE}.MoreNamesTests.test_database": "passed",
}
OF_FIXTURES = {
    (f"{HERE}.TestBroken", "setUpClass", "plain class"),
    (f"{HERE}.Bad", "setUp", "no server"),
    (f"{HERE}.BadLayerTests", "setUpClass", f"the set-up of its layer {HERE}.Bad failed (see there)"),
}
FILE_DATABASE = """
DATABASES["default"]["TEST"] = {"NAME": "test.sqlite3"}
"""


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path / "project")


@pytest.fixture(scope="module")
def nose2_own(tmp_path_factory):
    """A project with a real database, nose2's own kinds of test and its plugins."""
    project = Project(tmp_path_factory.mktemp("nose2") / "project")
    project.tests(OWN, "test_own")
    project.nose2("nose2.plugins.layers", "nose2.plugins.mp", "nose2.plugins.junitxml")
    project.settings(FILE_DATABASE)
    project.make_real_rows()
    return project


def outcomes(facts: list[Fact]) -> dict[str, str]:
    return {fact.id: str(fact.outcome) for fact in facts if isinstance(fact, TestFinished)}


def bad_fixtures(facts: list[Fact]) -> set[tuple[str, str, str]]:
    bad = [fact for fact in facts if isinstance(fact, FixtureFinished) and fact.outcome.is_bad]
    return {(fact.id, fact.phase, problem.message) for fact in bad for problem in fact.problems}


def finished(project: Project) -> RunFinished:
    (end,) = [fact for fact in project.facts() if isinstance(fact, RunFinished)]
    return end


def test_its_own_kinds_of_test(nose2_own, junit_schema):
    """Functions, params, generators, plain classes, layers and such tests run, with ids that nose2 takes as names."""
    flags = ("--with-xunit", "--xunit-flavour=strict", "--junit-xml")
    result = nose2_own.run(*flags, "shop.tests.test_own", front="nose2")
    assert result.returncode == 1, result.stderr
    facts = nose2_own.facts()
    assert outcomes(facts) == OF_NOSE2
    assert bad_fixtures(facts) == OF_FIXTURES
    assert finished(nose2_own).lost == ()
    tests = {fact.id: fact for fact in facts if isinstance(fact, TestFinished)}
    assert {fact.class_id for id, fact in tests.items() if re.fullmatch(rf"{HERE}\.test_\w+(:\d)?", id)} == {HERE}
    assert tests[f"{HERE}.TestPlain.test_method"].class_id == f"{HERE}.TestPlain"
    assert tests[f"{HERE}.test_params:3"].summary == "<object object>"
    assert tests[f"{HERE}.ParamsTests.test_pairs:3"].summary == "'x.y', 3"
    assert {fact.file for id, fact in tests.items() if "shop." not in id} <= {"shop/tests/test_own.py"}
    assert (nose2_own.folder / "torn-down").read_text() == "Lower;"
    junit_schema.assertValid(nose2_own.xunit().getroottree())
    # nose2's own reporter says nothing, and its plugins hear of everything all the same.
    assert result.stderr.count("\nRan ") == 1
    theirs = etree.parse(nose2_own.folder / "nose2-junit.xml").getroot()
    assert (theirs.get("tests"), theirs.get("failures"), theirs.get("errors")) == (str(len(OF_NOSE2)), "4", "5")
    assert nose2_own.real_rows() == [("real",)]


def test_its_worker_processes(nose2_own):
    """By nose2's -N the same tests come out alike, each worker has a database of its own, and plugins hear of all."""
    result = nose2_own.run("-N2", "--with-xunit", "--junit-xml", "shop.tests.test_own", front="nose2")
    assert result.returncode == 1, result.stderr
    facts = nose2_own.facts()
    assert outcomes(facts) == OF_NOSE2
    assert bad_fixtures(facts) == OF_FIXTURES
    assert len({fact.pid for fact in facts if isinstance(fact, WorkerStarted)}) == 2
    measures = [fact.measures for fact in facts if isinstance(fact, TestFinished) and "database" in fact.measures]
    assert len(measures) == 2
    assert {measure["database"].rpartition("/")[2].count("real.sqlite3") for measure in measures} == {0}
    assert len({(measure["database"], measure["worker"]) for measure in measures}) == len(
        {measure["worker"] for measure in measures}
    )
    assert all(measure["worker"] for measure in measures)
    theirs = etree.parse(nose2_own.folder / "nose2-junit.xml").getroot()
    assert (theirs.get("tests"), theirs.get("failures"), theirs.get("errors")) == (str(len(OF_NOSE2)), "4", "5")
    assert nose2_own.real_rows() == [("real",)]


def test_an_id_is_a_name(nose2_own):
    """What a report calls a test is what nose2's command line takes, and only the failed ones run again."""
    one = f"{HERE}.ParamsTests.test_pairs:2"
    result = nose2_own.run(one, f"{HERE}.test_params:1", front="nose2")
    assert result.returncode == 1, result.stderr
    assert outcomes(nose2_own.facts()) == {one: "failed", f"{HERE}.test_params:1": "passed"}
    nose2_own.run("--last-failed", one, f"{HERE}.test_params:1", front="nose2")
    assert outcomes(nose2_own.facts()) == {one: "failed"}
    listed = nose2_own.run("--list-tests", HERE, front="nose2")
    assert listed.returncode == 0
    assert set(OF_NOSE2) <= set(listed.stdout.splitlines())


KILLED = """
import os, signal
from django.test import TestCase

class Told(Exception):
    def __init__(self, one, two):
        super().__init__("told once")

class KilledTests(TestCase):
    def test_killed(self):
        os.kill(os.getpid(), signal.SIGKILL)

class OtherTests(TestCase):
    def test_cannot_be_unpickled(self):
        raise Told(1, 2)

    def test_passes(self):
        pass
"""


def test_a_killed_worker(project):
    """A worker that is killed fails its test, not the run; what no process could hand over is told as text."""
    project.tests(KILLED)
    result = project.run("--runner=nose2", "-N", "2", "--with-xunit")
    assert result.returncode == 1, result.stderr
    tests = {fact.id.rpartition(".")[2]: fact for fact in project.facts() if isinstance(fact, TestFinished)}
    assert {name: str(fact.outcome) for name, fact in tests.items()} == {
        "test_killed": "error",
        "test_cannot_be_unpickled": "error",
        "test_passes": "passed",
    }
    assert "SIGKILL" in tests["test_killed"].problems[0].message
    assert tests["test_cannot_be_unpickled"].problems[0].message == "told once"
    assert [fact.running.rpartition(".")[2] for fact in project.facts() if isinstance(fact, WorkerLost)] == [
        "test_killed"
    ]


FLAKY = """
import pathlib
from django.test import SimpleTestCase

class FlakyTests(SimpleTestCase):
    def test_flaky(self):
        place = pathlib.Path("tried")
        tried = place.exists()
        place.touch()
        self.assertTrue(tried)
"""


def test_a_flaky_test(project):
    """A test that passes when it is tried again lets the run pass, although nose2 has counted its failure."""
    project.tests(FLAKY)
    result = project.run("--runner=nose2", "--retries=1")
    assert (result.returncode, "flaky=1" in result.stderr) == (0, True), result.stderr


WAITS = """
import pathlib, time
from django.test import SimpleTestCase

class WaitingTests(SimpleTestCase):
    def test_1(self):
        pathlib.Path("here").touch()
        while not pathlib.Path("go").exists():
            time.sleep(0.01)
    def test_2(self): pass
"""


def test_ctrl_c(project):
    """Ctrl-C lets the running test end, writes the reports and ends with 130."""
    project.tests(WAITS)
    project.nose2()
    process = project.start("--with-xunit", front="nose2")
    deadline = time.monotonic() + 30
    while not (project.folder / "here").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    line = ""
    while "SIGINT" not in line:
        line = process.stderr.readline()
        assert line, "the run ended"
    (project.folder / "go").touch()
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert finished(project).interrupted == "SIGINT"
    assert finished(project).not_run == ("shop.tests.test_shop.WaitingTests.test_2",)
    assert Counter(case.get("name") for case in project.xunit().iter("testcase")) == {"test_1": 1, "test_2": 1}


def test_coverage_and_the_flags_of_old_scripts(project):
    """nose's flags work; the lines that are covered are those of our runner, with processes and without."""
    project.tests(MIXED)
    project.nose2("nose2.plugins.mp", testkit="cover_package = shop\nkeepdb = yes")
    project.run("--with-cov", "--cover-package=shop")
    expected = measured(project)
    assert sum(map(len, expected.values())) > 30
    for processes in ([], ["-N", "2"]):
        flags = ("--with-xunit", "--xunit-file=out/unit.xml", "--with-coverage", "--cover-html")
        result = project.run(*flags, *processes, front="nose2")
        assert result.returncode == 1, result.stderr
        assert project.xunit("out/unit.xml").get("tests") == "13"
        assert (project.folder / "reports" / "coverage" / "index.html").is_file()
        assert measured(project) == expected
    before = etree.tostring(project.xunit("out/unit.xml"))
    (project.folder / "out" / "unit.xml").unlink()
    assert project.run("report", "--with-xunit", "--xunit-file=out/unit.xml").returncode == 1
    assert etree.tostring(project.xunit("out/unit.xml")) == before
