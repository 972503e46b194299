"""Markdown in which text of tests is code, which it cannot leave, mention somebody from, or be a link in.

https://spec.commonmark.org/0.31.2/#code-spans
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from testkit.core.text import on_one_line, visible

LONGEST_NAME = 300  # characters


def code(text: str) -> str:
    """Return ``text`` on one line as a code span, between more backticks than it has in a row."""
    shown = on_one_line(text, LONGEST_NAME) or "?"
    fence = "`" * (_longest_row_of_backticks(shown) + 1)
    pad = " " if "`" in (shown[0], shown[-1]) else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def cell(text: str) -> str:
    """Return ``text`` as a code span in a table, where a bar would end it even so."""
    return code(text).replace("|", "\\|")


def block(text: str, language: str = "text") -> str:
    """Return ``text`` as a code block, between more backticks than it has in a row."""
    shown = visible(text).replace("\r", "\\r").rstrip("\n")
    fence = "`" * max(_longest_row_of_backticks(shown) + 1, 3)
    return f"{fence}{language}\n{shown}\n{fence}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: int = 0) -> str:
    """Return a table, whose first ``numbers`` columns are aligned to the right; the cells are Markdown already."""
    rule = ["---:" if index < numbers else "---" for index in range(len(head))]
    lines = [f"| {' | '.join(head)} |", f"|{'|'.join(rule)}|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def listed(names: Sequence[str], most: int) -> str:
    """Return ``names`` as a list of code, of which ``most`` are shown and the others counted."""
    more = [f"- … and {len(names) - most} more"] if len(names) > most else []
    return "\n".join([*(f"- {code(name)}" for name in names[:most]), *more])


def _longest_row_of_backticks(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
