"""``python -m testkit``: run the tests of a project, and what else can be done from a command line."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import testkit
from testkit.core.errors import ExitStatus, OptionError, TestkitError
from testkit.core.options import add_arguments
from testkit.coverage.options import CoverageOptions


def main(argv: Sequence[str] | None = None, *, default_labels: Sequence[str] = ()) -> int:
    """Run the command that ``argv`` (the process's arguments by default) gives, and return the exit status.

    A first word that names no command is a test label: ``testkit app.tests`` is ``testkit run app.tests``.
    ``default_labels`` run when no labels are given.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments == ["--version"]:
        print(f"testkit {testkit.__version__}")
        return ExitStatus.PASSED
    command: Callable[[list[str], Sequence[str]], int] = _run
    if arguments and arguments[0] in _COMMANDS:
        command = _COMMANDS[arguments.pop(0)]
    try:
        return command(arguments, default_labels)
    except TestkitError as error:
        print(f"testkit: {error}", file=sys.stderr)
        return error.status
    except Exception as error:
        # The project's settings or apps, as a rule: Python's own words say best where. With --traceback, Django lets
        # its CommandError through, which knows the status.
        traceback.print_exc()
        return getattr(error, "returncode", ExitStatus.RUN_FAILED)


def _run(arguments: list[str], default_labels: Sequence[str]) -> int:
    """Run tests: what ``manage.py test`` does, with testkit over the project's own runner."""
    chosen, rest = _chosen_runner(arguments)
    if chosen == "nose2":
        return _run_nose2(rest, default_labels)
    arguments = rest
    try:
        known = _prepare(arguments)
    except OptionError:
        if not {"-h", "--help"}.isdisjoint(arguments):
            return _help_outside_of_a_project()
        raise
    # Settings and apps of many projects look for the word "test" on the command line.
    sys.argv = [sys.argv[0], "test", *arguments]
    _start_coverage(arguments)
    import django
    from django.conf import settings
    from django.core.management import ManagementUtility
    from django.test.utils import get_runner

    django.setup()
    from testkit import runner

    runner.Composed = runner.compose(get_runner(settings, known.testrunner), default_labels)
    command = ManagementUtility(["testkit", "test"]).fetch_command("test")
    # Django knows no NO_COLOR, and colours the line with which a command fails.
    colour = ["--no-color"] if os.environ.get("NO_COLOR") and "--force-color" not in arguments else []
    command.run_from_argv(["python -m testkit", "run", *arguments, *colour, "--testrunner=testkit.runner.Composed"])
    return 0


def _chosen_runner(arguments: list[str]) -> tuple[str, list[str]]:
    """Return what collects the tests, and the other arguments."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--runner", default="django")
    known, rest = parser.parse_known_args(arguments)
    if known.runner not in ("django", "nose2"):
        raise OptionError(f"--runner is {known.runner!r}: give django or nose2 (pytest is started by its own command)")
    return known.runner, rest


def _run_nose2(arguments: list[str], default_labels: Sequence[str]) -> int:
    """Run the tests that nose2 collects, with its own flags and ours."""
    try:
        from nose2.main import discover
    except ImportError as error:
        raise TestkitError(f'--runner nose2: {error}; install "django-testkit[nose2]"') from error
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    folders = [label for label in default_labels if os.path.isdir(label)]
    # What runs by default is a folder to start in: labels are names, of which there may be some among the arguments.
    start = ["--start-dir", folders[0]] if folders and not {"-s", "--start-dir"} & set(arguments) else []
    discover(argv=["nose2", *start, *arguments], plugins=["testkit.nose2_plugin", "nose2.plugins.mp"])
    return 0


def _help_outside_of_a_project() -> int:
    from testkit.runner import TestkitRunner

    parser = argparse.ArgumentParser("python -m testkit", description=_run.__doc__)
    parser.add_argument("labels", metavar="test_label", nargs="*", help="Modules, classes, tests or folders to run.")
    parser.add_argument(
        "--settings", help="The settings module; else DJANGO_SETTINGS_MODULE, else what manage.py names."
    )
    TestkitRunner.add_arguments(parser)
    parser.print_help()
    return ExitStatus.PASSED


def _guard(arguments: list[str], default_labels: Sequence[str]) -> int:
    """Check that no database of the settings is a production database; for shell scripts."""
    parser = argparse.ArgumentParser("python -m testkit guard", description=_guard.__doc__)
    parser.add_argument("--settings", help="the settings module")
    parser.add_argument("--pythonpath", help="a folder to put on the import path")
    parser.parse_args(arguments)
    _prepare(arguments)
    import django
    from django.conf import settings

    django.setup()
    from testkit.databases.guard import GuardOptions, check_settings
    from testkit.session import resolve_options

    for line in check_settings(resolve_options({}, settings)[GuardOptions]):
        print(line)
    return 0


def _report(arguments: list[str], default_labels: Sequence[str]) -> int:
    """Make the reports of a past run, which may have been killed, from its journal."""
    from testkit.session.aftermath import report

    return report(arguments)


def _replay(arguments: list[str], default_labels: Sequence[str]) -> int:
    """Show a past run as its console would have looked, from its journal."""
    from testkit.session.aftermath import replay

    return replay(arguments)


def _merge(arguments: list[str], default_labels: Sequence[str]) -> int:
    """Join the reports of all shards of a run into one."""
    with suppress(OptionError):  # only listeners of the project's own need its settings
        _prepare(arguments)
    from testkit.session.merging import merge

    return merge(arguments)


def _compare(arguments: list[str], default_labels: Sequence[str]) -> int:
    """Tell what differs between two runs, and whether that may be."""
    from testkit.session.comparison import compare_runs

    return compare_runs(arguments)


def _flaky(arguments: list[str], default_labels: Sequence[str]) -> int:
    """List the tests that fail and pass on the same code."""
    from testkit.session.history.flaky_command import flaky

    return flaky(arguments)


def _trends(arguments: list[str], default_labels: Sequence[str]) -> int:
    """Tell how often tests failed and how long they took, run by run."""
    from testkit.session.history.trends_command import trends

    return trends(arguments)


def _screenshots(arguments: list[str], default_labels: Sequence[str]) -> int:
    """Review the screenshots of the last run, approve them, and look after their baselines."""
    with suppress(OptionError):  # the settings may say where the baselines are
        _prepare(arguments)
    from testkit.session.screenshots import screenshots

    return screenshots(arguments)


_COMMANDS: Mapping[str, Callable[[list[str], Sequence[str]], int]] = {
    "run": _run,
    "guard": _guard,
    "report": _report,
    "replay": _replay,
    "merge": _merge,
    "compare": _compare,
    "flaky": _flaky,
    "trends": _trends,
    "screenshots": _screenshots,
}


def _prepare(arguments: Sequence[str]) -> argparse.Namespace:
    """Set the import path and the settings module as Django's own commands have them."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for flag in ("--settings", "--pythonpath", "--testrunner"):
        parser.add_argument(flag)
    known, _ = parser.parse_known_args(arguments)
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    if known.pythonpath:
        sys.path.insert(0, known.pythonpath)
    os.environ["DJANGO_SETTINGS_MODULE"] = (
        known.settings or os.environ.get("DJANGO_SETTINGS_MODULE") or _settings_of_manage_py()
    )
    return known


def _settings_of_manage_py() -> str:
    from testkit.session.project import settings_of_manage_py

    found = settings_of_manage_py()
    if not found:
        raise OptionError(
            f"no settings found: give --settings MODULE, set DJANGO_SETTINGS_MODULE, or go to the folder of a "
            f"manage.py that names them (this is {os.getcwd()})"
        )
    return found


def _start_coverage(arguments: Sequence[str]) -> None:
    """Start measuring, if that is asked for: before any module of the project is imported."""
    from testkit.session import GROUPS, resolve_options

    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    add_arguments(parser, GROUPS)
    known, _ = parser.parse_known_args(list(arguments))
    options = resolve_options(vars(known))[CoverageOptions]
    if options.with_cov:
        from testkit.coverage import measure

        measure.start(options)
