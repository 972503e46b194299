"""What came out of a measurement: its figures, its table, and its reports as files."""

from __future__ import annotations

import io
import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from testkit.core.lines import Ranges, ranges_of
from testkit.coverage.change import Base, Change, Gathering
from testkit.coverage.options import REPORT_KINDS, CoverageOptions

if TYPE_CHECKING:
    import coverage

_TOTAL = re.compile(r"^TOTAL +(\d+) +(\d+)", re.MULTILINE)


class FileLines(NamedTuple):
    """A measured file: how many statements it has, and the lines of those that no test ran."""

    statements: int
    missing: Ranges


class CoverageResult(NamedTuple):
    """The figures of a measurement.

    ``percent`` is coverage.py's own total, unrounded, in which branches count when they were measured; ``covered`` and
    ``statements`` count statements. ``text`` is the table of ``coverage report``, ``reports`` the file to open of each
    report that was written, by its title. ``below_minimum`` says in a sentence that the minimum was missed; it is empty
    when it was reached or when there is none. ``files`` has each file by its path from the folder of the run, ``change``
    the coverage of the change if that was asked for. ``warnings`` is what coverage.py had to say.
    """

    percent: float
    covered: int
    statements: int
    text: str
    reports: Mapping[str, Path]
    below_minimum: str
    files: Mapping[str, FileLines]
    change: Change | None = None
    warnings: tuple[str, ...] = ()


def make_result(reporter: coverage.Coverage, options: CoverageOptions, base: Base | None) -> CoverageResult:
    """Write the reports that ``options`` ask for from the data of ``reporter``, and return the figures.

    ``base`` is what the change is compared with, if its coverage is to be told.

    Raises:
        coverage.CoverageException: there are no data, or a report cannot be made of them.
        TestkitError: the change cannot be read.
    """
    _analyse_once(reporter)
    table = io.StringIO()
    percent = reporter.report(file=table, output_format="text")
    # The interface of coverage.py gives the percentage only; the counts stand in the last line of its table.
    statements, missing = map(int, _TOTAL.findall(table.getvalue())[-1])
    reports = _write_reports(reporter, options)
    gathering = Gathering(base.name, base.changed_lines()) if base is not None else None
    files = dict(_files(reporter, gathering))
    return CoverageResult(
        percent=percent,
        covered=statements - missing,
        statements=statements,
        text=table.getvalue(),
        reports=reports,
        below_minimum=_below_minimum(reporter, options, percent),
        files=files,
        change=gathering.change() if gathering is not None else None,
    )


def _analyse_once(reporter: coverage.Coverage) -> None:
    """Let each file be parsed once, and not anew for each report: that is most of what reports take."""
    private: Any = reporter
    analyse, known = private._analyze, {}

    def analyse_or_recall(file: Any, *args: Any, **settings: Any) -> Any:
        key = str(file)
        if key not in known:
            known[key] = analyse(file, *args, **settings)
        return known[key]

    private._analyze = analyse_or_recall


def _files(reporter: coverage.Coverage, gathering: Gathering | None) -> Iterator[tuple[str, FileLines]]:
    """Yield each file that reports have, by its path from here, and give it to ``gathering``."""
    from coverage.report_core import get_analysis_to_report

    for file, analysis in get_analysis_to_report(reporter, None):
        name = os.path.relpath(file.filename)
        yield name, FileLines(len(analysis.statements), ranges_of(analysis.missing))
        if gathering is not None:
            gathering.add(file, name, analysis.statements, analysis.missing)


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
