"""All options of a run: those of the rooms joined with those of the run as a whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from testkit.core.configuration import configuration_sources
from testkit.core.errors import OptionError
from testkit.core.options import (
    OptionGroup,
    Options,
    Source,
    from_command_line,
    from_environment,
    from_settings,
    option,
    resolve,
)
from testkit.core.readers import names
from testkit.coverage.options import CoverageOptions
from testkit.coverage.routes.options import RouteOptions
from testkit.databases.options import CheckOptions, DatabaseOptions, GuardOptions
from testkit.execution.options import ExecutionOptions
from testkit.listeners.console import ConsoleOptions
from testkit.listeners.github import GithubOptions
from testkit.listeners.history import HistoryOptions
from testkit.listeners.xunit import XunitOptions
from testkit.queries.options import QueryOptions
from testkit.screenshots.options import ScreenshotOptions, from_needle
from testkit.selection.rerun import RerunOptions
from testkit.selection.shards import ShardOptions
from testkit.session.formats import FORMAT_GROUPS

Spell = Callable[[str], str]
REPORTS = Path("reports")
"""All that a run hands over to others."""
CACHE = Path(".testkit")
"""What runs remember for themselves; it may be deleted at any time."""


class RunOptions(OptionGroup):
    """Options of the run as a whole."""

    list_tests: bool = option(
        default=False, help="Print the ids of the tests that would run, and run none; no database is touched."
    )
    allow_no_tests: bool = option(default=False, help="Let a run in which no test ran pass (else exit status 4).")
    in_order: bool = option(
        default=False, help="Run the tests in the order of the labels, rather than TestCases before other ones."
    )
    show_options: bool = option(
        default=False, help="Print each option with its value and where that came from, and run nothing."
    )
    pytest_journal: bool = option(
        default=False,
        command_line=False,
        help="Let runs of pytest keep a journal, too; there the flag is --testkit-journal.",
    )
    listeners: tuple[str, ...] = option(
        default=(), help="Listeners of your own, by dotted path.", parse=names, command_line=False
    )


GROUPS: tuple[type[OptionGroup], ...] = (
    RunOptions,
    ExecutionOptions,
    RerunOptions,
    ShardOptions,
    ConsoleOptions,
    GithubOptions,
    XunitOptions,
    *FORMAT_GROUPS,
    HistoryOptions,
    CoverageOptions,
    RouteOptions,
    QueryOptions,
    ScreenshotOptions,
    DatabaseOptions,
    CheckOptions,
    GuardOptions,
)
"""All options, room by room."""


def resolve_options(
    command_line: Mapping[str, Any],
    settings: Any = None,
    *,
    host: Sequence[Source] = (),
    spell: Spell | None = None,
    groups: Sequence[type[OptionGroup]] = GROUPS,
) -> Options:
    """Return the options of a run.

    Args:
        command_line: what was typed, by option name.
        settings: the Django settings; None before they are imported, when only early options are right yet.
        host: configuration files of the runner that testkit is a plugin of; they go before the settings.
        spell: how that runner's command line has an option's flag, if not as ours.
        groups: the options that there are.

    Raises:
        OptionError: a value cannot be read, or a name is unknown.
    """
    typed = from_command_line(command_line)
    if spell is not None:
        typed = typed._replace(spell=spell)
    sources = [typed, from_environment(os.environ), from_needle(os.environ), *host]
    if settings is not None:
        given = getattr(settings, "TESTKIT", {})
        if not isinstance(given, Mapping):
            raise OptionError(f"TESTKIT in the settings is {given!r}: give a dict of options")
        sources += [from_settings(given), *_settings_of_xmlrunner(settings)]
    return resolve(groups, [*sources, *configuration_sources(Path.cwd())])


def _settings_of_xmlrunner(settings: Any) -> Iterable[Source]:
    """Yield where unittest-xml-reporting's settings say that the file goes, for people who come from it."""
    folder, name = getattr(settings, "TEST_OUTPUT_DIR", None), getattr(settings, "TEST_OUTPUT_FILE_NAME", None)
    if folder or name:
        file = Path(folder or REPORTS) / (name or "xunit.xml")
        yield Source(
            "the settings", {"xunit_file": file}, lambda _: "TEST_OUTPUT_DIR or TEST_OUTPUT_FILE_NAME", late=True
        )
