"""Runs of pytest in processes of their own, with the plugin as it is installed."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from tests.projects import Project

Runs = Callable[..., subprocess.CompletedProcess[str]]
INI = """
[pytest]
DJANGO_SETTINGS_MODULE = settings
testpaths = shop
python_files = test_*.py
"""


def run_pytest(project: Project, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in the folder of ``project`` to its end."""
    return project.run(*arguments, front="pytest", timeout=180, **{"COLUMNS": "200", **environment})


@pytest.fixture
def run(project: Project) -> Runs:
    """Runs pytest in ``project``, whose configuration names pytest-django's settings."""
    project.write({"pytest.ini": INI})

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return run_pytest(project, *arguments, **environment)

    return run
