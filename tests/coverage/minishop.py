"""A little Django project to measure, and how to run commands in it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

import testkit

ROOT = Path(testkit.__file__).parents[1]

FILES = {
    "manage.py": """
        import os, sys
        if __name__ == "__main__":
            os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
            from django.core.management import execute_from_command_line
            execute_from_command_line(sys.argv)
    """,
    "settings.py": """
        SECRET_KEY = "x"
        INSTALLED_APPS = ["shop"]
        DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}
        DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
        TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
        TEST_RUNNER = "testkit.runner.TestkitRunner"
    """,
    "requirements.txt": "django",
    "shop/__init__.py": "",
    "shop/migrations/__init__.py": "",
    "shop/models.py": """
        from django.db import models

        class Book(models.Model):
            title = models.CharField(max_length=20)

            def loud(self):
                if self.title:
                    return self.title.upper()
                return "?"

            def quiet(self):
                return self.title.lower()

            def never(self):
                return None
    """,
    "shop/unused.py": "NEVER_IMPORTED = True",
    "shop/tests.py": """
        from django.template.loader import render_to_string
        from django.test import TestCase

        from shop.models import Book

        class BookTests(TestCase):
            @classmethod
            def setUpClass(cls):
                super().setUpClass()
                cls.title = "Dune"

            def setUp(self):
                self.book = Book(title=self.title)

            def test_loud(self):
                self.assertEqual(self.book.loud(), "DUNE")

            def test_quiet(self):
                self.assertEqual(self.book.quiet(), "dune")
    """,
}


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Write ``files`` below ``folder``, without the indentation that their text has in a test."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).lstrip("\n"), encoding="utf-8")


def python(folder: Path, *arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python in ``folder`` with testkit on its path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE_", "TESTKIT_"))}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        input=stdin,
        capture_output=True,
        text=True,
        env={**kept, "PYTHONPATH": str(ROOT), **environment},
        timeout=120,
    )


def lines(report: Path, suffix: str = ".py") -> dict[str, tuple[list[int], list[int]]]:
    """Return the executed and the missing lines of each file of a JSON report."""
    files: dict[str, Any] = json.loads(report.read_text())["files"]
    return {
        name: (found["executed_lines"], found["missing_lines"])
        for name, found in files.items()
        if name.endswith(suffix)
    }
