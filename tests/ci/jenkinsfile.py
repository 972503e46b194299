"""Reads a Jenkinsfile far enough to run it: its steps ``sh``, with the blocks around them, and the axes of its matrix."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_TOKEN = re.compile(
    r"""
    (?P<comment> //[^\n]* | /\*.*?\*/ )
    | (?P<text> '''(?:\\.|[^\\])*?''' | '(?:\\.|[^'\\\n])*' )
    | (?P<interpolated> \"\"\"(?:\\.|[^\\])*?\"\"\" | "(?:\\.|[^"\\\n])*" )
    | (?P<other> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_OF_SH = re.compile(r"\bsh(?:\s+|\s*\(\s*(?:script:\s*)?)$")
_ESCAPES = {"\n": "", "n": "\n", "t": "\t"}


class Step(NamedTuple):
    """A step ``sh``: the headers of the blocks around it, and what it runs."""

    blocks: tuple[str, ...]
    command: str
    may_fail: bool
    """Whether its status is looked at, or caught, rather than ending the stage."""

    @property
    def stage(self) -> str:
        """The name of the stage that it is in."""
        return next(block for block in reversed(self.blocks) if block.startswith("stage("))[len("stage('") : -len("')")]


def steps(text: str) -> Iterator[Step]:
    """Yield the steps ``sh`` of the Jenkinsfile ``text``, in their order.

    Raises:
        AssertionError: brackets do not match, or Groovy would put something into a command: a value with a quote in it
            would be run.
    """
    blocks: list[str] = []
    header, depth = "", 0
    for match in _TOKEN.finditer(text):
        token = match[0]
        if match["comment"]:
            continue
        if _OF_SH.search(header) and (match["text"] or match["interpolated"]):
            assert not match["interpolated"], f"single quotes, and the shell's own variables: {token}"
            looked_at = re.match(r"\s*,\s*returnStatus: true", text[match.end() :]) is not None
            caught = any(block.startswith("catchError(") for block in blocks)
            yield Step(tuple(blocks), _unquoted(token), looked_at or caught)
        if token == "{":
            blocks.append(header.strip())
        elif token == "}":
            assert blocks, f"one }} too many, at {text[: match.start()].count(chr(10)) + 1}"
            blocks.pop()
        depth += (token in ("(", "[")) - (token in (")", "]"))
        assert depth >= 0
        ends = token in ("{", "}", ";") or (token == "\n" and not depth)
        header = "" if ends else header + token
    assert not blocks
    assert not depth


def axes(text: str) -> dict[str, list[str]]:
    """Return the values of each axis of the matrix."""
    found = re.findall(r"axis\s*\{\s*name '(\w+)'\s+values ([^\n]+)", text)
    return {name: re.findall(r"'([^']*)'", values) for name, values in found}


def files(text: str) -> set[str]:
    """Return the files of ``reports/`` that publishers are told of."""
    return set(re.findall(r"'(reports/[\w.-]+)'", text))


def _unquoted(token: str) -> str:
    size = 3 if token.startswith("'''") else 1
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), token[size:-size], flags=re.DOTALL)
