"""Private database servers for the tests: data in a temporary folder, reachable by a Unix socket alone.

A server dies with the process that started it, even a killed one. Nothing is synced to disk, as only speed matters for
such data, unless a server is to be ``durable`` as those are by default on which benchmarks are true. All URLs are as dj-database-url reads them. Linux only, for util-linux's ``setpriv``.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from glob import glob
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote, urlsplit

import dj_database_url

# A start takes about a second; the rest is patience with a loaded machine.
START_SECONDS = 60
STOP_SECONDS = 10
MEMORY = Path("/dev/shm")
ROOM = 4 << 30
"""Bytes that have to be free there; in containers there are often only 64 MiB."""
PREFIX, LOCK = "testkit-server-", "lock"


class Missing(Exception):
    """A program or driver is not on this machine; the message says which, and what installs it."""


@contextmanager
def postgres_server(*, durable: bool = False) -> Iterator[str]:
    """Run a PostgreSQL server and give the URL of its maintenance database.

    Raises `Missing` if its programs are not installed.
    """
    # Debian keeps them off the PATH, in a folder for each version.
    folders = glob("/usr/lib/postgresql/*/bin")
    folders.sort(key=lambda folder: int(Path(folder).parent.name), reverse=True)
    initdb = find("initdb", folders=folders, package="postgresql")
    postgres = find("postgres", folders=folders, package="postgresql")
    with server_folder(durable=durable) as folder:
        data = folder / "data"
        prepare(
            folder,
            [
                *(initdb, f"--pgdata={data}", "--username=testkit", "--auth=trust"),
                *("--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"),
            ],
        )
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": folder,
            "shared_buffers": "32MB",
        }
        if not durable:
            settings |= {
                "fsync": "off",
                "full_page_writes": "off",
                "synchronous_commit": "off",
                "max_wal_size": "256MB",
            }
        command = [postgres, "-D", str(data), *(f"--{name}={value}" for name, value in settings.items())]
        url = f"postgres://testkit@{quote(str(folder), safe='')}/postgres"
        # SIGINT is its fast shutdown; SIGTERM would wait for the clients to leave.
        with running(folder, command, url, stop_signal=signal.SIGINT):
            yield url


@contextmanager
def mariadb_server(*, durable: bool = False) -> Iterator[str]:
    """Run a MariaDB server and give the URL of its system database.

    Raises `Missing` if its programs or the driver mysqlclient are not installed.
    """
    driver("mysql:")  # or Missing, before a server is started for nothing
    install_db = find("mariadb-install-db", package="mariadb-server")
    mariadbd = find("mariadbd", folders=["/usr/sbin"], package="mariadb-server")
    with server_folder(durable=durable) as folder:
        socket = folder / "socket"
        options = ["--no-defaults", f"--datadir={folder / 'data'}", f"--tmpdir={folder}", "--innodb-log-file-size=8M"]
        prepare(folder, [install_db, *options, "--auth-root-authentication-method=normal", "--skip-test-db"])
        command = [
            *(mariadbd, *options, f"--socket={socket}", f"--pid-file={folder / 'pid'}"),
            *("--skip-networking", "--character-set-server=utf8mb4", "--innodb-buffer-pool-size=32M"),
        ]
        if not durable:
            command += ["--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0", "--innodb-fast-shutdown=2"]
        url = f"mysql://root@/mysql?unix_socket={quote(str(socket), safe='')}"
        with running(folder, command, url, stop_signal=signal.SIGTERM):
            yield url


@contextmanager
def own_database(server_url: str, name: str) -> Iterator[str]:
    """Make an empty database on a server, give its URL, and drop it at the end."""
    execute(server_url, f"DROP DATABASE IF EXISTS {name}")
    execute(server_url, f"CREATE DATABASE {name}")
    yield urlsplit(server_url)._replace(path=f"/{name}").geturl()
    force = " WITH (FORCE)" if driver(server_url).__name__ == "psycopg" else ""
    execute(server_url, f"DROP DATABASE {name}{force}")


def find(*programs: str, package: str, folders: Iterable[str] = ()) -> str:
    """Give the path of the first program found, in `folders` or on the PATH; raise `Missing` naming its package."""
    path = os.pathsep.join([*folders, os.environ.get("PATH", os.defpath)])
    for program in programs:
        if found := shutil.which(program, path=path):
            return found
    raise Missing(f"no {programs[0]} here: run `make test-env`, or as root `apt-get install {package}`")


@contextmanager
def server_folder(*, durable: bool) -> Iterator[Path]:
    """A temporary folder that the server may write to; its path is short, as that of a Unix socket has to be.

    It is in memory where there is room and it need not last: a copy of a database has a thousand files, and to find
    places for them on a disk takes a kernel longer than the server takes for all else.
    """
    place = Path("/tmp") if durable or not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < ROOM else MEMORY
    _remove_left()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    try:
        with (folder / LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if os.geteuid() == 0:
                shutil.chown(folder, "nobody")
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_left() -> None:
    """Remove from memory what killed processes have left there: it would stay until the machine is restarted."""
    for folder in MEMORY.glob(f"{PREFIX}*"):
        with suppress(OSError):  # locked by a living process, another user's, or just removed
            if time.time() - folder.stat().st_mtime > START_SECONDS:  # else it may not be locked yet
                with (folder / LOCK).open() as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)


def unprivileged(death_signal: signal.Signals) -> list[str]:
    """The start of a command line that is not root, which both servers refuse, and that dies with this process.

    The kernel sends the signal, even when this process is killed (prctl(2), PR_SET_PDEATHSIG). It forgets to if the
    process changes its user afterwards, so that a server's own way of dropping root will not do.
    """
    command = [find("setpriv", package="util-linux"), f"--pdeathsig={death_signal.name.removeprefix('SIG')}"]
    if os.geteuid() == 0:
        command += ["--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    return [*command, "--"]


def prepare(folder: Path, command: list[str]) -> None:
    """Run the program that makes a server's data folder; raise `RuntimeError` with its output if it fails."""
    result = subprocess.run(
        [*unprivileged(signal.SIGKILL), *command],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if result.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{result.stdout}")


@contextmanager
def running(folder: Path, command: list[str], url: str, *, stop_signal: signal.Signals) -> Iterator[None]:
    """Run a server while the block lasts, which begins when the server answers at `url`."""
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*unprivileged(stop_signal), *command],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start:\n{log.read_text(errors='replace')}")
            time.sleep(0.05)
        yield
    finally:
        process.send_signal(stop_signal)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def driver(url: str) -> ModuleType:
    """The module by which Django talks to the server at `url`; raises `Missing` if it cannot be imported."""
    if url.startswith("postgres"):
        return import_module("psycopg")
    try:
        return import_module("MySQLdb")
    except ImportError as error:
        raise Missing(f"no mysqlclient here ({error}): run `make test-env`") from error


def names_of_databases(url: str) -> list[str]:
    """The names of all databases on a server."""
    is_postgres = driver(url).__name__ == "psycopg"
    return [row[0] for row in execute(url, "SELECT datname FROM pg_database" if is_postgres else "SHOW DATABASES")]


def execute(url: str, statement: str) -> list[tuple[Any, ...]]:
    """Run one SQL statement, outside of any transaction, and give its rows."""
    settings = dj_database_url.parse(url)
    names = {"USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
    options = {names[key]: value for key, value in settings.items() if key in names and value}
    if driver(url).__name__ == "psycopg":
        options |= {"dbname": settings["NAME"], "autocommit": True}
    else:
        options |= {"database": settings["NAME"]}
    with closing(driver(url).connect(**options, **settings.get("OPTIONS", {}))) as connection:
        cursor = connection.cursor()
        cursor.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []


def answers(url: str) -> bool:
    try:
        execute(url, "SELECT 1")
    except driver(url).OperationalError:
        return False
    return True
