"""What an alias of ``DATABASES`` points at: its server's hosts, its real name and its test name.

Read from the settings and from what the client libraries read besides (PostgreSQL's environment and service file,
MySQL's option files), without opening a connection; ``connected_name`` alone asks the server.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from django.db.backends.base.base import BaseDatabaseWrapper

from testkit.databases.hosts import hosts_in, server_name

_PORTS = {"postgresql": "5432", "mysql": "3306", "oracle": "1521"}
# Keys of OPTIONS (and of djongo's CLIENT) that may hold a host or a text with one, whatever the backend.
_HOST_KEYS = frozenset(
    {"host", "hosts", "hostaddr", "server", "unix_socket", "dsn", "conninfo", "connection_string", "uri", "url"}
)
_ASKS_NAME: Mapping[str, str] = {
    "mysql": "SELECT DATABASE()",
    "oracle": "SELECT USER FROM DUAL",
    "postgresql": "SELECT current_database()",
    "sqlite3": "SELECT file FROM pragma_database_list WHERE name = 'main'",
}
_MYSQL_FILES = ("/etc/my.cnf", "/etc/mysql/my.cnf", "~/.my.cnf")
_HIDDEN = re.compile(r"@|://|pass|pwd", re.IGNORECASE)


class Host(NamedTuple):
    """A host and where it was found, such as ``OPTIONS["host"]``."""

    where: str
    name: str


class Target(NamedTuple):
    """What one alias points at. ``real`` is its name (its user, for Oracle); ``hosts`` is empty for a file."""

    alias: str
    engine: str
    family: str
    hosts: tuple[Host, ...]
    port: str
    real: str

    @property
    def server(self) -> tuple[object, ...]:
        """What two aliases on the same server have in common; all local ways to a port count as one server."""
        names = frozenset(server_name(host.name) for host in self.hosts) or frozenset({"localhost"})
        return self.family, self.port, names

    def describe(self) -> str:
        """Return alias, engine, host and name for a message, without anything that could hold a password."""
        hosts = ", ".join(dict.fromkeys(host.name for host in self.hosts if host.name)) or "(local)"
        place = "" if self.family == "sqlite3" else f", host {hosts}"
        return f'"{self.alias}" (engine {self.engine}{place}, name {shown(self.real, self.family)})'


def target_of(connection: BaseDatabaseWrapper, environ: Mapping[str, str] = os.environ) -> Target:
    """Return what ``connection`` points at by its settings as they are now."""
    settings, family = connection.settings_dict, family_of(connection)
    port = str(settings["PORT"] or (family == "postgresql" and environ.get("PGPORT")) or _PORTS.get(family, ""))
    return Target(
        alias=connection.alias,
        engine=settings["ENGINE"],
        family=family,
        hosts=tuple(_hosts(family, settings, environ)),
        port="" if family == "sqlite3" else port,
        real=name_of(connection),
    )


def family_of(connection: BaseDatabaseWrapper) -> str:
    """Return which of Django's own backends this one is or derives from, or else its vendor."""
    for cls in type(connection).__mro__:
        head, _, rest = cls.__module__.partition("django.db.backends.")
        family = rest.partition(".")[0]
        if not head and family not in {"", "base"}:
            return family
    return connection.vendor


def name_of(connection: BaseDatabaseWrapper) -> str:
    """Return the name that tells the databases of a server apart: the user on Oracle, where tests get one of their own."""
    return str(connection.settings_dict["USER" if family_of(connection) == "oracle" else "NAME"] or "")


def name_for_tests(connection: BaseDatabaseWrapper) -> str:
    """Return the name that the backend will give to the test database.

    Raises:
        Exception: whatever a backend raises that has no such name.
    """
    creation: Any = connection.creation
    return str(creation._test_database_user() if family_of(connection) == "oracle" else creation._get_test_db_name())


def connected_name(connection: BaseDatabaseWrapper) -> str | None:
    """Ask the server which database ``connection`` is at, and open it for that; None where nobody knows how to ask."""
    question = _ASKS_NAME.get(family_of(connection))
    if question is None:
        return None
    with connection.temporary_connection() as cursor:
        cursor.execute(question)
        return str(cursor.fetchone()[0] or "")


def same_name(family: str, one: str, other: str) -> bool:
    """Return whether two names are one database on the same server (for SQLite: one file)."""
    if family == "sqlite3":
        if is_in_memory(one) or is_in_memory(other):
            return False
        files = sqlite_file(one), sqlite_file(other)
        return files[0] == files[1] or (all(file.exists() for file in files) and files[0].samefile(files[1]))
    if family == "postgresql":  # creation leaves a name that is quoted already as it is
        return one.strip('"') == other.strip('"')
    return one.casefold() == other.casefold()


def real_one(target: Target, name: str, real: Iterable[Target]) -> Target | None:
    """Return which of the ``real`` databases the database ``name`` on the server of ``target`` is, if any."""
    for other in real:
        if other.real and other.server == target.server and same_name(target.family, name, other.real):
            return other
    return None


def is_in_memory(name: str) -> bool:
    """Return whether the SQLite database ``name`` is in memory (or, its name being empty, in no file that stays)."""
    return (
        not name or name == ":memory:" or (name.startswith("file:") and (":memory:" in name or "mode=memory" in name))
    )


def sqlite_file(name: str) -> Path:
    """Return the file of a SQLite database, which may be given as a URI (https://www.sqlite.org/uri.html)."""
    path = unquote(urlsplit(name).path) if name.startswith("file:") else name
    return Path(path).resolve()


def shown(name: str, family: str) -> str:
    """Return a database's name for a message; what could hold a password is left out."""
    if family == "sqlite3" and ("://" not in name or name.startswith("file:")):
        return name.partition("?")[0] or "(none)"
    return "(not shown: it may hold a password)" if _HIDDEN.search(name) else name or "(none)"


def _hosts(family: str, settings: Mapping[str, Any], environ: Mapping[str, str]) -> Iterator[Host]:
    found = [("HOST", settings["HOST"])]
    found += _texts("OPTIONS", settings["OPTIONS"])
    found += _texts("CLIENT", settings.get("CLIENT"))  # djongo
    given = any(value for where, value in found if where != 'OPTIONS["hostaddr"]')
    if family == "sqlite3":
        # A remote database that speaks SQLite's dialect has a URL for a name.
        found = [("NAME", settings["NAME"])] if "://" in str(settings["NAME"]) else []
    elif family == "postgresql":
        found += _from_libpq(settings["OPTIONS"], environ, host_given=given)
    elif family == "mysql" and not given:
        found += _from_option_files(settings["OPTIONS"])
    elif family == "oracle" and not given:
        # An easy connect string ("//host:1521/service"), a descriptor, or an alias that tnsnames.ora explains.
        name = str(settings["NAME"])
        found = [("NAME", name if "=" in name else name.rpartition("//")[2].partition("/")[0])]
    for where, value in found or [("HOST", "")] * (family != "sqlite3"):
        yield from (Host(where, host) for host in hosts_in(str(value or "")))


def _texts(where: str, options: Any) -> Iterator[tuple[str, Any]]:
    """Yield the values in nested options whose key says that they have to do with a host."""
    for key, value in options.items() if isinstance(options, Mapping) else ():
        place = f'{where}["{key}"]'
        if isinstance(value, Mapping):
            yield from _texts(place, value)
        elif str(key).lower() in _HOST_KEYS:
            yield from ((place, item) for item in (value if isinstance(value, list | tuple) else [value]))


def _from_libpq(options: Mapping[str, Any], environ: Mapping[str, str], host_given: bool) -> Iterator[tuple[str, str]]:
    """Yield what libpq adds by itself, each parameter for itself: from the service file, else from the environment.

    An address (``hostaddr``) counts even where a host is given: libpq connects to it instead.
    https://www.postgresql.org/docs/current/libpq-envars.html
    """
    name = str(options.get("service") or environ.get("PGSERVICE", ""))
    where = 'OPTIONS["service"]' if options.get("service") else "PGSERVICE"
    service = _service(name, environ) if name else {}
    if service is None and not host_given:
        yield where, f"service={name}"  # not local, since nobody knows; it can be allowed by this name
    for key, variable in (("host", "PGHOST"), ("hostaddr", "PGHOSTADDR")):
        if key == "host" and host_given:
            continue
        if service and key in service:
            yield where, service[key]
        elif environ.get(variable):
            yield variable, environ[variable]


def _service(name: str, environ: Mapping[str, str]) -> dict[str, str] | None:
    """Return what PostgreSQL's service files say about a service, or None when those that are known do not have it.

    https://www.postgresql.org/docs/current/libpq-pgservice.html
    """
    user = environ.get("PGSERVICEFILE") or "~/.pg_service.conf"
    system = Path(environ.get("PGSYSCONFDIR") or "/etc/postgresql-common") / "pg_service.conf"
    for file in (Path(user).expanduser(), system):
        found = list(_in_sections(_lines(file), lambda section: section == name))
        if any(key.startswith("ldap") for key, _ in found):
            return None
        if found:
            # Several hosts are alternatives to each other.
            return {key: ",".join(value for other, value in found if other == key) for key, _ in found}
    return None


def _from_option_files(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the hosts in the option files that the MySQL client is told to read.

    https://dev.mysql.com/doc/refman/en/option-files.html
    """
    file, group = options.get("read_default_file"), options.get("read_default_group")
    if file and not Path(file).expanduser().is_file():
        yield 'OPTIONS["read_default_file"]', f"read_default_file={file}"
    for name in [file] if file else _MYSQL_FILES if group else ():
        lines = _lines(Path(name).expanduser())
        for key, value in _in_sections(lines, lambda section: section.startswith("client") or section == group):
            if key in {"host", "socket"}:
                yield str(name), value.strip("'\"")


def _lines(file: Path) -> Iterator[str]:
    """Yield the lines of an ini file and of those that it includes; nothing for one that cannot be read."""
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        command, _, argument = line.strip().partition(" ")
        if command == "!includedir":
            for included in sorted(Path(argument.strip()).glob("*.cnf")):
                yield from _lines(included)
        elif command == "!include":
            yield from _lines(Path(argument.strip()))
        else:
            yield line.strip()


def _in_sections(lines: Iterable[str], wanted: Callable[[str], bool]) -> Iterator[tuple[str, str]]:
    section = ""
    for line in lines:
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith(("#", ";")) and wanted(section):
            key, _, value = line.partition("=")
            yield key.strip(), value.strip()
