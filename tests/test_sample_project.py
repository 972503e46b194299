"""The sample project's own suite passes by testkit, and its coverage is what coverage.py says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import django
import pytest
from lxml import etree

from tests.projects import ROOT, clean_environment

MANAGE = ["manage.py", "test"]
SCREENSHOT_TESTS = 6
SKIPPED = SCREENSHOT_TESTS + 2
"""Without a browser; two tests need row locks, which SQLite does not have."""
OTHER_FONTS = """
<fontconfig><dir>{folder}</dir><cachedir>{folder}</cachedir><match target="font">
<edit name="hintstyle" mode="assign"><const>hintfull</const></edit>
<edit name="rgba" mode="assign"><const>rgb</const></edit>
</match></fontconfig>
"""
"""Of a machine that has none of the usual fonts, and its own idea of how letters are drawn."""


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what a user would copy: runtests.py, the project, and what its pages look like."""
    ignored = shutil.ignore_patterns("__pycache__", "*.sqlite3", "reports", ".testkit")
    for name in ("sample_project", "screenshots"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    for name in ("runtests.py", "setup.cfg"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def test_the_main_job(checkout):
    """``runtests.py --with-xunit --with-cov --keepdb`` passes, and ends with where its reports are."""
    result = run(checkout, "runtests.py", "--with-xunit", "--with-cov", "--keepdb", "--parallel")
    assert result.returncode == 0, result.stderr
    assert f"OK (skipped={SKIPPED})" in result.stderr
    reports = result.stderr.rpartition("Reports:\n")[2].splitlines()
    assert [line.split("  ")[1] for line in reports] == ["xunit", "coverage HTML", "coverage XML"]
    for line in reports:
        assert (checkout / line.rpartition("  ")[2]).is_file()
    root = etree.parse(checkout / "reports" / "xunit.xml").getroot()
    assert (root.get("failures"), root.get("errors"), root.get("skipped")) == ("0", "0", str(SKIPPED))
    assert int(root.get("tests")) >= 96
    hint = "needs a browser: --with-needle or RUN_NEEDLE_TESTS=1 includes the tests with screenshots"
    assert [skipped.get("message") for skipped in root.iter("skipped")].count(hint) == SCREENSHOT_TESTS


def test_the_pages_look_as_their_baselines_on_a_machine_with_other_fonts(checkout, chromium):
    """Five pages at three breakpoints are as committed, pixel by pixel, where the only font installed has blocks for letters."""
    fonts = checkout / "fonts"
    fonts.mkdir()
    shutil.copy(ROOT / "tests" / "screenshots" / "pages" / "blocks.ttf", fonts)
    (fonts / "fonts.conf").write_text(OTHER_FONTS.format(folder=fonts))
    flags = ("--with-needle", "--missing-baselines", "fail", "--tag", "screenshots")
    result = run(checkout, "runtests.py", *flags, FONTCONFIG_FILE=str(fonts / "fonts.conf"))
    assert result.returncode == 0, result.stderr
    assert f"Ran {SCREENSHOT_TESTS} tests" in result.stderr
    baselines = sorted((checkout / "screenshots" / "baseline" / "chromium-linux").iterdir())
    assert f"Screenshots: {len(baselines)} passed" in result.stderr
    names = {path.stem.partition("_")[0] for path in baselines if path.stem.endswith(("_1024", "_800", "_320"))}
    assert {"home", "books", "book", "catalogue", "statistics"} <= names


def test_runtests_runs_the_labels_that_are_given(checkout):
    """``runtests.py LABEL`` runs just that."""
    result = run(checkout, "runtests.py", "library.tests.test_text")
    assert result.returncode == 0, result.stderr
    assert "Databases:" not in result.stderr
    assert 1 <= int(result.stderr.partition("Ran ")[2].split()[0]) <= 20


@pytest.mark.parametrize("front", [["-m", "testkit"], MANAGE])
def test_coverage_is_the_same_to_the_line_as_coverage_run(checkout, front):
    """The lines that are covered by testkit are those that ``coverage run manage.py test`` covers, file by file."""
    project = checkout / "sample_project"
    stock = [*MANAGE, "--testrunner=django.test.runner.DiscoverRunner"]
    result = run(project, "-m", "coverage", "run", "--source=.", *stock)
    assert result.returncode == 0, result.stderr
    result = run(project, "-m", "coverage", "json", "-o", "expected.json")
    assert result.returncode == 0, result.stderr
    result = run(project, *front, "--with-cov", "--cover-package=.", "--cover-json-file=ours.json")
    assert result.returncode == 0, result.stderr
    expected, ours = (lines_of(project / name) for name in ("expected.json", "ours.json"))
    if front != MANAGE:
        # Not run by this front, which reads the name of the settings in it.
        del expected["manage.py"], ours["manage.py"]
    assert {file: lines for file, lines in ours.items() if file.endswith(".py")} == expected
    assert expected["library/models.py"][0]


def lines_of(report: Path) -> dict[str, tuple[list[int], list[int]]]:
    files = json.loads(report.read_text())["files"]
    return {name: (file["executed_lines"], file["missing_lines"]) for name, file in files.items()}


@pytest.mark.parametrize("server", ["postgres_url", "mysql_url"])
def test_the_suite_passes_on_a_server(checkout, request, server):
    """The suite passes on PostgreSQL and on MariaDB, and the guard has verified the database's name there."""
    url = request.getfixturevalue(server)
    result = run(checkout, "runtests.py", "--noinput", "-v1", DATABASE_URL=url)
    assert result.returncode == 0, result.stderr
    assert "Databases: default (" in result.stderr
    assert "test_" in result.stderr.partition("Databases: default (")[2].partition(")")[0]


@pytest.mark.skipif(django.VERSION[:2] != (5, 2), reason="the page shows what Django 5.2 does")
def test_the_docs_show_what_a_broken_budget_says(checkout):
    """The how-to guide has the real message of a view whose select_related() was removed."""
    views = checkout / "sample_project" / "library" / "views.py"
    text = views.read_text()
    for loading in ('.select_related("copy__book")\n', '.prefetch_related("copy__book__authors")\n'):
        assert loading in text
        text = text.replace(loading, "\n")
    views.write_text(text)
    result = run(checkout, "runtests.py", "library.tests.test_views.MyLoansTests")
    assert result.returncode == 1
    page = (ROOT / "docs" / "how-to" / "query-budgets.md").read_text()
    shown = page.partition("```text\n")[2].partition("```")[0]
    told = without_times(result.stderr)
    for line in without_times(shown).splitlines():
        assert line == "…" or line in told


def without_times(text: str) -> str:
    return re.sub(r" +\d+\.\d ms", "", text)


def test_a_production_database_is_refused(checkout):
    """A DATABASE_URL that points to a cloud's database is refused before anything is touched; no password is shown."""
    url = "postgres://admin:hunter2@db.abc.eu-west-1.rds.amazonaws.com/library"
    result = run(checkout, "runtests.py", DATABASE_URL=url)
    assert result.returncode == 2
    assert "an Amazon RDS host" in result.stderr
    assert "SAFE_DATABASE_HOSTS" in result.stderr
    assert "hunter2" not in result.stdout + result.stderr
    assert "Ran" not in result.stderr
    assert not list(checkout.rglob("*.jsonl"))


def test_the_guard_is_a_step_for_scripts(checkout):
    """``python -m testkit guard`` exits with 0 and a line for each database, or with 2 and the reason."""
    project = checkout / "sample_project"
    good = run(project, "-m", "testkit", "guard")
    assert (good.returncode, good.stdout.count("ok")) == (0, 1), good.stderr
    bad = run(project, "-m", "testkit", "guard", DATABASE_URL="postgres://u:secret@db.example.com/x")
    assert bad.returncode == 2
    assert "db.example.com" in bad.stderr
    assert "secret" not in bad.stderr


def test_it_can_be_run_twice_with_keepdb_on_a_server(checkout, postgres_url):
    """With --keepdb the database stays for the next run; without it nothing stays."""
    first = run(checkout, "runtests.py", "--keepdb", "library.tests.test_models", DATABASE_URL=postgres_url)
    second = run(checkout, "runtests.py", "--keepdb", "library.tests.test_models", DATABASE_URL=postgres_url)
    assert (first.returncode, second.returncode) == (0, 0), second.stderr
    last = run(checkout, "runtests.py", "--noinput", "library.tests.test_models", DATABASE_URL=postgres_url)
    assert last.returncode == 0
    assert os.environ.get("PGPASSWORD") is None
