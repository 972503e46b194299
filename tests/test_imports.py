"""What is not used is not loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.projects import clean_environment

HEAVY = ("coverage", "django_coverage_plugin", "lxml", "nose2", "PIL", "pytest", "rich", "selenium", "xmlrunner")


def loaded(code: str) -> set[str]:
    """Return the top-level packages that ``code`` loads in a fresh process."""
    report = f"{code}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    process = subprocess.run(
        [sys.executable, "-c", report], env=clean_environment(), capture_output=True, text=True, check=True
    )
    return set(process.stdout.split())


def test_testkit_itself_needs_the_standard_library_alone():
    """Importing testkit, and noting a property, loads neither Django nor anything else that is installed."""
    installed = loaded("import testkit; testkit.record_property('a', 1)") & {*HEAVY, "django"}
    assert installed == set()


@pytest.mark.parametrize(
    "code", ["import testkit.runner", "import testkit.cli", "import testkit; testkit.TestkitRunner"]
)
def test_a_run_loads_only_what_its_options_ask_for(code):
    """The runner loads no reporting or measuring library before an option asks for it."""
    assert loaded(f"from django.conf import settings; settings.configure()\n{code}") & set(HEAVY) == set()


def test_the_public_names_exist():
    """Every name in testkit.__all__ can be imported."""
    code = "from django.conf import settings; settings.configure()\nimport testkit\nfor name in testkit.__all__: getattr(testkit, name)"
    assert "testkit" in loaded(code)
