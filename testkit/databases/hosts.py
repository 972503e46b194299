"""Which hosts are local, which belong to a known cloud, and which hosts a text names. Pure rules, without Django.

Only what is surely this machine or a container beside it is local; a tunnel or a proxy that listens on loopback cannot
be told from a local server, so a production database behind one is not recognised.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from testkit.core.readers import names

LOCAL_NAMES = (
    "localhost",
    "*.localhost",  # RFC 6761, section 6.3
    "localhost.localdomain",
    "host.docker.internal",
    "host.containers.internal",  # Podman's name for it
    ".",  # this and the next two are SQL Server's
    "(local)",
    "(localdb)",
)

# The first that matches names the host, so a service stands before the cloud that it belongs to.
PROVIDERS: tuple[tuple[str, str], ...] = (
    ("/cloudsql/*", "a Google Cloud SQL socket"),
    ("*/cloudsql/*", "a Google Cloud SQL socket"),
    ("*:*-*[0-9]:*", "a Google Cloud SQL instance"),  # project:region:instance
    ("*.sql.goog", "a Google Cloud SQL host"),
    ("*.rds.amazonaws.com", "an Amazon RDS host"),
    ("*.rds.amazonaws.com.cn", "an Amazon RDS host"),
    ("*.redshift.amazonaws.com", "an Amazon Redshift host"),
    ("ec2-*.amazonaws.com", "an Amazon EC2 host (Heroku Postgres is found there as well)"),
    ("*.amazonaws.com", "an Amazon Web Services host"),
    ("*.amazonaws.com.cn", "an Amazon Web Services host"),
    ("*.on.aws", "an Amazon Web Services host"),
    ("*.database.azure.com", "an Azure Database host"),
    ("*.database.windows.net", "an Azure SQL host"),
    ("*.azure.com", "an Azure host"),
    ("*.windows.net", "an Azure host"),
    ("*.chinacloudapi.cn", "an Azure host"),
    ("*.herokuapp.com", "a Heroku host"),
    ("*.neon.tech", "a Neon host"),
    ("*.supabase.co", "a Supabase host"),
    ("*.supabase.com", "a Supabase host"),
    ("*.render.com", "a Render host"),
    ("dpg-????????????????????-?", "a Render host"),  # its name inside Render has no dot
    ("*.rlwy.net", "a Railway host"),
    ("*.railway.app", "a Railway host"),
    ("*.railway.internal", "a Railway host"),
    ("*.flycast", "a Fly.io host"),
    ("*.fly.dev", "a Fly.io host"),
    ("*.aivencloud.com", "an Aiven host"),
    ("*.db.ondigitalocean.com", "a DigitalOcean host"),
    ("*.psdb.cloud", "a PlanetScale host"),
    ("*.cockroachlabs.cloud", "a CockroachDB Cloud host"),
    ("*.timescale.com", "a Timescale host"),
    ("*.postgresbridge.com", "a Crunchy Bridge host"),
    ("*.pythonanywhere-services.com", "a PythonAnywhere host"),
    ("*.scw.cloud", "a Scaleway host"),
    ("*.aliyuncs.com", "an Alibaba Cloud host"),
    ("*.appdomain.cloud", "an IBM Cloud host"),
    ("*.oraclecloud.com", "an Oracle Cloud host"),
    ("*.mongodb.net", "a MongoDB Atlas host"),
)

URL_VARIABLES = (
    "*DATABASE_URL",
    "*DATABASE_URI",
    "*DATABASE_DSN",
    "*DATABASE_URL_UNPOOLED",
    "*DB_URL",
    "*DB_URI",
    "*POSTGRES_URL",
    "*POSTGRES_URL_NON_POOLING",
    "*POSTGRES_PRISMA_URL",
    "*POSTGRESQL_URL",
    "HEROKU_POSTGRESQL_*_URL",
    "*MYSQL_URL",
    "*MARIADB_URL",
    "*ORACLE_URL",
)
"""The environment variables that are taken to tell where a database is (``TESTKIT_*`` ones apart)."""

# What a URL in such a variable may also be: a file, or something to download (GEOIP_DB_URL).
_OTHER_SCHEMES = frozenset({"file", "ftp", "gs", "http", "https", "s3", "sftp", "spatialite", "sqlite", "sqlite3"})
UNREADABLE = "(not shown: percent-encode the user and the password in the URL)"
"""Stands for a host that cannot be told from a password; it is not local, and no name of a host matches it."""

_QUERY_HOSTS = ("host", "hostaddr", "unix_socket", "unix_sock")
_KEYWORD = re.compile(
    r"""(?:^|[\s;(&?])(?:host(?:addr)?|server|data\ source)\s*=\s*('[^']*'|"[^"]*"|[^\s;)&]+)""",
    re.IGNORECASE | re.VERBOSE,
)
_PASSWORD = re.compile(r"""\b(?:pass\w*|pwd)\s*=\s*('(?:\\.|[^'\\])*'|"[^"]*"|[^\s;&]*)""", re.IGNORECASE)
_PROTOCOL = re.compile(r"^(?:tcp|tcps|np|admin|lpc):", re.IGNORECASE)
_WITHOUT_DOT = re.compile(r"[\w-]+")
_NUMBERS = re.compile(r"(0x[0-9a-f]+|[0-9]+)(\.(0x[0-9a-f]+|[0-9]+)){0,3}")


def is_local(host: str) -> bool:
    """Return whether ``host`` is this machine or, its name having no dot, a container beside it.

    Sockets and the empty host are local, a socket of the Cloud SQL proxy is not; any address but loopback and
    "all of this machine" (``0.0.0.0``, ``::``) is not either.
    """
    name = normal(host)
    if provider_of(name):
        return False
    if not name or name.startswith(("/", "@")):
        return True
    address = _address(name)
    if address is not None:
        return address.is_loopback or address.is_unspecified
    return bool(_WITHOUT_DOT.fullmatch(name)) or _matches(name, LOCAL_NAMES)


def server_name(host: str) -> str:
    """Return what names the server behind ``host``: one name for all the ways that lead to this machine."""
    name = normal(host)
    is_container = _WITHOUT_DOT.fullmatch(name) and _address(name) is None and name != "localhost"
    return "localhost" if is_local(name) and not is_container else name


def provider_of(host: str) -> str:
    """Return what a known cloud calls this host, such as "an Amazon RDS host", or an empty text."""
    name = normal(host)
    if _address(name) is not None:
        return ""
    return next((words for pattern, words in PROVIDERS if fnmatchcase(name, pattern)), "")


def is_safe(host: str, patterns: Iterable[str]) -> bool:
    """Return whether tests may use ``host``: it is local, or one of ``patterns`` (fnmatch, any case) matches it."""
    return is_local(host) or _matches(normal(host), (normal(pattern) for pattern in patterns))


def normal(host: str) -> str:
    """Return ``host`` in one spelling: lower case, without brackets, a scope or the dot of the root."""
    name = host.strip().lower()
    if name.startswith("[") and ":" in name.partition("]")[0]:  # else a set of letters in a pattern
        name = name[1:].partition("]")[0]
    return name if name.startswith("/") or name == "." else name.rstrip(".")


def host_patterns(value: object) -> tuple[str, ...]:
    """Read the option: names of hosts or fnmatch patterns.

    Raises:
        ValueError: it is no list of names, or a pattern fits every host and so would switch the guard off.
    """
    patterns = names(value)
    for pattern in patterns:
        if not re.search(r"[\w:]", re.sub(r"\[.*?\]", "", normal(pattern))):
            raise ValueError(f"{pattern!r} fits every host: name those that tests may use")
    return patterns


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the IP address that ``name`` is, also in the short forms that resolvers take (``127.1``, ``2130706433``)."""
    try:
        # ip_address() knows scopes (fe80::1%eth0).
        address = ipaddress.ip_address(name)
    except ValueError:
        try:
            return ipaddress.IPv4Address(socket.inet_aton(name)) if _NUMBERS.fullmatch(name) else None
        except OSError:
            return None
    return getattr(address, "ipv4_mapped", None) or address


def hosts_in(text: str) -> tuple[str, ...]:
    """Return the hosts that a connection text names: a URL, ``host=… user=…``, ``Server=…;`` or a plain host.

    Nothing else of the text is returned, so that what is shown of it holds no password; where a URL's password stands
    in the way of telling which part is the host, ``UNREADABLE`` takes the host's place.
    """
    keywords = _KEYWORD.findall(_PASSWORD.sub(" ", text))
    if "://" in text:
        found = list(_hosts_in_url(text))
    elif keywords:
        found = [value.strip("'\"") for value in keywords]
    else:
        # An "@" in front is Linux's mark of an abstract socket.
        found = [_behind_last_at(text) if "@" in text[1:] else text]
    return tuple(host for item in found for host in _parts(item))


def _parts(item: str) -> Iterator[str]:
    """Yield the hosts of one value: commas part several of them, and each may have a protocol and a port."""
    first, *others = item.split(",")
    # SQL Server parts the port, too, by a comma: "Server=tcp:db.example.com,1433".
    for part in (first, *(other for other in others if not other.strip().isdecimal())):
        # Behind the host may stand SQL Server's instance, or JDBC's ";password=…".
        host = re.split(r"[\\;]", _PROTOCOL.sub("", part.strip()))[0]
        yield re.sub(r":[0-9]*$", "", host) if host.count(":") == 1 else host


def _hosts_in_url(url: str) -> Iterator[str]:
    before, _, rest = url.strip().partition("://")
    # "jdbc:postgresql://", "postgresql+psycopg://"
    if before.rpartition(":")[2].partition("+")[0].lower() in _OTHER_SCHEMES:
        return
    try:
        parts = urlsplit("x://" + rest)
    except ValueError:  # a bracket in a password
        yield _behind_last_at(rest)
        return
    user, _, netloc = parts.netloc.rpartition("@")
    stray = _has_stray_at(parts)
    if stray:
        yield _behind_last_at(rest)
        # In front of the last "@" stands a user, or a host with a strange path, or else a piece of the password.
        netloc = netloc.partition(":")[0]
        netloc = UNREADABLE if user and not is_local(netloc) else netloc
    yield from (unquote(item) for item in netloc.split(","))
    query = parse_qs("" if stray else parts.query)
    for key in _QUERY_HOSTS:
        yield from query.get(key, ())
    if "/cloudsql/" in parts.path:  # django-environ: postgres://user:password@//cloudsql/project:region:instance/name
        yield "/cloudsql/" + parts.path.partition("/cloudsql/")[2].partition("/")[0]


def _has_stray_at(parts: SplitResult) -> bool:
    """Return whether an "@" is where none belongs: the password has a ``/``, ``#`` or ``?`` that is not encoded."""
    in_query = "@" in parts.query and "=" not in parts.query.partition("@")[0] and "@" not in parts.netloc
    return "@" in parts.path or "@" in parts.fragment or in_query


def _behind_last_at(text: str) -> str:
    return re.split(r"[/?#]", text.rpartition("@")[2])[0]


def url_variables(environ: Mapping[str, str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the variables of ``environ`` that tell where a database is (``URL_VARIABLES``), each with its hosts.

    A value that is neither a URL nor ``host=…`` names no host: a plain word in ``MY_DB_URL`` could be anything.
    """
    for name in sorted(environ):
        value, title = environ[name], name.upper()
        # The values first, as few have these signs: to match all names takes milliseconds at each start.
        if ("://" in value or "@" in value or _KEYWORD.search(value)) and (
            _matches(title, URL_VARIABLES) and not title.startswith("TESTKIT_")
        ):
            yield name, hosts_in(value)
