"""The project ``shelf``: its tests are Django's own kind, and pass under Django's runner and ours, on each database."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.projects import clean_environment

FOLDER = Path(__file__).parent / "shelf"
RUNNERS = {"stock": "django.test.runner.DiscoverRunner", "testkit": "testkit.runner.TestkitRunner"}


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("database", ["sqlite", "postgres", "mysql"])
def test_the_project_passes(runner, database, request, tmp_path):
    """Assertions, recordings and hints are right on this database, whoever runs the tests."""
    url = "sqlite://:memory:" if database == "sqlite" else request.getfixturevalue(f"{database}_url")
    folder = shutil.copytree(FOLDER, tmp_path / "shelf")
    result = subprocess.run(
        [sys.executable, "-W", "error", "manage.py", "test", "--noinput", f"--testrunner={RUNNERS[runner]}"],
        cwd=folder,
        env=clean_environment(DATABASE_URL=url),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert int(re.search(r"Ran (\d+) tests", result.stderr)[1]) > 0
