"""The page as one HTML file: a head that is there at once, its data as JSON, and the script that shows them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from testkit import pages
from testkit.core.events import Outcome
from testkit.core.text import readable
from testkit.listeners.html.judgement import Judgement, judge
from testkit.listeners.html.rerun import PROGRAM, command_for, is_program
from testkit.listeners.html.sections import coverage_of, others_of, routes_of
from testkit.listeners.html.table import NOT_RUN
from testkit.listeners.html.texts import short

if TYPE_CHECKING:
    from testkit.listeners.html.listener import ReportPage

VERSION = 1
_HERE = Path(__file__).parent / "page"
SCRIPTS = ("dom", "data", "lists", "table", "details", "failures", "charts", "timeline", "views", "main")
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

    verdict = judge(report.end, report.tally, report.bad, report.sections)
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


def data_of(report: ReportPage, verdict: Judgement) -> dict[str, Any]:
    """Return all that the page's script shows."""
    sections = report.sections
    return {
        "version": VERSION,
        "verdict": verdict._asdict(),
        "totals": _totals(report),
        "tests": report.table.to_plain(),
        "commands": _commands(report),
        "details": report.table.details,
        "fixtures": [_without_raw(fixture) for fixture in report.fixtures],
        "texts": report.bad_texts.all,
        "passing": report.good_texts.all,
        "left_out": report.bad_texts.left_out + report.good_texts.left_out,
        "timeline": report.timeline.to_plain(report.end.seconds),
        "requests": report.requests.to_plain(sections.get("budgets", {})),
        "budgets": {"known": "budgets" in sections, "never": _some(sections.get("budgets", {}).get("never", ()))},
        "routes": routes_of(sections.get("routes", {})),
        "coverage": coverage_of(sections.get("coverage", {}), sections.get("diff_coverage", {})),
        "others": others_of(sections),
        "lost_workers": report.lost_workers,
        "facts": _facts(report),
        "reports": _reports(report),
    }


def _without_raw(fixture: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fixture.items() if name != "raw"}


def _some(names: Any) -> list[str]:
    return [short(str(name)) for name in names][:1_000]


def _totals(report: ReportPage) -> dict[str, int]:
    """Return the figures that unittest's closing line has, which count problems, and not tests."""
    tally = report.tally
    return {
        "collected": tally.collected,
        "ran": tally.ran,
        "failures": tally.failures,
        "errors": tally.errors,
        "skipped": tally.skipped,
        "expected failures": tally.expected_failures,
        "unexpected successes": tally.unexpected_successes,
        "flaky": tally.flaky,
        "not run": report.table.counts[NOT_RUN],
        "lost": len(report.end.lost),
    }


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


def _program(report: ReportPage) -> str:
    program = str(report.sections.get("environment", {}).get("program", ""))
    return program if is_program(program) else PROGRAM


def _commands(report: ReportPage) -> dict[str, Any]:
    """Return what runs a test again: for most, the program and the id; by row or fixture where that is not so."""
    program, table = _program(report), report.table
    # What needs no quotes is put together where it is shown: ten thousand commands would be a third of the page.
    is_plain = "pytest" not in program
    odd = {}
    for row, id in enumerate(table.ids):
        wanted = not _needs_no_quotes(id) if is_plain else table.is_bad(row) or row in table.flaky
        if wanted:
            class_id, file = table.place_of(row)
            odd[row] = command_for(program, id, class_id, file)
    fixtures = [command_for(program, each["raw"], file=each["file"]) for each in report.fixtures]
    return {"program": program if is_plain else "", "odd": odd, "fixtures": fixtures}


def _needs_no_quotes(id: str) -> bool:
    return len(id) <= 500 and all(part.isidentifier() for part in id.split("."))


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


def _facts(report: ReportPage) -> list[list[str]]:
    """Return what is told of the environment: titles and texts."""
    run, sections = report.run, report.sections
    databases = sections.get("databases", {})
    made = ", ".join(f"{alias} ({how})" for alias, how in databases.get("databases", {}).items())
    seeds = ", ".join(map(str, report.seeds))
    told = [
        ("Run", run.run),
        ("Machine", run.hostname),
        ("Folder", run.directory),
        ("Python", run.python),
        ("Django", run.django),
        ("Program", str(sections.get("environment", {}).get("program", ""))),
        ("Seed of --shuffle", seeds),
        ("Databases", f"{made}, in {databases.get('seconds', 0):.2f} s" if made else ""),
    ]
    told += [(f"Fingerprint of {alias}", digest) for alias, digest in databases.get("fingerprints", {}).items()]
    return [[short(title), short(str(text), 2_000)] for title, text in told if text]


def _reports(report: ReportPage) -> list[list[str]]:
    """Return the title, path and link of each report beside the page."""
    page = report.path
    reports = report.sections.get("reports", {})
    shown = []
    for title, place in reports.items():
        target = report.folder / str(place)
        if page is None or target == page or not target.exists():
            continue
        link = quote(os.path.relpath(target, page.parent).replace(os.sep, "/"), errors="surrogateescape")
        shown.append([short(title), short(str(place)), link])
    return shown


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
