"""All that the script of the page shows, as plain data."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from testkit.listeners.html.judgement import Judgement
from testkit.listeners.html.rerun import PROGRAM, command_for, is_program
from testkit.listeners.html.sections import coverage_of, others_of, routes_of
from testkit.listeners.html.table import LONGEST_NAME, NOT_RUN
from testkit.listeners.html.texts import short

if TYPE_CHECKING:
    from testkit.listeners.html.listener import ReportPage

VERSION = 1
"""Of the data; it goes up when a member changes its meaning or vanishes."""


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


def _program(report: ReportPage) -> str:
    program = str(report.sections.get("environment", {}).get("program", ""))
    return program if is_program(program) else PROGRAM


def _commands(report: ReportPage) -> dict[str, Any]:
    """Return what runs a test again: for most, the program and the id; by row or fixture where that is not so."""
    program, table = _program(report), report.table
    # What needs no quotes is put together where it is shown: ten thousand commands would be a third of the page.
    is_plain = "pytest" not in program
    flaky = frozenset(table.flaky)
    odd = {}
    for row, id in enumerate(table.ids):
        if not _needs_no_quotes(id) if is_plain else table.is_bad(row) or row in flaky:
            odd[row] = command_for(program, id, *table.place_of(row))
    fixtures = [command_for(program, each["raw"], file=each["file"]) for each in report.fixtures]
    return {"program": program if is_plain else "", "odd": odd, "fixtures": fixtures}


def _needs_no_quotes(id: str) -> bool:
    return len(id) <= LONGEST_NAME and all(part.isidentifier() for part in id.split("."))


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
