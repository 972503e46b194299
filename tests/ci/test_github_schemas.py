"""The files for GitHub are as its published schemas have them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.projects import ROOT, clean_environment


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("vendor.github-actions", ".github/actions/*/action.yml"),
        ("vendor.github-workflows", ".github/workflows/*.yml"),
    ],
)
def test_files_are_valid(schema, files):
    """check-jsonschema, which has the schemas with it, finds nothing wrong with any file."""
    found = sorted(ROOT.glob(files))
    assert found
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *map(str, found)],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
