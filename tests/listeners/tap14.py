"""A strict reader of TAP 14, for the tests: whatever its grammar does not allow is an error."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML

_POINT = re.compile(r"(?P<bad>not )?ok (?P<number>\d+) - (?P<rest>.+)")
_DIRECTIVE = re.compile(r"(?P<name>(?:[^\\#]|\\[\\#])*?)(?: # (?P<directive>SKIP|TODO)(?: (?P<reason>.*))?)?")


@dataclass
class Point:
    """A test point, with the points of the document within."""

    ok: bool
    name: str
    directive: str = ""
    reason: str = ""
    block: Sequence[str] = ()
    subtests: list[Point] = field(default_factory=list)

    @property
    def diagnostic(self) -> dict[str, Any]:
        """What its block of YAML says."""
        found = YAML(typ="safe", pure=True).load(io.StringIO("\n".join(self.block))) if self.block else {}
        assert isinstance(found, dict)
        return found


@dataclass
class Document:
    points: list[Point]
    bail_out: str = ""


def read(text: str) -> Document:
    """Return what a TAP file says.

    Raises:
        AssertionError: it is none.
    """
    lines = text.split("\n")
    assert lines.pop() == ""
    assert lines.pop(0) == "TAP version 14"
    bail_out = ""
    if lines[-1].startswith("Bail out! "):
        bail_out = lines.pop().removeprefix("Bail out! ")
    return Document(_points(lines), bail_out)


def _points(lines: Sequence[str]) -> list[Point]:
    plan = [line for line in lines if line.startswith("1..")]
    assert len(plan) == 1
    assert plan[0] in (lines[0], lines[-1])
    rest = [line for line in lines if line != plan[0]]
    points: list[Point] = []
    at, subtests, title = 0, list[Point](), ""
    while at < len(rest):
        end = at
        if rest[at].startswith("# Subtest: "):
            title = rest[at].removeprefix("# Subtest: ")
            while end + 1 < len(rest) and rest[end + 1].startswith("    "):
                end += 1
            subtests = _points([line[4:] for line in rest[at + 1 : end + 1]])
        else:
            point = _point(rest[at], len(points) + 1)
            if at + 1 < len(rest) and rest[at + 1] == "  ---":
                end = rest.index("  ...", at)
                assert all(line.startswith("  ") for line in rest[at + 2 : end])
                point.block = [line[2:] for line in rest[at + 2 : end]]
            if title:
                assert point.name == _unescaped(title)
            point.subtests, subtests, title = subtests, [], ""
            points.append(point)
        at = end + 1
    assert plan[0] == f"1..{len(points)}"
    return points


def _point(line: str, number: int) -> Point:
    found = _POINT.fullmatch(line)
    assert found, line
    assert int(found["number"]) == number
    parts = _DIRECTIVE.fullmatch(found["rest"])
    assert parts, line
    return Point(
        not found["bad"], _unescaped(parts["name"]), parts["directive"] or "", _unescaped(parts["reason"] or "")
    )


def _unescaped(text: str) -> str:
    return re.sub(r"\\([\\#])", r"\1", text)
