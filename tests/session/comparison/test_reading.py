"""Runs are found wherever they are: files, folders, shards, documents, what other tools left there, and runs that died."""

from __future__ import annotations

import json
from contextlib import closing

import pytest

from testkit.core.errors import JournalError
from testkit.core.events import RunStarted, TestStarted, to_json
from testkit.core.journal import Journal
from testkit.selection.shards import Shard
from testkit.session.aftermath.document import Document
from testkit.session.aftermath.ending import Ending
from testkit.session.comparison.compare import Side, compare
from testkit.session.comparison.figures import Figures
from testkit.session.comparison.reading import find_runs
from testkit.session.manifest import Manifest, write_manifest
from tests.session.comparison.made import FAILED, NASTY, ended, facts, measured, random_run


def write(folder, run, told):
    with closing(Journal(folder, run)) as journal:
        for fact in told:
            journal(fact)
    return journal.path


def document(path, told):
    ending = Ending()
    with closing(Document(ending)) as listener, open(path, "wb") as out:
        for fact in told:
            ending(fact)
            listener(fact)
        listener.write(out, *ending.status())
    return path


def shard(folder, index, told, *, plan="one"):
    run = f"{plan}{index}"
    write(folder / "journal", run, [fact._replace(run=run) if isinstance(fact, RunStarted) else fact for fact in told])
    manifest = Manifest(Shard(index, 2), run, {"commit": plan}, {}, (), {}, (), {}, "/")
    write_manifest(folder / "manifest.json", manifest)


def read(place):
    sides = []
    for found in find_runs(place):
        figures = Figures(is_joined=found.is_joined)
        found.tell(figures)
        sides.append(figures)
    return sides


def test_a_folder_stands_for_the_runs_in_and_below_it(tmp_path):
    """Journals count wherever CI has unpacked them, each run once, the oldest first; a file is one run."""
    for run, place in (("r2", "a/reports/journal"), ("r1", "b/journal"), ("r3", "c")):
        path = write(tmp_path / place, run, facts(ended("a.t"), run=run))
    (tmp_path / "c" / "facts.jsonl").write_bytes(path.read_bytes())  # the same run again
    (tmp_path / "c" / "other.jsonl").write_text('{"odd": 1}\nnothing\n')
    (tmp_path / "c" / "coverage.json").write_text('{"version": 1, "run": {}}')
    document(tmp_path / "c" / "run.json", facts(ended("a.t"), run="r4"))
    document(tmp_path / "c" / "again.json", facts(ended("a.t"), run="r1"))
    assert [found.run for found in find_runs(tmp_path)] == ["r1", "r2", "r3", "r4"]
    assert [found.run for found in find_runs(tmp_path / "a")] == ["r2"]
    assert [found.run for found in find_runs(path)] == ["r3"]
    assert [found.run for found in find_runs(tmp_path / "c" / "run.json")] == ["r4"]


def test_what_is_no_run_is_said(tmp_path):
    """A folder without runs, a missing path, and a document that is damaged or of another version are errors."""
    with pytest.raises(JournalError, match="has no journal, and nothing of `report --format json`"):
        find_runs(tmp_path)
    with pytest.raises(JournalError, match="does not exist"):
        find_runs(tmp_path / "no")
    path = document(tmp_path / "run.json", facts(ended("a.t")))
    plain = json.loads(path.read_text())
    for damaged, why in (
        ('{"version":1,"run":{"run":"r"}', "is no document"),
        (json.dumps({**plain, "version": 9}, separators=(",", ":")), "its version is 9"),
    ):
        path.write_text(damaged)
        with pytest.raises(JournalError, match=why):
            find_runs(path)
    path.write_text(json.dumps({**plain, "tests": [{"id": 1}]}, separators=(",", ":")))
    (found,) = find_runs(path)
    with pytest.raises(JournalError, match="is no document of `report --format json`: KeyError"):
        found.tell(Figures())


def test_the_shards_of_a_run_are_joined_and_two_runs_are_kept_apart(tmp_path):
    """Shards that were not merged are one run, without what each measured for itself; those of another plan are another."""
    coverage = measured("coverage", percent=50.0)
    shard(tmp_path / "1", 1, facts(ended("a.t", FAILED), coverage))
    shard(tmp_path / "2", 2, facts(ended("a.u"), coverage))
    (joined,) = read(tmp_path)
    assert (set(joined.tests), joined.coverage, joined.is_joined) == ({"a.t", "a.u"}, None, True)
    shard(tmp_path / "3", 1, facts(ended("a.t")), plan="two")
    shard(tmp_path / "4", 2, facts(ended("a.u")), plan="two")
    assert [set(run.tests) for run in read(tmp_path)] == [{"a.t", "a.u"}] * 2


@pytest.mark.parametrize("seed", range(5))
def test_a_run_read_again_is_the_same(tmp_path, seed):
    """From its journal and from its document, whatever happened in it, a run is what it was."""
    told = random_run(seed)
    write(tmp_path / "a", "r", told)
    document(tmp_path / "r.json", told)
    sides = [Side("", tuple(read(place))) for place in (tmp_path / "a", tmp_path / "r.json")]
    found = compare(*sides)
    assert not any(found.tests.values())
    assert (found.queries, found.routes, found.screenshots) == ((), (), ())
    assert found.coverage is None or (found.coverage.drop, found.coverage.files) == (0, ())


def test_a_run_that_died_has_its_test_as_an_error_and_the_rest_not_run(tmp_path):
    """What the killed process was at is a new failure, what it never came to did not run, and that it died is said."""
    killed = [
        *facts(ended("a.first"), ids=["a.first", "a.second", "a.third"])[:-1],
        TestStarted(id="a.second", class_id="a", at=3.0),
    ]
    path = tmp_path / "r.main.jsonl"
    path.write_text("".join(f"{to_json(fact)}\n" for fact in killed) + '{"fact":"TestFin')
    good = facts(ended("a.first"), ended("a.second"), ended("a.third"))
    base = Figures()
    for fact in good:
        base(fact)
    head = Side("", tuple(read(path)))
    found = compare(Side("", (base,)), head).tests
    assert {kind: [each.name for each in changes] for kind, changes in found.items() if changes} == {
        "new-failures": ["a.second"],
        "not-run": ["a.third"],
    }
    assert head.runs[0].ended_early == "the run's process died"


def test_names_of_all_kinds_come_through(tmp_path):
    """An id with markup, control characters and lone surrogates is the same from a journal and from a document."""
    told = facts(ended(NASTY, FAILED))
    write(tmp_path / "a", "r", told)
    document(tmp_path / "r.json", told)
    for place in (tmp_path / "a", tmp_path / "r.json"):
        (run,) = read(place)
        assert list(run.tests) == [NASTY]
