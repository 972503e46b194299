"""SQL on one line, without what makes it long: for logs and messages, not for a database."""

from __future__ import annotations

import re
from typing import NamedTuple

_COLUMNS = 2
"""How many columns a list keeps whole, beside those that are computed."""
_COMPUTED = 3
"""How many computed columns are shown in a list that is shortened."""
_COMPUTED_LENGTH = 60
"""How long, in characters, a computed column may be to be shown there."""
_IN_VALUES = 3
"""How many values of ``IN (…)`` are shown, if there are more than one above."""
_LITERAL_LENGTH = 200
"""How long, in characters, a literal is at most."""

# Each ends with its quote or with the text, so that a statement that was cut off does no harm. A doubled quote begins
# another part of the same.
_IN_BACKTICKS = r"`[^`]*+(?:`|\Z)"
_NAME = rf'"[^"]*+(?:"|\Z)|{_IN_BACKTICKS}'
_COMMENT = r"/\*(?:[^*]|\*(?!/))*+(?:\*/|\Z)"
_WITH_BACKSLASHES = r"'(?:[^'\\]|\\.|'')*+(?:'|\Z)"
_LITERAL = rf"[eE]{_WITH_BACKSLASHES}|'[^']*+(?:''[^']*+)*+(?:'|\Z)|\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$"
_LITERAL_OF_MYSQL = rf'{_WITH_BACKSLASHES}|"(?:[^"\\]|\\.|"")*+(?:"|\Z)'


class _Dialect(NamedTuple):
    """How statements are read."""

    spaces: re.Pattern[str]
    """What is more than one line, or not to be touched when one line is made of it."""
    tokens: re.Pattern[str]
    """The next literal, mark or word, and whatever lies before it."""


def _dialect(literal: str, name: str, line_comment: str) -> _Dialect:
    spaces = rf"(?P<quoted>{literal}|{name})|(?P<block>{_COMMENT})|{line_comment}(?P<line>[^\n]*+)|\s++"
    between = rf"(?:[^\w'\"`(),;/$]|{name}|\d[\w.]*+|{_COMMENT})*+"
    token = rf"(?:(?P<literal>{literal})|(?P<mark>[(),;])|(?P<word>[^\W\d][\w$]*+)|.|\Z)"
    return _Dialect(re.compile(spaces, re.DOTALL), re.compile(between + token, re.DOTALL))


_STANDARD = _dialect(_LITERAL, _NAME, "--")
_MYSQL = _dialect(_LITERAL_OF_MYSQL, _IN_BACKTICKS, r"(?:--(?=\s)|\#)")

_UNTIDY = re.compile(r"  |--|^ | $")
_SELECT = re.compile(r"(?: (?:ALL|DISTINCT(?: ON \([^()]*+\))?)(?!\w))? ?", re.IGNORECASE)
_WORD = r'(?:"\w+"|`\w+`|\w+)'
_PLAIN = rf"{_WORD}(?:\.{_WORD})*+(?: AS {_WORD})?"
_PLAIN_COLUMNS = re.compile(rf"{_PLAIN}(?:, ?{_PLAIN})*+(?= FROM\b)", re.IGNORECASE)
_IN = re.compile(r" ?\((?! ?(?:SELECT|WITH|VALUES)\b)", re.IGNORECASE)
_BY = re.compile(r" BY\b", re.IGNORECASE)

_ENDS_OF_COLUMNS = frozenset(
    ("FROM", "INTO", "WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "OFFSET", "FETCH", "UNION", "INTERSECT", "EXCEPT")
)
_ENDS_OF_ROWS = frozenset(("ON", "RETURNING", "AS", "ORDER", "LIMIT", "UNION", "INTERSECT", "EXCEPT"))


def shorten(sql: str) -> str:
    """Return the statement on one line: ``SELECT /* 15 columns */ FROM "book" WHERE "id" IN (1, 2, 3, /* 7 more */)``.

    In each list of columns that has more than two plain ones, a comment with their number stands for them; computed
    ones (``COUNT(*) AS "n"``) stay if they are short. Of many rows in VALUES the first is shown, of many values in IN
    the first three, of a literal the first 200 characters. Comments until the end of a line become ``/* … */``.
    Characters that cannot be printed are shown as escapes (``\\n``), so that data cannot forge a line of a log.

    Nothing else is changed. Quotes are those of PostgreSQL, SQLite and, where names are in backticks, MySQL.
    """
    dialect = _MYSQL if "`" in sql.partition('"')[0] else _STANDARD
    return _Shortener(_on_one_line(sql, dialect.spaces), dialect.tokens).shortened()


def _on_one_line(sql: str, spaces: re.Pattern[str]) -> str:
    if sql.isprintable() and not _UNTIDY.search(sql):
        return sql
    return escape(spaces.sub(_on_line, sql).strip(" "))


def _on_line(match: re.Match[str]) -> str:
    if match["quoted"] is not None:
        return match[0]
    if match["block"] is not None:
        return " ".join(match["block"].split())
    if match["line"] is not None:
        return f"/* {' '.join(match['line'].replace('*/', '* /').split())} */"
    return " "


def escape(text: str) -> str:
    """Return the text with each character that cannot be printed as an escape: a newline as ``\\n``."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


class _List:
    """A list that is being read: where its first item begins, and its commas are."""

    __slots__ = ("commas", "computed", "kind", "start")

    def __init__(self, kind: str, start: int) -> None:
        self.kind, self.start = kind, start
        self.commas: list[int] = []
        self.computed: set[int] = set()

    def items(self, text: str, end: int) -> list[str]:
        starts = [self.start, *(comma + 1 for comma in self.commas)]
        return [text[a:b].strip(" ") for a, b in zip(starts, [*self.commas, end], strict=True)]


class _Shortener:
    """Reads a statement once, from left to right, and notes what is to be replaced by what."""

    def __init__(self, text: str, tokens: re.Pattern[str]) -> None:
        self._text, self._tokens = text, tokens
        self._edits: list[tuple[int, int, str]] = []
        self._open: list[_List | None] = [None]  # One for each parenthesis that is open.

    def shortened(self) -> str:
        text, find, end = self._text, self._tokens.match, len(self._text)
        position = 0
        while position < end and (match := find(text, position)):
            position = match.end()
            kind = match.lastgroup
            if kind == "word":
                position = self._read_word(match["word"].upper(), match.start("word"), position)
            elif kind == "mark":
                self._read_mark(match["mark"], position - 1)
            elif match["literal"] is not None:
                self._read_literal(match.start("literal"), position)
        while self._open:
            self._finish(end)
            self._open.pop()
        return self._edited()

    def _read_word(self, word: str, start: int, end: int) -> int:
        """Begin or end a list; return where to read on."""
        at = self._open[-1]
        if word == "SELECT":
            return self._begin_columns(start, end)
        if word == "VALUES":
            self._finish(start)
            self._open[-1] = _List("rows", end)
        elif word == "IN" and (match := _IN.match(self._text, end)):
            self._note_parenthesis()
            self._open.append(_List("values", match.end()))
            return match.end()
        elif at is not None and self._ends(at, word, start, end):
            self._finish(start)
        return end

    def _begin_columns(self, start: int, end: int) -> int:
        self._finish(start)
        head = _SELECT.match(self._text, end)
        begin = head.end() if head else end
        columns = self._open[-1] = _List("columns", begin)
        plain = _PLAIN_COLUMNS.match(self._text, begin)
        if plain is None:
            return begin
        # Most lists are of this kind, and need not be read by the word.
        count = self._text.count(",", begin, plain.end()) + 1
        if count > _COLUMNS:
            self._replace(begin, plain.end(), f"/* {count} columns */")
        columns.start = plain.end()
        self._open[-1] = None
        return plain.end()

    def _ends(self, at: _List, word: str, start: int, end: int) -> bool:
        if at.kind == "rows":
            return word in _ENDS_OF_ROWS
        if at.kind != "columns" or word not in _ENDS_OF_COLUMNS:
            return False
        if word == "FROM":
            return self._text[start - 9 : start].upper() != "DISTINCT "  # a IS DISTINCT FROM b
        return word not in ("GROUP", "ORDER") or _BY.match(self._text, end) is not None  # WITHIN GROUP (…)

    def _read_mark(self, mark: str, position: int) -> None:
        at = self._open[-1]
        if mark == ",":
            if at is not None:
                at.commas.append(position)
        elif mark == "(":
            self._note_parenthesis()
            self._open.append(None)
        elif mark == ";" or len(self._open) == 1:
            self._finish(position)
        else:
            self._finish(position)
            self._open.pop()

    def _note_parenthesis(self) -> None:
        at = self._open[-1]
        if at is not None:
            at.computed.add(len(at.commas))

    def _read_literal(self, start: int, end: int) -> None:
        if end - start > _LITERAL_LENGTH:
            more = end - start - _LITERAL_LENGTH
            self._replace(start + _LITERAL_LENGTH - 1, end - 1, f"… {more} more characters")

    def _finish(self, end: int) -> None:
        """The innermost list ends here."""
        at, self._open[-1] = self._open[-1], None
        if at is None:
            return
        if at.kind == "columns":
            self._shorten_columns(at, end)
        else:
            shown = 1 if at.kind == "rows" else _IN_VALUES
            if len(at.commas) > shown:
                self._leave_out(at, shown, end)

    def _shorten_columns(self, at: _List, end: int) -> None:
        if len(at.commas) < _COLUMNS:
            return
        items = at.items(self._text, end)
        short = [i for i in sorted(at.computed) if len(items[i]) <= _COMPUTED_LENGTH][:_COMPUTED]
        plain = len(items) - len(short)
        if plain > _COLUMNS:
            stop = at.start + len(self._text[at.start : end].rstrip(" "))
            self._replace(at.start, stop, ", ".join([f"/* {plain} columns */", *(items[i] for i in short)]))

    def _leave_out(self, at: _List, shown: int, end: int) -> None:
        stop = at.start + len(self._text[at.start : end].rstrip(" "))
        more = len(at.commas) + 1 - shown
        self._replace(at.commas[shown - 1], stop, f", /* {more} more{' rows' if at.kind == 'rows' else ''} */")

    def _replace(self, start: int, end: int, by: str) -> None:
        while self._edits and self._edits[-1][0] >= start:
            self._edits.pop()
        self._edits.append((start, end, by))

    def _edited(self) -> str:
        if not self._edits:
            return self._text
        parts: list[str] = []
        position = 0
        for start, end, by in self._edits:
            parts += (self._text[position:start], by)
            position = end
        return "".join((*parts, self._text[position:]))
