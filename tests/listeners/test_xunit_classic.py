"""The classic xunit files, from plain lists of facts."""

import sys
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from testkit.core.errors import TestkitError
from testkit.core.events import (
    Fact,
    FixtureFinished,
    Outcome,
    Problem,
    RunFinished,
    RunMeasured,
    SubTestFinished,
    TestFinished,
    TestStarted,
)
from testkit.core.text import visible
from testkit.listeners.xunit import XunitOptions, xunit_listener
from testkit.listeners.xunit.classic import XunitClassic

CLASS = "app.tests.test_views.IndexTests"
AT = 1_700_000_000.25  # 2023-11-14T22:13:20.250 UTC
FAILED = Problem(outcome=Outcome.FAILED, type="AssertionError", message="1 != 2", traceback="Trace of 1 != 2\n")
ERROR = Problem(outcome=Outcome.ERROR, type="app.Oops", message="oops", traceback="Trace of oops\n")
FINISHED = RunFinished(at=AT + 60, seconds=59.5)
NASTY = "nul \x00 esc \x1b del \x7f lone \udc80 non \ufffe ]]> & < é --"
NASTY_SHOWN = r"nul \x00 esc \x1b del \x7f lone \udc80 non \ufffe ]]> & < é --"


def finished(name: str = "test_it", class_id: str = CLASS, *problems: Problem, **fields: Any) -> TestFinished:
    outcome = problems[0].outcome if problems else Outcome.PASSED
    values = {"at": AT, "seconds": 0.5, "outcome": outcome, "problems": problems}
    return TestFinished(**{"id": f"{class_id}.{name}", "class_id": class_id, **values, **fields})


def subtest(parameters: str, outcome: Outcome, **fields: Any) -> SubTestFinished:
    id = f"{CLASS}.test_it"
    return SubTestFinished(id=f"{id} {parameters}", test=id, class_id=CLASS, at=AT, outcome=outcome, **fields)


def write(folder: Path, *facts: Fact) -> dict[str, Any]:
    """Publish facts and an end behind them, and return the roots of the files by name."""
    listener = XunitClassic(folder)
    for fact in [*facts, FINISHED]:  # another end among the facts goes before this one
        listener(fact)
    return {file.name: etree.parse(str(file)).getroot() for file in sorted(folder.iterdir())}


def write_one(folder: Path, *facts: Fact) -> Any:
    (root,) = write(folder, *facts).values()
    return root


def told(root: Any) -> list[tuple[str | None, ...]]:
    """Return class, name, element, type and message of each case."""
    return [
        (case.get("classname"), case.get("name"), child.tag, child.get("type"), child.get("message"))
        for case in root
        for child in case
        if child.tag in ("failure", "error", "skipped")
    ]


def test_file_per_class(tmp_path: Path) -> None:
    """Each class has its file, whatever comes between its tests."""
    files = write(tmp_path, finished("test_a"), finished(class_id="app.Other"), finished("test_b"))
    assert sorted(files) == ["TEST-app.Other.xml", f"TEST-{CLASS}.xml"]
    assert [case.get("name") for case in files[f"TEST-{CLASS}.xml"]] == ["test_a", "test_b"]


def test_made_by_the_package(tmp_path: Path) -> None:
    """A file has the form that unittest-xml-reporting gives it."""
    fact = finished(summary="Says hello.", file="app/tests/test_views.py", line=12, stdout="hi\n")
    write(tmp_path, fact)
    stamp, counts = 'timestamp="2023-11-14T22:13:20"', 'failures="0" errors="0" skipped="0"'
    place = 'file="app/tests/test_views.py" line="12"'
    assert (tmp_path / f"TEST-{CLASS}.xml").read_text().splitlines() == [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<testsuite name="{CLASS}" tests="1" file="app/tests/test_views.py" time="0.500" {stamp} {counts}>',
        f'\t<testcase classname="{CLASS}" name="test_it" time="0.500" {stamp} {place}>',
        "\t\t<!--Says hello.-->",
        "\t\t<system-out><![CDATA[hi",
        "]]></system-out>",
        "\t</testcase>",
        "</testsuite>",
    ]


def test_outcomes(tmp_path: Path) -> None:
    """Each outcome has the package's element, type and words, and the counts are right."""
    root = write_one(
        tmp_path,
        finished("test_passes"),
        finished("test_fails", CLASS, FAILED),
        finished("test_errs", CLASS, ERROR, stderr="warned\n"),
        finished("test_skipped", outcome=Outcome.SKIPPED, reason="no browser"),
        finished("test_known", outcome=Outcome.EXPECTED_FAILURE, reason="Traceback\nAssertionError: 3\n"),
        finished("test_mended", outcome=Outcome.UNEXPECTED_SUCCESS),
    )
    assert told(root) == [
        (CLASS, "test_fails", "failure", "AssertionError", "1 != 2"),
        (CLASS, "test_errs", "error", "app.Oops", "oops"),
        (CLASS, "test_skipped", "skipped", "skip", "no browser"),
        (CLASS, "test_known", "skipped", "XFAIL", "expected failure: AssertionError: 3"),
        (CLASS, "test_mended", "error", "UnexpectedSuccess", "unexpected success"),
    ]
    assert [root.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["6", "1", "2", "2"]
    assert root.findtext("testcase/failure") == "Trace of 1 != 2\n"
    assert root.findtext("testcase/system-err") == "warned\n"


def test_fixtures_and_imports(tmp_path: Path) -> None:
    """A broken fixture is a case of its class or module, and a broken import one of its module."""
    broken = FixtureFinished(
        id=CLASS, phase="setUpClass", at=AT, seconds=2.0, outcome=Outcome.ERROR, problems=(ERROR,), line=7
    )
    fine = broken._replace(id="app.Fine", outcome=Outcome.PASSED, problems=())
    files = write(tmp_path, fine, broken, finished("", "", ERROR, id="app.tests.test_gone"))
    assert {name: told(root) for name, root in files.items()} == {
        f"TEST-{CLASS}.xml": [(CLASS, "setUpClass", "error", "app.Oops", "oops")],
        "TEST-app.tests.test_gone.xml": [("app.tests.test_gone", "import", "error", "app.Oops", "oops")],
    }
    assert files[f"TEST-{CLASS}.xml"][0].get("time") == "2.000"


def test_subtests(tmp_path: Path) -> None:
    """As the package has it: subtests that did not pass are cases, and stand for their test."""
    root = write_one(
        tmp_path,
        subtest("(i=1.5)", Outcome.PASSED),
        subtest("(i='a.b c')", Outcome.FAILED, problem=FAILED),
        subtest("[msg]", Outcome.SKIPPED, reason="odd"),
        finished(outcome=Outcome.FAILED, subtests_failed=1),
    )
    assert told(root) == [
        (CLASS, "test_it (i='a.b c')", "failure", "AssertionError", "1 != 2"),
        (CLASS, "test_it [msg]", "skipped", "skip", "odd"),
    ]
    assert root.get("tests") == "2"


def test_subtests_that_passed(tmp_path: Path) -> None:
    """A test whose subtests passed is told by itself."""
    root = write_one(tmp_path, subtest("(i=1)", Outcome.PASSED), finished())
    assert [case.get("name") for case in root] == ["test_it"]


def test_subtests_of_an_attempt_that_never_ended(tmp_path: Path) -> None:
    """When a test begins anew, subtests of an attempt that was cut off are forgotten."""
    begins = TestStarted(id=f"{CLASS}.test_it", class_id=CLASS, at=AT)
    root = write_one(tmp_path, begins, subtest("(i=1)", Outcome.FAILED, problem=FAILED), begins, finished())
    assert (root.get("tests"), root.get("failures")) == ("1", "0")


def test_subtests_never_told(tmp_path: Path) -> None:
    """A test with bad subtests of which no fact came is told by itself."""
    root = write_one(tmp_path, finished(outcome=Outcome.FAILED, subtests_failed=2))
    assert told(root) == [(CLASS, "test_it", "failure", "unittest.subTest", "contains 2 failed subtests")]


def test_problem_beside_subtests(tmp_path: Path) -> None:
    """A test with bad subtests and a problem of its own is told beside them."""
    bad = subtest("(i=1)", Outcome.FAILED, problem=FAILED)
    root = write_one(tmp_path, bad, finished("test_it", CLASS, ERROR, subtests_failed=1))
    assert [name for _, name, *_ in told(root)] == ["test_it (i=1)", "test_it"]


def test_attempts(tmp_path: Path) -> None:
    """Of several attempts the last is told."""
    root = write_one(
        tmp_path,
        subtest("(i=1)", Outcome.FAILED, problem=FAILED),
        finished("test_it", CLASS, FAILED, final=False),
        finished("test_it", attempt=2),
    )
    assert (root.get("tests"), told(root)) == ("1", [])


def test_untold(tmp_path: Path) -> None:
    """Tests left out are skipped, lost ones errors, and one whose repetition was cut off has failed, once."""
    end = FINISHED._replace(
        interrupted="SIGINT",
        not_run=(f"{CLASS}.test_it", f"{CLASS}.test_next"),
        lost=(f"{CLASS}.test_lost",),
    )
    orphan = subtest("", Outcome.ERROR, problem=ERROR)._replace(
        id=f"{CLASS}.test_lost (i=1)", test=f"{CLASS}.test_lost"
    )
    root = write_one(tmp_path, finished("test_it", CLASS, FAILED, final=False), orphan, end)
    assert [(name, tag) for _, name, tag, *_ in told(root)] == [
        ("test_it", "failure"),
        ("test_lost (i=1)", "error"),
        ("test_next", "skipped"),
        ("test_lost", "error"),
    ]
    assert root.get("timestamp") == "2023-11-14T22:14:20"


def test_invisible_characters(tmp_path: Path) -> None:
    """What XML cannot hold is shown as an escape, not dropped, and breaks nothing."""
    problem = FAILED._replace(type=NASTY, message=NASTY, traceback=NASTY)
    facts = [
        finished("test_it", CLASS, problem, stdout=NASTY, stderr=NASTY, summary=NASTY, file=NASTY),
        finished("test_it", "app.\x00\udc80"),
    ]
    files = write(tmp_path, *facts)
    case = files[f"TEST-{CLASS}.xml"][0]
    # Where it takes "]]>" apart, the package's pretty printing puts white space around.
    texts = [case.findtext(tag).strip() for tag in ("failure", "system-out", "system-err")]
    assert texts == [NASTY_SHOWN] * 3
    assert case.find("failure").get("message") == NASTY_SHOWN
    assert files["TEST-app.-.xml"].get("name") == r"app.\x00\udc80"


def test_hyphen_at_the_end(tmp_path: Path) -> None:
    """A docstring that ends in a hyphen, which an XML comment may not, does not break the file."""
    assert write_one(tmp_path, finished(summary="Says -")).xpath("string(testcase/comment())") == "Says - "


def test_changed_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative folder is one below the folder in which the run began, wherever a test has gone since."""
    monkeypatch.chdir(tmp_path)
    listener = XunitClassic(Path("reports"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    listener(finished())
    listener(FINISHED)
    assert (tmp_path / "reports" / f"TEST-{CLASS}.xml").exists()


def test_package_removes_nothing() -> None:
    """Every character that the package would remove is shown before."""
    from xmlrunner.result import INVALID_XML_1_0_UNICODE_RE

    removed = [chr(number) for number in range(0x110000) if INVALID_XML_1_0_UNICODE_RE.match(chr(number))]
    assert len(removed) > 50
    assert [character for character in removed if visible(character) == character] == []


def test_like_names(tmp_path: Path) -> None:
    """Two classes whose names become the same file name have a file each."""
    files = write(tmp_path, finished(class_id="app.<a>"), finished(class_id="app.[a]"))
    assert {name: root.get("name") for name, root in files.items()} == {
        "TEST-app.-a-.xml": "app.<a>",
        "TEST-app.-a--2.xml": "app.[a]",
    }


def test_files_are_replaced(tmp_path: Path) -> None:
    """A run replaces the file of the one before, and leaves those of other classes alone."""
    write(tmp_path, finished("test_old"), finished(class_id="app.Other"))
    files = write(tmp_path, finished("test_new"))
    assert [case.get("name") for case in files[f"TEST-{CLASS}.xml"]] == ["test_new"]
    assert "TEST-app.Other.xml" in files


def test_facts_behind_the_end(tmp_path: Path) -> None:
    """What is told behind the end of the run changes nothing."""
    measured = RunMeasured(section="coverage", data={})
    assert write_one(tmp_path, finished(), FINISHED, measured, finished("test_late")).get("tests") == "1"


def test_factory(tmp_path: Path) -> None:
    """The flavour classic writes into the folder of the xunit file."""
    listener = xunit_listener(XunitOptions(xunit_file=tmp_path / "out" / "x.xml", xunit_flavour="classic"))
    listener(finished())
    listener(FINISHED)
    assert [file.name for file in (tmp_path / "out").iterdir()] == [f"TEST-{CLASS}.xml"]


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without unittest-xml-reporting the error says what to install."""
    monkeypatch.setitem(sys.modules, "xmlrunner.result", None)
    with pytest.raises(TestkitError, match=r'pip install "django-testkit\[classic\]"'):
        XunitClassic(tmp_path)


def test_tests_that_run_again_for_another_one(tmp_path: Path) -> None:
    """A test that had its outcome, and runs again for the sake of another, is told once, with that outcome."""
    root = write_one(
        tmp_path,
        finished("test_a"),
        finished("test_b", CLASS, FAILED, final=False),
        subtest("(i=1)", Outcome.FAILED, problem=FAILED)._replace(test=f"{CLASS}.test_a", attempt=2, final=False),
        finished("test_a", CLASS, FAILED, attempt=2, final=False),
        finished("test_b", attempt=2),
    )
    assert (root.get("tests"), told(root)) == ("2", [])


def test_set_ups_that_are_tried_again(tmp_path: Path) -> None:
    """A set-up that recovered is not told; one that broke to the end is told once, and its tests are not."""
    broken = FixtureFinished(
        id=CLASS, phase="setUpClass", at=AT, seconds=2.0, outcome=Outcome.ERROR, problems=(ERROR,), final=False
    )
    attempt = finished("test_it", CLASS, ERROR, final=False)
    recovered = write_one(tmp_path, broken, attempt, finished(attempt=2))
    assert (recovered.get("tests"), told(recovered)) == ("1", [])
    to_the_end = write_one(tmp_path, broken, attempt, broken._replace(attempt=2, final=True))
    assert told(to_the_end) == [(CLASS, "setUpClass", "error", "app.Oops", "oops")]
    assert to_the_end.get("tests") == "1"
