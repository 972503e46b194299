"""GitHub Actions under pytest: only where it is asked for, and whatever is printed after the run."""

from __future__ import annotations

from tests.ci.runner import commands_in
from tests.projects import Project

TESTS = """
    import unittest
    class T(unittest.TestCase):
        def test_fails(self):
            print("::error::from a test")
            self.fail("\\n::warning::from a failure")
    """


def test_pytest_tells_github_if_it_is_asked_to(tmp_path):
    """With the flag a failure is an annotation and in the summary, and what pytest prints later is no command."""
    project = Project(tmp_path / "work")
    project.tests(TESTS)
    summary = tmp_path / "summary.md"
    github = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(project.folder), "GITHUB_STEP_SUMMARY": str(summary)}
    settings = {"DJANGO_SETTINGS_MODULE": "settings"}
    quiet = project.run("shop/tests", front="pytest", **github, **settings)
    assert quiet.returncode == 1
    assert "stop-commands" not in quiet.stderr + quiet.stdout
    assert not summary.exists()
    told = project.run("shop/tests", "--testkit-github=on", front="pytest", **github, **settings)
    assert told.returncode == 1
    # As the two pipes are read at worst: all that is printed to the one when the other has ended.
    commands = commands_in(told.stderr + told.stdout)
    assert [(command.name, command.properties.get("file")) for command in commands] == [
        ("group", None),
        ("error", "shop/tests/test_shop.py"),
        ("endgroup", None),
    ]
    assert "::warning::from a failure" in told.stdout
    assert "python -m pytest --last-failed\n" in summary.read_text()
