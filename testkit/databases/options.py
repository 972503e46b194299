"""Options about databases; this file needs no Django, so that all options are known without."""

from __future__ import annotations

from testkit.core.options import OptionGroup, option
from testkit.core.readers import names
from testkit.databases.hosts import host_patterns

FLUSH_TIMEOUT = 30.0
"""Seconds for which a flush waits for a lock."""


class GuardOptions(OptionGroup):
    """The options of the production guard."""

    safe_database_hosts: tuple[str, ...] = option(
        default=(),
        help="Hosts that are not local but whose databases tests may use; patterns such as *.internal.example.",
        parse=host_patterns,
        command_line=False,
    )


class DatabaseOptions(OptionGroup):
    """How the test databases are made, and made clean again."""

    templates: bool = option(
        default=True,
        help="Keep migrated databases as templates, and make the test databases from them: those of SQLite in .testkit, "
        "those of a server where --keepdb or --keep-templates is given.",
    )
    keep_templates: bool = option(
        default=False, help="Leave templates and clean clones on database servers for the next run, as --keepdb does."
    )
    templates_kept: int = option(
        default=5,
        metavar="N",
        help="Keep the N templates of a database that were used last, for N states of migrations.",
    )
    fingerprint_extra: tuple[str, ...] = option(
        default=(),
        parse=names,
        command_line=False,
        help="What migrations depend on and testkit cannot see: files, patterns such as data/**/*.csv, and env:NAME.",
    )
    show_fingerprint: bool = option(
        default=False, help="Print what the templates of the test databases depend on, and run nothing."
    )
    post_migrate_receivers: tuple[str, ...] = option(
        default=(),
        parse=names,
        command_line=False,
        help="Dotted paths of receivers of post_migrate that are to run in each process, also where no migration does.",
    )
    selective_flush: bool = option(
        default=True, help="After a TransactionTestCase, empty only the tables that have rows, rather than all."
    )
    row_receivers: tuple[str, ...] = option(
        default=(),
        parse=names,
        command_line=False,
        help="Dotted paths of receivers of post_migrate that do nothing but write rows, the same ones each time: after a "
        "TransactionTestCase they are not called while those are there.",
    )
    flush_timeout: float = option(
        default=FLUSH_TIMEOUT,
        metavar="SECONDS",
        help="Wait so long for a lock that keeps a table from being emptied; 0 for ever.",
    )
    restore_rows: bool = option(
        default=True,
        help="Restore fixtures and initial data (serialized_rollback) from the rows they made the first time.",
    )


class CheckOptions(OptionGroup):
    """Checks of the project before and beside the tests."""

    checks: bool = option(
        default=True, help="Run Django's system checks, beside the tests where there is a core for it."
    )
    fail_on_missing_migrations: bool = option(
        default=False, help="Fail if models have changes that are in no migration, rather than warn."
    )
