"""What databases cost before, between and after the tests: testkit and Django's own runner side by side.

    python benchmarks/databases.py start [--rounds N] [--only NAME]    from the command to its end, with two tests
    python benchmarks/databases.py flush [--rounds N] [--only NAME]    20 TransactionTestCases on 160 tables

``start`` measures a project of its own with 120 migrations, or a real one: ``--project FOLDER --settings MODULE --with
LABELS --without LABEL`` name two test classes that use the database and one that does not; the settings read the
database's URL from the environment's DATABASE_URL, and that of a SQLite test file from TEST_FILE. NAME is memory, file,
postgres or mariadb. The servers are private ones with the default durability, unless TESTKIT_POSTGRES_URL and
TESTKIT_MYSQL_URL name others. Prints Markdown tables: all medians, and each target with its figure. Where a machine has
other work the CPU time (of the run, not of the server) is the steadier figure.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, quote, urlsplit

from overhead import MANAGE, RUNNERS
from runs import ROOT, Cost, cost_of, median, table

sys.path.insert(0, str(ROOT))
from tests import servers

MIGRATIONS, APPS = 120, 6
TABLES, TESTS = 160, 20
TITLES = {"memory": "SQLite in memory", "file": "SQLite in a file", "postgres": "PostgreSQL", "mariadb": "MariaDB"}
SETTINGS = """
import os
import dj_database_url
SECRET_KEY = "none"
DATABASES = {"default": dj_database_url.parse(os.environ["DATABASE_URL"])}
if os.environ.get("TEST_FILE"):
    DATABASES["default"]["TEST"] = {"NAME": os.environ["TEST_FILE"]}
INSTALLED_APPS = [
    "django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sites", *os.environ["BENCH_APPS"].split()
]
SITE_ID = 1
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
"""
FIRST_MIGRATION = """
from django.db import migrations, models
class Migration(migrations.Migration):
    initial = True
    operations = [
        migrations.CreateModel("Thing", [("id", models.BigAutoField(primary_key=True)), ("name", models.CharField(max_length=20))])
    ]
"""
LATER_MIGRATION = """
from django.db import migrations, models
class Migration(migrations.Migration):
    dependencies = [("{app}", "{before}")]
    operations = [migrations.AddField("Thing", "field{number}", models.IntegerField(null=True, db_index={index}))]
"""


WARM_RUNS = 3
"""How often in each round the runs are made that need no migration: they take a tenth of the others' time."""


class Case(NamedTuple):
    """A command that is measured, and what is done before each run of it."""

    name: str
    command: Sequence[str]
    before: Callable[[], None] = lambda: None


Costs = dict[str, list[list[Cost]]]
"""By the name of the case: what it cost, round by round."""


def make_project(folder: Path) -> None:
    """Write the project: six apps with 20 migrations each, and one with 160 models and none."""
    (folder / "settings.py").write_text(SETTINGS)
    (folder / "manage.py").write_text(MANAGE)
    for number in range(APPS):
        _make_app(folder / f"app{number}", MIGRATIONS // APPS)
    wide = folder / "wide"
    wide.mkdir()
    (wide / "__init__.py").touch()
    models = [
        f"class Thing{number}(models.Model):\n    name = models.CharField(max_length=20)\n"
        f"    other = models.ForeignKey({f'Thing{number - 1}' if number else 'self'!r}, models.CASCADE, null=True)\n"
        for number in range(TABLES)
    ]
    (wide / "models.py").write_text("from django.db import models\n" + "".join(models))
    (wide / "tests.py").write_text(
        "from django.test import TransactionTestCase\nfrom wide.models import Thing0, Thing1\n"
        "class Tests(TransactionTestCase):\n"
        + "".join(
            f"    def test_{number:02d}(self):\n        Thing1.objects.create(other=Thing0.objects.create(name='one'))\n"
            "        self.assertEqual(Thing1.objects.count(), 1)\n"
            for number in range(TESTS)
        )
    )


def _make_app(app: Path, migrations: int) -> None:
    (app / "migrations").mkdir(parents=True)
    (app / "__init__.py").touch()
    (app / "migrations" / "__init__.py").touch()
    fields, before = "", "0001_first"
    (app / "migrations" / f"{before}.py").write_text(FIRST_MIGRATION)
    for number in range(2, migrations + 1):
        text = LATER_MIGRATION.format(app=app.name, before=before, number=number, index=number % 2 == 0)
        before = f"{number:04d}_field{number}"
        (app / "migrations" / f"{before}.py").write_text(text)
        fields += f"    field{number} = models.IntegerField(null=True, db_index={number % 2 == 0})\n"
    (app / "models.py").write_text(
        f"from django.db import models\nclass Thing(models.Model):\n    name = models.CharField(max_length=20)\n{fields}"
    )
    (app / "tests.py").write_text(
        "from django.test import SimpleTestCase, TestCase\n"
        f"from {app.name}.models import Thing\n"
        "class With(TestCase):\n    def test_it(self): self.assertEqual(Thing.objects.count(), 0)\n"
        "class Without(SimpleTestCase):\n    def test_it(self): pass\n"
    )


@contextmanager
def database(name: str, folder: Path) -> Iterator[tuple[dict[str, str], Callable[[], None]]]:
    """Give the environment that names the database, and a function that removes all that was kept of it."""
    cache = folder / ".testkit"

    def forget() -> None:
        shutil.rmtree(cache, ignore_errors=True)
        for file in folder.glob("test*.sqlite3"):  # those of workers, too
            file.unlink()

    if name in ("memory", "file"):
        file = {"TEST_FILE": str(folder / "test.sqlite3")} if name == "file" else {}
        yield {"DATABASE_URL": f"sqlite:///{folder / 'real.sqlite3'}", **file}, forget
        return
    start, variable = {
        "postgres": (servers.postgres_server, "TESTKIT_POSTGRES_URL"),
        "mariadb": (servers.mariadb_server, "TESTKIT_MYSQL_URL"),
    }[name]
    given = os.environ.get(variable)
    with start(durable=True) if not given else _given(given) as server:
        own = f"bench_{os.getpid()}"
        with servers.own_database(server, own) as url:

            def forget_all() -> None:
                forget()
                force = " WITH (FORCE)" if name == "postgres" else ""
                for made in servers.names_of_databases(server):
                    if made.startswith(f"test_{own}"):
                        servers.execute(server, f"DROP DATABASE IF EXISTS {made}{force}")

            yield {"DATABASE_URL": _with_socket_as_host(url)}, forget_all
            forget_all()


def _with_socket_as_host(url: str) -> str:
    """Return ``url`` in the form that Django's clones by mysqldump need, too."""
    split = urlsplit(url)
    socket = parse_qs(split.query).get("unix_socket")
    return f"{split.scheme}://{split.username}@{quote(socket[0], safe='')}{split.path}" if socket else url


@contextmanager
def _given(url: str) -> Iterator[str]:
    yield url


def measure(cases: Sequence[Case], folder: Path, environment: dict[str, str], rounds: int) -> Costs:
    """Run the cases in turn and return what each cost; the first round is not counted."""
    costs: Costs = {case.name: [] for case in cases}
    for number in range(-1, rounds):
        of_round: dict[str, list[Cost]] = {name: [] for name in costs}
        for case in cases:
            case.before()
            of_round[case.name].append(cost_of(case.command, folder, environment))
        if number >= 0:
            for name, found in of_round.items():
                costs[name].append(found)
        print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return costs


class Target(NamedTuple):
    """How much one case may cost of another."""

    what: str
    case: str
    of: str
    most: float


NO_DATABASE, COLD, KEPT_COLD, WARM, PARALLEL = (
    "no database",
    "first run",
    "first run --keepdb",
    "later",
    "first, parallel",
)
STOCK_COLD, STOCK_KEPT_COLD, STOCK_WARM, STOCK_PARALLEL = (
    f"Django {case}" for case in ("first run", "first run --keepdb", "--keepdb later", "first, parallel")
)


def targets_of(name: str, is_real: bool) -> list[Target]:
    """Return what is asked for on the database of that name; of a real project a little more."""
    found = [
        Target("a later run to one without database", WARM, NO_DATABASE, 1.15),
        Target("a first run to Django's", COLD, STOCK_COLD, 1.03),
        Target("a first run to Django's, --keepdb", KEPT_COLD, STOCK_KEPT_COLD, 1.03),
        Target("a first run to Django's, --parallel 2", PARALLEL, STOCK_PARALLEL, 1.0),
    ]
    if is_real:
        found.append(Target("a later run to Django's first", WARM, STOCK_COLD, 1 / 8 if name == "postgres" else 1 / 12))
    if name != "memory":
        most = 0.8 if is_real and name == "postgres" else 1.0
        found.append(Target("a later run to Django's, --keepdb", WARM, STOCK_WARM, most))
    return found


def start(options: argparse.Namespace, name: str, folder: Path) -> str:
    """Return the tables of one database: what comes before and after a test, and the targets."""
    project = Path(options.project or folder)
    settings = options.settings or "settings"
    with_database = (options.label_with or "app0.tests.With app1.tests.With").split()
    without = options.label_without or "app0.tests.Without"
    base = [sys.executable, "-m", "django", "test", f"--settings={settings}", "--noinput"]

    def command(runner: str, labels: Sequence[str], *flags: str) -> list[str]:
        return [*base, f"--testrunner={RUNNERS[runner]}", *labels, *flags]

    ours, stock, parallel = "testkit", "stock Django", "--parallel=2"
    with database(name, project) as (environment, forget):
        environment |= {"BENCH_APPS": " ".join(f"app{number}" for number in range(APPS))}
        short = [Case(NO_DATABASE, command(ours, [without])), Case(WARM, command(ours, with_database, "--keepdb"))]
        if name != "memory":  # where Django keeps nothing
            short.append(Case(STOCK_WARM, command(stock, with_database, "--keepdb")))
        cases = [
            Case(STOCK_KEPT_COLD, command(stock, with_database, "--keepdb"), forget),
            # Beside the database that Django has kept, whose name is not taken: so both can have their later runs in turn.
            Case(KEPT_COLD, command(ours, with_database, "--keepdb")),
            *short * WARM_RUNS,
            Case(COLD, command(ours, with_database), forget),
            Case(STOCK_COLD, command(stock, with_database), forget),
            Case(PARALLEL, command(ours, with_database, parallel), forget),
            Case(STOCK_PARALLEL, command(stock, with_database, parallel), forget),
        ]
        costs = measure(cases, project, environment, options.rounds)
        forget()
    rows = [
        [name, *(f"{median([cost for each in costs[name] for cost in each], what):.2f} s" for what in ("wall", "cpu"))]
        for name in sorted(costs)
    ]
    return "\n\n".join(
        [
            table([f"{TITLES[name]}, {options.rounds} rounds", "median", "CPU"], rows),
            table(
                [TITLES[name], "at most", "figure", "CPU", ""],
                [_judged(target, costs) for target in targets_of(name, bool(options.project))],
            ),
        ]
    )


def _judged(target: Target, costs: Costs) -> list[str]:
    """Return the row of a target: the median of the ratios within each round, as a round's runs share its mood."""
    ratios = {
        what: statistics.median(
            median(some, what) / median(others, what)
            for some, others in zip(costs[target.case], costs[target.of], strict=True)
        )
        for what in ("wall", "cpu")
    }
    verdict = "met" if ratios["wall"] <= target.most else "**not met**"
    return [target.what, f"{target.most:.2f}", f"{ratios['wall']:.2f}", f"{ratios['cpu']:.2f}", verdict]


def flush(options: argparse.Namespace, name: str, folder: Path) -> str:
    """Return the rows of one database: what 20 TransactionTestCases take."""
    seconds: dict[str, list[float]] = {}
    with database(name, folder) as (environment, forget):
        environment |= {"BENCH_APPS": "wide"}
        forget()
        for number in range(-1, options.rounds):
            for runner in ("stock Django", "testkit"):
                command = [sys.executable, "-m", "django", "test", "--settings=settings", "--noinput", "wide"]
                cost_of([*command, f"--testrunner={RUNNERS[runner]}"], folder, environment)
                found = re.search(r"in ([\d.]+)s", (folder / "output.txt").read_text())
                assert found is not None, "the runner says how long the tests took"
                if number >= 0:
                    seconds.setdefault(runner, []).append(float(found[1]))
            print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    stock, ours = (statistics.median(seconds[runner]) for runner in ("stock Django", "testkit"))
    times = statistics.median(one / other for one, other in zip(*seconds.values(), strict=True))
    least = 20 if name == "postgres" else 3
    verdict = "met" if times >= least else "**not met**"
    return table(
        [f"{TESTS} TransactionTestCases, {TABLES} tables", "stock Django", "testkit", "at least", "times faster", ""],
        [[TITLES[name], f"{stock:.2f} s", f"{ours:.2f} s", str(least), f"{times:.1f}", verdict]],
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["start", "flush"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=list(TITLES))
    parser.add_argument("--project", help="the folder of a real project")
    parser.add_argument("--settings", help="its settings module")
    parser.add_argument("--with", dest="label_with", help="labels of test classes that use the database")
    parser.add_argument("--without", dest="label_without", help="the label of a test that does not")
    options = parser.parse_args()
    for name in [options.only] if options.only else TITLES:
        with tempfile.TemporaryDirectory() as path, suppress(servers.Missing):
            make_project(Path(path))
            print({"start": start, "flush": flush}[options.what](options, name, Path(path)), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
