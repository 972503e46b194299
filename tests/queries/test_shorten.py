from __future__ import annotations

import random
import re
import time

import pytest

from testkit.queries.shorten import escape, shorten

COLUMNS = ", ".join(f'"shelf_book"."column_{number}"' for number in range(15))

READABLE_LOG = {
    "plain": (f'SELECT {COLUMNS} FROM "shelf_book"', 'SELECT /* 15 columns */ FROM "shelf_book"'),
    "count": ('SELECT COUNT(*) AS "__count" FROM "shelf_book"', 'SELECT COUNT(*) AS "__count" FROM "shelf_book"'),
    "distinct": (f"SELECT DISTINCT {COLUMNS} FROM t", "SELECT DISTINCT /* 15 columns */ FROM t"),
    "exists": (
        'SELECT 1 AS "a" FROM "shelf_book" WHERE "shelf_book"."id" = 1 LIMIT 1',
        'SELECT 1 AS "a" FROM "shelf_book" WHERE "shelf_book"."id" = 1 LIMIT 1',
    ),
    "extract": (
        f'SELECT {COLUMNS}, EXTRACT(YEAR FROM "t"."day") AS "year" FROM "t" WHERE EXTRACT(MONTH FROM "t"."day") = 2',
        'SELECT /* 15 columns */, EXTRACT(YEAR FROM "t"."day") AS "year" FROM "t" WHERE EXTRACT(MONTH FROM "t"."day") = 2',
    ),
    "subselect": (
        f'SELECT {COLUMNS}, (SELECT U0."id" FROM "u" U0 WHERE U0."t" = "t"."id") AS "u" FROM "t"',
        'SELECT /* 15 columns */, (SELECT U0."id" FROM "u" U0 WHERE U0."t" = "t"."id") AS "u" FROM "t"',
    ),
    "distinct from": (
        f'SELECT {COLUMNS}, "t"."a" IS NOT DISTINCT FROM "t"."b" AS "same" FROM "t" WHERE "t"."a" IS DISTINCT FROM NULL',
        'SELECT /* 16 columns */ FROM "t" WHERE "t"."a" IS DISTINCT FROM NULL',
    ),
    "literal": (
        f"""SELECT {COLUMNS}, 'FROM me' AS "from" FROM "t" WHERE "t"."a" = 'it''s SELECT a, b, c FROM (me'""",
        """SELECT /* 16 columns */ FROM "t" WHERE "t"."a" = 'it''s SELECT a, b, c FROM (me'""",
    ),
    "lower case": ("select a, b, c\n  from t\n where a = 1", "select /* 3 columns */ from t where a = 1"),
    "cursor": (
        f'DECLARE "_django_curs_1_2" NO SCROLL CURSOR WITHOUT HOLD FOR SELECT {COLUMNS} FROM "t"',
        'DECLARE "_django_curs_1_2" NO SCROLL CURSOR WITHOUT HOLD FOR SELECT /* 15 columns */ FROM "t"',
    ),
    "cte": (
        f"WITH recent AS (SELECT {COLUMNS} FROM t), old AS (SELECT a, b, c FROM t) SELECT {COLUMNS} FROM recent, old",
        "WITH recent AS (SELECT /* 15 columns */ FROM t), old AS (SELECT /* 3 columns */ FROM t) SELECT /* 15 columns */ FROM recent, old",
    ),
    "union": (
        f"(SELECT {COLUMNS} FROM t) UNION ALL (SELECT {COLUMNS} FROM u) ORDER BY 1, 2, 3",
        "(SELECT /* 15 columns */ FROM t) UNION ALL (SELECT /* 15 columns */ FROM u) ORDER BY 1, 2, 3",
    ),
}


@pytest.mark.parametrize("case", READABLE_LOG)
def test_what_project_runpy_cuts_wrongly_is_kept(case):
    sql, expected = READABLE_LOG[case]
    assert shorten(sql) == expected


CASES = {
    "two columns stay": ("SELECT a, b FROM t", "SELECT a, b FROM t"),
    "aggregates stay": (
        "SELECT COUNT(a) AS a, SUM(b) AS b, MIN(c) AS c FROM t",
        "SELECT COUNT(a) AS a, SUM(b) AS b, MIN(c) AS c FROM t",
    ),
    "three of many computed columns": (
        "SELECT MIN(a), MIN(b), MIN(c), MIN(d), MIN(e), MIN(f) FROM t",
        "SELECT /* 3 columns */, MIN(a), MIN(b), MIN(c) FROM t",
    ),
    "long computed columns count": (
        f"SELECT a, b, COALESCE({COLUMNS}) AS c, MAX(d) FROM t",
        "SELECT /* 3 columns */, MAX(d) FROM t",
    ),
    "union without parentheses": (
        f"SELECT {COLUMNS} FROM t UNION SELECT {COLUMNS} FROM u",
        "SELECT /* 15 columns */ FROM t UNION SELECT /* 15 columns */ FROM u",
    ),
    "union without tables": (
        "SELECT 1, 2, 3 UNION SELECT 4, 5, 6",
        "SELECT /* 3 columns */ UNION SELECT /* 3 columns */",
    ),
    "subselects in FROM": (
        f"SELECT COUNT(*) FROM (SELECT DISTINCT {COLUMNS} FROM t) subquery",
        "SELECT COUNT(*) FROM (SELECT DISTINCT /* 15 columns */ FROM t) subquery",
    ),
    "distinct on": (
        f'SELECT DISTINCT ON ("t"."a", "t"."b") {COLUMNS} FROM "t"',
        'SELECT DISTINCT ON ("t"."a", "t"."b") /* 15 columns */ FROM "t"',
    ),
    "within group": (
        "SELECT a, b, c, MODE() WITHIN GROUP (ORDER BY d, e, f) FROM t",
        "SELECT /* 3 columns */, MODE() WITHIN GROUP (ORDER BY d, e, f) FROM t",
    ),
    "a window": (
        "SELECT a, b, c, RANK() OVER (PARTITION BY d ORDER BY e, f) FROM t",
        "SELECT /* 3 columns */, RANK() OVER (PARTITION BY d ORDER BY e, f) FROM t",
    ),
    "rows": (
        """INSERT INTO "t" ("a", "b", "c") VALUES (1, ')', NULL), (2, 'y', (3)), (4, 'z', 5) RETURNING "t"."id", "t"."a" """,
        """INSERT INTO "t" ("a", "b", "c") VALUES (1, ')', NULL), /* 2 more rows */ RETURNING "t"."id", "t"."a\"""",
    ),
    "two rows": ("INSERT INTO t VALUES (1, 2, 3, 4), (5, 6, 7, 8)", "INSERT INTO t VALUES (1, 2, 3, 4), (5, 6, 7, 8)"),
    "rows of MySQL": (
        "INSERT INTO `t` (`a`) VALUES (1), (2), (3) ON DUPLICATE KEY UPDATE `a` = VALUES(`a`), `b` = VALUES(`b`), `c` = 1",
        "INSERT INTO `t` (`a`) VALUES (1), /* 2 more rows */ ON DUPLICATE KEY UPDATE `a` = VALUES(`a`), `b` = VALUES(`b`), `c` = 1",
    ),
    "in": (
        "SELECT a FROM t WHERE b IN (1, 2, 3, 4, 5, 6) AND c",
        "SELECT a FROM t WHERE b IN (1, 2, 3, /* 3 more */) AND c",
    ),
    "a short in": ("SELECT a FROM t WHERE b NOT IN (1, 2, 3, 4)", "SELECT a FROM t WHERE b NOT IN (1, 2, 3, 4)"),
    "in of tuples": (
        "DELETE FROM t WHERE (a, b) IN ((1, 2), (3, 4))",
        "DELETE FROM t WHERE (a, b) IN ((1, 2), (3, 4))",
    ),
    "in of a subselect": (
        "SELECT a FROM t WHERE b IN (SELECT c, d, e FROM u WHERE f IN (1, 2, 3, 4, 5))",
        "SELECT a FROM t WHERE b IN (SELECT /* 3 columns */ FROM u WHERE f IN (1, 2, 3, /* 2 more */))",
    ),
    "backslashes of MySQL": (
        r"SELECT `a`, `b`, `c` FROM `t` WHERE `a` = 'it\'s, (' AND `b` IN ('\'', '2', '3', '4', '5')",
        r"SELECT /* 3 columns */ FROM `t` WHERE `a` = 'it\'s, (' AND `b` IN ('\'', '2', '3', /* 2 more */)",
    ),
    "backslashes of PostgreSQL": (
        r"""SELECT "a", "b", "c" FROM "t" WHERE "a" = '\' AND "b" IN (E'\'', '2', '3', '4', '5')""",
        r"""SELECT /* 3 columns */ FROM "t" WHERE "a" = '\' AND "b" IN (E'\'', '2', '3', /* 2 more */)""",
    ),
    "dollar quotes": ("SELECT a, b, $x$ it's, FROM $x$ FROM t WHERE $1", "SELECT /* 3 columns */ FROM t WHERE $1"),
    "names like words": ('SELECT "a FROM b", "c,d", "select" FROM t', "SELECT /* 3 columns */ FROM t"),
    "an argument of a function": ("SELECT from_date, f.from_, to_from FROM t", "SELECT /* 3 columns */ FROM t"),
    "a comment to the end of the line": ("SELECT a -- it's a\n  , b\nFROM t", "SELECT a /* it's a */ , b FROM t"),
    "a comment within": ("/* a\n  b, */ SELECT a FROM t", "/* a b, */ SELECT a FROM t"),
    "two statements": (
        "SELECT a, b, c; SELECT d, e, f FROM t",
        "SELECT /* 3 columns */; SELECT /* 3 columns */ FROM t",
    ),
    "a literal without an end": ("SELECT a, b, c FROM t WHERE a = 'b", "SELECT /* 3 columns */ FROM t WHERE a = 'b"),
    "a parenthesis too many": ("SELECT a, b, c FROM t) x", "SELECT /* 3 columns */ FROM t) x"),
    "nothing": ("", ""),
}


@pytest.mark.parametrize("case", CASES)
def test_lists_give_way_to_their_number(case):
    sql, expected = CASES[case]
    assert shorten(sql) == expected


def test_long_literals_are_cut():
    assert shorten(f"UPDATE t SET a = '{'x' * 500}', b = 1") == (
        f"UPDATE t SET a = '{'x' * 198}… 302 more characters', b = 1"
    )


@pytest.mark.parametrize("character", ["\n", "\r", "\x1b[2J", "\u2028", "\x00", "\u202e", "\x85"])
def test_data_cannot_forge_a_line(character):
    short = shorten(f"SELECT a FROM t WHERE a = 'b{character}c' AND d IN ('{character}')")
    assert short.isprintable()
    assert short.splitlines() == [short]
    assert escape(character) in short


def test_it_is_shortened_no_further_when_it_is_short():
    for sql, _ in [*READABLE_LOG.values(), *CASES.values()]:
        once = shorten(sql)
        if "more" not in once:
            assert shorten(once) == once


class Statements:
    """Statements at random, each with what is to be read of it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def literal(self) -> str:
        words = [
            "FROM",
            "SELECT",
            "(",
            ")",
            ",",
            "''",
            "it",
            "VALUES",
            "--",
            "/*",
            '"',
            "$$",
            "IN (1, 2, 3, 4, 5)",
            "%s",
        ]
        return "'" + " ".join(self.random.choices(words, k=self.random.randint(0, 5))) + "'"

    def name(self) -> str:
        return self.random.choice(['"a"', '"from"', '"t"."b"', '"a FROM b, c"', '"("', "x", '"it\'s"'])

    def value(self, depth: int = 2) -> str:
        choices = [self.name, self.literal, lambda: str(self.random.randint(0, 99)), lambda: "%s"]
        if depth:
            choices += [
                lambda: f"COALESCE({self.value(depth - 1)}, {self.value(depth - 1)}, NULL)",
                lambda: f"EXTRACT(YEAR FROM {self.value(depth - 1)})",
                lambda: f"{self.value(depth - 1)} IS DISTINCT FROM {self.value(depth - 1)}",
                lambda: f"CASE WHEN {self.value(depth - 1)} = 1 THEN 2 ELSE {self.value(depth - 1)} END",
            ]
        return self.random.choice(choices)()

    def rest(self) -> str:
        """Return what comes after the columns, with no list that would be shortened."""
        where = " AND ".join(f"{self.value()} = {self.value()}" for _ in range(self.random.randint(1, 3)))
        order = self.random.choice(["", " GROUP BY a, b, c, d", " ORDER BY a, b, c, d LIMIT 3"])
        return f'FROM "t" INNER JOIN "u" ON ("t"."a" = "u"."a") WHERE {where}{order}'


@pytest.mark.parametrize("seed", range(300))
def test_nothing_outside_the_columns_changes(seed):
    """Whatever the columns are, and whatever comes after them, just the list of columns is another."""
    make = Statements(seed)
    columns = [make.value() for _ in range(make.random.randint(1, 8))]
    rest, distinct = make.rest(), make.random.choice(["", "DISTINCT "])
    short = shorten(f"SELECT {distinct}{', '.join(columns)} {rest}")
    assert short.startswith(f"SELECT {distinct}")
    assert short.endswith(f" {rest}")
    shown = short[len(f"SELECT {distinct}") : -len(f" {rest}")]
    match = re.fullmatch(r"/\* (\d+) columns \*/(?:, (.+))?", shown)
    if match is None:
        assert shown == ", ".join(columns)
        return
    assert len(columns) > 2
    kept = in_their_order(match[2] or "", columns)
    assert int(match[1]) + len(kept) == len(columns)


def in_their_order(text: str, columns: list[str]) -> list[str]:
    """Return which of the columns, whole and in their order, the text consists of."""
    kept = []
    for column in columns:
        if text == column or text.startswith(f"{column}, "):
            text = text[len(column) + 2 :]
            kept.append(column)
    assert not text
    return kept


def test_it_is_quick():
    """The usual query of a log costs some 20 µs, and length costs in proportion: neither quadratically nor worse."""

    def seconds(sql: str) -> float:
        times = []
        for _ in range(5):
            began = time.process_time()
            shorten(sql)
            times.append(time.process_time() - began)
        return min(times)

    for part in [
        "1, ",
        "'x', ",
        "(1), ",
        "$a$ ",
        "/* ",
        "-- x\n",
        '" ',
        "' ",
        "((",
        "SELECT a, ",
        "E'\\'",
        "VALUES (1) ",
    ]:
        short, long = (seconds("SELECT a FROM t WHERE b IN (" + part * length) for length in (2_000, 20_000))
        assert long < max(short, 0.0005) * 40, part
