"""Runs of pytest in processes of their own, with the plugin as it is installed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.projects import Project, clean_environment

Runs = Callable[..., subprocess.CompletedProcess[str]]
INI = """
[pytest]
DJANGO_SETTINGS_MODULE = settings
testpaths = shop
python_files = test_*.py
"""


def run_pytest(
    project: Project, *arguments: str, timeout: float = 90, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run pytest in the folder of ``project`` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-ra", *arguments],
        cwd=project.folder,
        env=clean_environment(COLUMNS="200", **environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="backslashreplace",
        timeout=timeout,
        check=False,
    )


@pytest.fixture
def run(project: Project) -> Runs:
    """Runs pytest in ``project``, whose configuration names pytest-django's settings."""
    project.write({"pytest.ini": INI})

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return run_pytest(project, *arguments, **environment)

    return run
