"""The built distribution works outside of the checkout."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.projects import ROOT, clean_environment

TESTS = """
from django.test import TestCase
from django.contrib.auth.models import User

class Tests(TestCase):
    def test_database(self):
        User.objects.create(username="reader")
        self.assertEqual(User.objects.count(), 1)
"""


@pytest.fixture(scope="module")
def dists(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel and the sdist, built from a copy so that nothing is left in the checkout."""
    source = tmp_path_factory.mktemp("source")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "testkit", source / "testkit", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, "-m", "build", "--no-isolation", "."], cwd=source, check=True, capture_output=True)
    return source / "dist"


def test_the_distribution_holds_the_package_alone(dists):
    """Wheel and sdist hold testkit with its type marker, and neither tests nor the sample project."""
    wheel = next(dists.glob("django_testkit-*.whl"))
    names = zipfile.ZipFile(wheel).namelist()
    data = {"listeners/jsonl/facts.schema.json", "listeners/html/page/main.js", "pages/base.css", "py.typed"}
    assert {f"testkit/{name}" for name in data} <= set(names)
    assert {name.split("/")[0] for name in names} == {"testkit", wheel.name.rsplit("-py3", 1)[0] + ".dist-info"}
    assert next(dists.glob("django_testkit-*.tar.gz")).stat().st_size > 10_000


def test_a_new_project_runs_its_tests_with_it(dists, tmp_path):
    """Installed in a fresh environment, with one line in a new project's settings, it runs the project's tests."""
    builder = venv.EnvBuilder(with_pip=True)
    builder.create(tmp_path / "env")
    python = tmp_path / "env" / "bin" / "python"
    # What testkit needs is here already and is only made visible; testkit itself comes from the wheel.
    purelib = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    (Path(purelib) / "here.pth").write_text(sysconfig.get_path("purelib"))
    wheel = next(dists.glob("django_testkit-*.whl"))
    install = [python, "-m", "pip", "install", "--no-index", "--no-deps", "--ignore-installed", "-q", wheel]
    subprocess.run(install, check=True, capture_output=True)
    environment = clean_environment()
    environment.pop("PYTHONPATH")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    where = run("-c", "import testkit; print(testkit.__file__)")
    assert where.stdout.startswith(str(tmp_path)), where.stdout + where.stderr
    assert run("-m", "django", "startproject", "site1", ".").returncode == 0
    (tmp_path / "site1" / "tests.py").write_text(TESTS)
    with open(tmp_path / "site1" / "settings.py", "a") as settings:
        settings.write('\nTEST_RUNNER = "testkit.runner.TestkitRunner"\n')
    result = run("manage.py", "test", "--with-xunit", "--with-cov", "--cover-xml")
    assert result.returncode == 0, result.stderr
    assert "Ran 1 test in" in result.stderr
    assert (tmp_path / "reports" / "xunit.xml").is_file()
    assert (tmp_path / "reports" / "coverage.xml").is_file()
    command = subprocess.run(
        [tmp_path / "env" / "bin" / "testkit", "site1", "--list-tests"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert command.stdout == "site1.tests.Tests.test_database\n", command.stderr
