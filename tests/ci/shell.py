"""Runs the commands of CI files here: in a scratch copy of their project, with what a service sets, and no network."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from lxml import etree

from tests.projects import ROOT, clean_environment

_KEPT = ("test_models.py", "test_search.py", "test_table.py", "test_text.py")
_INSTALLING = "python -m pip install "


def workspace(project: Path, folder: Path, *, quick: bool = True) -> Path:
    """Copy the checkout ``project`` to ``folder``, as an agent has it; ``quick`` keeps a few of its test modules."""
    made = shutil.ignore_patterns("__pycache__", "reports", ".testkit", "*.sqlite3")

    def left_out(place: str, names: list[str]) -> set[str]:
        slow = {name for name in names if quick and name.startswith("test_") and name not in _KEPT}
        return {*made(place, names), *slow}

    shutil.copytree(project, folder, ignore=left_out)
    return folder


def environment(**service: str) -> dict[str, str]:
    """Return the environment of a job: this Python is ``python``, and pip finds what is installed here or nothing."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return clean_environment(PATH=path, PIP_NO_INDEX="1", PIP_DISABLE_PIP_VERSION_CHECK="1", CI="true", **service)


def run(command: Sequence[str], folder: Path, variables: Mapping[str, str]) -> int:
    """Run ``command`` in ``folder`` to its end and return its status; what it prints is shown if the test fails."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=dict(variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="backslashreplace",
        timeout=120,
        check=False,
    )
    print(f"$ {command[-1]}\n{done.stdout}[status {done.returncode}]")
    return done.returncode


@functools.cache
def installs(line: str, folder: Path) -> bool:
    """Return whether ``line`` installs what is here already, which pip itself says; asked once for all jobs alike."""
    return line.startswith(_INSTALLING) and not run(["sh", "-c", line], folder, environment())


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """Return ``text`` with the variables in it that are known."""
    return re.sub(r"\$\{?(\w+)\}?", lambda match: variables.get(match[1], match[0]), text)


@functools.cache
def collected(folder: Path) -> list[str]:
    """Return the ids of the tests in ``folder``, sorted."""
    listed = subprocess.run(
        [sys.executable, "-m", "testkit", "--list-tests"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return sorted(listed.stdout.split())


def published(root: etree._Element) -> list[str]:
    """Return the ids of the tests in an xunit file, sorted; subtests have parameters behind their names."""
    named = [f"{case.get('classname')}.{case.get('name')}" for case in root.iter("testcase")]
    return sorted(id for id in named if " " not in id)


SAMPLE = ROOT / "sample_project"
GEODJANGO = ROOT / "docs" / "examples" / "geodjango"
