"""The report page: one HTML file with all that a run told, which needs no server and loads nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from testkit.core.options import OptionGroup, option

if TYPE_CHECKING:
    from testkit.listeners.html.listener import ReportPage


class HtmlOptions(OptionGroup):
    """Options of the report page."""

    with_html: bool = option(default=False, help="Write the report page, one HTML file.", aliases=("--html",))
    html_file: Path = option(default=Path("reports/index.html"), help="Where the report page goes.", metavar="FILE")


def html_listener(path: Path | None) -> ReportPage:
    """Return the listener that writes the page to ``path`` when the reports of the run are made; None: on demand."""
    from testkit.listeners.html.listener import ReportPage  # here, as most runs on a developer's machine write none

    return ReportPage(path)
