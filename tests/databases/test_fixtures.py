"""Fixtures loaded once and restored from rows: the outcome is loaddata's, whatever there is about them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.databases.test_initial import check_like_django
from tests.databases.test_rows import DATABASES, MODELS, rich, use_database
from tests.projects import Project

__all__ = ["rich"]

TEXT = "café \U0001f600\n\t\\N \\. 'q' \"d\" 100% %s NULL "


def an_object(model: str, pk: Any, **fields: Any) -> dict[str, Any]:
    return {"model": model, "pk": pk, "fields": fields}


RICH = [
    an_object("shop.person", 1, name="Anna", boss=3, friends=[2, 3], best_team=1),
    an_object("shop.person", 2, name=TEXT[:20], boss=1, friends=[1], best_team=None),
    an_object("shop.person", 30, name="", boss=None, friends=[], best_team=None),
    an_object("shop.person", 3, name="Carl", boss=2, friends=[1], best_team=2),
    an_object("shop.team", 1, lead=2, members=[1, 3]),
    an_object("shop.team", 2, lead=1, members=[]),
    an_object("shop.visit", 9, team=1, person=3, day="1066-10-14"),
    an_object("shop.place", 5, address=TEXT),
    an_object("shop.cafe", 5, seats=7),
    an_object("sites.site", 7, domain="seven.example", name="seven"),
    an_object("auth.group", 4, name="four", permissions=[]),
    an_object("auth.user", 12, username="anna", date_joined="1969-12-31T23:59:59.123456Z", password="x", groups=[4]),
    an_object(
        "shop.coded",
        "00000000-0000-0000-0000-000000000007",
        data="AAEC/w==",
        extra={"a": [1, None, "\U0001f600"]},
        price="123456789012.00000001",
        ratio=0.30000000000000004,
        born="1066-10-14",
        seen="1815-06-18T11:35:01.123456+02:00",
        at="23:59:59.999999",
        took="-1 00:00:00.000001",
        big=-(2**63),
        is_on=False,
        note=TEXT,
        address="::1",
    ),
    an_object("shop.coded", "00000000-0000-0000-0000-000000000008"),
]
OBJECTS = len(RICH)
SITES = 1
"""Objects whose table is not empty: Django makes a site first."""

START = """
import json, pathlib
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.contrib.sites.models import Site
from django.db import connection
from django.test import LiveServerTestCase, TestCase, TransactionTestCase
from dump import dump
from shop.models import Cafe, Coded, Person, Place, Team, Visit

def note(name, what):
    path = pathlib.Path(__file__).parent.parent.parent / "out" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(what))

class Changing:
    fixtures = ["rich"]

    def change(self):
        is_open = connection.connection is not None
        note(self.id().rpartition("test_shop.")[2], [is_open, connection.in_atomic_block, dump()])
        for model in (Visit, Team, Person, Coded):
            model.objects.all().delete()
        person = Person.objects.create(name="new")
        person.friends.add(Person.objects.create(name="other"))
        Site.objects.create(domain="other.example", name="other")

    def test_1(self): self.change()
    def test_2(self): self.change()
    def test_3(self): self.change()

class Thrice(Changing, TransactionTestCase): pass
"""


@pytest.fixture
def loaded(rich: Project) -> Project:
    """The project with a fixture of objects of many kinds."""
    write_fixture(rich, RICH)
    return rich


def write_fixture(project: Project, objects: list[dict[str, Any]], name: str = "rich") -> None:
    project.write({f"shop/fixtures/{name}.json": json.dumps(objects)})


@DATABASES
def test_tests_find_what_loaddata_gives_them(database, loaded, request):
    """Rows, sequences and the connection are as loaddata leaves them, and each object is loaded once."""
    use_database(loaded, database, request)
    loaded.tests(
        f"{START}\n"
        "class ATests(Changing, TestCase): pass\n"
        "class BTests(Changing, TestCase): pass\n"
        "class DTests(Changing, LiveServerTestCase): pass\n"
        "class ETests(TransactionTestCase):\n"
        "    def test_1(self): note('ETests', dump())\n"
        "class FTests(Changing, TransactionTestCase): reset_sequences = True\n"
    )
    by_django, ours = check_like_django(loaded)
    loads = 2 + 3 + 3 + 3
    assert by_django == OBJECTS * loads
    assert ours == OBJECTS + SITES * (loads - 1)


def test_several_aliases(loaded):
    """Each database gets its own rows."""
    loaded.settings(
        "DATABASES['other'] = {'ENGINE': 'django.db.backends.sqlite3', 'NAME': 'o.sqlite3', 'TEST': {'NAME': 'o_test'}}"
    )
    write_fixture(loaded, [an_object("shop.place", 1, address="of other")], "some.other")
    write_fixture(loaded, [an_object("shop.place", 1, address="of default")], "some.default")
    loaded.tests(f"""{START}
class Two(Changing, TransactionTestCase):
    fixtures = ["rich", "some"]
    databases = {{"default", "other"}}
    def change(self):
        note(self.id().rpartition("test_shop.")[2], [dump("default"), dump("other")])
        super().change()
        Person.objects.using("other").all().delete()
""")
    by_django, ours = check_like_django(loaded)
    assert by_django == OBJECTS * 3 + (OBJECTS + 1) * 2 * 3
    assert ours == OBJECTS + SITES * 2 + (OBJECTS + 1 + SITES * 2) * 2


NATURAL = [
    an_object("auth.user", 12, username="anna", date_joined="2000-01-01T00:00:00Z", password="x", groups=[["one"]]),
    an_object("shop.coded", "00000000-0000-0000-0000-000000000007", kind=["shop", "person"]),
    an_object("auth.group", 1, name="one", permissions=[["add_person", "shop", "person"]]),
]


CACHED = """
def change(self):
    with CaptureQueriesContext(connection) as queries:
        ContentType.objects.get_for_model(Person)
        ContentType.objects.get_for_model(Team)
    note(self.id().rpartition("test_shop.")[2], [len(queries), dump()])
    Person.objects.create(name="new")
Changing.change = change
"""


@pytest.mark.parametrize("database", ["memory", "postgres_url"])
def test_natural_keys_are_those_of_now(database, loaded, request):
    """What natural keys refer to is looked up again: TestCases share rows, after a flush content types have other ids.

    Django remembers the content types that were looked up, or not, as after loaddata.
    """
    use_database(loaded, database, request)
    write_fixture(loaded, NATURAL)
    start = f"{START}\nfrom django.test.utils import CaptureQueriesContext\n{CACHED}"
    loaded.tests(f"{start}\nclass ATests(Changing, TestCase): pass\nclass BTests(Changing, TestCase): pass\ndel Thrice")
    by_django, ours = check_like_django(loaded)
    saves = len(NATURAL) + 1  # the user once more, when the group is there
    assert (by_django, ours) == (saves * 2, saves)
    loaded.tests(start)
    by_django, ours = check_like_django(loaded)
    assert by_django == ours == saves * 3


def test_natural_keys_of_rows_that_others_changed(loaded):
    """A row that a natural key refers to has another number in another class: the fixture is loaded for it."""
    write_fixture(
        loaded,
        [an_object("auth.user", 1, username="a", date_joined="2000-01-01T00:00:00Z", password="x", groups=[["staff"]])],
    )
    loaded.tests(f"""{START}
class Made(Changing):
    @classmethod
    def setUpClass(cls):
        Group.objects.create(name="staff", pk=cls.pk)
        super().setUpClass()
    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        Group.objects.all().delete()
class ATests(Made, TestCase): pk = 4
class BTests(Made, TestCase): pk = 4
class CTests(Made, TestCase): pk = 5
del Thrice
""")
    by_django, ours = check_like_django(loaded)
    assert (by_django, ours) == (3, 2)


HEARS_OBJECTS = """
from django.db.models.signals import post_save
heard = []
def hear(sender, instance, raw, **kwargs): heard.append(str(sender))
post_save.connect(hear, sender=Person)
class ZTests(TransactionTestCase):
    def test_1(self): note("heard", heard)
"""
HEARS_RELATIONS = """
from django.db.models.signals import m2m_changed
heard = []
def hear(sender, instance, action, **kwargs): heard.append(action)
m2m_changed.connect(hear, sender=Team.members.through)
class ZTests(TransactionTestCase):
    def test_1(self): note("heard", heard)
"""
OWN_WAY = """
def own(self, *args, **kwargs):
    self.name += "!"
    return models.Model._save_table(self, *args, **kwargs)
Person._save_table = own
"""
DIFFERENT: dict[str, tuple[list[dict[str, Any]], str, str]] = {
    "a receiver": (RICH, "", HEARS_OBJECTS),
    "a receiver of relations": (RICH, "", HEARS_RELATIONS),
    "numbers by the database": ([{"model": "shop.place", "fields": {"address": "x"}}], "", ""),
    "its own way to be saved": (RICH, OWN_WAY, ""),
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_loaddata_does_it_where_more_than_rows_matters(what, loaded):
    """A set with something that rows do not tell is loaded before each test."""
    objects, models, tests = DIFFERENT[what]
    write_fixture(loaded, objects)
    loaded.write({"shop/models.py": MODELS + models})
    loaded.tests(START + tests)
    by_django, ours = check_like_django(loaded)
    assert by_django == ours == 3 * len(objects)


def test_defaults_that_are_new_each_time(loaded):
    """A value that the model gives by a function, as the fixture has none, is another one for each test."""
    write_fixture(loaded, [an_object("auth.user", 12, username="anna", password="x")])
    loaded.tests(f"""{START}
seen = []
class Joined(TransactionTestCase):
    fixtures = ["rich"]
    def look(self): seen.append(User.objects.get().date_joined)
    def test_1(self): self.look()
    def test_2(self): self.look()
    def test_3(self):
        self.look()
        self.assertEqual(len(set(seen)), 3)
        note("done", True)
del Thrice
""")
    by_django, ours = check_like_django(loaded)
    assert by_django == ours == 3


def test_objects_take_the_place_of_rows_that_are_there(loaded):
    """A fixture may change a row that Django makes first; the rest is restored."""
    write_fixture(
        loaded, [an_object("sites.site", 1, domain="x.example", name="x"), an_object("shop.place", 1, address="")]
    )
    loaded.tests(f"""{START}
class ATests(TestCase):
    fixtures = ["rich"]
    def test_1(self):
        note("site", [str(Site.objects.get_current()), Site.objects.count()])
class BTests(ATests):
    def test_1(self):
        Site.objects.clear_cache()
        Site.objects.filter(pk=1).update(domain="y.example")
        Site.objects.get_current()
class CTests(ATests):
    def test_1(self):
        note("cached", str(Site.objects.get_current()))
""")
    loaded.settings("SITE_ID = 1")
    by_django, ours = check_like_django(loaded)
    assert (by_django, ours) == (2 * 6, 2 + 5)


def test_a_receiver_that_comes_and_goes(loaded):
    """While somebody listens, objects are loaded; before and after that, rows are restored."""
    loaded.tests(f"""{START}
from django.db.models.signals import pre_save
def hear(sender, instance, **kwargs): instance.name = "heard"
class Four(Changing, TransactionTestCase):
    def test_2(self):
        super().test_2()
        pre_save.connect(hear, sender=Person)
    def test_3(self):
        pre_save.disconnect(hear, sender=Person)
        super().test_3()
    def test_4(self): self.change()
del Thrice
""")
    write_fixture(loaded, [each for each in RICH if each["model"] != "sites.site"])
    by_django, ours = check_like_django(loaded)
    assert (by_django, ours) == (4 * (OBJECTS - 1), 2 * (OBJECTS - 1))


def test_a_fixture_that_changes(loaded):
    """Another content of the file, another folder or another time zone is another set."""
    write_fixture(loaded, [an_object("shop.place", 1, address="first")])
    write_fixture(loaded, [an_object("shop.place", 1, address="other folder")], "more/rich")
    loaded.tests(f"""{START}
from django.test import override_settings
folder = pathlib.Path(__file__).parent.parent / "fixtures"
class Changed(Changing, TransactionTestCase):
    def test_2(self):
        super().test_2()
        path = folder / "rich.json"
        path.write_text(path.read_text().replace("first", "second"))
    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        path = folder / "rich.json"
        path.write_text(path.read_text().replace("second", "first"))
del Thrice
@override_settings(FIXTURE_DIRS=[folder / "more"])
class Other(Changing, TransactionTestCase): pass
""")
    by_django, ours = check_like_django(loaded)
    assert by_django == 3 + 3 * 2
    assert ours == 1 + 1 + 2


def test_naive_times_are_of_the_time_zone_of_the_class(loaded):
    """Where settings differ, a fixture is loaded for each."""
    write_fixture(loaded, [an_object("shop.coded", "00000000-0000-0000-0000-000000000008", seen="2020-01-01T12:00:00")])
    loaded.tests(f"""{START}
from django.test import override_settings
class East(Changing, TransactionTestCase): pass
@override_settings(TIME_ZONE="America/New_York")
class West(Changing, TransactionTestCase): pass
del Thrice
""")
    by_django, ours = check_like_django(loaded)
    assert (by_django, ours) == (6, 2)


def test_rows_of_a_class_before_do_not_stay(loaded):
    """What a set has put in is gone for the next class, which has another one or none."""
    write_fixture(loaded, [an_object("shop.place", 6, address="of another set")], "second")
    loaded.tests(f"""{START}
class None1(TransactionTestCase):
    def test_1(self): note("none", dump())
class Second(Changing, TransactionTestCase): fixtures = ["second"]
class ThirdTests(Changing, TransactionTestCase): fixtures = ["second", "rich"]
""")
    check_like_django(loaded)


FAULTS = {
    "missing": (None, "No fixture named 'rich' found."),
    "broken": ("[{", "Problem installing fixture"),
    "of an unknown model": (json.dumps([an_object("shop.nothing", 1)]), "Invalid model identifier"),
    "with a dangling reference": (json.dumps([an_object("shop.team", 1, lead=77)]), "Problem installing fixtures"),
    "with a wrong value": (
        json.dumps([an_object("shop.visit", 1, team=1, person=1, day="x")]),
        "must be in YYYY-MM-DD",
    ),
    "empty": ("[]", "No fixture data found"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_told_as_django_tells_them(fault, loaded):
    """A fixture that cannot be loaded fails with Django's own exception and message, for each class."""
    text, message = FAULTS[fault]
    path = loaded.folder / "shop/fixtures/rich.json"
    path.unlink()
    if text is not None:
        path.write_text(text)
    loaded.tests(
        f"{START}\nclass ATests(Changing, TestCase): pass\nclass BTests(Changing, TransactionTestCase): pass\n"
    )
    told = []
    for restore in ("no", "yes"):
        given = ["--testrunner=runner.Runner", "--noinput"]
        result = loaded.run(*given, front="manage.py", RESTORE=restore, PYTHONWARNINGS="error:No fixture")
        assert result.returncode == 1, result.stderr
        told.append(
            re.findall(
                r"^(?:ERROR:|[\w.]+(?:Error|DoesNotExist|Warning)\b).*$|^Ran .* tests|^FAILED.*",
                result.stderr,
                re.MULTILINE,
            )
        )
    assert any(message in line for line in told[0]), told[0]
    assert told[0] == told[1]


def test_a_command_of_the_project_is_what_loads(loaded):
    """A project's own ``loaddata`` is called for each test."""
    loaded.write(
        {
            "shop/management/__init__.py": "",
            "shop/management/commands/__init__.py": "",
            "shop/management/commands/loaddata.py": """
            from django.core.management.commands import loaddata
            class Command(loaddata.Command):
                def handle(self, *labels, **options):
                    super().handle(*labels, **options)
                    from shop.models import Place
                    Place.objects.create(address="by the project")
            """,
        }
    )
    loaded.tests(START)
    by_django, ours = check_like_django(loaded)
    assert by_django == ours == 3 * OBJECTS


@pytest.mark.parametrize("database", ["memory", "postgres_url", "mysql_url"])
def test_triggers_do_not_fire_for_restored_rows(database, loaded, request):
    """With a trigger on one of the tables, loaddata does it: what the trigger does is done once for each row."""
    use_database(loaded, database, request)
    write_fixture(loaded, [an_object("shop.place", 1, address="x")])
    loaded.tests(f"""{START}
STATEMENTS = {{
    "sqlite": ["CREATE TRIGGER hears AFTER INSERT ON shop_place BEGIN INSERT INTO shop_person (name) VALUES ('heard'); END"],
    "mysql": ["CREATE TRIGGER hears AFTER INSERT ON shop_place FOR EACH ROW INSERT INTO shop_person (name) VALUES ('heard')"],
    "postgresql": [
        "CREATE FUNCTION hears() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN INSERT INTO shop_person (name) VALUES (''heard''); RETURN NEW; END'",
        "CREATE TRIGGER hears AFTER INSERT ON shop_place FOR EACH ROW EXECUTE FUNCTION hears()",
    ],
}}
class Triggering(Changing, TransactionTestCase):
    @classmethod
    def setUpClass(cls):
        for statement in STATEMENTS[connection.vendor]:
            connection.cursor().execute(statement)
        super().setUpClass()
""")
    by_django, ours = check_like_django(loaded)
    assert by_django == 6
    assert ours == 1 + 3  # the trigger comes when rows were restored already
