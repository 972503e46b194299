"""What the plugin for pytest costs where it is not used, and what it saves where it is.

    python benchmarks/fronts.py import [--rounds N]                  loading it, in a project that does not use it
    python benchmarks/fronts.py start [--rounds N] [--only NAME]     from the command to its end, with one test

``start`` runs pytest with pytest-django, with the plugin and without (``-p no:testkit``), turn by turn, on a project of
its own with 120 migrations or on a real one: ``--project FOLDER --settings MODULE --with LABEL`` name a test that uses
the database, which the settings read from the environment's DATABASE_URL. NAME is memory, file, postgres or mariadb; the
servers are those of ``databases.py``. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from databases import APPS, TITLES, Case, database, make_project, measure
from runs import Cost, median, table

from tests import servers

LOADING = """
import sys, time
from _pytest.config import get_config
config = get_config()  # what every run of pytest has loaded
before, started = set(sys.modules), time.process_time()
import testkit.pytest_plugin
testkit.pytest_plugin.pytest_addoption(config._parser)
print((time.process_time() - started) * 1000, len(set(sys.modules) - before))
"""


def import_cost(rounds: int) -> str:
    """Return the table of what loading the plugin costs."""
    # Installed packages come compiled.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    figures = []
    for _ in range(rounds + 1):
        done = subprocess.run(
            [sys.executable, "-c", LOADING], env=environment, capture_output=True, text=True, check=True
        )
        figures.append([float(word) for word in done.stdout.split()])
    figures = figures[1:]
    milliseconds = [figure[0] for figure in figures]
    row = [f"{statistics.median(milliseconds):.2f}", f"{min(milliseconds):.2f}", f"{figures[0][1]:.0f}"]
    return table(["CPU, median (ms)", "least (ms)", "modules"], [row])


def start(options: argparse.Namespace, name: str, folder: Path) -> str:
    """Return the table of one database."""
    project = Path(options.project or folder)
    label = options.label_with or "app0/tests.py::With"
    base = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--ds={options.settings or 'settings'}"]

    def command(*flags: str) -> list[str]:
        return [*base, *options.flag, *flags, label]

    without = ["-p", "no:testkit"]
    with database(name, project) as (environment, forget):
        environment |= {"BENCH_APPS": " ".join(f"app{number}" for number in range(APPS)), "PYTHONWARNINGS": "ignore"}
        first = Case("testkit --reuse-db, first run", command("--reuse-db"), forget)
        later = Case("testkit --reuse-db, later", command("--reuse-db"))
        costs = measure([first, later], project, environment, options.rounds)
        forget()
        theirs = Case("pytest-django --reuse-db, first run", command("--reuse-db", *without), forget)
        theirs_later = Case("pytest-django --reuse-db, later", command("--reuse-db", *without))
        costs |= measure([theirs, theirs_later], project, environment, options.rounds)
        forget()
    rows = [_row(case, costs, theirs_later) for case in (first, later, theirs, theirs_later)]
    head = [TITLES[name], "wall (s)", "CPU (s)", "wall / pytest-django's later run", "CPU / its"]
    return table(head, rows)


def _row(case: Case, costs: dict[str, list[Cost]], reference: Case) -> list[str]:
    wall, cpu = (median(costs[case.name], what) for what in ("wall", "cpu"))
    of_wall, of_cpu = (median(costs[reference.name], what) for what in ("wall", "cpu"))
    return [case.name, f"{wall:.2f}", f"{cpu:.2f}", f"{wall / of_wall:.2f}", f"{cpu / of_cpu:.2f}"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["import", "start"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=list(TITLES))
    parser.add_argument("--project", help="the folder of a real project")
    parser.add_argument("--settings", help="its settings module")
    parser.add_argument("--with", dest="label_with", help="the label of a test that uses the database")
    parser.add_argument("--flag", action="append", default=[], help="a flag that its pytest needs (repeatable)")
    options = parser.parse_args()
    if options.what == "import":
        print(import_cost(options.rounds))
        return
    for name in [options.only] if options.only else TITLES:
        with tempfile.TemporaryDirectory() as path, suppress(servers.Missing):
            make_project(Path(path))
            (Path(path) / "pytest.ini").write_text("[pytest]\n")
            print(start(options, name, Path(path)), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
