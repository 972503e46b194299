"""The page as one HTML file: a head that is there at once, its data as JSON, and the script that shows them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from testkit import pages
from testkit.core.events import Outcome
from testkit.core.text import readable
from testkit.listeners.html.data import data_of
from testkit.listeners.html.texts import short

if TYPE_CHECKING:
    from testkit.listeners.html.listener import ReportPage

_HERE = Path(__file__).parent / "page"
SCRIPTS = (
    "dom",
    "data",
    "lists",
    "table",
    "details",
    "sheet",
    "failures",
    "charts",
    "timeline",
    "views",
    "measures",
    "main",
)
"""The files of the page's script, which are one script there."""
_NAMED_WITHOUT_SCRIPT = 50
_FAVICON = {"passed": "#2d7040", "failed": "#b3202c", "broken": "#8a5000"}


class Count(NamedTuple):
    """How many tests ended in a way, for the head of the page; ``share`` is in percent."""

    key: str
    title: str
    number: int
    start: float
    """Where its share begins, in percent as well."""
    share: float


class View(NamedTuple):
    """A part of the page that is shown alone."""

    key: str
    title: str


VIEWS = (
    View("failures", "Failures"),
    View("tests", "Tests"),
    View("flaky", "Flaky"),
    View("workers", "Workers"),
    View("times", "Times"),
    View("queries", "Queries"),
    View("routes", "Routes"),
    View("coverage", "Coverage"),
    View("run", "Run"),
)


def render(report: ReportPage, sources: list[dict[str, Any]]) -> bytes:
    """Return the page of what ``report`` has heard; ``sources`` are the lines around problems."""
    from django.template import Context
    from django.utils.safestring import mark_safe

    verdict = report.judgement()
    styles, script = _styles(), _script()
    began = _moment(report.run.at)
    context = {
        "policy": pages.policy(styles, script, {"img-src": "data:"}),
        "css": mark_safe(styles),
        "js": mark_safe(script),
        "data": mark_safe(pages.embedded({**data_of(report, verdict), "sources": sources})),
        "verdict": verdict,
        "why": readable(verdict.why),
        "icon": quote(_FAVICON[verdict.state]),
        "project": _project(report),
        "at": began.isoformat(timespec="seconds") if began else "",
        "shown_at": f"{began:%Y-%m-%d %H:%M} UTC" if began else "",
        "seconds": _seconds(report.end.seconds),
        "total": f"{len(report.table.ids):,}",
        "counts": _counts(report),
        "views": VIEWS,
        "named": [f"{name}: {message}" for name, message in _failed_names(report)],
    }
    text = pages.template(_HERE / "page.html").render(Context(context, use_l10n=False, use_tz=False))
    # What is left of lone surrogates becomes what JSON calls them.
    return str(text).encode("utf-8", "backslashreplace")


def _styles() -> str:
    return pages.asset(pages.BASE_CSS) + pages.asset(_HERE / "page.css")


def _script() -> str:
    parts = "\n".join(pages.asset(_HERE / f"{name}.js") for name in SCRIPTS)
    return f'"use strict";\n(() => {{\n{parts}\n}})();\n'


def _counts(report: ReportPage) -> list[Count]:
    counts = report.table.counts
    everything = max(len(report.table.ids), 1)
    shown, start = [], 0.0
    for key, number in counts.items():
        if number or key in (Outcome.PASSED, Outcome.FAILED):
            share = 100 * number / everything
            shown.append(Count(key.replace(" ", "-"), key, number, round(start, 3), round(share, 3)))
            start += share
    return shown


def _failed_names(report: ReportPage) -> list[tuple[str, str]]:
    """Return what failed and why, for browsers that run no script, as Jenkins has them."""
    rows = [row for row in range(len(report.table.ids)) if report.table.is_bad(row)]
    told = [(short(report.table.ids[row]), report.table.details.get(row, {})) for row in rows]
    told += [(f"{each['id']} ({each['phase']})", each) for each in report.fixtures if Outcome(each["outcome"]).is_bad]
    return [(name, _message(each)) for name, each in told[:_NAMED_WITHOUT_SCRIPT]]


def _message(told: Mapping[str, Any]) -> str:
    problems = [*told.get("problems", ()), *(p for each in told.get("subtests", ()) for p in each["problems"])]
    first = problems[0] if problems else {}
    return short(f"{first.get('type', '')}: {first.get('message', '')}".strip(": ") or told.get("reason", ""))


def _project(report: ReportPage) -> str:
    return short(PurePath(report.run.directory).name or report.folder.name)


def _moment(at: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(at, UTC) if at > 0 else None
    except (ValueError, OverflowError, OSError):
        return None


def _seconds(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s"
