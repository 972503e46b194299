"""What testkit costs over stock Django: per test, at start-up, and in memory.

    python benchmarks/overhead.py [--rounds N]

Needs unittest-xml-reporting beside testkit's own requirements. Prints Markdown tables for the README.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from runs import Cost, alternate, median, table

TESTS, CLASSES = 20_000, 400
MANY = 100_000
SETTINGS = """
SECRET_KEY = "none"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth"]
TESTKIT = {"WITH_XUNIT": __import__("os").environ.get("BENCH_XUNIT") == "1"}
TEST_OUTPUT_DIR = "reports"
"""
MANAGE = """
import os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""
RUNNERS = {
    "stock Django": "django.test.runner.DiscoverRunner",
    "testkit": "testkit.runner.TestkitRunner",
    "unittest-xml-reporting": "xmlrunner.extra.djangotestrunner.XMLTestRunner",
}


def make_project(folder: Path) -> None:
    """Write the project: the suites differ in the number of trivial tests."""
    (folder / "settings.py").write_text(SETTINGS)
    (folder / "manage.py").write_text(MANAGE)
    for name, tests, classes in (("one", 1, 1), ("trivial", TESTS, CLASSES), ("many", MANY, 2000)):
        package = folder / name
        package.mkdir()
        (package / "__init__.py").touch()
        per_class = tests // classes
        lines = ["from django.test import SimpleTestCase"]
        for number in range(classes):
            lines.append(f"class Case{number:04d}(SimpleTestCase):")
            lines += [f"    def test_{test:04d}(self): pass" for test in range(per_class)]
        (package / "tests.py").write_text("\n".join(lines))


def command(runner: str, label: str) -> list[str]:
    """Return the command that runs ``label`` with the runner of that name."""
    return [sys.executable, "manage.py", "test", label, f"--testrunner={RUNNERS[runner]}"]


def overhead(folder: Path, rounds: int) -> str:
    """Return the table of seconds over stock Django for trivial tests, with every report on."""
    costs = alternate({name: command(name, "trivial") for name in RUNNERS}, folder, rounds, {"BENCH_XUNIT": "1"})
    stock = costs["stock Django"]

    def over(name: str, what: str) -> str:
        # Round by round, since a round's runs share the machine's mood.
        extra = [getattr(cost, what) - getattr(base, what) for cost, base in zip(costs[name], stock, strict=True)]
        return f"{sorted(extra)[len(extra) // 2] / TESTS * 1e6:.0f} µs"

    rows = [
        [name, f"{median(costs[name], 'wall'):.2f} s", f"{median(costs[name], 'cpu'):.2f} s"]
        + (["", ""] if name == "stock Django" else [over(name, "wall"), over(name, "cpu")])
        for name in RUNNERS
    ]
    return table([f"{TESTS:,} tests, {CLASSES} classes", "wall", "CPU", "a test over stock", "its CPU"], rows)


def start_up(folder: Path, rounds: int) -> str:
    """Return the table of the time for one SimpleTestCase."""
    names = ["stock Django", "testkit"]
    costs = alternate({name: command(name, "one") for name in names}, folder, rounds)
    return _ratios("one SimpleTestCase", costs, names, "wall", "s", 3)


def memory(folder: Path, rounds: int) -> str:
    """Return the table of peak memory."""
    names = ["stock Django", "testkit"]
    costs = alternate({name: command(name, "many") for name in names}, folder, rounds, {"BENCH_XUNIT": "1"})
    return _ratios(f"{MANY:,} tests, peak memory", costs, names, "memory", "MiB", 1)


def _ratios(title: str, costs: dict[str, list[Cost]], names: Sequence[str], what: str, unit: str, digits: int) -> str:
    base = median(costs[names[0]], what)
    rows = [
        [name, f"{median(costs[name], what):.{digits}f} {unit}", f"{median(costs[name], what) / base:.3f}"]
        for name in names
    ]
    return table([title, "median", "ratio"], rows)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each comparison (memory: a third of them)")
    parser.add_argument("--only", choices=["overhead", "start_up", "memory"], help="measure just this")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_project(folder)
        for part, rounds in ((overhead, options.rounds), (start_up, options.rounds * 4), (memory, options.rounds // 3)):
            if options.only in (None, part.__name__):
                print(part(folder, max(rounds, 1)), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
