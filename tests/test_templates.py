"""Test databases from templates: never stale, never poisoned, and nothing left behind, on every kind of database."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from tests.projects import Project, clean_environment
from tests.test_worker_databases import OWN_MIGRATIONS, Server

ROUNDS = int(os.environ.get("TESTKIT_FAULT_RUNS", "1"))
"""How often what depends on moments is tried; more than once is for a thorough look."""
KINDS = ["memory", "file", "postgres_url", "mysql_url"]
WITHOUT_FILE = pytest.mark.parametrize("case", ["memory", "postgres_url", "mysql_url"], indirect=True)
"""Where templates are concerned, and not what is made of them: SQLite's are the same ones."""
SQLITE = "django.db.backends.sqlite3"
TEMPLATE = "from its template"
ROWS = """
import os, pathlib
from django.db import migrations

def add(apps, schema_editor):
    items = apps.get_model("shop", "Item").objects.using(schema_editor.connection.alias)
    for name in pathlib.Path("names.txt").read_text().split():
        items.create(name=name + os.environ.get("ENDING", ""))
    with open(os.environ["COUNTED"], "a") as file:
        file.write("x")

class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]
    operations = [migrations.RunPython(add, migrations.RunPython.noop)]
"""
FIELD = """
from django.db import migrations, models

class Migration(migrations.Migration):
    dependencies = [("shop", "0002_rows")]
    operations = [migrations.AddField("Item", "price", models.IntegerField(null=True))]
"""
TESTS = """
import os
from django.db import connection
from django.test import SimpleTestCase, TestCase, TransactionTestCase
from shop.models import Item

class Reads(TestCase):
    def test_rows(self):
        names = sorted(map(str, Item.objects.all()))
        self.assertEqual(names, sorted(os.environ.get("EXPECTED", "green red").split()))
        Item.objects.create(name="blue")

    def test_columns(self):
        with connection.cursor() as cursor:
            columns = {column.name for column in connection.introspection.get_table_description(cursor, "shop_item")}
        self.assertEqual("price" in columns, os.environ.get("PRICE") == "1")

class Writes(TransactionTestCase):
    def test_left(self):
        Item.objects.create(name="left")
        with connection.schema_editor() as editor:
            editor.execute("CREATE TABLE left_behind (id integer)")

class Plain(SimpleTestCase):
    def test_nothing(self):
        pass
"""


class Case:
    """The project on one kind of database."""

    def __init__(self, project: Project, kind: str, server: Server | None) -> None:
        self.project, self.kind, self.server = project, kind, server
        self.counted = project.folder / "counted"
        self.counted.touch()

    def run(self, *arguments: str, **environment: str) -> Any:
        return self.project.run("--keepdb", *arguments, COUNTED=str(self.counted), **environment)

    def passes(self, *arguments: str, **environment: str) -> bool:
        """Run, which must pass, and return whether the database came from a template."""
        before = self.builds
        result = self.run(*arguments, **environment)
        assert result.returncode == 0, result.stdout + result.stderr
        came = TEMPLATE in result.stdout + result.stderr
        assert came == (self.builds == before), result.stdout + result.stderr
        return came

    def built(self, *arguments: str, **environment: str) -> str:
        """Run, which must build the database and pass, and return why it was built."""
        before = self.builds
        result = self.run("-v2", *arguments, **environment)
        assert result.returncode == 0, result.stdout + result.stderr
        assert self.builds == before + 1
        _, _, cause = result.stderr.partition("was built: ")
        return cause.partition("\n")[0]

    @property
    def builds(self) -> int:
        return len(self.counted.read_text())

    @property
    def left(self) -> set[str]:
        """What is there on the server or beside the project, templates and clean clones apart."""
        if self.server is None:
            return {path.name for path in self.project.folder.glob("test*.sqlite3")}
        clean: list[tuple[str]] = []
        if (
            f"{self.server.base}_tk_registry" in self.server.made()
        ):  # MySQL cannot rename: a clean clone has a run's name
            clean = self.server.query(f"SELECT name FROM {self.server.base}_tk_registry.made_1 WHERE state = 'clean'")
        return {name for name in self.server.made() if "_tk" not in name} - {name for (name,) in clean}


@pytest.fixture(params=KINDS)
def case(project: Project, request: pytest.FixtureRequest) -> Iterator[Case]:
    kind = request.param
    project.write({"shop/migrations/0002_rows.py": ROWS, "names.txt": "red green"})
    project.settings(OWN_MIGRATIONS)
    project.tests(TESTS)
    server = None
    if kind.endswith("_url"):
        server = Server(request.getfixturevalue(kind))
        server.drop_all()
        project.settings(f"DATABASES = {{'default': {server.settings!r}}}")
    elif kind == "file":
        project.settings("DATABASES['default']['TEST'] = {'NAME': 'test.sqlite3'}")
    yield Case(project, kind, server)
    if server is not None:
        server.drop_all()


READS = "shop.tests.test_shop.Reads"


def test_the_second_run_has_a_copy(case):
    """No migration runs, and what the tests of the first run have committed or created is not there."""
    assert not case.passes()
    assert case.passes()
    assert case.passes("--parallel=2")


@WITHOUT_FILE
def test_a_test_without_database_makes_none(case):
    result = case.run("shop.tests.test_shop.Plain")
    assert result.returncode == 0, result.stderr
    assert case.builds == 0
    assert not case.left


def test_a_copy_is_what_migrations_would_make(case):
    """Whatever is added, edited or removed leads to a new database, and at -v 2 why is told; what is back, to a copy.

    That goes for migrations, and for files and variables that they read.
    """
    case.project.settings('TESTKIT = {"TEMPLATES_KEPT": 9}')
    field = case.project.folder / "shop/migrations/0003_price.py"
    rows = case.project.folder / "shop/migrations/0002_rows.py"
    assert case.built(READS) == "there is no template yet"
    case.project.write({str(field): FIELD})
    assert case.built(READS, PRICE="1") == "shop/0003_price is new"
    field.unlink()
    assert case.passes(READS)
    rows.write_text(rows.read_text().replace(".split()", ".split()[:1]"))
    assert case.built(READS, EXPECTED="red") == "shop/0002_rows has changed"
    case.project.write({str(field): FIELD})
    assert case.built("--parallel=2", READS, PRICE="1", EXPECTED="red")
    case.project.write({str(rows): ROWS})
    assert case.passes("--parallel=2", READS, PRICE="1")
    field.unlink()
    case.project.write({"names.txt": "red green white"})
    assert "names.txt has changed" in case.built(READS, EXPECTED="red green white")
    case.project.write({"names.txt": "red green"})
    assert "ENDING is new" in case.built(READS, ENDING="!", EXPECTED="red! green!")
    assert case.passes(READS)


@WITHOUT_FILE
def test_only_so_many_templates_are_kept(case):
    """Those that were used longest ago go."""
    case.project.settings('TESTKIT = {"TEMPLATES_KEPT": 2}')
    for ending in "abc":
        assert not case.passes(READS, ENDING=ending, EXPECTED=f"red{ending} green{ending}")
    assert case.passes(READS, ENDING="b", EXPECTED="redb greenb")
    assert not case.passes(READS, ENDING="a", EXPECTED="reda greena")


@WITHOUT_FILE
def test_without_templates_each_run_migrates(case):
    """--no-templates: also where the database is SQLite's."""
    for number in (1, 2):
        result = case.project.run("--no-templates", READS, COUNTED=str(case.counted))
        assert result.returncode == 0, result.stderr
        assert case.builds == number
    assert not list((case.project.folder / ".testkit").glob("templates/*/*"))
    assert not case.left


def test_keepdb_without_templates_is_djangos(case):
    """The database stays, and the next run has it, with what migrations have made once."""
    if case.kind == "memory":
        pytest.skip("there is nothing that could stay")
    for _ in range(2):
        result = case.run("--no-templates", READS)
        assert result.returncode == 0, result.stderr
        assert case.builds == 1
        assert len(case.left) == 1
    assert case.run("--no-templates", READS, "--parallel=2").returncode == 0
    assert len(case.left) == 1


def test_two_runs_at_once_do_not_meet(case):
    """Both pass, with and without a template, and leave nothing but that."""
    case.project.tests(TESTS.replace("import os\n", "import os, time\n", 1).replace(
        'Item.objects.create(name="left")', 'Item.objects.create(name="left"); time.sleep(0.5)'
    ))  # fmt: skip
    for _ in range(2 * ROUNDS):
        with ThreadPoolExecutor() as pool:
            done = list(pool.map(lambda flags: case.run(*flags), [["--xunit-file=a.xml"], ["--parallel=2"]]))
        assert [result.returncode for result in done] == [0, 0], "\n".join(result.stderr for result in done)
    if case.kind != "file":  # whose database --keepdb leaves, as Django does
        assert not case.left


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_a_killed_run_spoils_nothing(seed, case):
    """Whenever a run is killed, the next one is right, and nothing but the template is left."""
    drawn = random.Random(f"{case.kind}{seed}")
    for _ in range(4):
        flags = drawn.choice([[], ["--parallel=2"]])
        process = case.project.start("--keepdb", *flags, COUNTED=str(case.counted))
        time.sleep(drawn.uniform(0.2, 1.6))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if drawn.random() < 0.3:
            case.project.write({"names.txt": drawn.choice(["red green", "green red"])})
    result = case.run()
    assert result.returncode == 0, result.stdout + result.stderr
    assert case.run("--parallel=2").returncode == 0
    if case.kind != "file":
        assert not case.left
    if case.server:
        assert not [name for name in case.server.made() if "_b" in name.rpartition("_tk")[2]]


@pytest.mark.parametrize("case", ["postgres_url", "mysql_url"], indirect=True)
def test_an_interrupted_run_leaves_nothing_on_a_server(case):
    """Without --keepdb, whether it comes while the database is built, or while tests run."""
    for seconds, how in ((0.6, signal.SIGINT), (0.9, signal.SIGTERM), (1.2, signal.SIGINT), (1.8, signal.SIGTERM)):
        process = case.project.start(COUNTED=str(case.counted))
        time.sleep(seconds)
        process.send_signal(how)
        process.communicate(timeout=60)
        assert not case.server.made()


def test_a_damaged_template_is_built_anew(project):
    """Its file is cut: the run says so, and makes another."""
    project.write({"shop/migrations/0002_rows.py": ROWS, "names.txt": "red green"})
    project.tests(TESTS)
    case = Case(project, "memory", None)
    assert not case.passes(READS)
    [file] = project.folder.glob(".testkit/templates/*/*.sqlite3")
    file.write_bytes(file.read_bytes()[:5000])
    assert not case.passes(READS)
    assert case.passes(READS)


@WITHOUT_FILE
def test_the_cache_may_be_deleted(case):
    """At any time: what is on a server is known from there."""
    assert not case.passes(READS)
    for path in sorted((case.project.folder / ".testkit").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert case.passes(READS) == bool(case.server)


def test_a_database_of_somebody_else_is_left_alone(case):
    """With --keepdb the run takes another name, and says so."""
    if case.server is None:
        pytest.skip("for files, Django's question is asked")
    case.server.create(case.server.base)
    result = case.run("-v2", READS)
    assert result.returncode == 0, result.stderr
    assert f"{case.server.base}_r1" in result.stderr
    assert case.left == {case.server.base}


def test_a_file_of_somebody_else_is_asked_for(project):
    """--noinput lets it be replaced, as Django does; else it is asked for, and without an answer left as it is."""
    project.write({"shop/migrations/0002_rows.py": ROWS, "names.txt": "red green"})
    project.settings("DATABASES['default']['TEST'] = {'NAME': 'test.sqlite3'}")
    project.tests(TESTS)
    case = Case(project, "file", None)
    assert not case.passes(READS)
    file = project.folder / "test.sqlite3"
    with suppress(FileNotFoundError):
        file.unlink()
    file.write_text("mine")
    assert project.run(READS, COUNTED=str(case.counted)).returncode != 0
    assert file.read_text() == "mine"
    result = project.run(READS, "--noinput", COUNTED=str(case.counted))
    assert result.returncode == 0, result.stderr
    assert not file.exists()


def test_caches_are_as_migrate_leaves_them(project):
    """No content type is cached before the first test, so tests count the same queries."""
    project.tests("""
    from django.contrib.contenttypes.models import ContentType
    from django.test import TestCase
    from shop.models import Item
    class Cached(TestCase):
        def test_it(self):
            with self.assertNumQueries(1):
                ContentType.objects.get_for_model(Item)
    """)
    for front in ("stock", "testkit", "testkit"):
        result = project.run("shop", front=front)
        assert result.returncode == 0, result.stderr


def test_coverage_has_the_lines_of_migrations(project):
    """Each run with coverage migrates; by --keepdb a later one counts what is run when migrations are imported."""
    project.write({"shop/migrations/0002_rows.py": ROWS, "names.txt": "red green"})
    project.tests(TESTS)
    case = Case(project, "memory", None)
    flags = ["--with-cov", "--cover-json", READS]
    lines = []
    for number, keepdb in enumerate(([], [], ["--keepdb"], ["--keepdb"]), start=1):
        result = project.run(*flags, *keepdb, COUNTED=str(case.counted))
        assert result.returncode == 0, result.stderr
        assert case.builds == min(number, 3)
        files = json.loads((project.folder / "reports/coverage.json").read_text())["files"]
        lines.append(files["shop/migrations/0002_rows.py"]["executed_lines"])
    assert lines[0] == lines[1] == lines[2]
    assert set(lines[3]) < set(lines[0])
    assert len(lines[3]) >= 5


def test_any_host_can_have_them(project):
    """Django's own functions, as other test runners call them, make databases from templates."""
    project.write({"shop/migrations/0002_rows.py": ROWS, "names.txt": "red green"})
    project.write(
        {
            "host.py": """
            import django
            django.setup()
            from django.conf import settings
            from django.test.utils import setup_databases, teardown_databases
            from shop.models import Item
            from testkit.session import resolve_options
            from testkit.session.databases import Databases

            databases = Databases(resolve_options({}, settings), keepdb=False, is_covered=False, verbosity=2, tell=print)
            with databases.making(None) as report:
                old = setup_databases(verbosity=0, interactive=False)
            databases.made(old)
            print(sorted(map(str, Item.objects.all())), report["text"])
            with databases.dropping():
                teardown_databases(old, verbosity=0)
            """
        }
    )
    counted = project.folder / "counted"
    for how in ("built", TEMPLATE):
        done = subprocess.run(
            [sys.executable, "-W", "error", "host.py"],
            cwd=project.folder,
            env=clean_environment(DJANGO_SETTINGS_MODULE="settings", COUNTED=str(counted)),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert f"['green', 'red'] Databases: default (SQLite, in memory, {how})" in done.stdout
    assert counted.read_text() == "x"


def test_what_django_says_of_a_database_holds(project, postgres_url):
    """TEST's TEMPLATE, DEPENDENCIES and MIGRATE, a mirror, and an alias that no test uses."""
    server = Server(postgres_url)
    server.drop_all()
    server.query("CREATE DATABASE mould")
    project.settings(f"""
    _server = {server.settings!r}
    DATABASES = {{
        "default": {{**_server, "TEST": {{"DEPENDENCIES": ["second"], "TEMPLATE": "mould"}}}},
        "second": {{**_server, "NAME": _server["NAME"] + "_second", "TEST": {{"MIGRATE": False, "DEPENDENCIES": []}}}},
        "replica": {{**_server, "TEST": {{"MIRROR": "default"}}}},
        "unused": {{**_server, "NAME": _server["NAME"] + "_unused"}},
    }}
    """)
    project.tests("""
    from django.db import connections
    from django.test import TestCase, TransactionTestCase
    from shop.models import Item
    class A(TestCase):
        databases = {"default", "second", "replica"}
        def test_tables(self):
            tables = {alias: set(connections[alias].introspection.table_names()) for alias in ("default", "second")}
            self.assertIn("django_migrations", tables["default"])
            self.assertIn("shop_item", tables["second"])
            self.assertEqual(Item.objects.using("second").count(), 0)
    class B(TransactionTestCase):
        databases = {"default", "replica"}
        def test_mirror(self):
            Item.objects.create(name="seen")
            self.assertEqual(Item.objects.using("replica").get().name, "seen")
    """)
    try:
        for flags in ([], [], ["--parallel=2"], ["--parallel=2", "--start-method=spawn"]):
            result = project.run("--keepdb", *flags)
            assert result.returncode == 0, result.stderr
            assert result.stderr.count(TEMPLATE) == (2 if flags or "built" not in result.stderr else 0), result.stderr
        assert not [name for name in server.made() if "unused" in name]
        assert not [name for name in server.made() if "_tk" not in name]
    finally:
        server.drop_all()
        server.query("DROP DATABASE mould")


TRIGRAMS = """
from django.contrib.postgres.operations import TrigramExtension
from django.db import migrations

class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]
    operations = [
        TrigramExtension(),
        migrations.RunSQL("CREATE INDEX alike ON shop_item USING gin (name gin_trgm_ops)"),
    ]
"""
LOOKS_ALIKE = """
from django.test import TestCase, TransactionTestCase
from shop.models import Item
class Alike:
    def test_it(self):
        Item.objects.create(name="green")
        self.assertEqual(Item.objects.get(name__trigram_similar="greem").name, "green")
class Rolled(Alike, TestCase): pass
class Flushed(Alike, TransactionTestCase): pass
"""
PLACES = """
from django.contrib.gis.db.models import PointField
from django.contrib.postgres.operations import CreateExtension
from django.db import migrations

class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]
    operations = [
        CreateExtension("postgis"),
        migrations.AddField("Item", "place", PointField(null=True)),
    ]
"""
LOOKS_NEAR = """
from django.contrib.gis.geos import Point
from django.db import connection
from django.test import TestCase, TransactionTestCase
from shop.models import Item
class Near:
    def test_it(self):
        Item.objects.create(name="here", place=Point(13.4, 52.5, srid=4326))
        self.assertEqual(Item.objects.get(place__dwithin=(Point(13.4, 52.6, srid=4326), 0.2)).name, "here")
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM spatial_ref_sys WHERE srid = 4326")
            self.assertEqual(cursor.fetchone(), (1,), "the extension's own rows are kept")
class Rolled(Near, TestCase): pass
class Flushed(Near, TransactionTestCase): pass
class FlushedAgain(Near, TransactionTestCase): pass
"""


@pytest.mark.parametrize("extension", ["pg_trgm", "postgis"])
def test_extensions_are_copied(extension, project, postgres_url):
    """A template has the extensions that migrations made, with their own rows, also after a flush."""
    server = Server(postgres_url)
    server.drop_all()
    if not server.query(f"SELECT 1 FROM pg_available_extensions WHERE name = '{extension}'"):
        pytest.skip(f"this server has no {extension}: on Debian, postgresql-NN-postgis-3 has PostGIS")
    if extension == "postgis":
        engine, app = "django.contrib.gis.db.backends.postgis", "django.contrib.gis"
        project.write({"shop/migrations/0002_places.py": PLACES})
        project.write(
            {
                "shop/models.py": """
                from django.contrib.gis.db import models
                class Item(models.Model):
                    name = models.CharField(max_length=20)
                    place = models.PointField(null=True)
                """
            }
        )
        project.tests(LOOKS_NEAR)
    else:
        engine, app = server.settings["ENGINE"], "django.contrib.postgres"
        project.write({"shop/migrations/0002_trigrams.py": TRIGRAMS})
        project.tests(LOOKS_ALIKE)
    project.settings(
        f"DATABASES = {{'default': {server.settings | {'ENGINE': engine}!r}}}\nINSTALLED_APPS += [{app!r}]"
    )
    try:
        for made, flags in (("built", []), (TEMPLATE, []), (TEMPLATE, ["--parallel=2"])):
            result = project.run("--keepdb", *flags)
            assert result.returncode == 0, result.stderr
            assert made in result.stderr
    finally:
        server.drop_all()


def test_djangos_suite_skips_what_a_backend_cannot_do(project):
    """What the backend says of Django's own tests holds for a copy as well."""
    project.settings("""
    from django.db.backends.sqlite3 import base
    base.DatabaseFeatures.django_test_skips = {"cannot be": {"shop.tests.test_shop.Suite.test_it"}}
    """)
    project.tests("""
    from django.test import TestCase
    class Suite(TestCase):
        def test_it(self): self.fail()
    """)
    for made in ("built", TEMPLATE):
        result = project.run(RUNNING_DJANGOS_TEST_SUITE="true")
        assert result.returncode == 0, result.stderr
        assert "skipped=1" in result.stderr
        assert made in result.stderr


def test_receivers_are_called_in_each_process(project):
    """Those that are named run for a copy as they do after migrate."""
    project.write(
        {
            "shop/apps.py": """
            import os
            from django.apps import AppConfig
            from django.db.models.signals import post_migrate
            called = []
            def remember(app_config, using, **_):
                called.append((app_config.label, using))
            class ShopConfig(AppConfig):
                name = "shop"
                def ready(self):
                    post_migrate.connect(remember, sender=self)
            """
        }
    )
    project.settings('TESTKIT = {"POST_MIGRATE_RECEIVERS": ["shop.apps.remember"]}')
    project.tests("""
    from django.test import TestCase
    from shop.apps import called
    class Called(TestCase):
        def test_it(self): self.assertIn(("shop", "default"), called)
    """)
    for _ in range(2):
        result = project.run()
        assert result.returncode == 0, result.stderr
    assert TEMPLATE in result.stdout + result.stderr


def test_no_password_is_told_or_kept(project, postgres_url):
    """Not by what runs print, nor in their files, nor on the server: not that of the settings, nor one of a variable."""
    server = Server(postgres_url)
    server.drop_all()
    project.write({"shop/migrations/0002_rows.py": ROWS, "names.txt": "red"})
    project.tests(TESTS)
    project.settings(f"DATABASES = {{'default': {server.settings | {'PASSWORD': 's3cr-t'}!r}}}")
    secret = {"ENDING": "s3cr-t", "EXPECTED": "reds3cr-t", "COUNTED": str(project.folder / "counted")}
    try:
        for flags in (["--with-xunit"], ["--parallel=2"], ["--show-fingerprint"]):
            result = project.run("--keepdb", "-v3", *flags, **secret)
            assert result.returncode == 0, result.stderr
            assert "s3cr-t" not in result.stdout + result.stderr
        remarks = server.query("SELECT description FROM pg_shdescription")
        assert any("environment" in remark and "ENDING" in remark for (remark,) in remarks)
        assert not [remark for remark in remarks if "s3cr-t" in str(remark)]
    finally:
        server.drop_all()
    files = [path for path in project.folder.rglob("*") if path.is_file() and not path.name.startswith("settings.")]
    assert {"durations.json", "fingerprint.json"} <= {path.name for path in files}
    assert not [path for path in files if b"s3cr-t" in path.read_bytes()]


@WITHOUT_FILE
def test_show_fingerprint_explains(case):
    result = case.run("--show-fingerprint")
    assert result.returncode == 0, result.stderr
    assert "shop/0002_rows" in result.stdout
    assert case.builds == 0
    assert "no secret" not in result.stdout
