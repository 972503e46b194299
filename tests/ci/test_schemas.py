"""Every file of CI in the repository, and every one that the documentation shows, is valid by its service's own schema."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.ci.shell import GEODJANGO
from tests.projects import ROOT
from tests.test_docs import DOCS, blocks

KINDS = {
    "vendor.github-workflows": [".github/workflows/*.y*ml", "**/.github/workflows/*.y*ml"],
    "vendor.github-actions": [".github/actions/*/action.y*ml"],
    "vendor.gitlab-ci": ["**/.gitlab-ci.yml"],
}
"""By schema of check-jsonschema, where the files are."""
SHOWN = {
    "vendor.github-workflows": ("jobs:", "runs-on:"),
    "vendor.gitlab-ci": ("script:", "artifacts:"),
    "vendor.circle-ci": ("version: 2.1",),
}
"""By schema, what a block of YAML in the documentation has in it if it is a whole file of that service.

Not that of Azure Pipelines, which knows PublishCodeCoverageResults@2 by name and not its inputs.
"""
FOLDERS = ("", "sample_project", "docs")


def files_of(patterns: Iterable[str]) -> set[Path]:
    found = {path for folder in FOLDERS for pattern in patterns for path in (ROOT / folder).glob(pattern)}
    return {path for path in found if not {".venv", "node_modules"} & set(path.parts) and path.is_file()}


def check(schema: str, paths: Iterable[Path]) -> subprocess.CompletedProcess[str]:
    transform = ["--data-transform", "gitlab-ci"] if schema == "vendor.gitlab-ci" else []
    return subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *transform, *map(str, paths)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("schema", KINDS)
def test_files_are_valid(schema):
    """Workflows, actions and pipelines are what the published schemas of GitHub and GitLab allow."""
    paths = files_of(KINDS[schema])
    if schema != "vendor.github-actions":
        assert paths
        assert any(path.is_relative_to(GEODJANGO) for path in paths)
    if paths:
        done = check(schema, sorted(paths))
        assert done.returncode == 0, done.stdout


def test_what_the_documentation_shows_is_valid(tmp_path):
    """Each block of YAML on a page that is a whole file of a service is valid by its schema."""
    found: dict[str, list[Path]] = {}
    for page in sorted(DOCS.rglob("*.md")):
        for number, block in enumerate(blocks(page)):
            schema = next((name for name, marks in SHOWN.items() if all(mark in block.text for mark in marks)), None)
            if block.language == "yaml" and schema is not None:
                path = tmp_path / f"{page.stem}-{number}.yml"
                path.write_text(block.text)
                found.setdefault(schema, []).append(path)
    assert set(found) == set(SHOWN)
    for schema, paths in found.items():
        done = check(schema, paths)
        assert done.returncode == 0, done.stdout


def test_a_mistake_is_seen(tmp_path):
    """A misspelled key is no valid pipeline, so that the checks above can fail."""
    path = tmp_path / ".gitlab-ci.yml"
    path.write_text("test:\n  scripts: [python -m testkit]\n  paralel: 4\n")
    assert check("vendor.gitlab-ci", [path]).returncode == 1
