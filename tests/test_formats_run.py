"""The formats for others in real runs: the same from a run, its journal, its shards, pytest and nose2."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tests.listeners import tap14
from tests.projects import MIXED, Project
from tests.test_shards_run import run_shards

FILES = {
    "jsonl": "facts.jsonl",
    "tap": "tests.tap",
    "sarif": "testkit.sarif",
    "codequality": "gl-code-quality-report.json",
}
FLAGS = [f"--with-{name}" for name in FILES]


def contents(project: Project) -> dict[str, bytes]:
    return {name: (project.folder / "reports" / file).read_bytes() for name, file in FILES.items()}


def told(project: Project) -> tuple[Counter[tuple[str, bool, str]], Counter[tuple[str, str]]]:
    """Return the points of the TAP file, and the findings of the Code Quality report, without what each run has its own of."""
    files = contents(project)
    points = tap14.read(files["tap"].decode()).points
    issues = json.loads(files["codequality"])
    return (
        Counter((point.name, point.ok, point.directive) for point in points),
        Counter((issue["check_name"], issue["fingerprint"]) for issue in issues),
    )


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with every outcome and a module that cannot be imported, whose run has written all formats."""
    project = Project(tmp_path_factory.mktemp("formats"))
    project.tests(MIXED)
    project.tests("import nothing_of_that_name\n", "test_gone")
    project.tests("from unittest import TestCase\nclass Good(TestCase):\n    def test_it(self): pass\n", "test_good")
    result = project.run(*FLAGS)
    assert result.returncode == 1, result.stderr
    shown = result.stderr.rpartition("Reports:\n")[2]
    assert all(f"reports/{file}" in shown for file in FILES.values())
    return project


def test_report_makes_the_same_files(mixed):
    """``report --format`` gives, byte by byte, what the run itself has written."""
    ran = contents(mixed)
    for name in FILES:
        result = mixed.run("report", "--format", name, "--output", f"again-{name}")
        assert result.returncode == 1, result.stderr
        assert (mixed.folder / f"again-{name}").read_bytes() == ran[name], name


def test_report_makes_what_it_is_asked_for(mixed):
    """``report`` makes, beside the xunit file, those formats that a flag names, and says where they are."""
    result = mixed.run("report", "--with-tap", "--tap-file=elsewhere/t.tap", "--no-with-xunit")
    assert "elsewhere/t.tap" in result.stdout
    assert (mixed.folder / "elsewhere/t.tap").read_bytes() == contents(mixed)["tap"]


def test_the_journal_is_found_beside_the_file_of_facts(mixed):
    """The file of JSON lines is not taken for the journal that lies beside it, and can be read in its place."""
    for place in ("reports", "reports/facts.jsonl"):
        result = mixed.run("report", "--journal", place, "--format", "tap")
        assert result.stdout.encode() == contents(mixed)["tap"], result.stderr


def test_a_report_does_not_overwrite_what_it_is_made_from(mixed):
    """The file of facts that a report is read from cannot be where it goes, and is left as it was."""
    before = contents(mixed)["jsonl"]
    result = mixed.run("report", "--journal", "reports/facts.jsonl", "--with-jsonl", "--no-with-xunit")
    assert result.returncode == 2
    assert "give --jsonl-file another file" in result.stderr
    assert contents(mixed)["jsonl"] == before


def test_a_killed_run_has_them(tmp_path):
    """When the process of the run is killed, its watchdog writes the formats that were asked for, and they say so."""
    project = Project(tmp_path)
    project.tests("""
    import os
    from unittest import TestCase
    class T(TestCase):
        def test_a(self): pass
        def test_b(self): os.kill(os.getpid(), 9)
    """)
    process = project.start(*FLAGS)
    process.communicate(timeout=60)  # the watchdog holds the pipes until it has written the reports
    assert process.returncode == -9
    document = tap14.read(contents(project)["tap"].decode())
    assert [point.ok for point in document.points] == [True, False]
    assert json.loads(contents(project)["codequality"])[0]["check_name"] == "testkit/test-error"
    last = [json.loads(line) for line in contents(project)["jsonl"].splitlines() if b'"RunFinished"' in line]
    assert last[0]["stopped"].startswith("the run's process died")


def test_the_findings_say_where(mixed):
    """Each finding of a real run has the file and the line at which its problem is."""
    issues = json.loads(contents(mixed)["codequality"])
    found = {issue["check_name"].removeprefix("testkit/"): issue["location"] for issue in issues}
    lines = (mixed.folder / "shop/tests/test_shop.py").read_text().splitlines()
    assert found["import-failed"] == {"path": "shop/tests/test_gone.py", "lines": {"begin": 1}}
    for rule, text in (
        ("test-error", "KeyError"),
        ("fixture-failed", "no class"),
        ("unexpected-success", "def "),
    ):
        assert found[rule]["path"] == "shop/tests/test_shop.py"
        assert text in "".join(lines[found[rule]["lines"]["begin"] - 1 : found[rule]["lines"]["begin"] + 1]), rule


def test_a_merge_writes_what_the_shards_did(mixed, tmp_path):
    """Shards that wrote these formats are joined into the same points and findings as one run has."""
    whole = told(mixed)
    run_shards(mixed, 2, *FLAGS)
    result = mixed.run("merge", "shards")
    assert result.returncode == 1, result.stderr
    assert told(mixed) == whole
    (header, *_) = contents(mixed)["jsonl"].splitlines()
    assert json.loads(header)["version"] == 1


@pytest.mark.parametrize("front", ["nose2", "pytest"])
def test_other_fronts_write_them(tmp_path, front):
    """nose2 takes the same flags and pytest its own, and the files tell of the same tests."""
    project = Project(tmp_path)
    project.nose2()
    project.tests("""
    from django.test import SimpleTestCase
    class T(SimpleTestCase):
        def test_bad(self): self.assertEqual(1, 2)
        def test_good(self): pass
    """)
    flags = FLAGS if front == "nose2" else [flag.replace("--with-", "--testkit-") for flag in FLAGS]
    arguments = [*flags, "--ds=settings", "shop/tests"] if front == "pytest" else flags
    result = project.run(*arguments, front=front)
    assert result.returncode == 1, result.stderr
    points, findings = told(project)
    assert points == {
        ("shop.tests.test_shop.T.test_bad", False, ""): 1,
        ("shop.tests.test_shop.T.test_good", True, ""): 1,
    }
    assert [rule for rule, _ in findings] == ["testkit/test-failed"]
