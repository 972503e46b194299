"""What holds a connection is named by its thread and its test, and no longer keeps a test database from being dropped."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing

import dj_database_url
import pytest

from tests.projects import Project, clean_environment
from tests.servers import driver, execute

SERVERS = pytest.mark.parametrize("server", ["postgres_url", "mysql_url"])
NAME = "test_held"
POLLER = """
import threading
from django.db import connection, transaction

ready = threading.Event()

def poll():
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT COUNT(*), 'hunter2' FROM shop_item")
        ready.set()
        rest()

def rest():
    threading.Event().wait(60)

def start():
    threading.Thread(target=poll, name="poller", daemon=True).start()
    assert ready.wait(10)
"""
HOLDING = """
from django.test import SimpleTestCase, TestCase
from shop import poller
class A(TestCase):
    def test_0(self): pass
    def test_poll(self): poller.start()
    def test_z(self): pass
"""


@pytest.fixture
def on_server(project: Project, request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Give a function that puts the project on the server of a fixture, and returns that one's URL."""

    def use(fixture: str) -> str:
        url = request.getfixturevalue(fixture)
        project.settings(f"DATABASES = {{'default': {dj_database_url.parse(url)!r}}}")
        project.settings(f"DATABASES['default']['TEST'] = {{'NAME': '{NAME}'}}")
        project.write({"shop/poller.py": POLLER})
        return url

    return use


def run(project: Project) -> subprocess.CompletedProcess[str]:
    return project.run("--noinput", front="manage.py")


def is_there(url: str) -> bool:
    settings = dj_database_url.parse(url)
    names = {"USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
    options = {names[key]: value for key, value in settings.items() if key in names and value}
    is_postgres = driver(url).__name__ == "psycopg"
    options |= {"dbname": "postgres"} if is_postgres else {"database": "mysql"}
    with closing(driver(url).connect(**options, **settings.get("OPTIONS", {}))) as connection:
        cursor = connection.cursor()
        table, column = ("pg_database", "datname") if is_postgres else ("information_schema.schemata", "schema_name")
        cursor.execute(f"SELECT 1 FROM {table} WHERE {column} = '{NAME}'")
        return cursor.fetchone() is not None


# Tear-down


@SERVERS
def test_a_thread_that_holds_the_database_is_named(server, project, on_server):
    """Its name, its stack, its test and where it connected are told, its database is dropped, and the run passes: also on
    MySQL, where Django waits for ever."""
    url = on_server(server)
    project.tests(HOLDING)
    started = time.monotonic()
    result = run(project)
    assert result.returncode == 0, result.stderr
    assert time.monotonic() - started < 20
    path = r"shop/poller\.py:\d+"
    assert re.search(
        rf"- thread 'poller' \(alive, at {path} in rest, called at {path} in poll\), "
        rf"connected by shop\.tests\.test_shop\.A\.test_poll at {path} \(session \d+, ",
        result.stderr,
    ), result.stderr
    assert f'testkit: the test database {NAME} of "default" was to be dropped' in result.stderr
    assert "hunter2" not in result.stderr
    assert not is_there(url)


@SERVERS
def test_what_another_process_holds_is_named(server, project, on_server):
    """By what the server knows of it: user, state, query without its values; it is ended as well."""
    url = on_server(server)
    project.tests("""
    import subprocess, sys, textwrap
    from django.db import connection
    from django.test import TestCase
    CODE = '''
    import django, sys, time
    django.setup()
    from django.db import connection, transaction
    connection.settings_dict["NAME"] = sys.argv[1]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT name FROM shop_item WHERE name = 'hunter2' OR 1 = 2")
        print("held", flush=True)
        time.sleep(60)
    '''
    class A(TestCase):
        def test_1(self):
            child = subprocess.Popen(
                [sys.executable, "-c", textwrap.dedent(CODE), connection.settings_dict["NAME"]],
                stdin=-3, stdout=-1, stderr=-3,
            )
            self.assertEqual(child.stdout.readline(), b"held\\n")
    """)
    result = project.run("--noinput", front="manage.py", DJANGO_SETTINGS_MODULE="settings")
    assert result.returncode == 0, result.stderr
    user = dj_database_url.parse(url)["USER"]
    assert re.search(rf"- session \d+ of user '{user}' from \S+, not of this process \(", result.stderr), result.stderr
    if server == "postgres_url":
        assert "idle in transaction, last query: SELECT name FROM shop_item WHERE name = …)" in result.stderr
    assert "hunter2" not in result.stderr
    assert not is_there(url)


@SERVERS
def test_what_ends_by_itself_is_not_told(server, project, on_server):
    """A thread that closes its connection while the database is dropped is nobody's concern."""
    url = on_server(server)
    brief = POLLER.replace("wait(60)", "wait(0.5)").replace(
        "        rest()\n", "        rest()\n    connection.close()\n"
    )
    project.write({"shop/poller.py": brief})
    project.tests(HOLDING)
    result = run(project)
    assert result.returncode == 0, result.stderr
    assert "testkit:" not in result.stderr
    assert not is_there(url)


def test_a_session_that_must_not_be_ended_is_named(project, on_server):
    """Where another user is connected the run fails, as it does with Django, and says who it is."""
    url = on_server("postgres_url")
    execute(url, "DROP ROLE IF EXISTS tester")
    execute(url, "CREATE ROLE tester LOGIN CREATEDB PASSWORD 'hunter2'")
    project.settings("DATABASES['default'] |= {'USER': 'tester', 'PASSWORD': 'hunter2'}")
    settings = dj_database_url.parse(url)
    project.tests(f"""
    import psycopg
    from django.test import TestCase
    class A(TestCase):
        def test_1(self):
            global foreign
            foreign = psycopg.connect(
                host={settings["HOST"]!r}, user={settings["USER"]!r}, dbname={NAME!r}, application_name="admin tool"
            )
    """)
    result = run(project)
    try:
        assert result.returncode == 2
        assert re.search(rf"\n- session \d+ of user '{settings['USER']}'", result.stderr), result.stderr
        assert f'the database "{NAME}" cannot be dropped' in result.stderr, result.stderr
        assert "hunter2" not in result.stderr
    finally:
        execute(url, f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
        execute(url, "DROP ROLE tester")


# Who holds what


SCRIPT = """
import gc, os, sys, threading, time
import django
django.setup()
from django.db import connection, connections
from testkit.core.events import FixtureStarted, TestFinished, TestStarted
from testkit.databases import holders

def session(connection):
    raw = connection.connection
    return raw.thread_id() if hasattr(raw, "thread_id") else raw.info.backend_pid

"""


@pytest.fixture
def script(project: Project, on_server: Callable[[str], str]) -> Callable[[str, str], str]:
    """Give a function that runs code in the project on a server, and returns what that printed."""

    def run_code(server: str, code: str) -> str:
        on_server(server)
        project.write({"script.py": SCRIPT + code})
        done = subprocess.run(
            [sys.executable, "-W", "error", "script.py"],
            cwd=project.folder,
            env=clean_environment(DJANGO_SETTINGS_MODULE="settings"),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run_code


@SERVERS
def test_descriptions(server, script):
    """What is not known is described as nothing; a fixture is named with its phase; an ended thread is said to be so."""
    said = script(
        server,
        """
with holders.followed("", None) as follower:
    connection.ensure_connection()
    print(holders.describe("default", session(connection)))
    print(repr(holders.describe("default", 1 << 40)), repr(holders.describe("other", session(connection))))
    follower(FixtureStarted(id="shop.A", phase="setUpClass", at=0.0))
    kept = []
    def connect():
        own = connection.copy()
        own.connect()
        kept.append(own)
    thread = threading.Thread(target=connect, name="short")
    thread.start(); thread.join()
    print(holders.describe("default", session(kept[0])))
    follower.save()
connection.close()
connection.connect()
print(repr(holders.describe("default", session(connection))))
""",
    )
    first, unknown, ended, outside = said.splitlines()
    assert re.fullmatch(r"thread 'MainThread' \(this one\), connected at script\.py:\d+", first)
    assert unknown == "'' ''"
    assert re.fullmatch(r"thread 'short' \(ended\), connected by shop\.A \(setUpClass\) at script\.py:\d+", ended)
    assert outside == "''"


@SERVERS
def test_closed_connections_are_forgotten(server, script):
    """However many were opened, those that are open now are known, and few others."""
    said = script(
        server,
        """
holders._MOST = 20
with holders.followed():
    first = connection.copy()
    first.connect()
    kept = []
    for number in range(100):
        connection.connect()
        if number % 2:
            kept.append(connection.connection)  # closed, but still there
        connection.close()
    first_is_known = bool(holders.describe("default", session(first)))
    print(first_is_known, len(holders._holders) <= 20)
    first.close()
""",
    )
    assert said == "True True\n"


@SERVERS
def test_a_mirrors_session_is_described(server, script):
    """A session that was opened by another alias for the same server is known as well."""
    said = script(
        server,
        """
from django.conf import settings
connections.settings["replica"] = {**connections.settings["default"]}
replica = connections.create_connection("replica")
connections["replica"] = replica
with holders.followed() as follower:
    follower(TestStarted(id="shop.A.test_1", class_id="shop.A", at=0.0))
    replica.connect()
    follower(TestFinished(id="shop.A.test_1", class_id="shop.A", at=0.0, seconds=0.0, outcome=None))
    with replica.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT COUNT(*) FROM " + ("mysql.innodb_table_stats" if replica.vendor == "mysql" else "pg_class"))
    told = []
    holders.explain_sessions(connection, replica.settings_dict["NAME"], told.append)
    print(told[0].splitlines()[1])
    replica.close()
connection.close()
""",
    )
    assert re.match(
        r"- thread 'MainThread' \(this one\), connected by shop\.A\.test_1 at script\.py:\d+ \(session", said
    )


def test_noting_is_cheap(script):
    """It takes some ten microseconds for each connection, rather than a query."""
    said = script(
        "postgres_url",
        """
with holders.followed() as follower:
    connection.ensure_connection()
    def deep(levels):
        if levels:
            return deep(levels - 1)
        best = 1.0
        for _ in range(200):
            started = time.perf_counter()
            follower.note(connection)
            best = min(best, time.perf_counter() - started)
        return best
    print(deep(50) * 1e6)
""",
    )
    assert float(said) < 100, f"{said} us"
    print(f"{float(said):.1f} us")
