"""What two workers make of a suite: testkit, Django's own --parallel and pytest-xdist side by side.

    python benchmarks/parallel.py skewed [--rounds N]      a suite whose longest class comes last
    python benchmarks/parallel.py lease                    what one lease costs
    python benchmarks/parallel.py compare NAME=COMMAND …   any commands, such as a real project's, in turn

``compare`` splits each command as a shell does, runs it in the current folder (its exit status is not looked at: real
projects have failures of their own) and gives medians and ratios to the first one. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from overhead import MANAGE, RUNNERS
from runs import ROOT, alternate, median, table

SETTINGS = """
SECRET_KEY = "none"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
"""
SHORT_CLASSES, TESTS, LONG_TESTS = 24, 5, 20
SHORT, LONG = 0.02, 0.2
"""Seconds of a test in a short class, and in the long one, which comes last by its name."""


def make_skewed(folder: Path) -> None:
    """Write a project whose longest class is the last one."""
    (folder / "settings.py").write_text(SETTINGS)
    (folder / "manage.py").write_text(MANAGE)
    (folder / "pytest.ini").write_text("[pytest]\nDJANGO_SETTINGS_MODULE = settings\npython_files = tests.py\n")
    package = folder / "skewed"
    package.mkdir()
    (package / "__init__.py").touch()
    lines = ["import time", "from django.test import TestCase"]
    for number in range(SHORT_CLASSES):
        lines.append(f"class Case{number:02d}(TestCase):")
        lines += [f"    def test_{test}(self): time.sleep({SHORT})" for test in range(TESTS)]
    lines.append("class Longest(TestCase):")
    lines += [f"    def test_{test:02d}(self): time.sleep({LONG})" for test in range(LONG_TESTS)]
    (package / "tests.py").write_text("\n".join(lines))
    one = folder / "one"
    one.mkdir()
    (one / "__init__.py").touch()
    (one / "tests.py").write_text(
        "from django.test import TestCase\n"
        + "".join(f"class Case{number}(TestCase):\n    def test_it(self): pass\n" for number in range(2))
    )


def seconds_of_tests(folder: Path) -> float:
    """Return what the tests of the project take one after the other, as a serial run says."""
    command = [sys.executable, "manage.py", "test", "skewed", "--noinput", f"--testrunner={RUNNERS['testkit']}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    found = re.search(r"^Ran \d+ tests in ([\d.]+)s", done.stderr, re.MULTILINE)
    assert found is not None, done.stderr
    return float(found[1])


def skewed(rounds: int) -> str:
    """Compare on the skewed suite; the ideal is the seconds of the tests shared by two, and one start."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_skewed(folder)
        seconds = seconds_of_tests(folder)
        manage = [sys.executable, "manage.py", "test", "--noinput", "--parallel=2"]
        commands: dict[str, Sequence[str]] = {
            "start of testkit": [*manage, "one", f"--testrunner={RUNNERS['testkit']}"],
            "testkit --parallel 2": [*manage, "skewed", f"--testrunner={RUNNERS['testkit']}"],
            "Django --parallel 2": [*manage, "skewed"],
            "pytest -n 2": [sys.executable, "-m", "pytest", "-q", "-n2", "skewed"],
        }
        costs = alternate(commands, folder, rounds)
    start = median(costs["start of testkit"], "wall")
    ideal = seconds / 2 + start
    rows = [
        [label, f"{median(costs[label], 'wall'):.2f} s", f"{median(costs[label], 'wall') / ideal:.2f}"]
        for label in commands
        if label != "start of testkit"
    ]
    head = [f"{seconds:.1f} s of tests, the longest class last", "wall", f"to the ideal of {ideal:.2f} s"]
    return table(head, rows)


_LEASES = """
import tempfile, time, unittest
from pathlib import Path
import django
from django.conf import settings
settings.configure()
django.setup()
from testkit.execution.pool import Plan, Pool
from testkit.execution.ids import test_id, tests_by_id
from testkit.selection.order import Kind, Queue, Unit

COUNT = 2000
tests = [type(f"Case{n}", (unittest.TestCase,), {"test_it": lambda self: None})("test_it") for n in range(COUNT)]
ids = [(test_id(test), 0) for test in tests]

def seconds(units):
    size = COUNT // units
    share = [Unit(str(n), tuple(ids[n * size:(n + 1) * size]), 0.0, kind=Kind.NEUTRAL) for n in range(units)]
    with tempfile.TemporaryDirectory() as name:
        plan = Plan(1, "fork", lambda worker: (), "testkit.execution.inline.RecordedSuite", {}, Path(name))
        pool = Pool(plan, Queue(share, 1), tests_by_id(tests), lambda fact: None)
        started = time.perf_counter()
        pool.run()
        return time.perf_counter() - started

many = min(seconds(COUNT) for _ in range(5))
one = min(seconds(1) for _ in range(5))
print((many - one) / (COUNT - 1))
"""


def lease() -> str:
    """Return what a lease's round trip costs: 2,000 classes in as many leases, over the same classes in one."""
    done = subprocess.run([sys.executable, "-c", _LEASES], cwd=ROOT, capture_output=True, text=True, check=True)
    head = ["2,000 classes", "a lease"]
    return table(head, [["a lease for each class, over one for all", f"{float(done.stdout) * 1e3:.3f} ms"]])


def compare(commands: Mapping[str, Sequence[str]], rounds: int) -> str:
    """Compare any commands by their wall time."""
    walls: dict[str, list[float]] = {name: [] for name in commands}
    for round_number in range(rounds):
        for name, command in commands.items():
            started = time.perf_counter()
            subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
            )
            walls[name].append(time.perf_counter() - started)
            print(f"{round_number + 1}. {name}: {walls[name][-1]:.1f} s", file=sys.stderr, flush=True)
    medians = {name: statistics.median(found) for name, found in walls.items()}
    first = next(iter(medians.values()))
    rows = [[name, f"{seconds:.1f} s", f"{seconds / first:.2f}"] for name, seconds in medians.items()]
    return table(["command", "wall", "ratio"], rows)


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("skewed", "lease", "compare"))
    parser.add_argument("commands", nargs="*", metavar="NAME=COMMAND")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    if given.what == "skewed":
        print(skewed(given.rounds))
    elif given.what == "lease":
        print(lease())
    else:
        pairs = (text.partition("=") for text in given.commands)
        print(compare({name: shlex.split(command) for name, _, command in pairs}, given.rounds))


if __name__ == "__main__":
    main()
