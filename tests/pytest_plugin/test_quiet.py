"""In a project that does not use it, the plugin is not noticed."""

from __future__ import annotations

import re

from testkit.core.options import declared
from testkit.core.readers import boolean
from testkit.pytest_plugin.command_line import FLAGS
from testkit.session import GROUPS
from tests.projects import ROOT
from tests.pytest_plugin.conftest import run_pytest
from tests.pytest_plugin.test_run import Plain

LOADED = """
import sys

def pytest_unconfigure():
    ours = sorted(name for name in sys.modules if name.partition(".")[0] in ("testkit", "django", "coverage", "lxml"))
    print("loaded:", *ours)
"""
ASKING = """
import pytest

def test_fixture(query_budget): pass

@pytest.mark.max_num_queries(3)
def test_marker(): pass
"""


def test_a_project_that_does_not_use_it_loads_next_to_nothing(tmp_path):
    """Three small modules are loaded, no others of ours nor Django; nothing is printed and nothing written."""
    plain = Plain(tmp_path)
    plain.write(
        {"test_it.py": "def test_it(): pass", "conftest.py": LOADED, "setup.cfg": "[testkit]\nwith_xunit = yes"}
    )
    result = run_pytest(plain, "-p", "no:django", "-s")
    assert result.returncode == 0
    loaded = "loaded: testkit testkit.core testkit.core.lazy testkit.pytest_plugin testkit.pytest_plugin.command_line\n"
    assert loaded in result.stdout
    told = [line for line in result.stdout.splitlines() if "testkit" in line and not line.startswith("plugins:")]
    assert told == [loaded.strip()]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["conftest.py", "pytest.ini", "setup.cfg", "test_it.py"]


def test_what_is_missing_is_told_when_django_is_asked_for(tmp_path):
    """A fixture or the marker in a project without Django's settings fails with what to install; a wrong option is refused."""
    plain = Plain(tmp_path)
    plain.write({"test_it.py": ASKING})
    result = run_pytest(plain, "--strict-markers", "-p", "no:django")
    assert "the fixture query_budget needs Django with its settings: install pytest-django" in result.stdout
    assert "the marker max_num_queries needs Django" in result.stdout
    assert result.returncode == 1
    result = run_pytest(plain, "-p", "no:django", "--testkit-xunit-flavour=odd")
    assert result.returncode == 4
    assert "--testkit-xunit-flavour is 'odd': give one of default, strict, classic" in result.stderr
    result = run_pytest(plain, "-p", "no:django", "--testkit-query-budgets=record")
    assert result.returncode == 4
    assert "query_budgets (from --testkit-query-budgets) needs Django with its settings" in result.stderr
    shard = ("-p", "no:django", "-n2", "--testkit-shard=auto")
    result = run_pytest(plain, *shard, CI_NODE_TOTAL="2", CI_NODE_INDEX="9")
    assert result.returncode == 4
    assert "ERROR: testkit: --shard auto: " in result.stderr
    result = run_pytest(plain, "-p", "no:testkit", "--testkit-xunit")
    assert "unrecognized arguments: --testkit-xunit" in result.stderr


def test_the_flags_are_those_of_options_and_of_the_guide():
    """Each flag stands for an option, is a switch if that is one, and has its row in the guide."""
    known = declared(GROUPS)
    for flag in FLAGS:
        assert (known[flag.option].parse is boolean) == (not flag.metavar), flag
    guide = (ROOT / "docs" / "how-to" / "pytest.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(--testkit-[\w-]+)[^`]*` \| `(\w+)", guide, re.MULTILINE)
    assert rows[: len(FLAGS)] == [
        (f"--testkit-{flag.name}", f"testkit_{flag.name.replace('-', '_')}") for flag in FLAGS
    ]
