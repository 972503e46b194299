"""Things that a flush has to cope with; the arguments name them, and what each tells is printed as JSON."""

import json
import sys
import threading
import time
import traceback
from contextlib import contextmanager, nullcontext

import django

django.setup()

from django.core.management.base import CommandError  # noqa: E402
from django.db import connection, connections, transaction  # noqa: E402
from django.test import TransactionTestCase  # noqa: E402
from django.test.runner import DiscoverRunner  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402

from library.apps import calls  # noqa: E402
from library.models import Author, Room  # noqa: E402
from testkit.core.errors import OptionError  # noqa: E402
from testkit.databases import provision  # noqa: E402
from testkit.databases.flush import selective, teardown  # noqa: E402
from testkit.databases.flush.emptying import emptier_of  # noqa: E402
from testkit.databases.options import DatabaseOptions  # noqa: E402

SECONDS = 1.0


class Tests(TransactionTestCase):
    def test_something(self):
        pass


def flush():
    Tests("test_something")._fixture_teardown()


def execute(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


@contextmanager
def transaction_elsewhere(statement, seconds=60.0):
    """Have a thread in a transaction in which it has executed the statement, which ends with the block at the latest."""
    begun, ended = threading.Event(), threading.Event()

    def work():
        with transaction.atomic():
            execute(statement)
            begun.set()
            ended.wait(seconds)
        connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def blocked():
    """Flush while another session has written something that it does not commit, and again when it has."""
    flush()
    with transaction_elsewhere("INSERT INTO library_room (name) VALUES ('secret')"):
        started = time.monotonic()
        try:
            flush()
        except CommandError as error:
            message, took = str(error), time.monotonic() - started
        clean = [connection.in_atomic_block, connection.get_autocommit()]
    flush()
    return {"message": message, "took": took, "state": clean, "rooms": Room.objects.count()}


def waited_for():
    """Flush while another session is about to commit what nobody sees yet."""
    flush()
    with transaction_elsewhere("INSERT INTO library_room (name) VALUES ('late')", seconds=0.4):
        flush()
    return {"rooms": Room.objects.count()}


def read_elsewhere():
    """Flush while another session has a transaction open in which it has only read."""
    Room.objects.create(name="x")
    with transaction_elsewhere("SELECT * FROM library_room"):
        flush()
    return {"rooms": Room.objects.count()}


def limits():
    """Tell what the session waits for locks by itself, before and after a flush."""
    ask = {
        "postgresql": "SHOW lock_timeout",
        "mysql": "SELECT @@innodb_lock_wait_timeout, @@lock_wait_timeout, @@foreign_key_checks",
    }[connection.vendor]
    execute({"postgresql": "SET lock_timeout = '7s'"}.get(connection.vendor, "SET innodb_lock_wait_timeout = 7"))
    before = execute(ask)
    Room.objects.create(name="x")
    flush()
    return {"before": before, "after": execute(ask)}


def large():
    """Flush many rows, and a few, and tell the sizes of the files they were in."""
    flush()
    Room.objects.bulk_create([Room(name="x" * 90) for _ in range(5000)])
    Author.objects.create(name="y")
    flush()
    return {
        "rows": [Room.objects.count(), Author.objects.count()],
        "sizes": execute("SELECT pg_relation_size('library_room'), pg_relation_size('library_author')"),
    }


def trigger():
    """Flush a table whose trigger writes another one when rows are deleted."""
    insert = "INSERT INTO library_author (name) VALUES ('by a trigger')"
    if connection.vendor == "postgresql":
        execute(
            f"CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {insert}; RETURN OLD; END $$;"
            "CREATE TRIGGER noted AFTER DELETE ON library_room FOR EACH ROW EXECUTE FUNCTION note()"
        )
    else:
        body = f"BEGIN {insert}; END" if connection.vendor == "sqlite" else insert
        execute(f"CREATE TRIGGER noted AFTER DELETE ON library_room FOR EACH ROW {body}")
    flush()
    Room.objects.create(name="x")
    with counted() as ways:
        flush()
    told = {"ways": ways, "rooms": Room.objects.count(), "authors": Author.objects.count()}
    execute("DROP FUNCTION note() CASCADE" if connection.vendor == "postgresql" else "DROP TRIGGER noted")
    return told


def immediate_key():
    """Flush tables with a foreign key that is not deferred, in an order that it does not allow."""
    execute("ALTER TABLE library_author ADD COLUMN room_id bigint REFERENCES library_room (id)")
    execute("ALTER TABLE library_room ADD COLUMN author_id bigint REFERENCES library_author (id)")
    flush()
    execute("INSERT INTO library_room (id, name) VALUES (1, 'x')")
    execute("INSERT INTO library_author (id, name, room_id) VALUES (1, 'y', 1)")
    execute("UPDATE library_room SET author_id = 1")
    with counted() as ways:
        flush()
    told = {"ways": ways, "rooms": Room.objects.count(), "authors": Author.objects.count()}
    execute("ALTER TABLE library_author DROP COLUMN room_id")
    execute("ALTER TABLE library_room DROP COLUMN author_id")
    return told


def outsider():
    """Flush where a table that no model has refers to one that is emptied, which TRUNCATE refuses."""
    execute("CREATE TABLE outsider (room_id bigint REFERENCES library_room (id))")
    try:
        flush()
    except CommandError as error:
        return {"message": str(error)}
    finally:
        execute("DROP TABLE outsider")
    return {"message": ""}


def search_path():
    """Flush where a schema before the usual one has a table of the same name, and find tables named like the catalogue's."""
    author = "INSERT INTO {}.library_author (name) VALUES ('x')"
    execute("CREATE SCHEMA nearer")
    execute("CREATE TABLE nearer.library_author (LIKE public.library_author INCLUDING ALL)")
    execute("CREATE TABLE public.pg_class (id int)")
    execute("CREATE TABLE public.pg_board (id int)")
    for schema in ("nearer", "public"):
        execute(author.format(schema))
    execute("SET search_path = nearer, public")
    flush()
    left = [execute(f"SELECT count(*) FROM {schema}.library_author")[0][0] for schema in ("nearer", "public")]
    execute("RESET search_path")
    emptier = emptier_of(connection)
    with emptier.bounded(0), connection.cursor() as cursor:
        found = emptier.look(cursor, {"pg_class", "pg_board"}, False)
    execute("DROP SCHEMA nearer CASCADE")
    execute("DROP TABLE public.pg_class, public.pg_board")
    flush()
    return {"left": left, "found": sorted(found.tables)}


def missing_table():
    """Flush while a model's table is not there, and when it is there again."""
    flush()
    with connection.schema_editor() as editor:
        editor.delete_model(Author.friends.through)
    Room.objects.create(name="x")
    flush()
    without = Room.objects.count()
    with connection.schema_editor() as editor:
        editor.create_model(Author.friends.through)
    one, other = Author.objects.create(name="one"), Author.objects.create(name="other")
    one.friends.add(other)
    flush()
    return {"rooms": without, "friends": Author.friends.through.objects.count()}


def own_command():
    Room.objects.create(name="spared")
    Author.objects.create(name="not spared")
    flush()
    return {"rooms": Room.objects.filter(name="spared").count(), "authors": Author.objects.count()}


def row_receiver():
    """Flush where receivers are said to do nothing but to write rows, before and after somebody changes those."""

    def flushed():
        calls.clear()
        flush()
        return [list(Room.objects.order_by("name").values_list("name", flat=True)), list(calls)]

    with selective("1", {"row_receivers": ["library.apps.make_room", "library.apps.note_call"]}):
        first = flushed()
        Author.objects.create(name="x")
        untouched = flushed()
        Room.objects.filter(name=first[0][0]).delete()
        changed = flushed()
    data = dict(provision.surroundings(DatabaseOptions(row_receivers=("library.apps.nothing",))))
    try:
        with selective("1", data["testkit.databases.flush.selective"]):
            pass
    except OptionError as error:
        return {"first": first, "untouched": untouched, "changed": changed, "missing": str(error)}


def replaced():
    """Say whether another tear-down than Django's stays in its place."""

    def own(test):
        pass

    before = vars(TransactionTestCase)["_fixture_teardown"]
    TransactionTestCase._fixture_teardown = own
    try:
        with selective("1", {}):
            return {"is_replaced": vars(TransactionTestCase)["_fixture_teardown"] is own}
    finally:
        TransactionTestCase._fixture_teardown = before


def queries():
    """Tell how many statements a flush takes when one table was written, and how many Django's takes."""
    flush()
    Room.objects.create(name="x")
    with CaptureQueriesContext(connection) as ours:
        flush()
    Room.objects.create(name="x")
    with CaptureQueriesContext(connection) as djangos:
        stock(Tests("test_something"))
    return {"ours": len(ours), "django's": len(djangos)}


def in_a_transaction():
    """Flush where a test has left a transaction open."""
    with transaction.atomic():
        Room.objects.create(name="x")
        with counted() as ways:
            flush()
    return {"ways": ways, "rooms": Room.objects.count()}


@contextmanager
def counted():
    """Tell by which way the flushes of the block went."""
    ways, as_django = [], teardown._flush_as_django

    def noted(*args, **kwargs):
        ways.append("django")
        as_django(*args, **kwargs)

    teardown._flush_as_django = noted
    try:
        yield ways
    finally:
        teardown._flush_as_django = as_django


stock = TransactionTestCase._fixture_teardown


def told_of(name):
    """Do one thing, and return what it tells, or what went wrong."""
    is_own = name in {"row_receiver", "replaced"}
    try:
        with nullcontext() if is_own else selective("1", {"lock_timeout": SECONDS}):
            told = globals()[name]()
    except Exception:
        return {"error": traceback.format_exc()}
    finally:
        connections.close_all()
    return {**told, "is_put_back": vars(TransactionTestCase)["_fixture_teardown"] is stock}


def main():
    runner = DiscoverRunner(verbosity=0, interactive=False)
    old = runner.setup_databases()
    try:
        told = {name: told_of(name) for name in sys.argv[1:]}
    finally:
        runner.teardown_databases(old)
    print(json.dumps(told, default=str))


main()
