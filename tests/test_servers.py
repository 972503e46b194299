"""The servers and the browser that other tests rely on."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import dj_database_url
import pytest

from tests.conftest import Chromium, needing
from tests.servers import Missing, driver, execute

SELECT_1 = """
import sys
import dj_database_url
import django
from django.conf import settings
from django.db import connection

settings.configure(DATABASES={"default": dj_database_url.parse(sys.argv[1])})
django.setup()
with connection.cursor() as cursor:
    cursor.execute("SELECT 1")
    print(connection.vendor, cursor.fetchone())
connection.close()
"""

START_AND_WAIT = """
import sys, time
from tests import servers

with getattr(servers, sys.argv[1])() as url:
    print(url, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize(("fixture", "vendor"), [("postgres_url", "postgresql"), ("mysql_url", "mysql")])
def test_server_answers_django(fixture: str, vendor: str, request: pytest.FixtureRequest) -> None:
    """Django's own backend reaches the server by the URL that the fixture gives."""
    url = request.getfixturevalue(fixture)
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", SELECT_1, url], capture_output=True, text=True, check=False
    )
    assert (result.stdout, result.stderr) == (f"{vendor} (1,)\n", "")


@pytest.mark.parametrize("fixture", ["postgres_url", "mysql_url"])
def test_user_may_make_databases(fixture: str, request: pytest.FixtureRequest) -> None:
    """The user in the URL may create and drop databases, as a test runner does."""
    url = request.getfixturevalue(fixture)
    name = f"{dj_database_url.parse(url)['NAME']}_other"
    execute(url, f"CREATE DATABASE {name}")
    execute(url, f"DROP DATABASE {name}")


@pytest.mark.parametrize(
    ("fixture", "variable", "server", "pid_file"),
    [
        ("postgres_url", "TESTKIT_POSTGRES_URL", "postgres_server", "data/postmaster.pid"),
        ("mysql_url", "TESTKIT_MYSQL_URL", "mariadb_server", "pid"),
    ],
)
def test_server_stops_when_its_process_is_killed(
    fixture: str, variable: str, server: str, pid_file: str, request: pytest.FixtureRequest
) -> None:
    """A killed process leaves no server behind, though it could not stop it."""
    if os.environ.get(variable):
        pytest.skip(f"{variable} names a server that is not ours to stop")
    request.getfixturevalue(fixture)  # skips where the server is missing
    command = [sys.executable, "-c", START_AND_WAIT, server]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        settings = dj_database_url.parse(process.stdout.readline().strip())
        process.kill()
    folder = Path(settings["HOST"] or Path(settings["OPTIONS"]["unix_socket"]).parent)
    try:
        deadline = time.monotonic() + 10
        # A server removes this file as the last act of an orderly stop.
        while (folder / pid_file).exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not (folder / pid_file).exists()
    finally:
        shutil.rmtree(folder)


def test_browser_and_driver_are_of_one_version(chromium: Chromium) -> None:
    """A WebDriver server drives only a browser of its own major version."""
    versions = [subprocess.check_output([path, "--version"], text=True) for path in chromium]
    browser, webdriver = [next(word for word in version.split() if word[0].isdigit()) for version in versions]
    assert browser.split(".")[0] == webdriver.split(".")[0]


def test_missing_server_skips_with_the_remedy(monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config) -> None:
    """On a developer's machine, a test whose server is missing is skipped and says what installs it."""
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install"), needing("a server", pytestconfig):
        raise Missing("apt-get install mariadb-server")


def test_missing_server_fails_in_ci(monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config) -> None:
    """With CI=true the same test fails, because nobody reads the skips of a green run."""
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="apt-get install"), needing("a server", pytestconfig):
        raise Missing("apt-get install mariadb-server")


def test_missing_driver_says_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """mysqlclient, which not every machine can compile, is reported as missing and not as an ImportError."""
    monkeypatch.setitem(sys.modules, "MySQLdb", None)
    with pytest.raises(Missing, match="make test-env"):
        driver("mysql://root@/mysql")
