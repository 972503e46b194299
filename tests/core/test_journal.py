"""The journal holds what was said, also of a run that was killed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from testkit.core import journal
from testkit.core.errors import JournalError
from testkit.core.events import RunMeasured, RunStarted, TestStarted


def test_facts_are_read_back_in_order(tmp_path):
    """The facts of a run are read back in the order in which they were published."""
    facts = [TestStarted(id=f"a.t{number}", class_id="a", at=1.0) for number in range(5)]
    writer = journal.Journal(tmp_path, "run1")
    for fact in facts:
        writer(fact)
    writer.close()
    assert list(journal.read(tmp_path)) == facts


def test_the_ids_of_many_tests_are_read_back(tmp_path):
    """The list of all tests, which is written piece by piece, is read back whole and in order."""
    for count in (0, 1, 1000, 2500):
        fact = RunStarted(run="r", at=1.0, ids=tuple(f'm.C.t{number} "q" \ud800' for number in range(count)))
        writer = journal.Journal(tmp_path, f"run{count:04d}")
        writer(fact)
        writer(RunMeasured(section="after", data={}))
        writer.close()
        assert list(journal.read(tmp_path)) == [fact, RunMeasured(section="after", data={})]


def test_the_files_of_several_writers_are_one_run(tmp_path):
    """Each process of a run writes its own file, and reading the run joins them."""
    for name in ("main", "worker1"):
        writer = journal.Journal(tmp_path, "run1", name)
        writer(RunMeasured(section=name, data={}))
        writer.close()
    assert [fact.section for fact in journal.read(tmp_path, "run1")] == ["main", "worker1"]


def test_a_killed_process_loses_nothing_that_it_said(tmp_path):
    """After SIGKILL everything that was published is in the journal; half a line at its end is passed over."""
    code = (
        "import os, sys; from pathlib import Path\n"
        "from testkit.core import journal; from testkit.core.events import *\n"
        "writer = journal.Journal(Path(sys.argv[1]), 'run1')\n"
        "writer(TestStarted(id='a.b', class_id='a', at=1.0))\n"
        "writer(TestFinished(id='a.b', class_id='a', at=1.0, seconds=1.0, outcome=Outcome.PASSED))\n"
        "writer(TestStarted(id='a.c', class_id='a', at=1.0))\n"
        'writer._file.write(b\'{"fact": "TestFin\')\n'
        "os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, tmp_path], check=False).returncode == -9
    assert [fact.id for fact in journal.read(tmp_path)] == ["a.b", "a.b", "a.c"]


def test_run_ids_sort_by_time():
    """Run ids sort in the order in which the runs began."""
    ids = [journal.new_run_id() for _ in range(50)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 50


def test_the_newest_run_is_read_and_old_ones_are_removed(tmp_path):
    """Without a name the newest run is read, and only the newest ones are kept."""
    for number in range(7):
        writer = journal.Journal(tmp_path, f"run{number}")
        writer(RunMeasured(section=str(number), data={}))
        writer.close()
    assert [fact.section for fact in journal.read(tmp_path)] == ["6"]
    journal.remove_old_runs(tmp_path, keep=2)
    assert journal.runs(tmp_path) == ["run5", "run6"]


def test_a_missing_journal_says_what_to_do(tmp_path):
    """Reading where there is no journal is an error that says what to do."""
    with pytest.raises(JournalError, match="run the tests first"):
        list(journal.read(tmp_path / "none"))


def test_lines_that_are_no_facts_are_passed_over(tmp_path):
    """Lines that are no JSON, no object or no known fact are passed over."""
    path = tmp_path / "run1.main.jsonl"
    path.write_bytes(b'nonsense\n[1]\n{"fact":"Unheard"}\n{"fact":"RunMeasured","section":"x","data":{}}\n\xff\n')
    assert [fact.section for fact in journal.read(tmp_path)] == ["x"]
    assert os.path.getsize(path)
