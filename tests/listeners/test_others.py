"""JSON lines, TAP, SARIF and Code Quality: valid for the strictest reader, and true to the facts, whatever these hold."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from jsonschema import Draft4Validator, Draft202012Validator
from lxml import etree
from tap.parser import Parser

from testkit.core.events import (
    FACTS,
    Fact,
    FixtureFinished,
    Outcome,
    Problem,
    RunFinished,
    RunMeasured,
    RunStarted,
    SubTestFinished,
    TestFinished,
    from_plain,
)
from testkit.core.journal import Journal, facts_in
from testkit.core.tally import Tally
from testkit.listeners.findings.rules import RULES
from testkit.listeners.xunit import XunitOptions, xunit_listener
from testkit.session.aftermath.document import Document
from testkit.session.aftermath.ending import Ending
from testkit.session.formats import FORMATS, listening
from testkit.summary import Gathered, summary
from tests.listeners import hostile, tap14
from tests.projects import ROOT
from tests.test_docs import DOCS, codes, prose, rows

SARIF_SCHEMA = json.loads((ROOT / "tests/schemas/sarif-2.1.0-rtm.5.json").read_bytes())
FACTS_SCHEMA = json.loads((ROOT / "testkit/listeners/jsonl/facts.schema.json").read_bytes())
OTHERS = [name for name in FORMATS if name != "html"]  # the page has tests of its own
SEVERITIES = {"info", "minor", "major", "critical", "blocker"}
# What acts on a terminal or a page, rather than being shown.
ACTIVE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def written(folder: Path, facts: Iterable[Fact]) -> dict[str, Path]:
    """Return the file of each format that ``facts`` make in ``folder``."""
    paths = {name: folder / name for name in OTHERS}
    with ExitStack() as stack:
        listeners = [listening(name, path, stack) for name, path in paths.items()]
        for fact in facts:
            for listener in listeners:
                listener(fact)
    assert {path.name for path in folder.iterdir()} == set(OTHERS)  # nothing temporary is left
    return paths


def sarif_of(path: Path) -> dict[str, Any]:
    """Return the one run of a SARIF file, which is valid; of many results, those that are alike count once."""
    log = json.loads(path.read_text(encoding="utf-8"))
    (run,) = log["runs"]
    results = run["results"]
    alike = {(result["ruleId"], shape_of(result)): result for result in results}
    run["results"] = [*alike.values(), *results[::100]]
    Draft4Validator(SARIF_SCHEMA).validate(log)
    run["results"] = results
    return run


def shape_of(value: Any) -> Any:
    """Return the names and the kinds of values in ``value``."""
    if isinstance(value, dict):
        return tuple((name, shape_of(item)) for name, item in value.items())
    return tuple(map(shape_of, value)) if isinstance(value, list) else type(value).__name__


def issues_of(path: Path) -> list[dict[str, Any]]:
    """Return the issues of a Code Quality report, each with all that GitLab asks for and a fingerprint of its own."""
    issues = json.loads(path.read_text(encoding="utf-8"))
    for issue in issues:
        assert set(issue) == {"description", "check_name", "fingerprint", "severity", "location"}
        assert issue["severity"] in SEVERITIES
        assert issue["description"]
        assert issue["location"]["path"]
        assert issue["location"]["lines"]["begin"] >= 1
        assert not ACTIVE.search(json.dumps(issue, ensure_ascii=False)), issue
    fingerprints = [issue["fingerprint"] for issue in issues]
    assert len(set(fingerprints)) == len(fingerprints)
    return issues


class Written(NamedTuple):
    """The files of the hostile run, and what its journal says."""

    paths: dict[str, Path]
    journal: list[Fact]
    tally: Tally


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """The hostile run through its journal, and each format of what that says."""
    journal = Journal(tmp_path_factory.mktemp("journal"), "r")
    for fact in hostile.facts():
        journal(fact)
    journal.close()
    facts = list(facts_in(journal.path))
    tally = Tally()
    for fact in facts:
        tally(fact)
    return Written(written(tmp_path_factory.mktemp("reports"), facts), facts, tally)


def bad_in(facts: Iterable[Fact]) -> Counter[str]:
    """Return what is wrong by the facts themselves, counted by rule."""
    counts: Counter[str] = Counter()
    subtests: Counter[str] = Counter()
    for fact in facts:
        match fact:
            case SubTestFinished() if fact.outcome.is_bad:
                subtests[fact.test] += 1
                counts["test-failed"] += 1
            case TestFinished():
                counts["leak"] += len(fact.measures.get("leaks", ()))
                if fact.outcome is Outcome.UNEXPECTED_SUCCESS:
                    counts["unexpected-success"] += 1
                elif fact.outcome.is_bad and not fact.class_id:
                    counts["import-failed"] += 1
                elif fact.outcome.is_bad and (fact.problems or not subtests[fact.id]):
                    counts["test-failed"] += 1
            case FixtureFinished() if fact.outcome.is_bad:
                counts["fixture-failed"] += 1
            case RunMeasured(section="budgets"):
                counts["query-budget"] += len(fact.data["over"])
            case RunMeasured(section="routes"):
                counts["untested-route"] += len(fact.data["failing"])
            case RunFinished():
                counts["test-lost"] += len(fact.lost)
    return +counts


class TestHostile:
    def test_json_lines(self, attacked: Written) -> None:
        """Every line is I-JSON and valid by the schema, and the facts are those of the journal, one by one."""
        validator = Draft202012Validator(FACTS_SCHEMA)
        lines = attacked.paths["jsonl"].read_bytes().splitlines()
        assert attacked.paths["jsonl"].read_bytes().isascii()
        plain = [json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON")) for line in lines]
        assert plain[0] == {"format": "testkit facts", "version": 1, "testkit": plain[0]["testkit"]}
        shapes = {frozenset(line): line for line in plain}
        for line in (*shapes.values(), *plain[:200], *plain[-40:]):
            validator.validate(line)
        told = [from_plain(line["fact"], line) for line in plain[1:]]
        assert len(told) == len(attacked.journal)
        for ours, theirs in zip(told, attacked.journal, strict=True):
            assert without_surrogates(ours) == without_surrogates(theirs)
        json.dumps(plain, ensure_ascii=False).encode("utf-8")  # no lone surrogate is left

    def test_tap(self, attacked: Written) -> None:
        """A strict reader takes the file, no text is taken for a line of TAP, and the figures are the journal's."""
        text = attacked.paths["tap"].read_text(encoding="utf-8")
        document = tap14.read(text)
        assert not ACTIVE.search(text)
        end = next(fact for fact in attacked.journal if isinstance(fact, RunFinished))
        points, tally = document.points, attacked.tally
        assert len(points) == tally.ran + 2 + len(end.not_run) + len(end.lost)  # and two fixtures
        directives = Counter(point.directive for point in points)
        assert directives == {
            "SKIP": tally.skipped + len(end.not_run),
            "TODO": tally.expected_failures,
            "": len(points) - tally.skipped - len(end.not_run) - tally.expected_failures,
        }
        told = [fact for fact in attacked.journal if isinstance(fact, TestFinished | FixtureFinished)]
        bad = sum(fact.outcome.is_bad for fact in told) + len(end.lost)
        assert sum(not point.ok and not point.directive for point in points) == bad
        subtests = [fact for fact in attacked.journal if isinstance(fact, SubTestFinished)]
        assert sum(len(point.subtests) for point in points) == len(subtests)
        assert document.bail_out.startswith("interrupted by SIGTERM \\# forged, ")
        assert len(text) < 40_000_000
        for point in (*points[:100], *points[-60:]):
            assert point.ok or point.directive or point.diagnostic["message"]
        names = [point.name for point in points if point.name.startswith("app.tests.Case.test_11_")]
        assert names == [f"app.tests.Case.test_11_{hostile.ATTACKS[11]}"]

    def test_tap_by_another_parser(self, attacked: Written) -> None:
        """tap.py, which knows neither escapes nor subtests, sees the same points, skips and plan."""
        lines = [line for line in Parser().parse_file(attacked.paths["tap"]) if line.category != "unknown"]
        points = [line for line in lines if line.category == "test"]
        ours = tap14.read(attacked.paths["tap"].read_text(encoding="utf-8")).points
        assert [line.expected_tests for line in lines if line.category == "plan"] == [len(ours)]
        assert [(line.ok, bool(line.skip), bool(line.todo)) for line in points] == [
            (point.ok, point.directive == "SKIP", point.directive == "TODO") for point in ours
        ]
        assert [line.category for line in lines if line.category in ("bail", "version")] == ["version", "bail"]

    def test_sarif(self, attacked: Written) -> None:
        """The file is valid SARIF; no text is a link; what is left out, or has no place, is told."""
        run = sarif_of(attacked.paths["sarif"])
        text = attacked.paths["sarif"].read_text(encoding="utf-8")
        assert not ACTIVE.search(text)
        counts = Counter(result["ruleId"] for result in run["results"])
        found = bad_in(attacked.journal)
        assert found["test-failed"] > 2_000
        homeless = {"fixture-failed": 2, "query-budget": 1}
        assert counts == found - Counter(homeless)
        notes = [note["message"]["text"] for note in run["invocations"][0]["toolExecutionNotifications"]]
        assert len(notes) == 3 + 1
        assert run["invocations"][0]["executionSuccessful"] is False
        for result in run["results"]:
            (location,) = result["locations"]
            uri = location["physicalLocation"]["artifactLocation"]["uri"]
            assert re.fullmatch(r"[\w.~/%-]+", uri, re.ASCII), uri
            assert "](" not in result["message"]["text"].replace("\\]", "")
        prints = [result["partialFingerprints"]["testkit/v1"] for result in run["results"]]
        assert len(set(prints)) == len(prints)

    def test_code_quality(self, attacked: Written) -> None:
        """Each finding is an issue of the form that GitLab asks for, and there are as many as the facts have."""
        issues = issues_of(attacked.paths["codequality"])
        counts = Counter(issue["check_name"].removeprefix("testkit/") for issue in issues)
        assert counts == bad_in(attacked.journal)
        assert attacked.paths["codequality"].stat().st_size < 20_000_000

    @pytest.mark.parametrize("flavour", ["default", "strict"])
    def test_xunit(self, attacked: Written, flavour: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
        """The xunit file is XML, the strict one valid by Jenkins' schema, and its figures are the journal's."""
        path = tmp_path / "xunit.xml"
        listener = xunit_listener(XunitOptions(xunit_file=path, xunit_flavour=flavour))
        for fact in attacked.journal:
            listener(fact)
        root = etree.parse(path, etree.XMLParser(huge_tree=True)).getroot()
        tally = attacked.tally
        end = next(fact for fact in attacked.journal if isinstance(fact, RunFinished))
        subtests = [fact for fact in attacked.journal if isinstance(fact, SubTestFinished)]
        assert int(root.get("tests", "")) == tally.ran + 2 + len(subtests) + len(end.not_run) + len(end.lost)
        told = [fact for fact in attacked.journal if isinstance(fact, TestFinished | FixtureFinished | SubTestFinished)]
        bad = sum(fact.outcome.is_bad for fact in told) + len(end.lost)
        assert int(root.get("failures", "")) + int(root.get("errors", "")) == bad
        assert len(root.findall(".//skipped")) == tally.skipped + tally.expected_failures + len(end.not_run)
        if flavour == "strict":
            request.getfixturevalue("junit_schema").assertValid(root)

    def test_documents(self, attacked: Written) -> None:
        """The JSON document has the journal's figures, and the Markdown summary is short enough for GitHub."""
        ending = Ending()
        gathered, out = Gathered(), io.BytesIO()
        with closing(Document(ending)) as document:
            for fact in attacked.journal:
                for listener in (ending, document, gathered):
                    listener(fact)
            document.write(out, *ending.status())
        found = json.loads(out.getvalue(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
        tally = attacked.tally
        names = ("ran", "failures", "errors", "skipped", "expected_failures", "unexpected_successes")
        assert {name: found["totals"][name] for name in names} == {name: getattr(tally, name) for name in names}
        assert len(found["tests"]) == tally.ran
        text = summary(gathered, *ending.status())
        assert len(text.encode("utf-8", "backslashreplace")) < 1024 * 1024
        assert f"| {tally.ran} |" in text


def without_surrogates(fact: Fact) -> str:
    """Return a fact as text in which a lone surrogate is as the file of JSON lines has it."""
    return (
        repr(fact).replace("\\\\ud", "\\ud").replace("'nan'", "nan").replace("'inf'", "inf").replace("'-inf'", "-inf")
    )


FAILED = Problem(Outcome.FAILED, "AssertionError", "1 != 2\nmore", "Trace\n", "shop/tests/test_a.py", 12)


def ended(name: str = "test_a", outcome: Outcome = Outcome.PASSED, **fields: Any) -> TestFinished:
    values = {"class_id": "shop.tests.test_a.T", "at": 2.0, "seconds": 0.25, "file": "shop/tests/test_a.py", "line": 9}
    return TestFinished(**{"id": f"shop.tests.test_a.T.{name}", "outcome": outcome, **values, **fields})


def failed(name: str = "test_a", **fields: Any) -> TestFinished:
    return ended(name, Outcome.FAILED, problems=(FAILED,), **fields)


def run_of(*facts: Fact, directory: str = "", **end: Any) -> list[Fact]:
    return [
        RunStarted(run="r", at=1.0, ids=(), directory=directory),
        *facts,
        RunFinished(at=9.0, seconds=8.0, **end),
    ]


def test_the_schema_has_every_fact_and_field():
    """The schema describes each fact with its fields, which of them are required, and their defaults, and no other."""
    Draft202012Validator.check_schema(FACTS_SCHEMA)
    described = FACTS_SCHEMA["$defs"]
    named = [branch["then"]["$ref"].rpartition("/")[2] for branch in FACTS_SCHEMA["else"]["allOf"]]
    assert named == list(FACTS)
    for name, cls in {**FACTS, "Problem": Problem}.items():
        fields = described[name]["properties"]
        assert list(fields) == list(cls._fields), name
        assert described[name]["required"] == [each for each in cls._fields if each not in cls._field_defaults], name
        for field, default in cls._field_defaults.items():
            plain = [] if default == () else dict(default) if isinstance(default, type({}.items())) else default
            assert fields[field]["default"] == plain, (name, field)
    assert described["outcome"]["enum"] == [outcome.value for outcome in Outcome]


@pytest.mark.parametrize(
    "line",
    [
        {"fact": "TestFinished", "id": "a", "class_id": "", "at": 1.0, "seconds": 1.0, "outcome": "fine"},
        {"fact": "TestFinished", "id": "a", "class_id": "", "at": "now", "seconds": 1.0, "outcome": "passed"},
        {"fact": "RunStarted", "run": "r", "at": 1.0},
        {"fact": "RunMeasured", "section": "coverage", "data": []},
        {"format": "testkit facts", "version": 2, "testkit": "9"},
        {"id": "a"},
        ["RunStarted"],
    ],
)
def test_the_schema_refuses_what_is_no_line(line):
    """A missing field, a value of another kind and another version of the format are not valid."""
    assert not Draft202012Validator(FACTS_SCHEMA).is_valid(line)


def test_json_lines_go_on_when_the_tests_are_over(tmp_path):
    """What is measured behind RunFinished is in the file, too; each line is there as soon as it was told."""
    facts = [*run_of(ended()), RunMeasured("coverage", {"percent": 81.5})]
    with ExitStack() as stack:
        path = tmp_path / "new" / "facts.jsonl"
        listener = listening("jsonl", path, stack)
        for number, fact in enumerate(facts, start=2):
            listener(fact)
            assert path.read_text().count("\n") == number
    assert list(facts_in(path)) == facts  # and the header is passed over by what reads journals


def test_tap_has_subtests_within_and_diagnostics(tmp_path):
    """Subtests are a document before their test's point; a bad point says why, where, how long, and what was printed."""
    subtests = [
        SubTestFinished("shop.tests.test_a.T.test_a (n=1)", "shop.tests.test_a.T.test_a", "", 2.0, Outcome.PASSED),
        SubTestFinished(
            "shop.tests.test_a.T.test_a (n=2)", "shop.tests.test_a.T.test_a", "", 2.0, Outcome.FAILED, FAILED
        ),
    ]
    facts = run_of(
        *subtests,
        ended("test_a", Outcome.FAILED, subtests_failed=1),
        failed("test_b", stdout="said\n  ...\n", stderr="warned"),
        failed("test_c", final=False),
        ended("test_c", attempt=2),
        ended("test_d", Outcome.SKIPPED, reason="no # browser"),
        ended("test_e", Outcome.EXPECTED_FAILURE, reason="Trace\nE: as known"),
        ended("test_f", Outcome.UNEXPECTED_SUCCESS),
    )
    text = written(tmp_path, facts)["tap"].read_text()
    a, b, c, d, e, f = tap14.read(text).points
    assert [(point.ok, point.name) for point in a.subtests] == [(True, "(n=1)"), (False, "(n=2)")]
    assert a.subtests[1].diagnostic["at"] == {"file": "shop/tests/test_a.py", "line": 12}
    assert (a.ok, a.diagnostic["message"]) == (False, "contains 1 failed subtest")
    assert b.diagnostic == {
        "message": "1 != 2",
        "severity": "fail",
        "type": "AssertionError",
        "at": {"file": "shop/tests/test_a.py", "line": 12},
        "duration_ms": 250.0,
        "traceback": ["Trace"],
        "stdout": ["said", "  ..."],
        "stderr": ["warned"],
    }
    assert (c.ok, c.diagnostic["earlier_attempts"]) == (True, [{"type": "AssertionError", "message": "1 != 2"}])
    assert (d.ok, d.directive, d.reason) == (True, "SKIP", "no # browser")
    assert (e.ok, e.directive, e.reason) == (False, "TODO", "expected failure: E: as known")
    assert (f.ok, f.directive) == (False, "")
    assert "Bail out!" not in text


@pytest.mark.parametrize(
    ("end", "said", "executed"),
    [
        ({}, "", True),
        ({"interrupted": "SIGINT", "not_run": ("a.T.b",)}, "interrupted by SIGINT, 1 tests did not run", False),
        ({"stopped": "--failfast", "not_run": ("a.T.b",)}, "--failfast, 1 tests did not run", False),
        ({"lost": ("a.T.b",)}, "1 tests were lost", False),
    ],
)
def test_a_run_that_was_cut_off_is_told(tmp_path, end, said, executed):
    """TAP bails out, and SARIF has an invocation that was not successful; tests that did not run are skipped points."""
    paths = written(tmp_path, run_of(ended(), **end))
    document = tap14.read(paths["tap"].read_text())
    assert document.bail_out == said
    assert len(document.points) == 1 + len(end.get("not_run", ())) + len(end.get("lost", ()))
    run = sarif_of(paths["sarif"])
    assert run["invocations"][0]["executionSuccessful"] is executed
    assert bool(run["invocations"][0]["toolExecutionNotifications"]) == bool(end.keys() & {"interrupted", "stopped"})


def test_subtests_of_a_test_that_never_ended_are_told(tmp_path):
    """What is known of a lost test is its subtests: TAP has a point for each, and the bad ones are findings."""
    name = "shop.tests.test_a.T.test_a"
    good = SubTestFinished(f"{name} (n=1)", name, "shop.tests.test_a.T", 2.0, Outcome.PASSED)
    bad = SubTestFinished(f"{name} (n=2)", name, "shop.tests.test_a.T", 2.0, Outcome.FAILED, FAILED)
    paths = written(tmp_path, run_of(good, bad, lost=(name,)))
    points = tap14.read(paths["tap"].read_text()).points
    assert [(point.name, point.ok) for point in points] == [(good.id, True), (bad.id, False), (name, False)]
    rules = [issue["check_name"] for issue in issues_of(paths["codequality"])]
    assert rules == ["testkit/test-lost", "testkit/test-failed"]


def test_paths_begin_at_the_root_of_the_repository(tmp_path):
    """Where the run began in a folder of the repository, findings have that folder; elsewhere, paths are the facts'."""
    (tmp_path / "made").mkdir()
    (tmp_path / "repository/.git").mkdir(parents=True)
    folder = str(tmp_path / "repository" / "back end")
    paths = written(tmp_path / "made", run_of(failed(), directory=folder))
    (result,) = sarif_of(paths["sarif"])["results"]
    location = result["locations"][0]["physicalLocation"]
    assert location == {
        "artifactLocation": {"uri": "back%20end/shop/tests/test_a.py", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 12},
    }
    (issue,) = issues_of(paths["codequality"])
    assert issue["location"] == {"path": "back end/shop/tests/test_a.py", "lines": {"begin": 12}}
    assert issue["description"] == "shop.tests.test_a.T.test_a: AssertionError: 1 != 2"


def test_a_finding_is_known_again(tmp_path):
    """A fingerprint is that of the same test's failure however its line and its message change, and of no other's."""

    def prints(name: str, *facts: Fact) -> list[str]:
        (tmp_path / name).mkdir()
        return [issue["fingerprint"] for issue in issues_of(written(tmp_path / name, run_of(*facts))["codequality"])]

    moved = FAILED._replace(line=99, message="3 != 4")
    first = prints("first", failed("test_a"), failed("test_b"))
    assert prints("second", ended("test_a", Outcome.FAILED, problems=(moved,)), failed("test_b")) == first
    assert len({*first, *prints("third", failed("test_c"))}) == 3
    assert len(set(prints("twins", failed("test_a"), failed("test_a")))) == 2  # two classes may have one name


def test_guards_have_their_place(tmp_path):
    """A budget points to its line, a route to the module of its view, a leak to its test, an import to its module."""
    facts = run_of(
        ended(file="site/shop/tests/test_a.py", measures={"leaks": ["thread x"]}),
        ended("x", Outcome.ERROR, id="shop.tests.gone", class_id="", file="", problems=(FAILED._replace(file=""),)),
        RunMeasured(
            "budgets", {"over": {"GET /a/": "5 queries; its budget is 4"}, "places": {"GET /a/": ["b.toml", 3]}}
        ),
        RunMeasured("routes", {"failing": ["GET /b/"], "endpoints": {"GET /b/": {"view": "shop.views.Book.List"}}}),
        RunMeasured("routes", {"routes": [], "whole": True}),  # of a shard
    )
    paths = written(tmp_path, facts)
    assert [(issue["check_name"], issue["location"]) for issue in issues_of(paths["codequality"])] == [
        ("testkit/import-failed", {"path": "site/shop/tests/gone.py", "lines": {"begin": 1}}),
        ("testkit/query-budget", {"path": "b.toml", "lines": {"begin": 3}}),
        ("testkit/untested-route", {"path": "site/shop/views.py", "lines": {"begin": 1}}),
        ("testkit/leak", {"path": "site/shop/tests/test_a.py", "lines": {"begin": 9}}),
    ]
    assert [result["level"] for result in sarif_of(paths["sarif"])["results"]] == ["error", "error", "error", "warning"]


def test_sarif_keeps_to_the_cap_and_says_so(tmp_path):
    """Of more findings than GitHub shows, the gravest are there, and a notification counts the others by rule."""
    facts = run_of(
        *(failed(f"test_{number}", measures={"leaks": ["thread"]}) for number in range(5_100)),
        FixtureFinished("shop.T", "setUpClass", 3.0, 0.1, Outcome.ERROR, (FAILED,)),
    )
    paths = written(tmp_path, facts)
    run = sarif_of(paths["sarif"])
    assert len(run["results"]) == 5_000
    assert run["results"][0]["ruleId"] == "fixture-failed"
    (note,) = run["invocations"][0]["toolExecutionNotifications"]
    assert note["message"]["text"] == (
        "5201 more findings are left out, as GitHub shows 5000 of a run: 101 test-failed, 5100 leak"
    )
    assert len(issues_of(paths["codequality"])) == 10_201


def test_each_rule_is_told_of(tmp_path):
    """The rules of SARIF are those that findings can have, in a form that each service knows, and so are the page's."""
    rules = sarif_of(written(tmp_path, run_of())["sarif"])["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == list(RULES)
    assert {rule["defaultConfiguration"]["level"] for rule in rules} <= {"error", "warning", "note"}
    table = prose(DOCS / "how-to" / "formats.md").partition("\n## SARIF")[2].partition("\n## ")[0]
    told = [(codes(row[0])[0], *row[1:3]) for row in rows(table)]
    assert told == [(id, rule.level, rule.severity) for id, rule in RULES.items()]
