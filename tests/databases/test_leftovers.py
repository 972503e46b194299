"""What killed runs left is removed, and nothing else: whatever the record says, only test databases of the settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import dj_database_url
import pytest

from tests.projects import Project, clean_environment
from tests.servers import driver

SQLITE = "django.db.backends.sqlite3"

SCRIPT = """
import json, pathlib, sys
import django
django.setup()
from django.db import connections
from testkit.databases.leftovers import Record, remove_leftovers

cache = pathlib.Path(".testkit")
given = json.loads(pathlib.Path("given.json").read_text())
record = Record(cache)
record.add(connections["default"], "anything")
(path,) = (cache / "databases").glob("*.json")
own = json.loads(path.read_text())
((_, server, _),) = own["databases"]
path.unlink()
for number, each in enumerate(given["records"]):
    plain = each
    if isinstance(each, dict):
        # Of this machine and boot, unless the record says otherwise.
        named = dict(zip(("machine", "boot", "namespace", "id", "started"), own["process"]))
        process = {**named, "id": given["dead"], "started": ""} | each.get("process", {})
        process = named if each.get("is_own") else process
        plain = {"process": list(process.values())}
        plain["databases"] = [[alias, where or server, name] for alias, where, name in each["databases"]]
    (cache / "databases" / f"{number}.json").write_text(plain if isinstance(plain, str) else json.dumps(plain))
print(json.dumps(remove_leftovers(cache, keep=given["keep"])))
"""


class Place(NamedTuple):
    """Where databases are: names by the part they play, and how to make and to list them."""

    settings: dict[str, Any]
    name: Callable[[str], str]
    create: Callable[[str], None]
    there: Callable[[], set[str]]


def files_in(folder: Path) -> Place:
    settings = {
        "default": {"ENGINE": SQLITE, "NAME": "real.sqlite3", "TEST": {"NAME": "test.sqlite3"}},
        "second": {"ENGINE": SQLITE, "NAME": "second.sqlite3", "TEST": {"NAME": "test-second.sqlite3"}},
        # A real one with the name of a clone.
        "odd": {"ENGINE": SQLITE, "NAME": "test_7.sqlite3", "TEST": {"NAME": "test-odd.sqlite3"}},
    }
    names = {"real": "real", "second": "second", "test": "test"}
    return Place(
        settings=settings,
        name=lambda part: f"{names.get(part, f'test_{part}')}.sqlite3",
        create=lambda name: (folder / name).write_text("here") and None,
        there=lambda: {path.name for path in folder.glob("*.sqlite3")},
    )


def on_server(url: str) -> Iterator[Place]:
    base = dj_database_url.parse(url)
    name = base["NAME"]
    module = driver(url)
    is_postgres = module.__name__ == "psycopg"

    def query(statement: str) -> list[tuple[Any, ...]]:
        words = {"USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
        options = {words[key]: value for key, value in base.items() if key in words and value}
        options |= {"dbname": name, "autocommit": True} if is_postgres else {"database": name}
        with closing(module.connect(**options, **base.get("OPTIONS", {}))) as connection:
            cursor = connection.cursor()
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []

    def there() -> set[str]:
        listed = query("SELECT datname FROM pg_database" if is_postgres else "SHOW DATABASES")
        return {each for (each,) in listed if name in each}

    before = there()
    names = {"real": name, "second": f"{name}_second", "test": f"test_{name}"}
    yield Place(
        settings={
            "default": base,
            "second": {**base, "NAME": f"{name}_second"},
            "odd": {**base, "NAME": f"test_{name}_7"},
        },
        name=lambda part: names.get(part, f"test_{name}_{part}"),
        create=lambda name: query(f"CREATE DATABASE {name}") and None,
        there=there,
    )
    for each in there() - before:
        query(f"DROP DATABASE {each}")


@pytest.fixture(params=["files", "postgres_url", "mysql_url"])
def place(request: pytest.FixtureRequest, project: Project) -> Iterator[Place]:
    """Databases in files, on PostgreSQL, on MariaDB."""
    if request.param == "files":
        yield files_in(project.folder)
    else:
        yield from on_server(request.getfixturevalue(request.param))


def remove(project: Project, place: Place, records: list[Any], *, keep: bool = False) -> set[str]:
    """Write ``records``, let a process remove what they tell of, and return the names that it gives."""
    project.settings(f"DATABASES = {place.settings!r}")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    given = {"dead": ended.pid, "records": records, "keep": keep}
    project.write({"given.json": json.dumps(given), "script.py": SCRIPT})
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=project.folder,
        env=clean_environment(DJANGO_SETTINGS_MODULE="settings"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def of(*databases: tuple[str, str, str], **more: Any) -> dict[str, Any]:
    return {"databases": databases, **more}


def test_what_a_dead_run_has_made_is_removed(project, place):
    """Its test database and the clones of it are removed, and named; the record goes with them."""
    names = [place.name(part) for part in ("test", "1", "12")]
    for name in [*names, *([] if "sqlite" in names[0] else [place.name("second")])]:
        place.create(name)
    before = place.there()
    assert remove(project, place, [of(*(("default", "", name) for name in names))]) == set(names)
    assert place.there() == before - set(names)
    assert not list((project.folder / ".testkit/databases").iterdir())
    assert remove(project, place, []) == set()


def test_keepdb_keeps_the_database_and_no_clone(project, place):
    """With --keepdb, what it uses again stays, and clones go."""
    for part in ("test", "1"):
        place.create(place.name(part))
    removed = remove(project, place, [of(*(("default", "", place.name(part)) for part in ("test", "1")))], keep=True)
    assert removed == {place.name("1")}
    assert place.name("test") in place.there()


def test_nothing_else_is_ever_removed(project, place):
    """Whatever a record names: real databases, other servers', other aliases', other names, and those of a living run stay."""
    for part in ("second", "prod", "3", "4", "5", "6", "7", "8", "9", "1x", "-1"):
        if "-" not in part or "sqlite" in place.name("1"):
            place.create(place.name(part))
    if "sqlite" in place.name("1"):
        place.create(place.name("real"))
    before = place.there()
    forged = [
        of(("default", "", place.name("real"))),
        of(("second", "", place.name("second"))),
        of(("default", "", place.name("second"))),  # another alias's real one
        of(("default", "", place.name("7"))),  # so is this, though it has the name of a clone
        of(("odd", "", place.name("7"))),
        of(("default", "", place.name("prod")), ("default", "", place.name("1x")), ("default", "", place.name("-1"))),
        of(("default", "postgresql 5432 db.example.com", place.name("3"))),
        of(("default", "sqlite3", place.name("3"))),
        of(("nobody", "", place.name("4"))),
        of(("second", "", place.name("5"))),  # no clone of that alias's
        of(("default", "", place.name("8")), is_own=True),  # of a run that goes on
        of(("default", "", "postgres"), ("default", "", "mysql"), ("default", "", "manage.py"), ("default", "", "")),
        of(("default", "", f"{place.name('9')}; DROP DATABASE {place.name('9')}"), ("default", "", "../settings.py")),
        of(("default", "", str(project.folder / "settings.py"))),
        "no JSON",
        "[]",
        '{"process": ["", "", "", 1, ""]}',
        '{"process": "x", "databases": []}',
        '{"process": ["", "", "", 1, ""], "databases": [["default"]]}',
        of(("default", "", place.name("6"))),  # one that is as it should be
    ]
    assert remove(project, place, forged) == {place.name("6")}
    assert place.there() == before - {place.name("6")}
    for file in ("settings.py", "manage.py"):
        assert (project.folder / file).exists()


def test_a_process_id_that_was_given_again(project, place):
    """A process with the id of the dead run is told from it by when it began."""
    place.create(place.name("1"))
    if not Path("/proc/self/stat").exists():
        pytest.skip("only Linux tells when a process began")
    record = of(("default", "", place.name("1")), process={"id": os.getpid(), "started": "1"})
    assert remove(project, place, [record]) == {place.name("1")}


def test_a_process_of_elsewhere_is_not_taken_for_dead(project, place):
    """Records of another machine, and of another container on this one, are left alone: nothing is known of them."""
    place.create(place.name("1"))
    records = [
        of(("default", "", place.name("1")), process={"machine": "elsewhere"}),
        of(("default", "", place.name("1")), process={"namespace": "pid:[1]"}),
    ]
    assert remove(project, place, records) == set()
    assert place.name("1") in place.there()


def test_a_run_before_the_machine_started_anew_is_dead(project, place):
    """A process of this machine before its last start is gone, whatever has its id now."""
    place.create(place.name("1"))
    record = of(("default", "", place.name("1")), process={"boot": "before", "id": os.getpid()})
    assert remove(project, place, [record]) == {place.name("1")}


def test_what_is_gone_already_is_not_named(project, place):
    """A database that was noted and never made, or is dropped already, is none that was removed."""
    assert remove(project, place, [of(("default", "", place.name("1")))]) == set()
