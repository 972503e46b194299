"""What noting routes costs: of a request of the test client to a view that does next to nothing, and of a whole suite.

    python benchmarks/routes.py [--rounds N] [--suite-rounds N]

All figures are CPU time: requests with and without take turns, batch by batch, and of each the fastest batch counts,
since a noisy machine can only make them slower. The suite is that of the sample project, run by turns.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from runs import ROOT, table

SETTINGS = """
SECRET_KEY = "none"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "urls"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware", "django.middleware.common.CommonMiddleware",
              "django.contrib.auth.middleware.AuthenticationMiddleware"]
"""
URLS = """
from django.http import HttpResponse
from django.urls import path
def view(request, pk): return HttpResponse("ok")
urlpatterns = [path(f"pages/{number}/<int:pk>/", view) for number in range(300)]
"""
BATCH = 20


def measure(rounds: int) -> None:
    """Print the seconds of a request, without and with, as JSON: in a process of its own, in the project's folder."""
    import django

    django.setup()
    from django.test import Client
    from django.test.utils import setup_test_environment

    from testkit.core import current
    from testkit.coverage.routes.hooks import heard

    setup_test_environment()
    client = Client()

    def batch() -> float:
        for _ in range(BATCH):  # a class whose methods have just changed is slower for a while
            client.get("/pages/150/7/")
        started = time.process_time()
        for _ in range(BATCH):
            client.get("/pages/150/7/")
        return (time.process_time() - started) / BATCH

    taken: dict[str, list[float]] = {"without": [], "with": []}
    batch()
    for _ in range(rounds):
        current.enter()
        taken["without"].append(batch())
        with heard():
            taken["with"].append(batch())
        current.leave()
    print(json.dumps({name: min(all) for name, all in taken.items()}))


def requests(rounds: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (("settings.py", SETTINGS), ("urls.py", URLS)):
            Path(folder, name).write_text(text)
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{folder}", "DJANGO_SETTINGS_MODULE": "settings"}
        process = subprocess.run(
            [sys.executable, __file__, "--measure", str(rounds)],
            cwd=folder,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
    return dict(json.loads(process.stdout))


def suite(*flags: str) -> float:
    """Return the CPU seconds of one run of the sample project's tests."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "testkit", "-v0", "--query-budgets=off", *flags],
        cwd=ROOT / "sample_project",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--suite-rounds", type=int, default=7)
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        measure(given.measure)
        return
    taken = requests(given.rounds)
    rows = [
        ["a request, µs", *(f"{taken[name] * 1e6:.0f}" for name in taken), f"{ratio(taken['without'], taken['with'])}"]
    ]
    suites: dict[str, list[float]] = {"without": [], "with": []}
    for _ in range(given.suite_rounds):
        suites["without"].append(suite())
        suites["with"].append(suite("--with-routes"))
    if given.suite_rounds:
        best = {name: min(seconds) for name, seconds in suites.items()}
        rows.append(
            ["the sample project, s", *(f"{best[name]:.2f}" for name in best), ratio(best["without"], best["with"])]
        )
    print(table(["", "without", "with", "more"], rows))


def ratio(without: float, more: float) -> str:
    return f"{100 * (more / without - 1):+.1f} %"


if __name__ == "__main__":
    main()
