"""SQL without what may differ between two runs of the same query, and the tables that a statement is about.

Django's SQL has a ``%s`` for each parameter, so that little is left to merge: the lengths of lists, pages, and names
that count up. SQL parsers take a hundred times as long and merge what must stay apart (other columns, COUNT and SUM).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

_SIMPLE = re.compile(r"""(?:[^"'`\\$/-]++|"\w+"|`\w+`)*+""")
"""SQL whose quoted names are plain words, with neither string literals nor comments: no rule can harm these names."""

_PIECES = r"""
    {string} | "[^"]*(?:""[^"]*)*" | `[^`]*(?:``[^`]*)*`
    | \$(?P<tag>(?:[^\W\d]\w*)?)\$ .*? \$(?P=tag)\$
    | --[^\n]* | /\*(?![+!]).*?\*/
"""
_ESCAPED = r"""'[^'\\]*(?:(?:''|\\.)[^'\\]*)*'"""
_STANDARD = re.compile(_PIECES.format(string=rf"\b[eE]{_ESCAPED} | '[^']*(?:''[^']*)*'"), re.VERBOSE | re.DOTALL)
_BACKSLASHES = re.compile(
    _PIECES.format(string=_ESCAPED).replace('"[^"]*(?:""[^"]*)*"', r'"[^"\\]*(?:(?:""|\\.)[^"\\]*)*"'),
    re.VERBOSE | re.DOTALL,
)
"""What is put aside before the rules work: literals and names in quotes, and comments. MySQL's have backslashes."""

_LITERAL = r"(?:(?<![\w.])-?\d+(?:\.\d+)?(?![\w.])|[eE]?'[^']*')"
_VALUE = rf"(?:%s|%\(\w+\)s|{_LITERAL}|NULL\b)(?:::\w+)?"
_TUPLE = rf"\( ?{_VALUE}(?: ?, ?{_VALUE})* ?\)"
_LIST = rf"(?:{_VALUE}|{_TUPLE})(?: ?, ?(?:{_VALUE}|{_TUPLE}))*"
_ROW = r"\((?:[^()]++|\((?:[^()]++|\((?:[^()]++|\([^()]*\))*\))*\))*\)"
_NUMBER = r"(?:%s|-?\d+|ALL\b)"


def _rule(pattern: str) -> re.Pattern[str]:
    # Most begin with a space: re looks for a character much faster than for a word boundary.
    return re.compile(pattern, re.IGNORECASE)


_IN = _rule(rf" IN ?\( ?{_LIST} ?\)")
# Not MySQL's function: ON DUPLICATE KEY UPDATE x = VALUES(x).
_VALUES = _rule(rf"(?:(?<=[\w)\"`])|(?<=FROM \()) ?\bVALUES ?{_ROW}(?: ?, ?{_ROW})*")
_UNNEST = _rule(rf"\bSELECT \* FROM UNNEST ?{_ROW}(?= (?:ON CONFLICT|RETURNING)\b|$)")
_FETCH = _rule(rf"(?: OFFSET {_NUMBER} ROWS?)? FETCH (?:FIRST|NEXT) {_NUMBER} ROWS? ONLY")
_LIMIT = _rule(rf" LIMIT {_NUMBER}(?:(?: OFFSET | ?, ?){_NUMBER})?")
_OFFSET = _rule(rf" OFFSET {_NUMBER}")
_SAVEPOINT = _rule(r"^((?:RELEASE |ROLLBACK TO )?SAVEPOINT) .+$")
_CURSOR = _rule(r"""^((?:DECLARE|FETCH|MOVE|CLOSE)\b.*?)(["`]?)_django_curs_\w+\2""")
_SET_NULL = _rule(r"(= |\bTHEN )NULL(?=[ ,)]|$)")
_WHEN = _rule(r"( WHEN (?:(?! WHEN | THEN ).)+ THEN (?:(?! WHEN | ELSE | END\b).)+)\1+")
# Not what follows an operator of JSON or arrays (->>, #>, @>): the literal names a field there.
_COMPARED = _rule(rf"((?:(?<![-#@<>=?&|~:^*!])(?:<=>|<>|!=|<=|>=|=|<|>)|\bLIKE) ?){_LITERAL}")
_MAY_COMPARE = re.compile(r"[=<>] ?[-\d]")
# What Django writes for lists of keys where the database cannot compare tuples: (id = %s OR id = %s).
_OR = _rule(r"""(?<!AND )((?:["`]?\b\w+["`]?\.)*["`]?\b\w+["`]?) = %s(?: OR \1 = %s)+(?! AND\b)""")
_OR_ROWS = _rule(r"(?<!AND )(\([^()]+\))(?: OR \1)+(?! AND\b)")
_RANGE = _rule(rf" BETWEEN {_VALUE} AND {_VALUE}")


@lru_cache(maxsize=4096)
def fingerprint(sql: str) -> str:
    """Return the SQL, on one line, without what may differ between two runs of the same query.

    Merged are the lengths of lists (``IN``, ``VALUES``, keys joined by ``OR``, ``bulk_update()``'s ``WHEN`` chains),
    the numbers of ``LIMIT`` and ``OFFSET`` (page 1 has no ``OFFSET``), the names of savepoints and server-side cursors,
    ``SET x = NULL`` and ``SET x = %s``, comments, and white space.

    So are the numbers and strings that raw SQL compares with (``id = 7``): they come from a sequence or a loop, differ
    in every run, and such a loop is an N+1 to be found. Other literals are kept, as they say what is asked for:
    ``ORDER BY 1``, ``data ->> 'name'``, ``INTERVAL '1 day'``.
    """
    kept: list[str] = []
    masked = _mask(sql, kept)
    merged = _merge(" ".join(masked.split()))
    return _MASK.sub(lambda mask: kept[int(mask[1])], merged) if kept else merged


_MASK = re.compile("[\"'`]\0(\\d+)[\"'`]")


def _mask(sql: str, kept: list[str]) -> str:
    """Return the SQL without comments, and with a mark for each piece that no rule may look into."""
    if _SIMPLE.fullmatch(sql):
        return sql
    if "\\" not in sql:
        return _STANDARD.sub(_masking(kept), sql)
    if "`" not in sql:
        masked = _STANDARD.sub(_masking(kept), sql)
        # A backslash or a quote outside all pieces: the server reads backslashes in literals as MySQL does.
        if "\\" not in masked and "'" not in re.sub("'\0\\d+'", "", masked):
            return masked
        kept.clear()
    return _BACKSLASHES.sub(_masking(kept), sql)


def _masking(kept: list[str]) -> Callable[[re.Match[str]], str]:
    def mask(match: re.Match[str]) -> str:
        piece = match[0]
        if piece.startswith(("--", "/*")):
            return " "
        quote = piece[0] if piece[0] in '"`' else "'"
        if quote != "'" and piece[1:-1].isidentifier():
            return piece
        kept.append(piece)
        return f"{quote}\0{len(kept) - 1}{quote}"

    return mask


def _merge(sql: str) -> str:
    upper = sql.upper()
    if " IN" in upper:
        sql = _IN.sub(" IN (…)", sql)
    if "VALUES" in upper:
        sql = _VALUES.sub(" VALUES (…)", sql, count=1).replace("( VALUES", "(VALUES")
    elif "UNNEST" in upper and upper.startswith("INSERT"):
        sql = _UNNEST.sub("VALUES (…)", sql)
    if " FETCH " in upper:
        sql = _FETCH.sub(" LIMIT …", sql)
    if " LIMIT " in upper:
        sql = _LIMIT.sub(" LIMIT …", sql)
    if " OFFSET " in upper:
        sql = _OFFSET.sub(" OFFSET …", sql)
    if "SAVEPOINT" in upper:
        sql = _SAVEPOINT.sub(r"\1 …", sql)
    if "_DJANGO_CURS_" in upper:
        sql = _CURSOR.sub(r"\1\2_django_curs_…\2", sql)
    if upper.startswith("UPDATE"):
        sql = _WHEN.sub(r"\1", _SET_NULL.sub(r"\1%s", sql))
    if " BETWEEN " in upper:
        sql = _RANGE.sub(" BETWEEN %s AND %s", sql)
    if "'" in sql or _MAY_COMPARE.search(sql):
        sql = _COMPARED.sub(r"\1%s", sql)
    if " OR " in upper:
        sql = _OR_ROWS.sub(r"\1 OR …", _OR.sub(r"\1 IN (…)", sql))
    return sql


_NAME = r"""(?:"[^"]*"|`[^`]*`|[^\W\d][\w$]*)"""
_TOKEN = re.compile(rf"'[^']*'|%s|%\(\w+\)s|(?P<name>{_NAME}(?:\s*\.\s*{_NAME})*)(?P<calls>\s*\()?|(?P<mark>[(),;])")
_BEGINS = {"SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "MERGE", "TRUNCATE", "CREATE", "ALTER", "COPY", "VALUES"}
_TABLE_FOLLOWS = {"UPDATE", "TRUNCATE", "COPY"}
_LIST_ENDS = {"WHERE", "SET", "GROUP", "ORDER", "HAVING", "LIMIT", "UNION", "RETURNING", "WINDOW", "FOR", "CONFLICT"}
_LIST_ENDS |= {"DUPLICATE", "INTERSECT", "EXCEPT", "OFFSET", "FETCH"}
_BETWEEN = {"ONLY", "LATERAL", "IF", "NOT", "EXISTS", "IGNORE", "OR", "RECURSIVE", "CONCURRENTLY"}
"""Words that may stand between the word that a table follows and the table."""
_TABLE, _DEFINED = "table", "defined"


class _Part:
    """What is known, while it is read, of a statement or of what a pair of parentheses in it holds."""

    __slots__ = ("defines", "expects", "in_list", "in_with", "verb")

    def __init__(self, expects: bool = False) -> None:
        self.verb, self.expects, self.in_list, self.in_with, self.defines = "", expects, expects, False, False


@lru_cache(maxsize=4096)
def tables_of(sql: str) -> tuple[str, ...]:
    """Return the names of the tables that a statement reads or writes, each once, in order of appearance.

    Names are without quotes, and with their schema where the statement has one (``schema.table``). Aliases, functions
    and what ``WITH`` defines are no tables.
    """
    kept: list[str] = []
    found: dict[str, None] = {}
    defined: set[str] = set()
    parts = [_Part()]
    previous = ""
    for token in _TOKEN.finditer(_mask(sql, kept)):
        name, mark = token["name"], token["mark"]
        part = parts[-1]
        if name is not None:
            calls = token["calls"] is not None
            role = _role_of(name, part, previous, calls)
            if role == _TABLE:
                found.setdefault(_unquote(name, kept))
            elif role == _DEFINED:
                defined.add(_unquote(name, kept))
            previous = name.upper()
            mark = "(" if calls else mark
        if mark == "(":
            parts.append(_Part(part.expects))
            part.expects = False
        elif mark == ")" and len(parts) > 1:
            parts.pop()
        elif mark == ",":
            part.expects, part.defines = part.in_list, part.in_with
        elif mark == ";":
            parts = [_Part()]
    return tuple(name for name in found if name not in defined)


def _role_of(name: str, part: _Part, previous: str, calls: bool) -> str:
    """Return whether the name is a table's, or one that ``WITH`` defines; note what a keyword says of what follows."""
    if name[0] in '"`' and not (part.expects or part.defines):
        return ""  # a column: most of what Django writes
    word = name.upper()
    if part.defines and word not in _BETWEEN:
        part.defines = False
        return _DEFINED
    if _read_keyword(part, word, previous, calls) or not part.expects or word in _BETWEEN:
        return ""
    part.expects = False
    # What is called in FROM is a function; what is written to may be followed by its columns.
    return "" if calls and part.in_list else _TABLE


def _read_keyword(part: _Part, word: str, previous: str, calls: bool) -> bool:
    """Note what follows this word; return whether it is a keyword that matters."""
    if word == "WITH":
        part.in_with = part.defines = not part.verb
    elif word in _BEGINS and (word in ("SELECT", "VALUES") or not calls):
        # FOR UPDATE, DO UPDATE and WHEN MATCHED THEN UPDATE are of a statement that has begun.
        part.expects = word in _TABLE_FOLLOWS and not part.verb
        part.in_list = part.expects and word != "COPY"
        part.in_with = False
        part.verb = word if word != "UPDATE" else part.verb or word
    elif word == "FROM":
        # In EXTRACT(YEAR FROM x) there is no verb.
        if part.verb in ("SELECT", "DELETE", "UPDATE") and previous != "DISTINCT":
            part.expects = part.in_list = True
    elif word in ("JOIN", "STRAIGHT_JOIN") or (word == "USING" and part.verb in ("DELETE", "MERGE") and not calls):
        part.expects = part.in_list = True
    elif (
        word == "TABLE"
        or (word == "INTO" and part.verb in ("INSERT", "REPLACE", "MERGE"))
        or (word == "ON" and part.verb == "CREATE")
    ):
        part.expects, part.in_list = True, False
    elif word in _LIST_ENDS:
        part.expects = part.in_list = False
    else:
        return False
    return True


def _unquote(name: str, kept: list[str]) -> str:
    return ".".join(_unquote_part(part, kept) for part in re.findall(_NAME, name))


def _unquote_part(part: str, kept: list[str]) -> str:
    if masked := _MASK.fullmatch(part):
        part = kept[int(masked[1])]
    quote = part[0]
    return part[1:-1].replace(quote * 2, quote) if quote in '"`' else part
