"""The options of a run by nose2: testkit's, and those of Django's runner that go with nose2."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from nose2.session import Session

from testkit.core.errors import OptionError
from testkit.core.options import OptionGroup, Options, Source, flag_of, from_file, option
from testkit.coverage.options import CoverageOptions
from testkit.session.options import GROUPS, resolve_options
from testkit.session.project import settings_of_manage_py


class Nose2Options(OptionGroup):
    """What Django's runner has flags for, or its command; and what only nose2 needs."""

    settings: str = option(
        default="",
        metavar="MODULE",
        help="The settings module; else DJANGO_SETTINGS_MODULE, else what manage.py names.",
    )
    keepdb: bool = option(default=False, help="Keep the templates of the test databases for the next run.")
    parallel: int = option(
        default=0, metavar="N", help="Run the tests in N worker processes, each with its own databases; as nose2's -N."
    )
    tag: tuple[str, ...] = option(default=(), metavar="TAG", help="Run only tests with this tag (may be repeated).")
    exclude_tag: tuple[str, ...] = option(
        default=(), metavar="TAG", help="Leave tests with this tag out (may be repeated)."
    )
    debug_sql: bool = option(default=False, help="Show the queries of tests that fail.")
    durations: int = option(default=0, metavar="N", help="Show the N slowest tests.")
    reverse: bool = option(default=False, help="Run the tests in the opposite order.")
    nose2_report: bool = option(
        default=False, help="Let nose2 tell of the run on the console, in the place of testkit."
    )


ALL_GROUPS = (*GROUPS, Nose2Options)
_NOT_OURS = {"always-on"}  # nose2's own, for any plugin


def options_of(session: Session, typed: Mapping[str, Any], settings: Any = None) -> Options:
    """Return the options of a run.

    Args:
        session: nose2's, whose configuration files may have a section ``[testkit]``.
        typed: what its command line says, by option name.
        settings: the Django settings; None before they are imported.

    Raises:
        OptionError: a value cannot be read, or a name is unknown.
    """
    return resolve_options(typed, settings, host=[_configured(session)], groups=ALL_GROUPS)


def _configured(session: Session) -> Source:
    section = dict(session.config.items("testkit")) if session.config.has_section("testkit") else {}
    values = {name: value for name, value in section.items() if name not in _NOT_OURS}
    return from_file("nose2's configuration under [testkit]", values)


def start_coverage(options: CoverageOptions) -> None:
    """Start measuring, if that is asked for: before any module of the project is imported."""
    if options.with_cov:
        from testkit.coverage import measure

        measure.start(options)


def find_settings(named: str) -> bool:
    """Set ``DJANGO_SETTINGS_MODULE`` as Django's commands have it, and return whether there are settings.

    ``named`` is the settings module that an option names; empty for none.
    """
    found = named or os.environ.get("DJANGO_SETTINGS_MODULE") or settings_of_manage_py()
    if found:
        os.environ["DJANGO_SETTINGS_MODULE"] = found
    return bool(found)


def refuse_without_settings(asked_by: Iterable[str]) -> None:
    """Refuse options that were typed, which are of no use without settings.

    Raises:
        OptionError: one was; ``asked_by`` are the names of those.
    """
    for name in asked_by:
        raise OptionError(
            f"{flag_of(name)} is for Django projects, and no settings were found: give --settings MODULE, set "
            f"DJANGO_SETTINGS_MODULE, or go to the folder of a manage.py that names them (this is {os.getcwd()})"
        )
