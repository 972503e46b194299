"""The selective flush leaves what Django's leaves, and does less for it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import dj_database_url
import pytest

from tests.projects import clean_environment
from tests.servers import driver, execute

PROJECT = Path(__file__).parent / "flushed"
SQLITE = "django.db.backends.sqlite3"
ROUNDS = 20

Databases = Callable[[str], dict[str, Any]]
Scenario = Callable[[str, str], dict[str, Any]]
EVERYWHERE = pytest.mark.parametrize("kind", ["memory", "file", "postgresql", "postgresql as anyone", "mysql"])
ON_SERVERS = pytest.mark.parametrize("kind", ["postgresql", "mysql"])
SHARED = pytest.mark.parametrize("kind", ["file", "postgresql", "postgresql as anyone", "mysql"])
ON_POSTGRESQL = pytest.mark.parametrize("kind", ["postgresql", "postgresql as anyone"])


_OF_SERVERS = ("blocked", "waited_for", "read_elsewhere", "limits", "missing_table", "queries")
SCENARIOS = {
    "memory": ("missing_table", "queries", "in_a_transaction", "replaced", "trigger"),
    "file": ("blocked", "waited_for", "missing_table", "queries"),
    "postgresql": (*_OF_SERVERS, "large", "trigger", "immediate_key", "outsider", "search_path"),
    "postgresql as anyone": (
        *("waited_for", "missing_table", "queries", "large", "trigger", "immediate_key", "search_path"),
    ),
    "mysql": (*_OF_SERVERS, "trigger"),
}
"""What is done to one pair of databases, as to make them takes longer than all of it."""


@pytest.fixture(scope="module")
def databases(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Databases:
    """A function that returns the settings of two databases of a kind."""
    tmp_path = tmp_path_factory.mktemp("databases")

    def settings(kind: str) -> dict[str, Any]:
        if kind == "memory":
            return {name: {"ENGINE": SQLITE, "NAME": str(tmp_path / name)} for name in ("default", "other")}
        if kind == "file":
            return {
                name: {
                    "ENGINE": SQLITE,
                    "NAME": str(tmp_path / name),
                    "OPTIONS": {"timeout": 1},
                    "TEST": {"NAME": str(tmp_path / f"test_{name}")},
                }
                for name in ("default", "other")
            }
        url = request.getfixturevalue("mysql_url" if kind == "mysql" else "postgres_url")
        server = dj_database_url.parse(url)
        if kind == "postgresql as anyone":
            server["USER"] = _ordinary_role(url)
        base = f"flushed_{server['NAME']}"
        return {name: {**server, "TEST": {"NAME": f"{base}_{name}"}} for name in ("default", "other")}

    return settings


@pytest.fixture(scope="module")
def scenario(databases: Databases) -> Scenario:
    """A function that returns what the scenario of a name tells on a kind of database."""
    told: dict[str, dict[str, Any]] = {}

    def one(name: str, kind: str) -> dict[str, Any]:
        if kind not in told:
            told[kind] = run("scenarios.py", *SCENARIOS[kind], databases=databases(kind))
        found: dict[str, Any] = told[kind][name]
        assert "error" not in found, found["error"]
        return found

    return one


def _ordinary_role(url: str) -> str:
    """Return the name of a role that may create databases and has no other privilege."""
    role = "testkit_ordinary"
    duplicate = driver(url).errors.DuplicateObject
    with suppress(duplicate):
        execute(url, f"CREATE ROLE {role} LOGIN CREATEDB")
    return role


def run(script: str, *arguments: str, databases: Mapping[str, Any], **environment: str) -> dict[str, Any]:
    """Run a script of the project and return what it has told."""
    process = subprocess.run(
        [sys.executable, script, *arguments],
        cwd=PROJECT,
        env=clean_environment(
            DJANGO_SETTINGS_MODULE="settings", FLUSHED_DATABASES=json.dumps(databases), **environment
        ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr
    told: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return told


def compare(
    databases: Mapping[str, Any], *, first: int = 0, rounds: int = ROUNDS, **environment: str
) -> dict[str, int]:
    """Check that both ways leave the same, round by round, and return how often the selective one did what."""
    arguments = (str(first), str(first + rounds))
    stock = run("rounds.py", "stock", *arguments, databases=databases, **environment)
    ours = run("rounds.py", "selective", *arguments, databases=databases, **environment)
    assert len(ours["rounds"]) == rounds
    for expected, told in zip(stock["rounds"], ours["rounds"], strict=True):
        assert told == expected
    assert stock["counts"] == {"selective": 0, "stock": 0, "kept": 0}
    counts: dict[str, int] = ours["counts"]
    return counts


@EVERYWHERE
def test_leaves_what_djangos_flush_leaves(kind: str, databases: Databases) -> None:
    """After writes at random, rows, sequences, caches and the queries of the next look-ups are those of Django's flush."""
    counts = compare(databases(kind))

    assert counts["stock"] == 0
    assert counts["kept"] > 6


def test_unknown_receivers_are_called_as_django_calls_them(databases: Databases) -> None:
    """A receiver of post_migrate that is not Django's is called each time, for the same apps, and finds the same rows."""
    counts = compare(databases("memory"), first=100, rounds=10, FLUSHED_RECEIVERS="note_call make_room")

    assert counts["stock"] == 0
    assert counts["kept"] == 0


def test_receivers_that_only_write_rows_need_not_be_called(databases: Databases) -> None:
    """What a receiver has written stays, without another call, if the project says that it does nothing else."""
    receivers = {"FLUSHED_RECEIVERS": "make_room note_call"}
    told = run("scenarios.py", "row_receiver", databases=databases("memory"), **receivers)["row_receiver"]

    assert told["untouched"] == [told["first"][0], []]
    assert told["changed"] == told["first"]
    assert told["first"][1]
    assert "TESTKIT[\"ROW_RECEIVERS\"] has 'library.apps.nothing'" in told["missing"]


def test_a_project_that_replaces_the_tear_down_keeps_its_own(scenario: Scenario) -> None:
    assert scenario("replaced", "memory") == {"is_replaced": True, "is_put_back": True}


@ON_SERVERS
def test_names_the_session_that_is_waited_for(kind: str, scenario: Scenario) -> None:
    """Where Django would wait, an error names the other session after the time given, without values of its statement."""
    told = scenario("blocked", kind)

    message = told["message"]
    assert 'The database of "default" could not be emptied after' in message
    assert "Tests.test_something within 1 s, as it is locked:" in message
    assert "  session " in message
    assert "(user " in message
    assert "secret" not in message
    if kind == "postgresql":
        assert "idle in transaction" in message
        assert "holds locks on library_room" in message
        assert "INSERT INTO library_room" in message
    assert 0.9 < told["took"] < 30
    assert told["state"] == [False, True]
    assert told["rooms"] == 0


def test_a_locked_file_is_an_error_as_with_django(scenario: Scenario) -> None:
    """On SQLite, rows that another connection has not committed are not overlooked."""
    told = scenario("blocked", "file")

    assert "as it is locked:" in told["message"]
    assert "another connection" in told["message"]
    assert told["rooms"] == 0


@SHARED
def test_rows_committed_in_time_are_emptied(kind: str, scenario: Scenario) -> None:
    """What another session has written and not committed yet is waited for, and emptied."""
    assert scenario("waited_for", kind)["rooms"] == 0


@ON_SERVERS
def test_a_reader_does_not_block(kind: str, scenario: Scenario) -> None:
    """A transaction that has only read, for which TRUNCATE would wait, is no obstacle."""
    assert scenario("read_elsewhere", kind)["rooms"] == 0


@ON_SERVERS
def test_limits_of_the_session_are_put_back(kind: str, scenario: Scenario) -> None:
    told = scenario("limits", kind)

    assert told["after"] == told["before"]


@ON_POSTGRESQL
def test_a_large_table_is_truncated(kind: str, scenario: Scenario) -> None:
    """A table with many rows, or many dead ones, gets a new file; one with few does not."""
    told = scenario("large", kind)

    assert told["rows"] == [0, 0]
    ((room, author),) = told["sizes"]
    assert room == 0
    assert author > 0


@ON_POSTGRESQL
@pytest.mark.parametrize("name", ["trigger", "immediate_key"])
def test_truncates_where_delete_would_be_another_thing(name: str, kind: str, scenario: Scenario) -> None:
    """Triggers do not fire, and keys that are checked at once do not matter, as with Django's TRUNCATE."""
    told = scenario(name, kind)

    assert (told["ways"], told["rooms"], told["authors"]) == ([], 0, 0)


@pytest.mark.parametrize("kind", ["memory", "mysql"])
def test_django_empties_tables_with_triggers(kind: str, scenario: Scenario) -> None:
    """Where Django deletes, and triggers fire in its order, its own flush is used."""
    told = scenario("trigger", kind)

    assert (told["ways"], told["rooms"]) == (["django"], 0)


def test_refuses_what_django_refuses(scenario: Scenario) -> None:
    """A table that is not emptied and refers to one that is: TRUNCATE is refused, and so the error is Django's."""
    assert "couldn't be flushed" in scenario("outsider", "postgresql")["message"]


@ON_POSTGRESQL
def test_a_table_is_the_one_that_its_name_means(kind: str, scenario: Scenario) -> None:
    """Of two tables of a name that of the earlier schema is emptied; the catalogue's go before all others."""
    told = scenario("search_path", kind)

    assert told["left"] == [0, 1]
    assert told["found"] == ["pg_board"]


@EVERYWHERE
def test_tables_that_come_and_go(kind: str, scenario: Scenario) -> None:
    """A table that was dropped is no error, and one that is there again is emptied."""
    told = scenario("missing_table", kind)

    assert (told["rooms"], told["friends"]) == (0, 0)


def test_the_projects_own_command_is_used(databases: Databases) -> None:
    """A ``flush`` command of the project is called, whatever it does."""
    told = run("scenarios.py", "own_command", databases=databases("memory"), FLUSHED_APPS="emptier")["own_command"]

    assert (told["rooms"], told["authors"]) == (1, 0)


def test_is_left_to_django_within_a_transaction(scenario: Scenario) -> None:
    """In a transaction that a test has left open, Django does what it does."""
    told = scenario("in_a_transaction", "memory")

    assert (told["ways"], told["rooms"]) == (["django"], 0)


@EVERYWHERE
def test_takes_few_statements(kind: str, scenario: Scenario) -> None:
    """One table written costs a few statements, however many tables and apps there are, and is put back in the end."""
    told = scenario("queries", kind)

    assert told["ours"] <= 18
    assert told["ours"] < told["django's"] / 2
    assert told["is_put_back"]
