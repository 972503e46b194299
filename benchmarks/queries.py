"""What recording queries costs: per query, and of a view with 30 of them, for us and for others.

    python benchmarks/queries.py [--rounds N] [--only sqlite|postgres]

django-perf-rec and django-zeal are measured where they are installed. PostgreSQL is that of TESTKIT_POSTGRES_URL, or
a private server as for the tests. Prints Markdown tables for the README.

All figures are CPU time of the Python process: batches take turns, round by round, and of each technique's batches the
fastest quarter counts, since a noisy machine can only make them slower. zeal changes Django's models when it is
loaded, so it has a process of its own, which takes turns with the other.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import importlib.util
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import cache, partial
from pathlib import Path
from typing import Any

from runs import ROOT, table

BOOKS = 29
QUERIES = BOOKS + 1
RAW_QUERIES, REQUESTS = 200, 2
"""How much a batch does: little, so that some batches are not disturbed."""
FILES = {
    "settings.py": """
import os
import dj_database_url
SECRET_KEY = "none"
ALLOWED_HOSTS = ["*"]
DATABASES = {"default": dj_database_url.parse(os.environ["BENCH_URL"])}
INSTALLED_APPS = ["django.contrib.contenttypes", "library", *os.environ["BENCH_APPS"].split()]
ROOT_URLCONF = "library.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ZEAL_NPLUSONE_THRESHOLD = 10**6  # Counting is measured, not complaining.
""",
    "library/__init__.py": "",
    "library/models.py": """
from django.db import models
class Author(models.Model):
    name = models.CharField(max_length=100)
class Book(models.Model):
    title = models.CharField(max_length=100)
    author = models.ForeignKey(Author, models.CASCADE)
""",
    "library/urls.py": """
from django.http import JsonResponse
from django.urls import path
from library.models import Book
def books(request):
    return JsonResponse({book.title: book.author.name for book in Book.objects.all()})
urlpatterns = [path("", books)]
""",
}
NONE, OURS, CAPTURE = "none", "testkit", "Django's CaptureQueriesContext"
PLAIN = [NONE, "testkit, nobody records", OURS, CAPTURE, "django-perf-rec"]
ZEAL = ["zeal, installed", "zeal, counting"]
MODULES = {"django-perf-rec": "django_perf_rec.db", "zeal, installed": "zeal", "zeal, counting": "zeal"}


def installed(technique: str) -> bool:
    """Tell whether the package that the technique needs is here."""
    return technique not in MODULES or importlib.util.find_spec(MODULES[technique].partition(".")[0]) is not None


# In the process that is measured


def recorder_of(technique: str) -> Any:
    """Return what makes the context in which the technique records."""
    from django.db import connection

    if technique == OURS:
        return importlib.import_module("testkit.queries.recorder").Recording
    if technique == CAPTURE:
        return partial(importlib.import_module("django.test.utils").CaptureQueriesContext, connection)
    if technique == "django-perf-rec":
        recorder = importlib.import_module("django_perf_rec.db").DBRecorder
        return lambda: recorder("default", [].append)
    if technique == "zeal, counting":
        return importlib.import_module("zeal").zeal_context
    return nullcontext


def do_raw() -> None:
    """Read one row by its key, over and over."""
    from django.db import connection

    for number in range(1, RAW_QUERIES + 1):
        with connection.cursor() as cursor:
            cursor.execute("SELECT id, name FROM library_author WHERE id = %s", [number % BOOKS + 1])
            cursor.fetchone()


def do_batch(what: str, recorder: Callable[[], AbstractContextManager[Any]]) -> None:
    """Make the raw queries in one context, or each request in one of its own."""
    if what == "raw":
        with recorder():
            do_raw()
        return
    for _ in range(REQUESTS):
        with recorder():
            client().get("/")


@cache
def client() -> Any:
    """Return the one test client."""
    return importlib.import_module("django.test").Client()


def serve(technique_names: list[str]) -> None:
    """Make the data, then measure a batch for each line of the input: what, a tab, and by which technique."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    models = importlib.import_module("library.models")
    call_command("migrate", run_syncdb=True, verbosity=0)
    models.Author.objects.bulk_create(models.Author(name=f"author {number}") for number in range(BOOKS))
    authors = models.Author.objects.all()
    models.Book.objects.bulk_create(models.Book(title=f"book {author.id}", author=author) for author in authors)
    recorders = {technique: recorder_of(technique) for technique in technique_names}
    gc.freeze()  # What is loaded by now is not looked through for garbage before each batch.
    print("ready", flush=True)
    for line in sys.stdin:
        what, technique = line.rstrip("\n").split("\t")
        # What earlier batches have left on the connection.
        connection.execute_wrappers.clear()
        connection.queries_log.clear()
        if technique == "testkit, nobody records":
            importlib.import_module("testkit.queries.recorder").install()
        recorder = recorders[technique]
        # The first time is not measured: another process has had the processor's caches.
        for _ in range(2):
            gc.collect()
            started = time.process_time()
            do_batch(what, recorder)
        print(time.process_time() - started, flush=True)


# In the process that compares


@contextmanager
def measured(folder: Path, url: str, apps: str, techniques: list[str]) -> Iterator[Callable[[str, str], float]]:
    """Run a process that measures; give the function that asks it for the seconds of a batch."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
        "DJANGO_SETTINGS_MODULE": "settings",
        "BENCH_URL": url,
        "BENCH_APPS": apps,
    }
    command = [sys.executable, __file__, "--serve", *techniques]
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        requests, answers = process.stdin, process.stdout

        def ask(what: str, technique: str) -> float:
            requests.write(f"{what}\t{technique}\n")
            requests.flush()
            return float(answers.readline())

        if answers.readline() != "ready\n":
            raise RuntimeError("The process that is to be measured has ended; its error is above.")
        yield ask
        requests.close()


def seconds_of_batches(folder: Path, urls: tuple[str, str], rounds: int) -> dict[tuple[str, str], float]:
    """Return the CPU seconds of a batch, by what it does and by technique: the mean of the fastest quarter."""
    plain, zeal = ([name for name in names if installed(name)] for names in (PLAIN, ZEAL))
    found: dict[tuple[str, str], list[float]] = {}
    with ExitStack() as stack:
        asks = dict.fromkeys(plain, stack.enter_context(measured(folder, urls[0], "", plain)))
        if zeal:
            asks |= dict.fromkeys(zeal, stack.enter_context(measured(folder, urls[1], "zeal", zeal)))
        turns = [(what, technique) for what in ("raw", "view") for technique in asks]
        for round_number in range(-2, rounds):
            random.shuffle(turns)  # In one order, each would always have the same one before it.
            for what, technique in turns:
                seconds = asks[technique](what, technique)
                if round_number >= 0:
                    found.setdefault((what, technique), []).append(seconds)
    quarter = max(rounds // 4, 1)
    return {key: sum(sorted(batches)[:quarter]) / quarter for key, batches in found.items()}


def compared(name: str, seconds: dict[tuple[str, str], float]) -> str:
    """Return the table of one database."""
    raw = {key[1]: value / RAW_QUERIES * 1e6 for key, value in seconds.items() if key[0] == "raw"}
    view = {key[1]: value / REQUESTS / QUERIES * 1e6 for key, value in seconds.items() if key[0] == "view"}
    rows = [[f"{NONE} (all of it)", f"{raw[NONE]:.1f} µs", f"{view[NONE]:.1f} µs", ""]]
    for technique in [*PLAIN[1:], *ZEAL]:
        if technique in view:
            # It counts what the ORM loads, so there is nothing for it to do in the raw path.
            plain = "" if technique in ZEAL else f"{raw[technique] - raw[NONE]:+.1f} µs"
            more = view[technique] - view[NONE]
            rows.append([technique, plain, f"{more:+.1f} µs", f"{more / view[NONE]:+.1%}"])
    head = [f"{name}, CPU time", "a raw query", f"a query of a view with {QUERIES}", "of the view"]
    share = (raw[OURS] - raw[NONE]) / (raw[CAPTURE] - raw[NONE])
    return f"{table(head, rows)}\n\ntestkit's cost of a raw query is {share:.2f} of that of CaptureQueriesContext."


@contextmanager
def database_urls(name: str) -> Iterator[tuple[str, str]]:
    """Give the URLs of two empty databases, one for each process."""
    if name == "sqlite":
        yield "sqlite://:memory:", "sqlite://:memory:"
        return
    sys.path.insert(0, str(ROOT))
    servers = importlib.import_module("tests.servers")
    with ExitStack() as stack:
        server = os.environ.get("TESTKIT_POSTGRES_URL") or stack.enter_context(servers.postgres_server())
        first, second = (
            stack.enter_context(servers.own_database(server, f"testkit_bench_{os.getpid()}_{number}"))
            for number in range(2)
        )
        yield first, second


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--only", choices=["sqlite", "postgres"], help="measure on just this database")
    parser.add_argument("--serve", nargs="+", metavar="TECHNIQUE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    for name, title in (("sqlite", "SQLite in memory"), ("postgres", "PostgreSQL")):
        if options.only in (None, name):
            with tempfile.TemporaryDirectory() as path, database_urls(name) as urls:
                for file, text in FILES.items():
                    (Path(path) / file).parent.mkdir(exist_ok=True)
                    (Path(path) / file).write_text(text)
                print(compared(title, seconds_of_batches(Path(path), urls, options.rounds)), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
