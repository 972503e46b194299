"""The GeoDjango example: its tests pass by each of its CI files, on a PostGIS server that nobody has prepared."""

from __future__ import annotations

import ctypes.util
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from lxml import etree
from ruamel.yaml import YAML

from tests.ci import gitlab, jenkinsfile
from tests.ci.shell import GEODJANGO, environment, installs, published, run, workspace
from tests.listeners.test_others import issues_of, sarif_of
from tests.servers import Missing, execute, postgres_server

TESTS = [
    "places.tests.test_models.DistanceTests.test_the_nearest_comes_first",
    "places.tests.test_models.DistanceTests.test_what_is_far_is_left_out",
    "places.tests.test_views.NearestTests.test_the_answer_has_names_and_metres",
    "places.tests.test_views.NearestTests.test_what_is_no_place_is_refused",
]
MISSING = "install them by hand to run this: as root, `apt-get install gdal-bin postgresql-15-postgis-3`"


@pytest.fixture(scope="module")
def postgis() -> Iterator[dict[str, str]]:
    """libpq's variables of a server that has PostGIS, as the service container of the CI files."""
    libraries = [name for name in ("gdal", "geos_c") if ctypes.util.find_library(name) is None]
    if libraries:
        pytest.skip(f"GeoDjango's libraries are not here ({', '.join(libraries)}): {MISSING}")
    with ExitStack() as stack:
        try:
            url = stack.enter_context(postgres_server())
        except Missing as missing:
            pytest.skip(str(missing))
        if not execute(url, "SELECT 1 FROM pg_available_extensions WHERE name = 'postgis'"):
            pytest.skip(f"the PostgreSQL server has no PostGIS: {MISSING}")
        parts = urlsplit(url)
        yield {"PGHOST": unquote(parts.netloc.rpartition("@")[2]), "PGUSER": parts.username or "", "PGPASSWORD": "x"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout of the example."""
    return workspace(GEODJANGO, tmp_path / "checkout", quick=False)


def check_reports(project: Path) -> None:
    root = etree.parse(project / "reports/xunit.xml").getroot()
    assert published(root) == TESTS
    assert (root.get("failures"), root.get("errors"), root.get("skipped")) == ("0", "0", "0")
    assert (project / "reports/coverage.xml").is_file()


def test_the_gitlab_job(project, postgis):
    """The script passes on an empty server, and its reports are what the file names."""
    pipeline = gitlab.read(GEODJANGO / ".gitlab-ci.yml")
    assert pipeline.job("test", project, environment(GITLAB_CI="true", **postgis)) == 0
    check_reports(project)
    assert issues_of(project / pipeline.text["test"]["artifacts"]["reports"]["codequality"]) == []


def test_the_jenkins_stage(project, postgis):
    """Each step passes, the one that waits for the server included, and the publishers find their files."""
    text = (project / "Jenkinsfile").read_text()
    for step in jenkinsfile.steps(text):
        assert run(["sh", "-xe", "-c", step.command], project, environment(**postgis)) == 0
    check_reports(project)
    assert [name for name in jenkinsfile.files(text) if not (project / name).is_file()] == []


def test_the_github_job(project, postgis):
    """Each ``run:`` passes, but what installs packages of the system, and the SARIF is where the next step takes it."""
    workflow = YAML(typ="safe", pure=True).load(project / ".github/workflows/tests.yml")
    steps = workflow["jobs"]["test"]["steps"]
    for step in steps:
        line = step.get("run", "")
        if line and "apt-get" not in line and not installs(line, GEODJANGO):
            assert run(["bash", "-eo", "pipefail", "-c", line], project, environment(**postgis)) == 0
    check_reports(project)
    (sarif,) = [step["with"]["sarif_file"] for step in steps if "upload-sarif" in step.get("uses", "")]
    assert sarif_of(project / sarif)["results"] == []
