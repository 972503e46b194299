"""A past run is found by whatever one knows of it, and the files of its writers are read as one stream."""

from __future__ import annotations

import pytest

from testkit.core.errors import JournalError
from testkit.core.events import Outcome, RunFinished, RunMeasured, RunStarted, TestFinished, TestStarted, to_json
from testkit.core.journal import Journal
from testkit.session.aftermath import RecordedRun, completed, find_run
from testkit.session.aftermath.journals import JOURNALS
from testkit.session.options import REPORTS


def write(path, *facts):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{to_json(fact)}\n" for fact in facts))
    return path


def begun(run="r1"):
    return RunStarted(run=run, at=1.0, ids=("a.t1", "a.t2", "a.t3"))


def ended(id, at, seconds):
    return TestFinished(id=id, class_id="a", at=at, seconds=seconds, outcome=Outcome.PASSED)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder in which two runs left their journals."""
    for run in ("r1", "r2"):
        write(tmp_path / "reports" / "journal" / f"{run}.main.jsonl", begun(run))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_is_found_from_wherever_one_points(folder):
    """The folder of the tests, reports, the journal's folder and a file of it all lead to it; so does nothing at all."""
    journals = folder / "reports" / "journal"
    assert JOURNALS == REPORTS / "journal"
    for place in (None, folder, folder / "reports", journals, journals / "r2.main.jsonl"):
        (path,) = find_run(place).files
        assert path.resolve() == journals / "r2.main.jsonl"
    for place in (None, folder, journals / "r1.main.jsonl"):
        assert [fact.run for fact in find_run(place, "r1")] == ["r1"]


def test_a_file_stands_for_its_run_and_may_have_any_name(folder):
    """A worker's file leads to all files of its run; one that was renamed is read as it is."""
    journals = folder / "reports" / "journal"
    write(journals / "r1.worker.jsonl", RunMeasured(section="w", data={}))
    assert [path.name for path in find_run(journals / "r1.worker.jsonl").files] == ["r1.main.jsonl", "r1.worker.jsonl"]
    for name in ("downloaded.jsonl", "a.b.c.jsonl", "facts.txt"):
        path = write(folder / "elsewhere" / name, begun("r9"))
        assert [fact.run for fact in find_run(path)] == ["r9"]


def test_what_is_not_there_is_said(folder, tmp_path_factory, monkeypatch):
    """A missing folder, an empty one, an unknown run and a run that is not the file's are errors that say what to do."""
    for place, run, message in (
        (folder / "none", None, "none does not exist: give a folder such as reports/journal"),
        (folder, "r3", "no journal of the run r3 in .*: the newest are r1, r2"),
        (folder, "../r1", "no journal of the run"),
        (folder, "*", "no journal of the run"),
        (folder / "reports" / "journal" / "r1.main.jsonl", "r2", "is no file of the run r2"),
        (tmp_path_factory.mktemp("empty"), None, "no journal in .*: run the tests first"),
    ):
        with pytest.raises(JournalError, match=message):
            find_run(place, run)
    monkeypatch.chdir(tmp_path_factory.mktemp("empty"))
    with pytest.raises(JournalError, match="no journal in reports/journal: run the tests first"):
        find_run()


def test_the_facts_of_several_writers_are_in_the_order_in_which_they_were_said(tmp_path):
    """The start of the run stands before all else and its end behind, whatever their files are called."""
    one = [
        RunMeasured(section="early", data={}),
        TestStarted(id="a.t1", class_id="a", at=2.0),
        ended("a.t1", 2.0, 3.0),
        RunMeasured(section="after t1", data={}),
        TestStarted(id="a.t3", class_id="a", at=6.0),
        ended("a.t3", 6.0, 30.0),  # by a clock that is ahead of the others
    ]
    main = [begun(), RunFinished(at=9.0, seconds=8.0), RunMeasured(section="reports", data={})]
    two = [TestStarted(id="a.t2", class_id="a", at=2.5), ended("a.t2", 2.5, 1.0)]
    files = [
        write(tmp_path / f"r1.{name}.jsonl", *facts) for name, facts in (("gw0", one), ("main", main), ("w2", two))
    ]
    run = RecordedRun(files)
    first, early, *rest = run
    assert (first, early) == (begun(), one[0])
    assert rest == [one[1], two[0], two[1], *one[2:], *main[1:]]
    assert list(run) == [first, early, *rest]
    assert list(completed(run)) == list(run)


def test_a_file_that_was_cut_at_any_byte_can_be_reported(tmp_path):
    """Wherever a kill cuts the file, it is either completed to an end or said to have no beginning."""
    journal = Journal(tmp_path, "r1")
    end = RunFinished(at=3.0, seconds=2.0, stopped="--failfast", not_run=("a.t2", "a.t3"))
    facts = [begun(), TestStarted(id="a.t1", class_id="a", at=2.0), ended("a.t1", 2.0, 1.0), end]
    for fact in facts:
        journal(fact)
    journal.close()
    whole = journal.path.read_bytes()
    first_line = whole.index(b"\n")
    for size in range(len(whole)):
        journal.path.write_bytes(whole[:size])
        run = find_run(tmp_path)
        if size < first_line:
            with pytest.raises(JournalError, match=r"r1\.main\.jsonl does not say how its run began"):
                completed(run, str(run))
            continue
        *result, end = completed(run, str(run))
        assert {fact.id for fact in result if isinstance(fact, TestFinished)} | {*end.not_run} == {*begun().ids}


def test_what_is_no_fact_is_passed_over(tmp_path):
    """Unknown facts and fields, other JSON and bytes that are none do not hinder the reading of what is there."""
    lines = [
        b'{"fact":"RunStarted","run":"r1","at":1.0,"ids":["a.t1"],"new_field":1}',
        b'{"fact":"MoonRose","at":2.0}',
        b"[1, 2]",
        b"null",
        b"\x00" * 5000,
        b"\xff\xfe",
        b"[" * 200_000,
        b'{"fact":"TestFinished","id":"a.t1"}',
        b'{"fact":"TestFinished","id":"a.t1","class_id":"a","at":1.0,"seconds":1.0,"outcome":"melted"}',
        b'{"fact":"TestStarted","id":"a.t1","class_id":"a","at":2.0}',
    ]
    path = tmp_path / "r1.main.jsonl"
    path.write_bytes(b"\n".join(lines))
    assert [type(fact) for fact in find_run(path)] == [RunStarted, TestStarted]


def test_a_file_that_cannot_be_read_is_an_error_of_the_journal(tmp_path):
    """A file that has gone when it is read is named."""
    path = write(tmp_path / "r1.main.jsonl", begun())
    run = find_run(path)
    path.unlink()
    with pytest.raises(JournalError, match=r"r1.main.jsonl cannot be read: No such file"):
        list(run)
