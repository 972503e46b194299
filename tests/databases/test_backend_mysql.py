"""Templates and clones on a real server: copies are whole, what is marked is finished, and a killed run leaves no harm."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import dj_database_url
import pytest
from django.apps import apps
from django.conf import UserSettingsHolder, global_settings, settings
from django.db.utils import ConnectionHandler

from testkit.core.errors import TestkitError
from testkit.databases import guard
from testkit.databases.backends.base import Template
from testkit.databases.backends.mysql import MysqlBackend
from testkit.databases.backends.mysql_registry import State
from tests.projects import ROOT, clean_environment
from tests.servers import driver, find

START = "test_backend_of_mysql"
SOURCE = START
DIGEST = "0123456789abcdef"
OTHER_DIGEST = "fedcba9876543210"

# In another process, which calls methods of a backend and may be killed at any moment.
SCRIPT = """
import json, sys
from pathlib import Path
import django
from django.conf import settings
given = json.loads(sys.argv[1])
settings.configure(DATABASES={"default": given["settings"]})
django.setup()
from django.db import connections
from testkit.databases.backends.mysql import MysqlBackend
backend = MysqlBackend(connections["default"], given["base"], Path("/nowhere"))
backend.run_name = given["run"]
assert backend.lock(given["run"])
print("begun", flush=True)
sys.stdin.readline()
template = lambda: backend.templates()[0]
exec(given["code"])
print("done", flush=True)
if given["waits"]:
    sys.stdin.readline()
"""


class Lab:
    """The server, and databases on it whose names begin with ``START``."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.settings = dj_database_url.parse(url)
        self._backends: list[MysqlBackend] = []
        self.is_mariadb = "MariaDB" in self.query("SELECT VERSION()")[0][0]

    def connect(self, **given: Any) -> Any:
        names = {"USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
        options = {names[key]: value for key, value in self.settings.items() if key in names and value}
        options |= {"charset": "utf8mb4", "autocommit": True, **self.settings.get("OPTIONS", {}), **given}
        return driver(self.url).connect(**options)

    def query(self, statement: str, database: str = "") -> list[tuple[Any, ...]]:
        with closing(self.connect(**({"database": database} if database else {}))) as connection:
            cursor = connection.cursor()
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []

    def run(self, statements: Sequence[str], database: str) -> None:
        with closing(self.connect(database=database)) as connection:
            for statement in statements:
                connection.cursor().execute(statement)

    def create(self, name: str, *statements: str, options: str = "CHARACTER SET utf8mb4") -> None:
        self.query(f"CREATE DATABASE {quoted(name)} {options}")
        self.run(statements, name)

    def databases(self) -> set[str]:
        return {name for (name,) in self.query("SHOW DATABASES") if name.startswith(START)}

    def clear(self) -> None:
        """Remove all that a test has left, also one that has failed."""
        for backend in self._backends:
            backend.unlock()
        for name in self.databases():
            self.query(f"DROP DATABASE {quoted(name)}")

    def django_settings(self, **given: Any) -> dict[str, Any]:
        return {**self.settings, "NAME": "real_one", "TEST": {}, **given}

    def backend(self, base: str = SOURCE, run: str = "", **given: Any) -> MysqlBackend:
        """Return a backend whose run has its lock, as the run of every backend in use has."""
        connection = ConnectionHandler({"default": self.django_settings(**given)})["default"]
        backend = MysqlBackend(connection, base, Path("/nowhere"))
        backend.run_name = run or base
        self._backends.append(backend)
        assert backend.lock(backend.run_name)
        return backend

    def process(self, code: str, run: str = SOURCE, *, waits: bool = False) -> subprocess.Popen[str]:
        """Start a process that runs ``code`` with a ``backend`` when it is given a line."""
        given = {"settings": self.django_settings(), "base": SOURCE, "run": run, "code": code, "waits": waits}
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, json.dumps(given)],
            cwd=ROOT,
            env=clean_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        return process

    def dump(self, name: str) -> str:
        """Return a whole database as text, by the server's own program; what it is called is left out."""
        connection = self.settings
        socket = connection.get("OPTIONS", {}).get("unix_socket")
        ways = {"socket": socket, "host": connection["HOST"], "port": connection["PORT"], "user": connection["USER"]}
        result = subprocess.run(
            [
                *(find("mariadb-dump", "mysqldump", package="mariadb-client"), "--no-defaults"),
                *(f"--{way}={value}" for way, value in ways.items() if value),
                *("--routines", "--events", "--triggers", "--hex-blob", "--order-by-primary", "--skip-extended-insert"),
                *("--skip-comments", "--skip-add-locks", "--skip-dump-date", name),
            ],
            env={**os.environ, "MYSQL_PWD": connection["PASSWORD"] or ""},
            capture_output=True,
            check=True,
        )
        bare = re.compile(rf"\b{re.escape(name)}\s*\.\s*")  # in what somebody has written
        return bare.sub("`it`.", result.stdout.decode().replace(quoted(name), "`it`"))


def quoted(name: str) -> str:
    return "`{}`".format(name.replace("`", "``"))


@pytest.fixture
def lab(mysql_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """The server, with nothing of these tests on it."""
    monkeypatch.setattr(apps, "ready", True)  # else Django warns of every query
    before, settings._wrapped = settings._wrapped, UserSettingsHolder(global_settings)
    lab = Lab(mysql_url)
    lab.clear()
    yield lab
    lab.clear()
    settings._wrapped = before


@pytest.fixture
def backend(lab: Lab) -> MysqlBackend:
    return lab.backend()


PLAIN = (
    "CREATE TABLE author (id BIGINT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(50) NOT NULL UNIQUE)",
    """CREATE TABLE book (id BIGINT AUTO_INCREMENT PRIMARY KEY, title TEXT, author_id BIGINT NOT NULL,
        CONSTRAINT by_author FOREIGN KEY (author_id) REFERENCES author (id) ON DELETE CASCADE)""",
    "CREATE TABLE kind (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(50))",
    "CREATE TABLE log (id INT AUTO_INCREMENT PRIMARY KEY, text VARCHAR(50))",
    "INSERT INTO kind (name) VALUES ('red'), ('green')",
    "CREATE TRIGGER noted AFTER INSERT ON author FOR EACH ROW INSERT INTO log (text) VALUES (NEW.name)",
    "INSERT INTO author (name) VALUES ('Ada')",
    "INSERT INTO book (title, author_id) VALUES ('Notes', 1)",
    "CREATE VIEW titles AS SELECT book.title, author.name FROM book JOIN author ON author.id = author_id",
)

RICH = (
    *PLAIN,
    "CREATE FUNCTION one_more (x INT) RETURNS INT DETERMINISTIC RETURN x + 1",
    "CREATE PROCEDURE empty_log () MODIFIES SQL DATA BEGIN DELETE FROM log WHERE text = 'a;b%s'; END",
    # Names in an order that is not the one in which they can be made.
    "CREATE VIEW z_last AS SELECT one_more(id) AS n, '`test`.`x`' AS t, name FROM author",
    "CREATE VIEW b_middle AS SELECT n, CONCAT(name, '%s') AS name FROM z_last",
    "CREATE SQL SECURITY INVOKER VIEW a_first AS SELECT MAX(n) AS n FROM b_middle",
    "CREATE TABLE `odd ``name %s _x` (`a ``b%d` INT PRIMARY KEY, `c_%` VARCHAR(9) COMMENT 'it''s ; 100 %') COMMENT '\\n) ENGINE=x'",
    "INSERT INTO `odd ``name %s _x` VALUES (0, '%s'), (1, '\\\\')",
    "CREATE TRIGGER `odd ``trigger %` BEFORE UPDATE ON `odd ``name %s _x` FOR EACH ROW SET NEW.`c_%` = '%'",
    f"CREATE TRIGGER {START}.second AFTER INSERT ON {START} . author FOR EACH ROW FOLLOWS noted SET @x = 1",
    """CREATE TABLE things (
        id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
        sized INT GENERATED ALWAYS AS (CHAR_LENGTH(words)) STORED, hidden INT AS (id * 2) VIRTUAL,
        words VARCHAR(200) COLLATE utf8mb4_bin NOT NULL DEFAULT 'it''s', latin VARCHAR(20) CHARACTER SET latin1,
        day DATE NOT NULL DEFAULT '0000-00-00', moment TIMESTAMP NULL, at DATETIME(6), clock TIME(3),
        document JSON, data LONGBLOB, place POINT NOT NULL, number DECIMAL(30, 10), f FLOAT, d DOUBLE, bits BIT(10),
        choice ENUM('a', 'b'), several SET('x', 'y'), y YEAR, price INT CHECK (price > 0),
        UNIQUE KEY of_words (words(20), day), FULLTEXT KEY in_words (words), SPATIAL KEY in_place (place),
        KEY falling (day DESC), CONSTRAINT positive CHECK (number >= 0)
    ) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci AUTO_INCREMENT = 100 COMMENT 'AUTO_INCREMENT=7'""",
    """INSERT INTO things (words, latin, day, moment, at, clock, document, data, place, number, f, d, bits, choice, several)
        VALUES ('grüße 🎉', 'é', '0000-00-00', '2024-03-31 02:30:00', '2024-01-01 00:00:00.123456', '-12:00:01.5',
        '{"a": [1, "🎉"]}', REPEAT(x'00ff27', 9999), POINT(1, 2), 1.5, 1.1, 0.1, b'1000000001', 'b', 'x,y'),
        ('', NULL, '2023-00-00', NULL, NULL, NULL, NULL, '', POINT(0, 0), NULL, NULL, NULL, NULL, NULL, '')""",
    "DELETE FROM log",
    "CREATE TABLE zeros (id INT AUTO_INCREMENT PRIMARY KEY)",
    "INSERT INTO zeros VALUES (0), (-5), (7)",
    "DELETE FROM zeros WHERE id = 7",
    "CREATE TABLE old (id INT AUTO_INCREMENT PRIMARY KEY, t VARCHAR(5)) ENGINE = MyISAM CHARACTER SET cp1251",
    "INSERT INTO old (t) VALUES ('мир'), ('да')",
    "DELETE FROM old WHERE id = 2",
    """CREATE TABLE parts (id INT PRIMARY KEY) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10),
        PARTITION p1 VALUES LESS THAN MAXVALUE)""",
    "INSERT INTO parts VALUES (1), (100)",
    # Two tables that refer to each other.
    "CREATE TABLE hen (id INT PRIMARY KEY, egg_id INT)",
    "CREATE TABLE egg (id INT PRIMARY KEY, hen_id INT, FOREIGN KEY (hen_id) REFERENCES hen (id) ON UPDATE SET NULL)",
    "ALTER TABLE hen ADD CONSTRAINT out_of FOREIGN KEY (egg_id) REFERENCES egg (id)",
    "SET SESSION sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT', time_zone = '+05:00'",
    'CREATE FUNCTION "joined" (a VARCHAR(9), b VARCHAR(9)) RETURNS VARCHAR(20) DETERMINISTIC RETURN a || "b"',
    "CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' COMMENT 'c' DO DELETE FROM log",
    "CREATE EVENT off ON SCHEDULE EVERY 1 HOUR DISABLE DO DELETE FROM log",
    "SET NAMES latin1, SESSION sql_mode = ''",
    "CREATE PROCEDURE in_latin () SELECT 'plain'",
)
ZERO_DATES = "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO'"
OF_MARIADB = (
    "CREATE SEQUENCE numbers START WITH 5 INCREMENT BY 3 CACHE 10",
    "DO NEXTVAL(numbers)",
    "CREATE TABLE numbered (id INT DEFAULT (NEXTVAL(numbers)) PRIMARY KEY, u UUID, secret INT INVISIBLE DEFAULT 3)",
    "INSERT INTO numbered (u, secret) VALUES (UUID(), 4)",
    "CREATE TABLE versions (id INT PRIMARY KEY, n INT) WITH SYSTEM VERSIONING",
    "CREATE VIEW across AS SELECT numbered.id, mysql.help_topic.name FROM numbered JOIN mysql.help_topic",
)


def make_rich(lab: Lab) -> None:
    # In a collation of its own; made before that, a procedure has the collation of then.
    options = "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
    lab.create(SOURCE, "CREATE PROCEDURE before_that (x TEXT) SELECT x", options=options)
    lab.query(f"ALTER DATABASE {SOURCE} COLLATE utf8mb4_unicode_520_ci")
    lab.run([ZERO_DATES, *RICH, *(OF_MARIADB if lab.is_mariadb else ())], SOURCE)


def keep(backend: MysqlBackend, digest: str = DIGEST) -> Template:
    backend.keep(SOURCE, digest, f"of {digest}")
    return next(template for template in backend.templates() if digest.startswith(template.digest))


@pytest.fixture
def template(lab: Lab, backend: MysqlBackend) -> Template:
    """A template of the plain tables; the database of its making is gone."""
    lab.create(SOURCE, *PLAIN)
    backend.mark(SOURCE)
    template = keep(backend)
    backend.drop(SOURCE)
    return template


# Copies


def test_a_copy_is_what_the_servers_own_dump_says(lab: Lab, backend: MysqlBackend) -> None:
    """All that mysqldump writes is the same in a copy, whatever the settings of the server's sessions are."""
    make_rich(lab)
    backend.copy(SOURCE, f"{START}_1")
    assert lab.dump(f"{START}_1") == lab.dump(SOURCE)
    collation = "SELECT @@collation_database"
    assert lab.query(collation, f"{START}_1") == lab.query(collation, SOURCE) == [("utf8mb4_unicode_520_ci",)]


def test_a_template_and_what_it_provides_are_whole(lab: Lab, backend: MysqlBackend) -> None:
    """From the database that migrations made to the clone of a template nothing is lost, not the events either."""
    make_rich(lab)
    backend.provide(keep(backend), f"{START}_1")
    assert lab.dump(f"{START}_1") == lab.dump(SOURCE)


def test_events_run_in_no_template_and_in_no_clean_clone(lab: Lab, backend: MysqlBackend) -> None:
    """A server runs events whether somebody uses the database or not, so they are only in databases in use."""
    lab.create(SOURCE, *PLAIN, "CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DO DELETE FROM log")
    backend.mark(SOURCE)
    template = keep(backend)
    asked = "SELECT event_schema FROM information_schema.events WHERE event_schema LIKE 'test_backend%'"
    assert lab.query(asked) == [(SOURCE,)]
    backend.release(SOURCE, template)
    assert lab.query(asked) == []
    backend.provide(template, SOURCE)
    assert lab.query(asked) == [(SOURCE,)]


def test_the_projects_session_settings_change_nothing(lab: Lab) -> None:
    """Neither a strict mode, nor the character set or the time zone of the project's connections, is in a copy."""
    make_rich(lab)
    modes = "TRADITIONAL,ANSI_QUOTES" + ",NO_TABLE_OPTIONS" * lab.is_mariadb
    command = f"SET SESSION sql_mode = '{modes}', time_zone = '+03:00'"
    options = {**lab.settings.get("OPTIONS", {}), "init_command": command, "charset": "latin1"}
    backend = lab.backend(OPTIONS=options)
    backend.copy(SOURCE, f"{START}_1")
    backend.unlock()
    assert lab.dump(f"{START}_1") == lab.dump(SOURCE)


@pytest.mark.parametrize("mark", ["`", "%", "é"])
def test_names_of_databases_may_be_odd(lab: Lab, mark: str) -> None:
    """A base name with a backtick, a percent sign or a letter beyond ASCII is a name like any other."""
    base = f"{START}{mark}s"
    lab.create(base, *PLAIN)
    backend = lab.backend(base)
    backend.mark(base)
    backend.keep(base, DIGEST, "odd")
    (template,) = backend.templates()
    backend.provide(template, f"{base}_1")
    assert lab.dump(f"{base}_1") == lab.dump(base)
    backend.release(f"{base}_1", template)
    assert backend.remove(template)
    backend.drop(base)
    backend.unlock()
    assert lab.databases() == set()


def test_a_base_name_of_64_characters(lab: Lab) -> None:
    """The longest name that a server allows has templates, whose names are cut and still its own."""
    base = START + "x" * (64 - len(START))
    lab.create(base, *PLAIN)
    backend = lab.backend(base)
    backend.mark(base)
    backend.keep(base, DIGEST, "long")
    (template,) = backend.templates()
    assert template.digest == DIGEST[:12]
    assert template.description == "long"
    backend.release(base, template)
    backend.provide(template, base)
    assert lab.query("SELECT name FROM author", base) == [("Ada",)]
    backend.unlock()


def test_what_cannot_be_copied_leaves_nothing(lab: Lab, backend: MysqlBackend) -> None:
    """A view whose table is gone is named in the error, and no half of a copy or of a template stays."""
    lab.create(SOURCE, *PLAIN, "DROP TABLE book")
    for make in (lambda: backend.copy(SOURCE, f"{START}_1"), lambda: backend.keep(SOURCE, DIGEST, "")):
        with pytest.raises(TestkitError, match=r"the view titles cannot be made in .*\.book' doesn't exist"):
            make()
    backend.unlock()
    assert lab.databases() == {SOURCE}


def test_foreign_keys_of_many_tables_work(lab: Lab, backend: MysqlBackend) -> None:
    """Tables that are made side by side, some before those that they refer to, have foreign keys that are checked."""
    tables = [
        f"CREATE TABLE t{n} (id INT PRIMARY KEY, of INT, CONSTRAINT f{n} FOREIGN KEY (of) REFERENCES t{(n + 7) % 30} (id))"
        for n in range(30)
    ]
    rows = [f"INSERT INTO t{n} VALUES (1, 1)" for n in range(30)]
    lab.create(SOURCE, "SET foreign_key_checks = 0", *tables, *rows)
    for copy in (f"{START}_{n}" for n in range(3)):
        backend.copy(SOURCE, copy)
        with closing(lab.connect(database=copy)) as connection:
            for n in range(30):
                for statement, code in ((f"DELETE FROM t{n}", 1451), (f"INSERT INTO t{n} VALUES (2, 9)", 1452)):
                    with pytest.raises(driver(lab.url).IntegrityError) as refused:
                        connection.cursor().execute(statement)
                    assert refused.value.args[0] == code


def test_a_copy_is_compared_with_its_source(lab: Lab, backend: MysqlBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that is not the same is an error that says where: here somebody changes it at once."""
    from testkit.databases.backends import mysql_copy

    lab.create(SOURCE, *PLAIN)
    read = mysql_copy.read_contents

    def read_after_change(*args: Any, **given: Any) -> Any:
        lab.query("ALTER TABLE author ADD COLUMN surprise INT", f"{START}_1")
        monkeypatch.setattr(mysql_copy, "_Change", lambda *_: type("Idle", (), {"make": lambda self: None})())
        monkeypatch.setattr(mysql_copy, "read_contents", read)
        return read(*args, **given)

    monkeypatch.setattr(mysql_copy, "read_contents", read_after_change)
    with pytest.raises(TestkitError, match="has not become the same: table author"):
        backend.copy(SOURCE, f"{START}_1")
    assert f"{START}_1" not in lab.databases()


# What is whose


def test_a_stranger_is_never_dropped(lab: Lab, backend: MysqlBackend, template: Template) -> None:
    """A database that testkit has not made stays, by whatever method its name comes up, and is named as the reason."""
    lab.create(f"{START}_1", "CREATE TABLE precious (id INT)")
    assert backend.stranger(f"{START}_1")
    for use in (
        lambda: backend.drop(f"{START}_1"),
        lambda: backend.release(f"{START}_1", None),
        lambda: backend.release(f"{START}_1", template),
        lambda: backend.provide(template, f"{START}_1"),
        lambda: backend.copy(template.name, f"{START}_1"),
    ):
        with pytest.raises(TestkitError, match="was not made by testkit"):
            use()
    assert list(backend.sweep()) == []
    assert lab.query("SHOW TABLES", f"{START}_1") == [("precious",)]


def test_a_stranger_with_the_name_of_a_template_stays(lab: Lab, backend: MysqlBackend) -> None:
    """A database that has a template's name by chance is none, and is not replaced by one."""
    lab.create(SOURCE, *PLAIN)
    name = backend.template_name(DIGEST)
    lab.create(name, "CREATE TABLE precious (id INT)")
    assert backend.templates() == []
    with pytest.raises(TestkitError, match="was not made by testkit"):
        backend.keep(SOURCE, DIGEST, "")
    assert lab.query("SHOW TABLES", name) == [("precious",)]


def test_what_is_marked_is_no_stranger(lab: Lab, backend: MysqlBackend) -> None:
    """A database that is not there is nobody's; one that was marked is testkit's, and is dropped."""
    assert not backend.stranger(SOURCE)
    lab.create(SOURCE)
    assert backend.stranger(SOURCE)
    backend.mark(SOURCE)
    assert not backend.stranger(SOURCE)
    backend.drop(SOURCE)
    backend.drop(SOURCE)
    backend.unlock()
    assert lab.databases() == set()


def test_the_registry_stays_as_long_as_something_is_known(lab: Lab, backend: MysqlBackend, template: Template) -> None:
    """A run that leaves nothing leaves no registry either; beside a template it stays."""
    registry = f"{START}_tk_registry"
    backend.unlock()
    assert lab.databases() == {registry, template.name}
    assert backend.remove(template)
    backend.unlock()
    assert lab.databases() == set()


def test_a_database_of_another_living_run_is_not_touched(lab: Lab, backend: MysqlBackend, template: Template) -> None:
    """What another run is using is neither replaced nor dropped nor swept, and its template stays."""
    other = lab.backend(run=f"{START}_r1")
    other.provide(template, f"{START}_r1")
    with pytest.raises(TestkitError, match="in use by another run"):
        backend.provide(template, f"{START}_r1")
    assert list(backend.sweep()) == []
    assert not backend.remove(template)
    other.release(f"{START}_r1", template)
    assert backend.remove(template)
    other.unlock()
    backend.unlock()
    assert lab.databases() == set()


def test_a_template_that_a_run_uses_is_not_removed(backend: MysqlBackend, template: Template) -> None:
    """As long as clones of it are in use, this run's own too, a template stays."""
    backend.provide(template, SOURCE)
    assert not backend.remove(template)
    backend.release(SOURCE, None)
    assert backend.remove(template)
    assert backend.templates() == []
    with pytest.raises(TestkitError, match="not there any more"):
        backend.provide(template, SOURCE)


# Templates


def test_a_template_is_described_and_its_use_noted(lab: Lab, backend: MysqlBackend, template: Template) -> None:
    """A template tells what was said with it, in what words ever, and when it was used."""
    lab.create(SOURCE, *PLAIN)
    backend.keep(SOURCE, OTHER_DIGEST, "grüße 🎉 %s '")
    backend.keep(SOURCE, OTHER_DIGEST, "is there already")
    lab.query(f"UPDATE {START}_tk_registry.made_1 SET used = used - 100 WHERE name = '{template.name}'")
    later = time.time()
    backend.touch(template)
    used = {each.digest: each for each in backend.templates()}[template.digest].used
    backend.touch(template)
    found = {each.digest: each for each in backend.templates()}
    assert {digest: each.description for digest, each in found.items()} == {
        DIGEST[:12]: f"of {DIGEST}",
        OTHER_DIGEST[:12]: "grüße 🎉 %s '",
    }
    assert found[DIGEST[:12]].used == used >= later - 1 > template.used - 60
    assert used >= found[OTHER_DIGEST[:12]].used


def test_a_template_that_somebody_dropped_is_none(lab: Lab, backend: MysqlBackend, template: Template) -> None:
    """What is known of a template does not count without its database, and is forgotten."""
    lab.query(f"DROP DATABASE {template.name}")
    assert backend.templates() == []
    assert list(backend.sweep()) == []
    backend.unlock()
    assert lab.databases() == set()


def test_two_runs_keep_the_same_template(lab: Lab) -> None:
    """Of two runs that make a template at once one does, and both find it whole."""
    lab.create(SOURCE, *PLAIN)
    code = f"backend.keep({SOURCE!r}, {DIGEST!r}, 'x')\nassert len(backend.templates()) == 1"
    assert outputs([lab.process(code, run=f"{START}_r{n}") for n in range(2)]) == ["done\n"] * 2
    assert lab.dump(f"{START}_tk{DIGEST[:12]}") == lab.dump(SOURCE)


def test_two_runs_are_provided_at_once(lab: Lab, backend: MysqlBackend, template: Template) -> None:
    """Two processes that take clones of one template, ten times at once, each get a whole one."""
    whole = lab.dump(template.name)
    for _ in range(10):
        names = [f"{START}_r{n}" for n in range(2)]
        codes = [f"backend.provide(template(), {name!r})" for name in names]
        processes = [lab.process(code, run=name) for code, name in zip(codes, names, strict=True)]
        assert outputs(processes) == ["done\n"] * 2
        assert [lab.dump(name) for name in names] == [whole] * 2
        assert set(backend.sweep()) == set(names)


def outputs(processes: list[subprocess.Popen[str]]) -> list[str]:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return [process.communicate(timeout=60)[0] for process in processes]


# Clean clones


def release_and_provide(lab: Lab, backend: MysqlBackend, template: Template) -> bool:
    """Return whether the database that is released is used again."""
    where = "innodb_sys_tables" if lab.is_mariadb else "innodb_tables"
    asked = f"SELECT table_id FROM information_schema.{where} WHERE name = '{SOURCE}/kind'"
    before = lab.query(asked)
    backend.release(SOURCE, template)
    backend.provide(template, SOURCE)
    return bool(before) and lab.query(asked) == before


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param([], id="nothing"),
        pytest.param(["START TRANSACTION", "INSERT INTO author (name) VALUES ('x')", "ROLLBACK"], id="rolled back"),
        pytest.param(["INSERT INTO author (name) VALUES ('x')"], id="committed rows"),
        pytest.param(["DELETE FROM author"], id="deleted rows"),
        pytest.param(["TRUNCATE log"], id="truncated"),
        pytest.param(["UPDATE author SET name = 'ADA'"], id="another case"),
        pytest.param(["UPDATE book SET title = 'Notes '"], id="another space"),
        pytest.param(["UPDATE book SET title = NULL"], id="null"),
        pytest.param(["CREATE TABLE more (id INT)", "INSERT INTO more VALUES (1)"], id="added table"),
        pytest.param(["DROP TABLE book"], id="dropped table"),
        pytest.param(["ALTER TABLE book ADD COLUMN pages INT"], id="added column"),
        pytest.param(["ALTER TABLE book DROP FOREIGN KEY by_author"], id="dropped foreign key"),
        pytest.param(["RENAME TABLE book TO books"], id="renamed table"),
        pytest.param(["DROP TRIGGER noted"], id="dropped trigger"),
        pytest.param(["DROP VIEW titles", "CREATE VIEW titles AS SELECT 1 AS x"], id="another view"),
        pytest.param(["CREATE VIEW more AS SELECT * FROM titles"], id="added view"),
        pytest.param(["CREATE PROCEDURE p () SELECT 1", "CREATE FUNCTION f () RETURNS INT RETURN 1"], id="routines"),
        pytest.param(["CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO DELETE FROM log"], id="event"),
    ],
)
def test_a_released_database_is_as_its_template(
    lab: Lab, backend: MysqlBackend, template: Template, changes: list[str]
) -> None:
    """Whatever tests leave is undone, its triggers do nothing meanwhile, and the same database is used again."""
    backend.provide(template, SOURCE)
    lab.run(changes, SOURCE)
    assert release_and_provide(lab, backend, template)
    assert lab.dump(SOURCE) == lab.dump(template.name)


def test_rows_that_exchange_values_are_noticed(lab: Lab, backend: MysqlBackend) -> None:
    """Sums of checksums would be the same for many exchanges of values between two rows: all are noticed."""
    rows = ", ".join(f"({n}, {n * 7919 % 10007})" for n in range(2000))
    lab.create(SOURCE, "CREATE TABLE pairs (a INT PRIMARY KEY, b INT)", f"INSERT INTO pairs VALUES {rows}")
    backend.mark(SOURCE)
    template = keep(backend)
    for n in range(0, 40, 2):
        both = n * 7919 % 10007 + (n + 1) * 7919 % 10007
        lab.query(f"UPDATE pairs SET b = {both} - b WHERE a IN ({n}, {n + 1})", SOURCE)
    assert lab.dump(SOURCE) != lab.dump(template.name)
    backend.release(SOURCE, template)
    assert lab.dump(SOURCE) == lab.dump(template.name)


def test_tables_that_refer_to_each_other_are_counted_again(lab: Lab, backend: MysqlBackend) -> None:
    """The server hangs if two tables of a circle are altered at the same time, so they are not."""
    others = {name: chr(ord(name) ^ 1) for name in "bcdefghi"}  # b and c, d and e, …
    lab.create(
        SOURCE,
        "SET foreign_key_checks = 0",
        *(
            f"CREATE TABLE {name} (id INT AUTO_INCREMENT PRIMARY KEY, other INT REFERENCES {other} (id), "
            f"self INT REFERENCES {name} (id))"
            for name, other in others.items()
        ),
    )
    backend.mark(SOURCE)
    template = keep(backend)
    for _ in range(3):
        lab.run([f"INSERT INTO {name} VALUES (NULL, NULL, NULL)" for name in others], SOURCE)
        lab.run([f"DELETE FROM {name}" for name in others], SOURCE)
        backend.release(SOURCE, template)
        assert lab.dump(SOURCE) == lab.dump(template.name)
        backend.provide(template, SOURCE)


def test_a_database_with_another_collation_is_replaced(lab: Lab, backend: MysqlBackend, template: Template) -> None:
    """What cannot be brought back is dropped, and made anew by the next run."""
    backend.provide(template, SOURCE)
    lab.query(f"ALTER DATABASE {SOURCE} COLLATE utf8mb4_bin")
    backend.release(SOURCE, template)
    assert SOURCE not in lab.databases()
    backend.provide(template, SOURCE)
    assert lab.dump(SOURCE) == lab.dump(template.name)


def test_a_clean_clone_of_another_template_is_replaced(lab: Lab, backend: MysqlBackend, template: Template) -> None:
    """A branch that is switched finds its own tables under the name that the other one has used."""
    lab.create(SOURCE, *PLAIN, "CREATE TABLE more (id INT)")
    backend.mark(SOURCE)
    other = keep(backend, OTHER_DIGEST)
    backend.release(SOURCE, other)
    for each in (template, other):
        backend.provide(each, SOURCE)
        assert lab.dump(SOURCE) == lab.dump(each.name)
        backend.release(SOURCE, each)


def test_one_of_two_runs_gets_a_clean_clone(lab: Lab, backend: MysqlBackend, template: Template) -> None:
    """A clean clone is taken away first: of two runs that want it, the other is refused."""
    backend.provide(template, SOURCE)
    backend.release(SOURCE, template)
    backend.unlock()
    code = f"backend.provide(template(), {SOURCE!r})"
    processes = [lab.process(code, run=f"{START}_r{n}", waits=True) for n in range(2)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    lines = [process.stdout.readline() for process in processes if process.stdout is not None]
    for process in processes:
        process.kill()
        process.communicate()
    assert sorted(lines) == ["", "done\n"]


def test_what_is_not_released_is_replaced(lab: Lab, backend: MysqlBackend, template: Template) -> None:
    """A database that a run has used and not released is never used as it is, though nothing in it has changed."""
    backend.provide(template, SOURCE)
    lab.query("INSERT INTO kind (name) VALUES ('poison')", SOURCE)
    backend.unlock()
    again = lab.backend()
    again.provide(template, SOURCE)
    assert lab.dump(SOURCE) == lab.dump(template.name)
    again.unlock()


# Sessions


def test_sessions_left_at_a_database_are_ended(lab: Lab, backend: MysqlBackend, template: Template) -> None:
    """A transaction that tests have left open neither keeps a database from being dropped nor from being cleaned."""
    for end in (template, None):
        backend.provide(template, SOURCE)
        with closing(lab.connect(database=SOURCE)) as connection:
            cursor = connection.cursor()
            cursor.execute("START TRANSACTION")
            cursor.execute("INSERT INTO kind (name) VALUES ('open')")
            backend.release(SOURCE, end)
            with pytest.raises(driver(lab.url).OperationalError):
                cursor.execute("SELECT 1")


def test_a_session_that_blocks_is_named(
    lab: Lab, backend: MysqlBackend, template: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction of a session that is elsewhere is not ended: after a limited time the error names the session."""
    backend.provide(template, SOURCE)
    backend._server.run("SET SESSION lock_wait_timeout = 1")
    with closing(lab.connect()) as connection:
        cursor = connection.cursor()
        cursor.execute("START TRANSACTION")
        cursor.execute(f"SELECT * FROM {SOURCE}.kind")
        cursor.execute("SELECT CONNECTION_ID()")
        with pytest.raises(
            TestkitError, match=rf"cannot be dropped: it is locked by .*session {cursor.fetchone()[0]} \("
        ):
            backend.drop(SOURCE)
        cursor.execute("ROLLBACK")
    backend.drop(SOURCE)
    assert SOURCE not in lab.databases()


def test_the_administrative_session_is_at_no_database_that_another_run_may_drop(
    lab: Lab, backend: MysqlBackend, template: Template
) -> None:
    """Another run that drops what this one has read does not end this one's session, and its locks with it."""
    other = lab.backend(run=f"{START}_r1")
    other.provide(template, f"{START}_r1")
    other.release(f"{START}_r1", template)
    assert backend.remove(template)
    assert lab.query("SHOW DATABASES LIKE 'x'") == []
    assert not backend.lock(f"{START}_r1")
    other.unlock()
    assert backend.lock(f"{START}_r1")


# Locks


def test_a_lock_is_the_runs(lab: Lab, backend: MysqlBackend) -> None:
    """A name is one run's at a time, may be locked again by it, and is free when it is given back."""
    other = lab.backend(run=f"{START}_r1")
    assert backend.lock(SOURCE)
    assert not other.lock(SOURCE)
    backend.unlock()
    assert other.lock(SOURCE)
    other.unlock()


def test_a_lock_dies_with_its_process(lab: Lab, backend: MysqlBackend) -> None:
    """A killed process has no locks, as soon as the server has noticed."""
    process = lab.process("", run=f"{START}_r1", waits=True)
    assert not backend.lock(f"{START}_r1")
    process.kill()
    process.communicate()
    assert eventually(lambda: backend.lock(f"{START}_r1"))


def test_a_lock_is_also_that_of_forked_processes(lab: Lab, backend: MysqlBackend, template: Template) -> None:
    """A forked process copies by a session of its own; however it ends the parent keeps its lock, and has it until both end."""
    code = f"""
import os, time
keep = backend._server._session
child = os.fork()
if not child:
    backend.provide(template(), {f"{START}_child"!r})
    assert backend.lock({f"{START}_r1"!r})
    del keep
    backend.unlock()
    sys.exit(0)  # with all that the interpreter tidies up
assert os.waitpid(child, 0)[1] == 0
assert backend._server.holder({f"{START}_r1"!r}) == backend._server.value("SELECT CONNECTION_ID()")
child = os.fork()
if not child:
    time.sleep(60)
print(child, flush=True)
"""
    process = lab.process(code, run=f"{START}_r1", waits=True)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    child = int(process.stdout.readline())
    try:
        assert lab.dump(f"{START}_child") == lab.dump(template.name)
        process.kill()
        process.wait()
        time.sleep(0.3)
        assert not backend.lock(f"{START}_r1")
    finally:
        os.kill(child, signal.SIGKILL)
    assert eventually(lambda: backend.lock(f"{START}_r1"))
    process.communicate()
    assert eventually(lambda: list(backend.sweep()) == [f"{START}_child"] or f"{START}_child" not in lab.databases())


def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


# Killed runs

KILLED = {
    "keep": f"backend.keep({SOURCE!r}, {OTHER_DIGEST!r}, 'killed')",
    "provide": f"backend.provide(template(), {START + '_r1'!r})",
    "copy": f"backend.copy({SOURCE!r}, {START + '_r1'!r})",
    "release": f"""
backend.provide(template(), {START + "_r1"!r})
for table in ("author", "book", "kind", "log"):
    backend._server.run("DELETE FROM {START}_r1." + table)
backend.release({START + "_r1"!r}, template())
""",
    "remove": "backend.remove(template())",
    "drop": f"backend.copy({SOURCE!r}, {START + '_r1'!r})\nbackend.drop({START + '_r1'!r})",
}


MOMENTS = 5
"""So often each kind of work is killed, at moments that are spread over its time."""


@pytest.mark.parametrize("what", KILLED)
def test_a_killed_run_leaves_no_harm(lab: Lab, what: str) -> None:
    """Killed at any moment of its work, a run leaves what a sweep removes, and the next run is right."""
    # So many tables that they are made in several sessions.
    lab.create(SOURCE, *PLAIN, *(f"CREATE TABLE more_{n} (id INT AUTO_INCREMENT PRIMARY KEY)" for n in range(8)))
    whole = lab.dump(SOURCE)
    name, run = START + "_tk" + OTHER_DIGEST[:12], f"{START}_r1"
    seconds, killed = 0.0, 0
    for moment in range(MOMENTS + 1):
        first = lab.backend(run=f"{START}_r2")
        if not any(DIGEST.startswith(each.digest) for each in first.templates()):
            first.keep(SOURCE, DIGEST, "there")
        first.unlock()
        if moment == 0:
            seconds = work(lab, KILLED[what], None)  # to its end, to tell how long that takes
        else:
            is_killed = work(lab, KILLED[what], seconds * (moment - 0.5) / MOMENTS) == 0
            killed += is_killed
            if not is_killed:
                seconds /= 2  # it takes less time than it did at first
        # As the next run with the name of the killed one, or as another.
        backend = lab.backend(run=run if moment % 2 else f"{START}_r2")
        list(backend.sweep())
        check_what_is_left(lab, backend, whole)
        backend.keep(SOURCE, OTHER_DIGEST, "next")
        template = next(each for each in backend.templates() if each.name == name)
        backend.provide(template, f"{START}_r2")
        assert lab.dump(f"{START}_r2") == whole
        backend.release(f"{START}_r2", None)
        assert backend.remove(template)
        backend.unlock()
    assert killed
    last = lab.backend(run=f"{START}_r2")
    assert all(map(last.remove, last.templates()))
    list(last.sweep())
    last.unlock()
    assert lab.databases() == {SOURCE}


def work(lab: Lab, code: str, seconds: float | None) -> float:
    """Kill a process after some ``seconds`` of its work; return how long it took, 0 if it did not come to its end."""
    process = lab.process(code, run=f"{START}_r1")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    started = time.monotonic()
    if seconds is not None:
        time.sleep(seconds)
        process.kill()
    is_done = process.stdout.read() != ""
    took = time.monotonic() - started
    process.communicate()
    probe = lab.backend(run=f"{START}_r3")
    assert eventually(lambda: probe.lock(f"{START}_r1"))
    probe.unlock()
    return took if is_done else 0.0


def check_what_is_left(lab: Lab, backend: MysqlBackend, whole: str) -> None:
    """What is there after a sweep is whole: finished templates, and clones that are as their template."""
    known = backend._registry.entries()
    left = lab.databases() - {SOURCE, f"{START}_tk_registry"}
    assert left == {entry.name for entry in known}
    assert {entry.state for entry in known} <= {State.TEMPLATE, State.CLEAN}, known
    assert {each for each in left if lab.dump(each) != whole} == set()


# Users


@pytest.fixture
def user(lab: Lab) -> Iterator[dict[str, Any]]:
    """The settings of a user who may do all on databases whose names begin with ``test_``, and nothing else."""
    lab.query("CREATE USER IF NOT EXISTS 'testkit_few'@'localhost' IDENTIFIED BY 'secret word'")
    lab.query(r"GRANT ALL PRIVILEGES ON `test\_%`.* TO 'testkit_few'@'localhost'")
    yield {"USER": "testkit_few", "PASSWORD": "secret word"}
    lab.query("DROP USER 'testkit_few'@'localhost'")


def test_privileges_on_test_databases_are_enough(lab: Lab, user: dict[str, Any]) -> None:
    """A user who has all privileges on test databases alone has templates, clean clones and all that is in them."""
    backend = lab.backend(**user)
    lab.query(f"CREATE DATABASE {SOURCE}")
    with closing(lab.connect(database=SOURCE, user=user["USER"], password=user["PASSWORD"])) as connection:
        event = "CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DO DELETE FROM log"
        for statement in (*PLAIN, "CREATE FUNCTION f (x INT) RETURNS INT DETERMINISTIC RETURN x", event):
            connection.cursor().execute(statement)
    backend.mark(SOURCE)
    whole = lab.dump(SOURCE)
    template = keep(backend)
    backend.release(SOURCE, template)
    for change in ("INSERT INTO kind (name) VALUES ('x')", "DROP VIEW titles"):
        backend.provide(template, SOURCE)
        assert lab.dump(SOURCE) == whole
        lab.query(change, SOURCE)
        backend.release(SOURCE, template)
    assert backend.remove(template)
    backend.unlock()
    assert lab.databases() == set()


def test_a_missing_privilege_is_named(lab: Lab, user: dict[str, Any]) -> None:
    """A user who may use one database only is told what is missing; to drop that one, its mark in the process will do."""
    lab.query("REVOKE ALL PRIVILEGES, GRANT OPTION FROM 'testkit_few'@'localhost'")
    lab.query(f"GRANT ALL PRIVILEGES ON `{SOURCE}`.* TO 'testkit_few'@'localhost'")
    lab.create(SOURCE, *PLAIN)
    backend = lab.backend(**user)
    assert backend.stranger(SOURCE)
    backend.mark(SOURCE)
    assert not backend.stranger(SOURCE)
    with pytest.raises(TestkitError, match=re.escape(r"GRANT ALL PRIVILEGES ON `test\_%`.*")) as refused:
        backend.keep(SOURCE, DIGEST, "")
    assert "secret word" not in str(refused.value)
    assert backend.templates() == []
    assert list(backend.sweep()) == []
    backend.release(SOURCE, None)
    backend.unlock()
    assert lab.databases() == set()


# Beside the run


def test_what_the_guard_blocks(lab: Lab, backend: MysqlBackend) -> None:
    """The administrative connection is opened while databases are set up, and the connection of the alias is not."""
    handler = ConnectionHandler({"default": lab.django_settings()})
    own = MysqlBackend(handler["default"], SOURCE, Path("/nowhere"))
    with guard.guarded_run(lasts=False):
        guard.block(["default"], setting_up=True)
        assert own.version()
        own.unlock()
    assert handler["default"].connection is None


def test_a_version_tells_the_server(lab: Lab, backend: MysqlBackend) -> None:
    """The version is the server's own, with what new databases there are like."""
    ((version, collation),) = lab.query("SELECT VERSION(), @@GLOBAL.collation_server")
    assert version in backend.version()
    assert collation in backend.version()
