"""Colours for the log of queries, by rich: ``python -m pip install 'django-testkit[log]'``."""

from __future__ import annotations

import logging
import re
from typing import Any

try:
    from rich.console import Console, ConsoleRenderable, Group
    from rich.logging import RichHandler
    from rich.text import Text
except ImportError as error:
    raise ImportError(
        "testkit.queries.handler.SqlHandler needs rich: python -m pip install 'django-testkit[log]'. "
        "Without it, logging.StreamHandler with testkit.queries.formatter.ReadableSqlFormatter shows the same, plain."
    ) from error

from testkit.queries.formatter import ReadableSqlFormatter, is_query

_WORDS = (
    "SELECT|DISTINCT|FROM|WHERE|INNER|LEFT|OUTER|JOIN|ON|GROUP BY|ORDER BY|HAVING|LIMIT|OFFSET|UNION|ALL|WITH|AS"
    "|INSERT INTO|VALUES|UPDATE|SET|DELETE|RETURNING|BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE"
)
_STYLES = [
    (re.compile(rf"\b(?:{_WORDS})\b"), "bold"),
    (re.compile(r"'[^']*+'"), "green"),
    (re.compile(r"/\*.*?\*/"), "dim"),
    (re.compile(r"^ *[\d.]+ ms\b", re.MULTILINE), "cyan"),
    (re.compile(r"   \d+(?:st|nd|rd|th) time(?=   |$)"), "bold yellow"),
    (re.compile(r"   \S+:\d+ in \S+$"), "magenta"),
]


class SqlHandler(RichHandler):
    """Prints each record on stderr, on a line of its own, with colours on a terminal: queries by what the parts are,
    other records by their level.

    ``NO_COLOR`` in the environment takes the colours away, ``FORCE_COLOR`` gives them to a pipe too. Arguments are
    those of rich's handler; a ``console`` of your own says where to and in which colours.
    """

    def __init__(self, level: int | str = logging.NOTSET, console: Console | None = None, **options: Any) -> None:
        # A record on several lines could not be searched for: no line is broken at the width of the terminal.
        super().__init__(level, console or Console(stderr=True, soft_wrap=True), **options)
        self.setFormatter(ReadableSqlFormatter())

    def render_message(self, record: logging.LogRecord, message: str) -> ConsoleRenderable:
        if not is_query(record):
            return Text(message, style=f"logging.level.{record.levelname.lower()}")
        text = Text(message)
        for pattern, style in _STYLES:
            text.highlight_regex(pattern, style)
        return text

    def render(self, *, message_renderable: ConsoleRenderable, traceback: Any, **_: Any) -> ConsoleRenderable:
        """Return the message alone: time and level are the formatter's affair, and rich's table breaks lines."""
        return message_renderable if traceback is None else Group(message_renderable, traceback)
