"""``python -m testkit compare``: what differs between two runs, and whether that may be."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path

from testkit.core.errors import ExitStatus
from testkit.core.text import visible
from testkit.session.aftermath.arguments import write_text
from testkit.session.comparison import formats, gates
from testkit.session.comparison.compare import BASE, HEAD, Comparison, Side, compare
from testkit.session.comparison.figures import Figures
from testkit.session.comparison.gates import ALL, GATES, Broken, Limits
from testkit.session.comparison.reading import find_runs
from testkit.session.comparison.timing import Rule

FORMATS = ("text", "markdown", "json")
_MOST = 10


def compare_parser() -> ArgumentParser:
    """Return the parser of the command's arguments."""
    parser = ArgumentParser(
        "python -m testkit compare",
        description="Tell what differs between the tests of two states of the code. The exit status is 0, or 1 if "
        "something is worse by one of the gates that --fail-on names.",
    )
    for name, what in ((BASE, "the state to compare with"), (HEAD, "the state that is judged")):
        parser.add_argument(
            name.lower(),
            type=Path,
            metavar=name,
            help=f"The runs of {what}: a .jsonl file of a journal, a JSON document of `report`, or a folder that holds "
            "some, such as reports; several runs count as repetitions, the shards of one run are joined.",
        )
    parser.add_argument("--format", choices=FORMATS, default="text", help="Default: text.")
    parser.add_argument("--output", type=Path, metavar="FILE", help="Where it goes. Default: standard output.")
    parser.add_argument(
        "--runs", type=_number(int), default=0, metavar="N", help="Take the newest N runs of each side. Default: all."
    )
    parser.add_argument(
        "--most",
        type=_number(int),
        default=_MOST,
        metavar="N",
        help=f"Show so many lines of each list, 0 for all; JSON has all. Default: {_MOST}.",
    )
    _add_gates(parser)
    return parser


def _add_gates(parser: ArgumentParser) -> None:
    arguments = parser.add_argument_group("gates")
    arguments.add_argument(
        "--fail-on",
        action="append",
        default=[],
        metavar="GATES",
        help=f"Exit with 1 for any of these, separated by commas: {', '.join(GATES)}, or {ALL}.",
    )
    rule, limits = Rule(), Limits()
    arguments.add_argument(
        "--slower",
        type=_number(float, above=1),
        default=rule.ratio,
        metavar="TIMES",
        help=f"What takes so many times as long is slower. Default: {rule.ratio}.",
    )
    arguments.add_argument(
        "--slower-seconds",
        type=_number(float),
        default=rule.seconds,
        metavar="SECONDS",
        help=f"… if it is so many seconds as well. Default: {rule.seconds}.",
    )
    arguments.add_argument(
        "--more-queries",
        type=_number(int),
        default=limits.more_queries,
        metavar="N",
        help="Let an endpoint make so many more queries. Default: 0.",
    )
    arguments.add_argument(
        "--coverage-drop",
        type=_number(float),
        default=limits.coverage_drop,
        metavar="POINTS",
        help="Let the coverage fall by so many percentage points. Default: 0.",
    )


def _number(kind: Callable[[str], float], above: float | None = None) -> Callable[[str], float]:
    """Return a reader of numbers from 0, or of those above a limit."""

    def read(text: str) -> float:
        try:
            number = kind(text)
        except ValueError:
            number = float("nan")
        if not ((number >= 0 if above is None else number > above) and number < float("inf")):
            what = "a whole number" if kind is int else "a number"
            raise ArgumentTypeError(f"{text!r}: give {what}, {'0 or more' if above is None else f'above {above:g}'}")
        return number

    return read


def compare_runs(arguments: Sequence[str]) -> ExitStatus:
    """Compare what ``arguments`` name, and return the exit status.

    Raises:
        TestkitError: there is no such run, a gate does not exist or cannot be judged, or the report cannot be written.
    """
    given = compare_parser().parse_args(arguments)
    asked = gates.parse(given.fail_on)
    comparison = compare(
        _side(given.base, given.runs), _side(given.head, given.runs), Rule(given.slower, given.slower_seconds)
    )
    limits = Limits(given.more_queries, given.coverage_drop)
    broken = gates.broken(comparison, asked, limits)
    write_text(_rendered(given, comparison, tuple(asked), broken), given.output)
    for gate in asked:
        if without := comparison.lacking.get(gate, ()):
            print(f"testkit: --fail-on {gate}: not judged: {' and '.join(without)} did not measure it", file=sys.stderr)
    for each in broken:
        print(f"testkit: {each.gate}: {visible(each.reason)}", file=sys.stderr)
    return ExitStatus.TESTS_FAILED if broken else ExitStatus.PASSED


def _side(place: Path, runs: int) -> Side:
    side = []
    for found in find_runs(place)[-runs:]:  # of 0 all
        figures = Figures(is_joined=found.is_joined)
        found.tell(figures)
        side.append(figures)
    return Side(str(place), tuple(side))


def _rendered(given: Namespace, comparison: Comparison, names: Sequence[str], broken: Sequence[Broken]) -> str:
    if given.format == "json":
        return formats.as_json(comparison, names, broken)
    render = formats.as_markdown if given.format == "markdown" else formats.as_text
    return render(comparison, broken, given.most)
