"""The xunit file in its flavours default and strict, from plain lists of facts."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from testkit.core.events import (
    Fact,
    FixtureFinished,
    Outcome,
    Problem,
    RunFinished,
    RunMeasured,
    RunStarted,
    SubTestFinished,
    TestFinished,
    TestStarted,
)
from testkit.listeners.xunit import XunitOptions, document, xunit_listener
from testkit.listeners.xunit.document import Xunit

CLASS = "app.tests.test_views.IndexTests"
AT = 1_700_000_000.25  # 2023-11-14T22:13:20.250 UTC

FAILED = Problem(outcome=Outcome.FAILED, type="AssertionError", message="1 != 2", traceback="Trace of 1 != 2\n")
ERROR = Problem(outcome=Outcome.ERROR, type="app.Oops", message="oops", traceback="Trace of oops\n")
STARTED = RunStarted(run="r", at=AT, ids=(), hostname="ci-3", directory="/srv/project")
FINISHED = RunFinished(at=AT + 60, seconds=59.5)

Write = Callable[[Iterable[Fact]], Any]


def passed(name: str = "test_it", class_id: str = CLASS, **fields: Any) -> TestFinished:
    values = {"at": AT, "seconds": 0.5, "outcome": Outcome.PASSED, "file": "app/tests/test_views.py", "line": 12}
    return TestFinished(**{"id": f"{class_id}.{name}", "class_id": class_id, **values, **fields})


def failed(name: str = "test_it", problem: Problem = FAILED, **fields: Any) -> TestFinished:
    return passed(name, **{"outcome": problem.outcome, "problems": (problem,), **fields})


def subtest(parameters: str, outcome: Outcome = Outcome.PASSED, **fields: Any) -> SubTestFinished:
    test = f"{CLASS}.test_it"
    values = {"id": f"{test} {parameters}", "test": test, "class_id": CLASS, "at": AT, "outcome": outcome}
    return SubTestFinished(**{**values, **fields})


def fixture(id: str, phase: str, seconds: float = 2.0, **fields: Any) -> FixtureFinished:
    return FixtureFinished(**{"id": id, "phase": phase, "at": AT - 3, "seconds": seconds, **fields})


BROKEN_CLASS = fixture(
    CLASS,
    "setUpClass",
    outcome=Outcome.ERROR,
    problems=(ERROR,),
    file="app/tests/test_views.py",
    line=7,
    stdout="setting up\n",
)
NASTY = "nul \x00 esc \x1b[31m bell \x07 lone \udc80 \ud800 non \ufffe\uffff ]]> & < é 漢 😀 \t\n"
NASTY_SHOWN = r"nul \x00 esc \x1b[31m bell \x07 lone \udc80 \ud800 non \ufffe\uffff ]]> & < é 漢 😀 " + "\t\n"

TORTURE: list[Fact] = [
    fixture("app.tests.test_views", "setUpModule", 1.0),
    fixture(CLASS, "setUpClass"),
    passed("test_passes", summary="Says hello.", stdout="hello\n", measures={"queries": {"count": 3}}),
    passed("test_brief", seconds=0.0000004),
    passed("test_long", seconds=123456.789),
    failed("test_fails", stderr="warned\n", attachments=("/shots/diff.png",), sql="SELECT 1"),
    failed("test_errs", problem=ERROR),
    failed("test_both", outcome=Outcome.ERROR, problems=(FAILED, ERROR)),
    passed("test_skipped", outcome=Outcome.SKIPPED, reason="no browser"),
    passed("test_known", outcome=Outcome.EXPECTED_FAILURE, reason="Traceback\nAssertionError: 3 != 4\n"),
    passed("test_mended", outcome=Outcome.UNEXPECTED_SUCCESS),
    subtest("(i=1.5)"),
    subtest("(i='a.b')", Outcome.FAILED, problem=FAILED),
    subtest("(i=3)", Outcome.ERROR, problem=ERROR),
    subtest("(i=4)", Outcome.SKIPPED, reason="odd"),
    passed("test_it", outcome=Outcome.FAILED, subtests_failed=2),
    failed("test_nasty", problem=FAILED._replace(message=NASTY, traceback=NASTY), stdout=NASTY),
    failed("test_flaky", final=False, stdout="first try\n"),
    failed("test_flaky", problem=ERROR, attempt=2, final=False),
    passed("test_flaky", attempt=3),
    failed("test_bad", final=False),
    failed("test_bad", problem=ERROR, attempt=2),
    fixture(CLASS, "tearDownClass", 0.5),
    fixture("app.tests.test_other.BrokenTests", "setUpClass", outcome=Outcome.ERROR, problems=(ERROR,)),
    fixture("app.tests.test_other.SkippedTests", "setUpClass", outcome=Outcome.SKIPPED, reason="no database"),
    fixture("app.tests.test_third", "setUpModule", outcome=Outcome.ERROR, problems=(ERROR,)),
    failed(class_id="", id="app.tests.test_gone", problem=ERROR, file="", line=0),
]
TORTURE_END = FINISHED._replace(
    interrupted="SIGINT",
    not_run=("app.tests.test_last.LastTests.test_a", "app.tests.test_last.LastTests.test_b"),
    lost=("app.tests.test_last.LostTests.test_c",),
)


@pytest.fixture(params=["default", "strict"])
def flavour(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "reports" / "xunit.xml"


@pytest.fixture
def write(path: Path, flavour: str) -> Write:
    """Publish facts, with a start and an end around them, and return the root of what was written."""
    return lambda facts: write_file(path, facts, flavour)


def write_file(path: Path, facts: Iterable[Fact], flavour: str = "default") -> Any:
    listener = xunit_listener(XunitOptions(xunit_file=path, xunit_flavour=flavour))
    for fact in [STARTED, *facts, FINISHED]:  # another end among the facts goes before this one
        listener(fact)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    return etree.parse(str(path)).getroot()


def case(root: Any, name: str = "test_it") -> Any:
    (found,) = (case for case in root.iter("testcase") if case.get("name") == name)
    return found


def ending(case: Any) -> Any:
    """Return the one element that tells how a case ended."""
    (found,) = (child for child in case if child.tag in ("failure", "error", "skipped"))
    return found


def count(element: Any, tag: str) -> str:
    return str(len(list(element.iter(tag))))


class TestDocument:
    def test_counts(self, write: Write) -> None:
        """The counts of each suite and of the root are those of the elements below it."""
        root = write([*TORTURE, TORTURE_END])
        assert len(root) > 5
        tags = {"tests": "testcase", "failures": "failure", "errors": "error", "skipped": "skipped"}
        for element in [root, *root]:
            for attribute, tag in tags.items():
                assert element.get(attribute, count(element, tag)) == count(element, tag), element.get("name")
        assert root.get("tests") == "24"

    def test_one_ending_each(self, write: Write) -> None:
        """No case has more than one of failure, error and skipped."""
        root = write([*TORTURE, TORTURE_END])
        endings = [len(case.xpath("failure|error|skipped")) for case in root.iter("testcase")]
        assert set(endings) == {0, 1}

    def test_names(self, write: Write) -> None:
        """Every case has a class and a name, and no two cases have the same."""
        names = [(case.get("classname"), case.get("name")) for case in write([*TORTURE, TORTURE_END]).iter("testcase")]
        assert all(class_id and name for class_id, name in names)
        assert len(set(names)) == len(names)

    def test_schema(self, path: Path, junit_schema: etree.XMLSchema) -> None:
        """The strict flavour of everything at once is valid by Jenkins' junit-10.xsd."""
        write_file(path, [*TORTURE, TORTURE_END], "strict")
        assert junit_schema.validate(etree.parse(str(path))), junit_schema.error_log

    def test_strict_attributes(self, path: Path) -> None:
        """A strict case has no other attributes than name, classname and time, and a time at most three decimals."""
        root = write_file(path, [*TORTURE, TORTURE_END], "strict")
        assert {name for case in root.iter("testcase") for name in case.attrib} == {"classname", "name", "time"}
        assert set(root.attrib) == {"name", "tests", "failures", "errors", "time"}
        times = root.xpath("//@time")
        assert "123456.789" in times
        assert all(re.fullmatch(r"\d+\.\d{3}", time) for time in times)

    def test_default_attributes(self, path: Path) -> None:
        """A default case says where it is and when it began, its suite and the root when and where it ran."""
        root = write_file(path, [fixture(CLASS, "setUpClass", worker="2"), passed(worker="2")])
        assert dict(case(root).attrib) == {
            "classname": CLASS,
            "name": "test_it",
            "time": "0.500000",
            "file": "app/tests/test_views.py",
            "line": "12",
            "timestamp": "2023-11-14T22:13:20.250+00:00",
        }
        assert (root[0].get("file"), root[0].get("hostname")) == ("app/tests/test_views.py", "ci-3")
        assert root[0].get("timestamp") == "2023-11-14T22:13:17.250+00:00"
        assert (root.get("time"), root.get("timestamp")) == ("59.500000", "2023-11-14T22:13:20.250+00:00")
        assert properties(root[0]) == {"worker": "2", "setup_seconds": "2.000000"}

    def test_tiny_times(self, path: Path) -> None:
        """A very short time has no exponent."""
        assert case(write_file(path, [passed(seconds=1e-7)])).get("time") == "0.000000"

    def test_properties(self, path: Path) -> None:
        """Measures are properties with flattened names, but for what lies deep, and so is the docstring's first line."""
        measures = {"queries": {"count": 3, "by": {"alias": "default"}}, "fast": True, "sizes": [1, 2]}
        root = write_file(path, [passed(summary="Says hello.", measures=measures)])
        assert properties(case(root)) == {
            "description": "Says hello.",
            "queries.count": "3",
            "fast": "true",
            "sizes": "[1, 2]",
        }

    def test_no_tests(self, write: Write) -> None:
        """A run without tests gives a file without suites."""
        root = write([])
        assert (root.get("tests"), len(root)) == ("0", 0)


def properties(element: Any) -> dict[str, str]:
    return {each.get("name"): each.get("value") for each in element.findall("properties/property")}


class TestSuites:
    def test_runs_of_a_class(self, write: Write) -> None:
        """Consecutive tests of one class are one suite; the class's later tests are another."""
        root = write([passed("test_a"), passed("test_b"), passed(class_id="app.Other"), passed("test_c")])
        assert [(suite.get("name"), suite.get("tests")) for suite in root] == [
            (CLASS, "2"),
            ("app.Other", "1"),
            (CLASS, "1"),
        ]

    def test_workers(self, write: Write) -> None:
        """Facts of several workers may be mixed: each worker's class is a suite of its own."""
        root = write(
            [
                passed("test_a", worker="1"),
                passed("test_x", class_id="app.Other", worker="2"),
                passed("test_b", worker="1"),
                passed("test_y", class_id="app.Other", worker="2"),
            ]
        )
        told = {suite.get("name"): [each.get("name") for each in suite.iter("testcase")] for suite in root}
        assert told == {CLASS: ["test_a", "test_b"], "app.Other": ["test_x", "test_y"]}
        assert [properties(suite)["worker"] for suite in root] == ["1", "2"]

    def test_set_up_time(self, path: Path) -> None:
        """The set-up of a class and its module is a property of its first suite, in the suite's time and no test's."""
        root = write_file(
            path,
            [
                fixture("app.tests.test_views", "setUpModule", 4.0, at=AT - 10),
                fixture(CLASS, "setUpClass", 2.0),
                passed(),
                fixture(CLASS, "tearDownClass", 0.25),
                passed(class_id="app.tests.test_views.Next"),
            ],
        )
        assert properties(root[0]) == {"setup_seconds": "6.000000"}
        assert [suite.get("time") for suite in root] == ["6.750000", "0.500000"]
        assert case(root[0]).get("time") == "0.500000"
        assert root[0].get("timestamp") == "2023-11-14T22:13:10.250+00:00"
        assert properties(root[1]) == {}

    def test_set_up_of_another_module(self, path: Path) -> None:
        """The set-up of a module is not billed to a class of another one whose name begins alike."""
        root = write_file(path, [fixture("app.tests.test_view", "setUpModule", 4.0), passed()])
        assert (root[0].get("time"), properties(root[0])) == ("0.500000", {})

    def test_output_of_a_fixture(self, write: Write) -> None:
        """What a good set-up printed is kept with the suite."""
        root = write([fixture(CLASS, "setUpClass", stdout="made 3 users\n", stderr="slow\n"), passed()])
        assert (root[0].findtext("system-out"), root[0].findtext("system-err")) == ("made 3 users\n", "slow\n")
        assert case(root).find("system-out") is None

    def test_class_without_tests(self, write: Write) -> None:
        """A class of which nothing but fixtures is told has no suite."""
        root = write([fixture("app.Empty", "tearDownClass"), fixture("app.Empty", "setUpClass"), passed()])
        assert [suite.get("name") for suite in root] == [CLASS]

    def test_large_class(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A class whose cases do not fit in memory is written whole, from disk."""
        monkeypatch.setattr(document, "_IN_MEMORY", 1000)
        root = write_file(path, [passed(f"test_{number}") for number in range(50)])
        assert [each.get("name") for each in root.iter("testcase")] == [f"test_{number}" for number in range(50)]


class TestOutcomes:
    def test_failure(self, write: Write) -> None:
        """A failed test has its type, its message and its traceback."""
        told = ending(case(write([failed()])))
        assert (told.tag, told.get("type"), told.get("message")) == ("failure", "AssertionError", "1 != 2")
        assert told.text == "Trace of 1 != 2\n"

    def test_several_problems(self, write: Write) -> None:
        """The gravest of several problems gives the element and the message, and all are in the text."""
        told = ending(case(write([failed(outcome=Outcome.ERROR, problems=(FAILED, ERROR))])))
        assert (told.tag, told.get("type"), told.get("message")) == ("error", "app.Oops", "oops")
        assert told.text == "Trace of 1 != 2\n\nTrace of oops\n"

    def test_skip_then_error(self, write: Write) -> None:
        """A test that was skipped and whose tear-down raised is an error, not a skip."""
        told = ending(case(write([passed(outcome=Outcome.SKIPPED, reason="no", problems=(ERROR,))])))
        assert (told.tag, told.get("message")) == ("error", "oops")

    def test_no_message(self, write: Write) -> None:
        """A problem without a message is told by its type."""
        told = ending(case(write([failed(problem=FAILED._replace(message=""))])))
        assert told.get("message") == "AssertionError"

    def test_bad_without_problems(self, write: Write) -> None:
        """A bad outcome that no problem explains is bad nevertheless."""
        root = write([passed(outcome=Outcome.ERROR)])
        assert (ending(case(root)).tag, root.get("errors")) == ("error", "1")

    def test_skip(self, write: Write) -> None:
        """A skipped test has its reason as message."""
        told = ending(case(write([passed(outcome=Outcome.SKIPPED, reason="no browser")])))
        assert (told.tag, told.get("type"), told.get("message")) == ("skipped", "unittest.skip", "no browser")

    @pytest.mark.parametrize(
        "fields",
        [
            {"reason": "Traceback (most recent call last):\nAssertionError: 1 != 2\n"},
            {"problems": (FAILED._replace(message="AssertionError: 1 != 2"),)},
        ],
        ids=["traceback", "problem"],
    )
    def test_expected_failure(self, write: Write, fields: dict[str, Any]) -> None:
        """An expected failure counts as skipped, and says what failed."""
        told = ending(case(write([passed(outcome=Outcome.EXPECTED_FAILURE, **fields)])))
        assert (told.tag, told.get("type")) == ("skipped", "unittest.expectedFailure")
        assert told.get("message") == "expected failure: AssertionError: 1 != 2"
        assert "1 != 2" in told.text

    def test_unexpected_success(self, write: Write) -> None:
        """An unexpected success is a failure."""
        told = ending(case(write([passed(outcome=Outcome.UNEXPECTED_SUCCESS)])))
        assert (told.tag, told.get("message")) == ("failure", "unexpected success")

    def test_sql(self, write: Write) -> None:
        """The SQL of a failed test stands behind its traceback."""
        told = ending(case(write([failed(sql="(0.001) SELECT 1")])))
        assert told.text == "Trace of 1 != 2\n\nSQL:\n(0.001) SELECT 1"

    def test_broken_class(self, write: Write, flavour: str) -> None:
        """A broken set-up of a class is a case of that class, named by its phase, at its own file and line."""
        told = case(write([BROKEN_CLASS]), "setUpClass")
        assert told.get("classname") == CLASS
        assert ending(told).tag == "error"
        assert float(told.get("time")) == 2.0
        assert told.findtext("system-out") == "setting up\n"
        if flavour == "default":
            assert (told.get("file"), told.get("line")) == ("app/tests/test_views.py", "7")

    def test_skipped_class(self, write: Write) -> None:
        """A skip in the set-up of a class is a skipped case of that class."""
        told = case(write([fixture(CLASS, "setUpClass", outcome=Outcome.SKIPPED, reason="no")]), "setUpClass")
        assert (told.get("classname"), ending(told).tag, ending(told).get("message")) == (CLASS, "skipped", "no")

    def test_broken_import(self, write: Write) -> None:
        """A module that could not be imported is a class with the one case "import"."""
        told = case(write([failed(class_id="", id="app.tests.test_gone", problem=ERROR)]), "import")
        assert (told.get("classname"), ending(told).tag) == ("app.tests.test_gone", "error")


class TestSubtests:
    def test_each_has_its_own_case(self, write: Write) -> None:
        """Each subtest is a case with an outcome of its own and without a time, which nobody measured."""
        root = write(
            [
                subtest("(i=1.5)"),
                subtest("(i='a.b')", Outcome.FAILED, problem=FAILED),
                subtest("[msg] (i=3)", Outcome.ERROR, problem=ERROR),
                subtest("(i=4)", Outcome.SKIPPED, reason="odd"),
                passed(outcome=Outcome.FAILED, subtests_failed=2),
            ]
        )
        told = {each.get("name"): [child.tag for child in each] for each in root.iter("testcase")}
        assert told == {
            "test_it": ["failure"],
            "test_it (i=1.5)": [],
            "test_it (i='a.b')": ["failure"],
            "test_it [msg] (i=3)": ["error"],
            "test_it (i=4)": ["skipped"],
        }
        assert {each.get("classname") for each in root.iter("testcase")} == {CLASS}
        assert [each.get("name") for each in root.iter("testcase") if each.get("time")] == ["test_it"]

    @pytest.mark.parametrize(("number", "words"), [(1, "1 failed subtest"), (2, "2 failed subtests")])
    def test_parent(self, write: Write, number: int, words: str) -> None:
        """A test with bad subtests and no problem of its own fails, and says how many there are."""
        told = ending(case(write([passed(outcome=Outcome.FAILED, subtests_failed=number)])))
        assert (told.tag, told.get("message")) == ("failure", f"contains {words}")

    def test_parent_with_a_problem(self, write: Write) -> None:
        """A test with bad subtests and a problem of its own tells its own."""
        told = ending(case(write([failed(problem=ERROR, subtests_failed=2)])))
        assert (told.tag, told.get("message")) == ("error", "oops")

    def test_without_a_parent(self, write: Write) -> None:
        """Subtests of a test that never ended are told."""
        root = write([subtest("(i=1)", Outcome.FAILED, problem=FAILED)])
        assert ending(case(root, "test_it (i=1)")).get("message") == "1 != 2"

    def test_of_an_attempt_that_never_ended(self, write: Write) -> None:
        """When a test begins anew, subtests of an attempt that was cut off are forgotten."""
        begins = TestStarted(id=f"{CLASS}.test_it", class_id=CLASS, at=AT)
        root = write([begins, subtest("(i=1)", Outcome.FAILED, problem=FAILED), begins, subtest("(i=1)"), passed()])
        assert (root.get("tests"), root.get("failures")) == ("2", "0")

    def test_of_an_earlier_attempt(self, write: Write) -> None:
        """Subtests of an attempt that was repeated are in that attempt's text and no cases of their own."""
        root = write(
            [
                subtest("(i=1)", Outcome.FAILED, problem=FAILED),
                passed(outcome=Outcome.FAILED, subtests_failed=1, final=False),
                subtest("(i=1)"),
                passed(attempt=2),
            ]
        )
        assert (root.get("tests"), root.get("failures")) == ("2", "0")
        assert case(root).findtext("flakyFailure/stackTrace") == "Trace of 1 != 2\n"


class TestAttempts:
    def test_flaky(self, write: Write) -> None:
        """A test that passed in the end has passed, with its own time, and shows each earlier attempt."""
        root = write(
            [
                failed(final=False, stdout="one\n", stderr="err\n"),
                failed(problem=ERROR, attempt=2, final=False),
                passed(attempt=3, seconds=0.125, stdout="three\n"),
            ]
        )
        told = case(root)
        assert (root.get("failures"), root.get("errors"), float(told.get("time"))) == ("0", "0", 0.125)
        assert [child.tag for child in told] == ["flakyFailure", "flakyFailure", "system-out"]
        assert [(each.get("type"), each.get("message")) for each in told.iter("flakyFailure")] == [
            ("AssertionError", "1 != 2"),
            ("app.Oops", "oops"),
        ]
        assert [child.text for child in told[0]] == ["Trace of 1 != 2\n", "one\n", "err\n"]
        assert told.findtext("system-out") == "three\n"
        assert float(root[0].get("time")) == 1.125

    def test_failed_to_the_end(self, write: Write) -> None:
        """A test that failed to the end is told by its first attempt, and shows the others as reruns."""
        first = failed(final=False, seconds=0.25, stdout="one\n")
        root = write([first, failed(problem=ERROR, attempt=2, stdout="two\n")])
        told = case(root)
        assert float(told.get("time")) == 0.25
        assert [child.tag for child in told] == ["failure", "rerunFailure", "system-out"]
        assert (ending(told).get("message"), told.findtext("system-out")) == ("1 != 2", "one\n")
        assert (told[1].get("message"), told[1].findtext("system-out")) == ("oops", "two\n")
        assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("1", "1", "0")

    def test_apart(self, write: Write) -> None:
        """Attempts belong together though other tests and workers come between them."""
        root = write([failed(final=False, worker="1"), passed("test_else", worker="1"), passed(attempt=2, worker="2")])
        assert root.get("tests") == "2"
        assert case(root)[0].tag == "flakyFailure"

    def test_never_final(self, write: Write) -> None:
        """A test whose repetition the end of the run cut off is told by the attempt there was, and once."""
        end = FINISHED._replace(interrupted="SIGTERM", not_run=(f"{CLASS}.test_it",))
        root = write([failed(final=False), end])
        assert ending(case(root)).tag == "failure"


class TestRetries:
    """What the producers of attempts say: leases of a worker, or of this process."""

    BROKEN = BROKEN_CLASS._replace(final=False)
    BELOW = failed("test_a", problem=ERROR, seconds=0.0, final=False, file="", line=0)

    def test_a_class_that_runs_again_for_one_of_its_tests(self, write: Write) -> None:
        """A test that had its outcome, and runs again for the sake of another, has one case, with that outcome."""
        root = write(
            [
                passed("test_a"),
                failed("test_b", final=False),
                failed("test_c", final=False),
                failed("test_a", attempt=2, final=False),
                passed("test_b", attempt=2),
                failed("test_c", attempt=2, final=False),
                passed("test_a", attempt=3, final=False),
                passed("test_b", attempt=3, final=False),
                failed("test_c", attempt=3),
            ]
        )
        told = {each.get("name"): [child.tag for child in each] for each in root.iter("testcase")}
        assert told == {
            "test_a": [],
            "test_b": ["flakyFailure"],
            "test_c": ["failure", "rerunFailure", "rerunFailure"],
        }
        assert (root.get("tests"), root.get("failures")) == ("3", "1")

    def test_subtests_of_a_test_that_runs_again(self, write: Write) -> None:
        """Nor do its subtests have cases, or their problems a place, when it runs again."""
        root = write(
            [
                subtest("(i=1)"),
                passed(),
                subtest("(i=1)", Outcome.FAILED, problem=FAILED, attempt=2, final=False),
                passed(outcome=Outcome.FAILED, subtests_failed=1, attempt=2, final=False),
            ]
        )
        assert [each.get("name") for each in root.iter("testcase")] == ["test_it", "test_it (i=1)"]
        assert root.get("failures") == "0"

    def test_skipped_in_the_end(self, write: Write, path: Path, flavour: str, junit_schema: etree.XMLSchema) -> None:
        """A test that failed, and was skipped when tried again, is skipped, and shows how it failed."""
        told = case(write([failed(final=False), passed(outcome=Outcome.SKIPPED, reason="no", attempt=2)]))
        assert [child.tag for child in told] == ["skipped", "flakyFailure"]
        assert flavour != "strict" or junit_schema.validate(etree.parse(str(path))), junit_schema.error_log

    def test_a_set_up_that_recovered(self, write: Write) -> None:
        """A set-up that broke and was repeated has no case: each of its tests is flaky, by its traceback."""
        root = write(
            [
                self.BROKEN,
                self.BELOW,
                self.BELOW._replace(id=f"{CLASS}.test_b"),
                fixture(CLASS, "setUpClass"),
                passed("test_a", attempt=2),
                passed("test_b", attempt=2),
            ]
        )
        assert [each.get("name") for each in root.iter("testcase")] == ["test_a", "test_b"]
        assert {each.findtext("flakyFailure/stackTrace") for each in root.iter("testcase")} == {"Trace of oops\n"}
        assert (root.get("tests"), root.get("errors"), root.get("failures")) == ("2", "0", "0")

    def test_a_set_up_that_broke_to_the_end(
        self, write: Write, path: Path, flavour: str, junit_schema: etree.XMLSchema
    ) -> None:
        """A set-up that broke each time is one case with its repetitions, and its tests have none, as without retries."""
        root = write(
            [
                self.BROKEN,
                self.BELOW,
                self.BELOW._replace(id=f"{CLASS}.test_b"),
                BROKEN_CLASS._replace(attempt=2, stdout="setting up again\n"),
            ]
        )
        told = case(root, "setUpClass")
        assert [child.tag for child in told] == ["error", "rerunFailure", "system-out"]
        assert (told.findtext("system-out"), told[1].findtext("system-out")) == ("setting up\n", "setting up again\n")
        assert (root.get("tests"), root.get("errors")) == ("1", "1")
        assert flavour != "strict" or junit_schema.validate(etree.parse(str(path))), junit_schema.error_log

    def test_a_set_up_that_skipped_in_the_end(self, write: Write) -> None:
        """A set-up that broke, and skipped when repeated, is one skipped case that shows how it broke."""
        skipped = BROKEN_CLASS._replace(outcome=Outcome.SKIPPED, problems=(), reason="no", attempt=2)
        root = write([self.BROKEN, self.BELOW, skipped])
        assert [child.tag for child in case(root, "setUpClass")] == ["skipped", "flakyFailure", "system-out"]
        assert (root.get("tests"), root.get("errors"), root[0].get("skipped")) == ("1", "0", "1")

    def test_a_set_up_that_broke_behind_a_failure(self, write: Write) -> None:
        """A test that failed by itself before its class broke to the end shows that failure, and nothing of the class's."""
        root = write(
            [
                failed("test_a", final=False),
                self.BROKEN._replace(attempt=2),
                self.BELOW._replace(attempt=2),
                BROKEN_CLASS._replace(attempt=3),
            ]
        )
        told = {
            each.get("name"): [child.tag for child in each if child.tag != "system-out"]
            for each in root.iter("testcase")
        }
        assert told == {"setUpClass": ["error", "rerunFailure"], "test_a": ["failure"]}

    def test_a_module_whose_set_up_recovered(self, write: Write) -> None:
        """A module's set-up is told as a class's is: by the tests below it when it recovered."""
        module = "app.tests.test_views"
        broken = self.BROKEN._replace(id=module, phase="setUpModule")
        other = self.BELOW._replace(id="app.tests.test_views.Other.test_x", class_id="app.tests.test_views.Other")
        root = write(
            [
                broken,
                self.BELOW,
                other,
                fixture(module, "setUpModule"),
                passed("test_a", attempt=2),
                passed("test_x", class_id=other.class_id, attempt=2),
            ]
        )
        told = {each.get("name"): [child.tag for child in each] for each in root.iter("testcase")}
        assert told == {"test_a": ["flakyFailure"], "test_x": ["flakyFailure"]}

    def test_a_broken_set_up_that_was_not_repeated_any_more(self, write: Write) -> None:
        """When the run ends before a broken set-up is repeated, each of its tests has failed by it."""
        end = FINISHED._replace(interrupted="SIGINT", not_run=(f"{CLASS}.test_a",))
        root = write([self.BROKEN, self.BELOW, end])
        (told,) = root.iter("testcase")
        assert (told.get("name"), ending(told).text) == ("test_a", "Trace of oops\n")

    def test_a_worker_that_was_lost(self, write: Write) -> None:
        """A test that ended its worker, and passed on another one, has one case in the suite of that."""
        root = write(
            [
                failed(problem=ERROR, worker="1", final=False),
                passed("test_b", worker="2"),
                passed(worker="2", attempt=2),
            ]
        )
        assert [(suite.get("name"), suite.get("tests")) for suite in root] == [(CLASS, "2")]
        assert [child.tag for child in case(root)] == ["flakyFailure"]


class TestOutput:
    def test_attachments(self, write: Write) -> None:
        """Attachments are absolute paths in marks alone on their lines, at the end of the output."""
        root = write([passed(stdout="no newline", attachments=("/shots/a.png", "reports/b.png"))])
        assert case(root).findtext("system-out") == (
            "no newline\n[[ATTACHMENT|/shots/a.png]]\n[[ATTACHMENT|/srv/project/reports/b.png]]\n"
        )

    def test_attachments_on_gitlab(self, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
        """GitLab gets the paths of what lies in the project from there."""
        monkeypatch.setenv("GITLAB_CI", "true")
        monkeypatch.setenv("CI_PROJECT_DIR", "/srv")
        root = write([passed(attachments=("/shots/a.png", "reports/b.png"))])
        assert case(root).findtext("system-out") == (
            "[[ATTACHMENT|/shots/a.png]]\n[[ATTACHMENT|project/reports/b.png]]\n"
        )

    def test_invisible_characters(self, write: Write) -> None:
        """What XML cannot hold is shown as an escape wherever it stands, and nothing else is changed."""
        problem = FAILED._replace(message=NASTY, traceback=NASTY, type=NASTY)
        told = case(write([failed(NASTY, problem=problem, stdout=NASTY, stderr=NASTY)]), NASTY_SHOWN)
        assert [ending(told).get("message"), ending(told).get("type"), ending(told).text] == [NASTY_SHOWN] * 3
        assert [told.findtext("system-out"), told.findtext("system-err")] == [NASTY_SHOWN] * 2

    def test_invisible_characters_elsewhere(self, path: Path) -> None:
        """Names, files, hosts, measures and reasons with invisible characters do not break the file."""
        odd = "\x00\udc80"
        facts = [
            RunStarted(run="r", at=AT, ids=(), hostname=odd),
            fixture(odd, "setUpClass", outcome=Outcome.SKIPPED, reason=odd, file=odd, worker=odd),
            passed(class_id=odd, file=odd, summary=odd, measures={odd: odd}, attachments=(odd,)),
            RunFinished(at=AT, seconds=1.0, stopped=odd, not_run=(f"{odd}.{odd}",), lost=("",)),
        ]
        root = write_file(path, facts)
        assert root[0].get("name") == r"\x00\udc80"
        assert root.get("tests") == "4"

    def test_carriage_returns(self, write: Write) -> None:
        """Carriage returns, which XML readers would change, arrive as they were."""
        assert case(write([passed(stdout="50%\r100%\r\n")])).findtext("system-out") == "50%\r100%\r\n"


class TestEnd:
    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"interrupted": "SIGINT"}, "not run: interrupted by SIGINT"),
            ({"stopped": "stopped after the first failure"}, "not run: stopped after the first failure"),
            ({}, "not run"),
        ],
    )
    def test_not_run(self, write: Write, fields: dict[str, str], message: str) -> None:
        """Each test that was left out is skipped with the reason, in a suite of its class."""
        ids = ("app.A.test_a", "app.B.test_b", "app.A.test_c[1.5]")
        root = write([FINISHED._replace(not_run=ids, **fields)])
        told = {suite.get("name"): [each.get("name") for each in suite.iter("testcase")] for suite in root}
        assert told == {"app.A": ["test_a", "test_c[1.5]"], "app.B": ["test_b"]}
        assert {ending(each).get("message") for each in root.iter("testcase")} == {message}
        assert root[0].get("skipped") == "2"

    def test_lost(self, write: Write) -> None:
        """A test that nothing accounts for is an error."""
        root = write([passed(), FINISHED._replace(lost=(f"{CLASS}.test_lost",))])
        assert ending(case(root, "test_lost")).get("message").startswith("lost: ")
        assert (root.get("errors"), len(root)) == ("1", 1)

    def test_facts_behind_the_end(self, path: Path, flavour: str) -> None:
        """What is told behind the end of the run changes nothing."""
        listener = Xunit(path, strict=flavour == "strict")
        listener(FINISHED)
        before = path.read_bytes()
        for fact in (RunMeasured(section="coverage", data={"lines": 90.5}), passed(), FINISHED):
            listener(fact)
        assert path.read_bytes() == before

    def test_without_a_start(self, path: Path, flavour: str) -> None:
        """Facts without a start of the run are written as well."""
        listener = Xunit(path, strict=flavour == "strict")
        listener(passed())
        listener(FINISHED)
        assert etree.parse(str(path)).getroot().get("tests") == "1"

    def test_absent_until_the_end(self, path: Path) -> None:
        """Before the run has ended there is no file, not even a temporary one, and the last run's stays whole."""
        listener = Xunit(path)
        path.write_text("the last run's")
        for number in range(3):
            listener(passed(class_id=f"app.Tests{number}"))
        assert {entry.name: entry.read_text() for entry in path.parent.iterdir()} == {"xunit.xml": "the last run's"}
        listener(FINISHED)
        assert path.read_bytes().startswith(b"<?xml")

    def test_changed_directory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A relative path is one below the folder in which the run began, wherever a test has gone since."""
        monkeypatch.chdir(tmp_path)
        listener = Xunit(Path("reports/xunit.xml"))
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir("elsewhere")
        listener(passed())
        listener(FINISHED)
        assert (tmp_path / "reports" / "xunit.xml").exists()

    def test_failure_to_write(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """When the file cannot be written, no temporary file stays behind and none stays open."""
        monkeypatch.setattr(document, "_IN_MEMORY", 10)
        listener = Xunit(path)
        for number in range(3):
            listener(passed(class_id=f"app.Tests{number}"))
        path.mkdir()  # a folder stands where the file is to go
        with pytest.raises(IsADirectoryError):
            listener(FINISHED)
        assert [entry.name for entry in path.parent.iterdir()] == ["xunit.xml"]
        listener(passed())  # it listens no more, and an unclosed file would be a ResourceWarning
        del listener


def test_imports_nothing_heavy() -> None:
    """Importing the module loads neither lxml nor unittest-xml-reporting."""
    code = "import sys, testkit.listeners.xunit; print([m for m in ('lxml', 'xmlrunner') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_options() -> None:
    """There is no file unless asked for, and it goes to reports/xunit.xml in the default flavour."""
    options = XunitOptions()
    assert (options.with_xunit, options.xunit_file, options.xunit_flavour) == (
        False,
        Path("reports/xunit.xml"),
        "default",
    )
    with pytest.raises(ValueError, match="default, strict, classic"):
        XunitOptions.declared["xunit_flavour"].parse("jenkins")
