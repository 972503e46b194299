"""Making a database of MySQL or MariaDB what another one is: the tables' own text, then rows within the server.

There is no ``CREATE DATABASE … TEMPLATE``. ``CREATE TABLE … LIKE`` loses foreign keys, and is no faster; mysqldump and
mysql take twice the time, and do not say when they fail half-way.
"""

from __future__ import annotations

from testkit.core.errors import TestkitError
from testkit.databases.backends.mysql_contents import (
    Contents,
    Table,
    filled_columns,
    in_circles,
    read_contents,
    with_increment,
)
from testkit.databases.backends.mysql_programs import create_programs, with_name
from testkit.databases.backends.mysql_session import Administration, quoted


def make_alike(
    server: Administration, source: str, target: str, wanted: Contents, found: Contents, *, rows: bool
) -> None:
    """Change the database ``target``, which is there, to what ``source`` is, and read it again to be sure.

    Args:
        server: by which it is done.
        source: the name of a database with the contents ``wanted``.
        target: the name of the one to change, which nobody uses.
        wanted: what is to be there, without events.
        found: what is there now.
        rows: whether ``wanted`` tells about rows, so that what is changed can be compared.

    Raises:
        TestkitError: it does not become the same.
        DatabaseError: the server refuses something.
    """
    for _ in range(2):  # an engine may count on by itself while rows come in; there is nothing else to do then
        if found == wanted:
            return
        if found.options != wanted.options:
            break
        _Change(server, source, target, wanted, found).make()
        found = read_contents(server, target, rows=rows)
    if found != wanted:
        raise TestkitError(f"the copy {target} of {source} has not become the same: {_difference(wanted, found)}")


def _difference(wanted: Contents, found: Contents) -> str:
    """Return in what two databases differ, by name."""
    one, other = ({(p.kind, p.name): p for p in each.programs} for each in (wanted, found))
    names = [f"{kind.lower()} {name}" for kind, name in one | other if one.get((kind, name)) != other.get((kind, name))]
    tables = wanted.tables | found.tables
    names += [f"table {name}" for name in tables if wanted.tables.get(name) != found.tables.get(name)]
    return ", ".join(sorted(names)) or "its character set"


class _Change:
    """The statements that make a database what another one is."""

    def __init__(self, server: Administration, source: str, target: str, wanted: Contents, found: Contents) -> None:
        self._server = server
        self._source = source
        self._target = target
        self._wanted = wanted
        self._found = found
        # A table in which anything differs but the next number is made anew: what its triggers would do to rows that
        # are put back one by one, nobody has asked for.
        self._missing = {
            name: table
            for name, table in wanted.tables.items()
            if name not in found.tables or not _differs_by_increment(table, found.tables[name])
        }

    def make(self) -> None:
        self._drop()
        # Sequences come first, as tables may draw their defaults from them.
        with self._server.at(self._target):
            for name, table in self._missing.items():
                if table.is_sequence:
                    self._server.run(table.create)
                    self._server.run(f"DO SETVAL({quoted(name)}, {table.rows})")
        tables = {name: table for name, table in self._missing.items() if not table.is_sequence}
        creates = [with_name(with_increment(table), self._target) for table in tables.values()]
        self._server.run_together(self._target, creates)
        self._fill([name for name, table in tables.items() if table.rows])
        self._count()
        triggers = [trigger for table in self._missing.values() for trigger in table.triggers]
        present = set(self._found.programs)
        # Routines come before views, which may call them.
        missing = [program for program in self._wanted.programs if program not in present]
        create_programs(self._server, self._target, [*triggers, *missing])

    def _drop(self) -> None:
        """Drop what is not to be there, or is to be made anew."""
        with self._server.at(self._target):
            for program in set(self._found.programs) - set(self._wanted.programs):
                self._server.run(f"DROP {program.kind} IF EXISTS {quoted(program.name)}")
            for name, table in self._found.tables.items():
                if name not in self._wanted.tables or name in self._missing:
                    self._server.run(f"DROP {'SEQUENCE' if table.is_sequence else 'TABLE'} {quoted(name)}")

    def _fill(self, tables: list[str]) -> None:
        """Copy rows, with one sync to disk for all."""
        columns = filled_columns(self._server, self._source, tables)
        self._server.run("START TRANSACTION")
        for name in tables:
            names = ", ".join(quoted(column) for column, _ in columns[name])
            self._server.run(
                f"INSERT INTO {quoted(self._target)}.{quoted(name)} ({names}) "
                f"SELECT {names} FROM {quoted(self._source)}.{quoted(name)}"
            )
        self._server.run("COMMIT")

    def _count(self) -> None:
        """Set the next numbers of tables in which nothing else differs, as after tests that were rolled back."""
        statements = {
            name: f"ALTER TABLE {quoted(name)} AUTO_INCREMENT = {table.increment}"
            for name, table in self._wanted.tables.items()
            if name not in self._missing and self._found.tables[name].increment != table.increment
        }
        # MariaDB 10.11 hangs for ever, at full load, when two tables that refer to each other are altered at a time.
        circular = in_circles(self._wanted.tables)
        self._server.run_together(self._target, [text for name, text in statements.items() if name not in circular])
        with self._server.at(self._target):
            for name in circular & statements.keys():
                self._server.run(statements[name])


def _differs_by_increment(one: Table, other: Table) -> bool:
    """Return whether two tables differ by their next number at most."""
    return one._replace(increment=0) == other._replace(increment=0)
