"""A real little Django project, made for one test and run by the real commands."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
from lxml import etree

from testkit.core import journal
from testkit.core.events import Fact

ROOT = Path(__file__).parent.parent
counts_skipped_tests = pytest.mark.skipif(
    sys.version_info[:3] == (3, 12, 1), reason="unittest passes over skipped tests in this one version: gh-113267"
)
"""For tests that compare with what unittest itself tells of skipped tests."""
FRONTS: Mapping[str, list[str]] = {
    "testkit": [sys.executable, "-m", "testkit"],
    "manage.py": [sys.executable, "manage.py", "test"],
    "nose2": [sys.executable, "-m", "nose2"],
    "pytest": [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-ra"],
    "stock": [sys.executable, "manage.py", "test", "--testrunner=django.test.runner.DiscoverRunner"],
}
"""The ways to start a run: ours, ours by TEST_RUNNER, nose2's, pytest's, and Django's own runner as the oracle."""

SETTINGS = """
SECRET_KEY = "no secret"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "real.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TEST_RUNNER = "testkit.runner.TestkitRunner"
"""
MANAGE = """
import os, sys
if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
    from django.core.management import execute_from_command_line
    execute_from_command_line(sys.argv)
"""
MODELS = """
from django.db import models

class Item(models.Model):
    name = models.CharField(max_length=20)

    def __str__(self):
        return self.name
"""
MIGRATION = """
from django.db import migrations, models

class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel("Item", [
            ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
            ("name", models.CharField(max_length=20)),
        ]),
    ]
"""
MIXED = """
import unittest
from django.test import SimpleTestCase, TestCase, TransactionTestCase, tag
from shop.models import Item

class DatabaseTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.item = Item.objects.create(name="book")

    def test_reads(self):
        self.assertEqual(Item.objects.get().name, "book")

    @tag("slow")
    def test_fails(self):
        self.assertEqual(Item.objects.count(), 2)

    def test_errs(self):
        raise KeyError("x")

class FlushingTests(TransactionTestCase):
    def test_creates(self):
        Item.objects.create(name="pen")
        self.assertEqual(Item.objects.count(), 1)

class PlainTests(SimpleTestCase):
    @unittest.skip("not today")
    def test_skipped(self):
        raise AssertionError

    @unittest.expectedFailure
    def test_expected(self):
        self.fail("as expected")

    @unittest.expectedFailure
    def test_unexpected(self):
        pass

    def test_subtests(self):
        for number in range(3):
            with self.subTest("part", number=number):
                self.assertNotEqual(number, 1)

class BrokenClass(TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        raise RuntimeError("no class")

    def test_never(self):
        pass

class SkippedClass(SimpleTestCase):
    @classmethod
    def setUpClass(cls):
        raise unittest.SkipTest("no browser")

    def test_never(self):
        pass
"""
"""A test module with every outcome."""
# What the environment of the machine says must not change what these runs do.
_OWN_VARIABLES = (
    "TESTKIT_",
    "DJANGO_",
    "COVERAGE_",
    "PYTEST_XDIST_",
    "PYTHONWARNINGS",
    "NO_COLOR",
    "FORCE_COLOR",
    "DATABASE_URL",
    "GITHUB_",
    "GITLAB_",
    "CI_",
    "CHANGE_",
)


def clean_environment(**extra: str) -> dict[str, str]:
    """Return the environment for a command that is to behave alike on every machine."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(_OWN_VARIABLES) and key != "CI"}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **extra}


class Project:
    """A project in a folder: an app ``shop`` with a model ``Item``, and the test modules that a test gives it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write(
            {
                "settings.py": SETTINGS,
                "manage.py": MANAGE,
                "shop/__init__.py": "",
                "shop/models.py": MODELS,
                "shop/migrations/__init__.py": "",
                "shop/migrations/0001_initial.py": MIGRATION,
                "shop/tests/__init__.py": "",
            }
        )

    def write(self, files: Mapping[str, str]) -> None:
        """Write ``files`` by their path in the project; common indentation is taken off."""
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")

    def settings(self, text: str) -> None:
        """Add ``text`` to the settings."""
        with open(self.folder / "settings.py", "a", encoding="utf-8") as file:
            file.write(textwrap.dedent(text).strip() + "\n")

    def tests(self, text: str, module: str = "test_shop") -> None:
        """Write a test module of the app."""
        self.write({f"shop/tests/{module}.py": text})

    def nose2(self, *plugins: str, testkit: str = "", front: str = "testkit.nose2_plugin") -> None:
        """Write a configuration of nose2 with our front, ``plugins`` and the lines of ``testkit``."""
        named = "".join(f"    {name}\n" for name in ("", front, *plugins))
        text = f"[unittest]\nplugins ={named}\n[testkit]\n{testkit}\n"
        (self.folder / "unittest.cfg").write_text(text, encoding="utf-8")

    def start(self, *arguments: str, front: str = "testkit", **environment: str) -> subprocess.Popen[str]:
        """Start a run and return its process."""
        return subprocess.Popen(
            [*FRONTS[front], *arguments],
            cwd=self.folder,
            env=clean_environment(**environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
        )

    def run(
        self, *arguments: str, front: str = "testkit", timeout: float = 60, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end, which must come within ``timeout`` seconds, and return what was printed and the status."""
        process = self.start(*arguments, front=front, **environment)
        try:
            stdout, stderr = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            stdout, stderr = process.communicate()
            raise AssertionError(f"the run did not end within {timeout} s:\n{stdout}\n{stderr}") from None
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    def facts(self) -> list[Fact]:
        """Return the facts of the last run, from its journal."""
        return list(journal.read(self.folder / "reports" / "journal"))

    def xunit(self, file: str = "reports/xunit.xml") -> etree._Element:
        """Return the root of the xunit file."""
        return etree.parse(self.folder / file, etree.XMLParser(huge_tree=True)).getroot()

    def make_real_rows(self) -> None:
        """Make the real database of the settings, with a row that no test may touch."""
        with closing(sqlite3.connect(self.folder / "real.sqlite3")) as real, real:
            real.execute("create table shop_item (id integer primary key, name varchar(20))")
            real.execute("insert into shop_item (name) values ('real')")

    def real_rows(self) -> list[tuple[str]]:
        """Return the rows of the real database."""
        with closing(sqlite3.connect(self.folder / "real.sqlite3")) as real:
            return real.execute("select name from shop_item").fetchall()
