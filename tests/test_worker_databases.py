"""The databases of workers: each has clones of its own, fresh ones where tests need them, and none stays behind."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import dj_database_url
import pytest

from testkit.core.events import TestFinished, WorkerLost, WorkerStarted
from tests.projects import Project
from tests.servers import driver

MODULE = "shop.tests.test_shop"
TWO = "--parallel=2"
SERVERS = pytest.mark.parametrize("server", ["postgres_url", "mysql_url"])
SQLITE = "django.db.backends.sqlite3"

ROWS = """
from django.db import migrations

def add(apps, schema_editor):
    items = apps.get_model("shop", "Item").objects.using(schema_editor.connection.alias)
    for name in ("red", "green"):
        items.create(name=name)

class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]
    operations = [migrations.RunPython(add)]
"""
OWN_MIGRATIONS = "MIGRATION_MODULES = {'auth': None, 'contenttypes': None}"
"""Django's own take more time than all the rest of a database."""
MEETING = """
import os, pathlib, time

def meet(name, count=2, seconds=30.0):
    folder = pathlib.Path(__file__).parent / "met" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / str(os.getpid())).touch()
    deadline = time.monotonic() + seconds
    while len(list(folder.iterdir())) < count:
        if time.monotonic() > deadline:
            raise AssertionError(f"{count} processes did not come to {name}")
        time.sleep(0.01)

def times(name):
    with open(pathlib.Path(__file__).parent / f"{name}.times", "a") as file:
        file.write("x")
        return file.tell()
"""


@pytest.fixture
def project(project: Project) -> Project:
    """A project with a data migration, whose tests can meet tests in other processes."""
    project.write({"meeting.py": MEETING, "shop/migrations/0002_rows.py": ROWS})
    project.settings(OWN_MIGRATIONS)
    return project


@pytest.fixture
def on_server(project: Project, request: pytest.FixtureRequest) -> Callable[[str], Server]:
    """Give a function that puts the project on the server of a fixture; what it makes there is dropped at the end."""

    def use(fixture: str) -> Server:
        server = Server(request.getfixturevalue(fixture))
        server.drop_all()  # what other tests keep there by --keepdb
        request.addfinalizer(server.drop_all)
        project.settings(f"DATABASES = {{'default': {server.settings!r}}}")
        return server

    return use


class Server:
    """A database server, and the test databases that a project makes of the database at ``url``."""

    def __init__(self, url: str) -> None:
        self.settings = dj_database_url.parse(url)
        # Where mysqldump, by which Django clones, finds it.
        self.settings["HOST"] = self.settings.get("OPTIONS", {}).pop("unix_socket", self.settings["HOST"])
        self.base = f"test_{self.settings['NAME']}"
        self._driver = driver(url)
        self.is_postgres = self._driver.__name__ == "psycopg"

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        names = {"USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
        options = {names[key]: value for key, value in self.settings.items() if key in names and value}
        if self.is_postgres:
            options |= {"dbname": "postgres", "autocommit": True}
        else:
            options |= {"database": "mysql"}
            if options.get("host", "").startswith("/"):
                options["unix_socket"] = options.pop("host")
        with closing(self._driver.connect(**options, **self.settings.get("OPTIONS", {}))) as connection:
            cursor = connection.cursor()
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []

    def all(self) -> set[str]:
        return {
            name for (name,) in self.query("SELECT datname FROM pg_database" if self.is_postgres else "SHOW DATABASES")
        }

    def made(self) -> set[str]:
        """Return the names of the test databases that are there."""
        return {name for name in self.all() if name.startswith(self.base)}

    def create(self, name: str) -> None:
        self.query(f"CREATE DATABASE {name}")

    def drop_all(self) -> None:
        for name in self.made():
            self.query(f"DROP DATABASE {name}{' WITH (FORCE)' if self.is_postgres else ''}")


def of_type(project: Project, *types: type) -> list:
    return [fact for fact in project.facts() if isinstance(fact, types)]


def bad(project: Project) -> dict[str, str]:
    return {
        fact.id: fact.problems[0].message if fact.problems else ""
        for fact in of_type(project, TestFinished)
        if fact.outcome.is_bad
    }


def know(project: Project, seconds: dict[str, float]) -> None:
    """Write the durations of tests of ``MODULE``, as a run before had left them."""
    tests = {f"{MODULE}.{name}": value for name, value in seconds.items()}
    lines = [json.dumps({"version": 1}, separators=(",", ":")), json.dumps({"tests": tests}), "{}]"]
    project.write({".testkit/durations.json": "[" + ",\n".join(lines) + "\n"})


# The rows of migrations


def write_mixed_kinds(project: Project, count: int) -> None:
    """Write ``count`` TestCases that look at the rows of a migration, and as many TransactionTestCases."""
    classes = "".join(
        f"class Rows{number}(Looks, TestCase): pass\nclass Flush{number}(Flushes, TransactionTestCase): pass\n"
        f"class Plain{number}(SimpleTestCase):\n    def test_1(self): pass\n"
        for number in range(count)
    )
    project.tests(
        "from django.test import SimpleTestCase, TestCase, TransactionTestCase\n"
        "from shop.models import Item\nfrom meeting import times\n"
        "class Looks:\n"
        "    def test_1(self): self.assertEqual(sorted(map(str, Item.objects.all())), ['green', 'red'])\n"
        "    def test_2(self):\n"
        "        self.assertEqual(Item.objects.count(), 2)\n"
        "        Item.objects.create(name='blue')\n"
        "class Flushes:\n"
        "    def test_1(self):\n"
        "        Item.objects.create(name='mine')\n"
        "        self.assertIn('mine', map(str, Item.objects.all()))\n"
        f"{classes}"
        "class RowsFlaky(Looks, TestCase):\n"
        "    def test_2(self):\n"
        "        self.assertEqual(Item.objects.count(), 2)\n"
        "        self.assertGreater(times('flaky'), 1, 'once')\n"
    )


@pytest.mark.parametrize("seed", range(3))
def test_rows_of_migrations_are_there(seed, project):
    """However the scheduler mixes them, no TestCase nor a second attempt at it meets a database without its rows."""
    write_mixed_kinds(project, 4)
    drawn = random.Random(seed)
    names = [
        f"{kind}{number}.test_{test}" for kind in ("Rows", "Flush", "Plain") for number in range(4) for test in (1, 2)
    ]
    know(
        project,
        {name: drawn.choice([0.001, 0.01, 0.5, 5.0]) for name in [*names, "RowsFlaky.test_1", "RowsFlaky.test_2"]},
    )
    (project.folder / "flaky.times").unlink(missing_ok=True)
    flags = ["--parallel=3"] if seed % 2 else [TWO, f"--shuffle={seed}"]
    result = project.run(*flags, "--retries=1")
    assert result.returncode == 0, result.stderr
    assert "Ran 18 tests" in result.stderr
    assert "OK (flaky=1)" in result.stderr


def test_a_second_attempt_gets_a_fresh_database(project):
    """When all workers have run TransactionTestCases, one begins anew for a TestCase that is tried again."""
    project.tests("""
    from django.test import TestCase, TransactionTestCase
    from shop.models import Item
    from meeting import meet, times
    class Rows(TestCase):
        def test_1(self):
            self.assertEqual(Item.objects.count(), 2)
            if times("rows") == 1:
                meet("other has begun")
                self.fail("once")
    class FlushA(TransactionTestCase):
        def test_1(self):
            meet("other has begun")
            self.assertGreaterEqual(Item.objects.count(), 0)
    class FlushB(TransactionTestCase):
        def test_1(self): Item.objects.create(name="left by B")
    """)
    know(project, {"Rows.test_1": 1.0, "FlushA.test_1": 5.0, "FlushB.test_1": 0.1})
    result = project.run(TWO, "--retries=1", "--retry-delay=0.5")
    assert result.returncode == 0, result.stderr
    assert "OK (flaky=1)" in result.stderr
    assert len(of_type(project, WorkerStarted)) == 3
    assert not of_type(project, WorkerLost)


@pytest.mark.parametrize("way", [(), (TWO,)], ids=["serial", "parallel"])
def test_rows_of_migrations_are_there_in_each_round(way, project):
    """--repeat runs no TestCase after the TransactionTestCases of the round before, in the same database."""
    write_mixed_kinds(project, 1)
    (project.folder / "flaky.times").write_text("x")
    result = project.run("--repeat=3", *way)
    assert result.returncode == 0, result.stderr
    assert "Ran 18 tests" in result.stderr


# Kinds of databases


EVERYTHING = """
import threading
from django.db import connection, connections
from django.test import TestCase, TransactionTestCase
from shop.models import Item
from meeting import meet

class Uses(TestCase):
    databases = {"default", "files", "replica"}
    def test_1(self):
        for alias in ("default", "files"):
            self.assertEqual(Item.objects.using(alias).count(), 2)
            Item.objects.using(alias).create(name=type(self).__name__)
        meet("all are at it", 2)
        for alias in ("default", "files"):
            names = sorted(map(str, Item.objects.using(alias).all()))
            self.assertEqual(names, sorted(["green", "red", type(self).__name__]))
class UsesToo(Uses): pass

class Flushes(TransactionTestCase):
    databases = {"default", "files", "replica"}
    def test_1(self):
        Item.objects.create(name=type(self).__name__)
        Item.objects.using("files").create(name=type(self).__name__)
        for alias in ("replica", "files"):
            names = list(map(str, Item.objects.using(alias).exclude(name__in=["red", "green"])))
            self.assertEqual(names, [type(self).__name__])
        meet("all have written", 2)
        # Another thread has a connection of its own.
        found = []
        def look():
            found.extend(map(str, Item.objects.exclude(name__in=["red", "green"])))
            connections.close_all()
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        self.assertEqual(found, [type(self).__name__])
class FlushesToo(Flushes): pass

class Restores(TransactionTestCase):
    serialized_rollback = True  # of the first alias alone: Django restores no other one
    def test_1(self):
        for alias in self.databases:
            self.assertEqual(sorted(map(str, Item.objects.using(alias).all())), ["green", "red"])
            Item.objects.using(alias).all().delete()
    def test_2(self): self.test_1()
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_every_start_method_has_every_database(method, project):
    """SQLite in memory and in files, two aliases, a mirror and serialized_rollback, in workers however started."""
    project.settings(f"""
    DATABASES = {{
        "default": {{"ENGINE": "{SQLITE}", "NAME": "real.sqlite3"}},
        "files": {{"ENGINE": "{SQLITE}", "NAME": "files.sqlite3", "TEST": {{"NAME": "test-files.sqlite3"}}}},
        "replica": {{"ENGINE": "{SQLITE}", "NAME": "real.sqlite3", "TEST": {{"MIRROR": "default"}}}},
    }}
    """)
    # What Django would call the file of a clone of "default", were it not in memory.
    project.write({"default_1.sqlite3": "mine", "default_1.sqlite3-journal": "mine"})
    project.tests(EVERYTHING)
    result = project.run(TWO, f"--start-method={method}")
    assert result.returncode == 0, result.stderr
    assert "Ran 6 tests" in result.stderr
    files = {path.name for path in project.folder.iterdir() if "sqlite" in path.name}
    assert files == {"default_1.sqlite3", "default_1.sqlite3-journal"}
    assert not list((project.folder / ".testkit").glob("databases/*"))


RECORDED = """
import os, pathlib
from django.db import connection
from django.test import TestCase, TransactionTestCase
from shop.models import Item
from meeting import meet

class A(TestCase):
    def test_1(self):
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s" % ("current_database()" if connection.vendor == "postgresql" else "database()"))
            (name,) = cursor.fetchone()
        self.assertEqual(name, connection.settings_dict["NAME"])
        print("database", name, os.environ["TESTKIT_WORKER"])
        self.assertEqual(Item.objects.count(), 2)
        Item.objects.create(name=type(self).__name__)
        meet("all", 2)
        self.assertEqual(Item.objects.count(), 3)
class B(A): pass
class C(TransactionTestCase):
    def test_1(self):
        Item.objects.create(name="flushed")
        self.assertEqual(Item.objects.using("replica").filter(name="flushed").count(), 1)
    databases = {"default", "replica"}
class D(C): pass
"""


@SERVERS
def test_clones_on_a_server(server, project, on_server):
    """Each worker has a clone with the rows of migrations, a mirror leads to the same, and all are dropped in the end."""
    place = on_server(server)
    project.settings("DATABASES['replica'] = {**DATABASES['default'], 'TEST': {'MIRROR': 'default'}}")
    project.tests(RECORDED)
    result = project.run(TWO)
    assert result.returncode == 0, result.stderr
    told = {tuple(fact.stdout.split()[1:]) for fact in of_type(project, TestFinished) if fact.stdout}
    assert told == {(f"{place.base}_{worker}", worker) for worker in "12"}
    assert place.made() == set()
    assert not list((project.folder / ".testkit").glob("databases/*"))


def test_a_socket_may_be_given_in_options(project, on_server):
    """Clones need no mysqldump, to which Django cannot say where such a socket is."""
    place = on_server("mysql_url")
    if not place.settings["HOST"].startswith("/"):
        pytest.skip("the server is not reached by a socket")
    project.settings("DATABASES['default']['OPTIONS'] = {'unix_socket': DATABASES['default']['HOST']}")
    project.settings("DATABASES['default']['HOST'] = ''")
    project.tests(RECORDED)
    result = project.run(TWO, f"{MODULE}.A", f"{MODULE}.B")
    assert result.returncode == 0, result.stderr
    assert place.made() == set()


LINGERING = """
import os, signal, subprocess, sys, textwrap, time, pathlib
from django.db import connection
from django.test import TestCase, TransactionTestCase
from shop.models import Item

CODE = '''
import django, os, pathlib, sys, time
django.setup()
from django.db import connection, transaction
connection.settings_dict["NAME"] = sys.argv[1]
with transaction.atomic(), connection.cursor() as cursor:
    cursor.execute("UPDATE shop_item SET name = 'held'")
    pathlib.Path("held").touch()
    time.sleep(60)
'''

class Kills(TransactionTestCase):
    def test_1(self):
        Item.objects.create(name="left by the dead")
        # Not in the worker's process group: what it has open stays open when the worker is gone.
        name = connection.settings_dict["NAME"]
        child = subprocess.Popen(
            [sys.executable, "-c", CODE, name], start_new_session=True, stdin=-3, stdout=-3, stderr=-3
        )
        pathlib.Path("child").write_text(str(child.pid))
        while not pathlib.Path("held").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
    def test_2(self):
        self.assertEqual(sorted(map(str, Item.objects.all())), ["green", "red"])
class Other(TestCase):
    def test_1(self): pass
"""


@SERVERS
def test_the_clone_of_a_killed_worker_is_made_anew(server, project, on_server):
    """A worker that takes a killed one's place has a fresh database, though something still holds the old one."""
    place = on_server(server)
    project.tests(LINGERING)
    try:
        result = project.run(TWO, timeout=40, DJANGO_SETTINGS_MODULE="settings")
    finally:
        stop(project.folder / "child")
    assert result.returncode == 1
    assert [fact.running for fact in of_type(project, WorkerLost)] == [f"{MODULE}.Kills.test_1"]
    assert bad(project).keys() == {f"{MODULE}.Kills.test_1"}, bad(project)
    assert place.made() == set()


def stop(file: Path) -> None:
    with suppress(ProcessLookupError, FileNotFoundError):
        os.kill(int(file.read_text()), signal.SIGKILL)


# What killed runs leave


WAITS = """
import pathlib, time
from django.test import TestCase
from shop.models import Item
from meeting import meet
class A(TestCase):
    def test_1(self):
        self.assertEqual(Item.objects.count(), 2)
        if not pathlib.Path("go").exists():
            meet("waiting", 2)
            time.sleep(60)
class B(A): pass
"""


def kill_a_run(project: Project, *flags: str) -> str:
    """Start a run with two workers, kill it while both are at a test, and return what was told in the end."""
    project.tests(WAITS)
    process = project.start(TWO, *flags)
    deadline = time.monotonic() + 30
    while len(list(project.folder.glob("met/waiting/*"))) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    _, stderr = process.communicate(timeout=30)  # until the last process that writes there has ended
    (project.folder / "go").touch()
    return stderr


def use_files(project: Project) -> None:
    project.settings(f"""
    DATABASES = {{"default": {{"ENGINE": "{SQLITE}", "NAME": "real.sqlite3", "TEST": {{"NAME": "test.sqlite3"}}}}}}
    """)
    project.write({"real.sqlite3": "the real one"})


def files(project: Project) -> set[str]:
    return {path.name for path in project.folder.glob("*sqlite3*")}


@pytest.mark.parametrize("server", ["files", "postgres_url", "mysql_url"])
def test_the_next_run_removes_what_a_killed_one_has_left(server, project, on_server):
    """Nobody is asked (stdin is closed), the databases removed are named, and the next run has all of its own."""
    if server == "files":
        use_files(project)
        made, base = lambda: files(project) - {"real.sqlite3"}, "test.sqlite3"
        left = {"test.sqlite3", "test_1.sqlite3", "test_2.sqlite3"}
    else:
        place = on_server(server)
        made, base = place.made, place.base
        left = {base, f"{base}_1", f"{base}_2"}
    kill_a_run(project)
    assert made() >= left
    result = project.run(TWO)
    assert result.returncode == 0, result.stdout + result.stderr
    told = re.search(r"removed the databases of a run that was killed: (.*)", result.stderr)
    assert told, result.stderr
    assert {Path(name).name for name in told[1].split(", ")} == left
    assert made() == set()
    assert "removed the databases" not in project.run(TWO).stderr
    if server == "files":
        assert (project.folder / "real.sqlite3").read_text() == "the real one"


@pytest.mark.parametrize("killed", [["--keepdb"], []], ids=["kept", "not kept"])
def test_keepdb_leaves_templates_alone(killed, project, on_server):
    """Whether the killed run had --keepdb or not, what its tests have used is removed, and so is what the next ones use."""
    place = on_server("postgres_url")
    kill_a_run(project, *killed)
    assert {name for name in place.made() if "_tk" not in name} == {place.base, f"{place.base}_1", f"{place.base}_2"}
    result = project.run(TWO, "--keepdb")
    assert result.returncode == 0, result.stderr
    assert "removed the databases of a run that was killed: " in result.stderr
    assert project.run(TWO, "--keepdb").returncode == 0
    assert place.made()
    assert all(f"{place.base}_tk" in name for name in place.made())


@pytest.mark.parametrize("server", ["files", "postgres_url"])
def test_what_was_there_before_is_not_removed_unasked(server, project, on_server):
    """A database that the run did not make stays when nobody says yes, in that run and in the next one."""
    project.tests(WAITS)
    (project.folder / "go").touch()
    if server == "files":
        use_files(project)
        project.write({"test.sqlite3": "somebody's"})
        is_there = lambda: (project.folder / "test.sqlite3").read_text() == "somebody's"  # noqa: E731
    else:
        place = on_server(server)
        place.create(place.base)
        is_there = lambda: place.made() == {place.base}  # noqa: E731
    for _ in range(2):
        result = project.run(TWO)
        assert result.returncode == 2
        assert "Type 'yes'" in result.stdout + result.stderr
        assert "removed the databases" not in result.stderr
        assert is_there()
    assert project.run(TWO, "--noinput").returncode == 0


def test_a_failed_set_up_is_cleared_up(project, on_server):
    """What a run made whose migrations failed is removed at once, and the next one asks nothing."""
    place = on_server("postgres_url")
    project.tests(WAITS)
    (project.folder / "go").touch()
    project.write({"shop/migrations/0002_rows.py": ROWS.replace('"red"', "schema_editor.no_such_thing")})
    assert project.run().returncode == 2
    assert place.made() == set()
    project.write({"shop/migrations/0002_rows.py": ROWS})
    result = project.run()
    assert result.returncode == 0, result.stderr
    assert place.made() == set()
