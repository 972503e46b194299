"""Initial data restored from rows: what a test finds, and what it leaves, is what Django's own way gives."""

from __future__ import annotations

import pytest

from tests.databases.test_rows import DATABASES, MIGRATION, MODELS, dumps, rich, run_tests, use_database
from tests.projects import Project

__all__ = ["rich"]

START = """
import json, pathlib
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.contrib.sites.models import Site
from django.db import connections
from django.test import TestCase, TransactionTestCase
from dump import dump
from shop.models import Cafe, Coded, Person, Place, Team, Visit

connection = connections["default"]

def note(name, what):
    path = pathlib.Path(__file__).parent.parent.parent / "out" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(what))

class Changing:
    serialized_rollback = True

    def change(self):
        note(self.id().rpartition("test_shop.")[2], dump())
        for model in (Visit, Team, Person, Coded, Permission):
            model.objects.all().delete()
        person = Person.objects.create(name="new")
        person.friends.add(Person.objects.create(name="other"))
        Site.objects.create(domain="other.example", name="other")
        User.objects.create(username="anna")

    def test_1(self): self.change()
    def test_2(self): self.change()
    def test_3(self): self.change()
"""


@pytest.fixture
def migrated(rich: Project) -> Project:
    """The project with a migration that adds rows."""
    rich.write({"shop/migrations/0002_rows.py": MIGRATION})
    return rich


def check_like_django(project: Project, *arguments: str) -> tuple[int, int]:
    """Check that tests find the same in the database with rows restored; return how many objects Django and we saved."""
    by_django = run_tests(project, *arguments, restore=False)
    expected = dumps(project.folder / "out")
    assert expected
    ours = run_tests(project, *arguments)
    found = dumps(project.folder / "out")
    for name in expected:
        assert found[name] == expected[name], name
    assert found.keys() == expected.keys()
    return by_django, ours


@DATABASES
def test_tests_find_what_django_gives_them(database, migrated, request):
    """Rows and sequences are Django's before each test and after the last, and no object is loaded."""
    use_database(migrated, database, request)
    migrated.tests(
        f"{START}\n"
        "class ATests(TestCase):\n"
        "    serialized_rollback = True\n"
        "    def test_1(self): note('ATests', dump())\n"
        "class BTests(Changing, TransactionTestCase):\n"
        "    available_apps = ['django.contrib.contenttypes', 'django.contrib.auth', 'django.contrib.sites', 'shop']\n"
        "    test_2 = test_3 = None\n"  # post_migrate would make content types of its own
        "class CTests(Changing, TransactionTestCase): pass\n"
        "class DTests(TransactionTestCase):\n"
        "    def test_1(self): note('DTests', dump())\n"
    )
    by_django, ours = check_like_django(migrated)
    assert by_django > 4 * 40
    assert ours == 0


@DATABASES
def test_the_text_is_made_for_who_reads_it(database, migrated, request):
    """``_test_serialized_contents`` is the JSON that Django would have made, also when the rows are gone by then."""
    use_database(migrated, database, request)
    migrated.tests(f"""{START}
class BTests(Changing, TransactionTestCase):
    def test_4(self):
        Person.objects.create(name="mine")
        before = dump()
        self.assertTrue(hasattr(connection, "_test_serialized_contents"))
        text = connection._test_serialized_contents
        self.assertIs(type(text), str)
        note("text", text)
        found = dump()
        found.pop("sequences"), before.pop("sequences")
        self.assertEqual(found, before)
        connection.creation.deserialize_db_from_string(text)
""")
    check_like_django(migrated)


OTHER_ROWS = """
class ATests(TransactionTestCase):
    def test_1(self): pass
class BTests(Changing, TransactionTestCase): pass
"""


@DATABASES
def test_initial_data_is_there_after_tests_without_it(database, migrated, request):
    """After another class, whose flush makes content types with other numbers, tests find what migrations put in.

    Django's own way ends with an IntegrityError then.
    """
    use_database(migrated, database, request)
    migrated.tests(f"{START}\nclass BTests(Changing, TransactionTestCase): pass")
    run_tests(migrated, restore=False)
    expected = dumps(migrated.folder / "out")
    migrated.tests(START + OTHER_ROWS)
    by_django = migrated.run("--testrunner=runner.Runner", "--noinput", front="manage.py", RESTORE="no")
    assert "IntegrityError" in by_django.stderr
    dumps(migrated.folder / "out")
    run_tests(migrated)
    found = dumps(migrated.folder / "out")
    for name, dump in found.items():
        for table in (
            "shop_person",
            "shop_team",
            "coded rows",
            "django_content_type",
            "auth_permission",
            "django_site",
        ):
            assert dump[table] == expected[name][table], (name, table)


def test_tables_that_were_not_emptied_are_left_alone(migrated):
    """Where a flush leaves the initial rows in some tables, the others are filled."""
    migrated.tests(f"""{START}
class BTests(Changing, TransactionTestCase):
    def _fixture_teardown(self):
        if self._testMethodName == "test_3":
            return super()._fixture_teardown()
        User.objects.all().delete()
        for model in (Visit, Team, Person, Coded, Permission):
            model.objects.all().delete()
        Site.objects.filter(name="other").delete()
""")
    by_django, ours = check_like_django(migrated)
    assert by_django > 0
    assert ours == 0


def test_rows_that_a_test_class_made_stay(migrated):
    """Rows that are there before a test are not removed."""
    migrated.tests(f"""{START}
class BTests(Changing, TransactionTestCase):
    @classmethod
    def setUpClass(cls):
        Place.objects.create(address="made before")
        Person.objects.filter(name="").update(name="changed before")
        super().setUpClass()
""")
    check_like_django(migrated)


def test_who_listens_hears_of_each_object(migrated):
    """With a receiver for one of the models, objects are loaded as Django loads them."""
    migrated.write(
        {
            "listening/__init__.py": "",
            "listening/apps.py": """
            from django.apps import AppConfig
            from django.db.models.signals import post_save

            heard = []

            class ListeningConfig(AppConfig):
                name = "listening"
                def ready(self):
                    post_save.connect(hear)

            def hear(sender, instance, raw, **kwargs):
                if raw:
                    heard.append(str(sender))
            """,
        }
    )
    migrated.settings("INSTALLED_APPS.append('listening.apps.ListeningConfig')")
    migrated.tests(f"""{START}
from listening.apps import heard
class BTests(Changing, TransactionTestCase):
    def test_4(self): note("heard", heard)
""")
    by_django, ours = check_like_django(migrated)
    assert by_django == ours > 0


def test_a_receiver_that_comes_later_hears_of_each_object(migrated):
    """A receiver that a test connects gets what Django would send it; the rows are not what counts."""
    migrated.tests(f"""{START}
from django.db.models.signals import pre_save
heard = []
def hear(sender, instance, **kwargs): heard.append(str(sender))
class BTests(Changing, TransactionTestCase):
    def test_2(self):
        super().test_2()
        pre_save.connect(hear, sender=Person)
    def test_3(self):
        pre_save.disconnect(hear, sender=Person)
        note("heard", heard)
        super().test_3()
""")
    by_django, ours = check_like_django(migrated)
    assert 0 < ours < by_django


def test_rows_that_a_manager_hides_are_not_restored(migrated):
    """Django does not serialize what the base manager hides, so it is not there after the flush."""
    migrated.write(
        {
            "shop/models.py": MODELS
            + """
class Seen(models.Manager):
    def get_queryset(self):
        return super().get_queryset().exclude(name="")
Person.add_to_class("seen", Seen())
Person._meta.base_manager_name = "seen"
"""
        }
    )
    migrated.tests(f"{START}\nclass BTests(Changing, TransactionTestCase): pass")
    migrated.write(
        {
            "shop/migrations/0002_rows.py": MIGRATION.replace(
                "add(apps, editor.connection.alias)",
                "[apps.get_model('shop', 'Person').objects.create(name=name) for name in ('', 'x')]",
            )
        }
    )
    by_django, ours = check_like_django(migrated)
    assert by_django == ours > 0


def test_contents_go_to_another_process(migrated):
    """What the attribute holds for testkit can be pickled for a worker that is not forked."""
    migrated.tests(f"""{START}
import pickle
class BTests(Changing, TransactionTestCase):
    @classmethod
    def setUpClass(cls):
        kept = vars(connection)["_test_serialized_contents"]
        connection._test_serialized_contents = pickle.loads(pickle.dumps(kept))
        super().setUpClass()
""")
    _, ours = check_like_django(migrated)
    assert ours == 0


def test_all_is_put_back(migrated):
    """Outside of the block, Django's methods are its own, and nothing is left on connections."""
    migrated.write(
        {
            "back.py": """
        import os
        os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
        import django
        django.setup()
        from django.db import connection, connections
        from django.db.backends.base.base import BaseDatabaseWrapper
        from django.db.backends.base.creation import BaseDatabaseCreation
        from django.test.utils import setup_databases, teardown_databases
        from testkit.databases.initial import restored_initial_data

        before = dict(vars(BaseDatabaseCreation)), dict(vars(BaseDatabaseWrapper))
        with restored_initial_data("", {}), restored_initial_data("", {}):
            old = setup_databases(0, False)
            assert "anna" in connection.creation.serialize_db_to_string().lower(), "text for everybody else"
            assert hasattr(connection, "_test_serialized_contents")
            teardown_databases(old, 0)
        assert (dict(vars(BaseDatabaseCreation)), dict(vars(BaseDatabaseWrapper))) == before
        assert not hasattr(connection, "_test_serialized_contents")
        old = setup_databases(0, False)
        assert "anna" in connection._test_serialized_contents.lower()
        with restored_initial_data("", {}):
            assert "anna" in connection._test_serialized_contents.lower()
            del connection._test_serialized_contents
            assert not hasattr(connection, "_test_serialized_contents")
        teardown_databases(old, 0)
        print("all back")
        """
        }
    )
    import subprocess
    import sys

    from tests.projects import clean_environment

    result = subprocess.run(
        [sys.executable, "back.py"], cwd=migrated.folder, env=clean_environment(), capture_output=True, text=True
    )
    assert "all back" in result.stdout, result.stderr
