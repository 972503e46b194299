"""Views, routines, triggers and events of MySQL and MariaDB, as text and the settings that it was written under."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from django.db import DatabaseError

from testkit.core.errors import TestkitError
from testkit.databases.backends.mysql_session import Administration, quoted

HERE = "`\0`."
"""In texts, the database itself: what it is called is no part of its contents, and no name has this character."""
_QUOTED = re.compile(r"'(?:[^'\\]|\\.|'')*'|`(?:[^`]|``)*`\.?", re.DOTALL)
_HEAD_OF_TRIGGER = re.compile(r".*?\bFOR\s+EACH\s+ROW\b", re.DOTALL | re.IGNORECASE)
# Where the driver's name for a character set is not Python's.
_CODECS = {"utf8mb4": "utf-8", "utf8mb3": "utf-8", "utf8": "utf-8", "binary": "utf-8", "latin1": "cp1252"}
_SETTINGS_OF_PROGRAMS = "sql_mode, time_zone, character_set_client, collation_connection"


class Program(NamedTuple):
    """A view, routine, trigger or event: its text, and the settings of the session that it was made in."""

    kind: str
    name: str
    create: str
    charset: str
    collation: str
    sql_mode: str | None = None
    """None for a view, whose text does not depend on it."""
    database_collation: str = ""
    time_zone: str = ""


def read_triggers(server: Administration, database: str) -> dict[str, list[Program]]:
    """Return the triggers of each table, in the order in which they run."""
    found: dict[str, list[Program]] = {}
    for name, table in server.rows(
        "SELECT trigger_name, event_object_table FROM information_schema.triggers WHERE trigger_schema = %s "
        "ORDER BY event_object_table, action_timing, event_manipulation, action_order",
        [database],
    ):
        _, mode, text, charset, collation, of_database, *_ = _shown(server, database, "TRIGGER", name)
        head = _HEAD_OF_TRIGGER.match(text)
        if head:  # as it was written, maybe with the database's name
            bare = re.compile(rf"(?<![\w$.`@]){re.escape(database)}\s*\.\s*")
            text = bare.sub(lambda _: HERE, without_name(head[0], database)) + text[head.end() :]
        found.setdefault(table, []).append(Program("TRIGGER", name, text, charset, collation, mode, of_database))
    return found


def read_routines(server: Administration, database: str) -> Iterator[Program]:
    """Return functions, procedures and packages."""
    for name, kind in server.rows(
        "SELECT routine_name, routine_type FROM information_schema.routines WHERE routine_schema = %s "
        "ORDER BY routine_type, routine_name",  # a package comes before its body
        [database],
    ):
        _, mode, text, charset, collation, of_database, *_ = _shown(server, database, kind, name)
        yield Program(kind, name, text, charset, collation, mode, of_database)


def read_views(server: Administration, database: str, names: Iterable[str]) -> Iterator[Program]:
    """Return the views of these names."""
    for name in names:
        _, text, charset, collation = _shown(server, database, "VIEW", name)
        yield Program("VIEW", name, without_name(text, database), charset, collation)


def read_events(server: Administration, database: str) -> Iterator[Program]:
    """Return the events."""
    question = "SELECT event_name FROM information_schema.events WHERE event_schema = %s ORDER BY event_name"
    for (name,) in server.rows(question, [database]):
        _, mode, zone, text, charset, collation, of_database, *_ = _shown(server, database, "EVENT", name)
        yield Program("EVENT", name, text, charset, collation, mode, of_database, zone)


def _shown(server: Administration, database: str, kind: str, name: str) -> tuple[str, ...]:
    row = server.rows(f"SHOW CREATE {kind} {in_database(database, name)}")[0]
    text = row[3 if kind == "EVENT" else 1 if kind == "VIEW" else 2]
    if text is None:
        raise TestkitError(
            f"the {kind.lower()} {name} of {database} cannot be copied: its text is shown to the user who made it, and to "
            "one with the privilege SHOW_ROUTINE (of MariaDB: SELECT on mysql.proc)"
        )
    return tuple(str(value) for value in row)


def without_name(text: str, database: str) -> str:
    """Return a text in which the database has no name: a default or a view may give the whole name of a table."""
    own = f"{quoted(database)}."
    return _QUOTED.sub(
        lambda match: HERE if match[0] == own and text[match.start() - 1] != "." else match[0],
        text,
    )


def in_database(database: str, name: str) -> str:
    """Return the whole name of something."""
    return f"{quoted(database)}.{quoted(name)}"


def create_programs(server: Administration, target: str, programs: Iterable[Program]) -> None:
    """Make views, routines, triggers or events in the database ``target``; views may be of one another.

    Raises:
        TestkitError: the server refuses one, even after all others.
    """
    waiting = list(programs)
    while waiting:
        refused = []
        for program in waiting:
            try:
                _create_program(server, target, program)
            except DatabaseError:
                refused.append(program)
        if len(refused) == len(waiting):
            kind, name, *_ = refused[0]
            with server.explained(f"the {kind.lower()} {name} cannot be made in {target}", target):
                _create_program(server, target, refused[0])
        waiting = refused


def _create_program(server: Administration, target: str, program: Program) -> None:
    """Make one as it was made: what it does depends on the session's settings and on the database's collation then."""
    statement = with_name(program.create, target).encode(_CODECS.get(program.charset, program.charset))
    with server.at(target), _collated(server, target, program.database_collation):
        before = server.rows(f"SELECT @@{_SETTINGS_OF_PROGRAMS.replace(', ', ', @@')}")[0]
        mode = before[0] if program.sql_mode is None else program.sql_mode
        _set(server, (mode, program.time_zone or before[1], program.charset, program.collation))
        try:
            server.run(statement)
        finally:
            _set(server, before)


@contextmanager
def _collated(server: Administration, database: str, collation: str) -> Iterator[None]:
    """Give a database, in the block, the collation that it had when something was made there."""
    now = server.value("SELECT @@collation_database")
    if collation in ("", now):
        yield
        return
    server.run(f"ALTER DATABASE {quoted(database)} COLLATE {collation}")
    try:
        yield
    finally:
        server.run(f"ALTER DATABASE {quoted(database)} COLLATE {now}")


def _set(server: Administration, values: Iterable[object]) -> None:
    names = _SETTINGS_OF_PROGRAMS.split(", ")
    server.run("SET " + ", ".join(f"SESSION {name} = %s" for name in names), list(values))


def with_name(text: str, database: str) -> str:
    """Return a text in which a database has its name again."""
    return text.replace(HERE, f"{quoted(database)}.")
