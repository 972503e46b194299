"""``testkit merge``: shards become one run, or the merge says what keeps them from being one."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path

import pytest

from testkit.core import journal
from testkit.core.events import RunFinished, RunStarted, TestFinished
from testkit.session.proof import Placed, problems_of
from tests.projects import Project
from tests.test_shards_run import ids_of, manifest, note_imports, run_shards

TESTS = """
import time
from django.test import SimpleTestCase
from testkit import attach
from shop.models import Item

class T{number}(SimpleTestCase):
    def test_a(self):
        time.sleep(0.05 * {number})
        with open(f"reports/picture.txt", "w") as file: file.write("{number}")
        attach("reports/picture.txt")
    def test_b(self):
        str(Item(name="x")) if {number} == 1 else None
        print("printed {number}")
        self.assertNotEqual({number}, 2)
"""


def merge(project: Project, *arguments: str, **environment: str):
    return project.run("merge", *(arguments or ("shards",)), **environment)


def change_manifest(project: Project, number: int, **values) -> None:
    """Change the manifest of a shard; its hash stays true to it."""
    from testkit.session.manifest import read_manifest, write_manifest

    path = project.folder / "shards" / str(number) / "manifest.json"
    write_manifest(path, read_manifest(path)._replace(**values))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a project whose three shards have run with xunit and coverage."""
    project = Project(tmp_path_factory.mktemp("prepared") / "project")
    for number in range(6):
        project.tests(TESTS.format(number=number), module=f"test_{number}")
    project.write({"shop/untouched.py": "value = 1\n"})
    assert project.run().returncode == 1
    run_shards(project, 3, "--with-xunit", "--with-cov", "--cover-json", "--cover-package=shop")
    return project.folder


@pytest.fixture
def sharded(prepared: Path, tmp_path: Path) -> Project:
    """The project with its shards, in a folder of its own."""
    project = Project.__new__(Project)
    project.folder = tmp_path / "elsewhere"
    shutil.copytree(prepared, project.folder)
    return project


def test_the_merged_reports_are_those_of_a_run(sharded):
    """Without a flag the merge writes what the shards were told to: journal, xunit, coverage, durations, console."""
    before = json.loads((sharded.folder / ".testkit/durations.json").read_text())
    result = merge(sharded)
    assert result.returncode == 1
    assert "FAIL: test_b (shop.tests.test_2.T2.test_b)" in result.stderr
    assert "printed 2" in result.stderr
    assert "Ran 12 tests in" in result.stderr
    assert {case.get("name") for case in sharded.xunit().iter("testcase")} == {"test_a", "test_b"}
    assert sharded.xunit().get("tests") == "12"
    facts = sharded.facts()
    assert [type(fact) for fact in facts if isinstance(fact, RunStarted | RunFinished)] == [RunStarted, RunFinished]
    assert len(ids_of(facts)) == 12
    after = json.loads((sharded.folder / ".testkit/durations.json").read_text())
    assert before[1]["tests"].keys() == after[1]["tests"].keys()
    assert before[1]["tests"] != after[1]["tests"]


def test_the_time_of_the_run_is_that_of_the_longest_shard(sharded):
    """Shards run side by side: the longest one's seconds are the run's."""
    folders = [sharded.folder / "shards" / str(number) / "journal" for number in (1, 2, 3)]
    seconds = [fact.seconds for folder in folders for fact in journal.read(folder) if isinstance(fact, RunFinished)]
    merge(sharded)
    (end,) = [fact for fact in sharded.facts() if isinstance(fact, RunFinished)]
    assert end.seconds == max(seconds)


def test_workers_of_different_shards_have_different_names(sharded):
    """Each fact says by its worker which shard it came from."""
    merge(sharded)
    of_shard = {id: str(number) for number in (1, 2, 3) for id in manifest(sharded, number)["ids"]}
    found = {fact.id: fact.worker.partition(".")[0] for fact in sharded.facts() if isinstance(fact, TestFinished)}
    assert found == of_shard


def test_attachments_come_along(sharded):
    """Files of the same name from different shards are all in the merged reports, each with its own test."""
    merge(sharded)
    attached = {fact.id: fact.attachments for fact in sharded.facts() if isinstance(fact, TestFinished)}
    for number in (1, 2, 3):
        last = [id for id in manifest(sharded, number)["ids"] if id.endswith("test_a")][-1]
        (path,) = attached[last]
        assert path == f"reports/shard-{number}/picture.txt"
        assert (sharded.folder / path).read_text() == last[-len("0.test_a")]


def test_merged_coverage_is_that_of_one_run(sharded):
    """Joined, the shards' data give each file the lines that one run covers, on a machine with other paths."""
    assert merge(sharded).returncode == 1
    merged = json.loads((sharded.folder / "reports/coverage.json").read_text())
    ran = sharded.run("--with-cov", "--cover-json", "--cover-package=shop")
    assert ran.returncode == 1
    whole = json.loads((sharded.folder / "reports/coverage.json").read_text())
    assert merged["totals"] == whole["totals"]
    assert {name: file["executed_lines"] for name, file in merged["files"].items()} == {
        name: file["executed_lines"] for name, file in whole["files"].items()
    }
    assert "shop/untouched.py" in merged["files"]


def test_a_minimum_of_coverage_holds_for_the_whole(sharded):
    """No shard fails for covering less than the minimum that all together reach; the merge fails if they do not."""
    for path in (sharded.folder / "shop/tests").glob("test_2.py"):
        path.write_text(path.read_text().replace("assertNotEqual", "assertEqual"))
    flags = ["--with-cov", "--cover-package=shop.models", "--cover-min-percentage"]
    assert run_shards(sharded, 3, *flags, "99") == [0, 0, 0]
    assert merge(sharded).returncode == 0
    assert run_shards(sharded, 3, *flags, "100") == [0, 0, 0]
    (sharded.folder / "shards/1/coverage.data").unlink()
    result = merge(sharded)
    assert result.returncode == 2
    assert "shard 1/3 has no coverage data" in result.stderr


def test_options_of_the_merge_go_before_those_of_the_shards(sharded):
    """What the command line or the environment says of a report is done instead."""
    result = merge(sharded, "shards", "--xunit-file=out/merged.xml", TESTKIT_WITH_COV="0")
    assert result.returncode == 1
    assert sharded.xunit("out/merged.xml").get("tests") == "12"
    assert not (sharded.folder / "reports/coverage.json").exists()


def test_a_shard_in_the_configuration_is_no_matter_of_the_merge(sharded):
    """A project that sets `shard = auto` once can merge by the same file."""
    sharded.write({"setup.cfg": "[testkit]\nshard = auto\n"})
    assert merge(sharded).returncode == 1


def test_artifacts_may_lie_in_folders_of_their_own(sharded):
    """Folders are given one by one, or one that holds them, each with the reports in it or as reports/."""
    shards = sharded.folder / "shards"
    shutil.move(shards / "1", sharded.folder / "moved")
    (shards / "deep/artifact").mkdir(parents=True)
    shutil.move(shards / "2", shards / "deep/artifact/reports")
    sharded.write({"shards/3/site/manifest.json": "{}"})  # a file of some other tool
    assert merge(sharded, "shards", "moved").returncode == 1
    assert sharded.xunit().get("tests") == "12"


# What keeps shards from being one run


def refusal(project: Project, *arguments: str) -> str:
    """Return what the merge says when it refuses, after a look that it has written nothing."""
    result = merge(project, *arguments)
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    assert not (project.folder / "reports/xunit.xml").exists()
    assert not (project.folder / "reports/journal").exists()
    return result.stderr


def test_a_missing_shard_is_named(sharded):
    """A shard whose reports are not there is named, and an xunit file of before is taken away."""
    shutil.rmtree(sharded.folder / "shards/2")
    sharded.write({"reports/xunit.xml": "<old/>"})
    assert "shard 2/3 is missing" in refusal(sharded)


def test_a_doubled_shard_is_named(sharded):
    """A shard that came twice is named, with the folders."""
    shutil.copytree(sharded.folder / "shards/2", sharded.folder / "shards/again")
    said = refusal(sharded)
    assert "shard 2/3 is there 2 times" in said
    assert "shards/2" in said
    assert "shards/again" in said


def test_a_foreign_shard_is_named(sharded):
    """A shard of another total, of other labels or planned from other durations is named, with the difference."""
    shutil.move(sharded.folder / "shards", sharded.folder / "ours")
    durations = sharded.folder / ".testkit/durations.json"
    for change, arguments in (
        ("total", ["--shard=3/4"]),
        ("files, labels", ["--shard=3/3", "shop.tests"]),
        ("durations", ["--shard=3/3"]),
    ):
        if change == "durations":
            durations.write_text(durations.read_text().replace("0.0", "0.1"))
        shutil.rmtree(sharded.folder / "shards", ignore_errors=True)
        shutil.copytree(sharded.folder / "ours", sharded.folder / "shards")
        shutil.rmtree(sharded.folder / "shards/3")
        sharded.run(*arguments)
        shutil.move(sharded.folder / "reports", sharded.folder / "shards/3")
        said = refusal(sharded)
        assert f"shard 3/{4 if change == 'total' else 3} in shards/3 is foreign: its {change}" in said


def test_tests_that_ran_twice_or_never_are_named(sharded):
    """Shards that overlap, or leave a test or a file out, are no whole run."""
    from testkit.session.manifest import read_manifest

    manifests = [read_manifest(sharded.folder / f"shards/{number}/manifest.json") for number in (1, 2, 3)]
    one, two, three = manifests

    def said(*changed) -> str:
        return "\n".join(problems_of([Placed(manifest, "here") for manifest in changed]))

    assert said(*manifests) == ""
    moved = three.ids[0]
    assert said(one, two, three._replace(ids=three.ids[1:])) == f"1 tests were seen, and run by no shard: {moved}"
    doubled = said(one, two._replace(ids=(*two.ids, moved)), three)
    assert doubled == f"1 tests ran on more than one shard (2/3, 3/3): {moved}"
    file = next(iter(three.seen.keys() - set(three.shared)))
    unseen = {name: below for name, below in three.seen.items() if name != file}
    assert f"imported by no shard: {three.files[file]}" in said(one, two, three._replace(seen=unseen))
    below = tuple(seen._replace(ids=(*seen.ids, "new")) for seen in three.seen[file])
    both = said(one, two._replace(seen={**two.seen, file: below}), three)
    assert f"shards 2/3 and 3/3 saw different tests in {file}: they ran different code" in both
    empty = one._replace(ids=())
    assert "shard 1/3 is empty, although there are 6 classes" in said(empty, two, three)


def test_a_manifest_that_was_changed_is_refused(sharded):
    """A manifest whose hash is not that of its plan, or that is cut off, is named."""
    path = sharded.folder / "shards/2/manifest.json"
    text = path.read_text()
    for damaged in (
        text.replace('"total":3', '"total":4'),
        text[: len(text) // 2],
        text.replace('"version":1', '"version":9'),
    ):
        path.write_text(damaged)
        assert "shards/2/manifest.json is no manifest of a shard that can be read" in refusal(sharded)


def test_a_journal_that_does_not_go_with_its_manifest_is_refused(sharded):
    """A shard without the journal of its run, or with one of other tests, is named."""
    shutil.move(sharded.folder / "shards/2/journal", sharded.folder / "kept")
    assert "shard 2/3 in shards/2: no journal" in refusal(sharded)
    shutil.move(sharded.folder / "kept", sharded.folder / "shards/2/journal")
    first = manifest(sharded, 2)["ids"][0]
    path = next((sharded.folder / "shards/2/journal").glob("*.jsonl"))
    path.write_text(path.read_text().replace(f'"ids":["{first}"', '"ids":["other.Test.test_a"'))
    assert "is not that of its manifest" in refusal(sharded)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere has no manifest.json of a shard"),
        (["shards", "shop"], "shop has no manifest.json of a shard"),
        (["shards", "reports"], "lies where the joined reports go"),
        (["shards", "--xunit-flavour=odd"], "give one of default, strict, classic"),
    ],
)
def test_mistakes_in_the_arguments_are_told(sharded, arguments, message):
    """A folder without shards, the folder that is written to, and a wrong option are told."""
    if "reports" in arguments:
        shutil.copytree(sharded.folder / "shards/1", sharded.folder / "reports")
    result = merge(sharded, *arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


# Shards that did not end well


def test_a_killed_shard_fails_the_merge_which_still_reports(project):
    """When a shard was killed the merge names it, is status 2, and has its tests in the reports."""
    note_imports(project, 2)
    project.tests("""
        import os, time
        from unittest import TestCase
        class Z(TestCase):
            def test_a(self): pass
            def test_b(self):
                if os.environ.get("HANG"):
                    open("hanging", "w").close()
                    time.sleep(30)
            def test_c(self): pass
    """)
    assert run_shards(project, 2, "--with-xunit") == [0, 0]
    number = next(number for number in (1, 2) if "shop.tests.test_shop.Z.test_b" in manifest(project, number)["ids"])
    for sent, words in ((signal.SIGKILL, "process died"), (signal.SIGTERM, "interrupted by SIGTERM")):
        process = project.start(f"--shard={number}/2", "--with-xunit", HANG="1")
        try:
            wait_for(project.folder / "hanging")
        finally:
            process.send_signal(sent)
            process.communicate(timeout=60)
        shutil.rmtree(project.folder / "shards" / str(number))
        shutil.move(project.folder / "reports", project.folder / "shards" / str(number))
        result = merge(project)
        assert result.returncode == 2, result.stderr
        assert f"shard {number}/2 was cut short" in result.stderr
        assert words in result.stderr
        assert project.xunit().get("tests") == "5"
        shutil.rmtree(project.folder / "reports")
        shutil.rmtree(project.folder / ".testkit")  # with the durations, by which the plan would be another one


def wait_for(path: Path) -> None:
    """Return when ``path`` is there, and take it away."""
    until = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < until, f"{path} never came"
        time.sleep(0.05)
    path.unlink()


def test_the_status_is_that_of_one_run(project):
    """All passed is 0, nothing ran is 4, and 0 when that is allowed."""
    note_imports(project, 3)
    assert run_shards(project, 2) == [0, 0]
    assert merge(project).returncode == 0
    assert run_shards(project, 2, "shop", "-k", "nothing") == [0, 0]
    assert merge(project).returncode == 4
    assert merge(project, "shards", "--allow-no-tests").returncode == 0


def test_a_class_that_several_shards_ran_counts_once_and_as_it_ended_worst(project):
    """Of an imported class that fails on one shard and passes on another, the failure is what the run has."""
    project.write({"shop/tests/base.py": """
        import os
        from unittest import TestCase
        class Shared(TestCase):
            def test_shared(self): self.assertNotEqual(os.environ.get("NODE"), "2")
        """})  # fmt: skip
    for number in range(4):
        project.tests(
            f"""
            from unittest import TestCase
            from shop.tests.base import Shared
            class T{number}(TestCase):
                def test_it(self): pass
            """,
            module=f"test_{number}",
        )
    assert project.run().returncode == 0
    for number in (1, 2, 3):
        result = project.run(f"--shard={number}/3", NODE=str(number))
        assert result.returncode == (number == 2), result.stderr
        shutil.move(project.folder / "reports", project.folder / "shards" / str(number))
    result = merge(project)
    assert result.returncode == 1
    assert "shop.tests.base.Shared ran on shards 1/3, 2/3, 3/3" in result.stderr
    assert sorted(ids_of(project.facts())) == [
        "shop.tests.base.Shared.test_shared",
        *(f"shop.tests.test_{number}.T{number}.test_it" for number in range(4)),
    ]
    (shared,) = [fact for fact in project.facts() if isinstance(fact, TestFinished) and "Shared" in fact.id]
    assert (shared.outcome, shared.worker) == ("failed", "2")


def test_listeners_of_the_project_hear_the_merged_run(project):
    """A listener that the settings name is given the merged facts, with the project set up."""
    note_imports(project, 3)
    project.write({"shop/listeners.py": """
        from shop.models import Item
        def listen(fact):
            with open("heard.txt", "a") as file: file.write(type(fact).__name__ + "\\n")
        """})  # fmt: skip
    project.settings('TESTKIT = {"LISTENERS": ["shop.listeners.listen"]}')
    assert run_shards(project, 2) == [0, 0]
    (project.folder / "heard.txt").unlink()
    assert merge(project).returncode == 0
    heard = (project.folder / "heard.txt").read_text().split()
    assert (heard.count("RunStarted"), heard.count("TestFinished"), heard.count("RunFinished")) == (1, 3, 1)


def test_the_merge_needs_no_settings(sharded):
    """The reports are joined where the project's settings cannot be found, let alone imported."""
    (sharded.folder / "manage.py").unlink()
    sharded.write({"settings.py": "raise RuntimeError('not here')"})
    assert merge(sharded).returncode == 1
    assert sharded.xunit().get("tests") == "12"
