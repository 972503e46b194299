"""pytest-django's databases: from templates, never stale, one build for all workers, and no real one."""

from __future__ import annotations

import pytest

from testkit.core.events import RunMeasured
from tests.projects import Project
from tests.pytest_plugin.conftest import run_pytest
from tests.test_templates import FIELD, ROWS
from tests.test_worker_databases import Server

TESTS = """
import os
import pytest
from django.db import connection
from django.test import TransactionTestCase
from shop.models import Item

@pytest.mark.django_db
@pytest.mark.parametrize("time", range(4))
def test_rows(time):
    names = sorted(map(str, Item.objects.all()))
    assert names == sorted(os.environ.get("EXPECTED", "green red").split())
    with connection.cursor() as cursor:
        columns = {column.name for column in connection.introspection.get_table_description(cursor, "shop_item")}
    assert ("price" in columns) == (os.environ.get("PRICE") == "1")

class Writes(TransactionTestCase):
    def test_left(self):
        Item.objects.create(name="left")
        with connection.schema_editor() as editor:
            editor.execute("CREATE TABLE left_behind (id integer)")
"""


class Case:
    """The project on one kind of database, whose migrations note each time that they run."""

    def __init__(self, project: Project, server: Server | None = None) -> None:
        self.project, self.server = project, server
        project.write({"shop/migrations/0002_rows.py": ROWS, "names.txt": "red green", "counted": ""})
        project.write({"pytest.ini": "[pytest]\nDJANGO_SETTINGS_MODULE = settings\ntestpaths = shop\n"})
        project.tests(TESTS)
        if server is not None:
            server.drop_all()
            project.settings(f"DATABASES = {{'default': {server.settings!r}}}")

    def builds(self, *arguments: str, **environment: str) -> int:
        """Run, which must pass, and return how often the migrations ran."""
        counted = self.project.folder / "counted"
        counted.write_text("")
        result = run_pytest(self.project, "-q", "--testkit-journal", *arguments, COUNTED=str(counted), **environment)
        assert result.returncode == 0, result.stdout + result.stderr
        told = [str(fact.data) for fact in self.project.facts() if isinstance(fact, RunMeasured)]
        assert sum("built" in text or "migrated" in text for text in told) == len(counted.read_text())
        return len(counted.read_text())


def test_reused_databases_are_instant_and_never_stale(project):
    """--reuse-db runs no migration, unless one was added, edited or --create-db is given; and workers share one build."""
    case = Case(project)
    project.settings("DATABASES['default']['TEST'] = {'NAME': 'test.sqlite3'}")
    assert case.builds("--reuse-db") == 1
    assert case.builds("--reuse-db") == 0
    project.write({"shop/migrations/0003_price.py": FIELD})
    assert case.builds("--reuse-db", "-n2", PRICE="1") == 1
    assert case.builds("--reuse-db", PRICE="1") == 0
    assert case.builds("--reuse-db", "--create-db", "-n2", PRICE="1") == 1
    project.write({"names.txt": "red"})  # which a migration reads
    assert case.builds(PRICE="1", EXPECTED="red") == 1
    assert not list(project.folder.glob("*test*.sqlite3"))


def test_templates_are_optional(project):
    """TESTKIT_TEMPLATES=0, in whatever place, leaves everything to pytest-django; --nomigrations is a database of its own."""
    case = Case(project)
    assert case.builds("-k", "Writes") == 1
    assert case.builds("-k", "Writes") == 0
    assert case.builds("-k", "Writes", "--no-testkit-templates") == 1
    counted = project.folder / "counted"
    for how in ("built", "from its template"):  # no migration runs in either
        result = run_pytest(project, "-k", "Writes", "--nomigrations", "--testkit-journal", COUNTED=str(counted))
        assert result.returncode == 0, result.stdout
        assert how in str(project.facts())


@pytest.mark.parametrize("url", ["postgres_url"])
def test_workers_copy_what_one_has_built_on_a_server(project, url, request):
    """On a server one worker builds; nothing is left for the next run without --reuse-db, and a template with it."""
    server = Server(request.getfixturevalue(url))
    case = Case(project, server)
    assert case.builds("-n2") == 1
    assert server.made() == set()
    assert case.builds("-n2", "--reuse-db") == 1
    assert case.builds("-n2", "--reuse-db") == 0
    assert all("_tk" in name for name in server.made())
    server.drop_all()


GUARDED = """
import pytest
from django.test import TransactionTestCase
from shop.models import Item

@pytest.mark.django_db
def test_function(): Item.objects.create(name="pen")

class Case(TransactionTestCase):
    def test_it(self): Item.objects.create(name="pen")

def test_without(): pass
"""


def test_a_production_database_is_refused(project, run):
    """A host that is not local is refused before anything connects to it, with the words that allow it."""
    project.tests(GUARDED)
    project.settings("""
    DATABASES = {"default": {
        "ENGINE": "django.db.backends.postgresql", "NAME": "shop", "HOST": "db.abc.eu-west-1.rds.amazonaws.com"}}
    """)
    result = run()
    assert result.returncode == 1
    assert "2 error" in result.stdout
    assert "1 passed" in result.stdout
    assert 'TESTKIT = {"SAFE_DATABASE_HOSTS": ["db.abc.eu-west-1.rds.amazonaws.com"]}' in result.stdout


def test_a_fixture_of_the_projects_own_is_served_and_checked(project, run):
    """A django_db_setup that builds on pytest-django's keeps its templates; one that points elsewhere is checked for hosts."""
    project.tests(GUARDED)
    project.write({
        "conftest.py": """
        import os, pytest

        @pytest.fixture(scope="session")
        def django_db_setup(request, django_db_blocker):
            if "ELSEWHERE" in os.environ:
                return  # the settings have what is to be used
            request.getfixturevalue("django_db_use_migrations")
            from django.test.utils import setup_databases
            with django_db_blocker.unblock():
                setup_databases(0, False, aliases=["default"])
                from shop.models import Item
                Item.objects.create(name="first")
        """
    })  # fmt: skip
    project.settings("""
    import os
    if "ELSEWHERE" in os.environ:
        DATABASES["default"] |= {"ENGINE": "django.db.backends.postgresql", "HOST": "prod.example.com"}
    """)
    result = run("--testkit-journal")
    assert result.returncode == 0, result.stdout
    assert "built" in str([fact for fact in project.facts() if isinstance(fact, RunMeasured)])
    result = run(ELSEWHERE="1")
    assert "prod.example.com" in result.stdout
    assert "2 error" in result.stdout
    assert "1 passed" in result.stdout


BLOCKED = """
import pytest
from shop.models import Item

def empty(alias):
    with pytest.raises(AssertionError, match=f'The connection to "{alias}" .* is blocked'):
        Item.objects.using(alias).all().delete()

@pytest.fixture(scope="session", autouse=True)
def early(django_db_blocker):
    with django_db_blocker.unblock():
        empty("default")
        empty("other")

@pytest.fixture(scope="session")
def late(django_db_setup, django_db_blocker):
    with django_db_blocker.unblock():
        empty("other")
        Item.objects.create(name="of all tests")

@pytest.mark.django_db
def test_provided(late): assert Item.objects.get().name == "of all tests"
"""
OWN_SET_UP = """
import pytest
from django.test.utils import setup_databases, teardown_databases

@pytest.fixture(scope="session")
def django_db_setup(django_test_environment, django_db_blocker):
    open("was_set_up", "a").close()
    with django_db_blocker.unblock():
        config = setup_databases(0, False, aliases=["default"])
    yield
    with django_db_blocker.unblock():
        teardown_databases(config, 0)
"""


@pytest.mark.parametrize("conftest", ["", OWN_SET_UP], ids=["pytest-django's", "own"])
def test_a_fixture_cannot_empty_a_real_database(project, run, conftest):
    """A fixture that lifts pytest-django's block cannot reach a real database, whoever makes those for tests; these work."""
    project.settings("""
    import os
    DATABASES["other"] = {"ENGINE": "django.db.backends.sqlite3", "NAME": "other.sqlite3"}
    if "ELSEWHERE" in os.environ:
        DATABASES["default"] |= {"ENGINE": "django.db.backends.postgresql", "HOST": "prod.example.com"}
    """)
    project.tests(BLOCKED)
    project.write({"conftest.py": conftest})
    result = run()
    assert result.returncode == 0, result.stdout
    assert not [*project.folder.glob("*.sqlite3")]
    if conftest:
        (project.folder / "was_set_up").unlink()
        result = run(ELSEWHERE="1")
        assert "prod.example.com" in result.stdout
        assert not (project.folder / "was_set_up").exists()


POINTED_ELSEWHERE = """
import pytest, sqlite3
from contextlib import closing
from django.conf import settings

@pytest.fixture(scope="session")
def django_db_setup():
    with closing(sqlite3.connect("copy.sqlite3")) as copy, copy:
        copy.execute("create table shop_item (id integer primary key, name varchar(20))")
    settings.DATABASES["other"] = {**settings.DATABASES["other"], "NAME": "copy.sqlite3"}
"""


def test_a_fixture_may_point_the_settings_elsewhere(project, run):
    """What pytest-django's guide does for a database that exists works: the settings may change in django_db_setup."""
    project.settings('DATABASES["other"] = {"ENGINE": "django.db.backends.sqlite3", "NAME": "other.sqlite3"}')
    project.tests("""
    import pytest
    from shop.models import Item

    @pytest.mark.django_db(databases=["other"])
    def test_it(): Item.objects.using("other").create(name="pen")
    """)
    project.write({"conftest.py": POINTED_ELSEWHERE})
    result = run()
    assert result.returncode == 0, result.stdout
    assert not (project.folder / "other.sqlite3").exists()


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["one process", "workers"])
def test_without_pytest_django_no_real_database_is_emptied(project, workers):
    """A TransactionTestCase under pytest alone, which would empty the real database, does not run, and is told what is missing.

    It is the tests that set Django up. A name as for tests does not help a database on a production host.
    """
    setup = "import os, django\nos.environ['DJANGO_SETTINGS_MODULE'] = 'settings'\ndjango.setup()\n"
    project.write({"shop/tests/__init__.py": setup})
    project.tests(GUARDED.replace("@pytest.mark.django_db", ""))
    if workers:
        project.settings("""
        DATABASES["default"] = {
            "ENGINE": "django.db.backends.postgresql", "NAME": "test_analytics", "HOST": "prod.example.com"}
        """)
    result = run_pytest(project, "-p", "no:django", *workers)
    assert result.returncode == pytest.ExitCode.USAGE_ERROR, result.stdout
    assert "INTERNALERROR" not in result.stdout + result.stderr
    assert ("prod.example.com, not a local host" if workers else "install pytest-django") in result.stderr
    assert not (project.folder / "real.sqlite3").exists()
