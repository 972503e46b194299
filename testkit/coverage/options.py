"""The options of coverage, and what each of its reports is called here and in coverage.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from testkit.core.options import option, percentage


@dataclass(frozen=True, slots=True)
class CoverageOptions:
    """How coverage is measured and reported; the flags are nose's.

    ``with_cov`` alone begins a measurement, the others say what it is like. Whatever is left at its default is for the
    project's coverage configuration to say. A report is written when its switch is on, and also when its place is
    given, since a place named for nothing would be a surprise.
    """

    with_cov: bool = option(False, "Measure the coverage of the run.", aliases=("--with-coverage",), early=True)
    cover_package: tuple[str, ...] = option(
        (), "Packages or folders to measure, separated by commas.", metavar="NAMES", early=True
    )
    cover_branches: bool = option(False, "Measure branches as well as lines.", early=True)
    cover_html: bool = option(False, "Write the HTML report.", early=True)
    cover_xml: bool = option(False, "Write the XML report (Cobertura's format).", early=True)
    cover_lcov: bool = option(False, "Write the LCOV report.", early=True)
    cover_json: bool = option(False, "Write the JSON report.", early=True)
    cover_html_dir: Path = option(
        Path("reports/coverage"), "Folder of the HTML report; asks for it, too.", metavar="DIR", early=True
    )
    cover_xml_file: Path = option(
        Path("reports/coverage.xml"), "File of the XML report; asks for it, too.", metavar="FILE", early=True
    )
    cover_lcov_file: Path = option(
        Path("reports/coverage.lcov"), "File of the LCOV report; asks for it, too.", metavar="FILE", early=True
    )
    cover_json_file: Path = option(
        Path("reports/coverage.json"), "File of the JSON report; asks for it, too.", metavar="FILE", early=True
    )
    cover_min_percentage: float = option(
        0.0,
        "Fail the run when less than this is covered, in percent.",
        parse=percentage,
        metavar="PERCENT",
        early=True,
    )
    cover_contexts: bool = option(False, "Note which test ran each line.", early=True)


DEFAULTS = CoverageOptions()


@dataclass(frozen=True, slots=True)
class ReportKind:
    """A kind of report: its title, its two options, coverage.py's setting of its place and that one's default."""

    title: str
    switch: str
    place: str
    setting: str
    usual: str

    def is_wanted(self, options: CoverageOptions) -> bool:
        """Whether ``options`` ask for this report."""
        return getattr(options, self.switch) or self._is_placed(options)

    def path(self, options: CoverageOptions, configured: str) -> Path:
        """Return where the report goes: what the option says, else ``configured`` by the project, else ``reports/``."""
        given: Path = getattr(options, self.place)
        is_configured = configured != self.usual and not self._is_placed(options)
        return Path(configured) if is_configured else given

    def _is_placed(self, options: CoverageOptions) -> bool:
        return bool(getattr(options, self.place) != getattr(DEFAULTS, self.place))


REPORT_KINDS = (
    ReportKind("coverage HTML", "cover_html", "cover_html_dir", "html:directory", "htmlcov"),
    ReportKind("coverage XML", "cover_xml", "cover_xml_file", "xml:output", "coverage.xml"),
    ReportKind("coverage LCOV", "cover_lcov", "cover_lcov_file", "lcov:output", "coverage.lcov"),
    ReportKind("coverage JSON", "cover_json", "cover_json_file", "json:output", "coverage.json"),
)
