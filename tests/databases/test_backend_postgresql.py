"""Templates on a real PostgreSQL server: copies are faithful, names are whole things, and killed runs leave nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from textwrap import dedent
from typing import Any
from uuid import uuid4

import dj_database_url
import psycopg
import pytest
from psycopg import sql

from tests.projects import ROOT, clean_environment

DIGEST = "0123456789abcdef"
PRELUDE = """
import json, os, pathlib, random, signal, sys, time
given = json.loads(os.environ["GIVEN"])
if given["psycopg2"]:
    sys.modules["psycopg"] = None
from django.conf import settings
settings.configure(DATABASES=given["databases"], USE_TZ=True)
import django
django.setup()
from django.db import connections
from testkit.core.errors import TestkitError
from testkit.databases.backends.postgresql import PostgresqlBackend

connection, base, digest = connections["default"], given["base"], given["digest"]

def backend(run=base):
    made = PostgresqlBackend(connection, base, pathlib.Path(".testkit").absolute())
    made.run_name = run
    return made

def say(*values):
    print(json.dumps(values), flush=True)

def look(name, query):
    import contextlib
    with contextlib.closing(type(connection)({**connection.settings_dict, "NAME": name}, alias="look")) as other:
        with other.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall() if cursor.description else []

def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)

def template(backend):
    (only,) = backend.templates()
    return only

# What the server is at for this test still.
def begun():
    return look("postgres", "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND state = 'active' "
                "AND application_name = current_setting('application_name')")

b = backend()
"""


class Server:
    """The server of a test, and the databases there whose name begins with ``base``."""

    def __init__(self, url: str, base: str) -> None:
        self.settings = dj_database_url.parse(url)
        self.base = base
        self.digest = DIGEST
        self.psycopg2 = False

    def connect(self, name: str = "postgres") -> psycopg.Connection[Any]:
        keys = {"USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
        options = {word: self.settings[key] for key, word in keys.items() if self.settings.get(key)}
        return psycopg.connect(dbname=name, autocommit=True, **options)

    def query(self, statement: str, *values: object, database: str = "postgres") -> list[tuple[Any, ...]]:
        with closing(self.connect(database)) as connection:
            cursor = connection.execute(statement, values or None)  # type: ignore[call-overload]
            return list(cursor.fetchall()) if cursor.description else []

    def names(self) -> set[str]:
        """Return what follows the base in the names of the databases."""
        found = self.query("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", self.base)
        return {name.removeprefix(self.base) for (name,) in found}

    def comment(self, name: str) -> dict[str, Any]:
        query = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s"
        return json.loads(self.query(query, name)[0][0])

    def create(
        self, name: str, content: str = "CREATE TABLE item (name text); INSERT INTO item VALUES ('red')"
    ) -> None:
        self.query(f"CREATE DATABASE {quoted(name)}")
        if content:
            self.query(content, database=name)

    def start(self, script: str, *, base: str = "", options: Any = None, **settings: Any) -> subprocess.Popen[str]:
        database = {**self.settings, "NAME": "postgres", **settings}
        given = {
            "base": base or self.base,
            "digest": self.digest,
            "databases": {"default": {**database, "OPTIONS": {"application_name": self.base, **(options or {})}}},
            "psycopg2": self.psycopg2,
        }
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-c", PRELUDE + script],
            cwd=ROOT,
            env={**clean_environment(), "GIVEN": json.dumps(given), "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, script: str, **given: Any) -> list[Any]:
        """Run a script to its end, and return what it said."""
        return said(self.start(script, **given))


def said(process: subprocess.Popen[str]) -> list[Any]:
    out, errors = process.communicate(timeout=300)
    assert not errors, errors
    assert process.returncode == 0
    return [json.loads(line) for line in out.splitlines()]


def quoted(name: str) -> str:
    return sql.Identifier(name).as_string(None)


@pytest.fixture
def server(postgres_url: str) -> Iterator[Server]:
    """A server, with a base of its own for each test; what has its name is dropped at the end."""
    made = Server(postgres_url, f"test_{uuid4().hex[:8]}")
    yield made
    for rest in made.names():
        made.query(f"DROP DATABASE {quoted(made.base + rest)} WITH (FORCE)")


@pytest.fixture
def role(server: Server) -> Iterator[Callable[[str], str]]:
    """Give a function that makes a role with the rights that it is given."""
    made = []

    def make(rights: str) -> str:
        made.append(f"tk role {uuid4().hex[:8]}")
        server.query(f"CREATE ROLE {quoted(made[-1])} LOGIN {rights}")
        return made[-1]

    yield make
    for rest in server.names():
        server.query(f"DROP DATABASE {quoted(server.base + rest)} WITH (FORCE)")
    for name in made:
        server.query(f"DROP ROLE {quoted(name)}")


@pytest.fixture(params=["psycopg", "psycopg2"])
def either(server: Server, request: pytest.FixtureRequest) -> Server:
    """The server, spoken to by either driver."""
    if find_spec(request.param) is None:
        pytest.skip(f"no {request.param} here: pip install {request.param}-binary")
    server.psycopg2 = request.param == "psycopg2"
    return server


CYCLE = """
say(b.lock(base))
b.keep(base, digest, "for what")
b.drop(base)
kept = template(b)
wait_for(lambda: b._spares(kept.digest))
say(kept.name, kept.digest, kept.description, abs(time.time() - kept.used) < 60)
for turn in range(2):
    b.provide(kept, base)
    say(look(base, "SELECT * FROM item"))
    look(base, "INSERT INTO item VALUES ('written by a test')")
    if turn == 0:
        b.release(base, kept)
b.release(base, None)
wait_for(lambda: not begun())
b.unlock()
"""


def test_a_template_gives_fresh_databases(either: Server) -> None:
    """What a test writes to a copy is not in the next one, and nothing but the template and spares stays."""
    either.create(either.base)
    kept = f"_tk{DIGEST[:12]}"
    assert either.run(CYCLE) == [
        [True],
        [either.base + kept, DIGEST[:12], "for what", True],
        [[["red"]]],
        [[["red"]]],
    ]
    assert kept in either.names()
    assert all(name == kept or name.startswith(f"{kept}s") for name in either.names())


def test_a_spare_is_taken_by_its_name(server: Server) -> None:
    """What is provided is the spare, renamed: the next one is made by the server meanwhile."""
    server.create(server.base)
    script = """
    b.keep(base, digest, "")
    kept = template(b)
    wait_for(lambda: b._spares(kept.digest))
    oid = "SELECT oid FROM pg_database WHERE datname = '%s'"
    (spare,) = b._spares(kept.digest)
    before = look("postgres", oid % spare)
    b.mark(base)
    b.provide(kept, base)
    say(look("postgres", oid % base) == before)
    wait_for(lambda: b._spares(kept.digest))
    say(b._spares(kept.digest) != [spare])
    b.unlock()
    """
    assert server.run(unindented(script)) == [[True], [True]]


def test_what_a_short_process_begins_the_server_finishes(either: Server) -> None:
    """A process that provides, releases and ends at once leaves a spare behind, and no used database."""
    either.create(either.base)
    script = """
    b.keep(base, digest, "")
    kept = template(b)
    b.provide(kept, base + "_r1")
    b.release(base + "_r1", kept)
    b.unlock()
    """
    either.run(unindented(script))
    kept = f"_tk{DIGEST[:12]}"
    wait_for(lambda: {name.partition("s")[0] for name in either.names() - {""}} == {kept} and len(either.names()) > 2)


CONTENT = """
CREATE SCHEMA other;
CREATE TABLE item (id serial PRIMARY KEY, name text COLLATE "C" UNIQUE, total int DEFAULT 0);
COMMENT ON TABLE item IS 'all of them';
INSERT INTO item (name) SELECT 'item ' || n FROM generate_series(1, 5) n;
SELECT nextval('item_id_seq') FROM generate_series(1, 37);
CREATE VIEW names AS SELECT name FROM item;
CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM item;
CREATE FUNCTION double() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.total = NEW.total * 2; RETURN NEW; END $$;
CREATE TRIGGER doubles BEFORE INSERT ON item FOR EACH ROW EXECUTE FUNCTION double();
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE INDEX part ON item (total) WHERE total > 1;
SELECT lo_from_bytea(4711, 'large');
"""
LOOKS = {
    "rows": "SELECT * FROM item ORDER BY id",
    "sequence": "SELECT last_value, is_called FROM item_id_seq",
    "trigger": "INSERT INTO item (name, total) VALUES ('new', 21) RETURNING id, total",
    "view": "SELECT * FROM names ORDER BY 1",
    "materialized": "SELECT * FROM counted",
    "comment": "SELECT obj_description('item'::regclass)",
    "type": "SELECT enum_range(NULL::mood)::text",
    "indexes": "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
    "large object": "SELECT encode(lo_get(4711), 'escape')",
    "extensions": "SELECT extname, extversion FROM pg_extension ORDER BY 1",
    "path": "SHOW search_path",
    "parameters": "SELECT current_setting('work_mem'), current_setting('app.text'), current_setting('app.role')",
    "emptied": "SELECT current_setting('temp_tablespaces'), current_setting('app.nothing')",
    "database": "SELECT pg_encoding_to_char(encoding), datcollate, datctype, pg_get_userbyid(datdba), datacl::text,"
    " datconnlimit, datallowconn FROM pg_database WHERE datname = current_database()",
}


def test_copies_are_faithful(server: Server, role: Callable[[str], str]) -> None:
    """A copy, a template, and what is provided from it have all that the source has, its settings and rights too."""
    other = role("")
    base = quoted(server.base)
    server.query(f"CREATE DATABASE {base} TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C' CONNECTION LIMIT 77")
    if server.query("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm'"):
        server.query("CREATE EXTENSION pg_trgm", database=server.base)
    server.query(CONTENT, database=server.base)
    for change in (
        """SET search_path TO "$user", other, public, 'odd "one"'""",
        "SET work_mem TO '7MB'",
        r"""SET app.text TO 'it''s = a \ "text", with more'""",
        "SET temp_tablespaces TO ''",
        "SET app.nothing TO ''",
    ):
        server.query(f"ALTER DATABASE {base} {change}")
    server.query(f"ALTER ROLE CURRENT_USER IN DATABASE {base} SET app.role TO 'mine'")
    server.query(f"REVOKE ALL ON DATABASE {base} FROM PUBLIC")
    server.query(f"GRANT CONNECT ON DATABASE {base} TO {quoted(other)} WITH GRANT OPTION")
    script = """
    b.copy(base, base + "_1")
    b.keep(base + "_1", digest, "")
    kept = template(b)
    b._begin_spare = lambda *_: None
    wait_for(lambda: b._spares(kept.digest))
    b.provide(kept, base + "_2")
    say(b._spares(kept.digest))
    b.provide(kept, base + "_3")
    b.unlock()
    """
    assert server.run(unindented(script)) == [[[]]]
    names = [f"{server.base}_{number}" for number in (1, 2, 3)]
    wanted = {name: server.query(query, database=server.base) for name, query in LOOKS.items()}
    assert wanted["trigger"] == [(43, 42)]
    for copy in names:
        assert {name: server.query(query, database=copy) for name, query in LOOKS.items()} == wanted
        assert server.comment(copy) == {"testkit": 1, "base": server.base, "run": server.base}


def test_a_copy_replaces_what_testkit_has_made(server: Server) -> None:
    """An older copy of that name, with sessions of this user in it, makes way."""
    server.create(server.base)
    script = """
    b.copy(base, base + "_1")
    look(base + "_1", "INSERT INTO item VALUES ('old')")
    connection.settings_dict["NAME"] = base + "_1"
    connection.ensure_connection()
    b.copy(base, base + "_1")
    say(connection.connection is None, look(base + "_1", "SELECT * FROM item"))
    b.unlock()
    """
    assert server.run(unindented(script)) == [[True, [["red"]]]]


def test_a_stranger_is_left_alone(server: Server) -> None:
    """No copy, template or provided database takes the place of a database that testkit has not made."""
    server.create(server.base)
    server.create(f"{server.base}_1")
    server.create(f"{server.base}_tk{DIGEST[:12]}")
    server.create(f"{server.base}_tk{'f' * 12}s01234567")
    server.create(f"{server.base}_tk_b01234567")
    before = server.names()
    script = """
    say(b.stranger(base + "_1"), b.stranger(base + "_2"))
    for attempt in (lambda: b.copy(base, base + "_1"), lambda: b.keep(base, digest, "")):
        try:
            attempt()
        except TestkitError as error:
            say(str(error))
    b.keep(base, "fedcba9876543210", "")
    for spare in (True, False):
        if spare:
            wait_for(lambda: b._spares("fedcba987654"))
        else:
            b._spares = lambda digest: []
        try:
            b.provide(template(b), base + "_1")
        except TestkitError as error:
            say("has not made" in str(error))
    say(*b.sweep())
    try:
        b.drop("postgres")
    except TestkitError as error:
        say("not have the name of a test database" in str(error))
    b.mark(base + "_1")
    say(b.stranger(base + "_1"))
    b.unlock()
    """
    first, copied, kept, *others = server.run(unindented(script))
    assert first == [True, False]
    assert f'"{server.base}_1"' in copied[0]
    assert "drop it, or give DATABASES another" in copied[0]
    assert f"_tk{DIGEST[:12]}" in kept[0]
    assert others == [[True], [True], [], [True], [False]]
    assert server.names() >= before
    assert server.query("SELECT * FROM item", database=f"{server.base}_1") == [("red",)]


def test_what_somebody_renamed_is_theirs(server: Server) -> None:
    """A database that was a test database of testkit's and has another name since is not swept away."""
    server.create(server.base)
    server.run("b.copy(base, base + '_1'); b.unlock()")
    server.query(f"ALTER DATABASE {server.base}_1 RENAME TO {server.base}x_1")
    assert server.run("say(*b.sweep()); b.unlock()") == [[]]
    assert "x_1" in server.names()


def test_only_one_run_has_a_name(either: Server, tmp_path: Path) -> None:
    """A lock is refused to others, is true for its holder and what that forks, and is free when it is given back."""
    holder = """
    say(b.lock(base), b.lock(base))
    if not os.fork():
        say(b.lock(base), b.lock(base + "_1"))
        b.unlock()
        os._exit(0)
    os.wait()
    wait_for(lambda: os.path.exists(connection.settings_dict["TEST"]["NAME"]))
    b.unlock()
    say("free")
    wait_for(lambda: False, 60)
    """
    flag = tmp_path / "end"
    process = either.start(unindented(holder), TEST={"NAME": str(flag)})
    try:
        assert [next_line(process) for _ in range(2)] == [[True, True], [True, True]]
        assert either.run("say(b.lock(base), b.lock(base + '_1')); b.unlock()") == [[False, True]]
        flag.touch()
        assert next_line(process) == ["free"]
        assert either.run("say(b.lock(base)); b.unlock()") == [[True]]
    finally:
        end(process)


def test_a_lock_dies_with_the_last_of_its_processes(server: Server) -> None:
    """A run that is killed has its name still while a process that it forked lives, and then no more."""
    script = """
    b.lock(base)
    child = os.fork()
    if not child:
        time.sleep(60)
        os._exit(0)
    say(child)
    time.sleep(60)
    """
    process = server.start(unindented(script))
    (child,) = next_line(process)
    process.kill()
    process.wait()
    assert server.run("say(b.lock(base)); b.unlock()") == [[False]]
    os.kill(child, signal.SIGKILL)
    server.run("wait_for(lambda: b.lock(base)); b.unlock()")
    end(process)


def test_forked_processes_have_connections_of_their_own(either: Server) -> None:
    """A child provides and releases while its parent's spare is being made, and leaves the parent's lock and session whole."""
    either.create(either.base)
    script = """
    b.lock(base)
    b.keep(base, digest, "")
    kept = template(b)
    b.provide(kept, base + "_r1")
    children = []
    for number in range(3):
        children.append(os.fork())
        if not children[-1]:
            name = f"{base}_{number}"
            b.provide(kept, name)
            assert look(name, "SELECT * FROM item") == [("red",)]
            b.release(name, kept)
            b.unlock()
            import gc
            gc.collect()
            os._exit(0)
    say(*[os.waitpid(child, 0)[1] for child in children])
    other = PostgresqlBackend(connection, base, b.cache)
    say(other.lock(base), other.remove(kept), b.remove(kept))
    other.unlock()
    b.release(base + "_r1", kept)
    b.unlock()
    """
    assert either.run(unindented(script)) == [[0, 0, 0], [False, False, True]]


KILLS = """
def build():
    look("postgres", f'CREATE DATABASE "{base}"')
    look(base, "CREATE TABLE item (id int PRIMARY KEY); INSERT INTO item SELECT generate_series(1, 5000)")

def keep(b):
    b.keep(base, random.choice([digest, "fedcba9876543210"]), "told")

def copy(b):
    b.copy(base, base + "_1")

def provide(b):
    b.provide(b.templates()[0], base + "_2")

def release(b):
    kept = b.templates()[0]
    b.provide(kept, base + "_3")
    b.release(base + "_3", kept)

def remove(b):
    b.remove(b.templates()[-1])

def in_child(action):
    child = os.fork()
    if not child:
        own = backend()
        own.lock(base + "_run")
        own.run_name = base + "_run"
        action(own)
        os._exit(0)
    return child

def quiet():
    others = ("SELECT 1 FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
              "AND application_name = current_setting('application_name')")
    wait_for(lambda: not look("postgres", others))

build()
keep(b)
b.unlock()
took = {}
for action in (copy, provide, release, keep, remove):
    started = time.monotonic()
    os.waitpid(in_child(action), 0)
    took[action] = time.monotonic() - started
killed = turn = 0
while killed < 20:
    action = [keep, copy, provide, release, remove][turn % 5]
    turn += 1
    assert turn < 100
    if not b.templates():
        keep(b)
    b.unlock()
    quiet()
    child = in_child(action)
    time.sleep(random.uniform(0, took[action]))
    os.kill(child, signal.SIGKILL)
    killed += os.waitpid(child, 0)[1] == signal.SIGKILL
    quiet()
    list(b.sweep())
    templates = b.templates()
    there = {name for (name,) in look("postgres", "SELECT datname FROM pg_database") if name.startswith(base)}
    spares = {spare for kept in templates for spare in b._spares(kept.digest)}
    assert there == {base, *(kept.name for kept in templates)} | spares, (action.__name__, there, spares)
    for whole in [*(kept.name for kept in templates if kept.description == "told"), *spares]:
        assert look(whole, "SELECT count(*), sum(id) FROM item") == [(5000, 12502500)]
for kept in b.templates():
    b.provide(kept, base + "_5")
    assert look(base + "_5", "SELECT count(*), sum(id) FROM item") == [(5000, 12502500)]
    b.unlock()
    quiet()
    assert b.remove(kept)
    b.drop(base + "_5")
b.drop(base)
b.unlock()
say("done")
"""


def test_killed_at_any_moment(server: Server) -> None:
    """After kill -9 in the middle of each operation, a sweep leaves whole templates, whole spares, and nothing else."""
    assert server.run(KILLS) == [["done"]]
    assert not server.names()


def test_two_processes_share_the_spares(server: Server) -> None:
    """Two processes that provide from one template at once, ten times each, get a whole database each time."""
    server.create(server.base)
    script = """
    b.lock(base + "_" + str(os.getpid()))
    b.run_name = name = base + "_" + str(os.getpid())
    kept = template(b)
    for turn in range(10):
        b.provide(kept, name)
        assert look(name, "SELECT * FROM item") == [("red",)]
        look(name, "INSERT INTO item VALUES ('used')")
        b.release(name, kept)
        assert not [each for each in b.sweep()]
    b.unlock()
    say("done")
    """
    server.run('b.keep(base, digest, ""); b.unlock()')
    processes = [server.start(unindented(script)) for _ in range(2)]
    assert [said(process) for process in processes] == [[["done"]]] * 2


def test_several_processes_copy_one_database_at_once(either: Server) -> None:
    """Copies of one source that are made at once by four processes are all there and right."""
    either.create(either.base)
    script = """
    children = []
    for number in range(4):
        children.append(os.fork())
        if not children[-1]:
            b.copy(base, f"{base}_{number}")
            b.unlock()
            os._exit(0)
    say(*[os.waitpid(child, 0)[1] for child in children])
    say(*[look(f"{base}_{number}", "SELECT * FROM item") for number in range(4)])
    """
    assert either.run(unindented(script)) == [[0] * 4, [[["red"]]] * 4]


def test_two_runs_keep_one_template(server: Server) -> None:
    """Of two runs that make the same template at once both go on with it, and there is one."""
    server.create(server.base)
    server.create(f"{server.base}_r1")
    script = """
    children = []
    for source in (base, base + "_r1"):
        children.append(os.fork())
        if not children[-1]:
            b.keep(source, digest, "")
            b.provide(template(b), source + "_1")
            b.unlock()
            os._exit(0)
    say(*[os.waitpid(child, 0)[1] for child in children], len(b.templates()))
    wait_for(lambda: not begun())
    say(*b.sweep())
    b.unlock()
    """
    first, swept = server.run(unindented(script))
    assert first == [0, 0, 1]
    assert set(swept) == {f"{server.base}_1", f"{server.base}_r1_1"}  # nobody has locked their run's name


def test_a_role_needs_no_more_than_to_create_databases(either: Server, role: Callable[[str], str]) -> None:
    """A role with CREATEDB only can do all of it, and leaves other roles' databases alone."""
    user = role("CREATEDB PASSWORD 'secret'")
    either.create(f"{either.base}_tk{'a' * 12}")
    either.query(f"""COMMENT ON DATABASE {either.base}_tk{"a" * 12} IS '{{"testkit": 1, "digest": "{"a" * 12}"}}'""")
    either.query(f"CREATE DATABASE {either.base} OWNER {quoted(user)}")
    either.query("CREATE TABLE item AS SELECT 'red' AS name; GRANT ALL ON item TO PUBLIC", database=either.base)
    options = {"USER": user, "PASSWORD": "secret"}
    said = either.run(CYCLE + "list(b.sweep()); b.remove(kept); b.unlock()", **options)
    assert said[2:] == [[[["red"]]], [[["red"]]]]
    assert f"_tk{'a' * 12}" in either.names()


def test_a_role_that_may_not_create_databases_is_told_so(server: Server, role: Callable[[str], str]) -> None:
    """The error names the databases and what to do, and no password."""
    user = role("PASSWORD 'secret'")
    server.query(f"CREATE DATABASE {server.base} OWNER {quoted(user)}")
    script = """
    for attempt in (lambda: b.keep(base, digest, ""), lambda: b.copy(base, base + "_1")):
        try:
            attempt()
        except TestkitError as error:
            say(str(error))
    b.unlock()
    """
    kept, copied = server.run(unindented(script), USER=user, PASSWORD="secret")
    assert f'"{server.base}" cannot be copied to "{server.base}_1": permission denied' in copied[0]
    assert copied[0].endswith(f"Let its role create databases: ALTER ROLE {quoted(user)} CREATEDB")
    assert "ALTER ROLE" in kept[0]
    assert "secret" not in kept[0] + copied[0]
    assert server.names() == {""}


def test_a_server_that_does_not_let_us_in(server: Server) -> None:
    """Where no connection can be made, the error says which alias's server, and no password."""
    script = """
    try:
        b.lock(base)
    except TestkitError as error:
        say(str(error))
    """
    ((error,),) = server.run(unindented(script), USER="nobody known", PASSWORD="secret")
    assert 'the server of the alias "default" cannot be administered' in error
    assert "nobody known" in error
    assert "secret" not in error


ODD = ['with "quotes" and space', "100% of %s", "back\\slash'", "under_score", "größe", "x" * 63]


@pytest.mark.parametrize("odd", ODD)
def test_names_that_need_care(server: Server, odd: str) -> None:
    """Quotes, spaces, percent signs, backslashes, wildcards of LIKE and the greatest length are no hindrance."""
    base = (server.base + odd).encode()[:63].decode()
    server.create(base)
    # What a careless LIKE would take for a spare of ours.
    like = f"{base.replace('_', 'x')[:30]}_tk{'e' * 12}s01234567"
    server.query(f"CREATE DATABASE {quoted(like)} CONNECTION LIMIT {0x746B6462}")
    try:
        said = server.run(CYCLE + "say(*b.sweep()); say(b.remove(kept)); say(*b.sweep()); b.unlock()", base=base)
        assert said[-5:] == [[[["red"]]], [[["red"]]], [], [True], []]
        assert not server.names()
        assert server.query("SELECT 1 FROM pg_database WHERE datname = %s", like)
    finally:
        server.query(f"DROP DATABASE {quoted(like)}")


def test_sweep_takes_what_dead_runs_left(server: Server) -> None:
    """Clones of dead runs, what they were just creating or copying, and spares without a template go; what lives stays."""
    server.create(server.base)
    for suffix in (f"tk{'d' * 12}s01234567", "tk_b01234567", "tk_b01234568", "r7"):
        server.query(f"CREATE DATABASE {server.base}_{suffix} CONNECTION LIMIT {0x746B6462}")
    script = """
    b.lock(base)
    b.lock(base + "_tk_b01234568")
    b.mark(base)
    b.copy(base, base + "_1")
    other = backend(run=base + "_r1")
    other.lock(other.run_name)
    other.copy(base, base + "_r1_1")
    dead = backend(run=base + "_r2")
    dead.copy(base, base + "_r2")
    dead.copy(base, base + "_r2_1")
    dead.keep(base, digest, "")
    dead.unlock()
    wait_for(lambda: not begun())
    third = backend(run=base + "_r3")
    say(*third.sweep())
    say(*third.sweep())
    for each in (b, other, third):
        each.unlock()
    """
    swept, again = server.run(unindented(script))
    gone = {"_r2", "_r2_1", "_r7", f"_tk{'d' * 12}s01234567", "_tk_b01234567"}
    assert {name.removeprefix(server.base) for name in swept} == gone
    assert again == []
    kept = f"_tk{DIGEST[:12]}"
    assert {name.partition("s")[0] for name in server.names()} == {"", "_1", "_r1_1", "_tk_b01234568", kept}


def test_sweep_takes_what_dead_runs_of_the_same_name_left(server: Server) -> None:
    """What an earlier run of this run's name has left goes, and what this one has made since stays."""
    server.create(server.base)
    script = """
    dead = backend()
    dead.lock(base)
    dead.mark(base)
    for number in (1, 2):
        dead.copy(base, f"{base}_{number}")
    dead.unlock()
    b.lock(base)
    b.copy(base, base + "_2")
    b.copy(base, base + "_3")
    say(*b.sweep())
    say(*b.sweep(), b.lock(base), dead.lock(base))
    dead.unlock()
    b.unlock()
    """
    swept, again = server.run(unindented(script))
    assert {name.removeprefix(server.base) for name in swept} == {"", "_1"}
    assert again == [True, False]
    assert server.names() == {"_2", "_3"}


def test_a_template_in_use_is_not_removed(server: Server) -> None:
    """A template goes with its spares, when no other process is using it."""
    server.create(server.base)
    script = """
    b.keep(base, digest, "")
    kept = template(b)
    other = backend()
    other.provide(kept, base + "_1")
    b.unlock()
    say(b.remove(kept))
    other.release(base + "_1", kept)
    say(b.remove(kept))
    other.unlock()
    wait_for(lambda: not begun())
    say(b.remove(kept), b.templates())
    b.unlock()
    """
    assert server.run(unindented(script)) == [[False], [False], [True, []]]
    assert server.names() == {""}


def test_use_is_noted_without_waiting(server: Server) -> None:
    """The time of use is that of the last provide; while the template is copied, to note it neither waits nor fails."""
    server.create(server.base)
    script = """
    b.keep(base, digest, "said")
    kept = template(b)
    wait_for(lambda: not begun())
    old = {**b._find(kept.name).note, "used": 1.0}
    b._server.run(b._comment(kept.name, **old))
    say(template(b).used)
    b.provide(template(b), base + "_1")
    say(abs(time.time() - template(b).used) < 60, template(b).description)
    wait_for(lambda: not begun())
    b._server.run(b._comment(kept.name, **old))
    holder = backend()
    holder._server.run("BEGIN")
    holder._server.run(holder._comment(kept.name, **old))
    started = time.monotonic()
    b.touch(kept)
    say(time.monotonic() - started < 2)
    holder._server.run("ROLLBACK")
    for each in (b, holder):
        each.unlock()
    """
    assert server.run(unindented(script)) == [[1.0], [True, "said"], [True]]


def test_sessions_of_this_user_are_ended_those_of_others_named(server: Server, role: Callable[[str], str]) -> None:
    """Our own open session does not hinder a copy or a drop; another role's does, and is left open and named."""
    server.create(server.base)
    user = role("CREATEDB")
    server.query(f"ALTER DATABASE {server.base} OWNER TO {quoted(user)}")
    script = """
    mine = type(connection)({**connection.settings_dict, "NAME": base}, alias="mine")
    mine.ensure_connection()
    b.copy(base, base + "_1")
    say(mine.is_usable())
    mine.close()
    b.mark(base)
    for attempt in (lambda: b.copy(base, base + "_2"), lambda: b.drop(base)):
        try:
            attempt()
        except TestkitError as error:
            say(str(error))
    b.unlock()
    """
    assert server.run(unindented(script).partition("for attempt")[0] + "b.unlock()", USER=user) == [[False]]
    with closing(server.connect(server.base)) as other:
        _, copied, dropped = server.run(
            unindented(script).replace('b.copy(base, base + "_1")', "mine.close()"), USER=user
        )
        pid = other.info.backend_pid
        assert f"Sessions there: {pid} of " in copied[0]
        assert f"Sessions there: {pid} of " in dropped[0]
        assert other.execute("SELECT 1").fetchone() == (1,)
    assert server.names() == {"", "_1"}


def test_interrupted(server: Server) -> None:
    """A copy that Ctrl-C interrupts leaves nothing."""
    server.create(server.base, "CREATE TABLE item AS SELECT generate_series(1, 300000)")
    script = """
    parent = os.getpid()
    child = os.fork()
    if not child:
        wait_for(begun)
        os.kill(parent, signal.SIGINT)
        os._exit(0)
    try:
        b.copy(base, base + "_1")
    except KeyboardInterrupt:
        say("interrupted")
    os.waitpid(child, 0)
    b.unlock()
    """
    assert server.run(unindented(script)) == [["interrupted"]]
    assert server.names() == {""}


def test_an_administrative_session_that_was_ended_is_opened_again(either: Server) -> None:
    """After a restart of the server, say, the backend goes on and has its locks again."""
    script = """
    b.lock(base)
    look("postgres", "SELECT pg_terminate_backend(%d)" % b._server.rows("SELECT pg_backend_pid()")[0][0])
    say(b.templates())
    other = backend()
    say(other.lock(base))
    other.unlock()
    b.unlock()
    """
    assert either.run(unindented(script)) == [[[]], [False]]


def test_without_the_right_to_the_database_postgres(server: Server, role: Callable[[str], str]) -> None:
    """Runs of a role that may not connect to "postgres" use the alias's own database for their locks, and exclude each other."""
    user = role("CREATEDB")
    server.create(server.base)
    server.query(f"ALTER DATABASE {server.base} OWNER TO {quoted(user)}")
    real = f"{server.base}x_real"
    server.create(real)
    script = """
    say(b.lock(base))
    b.copy(base, base + "_1")
    say(look(base + "_1", "SELECT 1"), b._server._session.settings_dict["NAME"])
    other = backend()
    say(other.lock(base))
    for each in (b, other):
        each.unlock()
    """
    server.query("REVOKE CONNECT ON DATABASE postgres FROM PUBLIC")
    try:
        assert server.run(unindented(script), USER=user, NAME=real) == [[True], [[[1]], real], [False]]
    finally:
        server.query("GRANT CONNECT ON DATABASE postgres TO PUBLIC")


@pytest.mark.parametrize(
    "options",
    [
        {"server_side_binding": True},
        {"options": "-c statement_timeout=1 -c default_transaction_isolation=serializable"},
        {"pool": {"min_size": 1, "max_size": 2}},
    ],
    ids=lambda options: next(iter(options)),
)
def test_options_of_the_connection(server: Server, options: dict[str, Any]) -> None:
    """What OPTIONS say about connections of tests, limits and pools too, does not keep databases from being made."""
    if "pool" in options and not find_spec("psycopg_pool"):
        pytest.skip("no psycopg_pool here: pip install psycopg-pool")
    server.create(server.base)
    pooled = "pool" in options
    script = """
    from django.db import OperationalError
    def connect():
        while connection.connection is None:
            try:
                connection.ensure_connection()
            except OperationalError:  # by the limit: on a busy machine Django's own first queries may take that long
                connection.close()
    connection.settings_dict["NAME"] = base
    connect()
    b.keep(base, digest, "")
    kept = template(b)
    b.mark(base)
    b.provide(kept, base)
    connect()
    say(connection.settings_dict["NAME"])
    b.release(base, kept)
    b.unlock()
    """
    assert server.run(unindented(script), options=options, AUTOCOMMIT=pooled) == [[server.base]]


def test_databases_belong_to_the_role_that_is_assumed(either: Server, role: Callable[[str], str]) -> None:
    """With OPTIONS["assume_role"], what is made, spares too, is that role's."""
    user, owner = role("CREATEDB"), role("CREATEDB")
    either.query(f"GRANT {quoted(owner)} TO {quoted(user)}")
    either.query(f"CREATE DATABASE {either.base} OWNER {quoted(owner)}")
    script = """
    b.keep(base, digest, "")
    wait_for(lambda: b._spares(digest[:12]))
    b.mark(base)
    b.provide(template(b), base)
    wait_for(lambda: b._spares(digest[:12]))
    b.unlock()
    """
    either.run(unindented(script), USER=user, options={"assume_role": owner})
    owners = "SELECT DISTINCT pg_get_userbyid(datdba) FROM pg_database WHERE starts_with(datname, %s)"
    assert either.query(owners, either.base) == [(owner,)]


def test_nothing_waits_for_the_disk(server: Server) -> None:
    """In a database that testkit made, built or copied, no session's commits are synchronous."""
    script = """
    with b.creating(base):
        connection.creation._create_test_db(0, True, False)
    b.keep(base, digest, "")
    b.copy(base, f"{base}_1")
    b.unlock()
    """
    server.run(unindented(script), TEST={"NAME": server.base})
    query = (
        "SELECT datname FROM pg_database JOIN pg_db_role_setting ON setdatabase = pg_database.oid "
        "WHERE setrole = 0 AND setconfig = '{synchronous_commit=off}' AND starts_with(datname, %s)"
    )
    made = {name.removeprefix(server.base) for (name,) in server.query(query, server.base)}
    assert made == {"", "_1", f"_tk{DIGEST[:12]}"}


def test_the_version_tells_what_new_databases_are_made_from(server: Server) -> None:
    """A TEST["TEMPLATE"] with another collation is another version."""
    server.query(f"CREATE DATABASE {server.base} TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
    script = "say(b.version()); b.unlock()"
    ((plain,),) = server.run(script)
    ((own,),) = server.run(script, TEST={"TEMPLATE": server.base})
    assert plain.startswith("PostgreSQL 1")
    assert plain != own == f"{plain.split(' UTF8')[0]} UTF8 C C"


def unindented(script: str) -> str:
    return dedent(script)


def wait_for(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def next_line(process: subprocess.Popen[str]) -> list[Any]:
    assert process.stdout
    return json.loads(process.stdout.readline())


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()
