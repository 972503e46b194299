"""``python -m testkit trends``: how failures and durations go over runs, as text, JSON and a page."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from math import isnan
from pathlib import Path
from typing import Any

from testkit.core.errors import ExitStatus, TestkitError
from testkit.core.markdown import LONGEST_NAME
from testkit.core.paths import replacing
from testkit.core.text import one_line
from testkit.session.aftermath.arguments import write_text
from testkit.session.comparison.timing import Timing
from testkit.session.history.past import day, minute, past_of, past_parser
from testkit.session.history.plots import Plotter
from testkit.session.history.trends import (
    ABSENT,
    FAILED,
    FLAKY,
    PASSED,
    SKIPPED,
    RunPoint,
    TestTrend,
    Trends,
    trends_of,
)

VERSION = 1
FORMATS = ("text", "json")
WORDS = {PASSED: "passed", FAILED: "failed", FLAKY: "flaky", SKIPPED: "skipped", ABSENT: "not there"}


def trends_parser() -> ArgumentParser:
    """Return the parser of the command's arguments."""
    parser = past_parser(
        "trends",
        "Tell how often tests failed and how long they took, run by run, and of the suite the same.",
        FORMATS,
    )
    parser.add_argument(
        "--test",
        action="append",
        default=[],
        metavar="ID",
        help="Tell of this test, or of the tests of this class or module, run by run (may be repeated).",
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="Write a page with plots, too.")
    return parser


def trends(arguments: Sequence[str]) -> ExitStatus:
    """Tell the trends of the runs that ``arguments`` choose.

    Raises:
        TestkitError: there are no such runs or no such test, or something cannot be read or written.
    """
    given = trends_parser().parse_args(arguments)
    past = past_of(given)
    wanted = [test.encode("utf-8", "backslashreplace").decode() for test in given.test]
    found = trends_of(past.runs(), wanted)
    if wanted and not found.tests:
        raise TestkitError(
            f"--test {wanted[0]}: no such test, class or module is in the {len(found.runs)} runs of {past}"
        )
    if given.html is not None:
        _write_page(given.html, found, given.most, chosen=bool(wanted))
    if given.format == "json":
        text = as_json(found)
    else:
        encoding = "utf-8" if given.output else sys.stdout.encoding
        text = as_text(found, Plotter(encoding), given.most, by_run=bool(wanted))
    write_text(text, given.output)
    return ExitStatus.PASSED


def _write_page(path: Path, found: Trends, most: int, *, chosen: bool) -> None:
    from testkit.session.history.page import render

    try:
        with replacing(path) as file:
            file.write(render(found, most, chosen=chosen))
    except OSError as error:
        raise TestkitError(f"{path} cannot be written: {error.strerror}") from error
    print(f"testkit: the page is in {path}", file=sys.stderr)


# Text


def as_text(found: Trends, plotter: Plotter, most: int, *, by_run: bool) -> str:
    """Return the trends for a terminal; ``by_run``: each run of each test has a line."""
    first, last = found.runs[0], found.runs[-1]
    lines = [f"{len(found.runs)} run{'s' * (len(found.runs) > 1)}, {day(first.at)} to {day(last.at)}", ""]
    lines += _suite(found.runs, plotter)
    if by_run:
        for test in list(found.tests.values())[: most or None]:
            lines += ["", *_test(test, found.runs, plotter)]
        return "\n".join([*lines, *_more(len(found.tests), most)]) + "\n"
    failing = found.failing()
    if failing:
        lines += ["", f"Failed: {len(failing)}"]
        lines += [
            f"  {test.rate:4.0%}  {plotter.line(_failures(test))}  {_name(test.name)}"
            for test in failing[: most or None]
        ]
        lines += _more(len(failing), most)
    for title, timings in (("Slower", found.timings.slower), ("Faster", found.timings.faster)):
        if timings:
            lines += [
                "",
                f"{title}: {len(timings)}",
                *(_timing(each, found, plotter) for each in timings[: most or None]),
            ]
            lines += _more(len(timings), most)
    return "\n".join(lines) + "\n"


def _suite(runs: Sequence[RunPoint], plotter: Plotter) -> Iterator[str]:
    bad = sum(run.failed > 0 for run in runs)
    yield f"  tests    {plotter.line([run.tests for run in runs])}  {runs[0].tests} → {runs[-1].tests}"
    yield f"  failed   {plotter.line([run.failed for run in runs])}  {runs[0].failed} → {runs[-1].failed}, some in {bad} runs"
    yield f"  flaky    {plotter.line([run.flaky for run in runs])}  {runs[0].flaky} → {runs[-1].flaky}"
    yield f"  seconds  {plotter.line([run.seconds for run in runs])}  {runs[0].seconds:.1f} → {runs[-1].seconds:.1f}"


def _timing(each: Timing, found: Trends, plotter: Plotter) -> str:
    plot = plotter.line(found.tests[each.name].passed_seconds)
    return f"  {each.before:.2f} s → {each.after:.2f} s  {plot}  {_name(each.name)}"


def _failures(test: TestTrend) -> list[float | None]:
    bars = {ord(PASSED): 0.0, ord(FAILED): 1.0, ord(FLAKY): 0.5}
    return [bars.get(state) for state in test.states]


def _test(test: TestTrend, runs: Sequence[RunPoint], plotter: Plotter) -> Iterator[str]:
    yield _name(test.name)
    yield f"  failed in {test.failed} of {test.ran} runs ({test.rate:.0%})  {plotter.line(_failures(test))}"
    if test.ends is not None:
        yield f"  {test.ends[0]:.2f} s → {test.ends[1]:.2f} s  {plotter.line(test.passed_seconds)}"
    for run, state, seconds in zip(runs, test.states, test.seconds, strict=True):
        if chr(state) != ABSENT:
            took = "" if isnan(seconds) else f"{seconds:.3f} s"
            code = " ".join(filter(None, (_name(run.commit)[:10], _name(run.branch))))
            yield f"    {minute(run.at)}  {WORDS[chr(state)]:<9} {took:>10}  {code}".rstrip()


def _name(text: str) -> str:
    return one_line(text, LONGEST_NAME)


def _more(count: int, most: int) -> list[str]:
    return [f"  … and {count - most} more"] if most and count > most else []


# JSON


def as_json(found: Trends) -> str:
    """Return the trends of all tests as a JSON document in ASCII."""
    plain: dict[str, Any] = {
        "kind": "testkit trends",
        "version": VERSION,
        "runs": [run._asdict() for run in found.runs],
        "tests": [_plain(test) for test in found.tests.values()],
        "slower": [each._asdict() for each in found.timings.slower],
        "faster": [each._asdict() for each in found.timings.faster],
    }
    return json.dumps(plain, separators=(",", ":")) + "\n"


def _plain(test: TestTrend) -> dict[str, Any]:
    return {
        "name": test.name,
        "ran": test.ran,
        "failed": test.failed,
        "rate": round(test.rate, 6),
        "states": test.states.decode("ascii"),
        "seconds": [None if isnan(seconds) else round(seconds, 6) for seconds in test.seconds],
    }
