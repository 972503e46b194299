"""The options that pytest's command line and configuration files have of ours.

What they mean, and how their values are read, is said where each is declared; here stands what pytest has to know before
anything of that is loaded.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from testkit.core.options import Options


class Flag(NamedTuple):
    """An option on pytest's command line (``--testkit-xunit``) and in its configuration (``testkit_xunit``)."""

    name: str
    """What it is called there, without the prefix."""
    option: str
    """What it is called elsewhere."""
    help: str
    metavar: str = ""
    """What its value is; a switch has none."""


FLAGS = (
    Flag("xunit", "with_xunit", "Write testkit's xunit (JUnit XML) file."),
    Flag("xunit-file", "xunit_file", "Where the xunit file goes. Default: reports/xunit.xml.", "FILE"),
    Flag("xunit-flavour", "xunit_flavour", "What is in it.", "default|strict|classic"),
    Flag("html", "with_html", "Write the report page, one HTML file."),
    Flag("html-file", "html_file", "Where the report page goes. Default: reports/index.html.", "FILE"),
    Flag("jsonl", "with_jsonl", "Write all facts of the run as JSON lines."),
    Flag("jsonl-file", "jsonl_file", "Where they go. Default: reports/facts.jsonl.", "FILE"),
    Flag("tap", "with_tap", "Write a TAP file."),
    Flag("tap-file", "tap_file", "Where the TAP file goes. Default: reports/tests.tap.", "FILE"),
    Flag("sarif", "with_sarif", "Write failures and broken guards as SARIF."),
    Flag("sarif-file", "sarif_file", "Where the SARIF goes. Default: reports/testkit.sarif.", "FILE"),
    Flag("codequality", "with_codequality", "Write a Code Quality report for GitLab."),
    Flag(
        "codequality-file", "codequality_file", "Where it goes. Default: reports/gl-code-quality-report.json.", "FILE"
    ),
    Flag("history", "with_history", "Remember outcomes and durations, for `python -m testkit flaky` and `trends`."),
    Flag("journal", "pytest_journal", "Keep a journal in reports/journal, for `python -m testkit report` and `merge`."),
    Flag("github", "github", "Tell GitHub Actions of failures, and write the summary.", "auto|on|off"),
    Flag("shard", "shard", "Run one of several shards, and keep a journal for `merge`.", "INDEX/TOTAL|auto"),
    Flag("query-budgets", "query_budgets", "What to do with query budgets.", "auto|check|record|off"),
    Flag("query-budgets-file", "query_budgets_file", "Where the budgets are. Default: query-budgets.toml.", "FILE"),
    Flag("update-query-budgets", "update_query_budgets", "Lower the budgets that were not used up."),
    Flag("update-query-snapshots", "update_query_snapshots", "Write what assertNumQueriesSnapshot sees."),
    Flag("routes", "with_routes", "Tell which routes the tests ask for, and which they do not."),
    Flag("fail-untested-routes", "fail_untested_routes", "Fail for routes that no test asks for.", "new|all|off"),
    Flag("routes-base", "routes_base", "Routes that are not in this commit are new.", "COMMIT"),
    Flag("needle", "with_needle", "Run the tests with screenshots, which need a browser."),
    Flag("save-baseline", "with_save_baseline", "Write all screenshots as their baselines."),
    Flag("missing-baselines", "missing_baselines", "What becomes of a screenshot without one.", "auto|write|fail"),
    Flag("browsers", "browsers", "The browsers of tests with screenshots.", "NAMES"),
    Flag("breakpoints", "breakpoints", "The sizes at which pages are looked at.", "WIDTHxHEIGHT,…"),
    Flag("templates", "templates", "Make the test databases from templates (the default)."),
    Flag("keep-templates", "keep_templates", "Leave templates on database servers, as --reuse-db does."),
)


def add_options(parser: pytest.Parser) -> None:
    """Give pytest a flag and a key in its configuration for each of ``FLAGS``."""
    group = parser.getgroup("testkit")
    for flag in FLAGS:
        dest = _dest(flag)
        if flag.metavar:
            group.addoption(f"--testkit-{flag.name}", dest=dest, metavar=flag.metavar, default=None, help=flag.help)
            parser.addini(dest, flag.help, default=None)
        else:
            action = argparse.BooleanOptionalAction
            group.addoption(f"--testkit-{flag.name}", dest=dest, action=action, default=None, help=flag.help)
            parser.addini(dest, flag.help, type="bool", default=None)


def is_asked_for(config: pytest.Config) -> bool:
    """Return whether anything says that testkit has something to do in this run, without loading more of it.

    That is a flag, a key or a variable of ours, or a Django project, whose settings may have more to say.
    """
    if is_django_set_up() or any(_typed(config)) or any(_in_configuration(config)):
        return True
    return any(f"TESTKIT_{flag.option.upper()}" in os.environ for flag in FLAGS)


def resolve(config: pytest.Config) -> Options:
    """Return the options of this run.

    Raises:
        pytest.UsageError: a value cannot be read, or a name is unknown.
    """
    from testkit.core.errors import OptionError
    from testkit.core.options import Source
    from testkit.session.options import resolve_options

    file = config.inipath.name if config.inipath else "pytest's configuration"
    configuration = Source(file, dict(_in_configuration(config)), _key_of)
    settings: Any = None
    if is_django_set_up():
        settings = sys.modules["django.conf"].settings
    try:
        return resolve_options(dict(_typed(config)), settings, host=[configuration], spell=flag_of)
    except OptionError as error:
        raise pytest.UsageError(f"testkit: {error}") from None


def flag_of(option: str) -> str:
    """Return the flag of the option called ``option`` elsewhere."""
    names = {flag.option: flag.name for flag in FLAGS}
    return f"--testkit-{names.get(option, option.replace('_', '-'))}"


def _key_of(option: str) -> str:
    return flag_of(option).removeprefix("--").replace("-", "_")


def _dest(flag: Flag) -> str:
    return f"testkit_{flag.name.replace('-', '_')}"


def _typed(config: pytest.Config) -> Iterator[tuple[str, object]]:
    for flag in FLAGS:
        value = config.getoption(_dest(flag), None)
        if value is not None:
            yield flag.option, value


def _in_configuration(config: pytest.Config) -> Iterator[tuple[str, object]]:
    for flag in FLAGS:
        value = config.getini(_dest(flag))
        if value not in (None, ""):
            yield flag.option, value


NEEDS_DJANGO = (
    "{} needs Django with its settings: install pytest-django and name them, by --ds=MODULE or DJANGO_SETTINGS_MODULE"
)


def is_django_set_up() -> bool:
    """Return whether there are settings."""
    django_conf = sys.modules.get("django.conf")
    return django_conf is not None and bool(django_conf.settings.configured)
