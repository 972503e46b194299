"""The options of coverage, and what each of its reports is called here and in coverage.py."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from testkit.core.options import OptionGroup, option
from testkit.core.readers import percentage


class CoverageOptions(OptionGroup):
    """How coverage is measured and reported; the flags are nose's.

    ``with_cov`` alone begins a measurement, the others say what it is like. Whatever is left at its default is for the
    project's coverage configuration to say. A report is written when its switch is on, and also when its place is
    given, since a place named for nothing would be a surprise.
    """

    with_cov: bool = option(
        default=False, help="Measure the coverage of the run.", aliases=("--with-coverage",), early=True
    )
    cover_package: tuple[str, ...] = option(
        default=(), help="Packages or folders to measure, separated by commas.", metavar="NAMES", early=True
    )
    cover_branches: bool = option(default=False, help="Measure branches as well as lines.", early=True)
    cover_html: bool = option(default=False, help="Write the HTML report.", early=True)
    cover_xml: bool = option(default=False, help="Write the XML report (Cobertura's format).", early=True)
    cover_lcov: bool = option(default=False, help="Write the LCOV report.", early=True)
    cover_json: bool = option(default=False, help="Write the JSON report.", early=True)
    cover_html_dir: Path = option(
        default=Path("reports/coverage"), help="Folder of the HTML report; asks for it, too.", metavar="DIR", early=True
    )
    cover_xml_file: Path = option(
        default=Path("reports/coverage.xml"),
        help="File of the XML report; asks for it, too.",
        metavar="FILE",
        early=True,
    )
    cover_lcov_file: Path = option(
        default=Path("reports/coverage.lcov"),
        help="File of the LCOV report; asks for it, too.",
        metavar="FILE",
        early=True,
    )
    cover_json_file: Path = option(
        default=Path("reports/coverage.json"),
        help="File of the JSON report; asks for it, too.",
        metavar="FILE",
        early=True,
    )
    cover_min_percentage: float = option(
        default=0.0,
        help="Fail the run when less than this is covered, in percent.",
        parse=percentage,
        metavar="PERCENT",
        early=True,
    )
    cover_contexts: bool = option(default=False, help="Note which test ran each line.", early=True)
    cover_diff: bool = option(
        default=False,
        help="Tell which lines of the change no test ran: those that differ from the branch it is to be merged into.",
        early=True,
    )
    cover_diff_base: str = option(
        default="",
        help="The branch, tag or commit that the change is compared with; asks for --cover-diff. Without it, what the "
        "CI service names, else the main branch.",
        metavar="REV",
        early=True,
    )
    cover_diff_min: float = option(
        default=0.0,
        help="Fail the run when less than this of the change is covered, in percent; asks for --cover-diff.",
        parse=percentage,
        metavar="PERCENT",
        early=True,
    )

    @property
    def has_diff(self) -> bool:
        """Whether the coverage of the change is told."""
        return self.with_cov and (self.cover_diff or bool(self.cover_diff_base) or self.cover_diff_min > 0)


DEFAULTS = CoverageOptions()


class ReportKind(NamedTuple):
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
