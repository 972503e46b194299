"""The production guard: what it refuses before and after set-up, and which connections it blocks."""

import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, ClassVar

import dj_database_url
import pytest
from django.apps import apps
from django.conf import UserSettingsHolder, global_settings, settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import BaseCommand, CommandError
from django.db.backends.sqlite3.base import DatabaseWrapper
from django.db.utils import ConnectionHandler

from testkit.core.errors import ExitStatus, OptionError, TestkitError
from testkit.core.options import from_environment, from_settings, resolve
from testkit.databases import blocking, guard, provision
from testkit.databases.guard import GuardOptions, ProductionDatabaseError
from testkit.databases.hosts import url_variables
from tests.projects import Project, clean_environment

POSTGRES = "django.db.backends.postgresql"
SQLITE = "django.db.backends.sqlite3"
RDS = "prod.abc123.eu-west-1.rds.amazonaws.com"

Use = Callable[..., ConnectionHandler]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Iterator[Use]:
    """Give a function that makes its arguments the ``DATABASES`` that the guard sees, in a clean environment."""
    for name in [name for name, _ in url_variables(os.environ)] + [name for name in os.environ if name[:2] == "PG"]:
        monkeypatch.delenv(name)
    holder = UserSettingsHolder(global_settings)
    before, settings._wrapped = settings._wrapped, holder  # monkeypatch would want settings that are configured
    monkeypatch.setattr(guard, "_real", {})
    monkeypatch.setattr(apps, "ready", True)  # else Django warns of every query
    made = []

    def databases(**given: dict[str, Any]) -> ConnectionHandler:
        holder.DATABASES = given
        handler = ConnectionHandler(given)
        made.append(handler)
        for module in (guard, blocking, provision):
            monkeypatch.setattr(module, "connections", handler)
        return handler

    yield databases
    for wrapper in (wrapper for handler in made for wrapper in handler.all(initialized_only=True)):
        wrapper.close()
        if wrapper.connection is not None:  # close() leaves a database in memory open
            wrapper.connection.close()
    settings._wrapped = before


def refusal(aliases: Any = None, *safe_hosts: str) -> str:
    """Return the message of the guard that must refuse."""
    with pytest.raises(ProductionDatabaseError) as caught:
        guard.check_before(aliases, GuardOptions(safe_database_hosts=safe_hosts))
    return str(caught.value)


def postgres(**given: Any) -> dict[str, Any]:
    return {"ENGINE": POSTGRES, "NAME": "shop", "USER": "me", "PASSWORD": "secret", **given}


# Hosts


def test_cloud_host_is_refused(use: Use) -> None:
    """The message names alias, engine, host, kind of host and name, and the setting that allows it."""
    use(default=postgres(HOST=RDS))
    assert refusal() == (
        f'refused: "default" (engine {POSTGRES}, host {RDS}, name shop): HOST is {RDS}, an Amazon RDS host. If its '
        f'databases are for tests, allow it in the settings: TESTKIT = {{"SAFE_DATABASE_HOSTS": ["{RDS}"]}}.'
    )


@pytest.mark.parametrize("host", ["", "localhost", "127.0.0.1", "db", "/run/postgresql"])
def test_local_host_is_fine(use: Use, host: str) -> None:
    """A local server is not refused."""
    use(default=postgres(HOST=host))
    guard.check_before(None, GuardOptions())


def test_allowed_host_is_fine(use: Use) -> None:
    """A host in the list is not refused, another host of the same alias is."""
    use(default=postgres(HOST="db.example,db.other"))
    guard.check_before(None, GuardOptions(safe_database_hosts=("*.example", "db.other")))
    message = refusal(None, "*.example")
    assert "HOST is db.other, not a local host." in message
    assert "HOST is db.example" not in message


def test_unused_alias_is_not_refused(use: Use) -> None:
    """Only the aliases that tests use are checked."""
    use(default=postgres(), archive=postgres(HOST="db.example"))
    guard.check_before({"default": False}, GuardOptions())
    assert '"archive"' in refusal(["default", "archive"])


def test_all_reasons_are_listed(use: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    """One message has the reasons of all aliases and of the environment."""
    monkeypatch.setenv("DATABASE_URL", "postgres://me:secret@db.third/shop")
    use(default=postgres(HOST="db.first"), other=postgres(HOST="db.second", NAME="test_shop"), third=postgres())
    message = refusal()
    assert message.startswith("refused, for 3 reasons:\n- ")
    assert [place in message for place in ("db.first", "db.second", "db.third")] == [True] * 3


@pytest.mark.parametrize("variable", ["DATABASE_URL", "SHOP_DB_URL"])
def test_url_in_environment(use: Use, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """A database URL in the environment is refused like a setting, and its variable is named."""
    use(default=postgres())
    monkeypatch.setenv(variable, f"postgres://me:secret@{RDS}/shop")
    message = refusal()
    assert message.startswith(f"refused: the environment's {variable} points to {RDS}, an Amazon RDS host.")
    assert message.endswith(f"Otherwise unset {variable}.")
    guard.check_before(None, GuardOptions(safe_database_hosts=(RDS,)))


@pytest.mark.parametrize(
    "given",
    [
        {"HOST": "db.example", "PASSWORD": "s3cr%2Ft"},
        {"HOST": "me:s3cr@db.example"},
        {"HOST": "postgres://me:s3cr#t@db.example/x"},
        {"HOST": "db.example", "NAME": "postgres://me:s3cr@db.example/shop"},
        {"HOST": "db.example", "OPTIONS": {"password": "s3cr", "passwd": "s3cr", "sslpassword": "s3cr"}},
        {"OPTIONS": {"conninfo": "host=db.example password=s3cr"}},
        {"OPTIONS": {"dsn": "postgres://me@db.example/x?password=s3cr"}},
    ],
)
def test_no_password_in_messages(use: Use, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]) -> None:
    """No password is shown, wherever it stands in the settings or in a URL of the environment."""
    for number, url in enumerate(
        [
            "postgres://me:s3cr@url.example/x",
            "postgres://me:s3cr%2F@url.example/x",
            "postgres://me:s3cr/x@url.example/x",
            "postgres://me:s3cr?x@url.example/x",
            "postgres://me:x@s3cr.y/x@url.example/x",
            "postgres:///x?host=url.example&password=s3cr",
            "jdbc:sqlserver://url.example;password=s3cr",
            "host=url.example password='x host=s3cr'",
            "me:s3cr@url.example",
        ]
    ):
        monkeypatch.setenv(f"SHOP{number}_DATABASE_URL", url)
    use(default=postgres(**given))
    message = refusal()
    assert message.count("\n- ") >= 10
    assert "s3cr" not in message


def test_a_host_is_refused_once(use: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that the settings have from a variable of the environment is refused once, for the alias."""
    monkeypatch.setenv("DATABASE_URL", "postgres://me@db.example/shop")
    use(default=postgres(HOST="db.example"))
    assert "DATABASE_URL" not in refusal()
    use(default=postgres(HOST="localhost"))
    assert "DATABASE_URL points to db.example" in refusal()


def test_database_of_files_has_no_host(use: Use, tmp_path: Path) -> None:
    """SQLite has no host, whatever else the settings say."""
    use(default={"ENGINE": SQLITE, "NAME": tmp_path / "db.sqlite3", "HOST": RDS})
    guard.check_before(None, GuardOptions())


def test_no_databases(use: Use) -> None:
    """A project without DATABASES has nothing to guard."""
    use()
    guard.check_before(None, GuardOptions())
    assert guard.check_after(None) == frozenset()


# Names


@pytest.mark.parametrize("name", ["shop", '"shop"'])
def test_test_name_is_the_real_one(use: Use, name: str) -> None:
    """A test database with the name of the alias's own database is refused, with the setting to change."""
    use(default=postgres(TEST={"NAME": name}))
    message = refusal()
    assert f"would have the name {name}, which is the real database of" in message
    assert 'give DATABASES["default"]["TEST"]["NAME"] another name' in message


@pytest.mark.parametrize(
    ("other", "is_refused"),
    [({"HOST": "127.0.0.1"}, True), ({"HOST": "db"}, False), ({"PORT": "5433"}, False)],
)
def test_test_name_is_real_for_another_alias(use: Use, other: dict[str, str], is_refused: bool) -> None:
    """The name of any alias's database on the same server is refused, also of one that tests do not use."""
    use(default=postgres(HOST="localhost"), archive=postgres(NAME="test_shop", **other))
    if is_refused:
        assert 'which is the real database of "archive"' in refusal(["default"])
    else:
        guard.check_before(["default"], GuardOptions())


@pytest.mark.parametrize("spelling", ["{0}/db.sqlite3", "{0}/x/../db.sqlite3", "file:{0}/db.sqlite3?mode=rwc"])
def test_sqlite_test_file_is_the_real_one(use: Use, tmp_path: Path, spelling: str) -> None:
    """A SQLite test file that is the real one under any spelling is refused; another file, or memory, is not."""
    name = tmp_path / "db.sqlite3"
    use(default={"ENGINE": SQLITE, "NAME": name, "TEST": {"NAME": spelling.format(tmp_path)}})
    assert "which is the real database" in refusal()
    for other in (str(tmp_path / "test.sqlite3"), None):
        use(default={"ENGINE": SQLITE, "NAME": name, "TEST": {"NAME": other}})
        guard.check_before(None, GuardOptions())


@pytest.mark.parametrize(
    ("database", "key"), [(postgres(), "dbname"), ({"ENGINE": SQLITE, "NAME": "db.sqlite3"}, "database")]
)
def test_name_in_options(use: Use, database: dict[str, Any], key: str) -> None:
    """A database's name in OPTIONS, which every connection would use instead of the test name, is refused."""
    use(default={**database, "OPTIONS": {key: "shop"}})
    assert "its backend or its OPTIONS do not switch names" in refusal()


def test_name_that_cannot_be_prefixed(use: Use) -> None:
    """A backend that cannot tell its test name is refused, without the exception's text."""
    use(default=postgres(NAME=None))
    assert "does not switch names: it has none for a test database (TypeError)" in refusal()


def test_foreign_creation(use: Use) -> None:
    """A backend whose creation is not Django's is refused."""
    handler = use(default=postgres())
    handler["default"].creation = type("Creation", (), {"_get_test_db_name": lambda self: "test_shop"})()
    assert "its creation class is not derived from Django's" in refusal()


# Mirrors


def test_mirror_on_a_remote_host(use: Use) -> None:
    """A test mirror keeps its own host, so that is checked as well."""
    use(default=postgres(), replica=postgres(HOST="db.example", TEST={"MIRROR": "default"}))
    guard.check_before(["default"], GuardOptions())
    assert '"replica"' in refusal(["default", "replica"])


@pytest.mark.parametrize(
    ("mirrored", "words"),
    [("default", 'it mirrors "default", which has no test database'), ("nobody", "which is not in DATABASES")],
)
def test_mirror_of_what_is_not_set_up(use: Use, mirrored: str, words: str) -> None:
    """A mirror of an alias that no test uses is refused, since Django would leave it at the real database."""
    use(default=postgres(), replica=postgres(TEST={"MIRROR": mirrored}))
    assert words in refusal(["replica"])


def test_mirror_has_the_test_name_of_its_primary(use: Use) -> None:
    """What counts for a mirror is the primary's test name, not the one that it would have itself."""
    mirror = postgres(NAME="copy", TEST={"MIRROR": "default"})
    use(default=postgres(), replica=mirror, archive=postgres(NAME="test_copy"))
    guard.check_before(["default", "replica"], GuardOptions())
    use(default=postgres(), replica=mirror, archive=postgres(NAME="test_shop"))
    assert '"replica"' in refusal(["default", "replica"])


def test_earlier_settings_are_forgotten(use: Use) -> None:
    """Only the databases of the present settings are real ones."""
    use(default=postgres(), archive=postgres(NAME="test_shop"))
    refusal()
    use(default=postgres())
    guard.check_before(None, GuardOptions())


# After set-up


def switch(handler: ConnectionHandler, name: object, alias: str = "default") -> None:
    handler[alias].settings_dict["NAME"] = str(name)


def test_after_set_up(use: Use, tmp_path: Path) -> None:
    """Databases that were switched pass, on disk and in memory, and are told as provided."""
    handler = use(
        default={"ENGINE": SQLITE, "NAME": tmp_path / "db.sqlite3"},
        other={"ENGINE": SQLITE, "NAME": tmp_path / "other.sqlite3"},
        unused={"ENGINE": SQLITE, "NAME": tmp_path / "unused.sqlite3"},
        mirror={"ENGINE": SQLITE, "NAME": tmp_path / "mirror.sqlite3", "TEST": {"MIRROR": "default"}},
        elsewhere=postgres(HOST="db.example", TEST={"MIRROR": "default"}),
    )
    guard.check_before(["default", "other"], GuardOptions())
    switch(handler, tmp_path / "test.sqlite3")
    switch(handler, "file:memorydb_other?mode=memory&cache=shared", "other")
    assert guard.check_after(["default", "other"]) == {"default", "other", "mirror"}


def test_name_was_not_switched(use: Use, tmp_path: Path) -> None:
    """An alias that still has its real name is refused, and its database is not opened."""
    file = tmp_path / "db.sqlite3"
    use(default={"ENGINE": SQLITE, "NAME": file})
    guard.check_before(None, GuardOptions())
    with pytest.raises(ProductionDatabaseError, match="it is still at the real database"):
        guard.check_after(None)
    assert not file.exists()


@pytest.mark.parametrize("opened", ["db.sqlite3", "nobodys.sqlite3"])
def test_connected_to_another_database(use: Use, tmp_path: Path, opened: str) -> None:
    """What counts is the database that is open, not the name in the settings."""
    handler = use(default={"ENGINE": SQLITE, "NAME": tmp_path / "db.sqlite3"})
    guard.check_before(None, GuardOptions())
    switch(handler, tmp_path / opened)
    handler["default"].ensure_connection()
    switch(handler, tmp_path / "test.sqlite3")
    with pytest.raises(ProductionDatabaseError, match=rf"connected database is .*/{opened}, not .*/test"):
        guard.check_after(None)
    handler["default"].close()
    assert guard.check_after(None) == {"default"}


def test_open_connections_are_closed(use: Use, tmp_path: Path) -> None:
    """What was opened before the run is closed, since a test mirror would go on with it."""
    handler = use(default={"ENGINE": SQLITE, "NAME": tmp_path / "db.sqlite3"})
    handler["default"].ensure_connection()
    guard.check_before(None, GuardOptions())
    assert handler["default"].connection is None


def test_after_without_before(use: Use, tmp_path: Path) -> None:
    """Without the first check nothing is known about real names, so the second one refuses."""
    use(default={"ENGINE": SQLITE, "NAME": tmp_path / "db.sqlite3"})
    with pytest.raises(ProductionDatabaseError, match=r"check_before\(\) has to come before set-up"):
        guard.check_after(None)


@pytest.mark.parametrize("server", ["postgres_url", "mysql_url"])
def test_server_tells_its_name(use: Use, request: pytest.FixtureRequest, server: str) -> None:
    """A server is asked which database is connected: its answer is believed rather than the settings."""
    handler = use(default=dj_database_url.parse(request.getfixturevalue(server)))
    creation = handler["default"].creation
    real = handler["default"].settings_dict["NAME"]
    guard.check_before(None, GuardOptions())
    creation._create_test_db(verbosity=0, autoclobber=True)
    try:
        switch(handler, f"test_{real}")
        assert guard.check_after(None) == {"default"}
        # A backend that goes on with the real database although the settings have another name.
        handler["default"].close()
        switch(handler, real)
        handler["default"].ensure_connection()
        switch(handler, f"test_{real}")
        with pytest.raises(ProductionDatabaseError, match=f"the connected database is {real}, not test_{real}"):
            guard.check_after(None)
    finally:
        handler["default"].close()
        creation._destroy_test_db(f"test_{real}", verbosity=0)


# Management commands, options, the report


def test_refuse_production(use: Use) -> None:
    """A command refuses a remote host, unless the settings or the caller allow it; local databases are fine."""
    use(default=postgres(HOST="db.example"), local={"ENGINE": SQLITE, "NAME": "db.sqlite3"})
    guard.refuse_production(["local"])
    guard.refuse_production(safe_hosts=["db.*"])
    with pytest.raises(ProductionDatabaseError, match=r"HOST is db\.example"):
        guard.refuse_production()
    settings.TESTKIT = {"SAFE_DATABASE_HOSTS": ["db.example"], "LISTENERS": []}
    guard.refuse_production()
    with pytest.raises(ProductionDatabaseError):
        guard.refuse_production(safe_hosts=())


def test_command_ends_without_traceback(use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    """A management command that is refused prints one line and exits with 2."""
    use(default=postgres(HOST="db.example"))

    class Command(BaseCommand):
        requires_system_checks = ()

        def handle(self, **options: Any) -> None:
            guard.refuse_production()

    with pytest.raises(SystemExit) as caught:
        Command().run_from_argv(["manage.py", "seed"])
    assert caught.value.code == ExitStatus.RUN_FAILED
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith('ProductionDatabaseError: refused: "default"')
    assert issubclass(ProductionDatabaseError, TestkitError)
    assert issubclass(ProductionDatabaseError, CommandError)


def test_options() -> None:
    """The list comes from the settings or the environment, and cannot allow every host."""
    from_both = [from_environment({"TESTKIT_SAFE_DATABASE_HOSTS": "a.example,b.example"}), from_settings({})]
    assert resolve([GuardOptions], from_both)[GuardOptions].safe_database_hosts == ("a.example", "b.example")
    with pytest.raises(OptionError, match="fits every host"):
        resolve([GuardOptions], [from_settings({"SAFE_DATABASE_HOSTS": ["*"]})])


def test_report(use: Use, tmp_path: Path) -> None:
    """The report has a line for each alias, and raises what a run would."""
    use(
        default=postgres(HOST="db"),
        replica=postgres(TEST={"MIRROR": "default"}),
        files={"ENGINE": SQLITE, "NAME": "db.sqlite3"},
    )
    assert guard.check_settings(GuardOptions()) == [
        f'"default" (engine {POSTGRES}, host db, name shop -> test_shop): ok',
        f'"replica" (engine {POSTGRES}, host (local), name shop -> test_shop): ok',
        f'"files" (engine {SQLITE}, name db.sqlite3 -> file:memorydb_files): ok',
    ]
    use(default=postgres(HOST="db.example"))
    with pytest.raises(ProductionDatabaseError):
        guard.check_settings(GuardOptions())


def test_names_of_what_was_set_up(use: Use) -> None:
    """The line for the console and the journal has the databases' names without what could hold a password."""
    use(
        default={"ENGINE": SQLITE, "NAME": "file:/srv/db?key=hunter2&mode=rw"},
        memory={"ENGINE": SQLITE, "NAME": "file:memorydb_memory?mode=memory&key=hunter2"},
        unnamed={"ENGINE": SQLITE, "NAME": "file::memory:"},
        url=postgres(NAME="postgres://me:hunter2@db/shop"),
        shop=postgres(),
    )
    with provision.timed(None) as report:
        pass
    assert report["databases"] == {
        "default": "SQLite, file:/srv/db",
        "memory": "SQLite, in memory",
        "unnamed": "SQLite, in memory",
        "url": "PostgreSQL, (not shown: it may hold a password)",
        "shop": "PostgreSQL, shop",
    }
    assert "hunter2" not in str(report)


# Blocking


@pytest.fixture
def files(use: Use, tmp_path: Path) -> ConnectionHandler:
    """Two SQLite databases, of which "default" is switched to its test database."""
    handler = use(
        default={"ENGINE": SQLITE, "NAME": tmp_path / "db.sqlite3"},
        other={"ENGINE": SQLITE, "NAME": tmp_path / "other.sqlite3"},
    )
    guard.check_before(["default"], GuardOptions())
    switch(handler, tmp_path / "test.sqlite3")
    return handler


@contextmanager
def blocked(*provided: str, setting_up: bool = False) -> Iterator[None]:
    """Block, within the context, all but the ``provided`` aliases."""
    with guard.guarded_run(lasts=False):
        guard.block(provided, setting_up=setting_up)
        yield


def in_thread(action: Callable[[], object]) -> BaseException | None:
    raised: list[BaseException] = []

    def run() -> None:
        try:
            action()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return raised[0] if raised else None


def select(handler: ConnectionHandler, alias: str) -> None:
    with handler[alias].cursor() as cursor:
        cursor.execute("SELECT 1")
    handler[alias].close()


def test_blocked_alias(files: ConnectionHandler, tmp_path: Path) -> None:
    """An alias without a test database is blocked in every thread, with a message that says what to do."""
    with blocked("default"):
        for raised in (in_thread(lambda: select(files, "other")), _error_of(lambda: select(files, "other"))):
            assert isinstance(raised, blocking.RealDatabaseBlocked)
            assert "no test asked for it" in str(raised)
            assert 'derives from django.test.TestCase (or TransactionTestCase) with `databases = {"other"}`' in str(
                raised
            )
        assert not (tmp_path / "other.sqlite3").exists()
        select(files, "default")
        assert in_thread(lambda: select(files, "default")) is None
    select(files, "other")
    assert in_thread(lambda: select(files, "other")) is None


def _error_of(action: Callable[[], object]) -> BaseException | None:
    try:
        action()
    except BaseException as error:
        return error
    return None


def test_block_ends_with_an_exception(files: ConnectionHandler) -> None:
    """The block is lifted when its body raises."""
    with pytest.raises(ZeroDivisionError), blocked():
        raise ZeroDivisionError
    select(files, "other")


def test_open_connection_is_blocked(files: ConnectionHandler) -> None:
    """A connection that was open before, by a query at import time, is closed and then blocked."""
    files["other"].ensure_connection()
    with blocked("default"), pytest.raises(blocking.RealDatabaseBlocked):
        select(files, "other")


def test_copies(files: ConnectionHandler, tmp_path: Path) -> None:
    """Copies under an alias made by a test are free for a test database, and blocked for a real one."""
    with blocked("default"):
        copy = files["default"].copy(alias="copy")
        copy.ensure_connection()
        copy.close()
        with pytest.raises(blocking.RealDatabaseBlocked, match="this is a real database"):
            files["other"].copy(alias="copy").ensure_connection()
        with pytest.raises(blocking.RealDatabaseBlocked):
            files["other"].copy().ensure_connection()


def test_own_copies_of_set_up(files: ConnectionHandler, tmp_path: Path) -> None:
    """Set-up's own connections pass: PostgreSQL's creation falls back on a real database to make another one there."""
    with blocked("default", setting_up=True):
        for wrapper in administrative_connections(files, tmp_path):
            wrapper.ensure_connection()
            wrapper.close()


def test_copies_are_no_way_round_in_tests(files: ConnectionHandler, tmp_path: Path) -> None:
    """While tests run, a connection made by hand to a real database is blocked, whatever its alias is."""
    with blocked("default"):
        for wrapper in administrative_connections(files, tmp_path):
            with pytest.raises(blocking.RealDatabaseBlocked, match="this is a real database"):
                wrapper.ensure_connection()


def administrative_connections(files: ConnectionHandler, folder: Path) -> list[Any]:
    wrapper = type(files["default"])
    settings_dict = files["default"].settings_dict
    return [
        wrapper({**settings_dict, "NAME": str(folder / "db.sqlite3")}, "default"),
        wrapper({**settings_dict, "NAME": str(folder / "other.sqlite3")}, "__no_db__"),
    ]


def test_traces_of_simple_test_cases(files: ConnectionHandler) -> None:
    """The bound method that Django leaves on a connection hides neither the block's begin nor its end."""
    files["other"].connect = files["other"].connect
    with blocked("default"):
        with pytest.raises(blocking.RealDatabaseBlocked):
            select(files, "other")
        files["other"].connect = files["other"].connect
    select(files, "other")


def test_name_not_switched_yet(files: ConnectionHandler, tmp_path: Path) -> None:
    """A provided alias is blocked while it has its real name: before set-up, or when a test puts it back."""
    switch(files, tmp_path / "db.sqlite3")
    with blocked("default"):
        with pytest.raises(blocking.RealDatabaseBlocked, match="this is a real database"):
            select(files, "default")
        switch(files, tmp_path / "test.sqlite3")
        select(files, "default")


def test_memory_is_free(use: Use) -> None:
    """A database in memory is no real one: tests may use it without asking."""
    handler = use(default={"ENGINE": SQLITE, "NAME": ":memory:"})
    guard.check_before([], GuardOptions())
    with blocked():
        select(handler, "default")


def test_connect_of_a_subclass(files: ConnectionHandler) -> None:
    """A backend that connects in a way of its own is blocked as well."""
    connected = []
    wrapper = type(files["other"])
    files["other"] = type("Own", (wrapper,), {"connect": connected.append})(files["other"].settings_dict, "other")
    with blocked("default"), pytest.raises(blocking.RealDatabaseBlocked):
        select(files, "other")
    assert connected == []


class PooledWrapper(DatabaseWrapper):
    """As Django's for PostgreSQL with ``OPTIONS["pool"]``: what is closed is kept for the next, by its alias."""

    pool: ClassVar[dict[str, Any]] = {}

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        return self.pool.pop(self.alias, None) or super().get_new_connection(conn_params)

    def _close(self) -> None:
        self.pool[self.alias] = self.connection

    def close_pool(self) -> None:
        for connection in self.pool.values():
            connection.close()
        self.pool.clear()


@pytest.fixture
def pooled(files: ConnectionHandler, tmp_path: Path) -> Iterator[DatabaseWrapper]:
    """The connection of "default", whose pool has one to the real database."""
    wrapper = files["default"] = PooledWrapper(files["default"].settings_dict, "default")
    switch(files, tmp_path / "db.sqlite3")
    wrapper.ensure_connection()
    wrapper.close()
    assert wrapper.pool
    yield wrapper
    wrapper.close()
    wrapper.close_pool()


def test_pools_are_closed(pooled: DatabaseWrapper) -> None:
    """What a query at import time leaves in a pool is closed before set-up, which would go on with it."""
    guard.check_before(None, GuardOptions())
    assert not PooledWrapper.pool


def test_pool_that_cannot_be_made(files: ConnectionHandler) -> None:
    """A pool whose package is missing has nothing open, and is no reason to end with an error of the guard's."""

    class Unusable(PooledWrapper):
        def close_pool(self) -> None:
            raise ImproperlyConfigured("Did you install psycopg[pool]?")

    files["default"] = Unusable(files["default"].settings_dict, "default")
    guard.check_before(None, GuardOptions())


def test_set_up_asks_the_server(pooled: DatabaseWrapper, files: ConnectionHandler, tmp_path: Path) -> None:
    """During set-up a connection that is at a real database, although the settings say otherwise, is closed again."""
    switch(files, tmp_path / "test.sqlite3")
    with blocked("default", setting_up=True):
        with pytest.raises(blocking.RealDatabaseBlocked, match=r"its server says .*/db\.sqlite3, a real one"):
            pooled.ensure_connection()
        assert pooled.connection is None
        assert not PooledWrapper.pool
        select(files, "default")


def test_the_end(files: ConnectionHandler, tmp_path: Path) -> None:
    """When the run is over nothing is provided: in no thread, and by no copy, a real database is opened."""
    with guard.guarded_run(lasts=False):
        guard.block(["default"])
        select(files, "default")
        guard.block_all()
        copy = files["other"].copy(alias="copy")
        for action in (lambda: select(files, "default"), lambda: select(files, "other"), copy.ensure_connection):
            for raised in (in_thread(action), _error_of(action)):
                assert isinstance(raised, blocking.RealDatabaseBlocked)
                assert "the tests are over" in str(raised)
    select(files, "other")


def test_a_run_that_lasts(files: ConnectionHandler) -> None:
    """After the run of a command, however it ended, the block stays; one within another run's tests is undone."""
    with guard.guarded_run(lasts=False):
        guard.block(["default"])
        with guard.guarded_run(lasts=True):
            guard.check_before(None, GuardOptions())
            guard.block_all()
        select(files, "default")
        with pytest.raises(blocking.RealDatabaseBlocked, match="no test asked for it"):
            select(files, "other")
    with guard.guarded_run(lasts=True):
        pass
    try:
        for alias in ("default", "other"):
            with pytest.raises(blocking.RealDatabaseBlocked, match="the tests are over"):
                select(files, alias)
        with guard.guarded_run(lasts=True):  # a second run in that process
            guard.check_before(["default"], GuardOptions())
            guard.block(["default"], setting_up=True)
        with pytest.raises(blocking.RealDatabaseBlocked, match="the tests are over"):
            select(files, "other")
    finally:
        blocking.set_rule(None)


# Whole runs, in processes of their own

PROGRAM = """
import json, sys, django
from django.conf import settings

settings.configure(DATABASES=json.loads(sys.argv[1]), INSTALLED_APPS=["django.contrib.contenttypes"])
django.setup()
from django.test.runner import DiscoverRunner
from testkit.databases import guard

class Runner(DiscoverRunner):
    def run_tests(self, labels):
        with guard.guarded_run(lasts=False):
            return super().run_tests(labels)

    def setup_databases(self, **kwargs):
        aliases = kwargs["aliases"]
        guard.check_before(aliases, guard.GuardOptions())
        guard.block(aliases, setting_up=True)
        old_config = super().setup_databases(**kwargs)
        self.provided = guard.check_after(aliases)
        guard.block(self.provided)
        return old_config

    def teardown_databases(self, *args, **kwargs):
        guard.block(self.provided, setting_up=True)
        super().teardown_databases(*args, **kwargs)
        guard.block_all()

sys.exit(bool(Runner(verbosity=0, interactive=False).run_tests(["sample"])))
"""


def run(folder: Path, databases: dict[str, Any], tests: str) -> subprocess.CompletedProcess[str]:
    """Run ``tests`` under a Django runner with the guard, and return the ended process."""
    (folder / "sample.py").write_text(tests)
    root = str(Path(guard.__file__).parents[2])
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    for name, _ in url_variables(os.environ):
        del environ[name]
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, json.dumps(databases)],
        cwd=folder,
        env={**environ, "PYTHONPATH": os.pathsep.join([root, str(folder)])},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def real_file(tmp_path: Path) -> Path:
    """A real SQLite database with a table of one row."""
    file = tmp_path / "db.sqlite3"
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("CREATE TABLE customer AS SELECT 1 AS id")
    return file


PLAIN = """
import threading, unittest
from django.db import connection
from django.test import SimpleTestCase, TestCase

class A_Simple(SimpleTestCase):  # Django leaves its traces on the connection object
    def test_message(self):
        with self.assertRaisesMessage(AssertionError, "not allowed in SimpleTestCase subclasses"):
            connection.cursor()

class Plain(unittest.TestCase):
    def test_writes(self):
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM customer")
"""


def test_plain_test_is_blocked(tmp_path: Path, real_file: Path) -> None:
    """A plain unittest.TestCase cannot write the real database, and Django's own block keeps its message."""
    before = real_file.read_bytes()
    ended = run(tmp_path, {"default": {"ENGINE": SQLITE, "NAME": str(real_file)}}, PLAIN)
    assert "RealDatabaseBlocked: The connection to" in ended.stderr
    assert "FAILED (failures=1)" in ended.stderr
    assert "Ran 2 tests" in ended.stderr
    assert real_file.read_bytes() == before


def test_plain_test_beside_a_django_test(tmp_path: Path, real_file: Path) -> None:
    """When a test has asked for the alias, plain tests get its test database, and the real one stays as it is."""
    asking = "class Asking(TestCase):\n    def test_it(self):\n        connection.ensure_connection()\n"
    ended = run(tmp_path, {"default": {"ENGINE": SQLITE, "NAME": str(real_file)}}, f"{PLAIN}\n{asking}")
    assert "no such table: customer" in ended.stderr
    assert "RealDatabaseBlocked" not in ended.stderr
    with closing(sqlite3.connect(real_file)) as database:
        assert database.execute("SELECT id FROM customer").fetchall() == [(1,)]


OUTLIVING = """
import atexit, threading, unittest
from django.db import connection
from django.test import TestCase
from shop.models import Item

main = threading.main_thread()

def write(name):
    try:
        Item.objects.create(name=name)
        print(name, "has written")
    except BaseException as error:
        print(name, type(error).__name__)

def outlive():
    main.join()
    write("thread")

class T(TestCase):
    def test_leaves_a_thread(self):
        Item.objects.create(name="test")
        threading.Thread(target=outlive).start()
        atexit.register(write, "hook")
"""


@pytest.mark.parametrize("front", ["testkit", "manage.py"])
def test_what_outlives_the_tests(project: Project, front: str) -> None:
    """Under a command, threads and exit hooks that outlive the tests cannot write to the real database."""
    real = project.folder / "real.sqlite3"
    subprocess.run([sys.executable, "manage.py", "migrate"], cwd=project.folder, env=clean_environment(), check=True)
    before = real.read_bytes()
    project.tests(OUTLIVING)
    ended = project.run(front=front)
    assert ended.returncode == 0, ended.stderr
    assert "thread RealDatabaseBlocked\nhook RealDatabaseBlocked\n" in ended.stdout
    assert real.read_bytes() == before


TWICE = """
import django, sys
django.setup()
from django.core.management import call_command
from shop.models import Item
from testkit.runner import TestkitRunner

call_command("migrate", verbosity=0)
for number in range(2):
    assert TestkitRunner(verbosity=0).run_tests(["shop"]) == 0
    Item.objects.create(name=number)
call_command("test", "shop", verbosity=0)
assert Item.objects.count() == 2, Item.objects.count()
"""


def test_run_by_other_code(project: Project) -> None:
    """Code that runs the tests has its databases again afterwards, and may run them several times."""
    project.write({"program.py": TWICE})
    project.tests(
        """
        from django.test import TestCase
        from shop.models import Item

        class T(TestCase):
            def test_is_empty(self):
                self.assertEqual(Item.objects.count(), 0)
        """
    )
    ended = subprocess.run(
        [sys.executable, "-W", "error", "program.py"],
        cwd=project.folder,
        env=clean_environment(DJANGO_SETTINGS_MODULE="settings"),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr


def test_checks_and_own_set_up_have_the_test_database(project: Project) -> None:
    """System checks, and what a project's runner does around set-up and tear-down, reach the test database."""
    # A file, as databases in memory are never blocked.
    project.settings('DATABASES["default"]["TEST"] = {"NAME": "test.sqlite3"}\nTEST_RUNNER = "runner.Runner"')
    project.write(
        {
            "runner.py": """
                from django.core.checks import register
                from shop.models import Item
                from testkit.runner import TestkitRunner

                @register("database")
                def check(databases=None, **kwargs):
                    Item.objects.count()
                    return []

                class Runner(TestkitRunner):
                    def setup_databases(self, **kwargs):
                        config = super().setup_databases(**kwargs)
                        Item.objects.create(name="seed")
                        return config

                    def teardown_databases(self, config, **kwargs):
                        Item.objects.get().delete()
                        super().teardown_databases(config, **kwargs)
            """
        }
    )
    project.tests("from django.test import TestCase\nclass T(TestCase):\n    def test_it(self): pass\n")
    ended = project.run()
    assert ended.returncode == 0, ended.stderr
    assert not (project.folder / "real.sqlite3").exists()


NO_SWITCH = """
from django.db.backends.sqlite3 import base, creation

class DatabaseCreation(creation.DatabaseCreation):
    def create_test_db(self, *args, **kwargs):
        from django.core.management import call_command
        call_command("migrate", verbosity=0, database=self.connection.alias)

class DatabaseWrapper(base.DatabaseWrapper):
    creation_class = DatabaseCreation
"""


def test_backend_that_does_not_switch(tmp_path: Path, real_file: Path) -> None:
    """A backend that sets up the real database is stopped before it does."""
    backend = tmp_path / "noswitch"
    backend.mkdir()
    (backend / "__init__.py").touch()
    (backend / "base.py").write_text(NO_SWITCH)
    before = real_file.read_bytes()
    tests = "from django.test import TestCase\nclass T(TestCase):\n    def test_it(self): pass\n"
    ended = run(tmp_path, {"default": {"ENGINE": "noswitch", "NAME": str(real_file)}}, tests)
    assert ended.returncode
    assert "is blocked: this is a real database" in ended.stderr
    assert real_file.read_bytes() == before


SERVER = """
import threading
from django.db import connection, connections
from django.test import SimpleTestCase, TestCase, TransactionTestCase

class Asking(TransactionTestCase):
    databases = {"default", "replica"}

    def test_names(self):
        names = []
        def ask():
            for alias in ("default", "replica"):
                with connections[alias].cursor() as cursor:
                    cursor.execute("SELECT %s")
                    names.append(cursor.fetchone()[0])
            connections.close_all()
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
        ask()
        self.assertEqual(set(names), {connection.settings_dict["NAME"]})
        self.assertEqual(len(names), 4)
"""


@pytest.mark.parametrize(("server", "function"), [("postgres_url", "current_database()"), ("mysql_url", "database()")])
def test_run_on_a_server(tmp_path: Path, request: pytest.FixtureRequest, server: str, function: str) -> None:
    """A run on a server with a mirror, set up within the block, passes in all threads."""
    database = dj_database_url.parse(request.getfixturevalue(server))
    replica = {**database, "TEST": {"MIRROR": "default"}}
    ended = run(tmp_path, {"default": database, "replica": replica}, SERVER % function)
    assert ended.returncode == 0, ended.stderr


def test_options_name_on_a_server(tmp_path: Path, postgres_url: str) -> None:
    """A name in OPTIONS, by which Django would run tests on the real database, is refused before set-up."""
    database = dj_database_url.parse(postgres_url)
    tests = SERVER.replace('databases = {"default", "replica"}', "") % "1"
    ended = run(tmp_path, {"default": {**database, "OPTIONS": {"dbname": database["NAME"]}}}, tests)
    assert "ProductionDatabaseError: refused: " in ended.stderr
    assert "do not switch names" in ended.stderr


def test_import_is_cheap() -> None:
    """Importing the guard loads neither Django's tests and serializers nor a database driver, and needs no settings."""
    code = "import sys, testkit.databases.guard; print([name for name in sys.modules if name.split('.')[0] in LOADED])"
    loaded = {"psycopg", "MySQLdb", "sqlite3", "unittest", "rich", "lxml"}
    ended = subprocess.run(
        [
            sys.executable,
            "-c",
            code.replace("LOADED", repr(loaded))
            + "; print({'django.test', 'django.core.serializers'} & {*sys.modules})",
        ],
        env={**os.environ, "PYTHONPATH": str(Path(guard.__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.split() == ["[]", "set()"]
