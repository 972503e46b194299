"""What tests leave behind: threads, connections, open files, changed settings and environment, unclosed resources."""

from __future__ import annotations

import gc
import logging
import os
import re
import socket
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any, NamedTuple

from testkit.core.clock import clock
from testkit.core.text import cut_middle

GRACE = 0.05
"""Seconds that new threads have for coming to their end when a test has ended."""

_LONGEST_LINE = 300
_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")
_DEEPEST_SETTING = 8


class LeakProbe:
    """Looks at the process before and after each test, and says what is there that was not.

    What Django opens once and keeps is no test's: the main thread's connections (but an open transaction is), the
    servers of ``DATABASES`` and ``CACHES``, the files of SQLite and of log handlers, the requests of a live server, the
    thread in which asgiref runs synchronous code. Nor is what the fixtures of a class or module hold while their tests
    run, since these are looked at between ``before`` and ``after`` only.

    A connection that is opened at its first use and kept on purpose, such as a client of another service at the level
    of a module, is told of with the test that opened it, and never again.

    Open files are seen on Linux alone. A look takes about a millisecond, and collecting garbage whatever there is of it.
    """

    def __init__(self) -> None:
        """Begin to listen to warnings and new connections; until :meth:`close`."""
        from django.db.backends.signals import connection_created

        self._warnings = _ResourceWarnings()
        self._log_files = frozenset(_log_files())
        self._before: _State | None = None
        self._thread = threading.current_thread()
        self._opened: list[tuple[Any, threading.Thread]] = []
        connection_created.connect(self._connection_opened)

    def close(self) -> None:
        """Listen no longer: the warnings of the process are as they were."""
        from django.db.backends.signals import connection_created

        connection_created.disconnect(self._connection_opened)
        self._warnings.close()

    def before(self, after_fixture: bool = True) -> None:
        """Begin a test, before its set-up.

        ``after_fixture``: a fixture of a class or module has run since the last test. The garbage that it left is
        collected now, so that the test is not held to account for it.
        """
        if after_fixture:
            gc.collect()
        self._opened.clear()
        self._thread = threading.current_thread()
        self._before = _look()
        self._warnings.begin()

    def after(self) -> tuple[str, ...]:
        """End the test, after its tear-down, and return a line for each thing that it left behind."""
        before, self._before = self._before, None
        if before is None:
            return ()
        new_threads = [thread for thread in threading.enumerate() if thread not in before.threads]
        _wait_for(new_threads)
        lines = list(self._left_connections(before))
        # Django keeps an in-memory database when it is told to close it, as that would be gone.
        unclosable = [connection for connection, _ in self._opened if _is_in_memory(connection)]
        self._opened.clear()
        gc.collect()
        _wait_for(new_threads)
        now = _look()
        lines += [
            f"thread {thread.name!r} is still running"
            for thread in new_threads
            if thread.is_alive() and not _is_known_thread(thread)
        ]
        lines += _changes("environment variable ", before.environment, now.environment)
        lines += _changes("settings.", before.settings, now.settings)
        lines += self._left_open(before, now)
        lines += self._warnings.take()
        if unclosable:
            unclosable.clear()
            gc.collect()  # not heard of any more
        return tuple(_once(_on_one_line(line) for line in lines))

    def _connection_opened(self, connection: Any, **_: Any) -> None:
        # Kept until the test ends: with its thread it would become garbage, and be closed now or later.
        thread = threading.current_thread()
        if self._before is not None and thread is not self._thread and thread not in self._before.threads:
            self._opened.append((connection, thread))

    def _left_connections(self, before: _State) -> Iterator[str]:
        for connection, thread in self._opened:
            is_open = connection.connection is not None and not _is_in_memory(connection)
            if is_open and not _is_known_thread(thread):
                yield f"connection {connection.alias!r} was opened by thread {thread.name!r} and not closed"
        for alias, depth in _transactions().items():
            if depth > before.transactions.get(alias, 0):
                yield f"connection {alias!r} is left open in a transaction"

    def _left_open(self, before: _State, now: _State) -> Iterator[str]:
        listening = {opened.port for opened in before.opened if opened.listens}
        for opened, count in (now.opened - before.opened).items():
            if opened.path:
                is_known = opened.path in self._log_files or _is_known_file(opened.path)
            else:
                # A live server's: of this process, and with a thread that waits for the next request of a browser.
                is_known = (opened.is_accepted and opened.port in listening) or _is_known_server(opened)
            if not is_known:
                yield from [f"{opened.text} is left open"] * count


class _State(NamedTuple):
    """What is looked at before and after a test."""

    threads: frozenset[threading.Thread]
    environment: Mapping[str, Any]
    settings: Mapping[str, Any]
    transactions: Mapping[str, int]
    opened: Counter[_Opened]


def _look() -> _State:
    return _State(
        threads=frozenset(threading.enumerate()),
        environment=dict(os.environ),
        settings=_settings(),
        transactions=_transactions(),
        opened=Counter(_opened()),
    )


def _on_one_line(text: str) -> str:
    return cut_middle(" ".join(text.split()), _LONGEST_LINE).replace("\n", " ")


def _once(lines: Iterator[str]) -> list[str]:
    return [line if count == 1 else f"{line} ({count} times)" for line, count in Counter(lines).items()]


# Settings and environment


def _changes(what: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Yield what changed by name; values may be secrets."""
    for name in sorted(before.keys() | now.keys()):
        if name not in before:
            yield f"{what}{name} was added"
        elif name not in now:
            yield f"{what}{name} was removed"
        elif before[name] != now[name]:
            yield f"{what}{name} was changed"


def _settings() -> dict[str, Any]:
    """Return a picture of each setting, as the overridden settings over one another give it."""
    from django.conf import settings

    pictures: dict[str, Any] = {}
    holder: Any = settings._wrapped if settings.configured else None
    hidden: set[str] = set()
    while holder is not None:
        values = vars(holder)
        for name, value in values.items():
            if name.isupper() and name not in pictures and name not in hidden:
                pictures[name] = _picture(value, _DEEPEST_SETTING)
        hidden |= values.get("_deleted", frozenset())
        holder = values.get("default_settings")
    return pictures


class _Same:
    """Stands for an object which is compared by identity."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other._value is self._value

    __hash__ = None  # type: ignore[assignment]  # never a key


def _picture(value: Any, depth: int) -> Any:
    """Return something equal to itself until ``value``, or what it contains, changes."""
    if value is None or isinstance(value, str | int | float | bytes | PurePath):
        return value
    if depth and isinstance(value, dict):
        return {key: _picture(item, depth - 1) for key, item in value.items()}
    if depth and isinstance(value, list | tuple):
        return [_picture(item, depth - 1) for item in value]
    if isinstance(value, set | frozenset):
        return frozenset(value)
    return _Same(value)


# Threads and connections


def _wait_for(threads: list[threading.Thread]) -> None:
    until = clock.seconds() + GRACE
    for thread in threads:
        if not _is_known_thread(thread):
            thread.join(max(until - clock.seconds(), 0))


def _is_known_thread(thread: threading.Thread) -> bool:
    """Return whether ``thread`` is testkit's, Django's or what they build on, or was started by none of Python."""
    if isinstance(thread, threading._DummyThread) or thread.name.startswith("testkit "):
        return True
    target = getattr(thread, "_target", None)  # until the thread has ended
    if str(getattr(target, "__module__", "")).partition(".")[0] == "psycopg_pool":
        return True
    server = getattr(sys.modules.get("django.core.servers.basehttp"), "ThreadedWSGIServer", ())
    if isinstance(getattr(target, "__self__", None), server):
        return True  # it serves a request, or waits for the browser's next one
    asgiref = sys.modules.get("asgiref.sync")
    return asgiref is not None and thread in asgiref.SyncToAsync.single_thread_executor._threads


def _is_in_memory(connection: Any) -> bool:
    return connection.vendor == "sqlite" and bool(connection.is_in_memory_db())


def _transactions() -> dict[str, int]:
    """Return how deep in transactions each connection is that this thread has open."""
    from django.conf import settings
    from django.db import connections

    depths = {}
    for connection in connections.all(initialized_only=True) if settings.configured else ():
        if connection.connection is None:
            continue
        is_open = connection.in_atomic_block or not connection.autocommit
        depths[connection.alias] = len(connection.savepoint_ids) + is_open
    return depths


# Files and sockets


class _Opened(NamedTuple):
    """An open file or socket, by what it leads to: one that was closed and opened again is the same.

    ``path`` is that of a file; ``peer`` is the other end of a connection (a port, or a path); ``port`` this end's.
    """

    text: str
    path: str = ""
    peer: int | str = ""
    port: int = 0
    listens: bool = False
    is_accepted: bool = False


def _opened() -> Iterator[_Opened]:
    try:
        numbers = os.listdir("/proc/self/fd")
    except OSError:
        return  # not on Linux
    pythons = _descriptors_of_python()
    sockets = []
    for number in numbers:
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue  # that of the listing itself
        if int(number) in pythons:
            continue
        if target.startswith("socket:"):
            sockets.append(_describe_socket(int(number)))
        elif target.startswith("/"):
            yield _Opened(f"file {target}", path=target)
        else:
            yield _Opened("a pipe" if target.startswith("pipe:") else target)
    listening = {opened.port for opened in sockets if opened.listens}
    for opened in sockets:
        if opened.peer and opened.port in listening:
            yield _Opened(f"a connection to port {opened.port} of this process", port=opened.port, is_accepted=True)
        else:
            # The port of this end is any one that was free.
            yield opened if opened.listens else opened._replace(port=0)


def _describe_socket(descriptor: int) -> _Opened:
    try:
        with socket.socket(fileno=os.dup(descriptor)) as copy:
            listens = bool(copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
            own = copy.getsockname()
            try:
                peer = copy.getpeername()
            except OSError:
                peer = None
    except OSError:
        return _Opened("a socket")
    if isinstance(own, tuple) and len(own) >= 2 and isinstance(own[1], int):
        if peer:
            return _Opened(f"a connection to {peer[0]} port {peer[1]}", peer=peer[1], port=own[1])
        return _Opened(f"a socket at port {own[1]}" if own[1] else "a socket", port=own[1], listens=listens)
    path = os.fsdecode(peer or own or "") if isinstance(peer or own or "", str | bytes) else ""
    return _Opened(f"a socket at {path}" if path else "a socket", peer=path)


def _descriptors_of_python() -> set[Any]:
    """Return what multiprocessing opens when it is used first, and keeps."""
    tracker = getattr(sys.modules.get("multiprocessing.resource_tracker"), "_resource_tracker", None)
    server = getattr(sys.modules.get("multiprocessing.forkserver"), "_forkserver", None)
    return {
        getattr(tracker, "_fd", None),
        getattr(server, "_forkserver_alive_fd", None),
    } - {None}


def _log_files() -> Iterator[str]:
    for logger in [logging.getLogger(), *logging.root.manager.loggerDict.values()]:
        for handler in getattr(logger, "handlers", ()):  # placeholders of loggers not made yet have none
            if isinstance(handler, logging.FileHandler):
                yield handler.baseFilename


def _is_known_file(path: str) -> bool:
    from django.db import connections

    if path in ("/dev/null", "/dev/random", "/dev/urandom") or os.path.basename(path).startswith(".coverage"):
        return True
    for connection in connections.all(initialized_only=True):
        name = connection.settings_dict.get("NAME")
        if connection.vendor == "sqlite" and name and path.startswith(os.path.realpath(name)):
            return True  # or its journal
    return False


_SERVICES = re.compile(r"\.s\.PGSQL\.|mysql|maria")
_USUAL_PORTS = {5432, 3306, 1521, 6379, 11211}


def _is_known_server(opened: _Opened) -> bool:
    """Return whether the other end is a database or cache of the settings, whose connections Django keeps."""
    from django.conf import settings

    if not opened.peer:
        return False
    servers = [f":{params.get('PORT')} {params.get('HOST')}" for params in settings.DATABASES.values()]
    servers += [str(params.get("LOCATION")) for params in settings.CACHES.values()]
    if isinstance(opened.peer, str):
        return bool(_SERVICES.search(opened.peer)) or any(opened.peer in server for server in servers)
    ports = {int(port) for server in servers for port in re.findall(r":(\d+)", server)}
    return opened.peer in ports | _USUAL_PORTS


# Warnings


class _ResourceWarnings:
    """Hears of every ResourceWarning, and lets the run's own filters say what comes of it then.

    One filter for the whole run: each change of the filters makes Python forget which warnings it has shown. And not
    ``showwarning``, the public hook, since with any other than Python's own, what tracemalloc knows of the place where
    a file was opened is shown no more; this one is "to write a warning to a file; replace if you like" (warnings.py).
    """

    def __init__(self) -> None:
        self._texts: list[str] | None = None
        self._seen: set[tuple[str, ...]] = set()
        self._show_before = warnings._showwarnmsg  # type: ignore[attr-defined]
        self._write = warnings._showwarnmsg_impl  # type: ignore[attr-defined]
        self._put_filter()
        warnings._showwarnmsg = self._show  # type: ignore[attr-defined]

    def _put_filter(self) -> None:
        # The comment matches anything; by it this filter is no other one, which the run may have.
        warnings.filterwarnings("always", message="(?#testkit)", category=ResourceWarning)
        self._filter = warnings.filters[0]

    def close(self) -> None:
        if warnings._showwarnmsg == self._show:  # type: ignore[attr-defined]
            warnings._showwarnmsg = self._show_before  # type: ignore[attr-defined]
        if self._filter in warnings.filters:
            warnings.filters.remove(self._filter)  # type: ignore[attr-defined]  # a list, which the stubs hide

    def begin(self) -> None:
        self._texts = []
        if not warnings.filters or warnings.filters[0] != self._filter:
            self._put_filter()  # a test, or the fixture of a class, has put others in front or has removed all

    def take(self) -> list[str]:
        texts, self._texts = self._texts, None
        return texts or []

    def _show(self, warning: warnings.WarningMessage) -> None:
        if issubclass(warning.category, ResourceWarning):
            text = str(warning.message)
            is_recorded = warnings._showwarnmsg_impl is not self._write  # type: ignore[attr-defined]
            if self._texts is not None and not is_recorded:  # by assertWarns, say
                self._texts.append(f"{warning.category.__name__}: {_ADDRESS.sub('', text)}")
            action = self._action(text, warning)
            if action == "error":
                raise warning.message  # type: ignore[misc]  # the stubs allow for text
            if action == "ignore" or (not is_recorded and self._was_shown(action, text, warning)):
                return
        self._show_before(warning)

    def _was_shown(self, action: str, text: str, warning: warnings.WarningMessage) -> bool:
        match action:
            case "once":
                place: tuple[str, ...] = (text,)
            case "module":
                place = (text, warning.filename)
            case "default":
                place = (text, warning.filename, str(warning.lineno))
            case _:
                return False
        known = place in self._seen
        self._seen.add(place)
        return known

    def _action(self, text: str, warning: warnings.WarningMessage) -> str:
        """Return what the filters say without ours, as ``warnings.warn_explicit`` reads them."""
        module = warning.filename.removesuffix(".py")
        for entry in warnings.filters:
            action, message, base, name, number = entry
            if (
                entry != self._filter
                and _matches(message, text)
                and issubclass(warning.category, base)
                and _matches(name, module)
                and number in (0, warning.lineno)
            ):
                return action
        return "default"


def _matches(pattern: Any, text: str) -> bool:
    if pattern is None or isinstance(pattern, str):
        return pattern is None or pattern == text
    return pattern.match(text) is not None
