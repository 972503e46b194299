"""Fixtures: a little project to run, and what is not Python: database servers and a browser.

A test that needs one of these which is not here is skipped, and says what installs it. With `CI=true` it fails instead: there,
tests that silently do not run would look like tests that pass.
"""

import compileall
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

import pytest
from lxml import etree

from tests.projects import ROOT, Project
from tests.servers import Missing, find, mariadb_server, own_database, postgres_server

LONGEST = [
    "test_templates.py",
    "test_sample_project.py",
    "databases/test_backend_postgresql.py",
    "test_budgets_run.py",
    "databases/test_fixtures.py",
    "databases/test_flush.py",
    "test_parallel.py",
    "databases/dependencies/test_inputs.py",
    "faults/test_faults_serial.py",
    "coverage/test_measure.py",
    "faults/test_faults_parallel.py",
    "databases/test_initial.py",
    "databases/test_backend_mysql.py",
    "databases/dependencies/test_fingerprint.py",
    "databases/test_checks.py",
    "pytest_plugin/test_databases.py",
    "queries/test_shelf.py",
    "test_shards_run.py",
    "screenshots/test_mixin.py",
    "test_runner.py",
    "databases/test_holders.py",
    "test_worker_databases.py",
]
"""Files whose tests take more than a minute, by what they took."""
JUNIT_SCHEMA = ROOT.parent / "shared" / "schemas" / "junit-10.xsd"


class Chromium(NamedTuple):
    """Paths of the browser and of its WebDriver server."""

    binary: str
    driver: str


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--without",
        action="append",
        choices=["chromium", "junit-schema", "mariadb", "postgresql"],
        default=[],
        help="skip the tests that need this, even with CI=true (repeatable)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Compile testkit: the runs of the tests write no bytecode, and each would compile it anew, a third of its time."""
    if not hasattr(config, "workerinput"):
        compileall.compile_dir(ROOT / "testkit", quiet=2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that no worker is left with one of them at the end."""
    order = {name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.relative_to(ROOT / "tests").as_posix(), len(order)))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A real little Django project in a folder of its own."""
    return Project(tmp_path)


@pytest.fixture(scope="session")
def postgres_url(pytestconfig: pytest.Config, worker_id: str) -> Iterator[str]:
    """URL of an empty PostgreSQL database, this worker's own; its user may make others."""
    with (
        needing("postgresql", pytestconfig),
        given_or_started("TESTKIT_POSTGRES_URL", postgres_server) as server_url,
        own_database(server_url, f"testkit_{worker_id}") as url,
    ):
        yield url


@pytest.fixture(scope="session")
def mysql_url(pytestconfig: pytest.Config, worker_id: str) -> Iterator[str]:
    """URL of an empty MariaDB or MySQL database, this worker's own; its user may make others."""
    with (
        needing("mariadb", pytestconfig),
        given_or_started("TESTKIT_MYSQL_URL", mariadb_server) as server_url,
        own_database(server_url, f"testkit_{worker_id}") as url,
    ):
        yield url


@pytest.fixture(scope="session")
def junit_schema(pytestconfig: pytest.Config) -> etree.XMLSchema:
    """The schema of Jenkins' xunit plugin, which lies beside the checkout and not in it."""
    with needing("junit-schema", pytestconfig):
        if not JUNIT_SCHEMA.exists():
            raise Missing(f"{JUNIT_SCHEMA} is not here: it is the schema of the Jenkins plugin jenkinsci/xunit-plugin")
        return etree.XMLSchema(file=str(JUNIT_SCHEMA))


@pytest.fixture(scope="session")
def chromium(pytestconfig: pytest.Config) -> Chromium:
    """Paths of Chromium (or Chrome) and of its driver."""
    with needing("chromium", pytestconfig):
        return Chromium(
            binary=find("chromium", "chromium-browser", "google-chrome", package="chromium"),
            driver=find("chromedriver", package="chromium-driver"),
        )


@contextmanager
def needing(name: str, config: pytest.Config) -> Iterator[None]:
    """Skip the test, or with `CI=true` fail it, if the block raises `Missing`; skip it if `--without` says so."""
    if name in config.getoption("without"):
        pytest.skip(f"left out by --without={name}")
    try:
        yield
        return
    except Missing as missing:
        remedy = str(missing)
    # Outside of the handler, so that its traceback does not bury the remedy.
    if os.environ.get("CI") == "true":
        pytest.fail(remedy, pytrace=False)
    pytest.skip(remedy)


def given_or_started(variable: str, start: Callable[[], AbstractContextManager[str]]) -> AbstractContextManager[str]:
    """The server whose URL is in the environment, which is left running, or else a private one."""
    url = os.environ.get(variable)
    return nullcontext(url) if url else start()
