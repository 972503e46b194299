"""What an alias points at: the hosts of its server, and its name."""

from pathlib import Path
from typing import Any

import pytest

from testkit.databases.targets import Target, family_of, real_one, same_name, shown, sqlite_file, target_of


def connection_to(family: str, alias: str = "default", **settings: Any) -> Any:
    """Return what stands for a connection of one of Django's backends, whose driver may not be installed."""
    wrapper = type("DatabaseWrapper", (), {"__module__": f"django.db.backends.{family}.base", "vendor": family})()
    defaults = {"ENGINE": f"django.db.backends.{family}", "NAME": "shop", "USER": "", "HOST": "", "PORT": ""}
    wrapper.alias, wrapper.settings_dict = alias, {**defaults, "OPTIONS": {}, **settings}
    return wrapper


def found(family: str, environ: dict[str, str] | None = None, **settings: Any) -> list[tuple[str, str]]:
    hosts = target_of(connection_to(family, **settings), environ or {}).hosts
    return [(host.where, host.name) for host in hosts if host.name]


@pytest.mark.parametrize(
    ("family", "settings", "hosts"),
    [
        ("postgresql", {"HOST": "db.example"}, [("HOST", "db.example")]),
        ("postgresql", {"HOST": "a.example,b.example"}, [("HOST", "a.example"), ("HOST", "b.example")]),
        ("postgresql", {"OPTIONS": {"host": "db.example"}}, [('OPTIONS["host"]', "db.example")]),
        (
            "postgresql",
            {"HOST": "localhost", "OPTIONS": {"hostaddr": "10.0.0.5"}},
            [("HOST", "localhost"), ('OPTIONS["hostaddr"]', "10.0.0.5")],
        ),
        (
            "postgresql",
            {"OPTIONS": {"conninfo": "host=db.example password=secret"}},
            [('OPTIONS["conninfo"]', "db.example")],
        ),
        ("mysql", {"OPTIONS": {"unix_socket": "/cloudsql/a"}}, [('OPTIONS["unix_socket"]', "/cloudsql/a")]),
        ("oracle", {"NAME": "//db.example:1521/shop"}, [("NAME", "db.example")]),
        ("oracle", {"NAME": "db.example:1521/shop"}, [("NAME", "db.example")]),
        ("oracle", {"NAME": "(DESCRIPTION=(ADDRESS=(HOST=db.example)(PORT=1)))"}, [("NAME", "db.example")]),
        ("oracle", {"HOST": "db.example", "NAME": "shop"}, [("HOST", "db.example")]),
        ("djongo", {"CLIENT": {"host": "mongodb://u:secret@db.example"}}, [('CLIENT["host"]', "db.example")]),
        ("djongo", {"HOST": "mongodb+srv://u:secret@db.example/x"}, [("HOST", "db.example")]),
        ("other", {"OPTIONS": {"nodes": {"hosts": ["a", "b"]}}}, [('OPTIONS["nodes"]["hosts"]', x) for x in "ab"]),
        ("sqlite3", {"HOST": "db.example", "NAME": "/srv/shop.sqlite3"}, []),
        ("sqlite3", {"NAME": "libsql://shop.turso.io?authToken=secret"}, [("NAME", "shop.turso.io")]),
    ],
)
def test_hosts_in_settings(family: str, settings: dict[str, Any], hosts: list[tuple[str, str]]) -> None:
    """Hosts are found wherever the settings of a backend may hold them."""
    assert found(family, **settings) == hosts


@pytest.mark.parametrize(
    ("settings", "hosts"),
    [
        ({}, [("PGHOST", "env.example"), ("PGHOSTADDR", "10.0.0.6")]),
        ({"HOST": "localhost"}, [("HOST", "localhost"), ("PGHOSTADDR", "10.0.0.6")]),
    ],
)
def test_hosts_in_environment(settings: dict[str, Any], hosts: list[tuple[str, str]]) -> None:
    """libpq takes PGHOST where no host is given, and PGHOSTADDR in any case; other backends take neither."""
    environ = {"PGHOST": "env.example", "PGHOSTADDR": "10.0.0.6"}
    assert found("postgresql", environ, **settings) == hosts
    assert found("mysql", environ) == []


@pytest.mark.parametrize("by", ["settings", "environment"])
def test_service_file(tmp_path: Path, by: str) -> None:
    """The host of a PostgreSQL service is read from the service file, where it goes before PGHOST."""
    file = tmp_path / "services"
    file.write_text("# billing\n[other]\nhost=no.example\n\n[billing]\nhost=a.example\nhost=b.example\npassword=x\n")
    environ = {"PGSERVICEFILE": str(file), "PGHOST": "env.example"}
    if by == "settings":
        hosts = found("postgresql", environ, OPTIONS={"service": "billing"})
    else:
        hosts = found("postgresql", {**environ, "PGSERVICE": "billing"})
    assert [name for _, name in hosts] == ["a.example", "b.example"]


@pytest.mark.parametrize("content", ["", "[billing]\nldap://ldap.example/x\n"])
def test_unknown_service(tmp_path: Path, content: str) -> None:
    """A service whose host cannot be read is named in the host's place, unless the settings give the host."""
    (tmp_path / "services").write_text(content)
    environ = {"PGSERVICEFILE": str(tmp_path / "services"), "PGSYSCONFDIR": str(tmp_path)}
    options = {"service": "billing"}
    assert found("postgresql", environ, OPTIONS=options) == [('OPTIONS["service"]', "service=billing")]
    assert found("postgresql", environ, OPTIONS=options, HOST="db") == [("HOST", "db")]


def test_option_file(tmp_path: Path) -> None:
    """The host in a MySQL option file counts, in included files too, and only where the settings have none."""
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "client.cnf").write_text('[client]\npassword=secret\nhost = "db.example"\n')
    file = tmp_path / "my.cnf"
    file.write_text(f"[mysqld]\nhost=no.example\n!includedir {tmp_path / 'more'}\n")
    options = {"read_default_file": str(file)}
    assert found("mysql", OPTIONS=options) == [(str(file), "db.example")]
    assert found("mysql", OPTIONS=options, HOST="localhost") == [("HOST", "localhost")]


def test_missing_option_file(tmp_path: Path) -> None:
    """A MySQL option file that is not there stands for an unknown host."""
    file = str(tmp_path / "none.cnf")
    hosts = found("mysql", OPTIONS={"read_default_file": file})
    assert hosts == [('OPTIONS["read_default_file"]', f"read_default_file={file}")]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"HOST": ""}, {"HOST": "localhost"}, True),
        ({"HOST": "/run/postgresql"}, {"HOST": "127.0.0.1", "PORT": 5432}, True),
        ({"HOST": "db"}, {"HOST": "DB", "PORT": "5432"}, True),
        ({"HOST": "db"}, {"HOST": "localhost"}, False),
        ({"HOST": "db"}, {"HOST": "db2"}, False),
        ({"HOST": "db"}, {"HOST": "db", "PORT": "5433"}, False),
    ],
)
def test_same_server(one: dict[str, Any], other: dict[str, Any], same: bool) -> None:
    """All local ways to one port are one server; other names and ports are others."""
    first, second = (target_of(connection_to("postgresql", **settings), {}).server for settings in (one, other))
    assert (first == second) is same


@pytest.mark.parametrize(
    ("family", "one", "other", "same"),
    [
        ("postgresql", "shop", "shop", True),
        ("postgresql", "shop", '"shop"', True),
        ("postgresql", "shop", "Shop", False),
        ("mysql", "shop", "Shop", True),
        ("sqlite3", "shop.sqlite3", "./x/../shop.sqlite3", True),
        ("sqlite3", "shop.sqlite3", "file:shop.sqlite3?mode=rw", True),
        ("sqlite3", "shop.sqlite3", "test.sqlite3", False),
        ("sqlite3", ":memory:", ":memory:", False),
        ("sqlite3", "file:x?mode=memory&cache=shared", "file:x?mode=memory&cache=shared", False),
    ],
)
def test_same_name(family: str, one: str, other: str, same: bool) -> None:
    """Names are compared as their backend does; two SQLite names may be one file, and memory is nobody's."""
    assert same_name(family, one, other) is same


def test_links_to_one_file(tmp_path: Path) -> None:
    """Symbolic and hard links to a SQLite file are that file."""
    file, soft, hard = (tmp_path / name for name in ("real", "soft", "hard"))
    file.touch()
    soft.symlink_to(file)
    hard.hardlink_to(file)
    assert same_name("sqlite3", str(file), str(soft))
    assert same_name("sqlite3", str(file), str(hard))


def test_uri_is_decoded(tmp_path: Path) -> None:
    """The path in a SQLite URI is percent-decoded."""
    assert sqlite_file(f"file://{tmp_path}/my%20shop.db?mode=ro") == tmp_path / "my shop.db"


@pytest.mark.parametrize(
    ("name", "family", "text"),
    [
        ("shop", "postgresql", "shop"),
        ("", "postgresql", "(none)"),
        ("user/secret@db", "oracle", "(not shown: it may hold a password)"),
        ("Password=secret", "other", "(not shown: it may hold a password)"),
        ("/srv/shop@2/db.sqlite3", "sqlite3", "/srv/shop@2/db.sqlite3"),
        ("file:/srv/db?key=secret", "sqlite3", "file:/srv/db"),
        ("libsql://user:secret@host/db", "sqlite3", "(not shown: it may hold a password)"),
    ],
)
def test_shown_names(name: str, family: str, text: str) -> None:
    """A name that could hold a password is not shown."""
    assert shown(name, family) == text


def test_derived_backends() -> None:
    """A backend that derives from one of Django's follows its rules, whatever its module and vendor are."""
    base = type(connection_to("postgresql"))
    derived = type("DatabaseWrapper", (base,), {"__module__": "cockroach.base", "vendor": "cockroachdb"})
    assert family_of(derived()) == "postgresql"
    assert family_of(connection_to("x", ENGINE="x").__class__()) == "x"


def test_real_one_is_found_by_server() -> None:
    """A name is a real one only on the server that has it."""
    real = target_of(connection_to("postgresql", alias="billing", HOST="db", NAME="test_shop"), {})
    same = target_of(connection_to("postgresql", HOST="db"), {})
    other = target_of(connection_to("postgresql", HOST="localhost"), {})
    assert real_one(same, "test_shop", [same, real]) is real
    assert real_one(other, "test_shop", [other, real]) is None


def test_description_has_no_secrets() -> None:
    """A target is described by alias, engine, host and name, without user or password."""
    settings = {"HOST": "me:secret@db.example", "USER": "me", "PASSWORD": "secret", "NAME": "shop"}
    target: Target = target_of(connection_to("postgresql", **settings), {})
    assert target.describe() == '"default" (engine django.db.backends.postgresql, host db.example, name shop)'
