"""A comparison as text for a terminal, as Markdown for a pull request, and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from testkit.core import markdown
from testkit.core.text import one_line
from testkit.session.comparison.compare import BASE, HEAD, Comparison, Side
from testkit.session.comparison.gates import Broken
from testkit.session.comparison.story import Column, Line, Name, Part, column_of, headline, notes_on, parts_of

VERSION = 1
MARK = "<!-- testkit compare -->"
"""What the Markdown begins with, by which a script finds the comment that it wrote before."""
LONGEST = 50_000
"""Characters of a list in Markdown, and of all of it with the notes; GitHub takes 65,536 in a comment."""


# Text


def as_text(comparison: Comparison, broken: Sequence[Broken], most: int) -> str:
    """Return ``comparison`` for a terminal, with up to ``most`` lines of each list (0: all)."""
    parts = parts_of(comparison)
    lines = [_described(column_of(*side)) for side in _sides(comparison)]
    lines += [_plain(note) for note in notes_on(comparison)]
    gist = headline(parts)
    lines += ["", gist[:1].upper() + gist[1:]]
    for part in parts:
        shown, more = _shortened(part.lines, most)
        lines += ["", part.title, *(f"  {_plain(line)}" for line in shown)]
        if more:
            lines.append(f"  … and {more} more")
    if broken:
        lines += ["", f"Failed by {', '.join(each.gate for each in broken)}"]
    return "\n".join(lines) + "\n"


def _described(column: Column) -> str:
    parts = [f"{column.tests} tests, {column.failed} failed, {column.seconds:.1f} s"]
    if column.coverage is not None:
        parts.append(f"{column.coverage:.2f} % covered")
    if column.commit:
        parts.append(f"commit {_visible(column.commit)[:10]}")
    if column.runs > 1:
        parts.append(f"the newest of {column.runs} runs")
    return f"{column.title}: {_visible(column.run)}: {', '.join(parts)}"


def _plain(line: Line) -> str:
    return "".join(_visible(piece.text) if isinstance(piece, Name) else piece for piece in line)


def _visible(text: str) -> str:
    return one_line(text, markdown.LONGEST_NAME) or "?"


# Markdown


def as_markdown(comparison: Comparison, broken: Sequence[Broken], most: int) -> str:
    """Return ``comparison`` for a comment on a pull request: the gist, what is worse, and the rest folded up."""
    parts = parts_of(comparison)
    text = [MARK, f"### Tests: {headline(parts)}", _table([column_of(*side) for side in _sides(comparison)])]
    if broken:
        text.append(f"**Failed by {', '.join(each.gate for each in broken)}**")
    room = LONGEST
    for is_bad in (True, False):
        told = []
        for part in parts:
            if part.is_bad is is_bad:
                told.append(_list(part, most, room))
                room -= len(told[-1])
        if told and not is_bad:
            told = ["<details><summary>What else differs</summary>", *told, "</details>"]
        text += told
    text += [f"> {_marked(note)}" for note in notes_on(comparison)]
    return "\n\n".join(text) + "\n"


def _table(columns: Sequence[Column]) -> str:
    heads = [f"{each.title} {markdown.cell(each.commit[:10])}" if each.commit else each.title for each in columns]
    rows = [
        ["tests", *(str(each.tests) for each in columns)],
        ["failed", *(str(each.failed) for each in columns)],
        ["seconds", *(f"{each.seconds:.1f}" for each in columns)],
    ]
    if any(each.coverage is not None for each in columns):
        rows.append(["covered", *("–" if each.coverage is None else f"{each.coverage:.2f} %" for each in columns)])
    return markdown.table(["", *heads], rows)


def _list(part: Part, most: int, room: int) -> str:
    shown, more = _shortened(part.lines, most)
    lines: list[str] = []
    for line in shown:
        lines.append(f"- {_marked(line)}")
        if sum(map(len, lines)) > room:
            more += len(shown) - len(lines) + 1
            lines.pop()
            break
    if more:
        lines.append(f"- … and {more} more")
    return "\n".join([f"**{part.title}**", "", *lines])


def _marked(line: Line) -> str:
    return "".join(markdown.code(piece.text) if isinstance(piece, Name) else piece for piece in line)


def _shortened(lines: Sequence[Line], most: int) -> tuple[Sequence[Line], int]:
    return (lines[:most], max(len(lines) - most, 0)) if most else (lines, 0)


# JSON


def as_json(comparison: Comparison, gates: Sequence[str], broken: Sequence[Broken]) -> str:
    """Return all of ``comparison`` as a JSON document in ASCII."""
    timings, coverage = comparison.timings, comparison.coverage
    plain: dict[str, Any] = {
        "kind": "testkit comparison",
        "version": VERSION,
        **{title.lower(): _side(side) for title, side in _sides(comparison)},
        "tests": {kind: _records(changes) for kind, changes in comparison.tests.items()},
        "timings": {
            "machine": timings.machine,
            "slower": _records(timings.slower),
            "faster": _records(timings.faster),
        },
        "queries": _records(comparison.queries),
        "routes": _records(comparison.routes),
        "coverage": coverage and {**coverage._asdict(), "files": _records(coverage.files)},
        "screenshots": _records(comparison.screenshots),
        "lacking": comparison.lacking,
        "gates": {gate: next((each.reason for each in broken if each.gate == gate), "") for gate in gates},
    }
    return json.dumps(plain, indent=1) + "\n"


def _records(records: Iterable[Any]) -> list[Mapping[str, Any]]:
    return [record._asdict() for record in records]


def _side(side: Side) -> dict[str, Any]:
    return {
        "given": side.title,
        "runs": [
            {
                "run": run.run,
                "at": run.at,
                "commit": run.commit,
                "tests": len(run.tests),
                "seconds": run.seconds,
                "ended_early": run.ended_early,
                "joined": run.is_joined,
            }
            for run in side.runs
        ],
    }


def _sides(comparison: Comparison) -> tuple[tuple[str, Side], tuple[str, Side]]:
    return (BASE, comparison.base), (HEAD, comparison.head)
