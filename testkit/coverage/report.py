"""What came out of a measurement: its figures, its table, and its reports as files."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from testkit.coverage.options import REPORT_KINDS, CoverageOptions

if TYPE_CHECKING:
    import coverage

_TOTAL = re.compile(r"^TOTAL +(\d+) +(\d+)", re.MULTILINE)


class CoverageResult(NamedTuple):
    """The figures of a measurement.

    ``percent`` is coverage.py's own total, unrounded, in which branches count when they were measured; ``covered`` and
    ``statements`` count statements. ``text`` is the table of ``coverage report``, ``reports`` the file to open of each
    report that was written, by its title. ``below_minimum`` says in a sentence that the minimum was missed; it is empty
    when it was reached or when there is none. ``warnings`` is what coverage.py had to say.
    """

    percent: float
    covered: int
    statements: int
    text: str
    reports: Mapping[str, Path]
    below_minimum: str
    warnings: tuple[str, ...] = ()


def make_result(reporter: coverage.Coverage, options: CoverageOptions) -> CoverageResult:
    """Write the reports that ``options`` ask for from the data of ``reporter``, and return the figures.

    Raises:
        coverage.CoverageException: there are no data, or a report cannot be made of them.
    """
    table = io.StringIO()
    percent = reporter.report(file=table, output_format="text")
    # The interface of coverage.py gives the percentage only; the counts stand in the last line of its table.
    statements, missing = map(int, _TOTAL.findall(table.getvalue())[-1])
    reports = _write_reports(reporter, options)
    return CoverageResult(
        percent=percent,
        covered=statements - missing,
        statements=statements,
        text=table.getvalue(),
        reports=reports,
        below_minimum=_below_minimum(reporter, options, percent),
    )


def _write_reports(reporter: coverage.Coverage, options: CoverageOptions) -> dict[str, Path]:
    write = {
        "cover_html": lambda place: reporter.html_report(directory=place, show_contexts=options.cover_contexts or None),
        "cover_xml": lambda place: reporter.xml_report(outfile=place),
        "cover_lcov": lambda place: reporter.lcov_report(outfile=place),
        "cover_json": lambda place: reporter.json_report(outfile=place, show_contexts=options.cover_contexts or None),
    }
    reports = {}
    for kind in REPORT_KINDS:
        if kind.is_wanted(options):
            path = kind.path(options, str(reporter.get_option(kind.setting)))
            write[kind.switch](str(path))
            reports[kind.title] = path / "index.html" if kind.switch == "cover_html" else path
    return reports


def _below_minimum(reporter: coverage.Coverage, options: CoverageOptions, percent: float) -> str:
    from coverage.results import should_fail_under

    minimum, origin = options.cover_min_percentage, "--cover-min-percentage"
    if not minimum:
        minimum, origin = cast(float, reporter.get_option("report:fail_under")), "fail_under"
    # coverage.py's own rounding: `coverage report --fail-under` must come to the same verdict.
    if not should_fail_under(percent, minimum, cast(int, reporter.get_option("report:precision"))):
        return ""
    # Rounded down, so that 79.996 is not said to be "80.00, less than 80".
    shown = math.floor(percent * 100) / 100
    return f"{shown:.2f} % is covered, which is less than the {minimum:g} % that {origin} asks for"
