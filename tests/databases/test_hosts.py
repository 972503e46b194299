"""The host rules: what is local, what belongs to a cloud, and which hosts a text names."""

import pytest

from testkit.databases.hosts import UNREADABLE, host_patterns, hosts_in, is_local, is_safe, provider_of, url_variables

LOCAL = [
    "",
    "localhost",
    "LOCALHOST.",
    "app.localhost",
    "localhost.localdomain",
    "host.docker.internal",
    "db",
    "my_postgres-1",
    "/var/run/postgresql",
    "/tmp/mysql.sock",
    "@/run/abstract",
    "127.0.0.1",
    "127.0.0.53",
    "127.1",
    "2130706433",
    "0x7f000001",
    "::1",
    "[::1]",
    "::ffff:127.0.0.1",
    "0.0.0.0",
    "::",
    ".",
    "(local)",
]
REMOTE = [
    "db.example.com",
    "db.default.svc.cluster.local",
    "localhost.example.com",
    "notlocalhost.com",
    "10.0.0.5",
    "192.168.1.2",
    "172.17.0.2",
    "169.254.1.1",
    "3232235777",
    "999.1.1.1",
    "2001:db8::1",
    "fe80::1%eth0",
    "::ffff:10.0.0.1",
    "/cloudsql/shop:europe-west1:main",
    "/home/app/cloudsql/shop:europe-west1:main",
    "shop:europe-west1:main",
    "dpg-cabcdefghij012345678-a",
    "service=billing",
    UNREADABLE,
]
CLOUDS = [
    ("prod.abc123.eu-west-1.rds.amazonaws.com", "an Amazon RDS host"),
    ("prod.abc123.cn-north-1.rds.amazonaws.com.cn", "an Amazon RDS host"),
    ("ec2-1-2-3-4.compute-1.amazonaws.com", "an Amazon EC2 host (Heroku Postgres is found there as well)"),
    ("shop.postgres.database.azure.com", "an Azure Database host"),
    ("shop.database.windows.net", "an Azure SQL host"),
    ("/cloudsql/shop:europe-west1:main", "a Google Cloud SQL socket"),
    ("shop:europe-west1:main", "a Google Cloud SQL instance"),
    ("ep-cool-1.eu-central-1.aws.neon.tech", "a Neon host"),
    ("db.abcdef.supabase.co", "a Supabase host"),
    ("dpg-cabcdefghij012345678-a", "a Render host"),
    ("dpg-cabcdefghij012345678-a.oregon-postgres.render.com", "a Render host"),
    ("DB.Shop.RDS.amazonaws.com.", "an Amazon RDS host"),
    ("rds.amazonaws.com.example.com", ""),
    ("localhost", ""),
    ("2001:db8::1", ""),
]
TEXTS = [
    ("db", ("db",)),
    ("db:5432", ("db",)),
    ("[::1]:5432", ("[::1]:5432",)),
    ("one.example,two.example", ("one.example", "two.example")),
    ("tcp:db.example,1433", ("db.example",)),
    (r"db.example\INSTANCE", ("db.example",)),
    ("user:secret@db.example", ("db.example",)),
    ("postgres://user:secret@db.example:5432/shop", ("db.example",)),
    ("postgresql+psycopg://user:secret@[2001:db8::1]:5432/shop", ("[2001:db8::1]:5432",)),
    ("postgres://user:se@cret@db.example/shop", ("db.example",)),
    ("postgres://user:secret@one:1,two.example:2/shop", ("one", "two.example")),
    ("postgres://user:secret@%2Fcloudsql%2Fshop:europe-west1:main/shop", ("/cloudsql/shop:europe-west1:main",)),
    ("postgres://user:secret@//cloudsql/shop:europe-west1:main/shop", ("", "/cloudsql/shop:europe-west1:main")),
    ("postgres://user:secret@/shop?host=db.example&password=secret", ("", "db.example")),
    ("postgres://db/shop?hostaddr=10.0.0.5", ("db", "10.0.0.5")),
    ("mysql://user:secret@/shop?unix_socket=/tmp/mysql.sock", ("", "/tmp/mysql.sock")),
    ("postgres://localhost/shop?user=me@example.com", ("localhost",)),
    ("jdbc:postgresql://db.example/shop?user=me&password=secret", ("db.example",)),
    ("jdbc:sqlserver://db.example:1433;user=me;password=secret", ("db.example",)),
    ("mongodb+srv://user:secret@shop.mongodb.net/?w=1", ("shop.mongodb.net",)),
    ("sqlite:////srv/shop.sqlite3", ()),
    ("https://example.com/countries.zip", ()),
    ("host=db.example user=me password='secret host=no.example'", ("db.example",)),
    ("Server=tcp:db.example,1433;User=me;Password=secret;", ("db.example",)),
    ("(DESCRIPTION=(ADDRESS=(PROTOCOL=TCP)(HOST=db.example)(PORT=1521)))", ("db.example",)),
    # Passwords that should have been percent-encoded.
    ("postgres://user:sec#ret@db.example/shop", ("db.example", "user")),
    ("postgres://user:sec/ret@db.example/shop", ("db.example", "user")),
    ("postgres://user:sec?ret@db.example/shop", ("db.example", "user")),
    ("postgres://user:sec[ret@db.example/shop", ("db.example",)),
    ("postgres://user:se@cret.x/y@localhost/shop", ("localhost", UNREADABLE)),
]


@pytest.mark.parametrize("host", LOCAL)
def test_local(host: str) -> None:
    """Sockets, loopback in every spelling and names without a dot are local."""
    assert is_local(host)


@pytest.mark.parametrize("host", REMOTE)
def test_remote(host: str) -> None:
    """Other names, every other address, and the sockets of a cloud's proxy are not local."""
    assert not is_local(host)


@pytest.mark.parametrize(("host", "words"), CLOUDS)
def test_provider(host: str, words: str) -> None:
    """Hosts of known clouds have a name, and no others."""
    assert provider_of(host) == words


@pytest.mark.parametrize(
    ("host", "pattern"),
    [
        ("db.internal.example", "*.internal.example"),
        ("DB.internal.example", "db.Internal.example"),
        ("172.17.0.2", "172.17.*"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:db8::1", "[2001:db8::1]"),
        ("db1.example", "db[0-9].example"),
        ("/cloudsql/shop:europe-west1:tests", "/cloudsql/*:tests"),
    ],
)
def test_allowed(host: str, pattern: str) -> None:
    """A host that is not local is safe when a pattern fits it, in any case and with or without brackets."""
    assert not is_safe(host, ["other.example"])
    assert is_safe(host, ["other.example", pattern])


@pytest.mark.parametrize("pattern", ["*", "**", "?*", "*.*", "[!x]*", "[a-z0-9]*"])
def test_no_pattern_for_all(pattern: str) -> None:
    """A pattern that fits every host is refused, as it would switch the guard off."""
    with pytest.raises(ValueError, match="fits every host"):
        host_patterns(["db.example", pattern])


def test_patterns_are_read() -> None:
    """Patterns come as a list, or as text with commas from the environment."""
    assert host_patterns("db.example, *.internal,[2001:db8::1]") == ("db.example", "*.internal", "[2001:db8::1]")
    assert host_patterns(["db[0-9]"]) == ("db[0-9]",)


@pytest.mark.parametrize(("text", "hosts"), TEXTS)
def test_hosts_in(text: str, hosts: tuple[str, ...]) -> None:
    """The hosts of a connection text are found, and nothing of its password is returned."""
    found = hosts_in(text)
    assert found == hosts
    assert not any(piece in host for host in found for piece in ("secret", "sec", "ret", "cret.x"))


@pytest.mark.parametrize(
    "name",
    ["DATABASE_URL", "SHOP_DATABASE_URL", "database_url", "DB_URL", "POSTGRES_URL", "HEROKU_POSTGRESQL_GREEN_URL"],
)
def test_variables_that_count(name: str) -> None:
    """DATABASE_URL and its kind are looked at, with a prefix and in any case."""
    assert list(url_variables({name: "postgres://u:p@db.example/shop"})) == [(name, ("db.example",))]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TESTKIT_DATABASE_URL", "postgres://db.example/shop"),
        ("SENTRY_DSN", "https://key@sentry.example/1"),
        ("BROKER_URL", "amqp://mq.example"),
        ("DATABASE_URL_HINT", "postgres://db.example/shop"),
        ("DATABASE_URL", "db.example"),
        ("DATABASE_URL", ""),
        ("DATABASE_URL", "{{ secrets.database }}"),
    ],
)
def test_variables_that_do_not_count(name: str, value: str) -> None:
    """Testkit's own variables, other services' and values that name no host are passed over."""
    assert list(url_variables({name: value})) == []
