"""All options of a run: those of the rooms joined with those of the run as a whole."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
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
from testkit.databases.options import CheckOptions, DatabaseOptions, GuardOptions
from testkit.execution.options import ExecutionOptions
from testkit.listeners.console import ConsoleOptions
from testkit.listeners.xunit import XunitOptions
from testkit.queries.options import QueryOptions
from testkit.screenshots.options import ScreenshotOptions, from_needle
from testkit.selection.rerun import RerunOptions
from testkit.selection.shards import ShardOptions

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
    listeners: tuple[str, ...] = option(
        default=(), help="Listeners of your own, by dotted path.", parse=names, command_line=False
    )


GROUPS: tuple[type[OptionGroup], ...] = (
    RunOptions,
    ExecutionOptions,
    RerunOptions,
    ShardOptions,
    ConsoleOptions,
    XunitOptions,
    CoverageOptions,
    QueryOptions,
    ScreenshotOptions,
    DatabaseOptions,
    CheckOptions,
    GuardOptions,
)
"""All options, room by room."""


def resolve_options(command_line: Mapping[str, Any], settings: Any = None) -> Options:
    """Return the options of a run.

    Args:
        command_line: what was typed, by option name.
        settings: the Django settings; None before they are imported, when only early options are right yet.

    Raises:
        OptionError: a value cannot be read, or a name is unknown.
    """
    sources = [from_command_line(command_line), from_environment(os.environ), from_needle(os.environ)]
    if settings is not None:
        given = getattr(settings, "TESTKIT", {})
        if not isinstance(given, Mapping):
            raise OptionError(f"TESTKIT in the settings is {given!r}: give a dict of options")
        sources += [from_settings(given), *_settings_of_xmlrunner(settings)]
    return resolve(GROUPS, [*sources, *configuration_sources(Path.cwd())])


def _settings_of_xmlrunner(settings: Any) -> Iterable[Source]:
    """Yield where unittest-xml-reporting's settings say that the file goes, for people who come from it."""
    folder, name = getattr(settings, "TEST_OUTPUT_DIR", None), getattr(settings, "TEST_OUTPUT_FILE_NAME", None)
    if folder or name:
        file = Path(folder or REPORTS) / (name or "xunit.xml")
        yield Source(
            "the settings", {"xunit_file": file}, lambda _: "TEST_OUTPUT_DIR or TEST_OUTPUT_FILE_NAME", late=True
        )
