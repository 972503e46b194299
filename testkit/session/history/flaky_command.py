"""``python -m testkit flaky``: which tests fail and pass on the same code."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from testkit.core.errors import ExitStatus
from testkit.core.markdown import LONGEST_NAME, cell, table
from testkit.core.results import RunRecord
from testkit.core.text import one_line
from testkit.session.aftermath.arguments import write_text
from testkit.session.history.flaky import FlakyTest, flaky_tests
from testkit.session.history.past import day, past_of, past_parser

VERSION = 1
FORMATS = ("text", "markdown", "json")


def flaky_parser() -> ArgumentParser:
    """Return the parser of the command's arguments."""
    parser = past_parser(
        "flaky",
        "List the tests that both failed and passed on the same code: in the attempts of one run, or in runs of one "
        "commit with nothing changed. Those come first of which that is surest.",
        FORMATS,
    )
    parser.add_argument("--same-code", action="store_true", help="Say that all the runs are of the same code.")
    return parser


def flaky(arguments: Sequence[str]) -> ExitStatus:
    """List the flaky tests of the runs that ``arguments`` choose.

    Raises:
        TestkitError: there are no such runs, or they cannot be read.
    """
    given = flaky_parser().parse_args(arguments)
    runs = Counted(past_of(given).runs(only_failed=True))
    found = flaky_tests(runs, same_code=given.same_code)
    render: Mapping[str, Callable[[Sequence[FlakyTest], int, int], str]] = {
        "text": as_text,
        "markdown": as_markdown,
        "json": as_json,
    }
    write_text(render[given.format](found, runs.count, given.most), given.output)
    return ExitStatus.PASSED


class Counted:
    """Counts runs while one walks over them."""

    def __init__(self, runs: Iterable[RunRecord]) -> None:
        self._runs = runs
        self.count = 0

    def __iter__(self) -> Iterator[RunRecord]:
        for run in self._runs:
            self.count += 1
            yield run


def as_text(tests: Sequence[FlakyTest], runs: int, most: int) -> str:
    """Return a table for a terminal, of up to ``most`` tests (0: all)."""
    lines = [_title(tests, runs)]
    if tests:
        lines += ["", " rate  (95 %)    failed      retried  last seen   test"]
    for test in tests[: most or None]:
        interval = f"({test.low:.0%}–{test.high:.0%})".replace("%–", "–")
        lines.append(
            f"{test.rate:5.0%}  {interval:<9} {f'{test.failures} of {test.executions}':<11} {test.retried:<8} "
            f"{day(test.last_at)}  {one_line(test.name, LONGEST_NAME)}"
        )
    return "\n".join([*lines, *_more(tests, most)]) + "\n"


def as_markdown(tests: Sequence[FlakyTest], runs: int, most: int) -> str:
    """Return a table for a page or a comment, of up to ``most`` tests (0: all)."""
    rows = [
        (
            f"{test.rate:.0%}",
            f"{test.failures} of {test.executions}",
            str(test.retried),
            day(test.last_at),
            cell(test.name),
        )
        for test in tests[: most or None]
    ]
    parts = [f"### {_title(tests, runs)}"]
    if rows:
        parts.append(table(("rate", "failed", "retried", "last seen", "test"), rows, numbers=3))
    return "\n\n".join([*parts, *_more(tests, most)]) + "\n"


def as_json(tests: Sequence[FlakyTest], runs: int, most: int) -> str:
    """Return all of it as a JSON document in ASCII."""
    plain = {
        "kind": "testkit flaky tests",
        "version": VERSION,
        "runs": runs,
        "tests": [{**test._asdict(), "rate": test.rate} for test in tests],
    }
    return json.dumps(plain, indent=1) + "\n"


def _title(tests: Sequence[FlakyTest], runs: int) -> str:
    count = f"{len(tests) or 'no'} flaky test{'' if len(tests) == 1 else 's'}"
    return f"{count} in {runs} run{'' if runs == 1 else 's'}"


def _more(tests: Sequence[FlakyTest], most: int) -> list[str]:
    return [f"… and {len(tests) - most} more"] if most and len(tests) > most else []
