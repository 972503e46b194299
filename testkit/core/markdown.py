"""Text of tests in Markdown: in code spans and code blocks, which no text can leave, mention somebody from or be a link in.

https://spec.commonmark.org/0.31.2/#code-spans
"""

from __future__ import annotations

import re

from testkit.core.text import on_one_line, visible

LONGEST_NAME = 300


def code(text: str) -> str:
    """Return ``text`` on one line as a code span, between more backticks than it has in a row."""
    shown = on_one_line(text, LONGEST_NAME) or "?"
    fence = "`" * (_longest_row_of_backticks(shown) + 1)
    pad = " " if "`" in (shown[0], shown[-1]) else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def cell(text: str) -> str:
    """Return ``text`` as a code span in a cell of a table, which a bar would end even there."""
    return code(text).replace("|", "\\|")


def block(text: str) -> str:
    """Return ``text`` as a code block, between more backticks than it has in a row."""
    shown = visible(text).replace("\r", "\\r").rstrip("\n")
    fence = "`" * max(_longest_row_of_backticks(shown) + 1, 3)
    return f"{fence}text\n{shown}\n{fence}"


def _longest_row_of_backticks(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
