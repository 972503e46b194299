"""The sample project's Jenkinsfile: each of its steps runs, and what its publishers are told of is there."""

from __future__ import annotations

import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from lxml import etree

from tests.ci import jenkinsfile
from tests.ci.shell import GEODJANGO, SAMPLE, collected, environment, installs, published, run, workspace
from tests.listeners.test_others import sarif_of

TEXT = (SAMPLE / "Jenkinsfile").read_text(encoding="utf-8")
STEPS = list(jenkinsfile.steps(TEXT))


def take(stage: str, folder: Path, **service: str) -> None:
    """Run the steps of a stage as Jenkins does; one that fails ends it, unless its status is looked at."""
    variables = environment(WORKSPACE=str(folder), JENKINS_URL="http://localhost/", BUILD_NUMBER="7", **service)
    for step in STEPS:
        if step.stage == stage and not installs(step.command, SAMPLE):
            status = run(["sh", "-xe", "-c", step.command], folder, variables)
            assert status == 0 or step.may_fail, step.command


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace of the stage Merge, after a build: four agents have run a shard each."""
    folder = tmp_path_factory.mktemp("jenkins")
    shards = jenkinsfile.axes(TEXT)["SHARD"]
    agents = {shard: workspace(SAMPLE, folder / f"agent-{shard}") for shard in shards}
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda shard: take("Shard", agents[shard], SHARD=shard), shards))
    merging = workspace(SAMPLE, folder / "merge")
    first, *others = [step for step in STEPS if step.stage == "Merge"]
    assert first.command == "rm -rf .testkit shards"  # and then come the stashes
    assert len(others) == 3
    for agent in agents.values():
        shutil.copytree(agent / "shards", merging / "shards", dirs_exist_ok=True)
    STEPS.remove(first)
    take("Merge", merging)
    return merging


def test_each_test_is_published_once(built):
    """The merged xunit file has all tests of the project, each once, and none that failed."""
    root = etree.parse(built / "reports/xunit.xml").getroot()
    assert published(root) == collected(built)
    assert (root.get("failures"), root.get("errors")) == ("0", "0")


def test_the_publishers_find_their_files(built):
    """Each file that a publisher is told of is there, and is what it takes: Cobertura and SARIF."""
    named = jenkinsfile.files(TEXT)
    assert named == {
        "reports/xunit.xml",
        "reports/xunit-strict.xml",
        "reports/coverage.xml",
        "reports/testkit.sarif",
    }
    assert [name for name in named if not (built / name).is_file()] == []
    coverage = etree.parse(built / "reports/coverage.xml").getroot()
    assert float(coverage.get("line-rate")) > 0.3
    assert {"accounts", "library"} <= {package.get("name").partition(".")[0] for package in coverage.iter("package")}
    assert sarif_of(built / "reports/testkit.sarif")["results"] == []
    page = re.search(r"reportDir: '(.+)',\s+reportFiles: '(.+)'", TEXT)
    assert page is not None
    assert "</html>" in (built / page[1] / page[2]).read_text(encoding="utf-8")
    assert (built / ".testkit/durations.json").is_file()


def test_the_xunit_plugin_takes_the_strict_file(built, junit_schema):
    """What the xUnit plugin is given is valid by its schema."""
    junit_schema.assertValid(etree.parse(built / "reports/xunit-strict.xml"))


@pytest.mark.parametrize("path", [SAMPLE / "Jenkinsfile", GEODJANGO / "Jenkinsfile"], ids=lambda path: path.parent.name)
def test_brackets_match_and_no_value_becomes_a_command(path):
    """The file is whole, and Groovy puts nothing into what a shell runs."""
    assert list(jenkinsfile.steps(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("text", ["stage('A') { sh \"rm ${x}\" }", "stage('A') { sh 'x'", "stage('A') { sh('x' }", "}"])
def test_a_broken_file_is_seen(text):
    """A command that Groovy changes, and brackets that do not match, are refused by the reader."""
    with pytest.raises(AssertionError):
        list(jenkinsfile.steps(text))
