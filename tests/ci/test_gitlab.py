"""The sample project's .gitlab-ci.yml: each line of its scripts runs, and its reports are what GitLab takes."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
from lxml import etree

from tests.ci import gitlab
from tests.ci.shell import SAMPLE, collected, environment, published, workspace
from tests.listeners.test_others import issues_of

PIPELINE = gitlab.read(SAMPLE / ".gitlab-ci.yml")
BROKEN = """
from django.test import SimpleTestCase

class BrokenTests(SimpleTestCase):
    def test_it(self):
        self.assertEqual(1, 2)
"""


class Ran(NamedTuple):
    """A pipeline that was run: the workspace of its last job, and the statuses of its jobs."""

    folder: Path
    shards: list[int]
    merge: int


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A pipeline in which one test fails."""
    folder = tmp_path_factory.mktemp("gitlab")

    def checkout(job: str) -> tuple[Path, dict[str, str]]:
        project = workspace(SAMPLE, folder / job)
        (project / "library/tests/test_broken.py").write_text(BROKEN)
        predefined = {"CI_COMMIT_BRANCH": "main", "CI_DEFAULT_BRANCH": "main", "CI_JOB_NAME": job}
        return project, environment(GITLAB_CI="true", CI_PROJECT_DIR=str(project), **predefined)

    planned, variables = checkout("plan")
    assert PIPELINE.job("plan", planned, variables) == 0
    total = PIPELINE.text["test"]["parallel"]
    nodes = [checkout(f"test {number}") for number in range(1, total + 1)]

    def shard(number: int) -> int:
        project, variables = nodes[number - 1]
        PIPELINE.hand_over("plan", planned, project)
        return PIPELINE.job("test", project, {**variables, "CI_NODE_INDEX": str(number), "CI_NODE_TOTAL": str(total)})

    with ThreadPoolExecutor(2) as pool:
        statuses = list(pool.map(shard, range(1, total + 1)))
    merging, variables = checkout("merge")
    for source, job in ((planned, "plan"), *((project, "test") for project, _ in nodes)):
        PIPELINE.hand_over(job, source, merging)
    return Ran(merging, statuses, PIPELINE.job("merge", merging, variables))


def test_the_status_of_the_pipeline_is_that_of_the_run(ran):
    """One shard fails by its test, and the merge says so; nothing else does."""
    assert sorted(ran.shards) == [0, 0, 0, 1]
    assert ran.merge == 1


def test_each_test_is_in_the_merge_request_once(ran):
    """The JUnit report has all tests of the project, each once, and the one that failed."""
    root = etree.parse(ran.folder / PIPELINE.text["merge"]["artifacts"]["reports"]["junit"]).getroot()
    assert published(root) == collected(ran.folder)
    assert [failure.getparent().get("name") for failure in root.iter("failure")] == ["test_it"]


def test_the_reports_are_what_gitlab_takes(ran):
    """The Cobertura report has the project's files by their paths in it; Code Quality has the failure with its place."""
    reports = PIPELINE.text["merge"]["artifacts"]["reports"]
    assert reports["coverage_report"]["coverage_format"] == "cobertura"
    root = etree.parse(ran.folder / reports["coverage_report"]["path"]).getroot()
    sources = [source.text for source in root.iter("source")]
    paths = [Path(source, item.get("filename")) for item in root.iter("class") for source in sources]
    assert ran.folder / "library/models.py" in paths
    assert "test_broken" in (ran.folder / "reports/index.html").read_text(encoding="utf-8")
    (issue,) = issues_of(ran.folder / reports["codequality"])
    assert issue["check_name"] == "testkit/test-failed"
    assert issue["location"] == {"path": "library/tests/test_broken.py", "lines": {"begin": 6}}


def test_durations_go_into_the_cache(ran):
    """What the merge leaves in the folder that is cached has the durations of all shards."""
    (cached,) = [cache for cache in PIPELINE.text["merge"]["cache"] if cache["key"] == "testkit"]
    assert cached["paths"] == [".testkit/"]
    durations = json.loads((ran.folder / ".testkit/durations.json").read_text())
    assert len(durations[1]["tests"]) > 20
