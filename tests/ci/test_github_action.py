"""The composite action: each of its scripts is run by bash, its inputs set as the service sets them."""

from __future__ import annotations

import re
import shutil
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest

from testkit.core.markdown import code
from tests.ci.runner import ActionRun, commands_in, read_yaml, service_environment
from tests.projects import ROOT, Project

ACTION = ROOT / ".github" / "actions" / "testkit" / "action.yml"
RUN_STEP = "Run the tests, or merge the shards"
SHARDS = 4
VIEWS = """
    from django.http import HttpResponse
    from shop.models import Item
    def items(request):
        for _ in range(3):
            Item.objects.count()
        return HttpResponse("items")
    def forgotten(request):
        return HttpResponse("nobody asks for this")
    """
URLS = """
    from django.urls import path
    from shop import views
    urlpatterns = [path("items/", views.items), path("forgotten/", views.forgotten)]
    """
HOSTILE = "::error file=x::not ours"
TESTS = {
    "items": """
        from django.test import TestCase
        class Items(TestCase):
            def test_items(self):
                self.client.get("/items/")
        """,
    "flaky": """
        from pathlib import Path
        from unittest import TestCase
        class Flaky(TestCase):
            def test_second_time(self):
                marker = Path("tried")
                tried = marker.exists()
                marker.touch()
                self.assertTrue(tried)
        """,
    "prints": f"""
        import os, sys
        from unittest import TestCase
        class Prints(TestCase):
            def test_printing(self):
                print("{HOSTILE}")
                os.write(1, b"##[error]not ours either\\n")
                sys.stderr.write("::set-output name=tests::666\\n{HOSTILE}")
        """,
    "fails": f"""
        from unittest import TestCase
        class Fails(TestCase):
            def test_fails(self):
                self.assertEqual(1, 1 + BREAK, "\\n{HOSTILE}")
        """,
}
FLAGS = """
    --with-xunit --with-cov --cover-package "shop"
    --with-routes --query-budgets=check --retries=1
    """


def git(folder: Path, *arguments: str) -> None:
    settings = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", "-C", str(folder), *settings, *arguments], capture_output=True, check=True)


class Pipeline:
    """A repository with a project in ``site``, and what the jobs of a workflow do there, artifacts included."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "work"
        self.project = Project(self.root / "site")
        for name, text in TESTS.items():
            self.project.tests(text.replace("BREAK", "0"), module=f"test_{name}")
        self.project.write(
            {
                "shop/views.py": VIEWS,
                "urls.py": URLS,
                "query-budgets.toml": '[budgets]\n"GET /items/" = 3\n',
                ".gitignore": "reports\n.testkit\ntried\n",
            }
        )
        self.project.settings('ROOT_URLCONF = "urls"')
        git(self.root, "init", "--quiet")
        git(self.root, "add", ".")
        git(self.root, "commit", "--quiet", "-m", "before")
        git(self.root, "update-ref", "refs/remotes/origin/main", "main")
        git(self.root, "checkout", "--quiet", "-b", "topic")
        views = self.root / "site" / "shop" / "views.py"
        views.write_text(views.read_text() + "\ndef added(request):\n    return HttpResponse('new')\n")
        git(self.root, "commit", "--quiet", "-a", "-m", "after")

    def act(self, environment: dict[str, str] | None = None, **inputs: str) -> ActionRun:
        given = {"packages": "", "working-directory": "site", "cache": "false", **inputs}
        return ActionRun(ACTION, given, self.root, **service_environment(**(environment or {}))).run()

    def run_shard(self, number: int, flags: str = FLAGS, **environment: str) -> ActionRun:
        """Run a shard, and put what the action uploads to where its merge looks for it."""
        done = self.act(environment, shard=f"{number}/{SHARDS}", flags=flags)
        upload = done.skipped["Upload the reports"]
        target = self.root.parent / "runner-temp" / "testkit-shards" / upload["name"]
        shutil.rmtree(target, ignore_errors=True)
        shutil.move(self.root / upload["path"], target)
        return done

    def merge(self, flags: str = "", **environment: str) -> ActionRun:
        done = self.act({"GITHUB_BASE_REF": "main", **environment}, mode="merge", flags=flags)
        take = done.skipped["Take the results of the shards"]
        (folder,) = {path.parent for path in (self.root.parent / "runner-temp").glob("testkit-shards/*")}
        assert str(folder) == take["path"]
        assert all(fnmatch(path.name, take["pattern"]) for path in folder.iterdir())
        return done


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """A pipeline whose four shards have run, and passed."""
    made = Pipeline(tmp_path_factory.mktemp("pipeline"))
    for number in range(1, SHARDS + 1):
        done = made.run_shard(number)
        assert done.status == 0, done.log
        assert done.summary == ""
        # A flaky test is a warning; nothing that a test prints is anything.
        assert {command.name for command in commands_in(done.log)} <= {"group", "endgroup", "warning"}
    return made


def test_the_merge_has_all_tests_the_summary_and_the_outputs(pipeline):
    """Four shards become one run: its outputs are those of the action, its summary is the step's, and it passes."""
    done = pipeline.merge()
    assert done.status == 0, done.log
    coverage = float(done.outputs["coverage"])
    assert 50 < coverage < 100
    assert {name: done.outputs[name] for name in ("tests", "failed", "flaky")} == {
        "tests": "4",
        "failed": "0",
        "flaky": "1",
    }
    assert done.summary.startswith("## Tests: passed\n\n| tests | passed | flaky | coverage | seconds |\n")
    assert "shop.tests.test_flaky.Flaky.test_second_time" in done.summary
    assert "Tests ask for 1 of 2 routes." in done.summary
    # The shard has annotated the flaky test already.
    assert [command for command in commands_in(done.log) if command.name == "warning"] == []
    assert pipeline.project.xunit().get("tests") == "4"


@pytest.mark.parametrize(
    ("flags", "status", "told"),
    [
        ("--cover-min-percentage=99", 2, "which is less than the 99 % that --cover-min-percentage asks for"),
        ("--cover-diff-min=80", 2, "50.00 % of the change since origin/main is covered, which is less than the 80 %"),
        ("--fail-untested-routes all", 2, "1 route that no test asks for: ANY /forgotten/"),
        ("--flaky fail", 1, "1 flaky tests, and --flaky=fail"),
    ],
)
def test_each_gate_fails_the_merge(pipeline, flags, status, told):
    """A gate that breaks ends the step with its status, is the first error, and stands in the summary."""
    done = pipeline.merge(flags)
    assert done.status == status, done.log
    assert "Upload the reports" in done.skipped
    errors = [command for command in commands_in(done.log) if command.name == "error"]
    assert len(errors) == 1
    assert told in errors[0].message
    assert code(told)[1:-1] in done.summary
    assert done.outputs["failed"] == "0"
    if "diff" in flags:
        (warning,) = [command for command in commands_in(done.log) if command.name == "warning"]
        assert warning.properties == {"file": "site/shop/views.py", "line": "11", "title": "Not covered"}
        assert "| `shop/views.py` | `11` |" in done.summary


def test_a_shard_that_is_run_again_breaks_its_budget(pipeline):
    """An attempt after the first takes the recorded list; a request over its budget fails shard and merge, by name."""
    folder = pipeline.root.parent / "runner-temp"
    (number,) = [
        number
        for number in range(1, SHARDS + 1)
        if "test_items"
        in (folder / f"testkit-shards/testkit-shard-{number}-of-4/manifest.json").read_text().split('"ids"')[1]
    ]
    name = f"testkit-shard-{number}-of-4"
    before = folder / "before"
    shutil.copytree(folder / "testkit-shards" / name, before)
    shutil.copytree(folder / "testkit-shards" / name, folder / name)
    budgets = pipeline.root / "site" / "query-budgets.toml"
    budgets.write_text(budgets.read_text().replace("3", "2"))
    try:
        shard = pipeline.run_shard(number, GITHUB_RUN_ATTEMPT="2")
        merged = pipeline.merge()
    finally:
        budgets.write_text(budgets.read_text().replace("2", "3"))
        shutil.rmtree(folder / "testkit-shards" / name)
        shutil.move(before, folder / "testkit-shards" / name)
        shutil.rmtree(folder / name)
    assert shard.skipped["Take the list of the attempt before"]["name"] == name
    assert f"shard {number}/4: 1 tests, as recorded" in shard.log
    assert shard.status == 1
    (error,) = [command for command in commands_in(shard.log) if command.name == "error"]
    assert error.properties["title"] == "shop.tests.test_items.Items.test_items"
    assert error.properties["file"] == "site/shop/tests/test_items.py"
    assert merged.status == 1
    assert merged.outputs["failed"] == "1"
    assert "### Queries over budget: 1" in merged.summary
    assert "| `GET /items/` |" in merged.summary
    assert "python -m testkit shop.tests.test_items.Items.test_items\n" in merged.summary
    assert [command for command in commands_in(merged.log) if command.name == "error"] == []


def test_a_missing_shard_fails_the_merge_and_says_which(pipeline):
    """Where a shard's results never came, nothing is merged, and the step fails."""
    folder = pipeline.root.parent / "runner-temp" / "testkit-shards"
    shutil.move(folder / "testkit-shard-3-of-4", folder.parent / "away")
    try:
        done = pipeline.merge()
    finally:
        shutil.move(folder.parent / "away", folder / "testkit-shard-3-of-4")
    assert done.status == 2
    assert "shard 3/4" in done.log


def test_a_run_without_shards_has_summary_outputs_and_caches(tmp_path):
    """One job runs all: failures are annotated, whatever they print is not acted on, and the default branch keeps caches."""
    made = Pipeline(tmp_path)
    made.project.tests(TESTS["fails"].replace("BREAK", "1"), module="test_fails")
    done = made.act(
        {"GITHUB_REF": "refs/heads/main", "GITHUB_BASE_REF": "main"}, cache="true", flags="--with-cov --parallel 2"
    )
    assert done.status == 1
    commands = [command for command in commands_in(done.log) if command.name in ("error", "warning", "set-output")]
    assert [command.properties["title"] for command in commands] == [
        "shop.tests.test_fails.Fails.test_fails",
        "shop.tests.test_flaky.Flaky.test_second_time",
    ]
    assert HOSTILE in commands[0].message
    assert done.outputs["failed"] == "2"
    assert done.summary.startswith("## Tests: failed\n")
    for kept in ("durations", "templates"):
        saved = next(step for name, step in done.skipped.items() if name.startswith("Keep") and kept in step["key"])
        restored = next(
            step for name, step in done.skipped.items() if name.startswith("Restore") and kept in step["key"]
        )
        assert saved["path"] == restored["path"]
        assert saved["key"].startswith(restored["restore-keys"])
    assert (made.root / "site" / ".testkit" / "durations.json").exists()


def test_a_run_that_is_killed_has_a_summary(tmp_path):
    """Where the process of the run is killed, a step after it tells of it, by the journal."""
    made = Pipeline(tmp_path)
    made.project.tests("""
        import os, signal
        from unittest import TestCase
        class Killer(TestCase):
            def test_kills(self):
                os.kill(os.getpid(), signal.SIGKILL)
        """)
    done = made.act()
    assert done.status == 137
    assert done.outputs["tests"] == ""
    assert done.summary.startswith("## Tests: the run failed\n")
    assert "shop.tests.test_shop.Killer.test_kills" in done.summary
    assert "Upload the reports" in done.skipped


NASTY = "$(touch pwned) `touch pwned` \"; touch pwned; ' && touch pwned #"


@pytest.mark.parametrize("name", ["mode", "shard", "artifact", "flags", "command", "requirements", "packages"])
def test_no_input_is_run_as_a_script(tmp_path, name):
    """Text that a shell would run, in any input, fails the action and runs nothing."""
    workspace = tmp_path / "work"
    workspace.mkdir()
    given = {"packages": "", name: NASTY}
    done = ActionRun(ACTION, given, workspace, **service_environment(PIP_NO_INDEX="1")).run()
    assert done.status != 0
    assert not list(tmp_path.rglob("pwned"))
    assert "Upload the reports" not in done.skipped or done.skipped["Upload the reports"]["name"]


def test_what_is_named_is_installed(tmp_path):
    """Files of requirements and packages go to pip, each as a word of its own."""
    workspace = tmp_path / "work"
    workspace.mkdir()
    (workspace / "one.txt").write_text("Django\n")
    (workspace / "two.txt").write_text("lxml\n")
    given = {"requirements": "one.txt\ntwo.txt", "packages": "coverage tomlkit", "command": "python --version"}
    done = ActionRun(ACTION, given, workspace, **service_environment(PIP_NO_INDEX="1")).run()
    assert done.status == 0, done.log
    (install,) = [step for step in done.steps if step.name == "Install"]
    assert set(re.findall(r"already satisfied: (\w+) ", install.log)) >= {"Django", "lxml", "coverage", "tomlkit"}


def test_the_plan_hands_durations_to_all_shards(tmp_path):
    """A job before the shards uploads what each of them takes, and runs nothing."""
    workspace = tmp_path / "work"
    workspace.mkdir()
    plan = ActionRun(ACTION, {"mode": "plan"}, workspace, **service_environment()).run()
    assert (plan.status, [step.name for step in plan.steps]) == (0, ["Check what is given"])
    assert plan.skipped.keys() == {"Restore durations", "Hand the durations to the shards"}
    given = {"packages": "", "shard": "1/2", "command": "python --version", "flags": "#"}
    shard = ActionRun(ACTION, given, workspace, **service_environment()).run()
    handed, taken = plan.skipped["Hand the durations to the shards"], shard.skipped["Take the durations of the plan"]
    assert handed["name"] == taken["name"]
    assert Path(handed["path"]).parent == Path(taken["path"])
    assert "Restore durations" not in shard.skipped


def test_the_workflow_of_the_sample_project_uses_the_action_as_it_is():
    """Its jobs give inputs that the action has, and flags that testkit knows."""
    from tests.test_docs import unknown_flags

    workflow = read_yaml(ROOT / ".github" / "workflows" / "sample-project.yml")
    known = read_yaml(ACTION)
    used = [step for job in workflow["jobs"].values() for step in job["steps"] if "testkit" in step.get("uses", "")]
    assert [step["with"].get("mode", "run") for step in used] == ["plan", "run", "merge"]
    for step in used:
        assert step["with"].keys() <= known["inputs"].keys()
        assert unknown_flags(step["with"].get("flags", "").split()) == []
