"""``python -m testkit screenshots``: review the screenshots of the last run, approve them, look after their baselines."""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path

from testkit.core.errors import ExitStatus
from testkit.screenshots import commands, results

_STATUSES = """\
exit statuses:
  approve, review, prune   0; 2 if something could not be done
  status                   0 if nothing waits for a decision, 1 if something does, 2 if there is no run
  baseline                 that of the run in the other tree
"""


def screenshots_parser() -> ArgumentParser:
    """Return the parser of the command's arguments."""
    parser = ArgumentParser(
        "python -m testkit screenshots",
        description="Review the screenshots of the last run, approve them, and look after their baselines.",
        epilog=_STATUSES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    common = ArgumentParser(add_help=False)
    common.add_argument("--settings", help="The settings module, if it says where the baselines are.")
    common.add_argument("--pythonpath", help="A folder to put on the import path.")
    of_run = ArgumentParser(add_help=False, parents=[common])
    of_run.add_argument(
        "--results",
        type=Path,
        metavar="FOLDER",
        help=f"The screenshots of the run, such as those of a CI job. Default: {results.FOLDER}.",
    )
    named = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, help: str, *parents: ArgumentParser) -> ArgumentParser:
        return named.add_parser(name, help=help, description=help, parents=parents)

    _add_approve(command("approve", "Make new images of the last run the baselines.", of_run))
    _add_review(command("review", "Serve the review page on this machine, with buttons that approve.", of_run))
    status = command("status", "List what waits for a decision; exit status 1 if something does.", of_run)
    status.add_argument("--all", action="store_true", help="List the screenshots that passed, too.")
    _add_prune(command("prune", "List baselines that no test of the last run asked for, or remove them.", of_run))
    _add_baseline(
        command("baseline", "Make baselines by the tests of another branch or commit, in a worktree of it.", common)
    )
    return parser


def _add_approve(parser: ArgumentParser) -> None:
    parser.add_argument(
        "patterns",
        nargs="*",
        metavar="PATTERN",
        help="Which: a name (home), a file's name (home_320), that with its browser (firefox-linux/home_320), or a "
        "browser alone; with wildcards ('books/*'). Default: all.",
    )
    parser.add_argument("--dry-run", action="store_true", help="Say what would be approved, and change nothing.")


def _add_review(parser: ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=0, metavar="PORT", help="Default: one that is free.")
    parser.add_argument("--open", action="store_true", help="Open the page in the default browser.")


def _add_prune(parser: ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="Remove them.")
    parser.add_argument(
        "--run-was-whole",
        action="store_true",
        help="The last run was of all tests and they passed; testkit's own runner notes that by itself.",
    )


def _add_baseline(parser: ArgumentParser) -> None:
    parser.add_argument("--from", dest="revision", required=True, metavar="REV", help="The branch, tag or commit.")
    parser.add_argument(
        "labels",
        nargs="*",
        metavar="TEST_LABEL",
        help="Which tests. Default: all with screenshots. Flags of the run follow after --: -- --parallel 4.",
    )


def screenshots(arguments: Sequence[str]) -> int:
    """Do what ``arguments`` say, and return the exit status.

    Raises:
        TestkitError: it cannot be done.
    """
    own, flags = _split(arguments)
    parser = screenshots_parser()
    given = parser.parse_args(own)
    if flags and given.command != "baseline":
        parser.error(f"{given.command} takes nothing after --")
    if given.command == "baseline":
        from testkit.session.worktree import make_baselines

        try:
            return make_baselines(given.revision, given.labels, flags, _say)
        except KeyboardInterrupt:
            return ExitStatus.INTERRUPTED
    folder = results.folder() if given.results is None else given.results
    if given.command == "approve":
        return commands.approve(folder, given.patterns, _say, dry_run=given.dry_run)
    if given.command == "review":
        return commands.review(folder, _say, port=given.port, opens=given.open)
    if given.command == "status":
        return commands.status(folder, _say, everything=given.all)
    return commands.prune(folder, _say, yes=given.yes, run_was_whole=given.run_was_whole)


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return what is before the first ``--`` of ``arguments``, and what is after it."""
    at = list(arguments).index("--") if "--" in arguments else len(arguments)
    return list(arguments[:at]), list(arguments[at + 1 :])


def _say(text: str) -> None:
    print(text, flush=True)
