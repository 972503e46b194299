"""What is in a database of MySQL or MariaDB, as text that can be compared, kept, and run to make it again."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from testkit.databases.backends.mysql_programs import (
    Program,
    in_database,
    read_events,
    read_routines,
    read_triggers,
    read_views,
    without_name,
)
from testkit.databases.backends.mysql_session import Administration, quoted

UNKNOWN = "filled"
"""For rows that were not looked at."""

_AT_ONCE = 200
# The line of a table's options. A line break within a comment or a text is written "\\n" there.
_OPTIONS = re.compile(r"^(\)[^\n]*? ENGINE=(\w+))(?: AUTO_INCREMENT=(\d+))?", re.MULTILINE)
_REFERENCE = re.compile(r"^  CONSTRAINT [^\n]* REFERENCES `((?:[^`]|``)+)`", re.MULTILINE)
# Tables whose rows are elsewhere, or nowhere.
_WITHOUT_ROWS = frozenset({"MRG_MYISAM", "MRG_MyISAM", "FEDERATED", "BLACKHOLE", "CONNECT", "SPIDER", "SPHINX", "S3"})
_AS_TEXT = frozenset(
    "tinyint smallint mediumint int bigint decimal year date time datetime timestamp".split()  # noqa: SIM905
)
_AS_NUMBER = frozenset({"float", "double", "bit"})
_LONG = frozenset("tinytext text mediumtext longtext tinyblob blob mediumblob longblob json".split())  # noqa: SIM905


class Table(NamedTuple):
    """A table or sequence. What changes with rows that were rolled back, ``increment``, is not in ``create``."""

    create: str
    increment: int
    """The next number of an ``AUTO_INCREMENT``; 1 without one."""
    rows: str
    """A digest of them, ``UNKNOWN``, or nothing when there are none; for a sequence, where it stands."""
    triggers: tuple[Program, ...] = ()
    is_sequence: bool = False


class Contents(NamedTuple):
    """What is in a database: its own options, tables by name, then what is made of them, in an order to make it."""

    options: str
    tables: dict[str, Table]
    programs: tuple[Program, ...]

    def without_events(self) -> Contents:
        """Return what is to be in a database that waits: the server runs events whether somebody is there or not."""
        return self._replace(programs=tuple(each for each in self.programs if each.kind != "EVENT"))

    def events(self) -> list[Program]:
        """Return what else is to be in a database that is used."""
        return [each for each in self.programs if each.kind == "EVENT"]

    def without_rows(self) -> Contents:
        """Return what :func:`read_contents` gives that does not look at rows."""
        tables = {
            name: table if table.is_sequence or not table.rows else table._replace(rows=UNKNOWN)
            for name, table in self.tables.items()
        }
        return self._replace(tables=tables)

    def pack(self) -> bytes:
        """Return it as it is kept."""
        return zlib.compress(json.dumps(self).encode(), 1)

    @classmethod
    def unpack(cls, packed: bytes) -> Contents:
        """Return what was kept."""
        options, tables, programs = json.loads(zlib.decompress(packed))
        return cls(
            options,
            {
                name: Table(create, increment, rows, tuple(Program(*each) for each in triggers), is_sequence)
                for name, (create, increment, rows, triggers, is_sequence) in tables.items()
            },
            tuple(Program(*each) for each in programs),
        )


def with_increment(table: Table) -> str:
    """Return the text that makes a table whose next number is right."""
    if table.increment == 1:
        return table.create
    return _OPTIONS.sub(rf"\g<1> AUTO_INCREMENT={table.increment}", table.create, count=1)


def in_circles(tables: Mapping[str, Table]) -> set[str]:
    """Return the tables that refer to each other in circles, and those on the way from one circle to another."""
    referred = {
        name: {other.replace("``", "`") for other in _REFERENCE.findall(table.create)} - {name}
        for name, table in tables.items()
    }
    left, before = set(tables), -1
    while len(left) != before:
        before = len(left)
        left = {name for name in left if referred[name] & left}
        left &= {other for name in left for other in referred[name]}
    return left


def read_contents(server: Administration, database: str, *, rows: bool) -> Contents:
    """Return what is in a database.

    Args:
        server: by which it is read.
        database: its name.
        rows: whether the rows are compared as well, by a digest of 64 bits for each table.

    Raises:
        TestkitError: the user may not see the text of something.
    """
    with server.at(database):  # else views name it
        return _read(server, database, rows)


def _read(server: Administration, database: str, rows: bool) -> Contents:
    create = str(server.rows(f"SHOW CREATE DATABASE {quoted(database)}")[0][1])
    kinds = {str(name): str(kind) for name, kind in server.rows(f"SHOW FULL TABLES FROM {quoted(database)}")}
    views = [name for name, kind in kinds.items() if kind == "VIEW"]
    tables = dict(_tables(server, database, [name for name, kind in kinds.items() if kind not in _NO_TABLES]))
    filled = _filled(server, database, tables)
    known = _digests(server, database, filled) if rows else dict.fromkeys(filled, UNKNOWN)
    tables = {name: table._replace(rows=known.get(name, "")) for name, table in tables.items()}
    tables |= _sequences(server, database, [name for name, kind in kinds.items() if kind == "SEQUENCE"])
    return Contents(
        create.removeprefix(f"CREATE DATABASE {quoted(database)}"),
        tables,
        (*read_routines(server, database), *read_views(server, database, views), *read_events(server, database)),
    )


_NO_TABLES = frozenset({"VIEW", "SEQUENCE", "TEMPORARY"})


def filled_columns(server: Administration, database: str, tables: Iterable[str]) -> dict[str, list[tuple[str, str]]]:
    """Return name and type of the columns that rows are made of, by table: not those that the server computes."""
    columns: dict[str, list[tuple[str, str]]] = {name: [] for name in tables}
    if columns:
        for table, name, kind in server.rows(
            "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = %s "
            "AND COALESCE(generation_expression, '') = '' ORDER BY table_name, ordinal_position",
            [database],
        ):
            if table in columns:
                columns[table].append((name, str(kind).lower()))
    return columns


# Tables


def _tables(server: Administration, database: str, names: Iterable[str]) -> Iterator[tuple[str, Table]]:
    triggers = read_triggers(server, database)
    for name in names:
        text = without_name(str(server.rows(f"SHOW CREATE TABLE {in_database(database, name)}")[0][1]), database)
        options = _OPTIONS.search(text)
        increment = int((options and options[3]) or 1)
        yield name, Table(_OPTIONS.sub(r"\1", text, count=1), increment, "", tuple(triggers.get(name, ())))


def _filled(server: Administration, database: str, tables: dict[str, Table]) -> list[str]:
    """Return which tables have rows."""
    names = [name for name, table in tables.items() if _has_rows_of_its_own(table)]
    filled = []
    for start in range(0, len(names), _AT_ONCE):
        part = names[start : start + _AT_ONCE]
        asked = (f"(SELECT {n} FROM {in_database(database, name)} LIMIT 1)" for n, name in enumerate(part))
        filled += [part[int(number)] for (number,) in server.rows(" UNION ALL ".join(asked))]
    return filled


def _has_rows_of_its_own(table: Table) -> bool:
    options = _OPTIONS.search(table.create)
    return options is None or options[2] not in _WITHOUT_ROWS


def _digests(server: Administration, database: str, names: Iterable[str]) -> dict[str, str]:
    """Return a digest of the rows of each table, whatever their order.

    ``CHECKSUM TABLE`` would be faster, and wrong: it adds the CRCs of rows, whose sum may stay as it is when two rows
    exchange a value.
    """
    digests = {}
    for name, columns in filled_columns(server, database, names).items():
        values = ", ".join(f"COALESCE({_exact(quoted(column), kind)}, '-')" for column, kind in columns)
        row = f"CONV(LEFT(SHA2(CONCAT_WS(',', '', {values or 1}), 256), 16), 16, 10)"
        question = f"SELECT COUNT(*), SUM(CAST({row} AS UNSIGNED)) FROM {in_database(database, name)}"
        count, total = server.rows(question)[0]
        digests[name] = f"{count} {total}"
    return digests


def _exact(column: str, kind: str) -> str:
    """Return an expression whose text tells every value from every other: no collation and no rounding is in it."""
    if kind in _AS_TEXT:
        return column
    if kind in _AS_NUMBER:
        return f"{column} + 0e0" if kind != "bit" else f"{column} + 0"
    # The hexadecimal digits of a long value might be more than a packet may have, and NULL then.
    return f"SHA2({column if kind in _LONG else f'HEX({column})'}, 256)"


def _sequences(server: Administration, database: str, names: Iterable[str]) -> dict[str, Table]:
    found = {}
    for name in names:
        sequence = in_database(database, name)
        create = str(server.rows(f"SHOW CREATE SEQUENCE {sequence}")[0][1])
        value, cycles = server.rows(f"SELECT next_not_cached_value, cycle_count FROM {sequence}")[0]
        found[name] = Table(create, 1, f"{value}, 0, {cycles}", is_sequence=True)
    return found
