"""Snapshots of rows: exact on each database, put back whole, and refused where that cannot be sure.

Also the project of many kinds of columns and relations that other tests of restored rows use.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import dj_database_url
import pytest

from tests.projects import Project, clean_environment

DATABASES = pytest.mark.parametrize("database", ["memory", "file", "postgres_url", "mysql_url"])

MODELS = """
import uuid
from django.db import models
from django.db.models import F

class Person(models.Model):
    name = models.CharField(max_length=50)
    boss = models.ForeignKey("self", models.CASCADE, null=True)
    friends = models.ManyToManyField("self")
    best_team = models.ForeignKey("Team", models.SET_NULL, null=True)

class Team(models.Model):
    lead = models.ForeignKey(Person, models.CASCADE)
    members = models.ManyToManyField(Person, related_name="teams")
    guests = models.ManyToManyField(Person, through="Visit", related_name="visited")

class Visit(models.Model):
    team = models.ForeignKey(Team, models.CASCADE)
    person = models.ForeignKey(Person, models.CASCADE)
    day = models.DateField()

class Place(models.Model):
    address = models.TextField()

class Cafe(Place):
    seats = models.IntegerField()
    double = models.GeneratedField(expression=F("seats") * 2, output_field=models.IntegerField(), db_persist=True)

class Coded(models.Model):
    code = models.UUIDField(primary_key=True, default=uuid.uuid4)
    data = models.BinaryField(null=True)
    extra = models.JSONField(null=True)
    price = models.DecimalField(max_digits=20, decimal_places=8, null=True)
    ratio = models.FloatField(null=True)
    born = models.DateField(null=True)
    seen = models.DateTimeField(null=True)
    at = models.TimeField(null=True)
    took = models.DurationField(null=True)
    big = models.BigIntegerField(null=True)
    is_on = models.BooleanField(null=True)
    note = models.TextField(default="")
    address = models.GenericIPAddressField(null=True)
    kind = models.ForeignKey("contenttypes.ContentType", models.CASCADE, null=True)

    class Meta:
        db_table = "coded rows"
"""

DUMP = r'''
"""What a database holds, and where its sequences are, as its own server or library says it."""
from django.apps import apps

def dump(alias="default", numbers=False):
    """Return it; of rows of many-to-many relations the numbers of the rows, too, if asked for."""
    from django.db import connections
    connection = connections[alias]
    quote, found = connection.ops.quote_name, {}
    with connection.cursor() as cursor:
        for model in apps.get_models(include_auto_created=True):
            table = model._meta.db_table
            columns = [c.name for c in connection.introspection.get_table_description(cursor, table)]
            if model._meta.auto_created and not numbers:
                columns.remove("id")
            shown = []
            for column in map(quote, columns):
                if connection.vendor == "sqlite":
                    shown.append(f"typeof({column}) || quote({column})")
                elif connection.vendor == "postgresql":
                    shown.append(f"{column}::text")
                else:
                    shown.append(f"HEX(CAST({column} AS BINARY))")
            cursor.execute(f"SELECT {', '.join(shown)} FROM {quote(table)}")
            found[table] = sorted(map(list, cursor.fetchall()), key=repr)
        if connection.vendor == "sqlite":
            cursor.execute("SELECT name, seq FROM sqlite_sequence ORDER BY name")
        elif connection.vendor == "postgresql":
            cursor.execute("SELECT sequencename, last_value FROM pg_sequences ORDER BY 1")
        else:
            cursor.execute("SET SESSION information_schema_stats_expiry = 0" if not connection.mysql_is_mariadb else "SELECT 1")
            cursor.execute("SELECT table_name, auto_increment FROM information_schema.tables"
                           " WHERE table_schema = DATABASE() AND auto_increment IS NOT NULL ORDER BY 1")
        found["sequences"] = [list(row) for row in cursor.fetchall()]
    return found
'''

ROWS = r'''
import datetime, decimal, uuid

TEXT = "caf\u00e9 \U0001f600\n\t\\N \\. 'q' \"d\" 100% %s %(x)s NULL \r\n end "

def add(apps, alias="default"):
    """Make rows of all kinds."""
    get = lambda name: apps.get_model("shop", name).objects.using(alias)
    anna = get("Person").create(name="Anna \U0001f680")
    bert = get("Person").create(name=TEXT[:20], boss=anna)
    carl = get("Person").create(name="", boss=bert)
    anna.boss = carl
    team = get("Team").create(lead=bert)
    anna.best_team = team
    anna.save()
    anna.friends.add(bert, carl)
    for friend in (carl, bert):  # for migrations, the relation is not symmetrical
        friend.friends.add(anna)
    team.members.add(carl, anna)
    get("Team").create(lead=anna)
    get("Visit").create(team=team, person=anna, day=datetime.date(1066, 10, 14))
    get("Place").create(address=TEXT)
    get("Cafe").create(address="x", seats=7)
    utc = datetime.timezone.utc
    get("Coded").create(
        code=uuid.UUID(int=7), data=bytes(range(256)), extra={"a": [1, None, "\U0001f600", {"%s": 1.5}]},
        price=decimal.Decimal("123456789012.00000001"), ratio=0.1 + 0.2, born=datetime.date(1066, 10, 14),
        seen=datetime.datetime(1815, 6, 18, 11, 35, 1, 123000, tzinfo=utc), at=datetime.time(23, 59, 59, 999000),
        took=datetime.timedelta(days=-1, microseconds=1), big=-2**63, is_on=False, note=TEXT, address="::1",
    )
    get("Coded").create(code=uuid.UUID(int=8), data=b"", extra=[], ratio=-1.7976931348623157e308, big=2**63 - 1,
                        seen=datetime.datetime(2262, 3, 4, tzinfo=utc), is_on=True, note="")
    get("Coded").create(code=uuid.UUID(int=9))
'''

RUNNER = '''
import os
from contextlib import ExitStack
from django.core.serializers.base import DeserializedObject
from django.test.runner import DiscoverRunner

class Runner(DiscoverRunner):
    """Django's, with rows restored where RESTORE says so; it prints how many objects were saved by loading them."""

    def run_tests(self, *args, **kwargs):
        saved, save = [], DeserializedObject.save
        def counted(self, *args, **kwargs):
            saved.append(self)
            save(self, *args, **kwargs)
        DeserializedObject.save = counted
        with ExitStack() as stack:
            if os.environ["RESTORE"] == "yes":
                from testkit.databases.fixtures import bundled_fixtures
                from testkit.databases.initial import restored_initial_data
                stack.enter_context(restored_initial_data("", {}))
                stack.enter_context(bundled_fixtures("", {}))
            failures = super().run_tests(*args, **kwargs)
        print("saved", len(saved))
        return failures
'''

MIGRATION = """
from django.db import migrations
from made import add

class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial"), ("contenttypes", "0002_remove_content_type_name"), ("sites", "0002_alter_domain_unique")]
    operations = [migrations.RunPython(lambda apps, editor: add(apps, editor.connection.alias))]
"""


@pytest.fixture
def rich(project: Project) -> Project:
    """A project with many kinds of columns and relations, without rows."""
    (project.folder / "shop/migrations/0001_initial.py").unlink()
    project.write({"shop/models.py": MODELS, "dump.py": DUMP, "made.py": ROWS, "runner.py": RUNNER})
    project.settings("INSTALLED_APPS.append('django.contrib.sites')")
    command = [sys.executable, "manage.py", "makemigrations", "shop", "--name=initial"]
    made = subprocess.run(command, cwd=project.folder, env=clean_environment(), capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return project


def use_database(project: Project, database: str, request: pytest.FixtureRequest) -> None:
    """Let the project's test database be of the kind ``database``."""
    if database == "file":
        project.settings("DATABASES['default']['TEST'] = {'NAME': 'test.sqlite3'}")
    elif database != "memory":
        settings = dj_database_url.parse(request.getfixturevalue(database))
        project.settings(f"DATABASES = {{'default': {settings!r}}}")


def run_tests(project: Project, *arguments: str, restore: bool = True) -> int:
    """Run the project's tests, which must pass, and return how many objects were saved by loading them."""
    given = ["--testrunner=runner.Runner", "--noinput", *arguments]
    result = project.run(*given, front="manage.py", timeout=200, RESTORE="yes" if restore else "no")
    assert result.returncode == 0, result.stdout + result.stderr
    return int(result.stdout.rpartition("saved ")[2])


def dumps(folder: Path) -> dict[str, Any]:
    """Return what tests have written, by file; the files are removed."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        found[path.stem] = json.loads(path.read_text())
        path.unlink()
    return found


TAKEN = """
from unittest import mock
from django.apps import apps
from django.db import IntegrityError, connections, transaction
from django.test import TransactionTestCase
from testkit.databases.rows import CannotRestore, filled, has_rows_of, put, take
from dump import dump
from made import add
from shop.models import Coded, Person, Team

connection = connections["default"]

def tables():
    return [m._meta.db_table for m in apps.get_app_config("shop").get_models(include_auto_created=True)]

def remove_all():
    with transaction.atomic(), connection.constraint_checks_disabled(), connection.cursor() as cursor:
        for table in tables():
            cursor.execute(f"DELETE FROM {connection.ops.quote_name(table)}")

class RowsTests(TransactionTestCase):
    def setUp(self):
        add(apps)

    def test_rows_are_exact(self):
        before, snapshot = dump(numbers=True), take(connection, tables())
        remove_all()
        self.assertEqual(filled(connection, tables()), set())
        self.assertNotEqual(dump(numbers=True), before)
        put(connection, snapshot)
        self.assertEqual(dump(numbers=True), before)
        self.assertEqual(filled(connection, tables()), set(tables()))

    def test_rows_can_be_pickled(self):
        import pickle
        before, snapshot = dump(numbers=True), pickle.loads(pickle.dumps(take(connection, tables())))
        remove_all()
        put(connection, snapshot)
        self.assertEqual(dump(numbers=True), before)

    def test_rows_are_replaced(self):
        before, snapshot = dump(numbers=True), take(connection, tables())
        Person.objects.update(name="other")
        Team.objects.create(lead=Person.objects.first())
        put(connection, snapshot, replace=True)
        found = dump(numbers=True)
        self.assertEqual({**found, "sequences": 0}, {**before, "sequences": 0})

    def test_differences_are_noticed(self):
        snapshot = take(connection, tables())
        self.assertTrue(has_rows_of(connection, snapshot.tables))
        for change in (
            lambda: Person.objects.filter(name="").update(name=" "),
            lambda: Coded.objects.filter(price=None).delete(),
            lambda: Team.objects.create(lead=Person.objects.first()),
        ):
            with transaction.atomic():
                change()
                self.assertFalse(has_rows_of(connection, snapshot.tables))
                transaction.set_rollback(True)
        self.assertTrue(has_rows_of(connection, snapshot.tables))

    def test_numbers_of_relations_are_given_anew(self):
        table = Team.members.through._meta.db_table
        rows = Team.members.through.objects.order_by("id").values_list("person", "id")
        before, snapshot = dict(rows), take(connection, [table], {table: "id"})
        Team.members.through.objects.all().delete()
        put(connection, snapshot)
        after = dict(rows.all())
        self.assertEqual(list(after), list(before))
        self.assertGreater(min(after.values()), max(before.values()))
        Team.objects.last().members.add(Person.objects.first())

    def test_missing_rows_that_are_referred_to_fail(self):
        snapshot = take(connection, ["shop_team"])
        remove_all()
        with self.assertRaises(IntegrityError):
            put(connection, snapshot)
        self.assertEqual(Team.objects.count(), 0)

    def test_rows_are_put_within_a_transaction_of_the_caller(self):
        before, snapshot = dump(numbers=True), take(connection, tables())
        remove_all()
        with transaction.atomic():
            put(connection, snapshot)
            self.assertEqual(dump(numbers=True), before)
            transaction.set_rollback(True)
        self.assertEqual(filled(connection, tables()), set())

    def test_statements_are_seen_by_execute_wrappers(self):
        snapshot = take(connection, ["shop_place"])
        connection.cursor().execute("DELETE FROM shop_cafe")
        connection.cursor().execute("DELETE FROM shop_place")
        seen = []
        with connection.execute_wrapper(lambda execute, sql, *given: (seen.append(sql), execute(sql, *given))[1]):
            put(connection, snapshot)
        self.assertTrue([sql for sql in seen if sql.startswith(("INSERT INTO", "COPY")) and "shop_place" in sql], seen)

    def test_a_table_with_a_trigger_is_refused(self):
        snapshot = take(connection, ["shop_place"])
        statements = {
            "sqlite": ["CREATE TRIGGER hears AFTER INSERT ON shop_place BEGIN SELECT 1; END"],
            "mysql": ["CREATE TRIGGER hears BEFORE INSERT ON shop_place FOR EACH ROW SET NEW.address = 'x'"],
            "postgresql": [
                "CREATE FUNCTION hears() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
                "CREATE TRIGGER hears BEFORE INSERT ON shop_place FOR EACH ROW EXECUTE FUNCTION hears()",
            ],
        }[connection.vendor]
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            try:
                with self.assertRaisesRegex(CannotRestore, "shop_place has triggers"):
                    take(connection, ["shop_place"])
                with self.assertRaisesRegex(CannotRestore, "shop_place has triggers"):
                    put(connection, snapshot, replace=True)
            finally:
                cursor.execute(f"DROP TRIGGER hears{' ON shop_place' if connection.vendor == 'postgresql' else ''}")

    def test_a_table_of_another_shape_is_refused(self):
        snapshot = take(connection, ["shop_visit"])
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE shop_visit ADD COLUMN more integer NULL")
            try:
                self.assertFalse(has_rows_of(connection, snapshot.tables))
                with self.assertRaisesRegex(CannotRestore, "other columns"):
                    put(connection, snapshot, replace=True)
            finally:
                cursor.execute("ALTER TABLE shop_visit DROP COLUMN more")

    def test_what_is_no_table_is_refused(self):
        with self.assertRaises(CannotRestore):
            take(connection, ["shop_nothing"])
        with connection.cursor() as cursor:
            cursor.execute("CREATE VIEW shop_view AS SELECT * FROM shop_place")
            try:
                with self.assertRaises(CannotRestore):
                    take(connection, ["shop_view"])
            finally:
                cursor.execute("DROP VIEW shop_view")
"""


@DATABASES
def test_rows_are_kept_on_each_database(database, rich, request):
    """What is taken is put back as it was, on SQLite in memory and in a file, PostgreSQL and MariaDB."""
    use_database(rich, database, request)
    rich.tests(TAKEN)
    run_tests(rich)


ODD = """
from django.db import connections
from django.test import TransactionTestCase
from testkit.databases.rows import CannotRestore, put, take

connection = connections["default"]

class OddTests(TransactionTestCase):
    def keep(self, columns, insert, shown):
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE IF EXISTS odd")
            cursor.execute(f"CREATE TABLE odd ({columns})")
            self.addCleanup(connection.cursor().execute, "DROP TABLE odd")
            for values in insert:
                cursor.execute(f"INSERT INTO odd VALUES ({values})")
            cursor.execute(f"SELECT {shown} FROM odd")
            before = sorted(cursor.fetchall(), key=repr)
            self.assertEqual(len(before), len(insert))
            snapshot = take(connection, ["odd"])
            cursor.execute("DELETE FROM odd")
            put(connection, snapshot)
            cursor.execute(f"SELECT {shown} FROM odd")
            self.assertEqual(sorted(cursor.fetchall(), key=repr), before)
"""
ODD_OF: dict[str, str] = {
    "memory": """
    def test_types_of_values_stay(self):
        values = ["1", "'1'", "1.0", "1.5", "'x'", "x'00ff'", "NULL", "'2020-01-01'", "9e999", "''", "9223372036854775807"]
        self.keep("a, i integer, b bool, d date, t datetime, n decimal, s text",
                  [", ".join([value] * 7) for value in values],
                  " || ".join(f"typeof({c}) || quote({c})" for c in "aibdtns"))

    def test_text_that_is_no_utf8_is_refused(self):
        from django.db import DatabaseError
        with self.assertRaises(DatabaseError):
            self.keep("a", ["CAST(x'ff' AS text)"], "quote(a)")
""",
    "postgres_url": r"""
    def test_types_of_values_stay(self):
        self.keep(
            "n int GENERATED ALWAYS AS IDENTITY, a int[], r int4range, m money, f real, i interval, h bytea, x xml, s \"char\"[], b bit(3)"
            ", g int GENERATED ALWAYS AS (cardinality(a)) STORED, p point, t timetz",
            ["DEFAULT, '{1,NULL}', '[1,3)', 12.5, 0.1::real + 0.2::real, '1 mon -1 day', '\\x00ff', '<a/>', '{a}', B'101'"
             ", DEFAULT, '(1.1,2.2)', '12:00+05'",
             "DEFAULT, NULL, 'empty', NULL, 'NaN', NULL, '', NULL, NULL, NULL, DEFAULT, NULL, NULL"], "odd::text")

    def test_a_partition_or_an_heir_is_no_plain_table(self):
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE parts (a int) PARTITION BY LIST (a)")
            cursor.execute("CREATE TABLE elder (a int)")
            cursor.execute("CREATE TABLE heir () INHERITS (elder)")
            self.addCleanup(connection.cursor().execute, "DROP TABLE parts, elder, heir")
            for table in ("parts", "elder"):
                with self.subTest(table), self.assertRaises(CannotRestore):
                    take(connection, [table])

    def test_a_table_of_another_schema(self):
        with connection.cursor() as cursor:
            cursor.execute("CREATE SCHEMA store")
            self.addCleanup(connection.cursor().execute, "DROP SCHEMA store CASCADE")
            cursor.execute("CREATE TABLE store.t (a text)")
            cursor.execute("INSERT INTO store.t VALUES (E'x\\ty')")
            snapshot = take(connection, ['store"."t'])
            cursor.execute("DELETE FROM store.t")
            put(connection, snapshot)
            cursor.execute("SELECT a FROM store.t")
            self.assertEqual(cursor.fetchall(), [("x\ty",)])
""",
    "mysql_url": """
    def test_types_of_values_stay(self):
        self.keep(
            "f float, d double, n decimal(30, 10), b bit(9), y year, e enum('a', 'b'), s set('x', 'y'), v varbinary(9), l blob"
            ", t time(6), dt datetime(6), c char(5) character set latin1, u varchar(9) collate utf8mb4_bin"
            ", g int GENERATED ALWAYS AS (y + 1) STORED, w int GENERATED ALWAYS AS (y + 2) VIRTUAL",
            ["0.1 + 0.2, 0.1e0 + 0.2e0, 12345678901234567890.0123456789, b'101010101', 1999, 'b', 'x,y', x'00ff27', x'5c0025'"
             ", '12:34:56.123456', '1000-01-01 00:00:00.000001', 'é', '\U0001f600', DEFAULT, DEFAULT",
             "16777216.5, -0.0, NULL, NULL, NULL, NULL, '', '', '', NULL, NULL, NULL, '', DEFAULT, DEFAULT"],
            "HEX(f), CAST(f AS DOUBLE), CONCAT(d), CONCAT(n), HEX(b), y, e, s, HEX(v), HEX(l), CONCAT(t), CONCAT(dt), HEX(c), HEX(u), g, w")

    def test_what_depends_on_the_time_zone_is_refused(self):
        with self.assertRaisesRegex(CannotRestore, "timestamp"):
            self.keep("a timestamp NULL", ["NOW()"], "a")

    def test_a_row_with_number_0_is_refused(self):
        connection.cursor().execute("SET SESSION sql_mode = CONCAT(@@sql_mode, ',NO_AUTO_VALUE_ON_ZERO')")
        with self.assertRaisesRegex(CannotRestore, "number 0"):
            self.keep("a int AUTO_INCREMENT PRIMARY KEY", ["0"], "a")
""",
}


@pytest.mark.parametrize("database", ["memory", "postgres_url", "mysql_url"])
def test_odd_types_are_exact_or_refused(database, rich, request):
    """Types that Django's fields do not make are put back exactly, or nothing is taken."""
    use_database(rich, database, request)
    rich.tests(ODD + ODD_OF[database])
    run_tests(rich)
