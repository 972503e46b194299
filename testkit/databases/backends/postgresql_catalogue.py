"""What the catalogue of a PostgreSQL server says of databases: which testkit has made, and what a copy has to be given."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from testkit.databases.backends.postgresql_server import Server, quoted

NEWBORN = 0x746B6462
"""The connection limit of what CREATE DATABASE has just made: a number that nobody would choose."""
_INVALID = -2  # that of a database whose DROP was interrupted: all that can be done to it is to drop it again
_ALL_MADE = """
    SELECT pg_database.oid, datname, coalesce(description, ''), datconnlimit
    FROM pg_database LEFT JOIN pg_shdescription
        ON objoid = pg_database.oid AND classoid = 'pg_database'::regclass
    WHERE pg_has_role(datdba, 'USAGE')
        AND (description LIKE '{"testkit": 1,%%' OR description IS NULL AND datconnlimit = %s)
    ORDER BY datname
"""
_CREATION = """
    SELECT format('CREATE DATABASE %%I OWNER %%I TEMPLATE %%I CONNECTION LIMIT %%s',
                  %s::text, pg_get_userbyid(datdba), datname, %s::int)
    FROM pg_database WHERE datname = %s::name
"""
# What CREATE DATABASE does not copy, as statements: privileges, settings (as pg_dump writes them; those of other roles
# are nothing to a test) and the connection limit.
_REST = """
    WITH source AS (SELECT * FROM pg_database WHERE datname = %s::name), target AS (SELECT %s::text AS name)
    SELECT statement FROM (
        SELECT 1 AS step, format('REVOKE ALL ON DATABASE %%I FROM PUBLIC, %%I', name, pg_get_userbyid(datdba))
            AS statement FROM source, target WHERE datacl IS NOT NULL
        UNION ALL
        SELECT 2, format('GRANT %%s ON DATABASE %%I TO %%s%%s', privilege_type, name,
                CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
                CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
            FROM source, target, aclexplode(datacl)
        UNION ALL
        SELECT 3, format('ALTER %%s DATABASE %%I SET %%I TO %%s',
                CASE setrole WHEN 0 THEN '' ELSE format('ROLE %%I IN', session_user) END, name, variable,
                CASE WHEN value NOT IN ('', '""') AND variable IN
                        ('local_preload_libraries', 'search_path', 'session_preload_libraries', 'temp_tablespaces')
                    THEN value -- a list of names that are quoted already
                    WHEN value = '""' THEN quote_literal('')
                    ELSE quote_literal(value) END)
            FROM source, target, pg_db_role_setting, unnest(setconfig) AS config,
                LATERAL (SELECT split_part(config, '=', 1) AS variable,
                                substr(config, strpos(config, '=') + 1) AS value) AS parts
            WHERE setdatabase = source.oid
                AND setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = session_user))
        UNION ALL
        SELECT 4, format('ALTER DATABASE %%I CONNECTION LIMIT %%s', name,
                CASE datconnlimit WHEN %s THEN -1 ELSE datconnlimit END)
            FROM source, target
    ) AS statements ORDER BY step
"""
# This user's own. Those of the server itself (autovacuum) make way for whoever needs the database.
_END_SESSIONS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = ANY(%s::name[]) AND pid <> pg_backend_pid()
        AND usename = session_user AND pg_has_role(usesysid, 'USAGE')
"""
_SESSIONS = """
    SELECT pid, usename, application_name, state FROM pg_stat_activity
    WHERE datname = %s::name AND pid <> pg_backend_pid() ORDER BY pid
"""
_VERSION = """
    SELECT current_setting('server_version_num')::int / 10000, pg_encoding_to_char(encoding), datcollate, datctype
    FROM pg_database WHERE datname = %s::name
"""


class Made(NamedTuple):
    """A database that testkit has made: what its comment says (nothing yet, perhaps), and whether it can be used."""

    oid: int
    name: str
    note: dict[str, Any]
    is_valid: bool


def do_not_sync(name: str) -> str:
    """Return the statement after which no commit in the database ``name``, whoever makes it, waits for the disk.

    Nobody misses a test database that a crash of the server has set back, and a template is on disk when it is there:
    CREATE DATABASE sees to that. It is most of what a commit takes, and so of a TransactionTestCase.
    """
    return f"ALTER DATABASE {quoted(name)} SET synchronous_commit = off"


def run_of(made: Made) -> str:
    """Return the name that the run had locked for which ``made`` was made: its own, if it is not even marked."""
    return str(made.note.get("run", "")) if made.note else made.name


def all_made(server: Server) -> Iterator[Made]:
    """Yield the databases of this role that testkit has made, for whatever test database."""
    for oid, name, comment, limit in server.rows(_ALL_MADE, NEWBORN):
        with suppress(ValueError):  # somebody has edited it
            yield Made(oid, name, json.loads(comment or "{}"), limit != _INVALID)


def exists(server: Server, name: str) -> bool:
    """Return whether there is a database ``name``, whoever has made it."""
    return bool(server.rows("SELECT 1 FROM pg_database WHERE datname = %s::name", name))


def version_of(server: Server, name: str) -> str:
    """Return the server's major version, and encoding and collation of the database ``name``."""
    rows = server.rows(_VERSION, name)
    return f"PostgreSQL {' '.join(str(value) for row in rows for value in row)}"


def creation_of(server: Server, source: str, target: str) -> str:
    """Return the statement that makes ``target``, newborn, a copy of ``source``; nothing if that is not there."""
    return "".join(str(statement) for (statement,) in server.rows(_CREATION, target, NEWBORN, source))


def rest_of(server: Server, source: str, target: str) -> list[str]:
    """Return the statements that give ``target`` what CREATE DATABASE has not copied of ``source``."""
    return [statement for (statement,) in server.rows(_REST, source, target, NEWBORN)]


def end_sessions(server: Server, names: Sequence[str]) -> bool:
    """End this user's sessions at the databases ``names``, and return whether there were any."""
    return bool(server.rows(_END_SESSIONS, list(names)))


def sessions_at(server: Server, name: str) -> list[str]:
    """Return the sessions at the database ``name``, whoever's, in a few words each."""
    return [
        f"{pid} of {user} ({program or 'no name'}, {state})"
        for pid, user, program, state in server.rows(_SESSIONS, name)
    ]
