"""Fingerprints and tables of SQL, as text; tests/queries/shelf has them for what Django writes on each database."""

import time

import pytest

from testkit.queries.fingerprint import fingerprint, tables_of

SAME = {
    "IN lists": ("SELECT a FROM t WHERE id IN (%s)", "SELECT a FROM t WHERE id IN (%s, %s, %s)"),
    "IN lists of numbers and strings": (
        "SELECT a FROM t WHERE id in (1,2)",
        "SELECT a FROM t WHERE id in ('a', NULL, -1)",
    ),
    "IN lists of named parameters": (
        "SELECT a FROM t WHERE id IN (%(a)s)",
        "SELECT a FROM t WHERE id IN (%(a)s, %(b)s)",
    ),
    "IN lists with casts": (
        "SELECT a FROM t WHERE id IN (%s::uuid)",
        "SELECT a FROM t WHERE id IN (%s::uuid, %s::uuid)",
    ),
    "IN lists of tuples": (
        "SELECT a FROM t WHERE (b, c) IN ((%s, %s))",
        "SELECT a FROM t WHERE (b, c) IN ((%s, %s), (%s, %s))",
    ),
    "lists of tuples with one column": (
        "SELECT a FROM t WHERE (b) IN ((%s))",
        "SELECT a FROM t WHERE (b) IN ((%s), (%s))",
    ),
    "lists that are written with OR": (
        'SELECT a FROM t WHERE ("t"."id" = %s OR "t"."id" = %s)',
        'SELECT a FROM t WHERE ("t"."id" = %s OR "t"."id" = %s OR "t"."id" = %s)',
    ),
    "lists of rows that are written with OR": (
        "SELECT a FROM t WHERE ((b = %s AND c = 1) OR (b = %s AND c = 2))",
        "SELECT a FROM t WHERE ((b = %s AND c = 3) OR (b = %s AND c = 4) OR (b = %s AND c = 5))",
    ),
    "rows": ("INSERT INTO t (a, b) VALUES (%s, %s)", "INSERT INTO t (a, b) VALUES (%s, NULL), (DEFAULT, 'x (')"),
    "rows with functions": (
        "INSERT INTO t (a) VALUES (f(g(%s), 1)) ON CONFLICT DO NOTHING",
        "INSERT INTO t (a) VALUES (f(g(%s), 1)), (f(g(%s), 2)) ON CONFLICT DO NOTHING",
    ),
    "rows in FROM": (
        "UPDATE t SET a = v.a FROM (VALUES (%s, %s)) AS v(id, a) WHERE t.id = v.id",
        "UPDATE t SET a = v.a FROM (VALUES (%s, %s), (%s, %s)) AS v(id, a) WHERE t.id = v.id",
    ),
    "rows as columns of PostgreSQL": (
        'INSERT INTO "t" ("a") VALUES (%s) RETURNING "t"."id"',
        'INSERT INTO "t" ("a") SELECT * FROM UNNEST((%s)::bigint[]) RETURNING "t"."id"',
    ),
    "pages": ("SELECT a FROM t LIMIT 20", "SELECT a FROM t LIMIT 20 OFFSET 40"),
    "pages of MySQL": ("SELECT a FROM t LIMIT 20", "SELECT a FROM t LIMIT 40, 20"),
    "pages of Oracle": (
        "SELECT a FROM t FETCH FIRST 20 ROWS ONLY",
        "SELECT a FROM t OFFSET 20 ROWS FETCH NEXT 20 ROWS ONLY",
    ),
    "savepoints": ('RELEASE SAVEPOINT "s1_x2"', 'RELEASE SAVEPOINT "s77_x13"'),
    "savepoints in backticks": ("ROLLBACK TO SAVEPOINT `s1_x2`", "ROLLBACK TO SAVEPOINT `s77_x13`"),
    "cursors": (
        'DECLARE "_django_curs_139_sync_1" NO SCROLL CURSOR FOR SELECT a FROM t',
        'DECLARE "_django_curs_7_sync_22" NO SCROLL CURSOR FOR SELECT a FROM t',
    ),
    "WHEN chains of an UPDATE": (
        "UPDATE t SET x = CASE WHEN (t.id = %s) THEN %s ELSE NULL END WHERE t.id IN (%s)",
        "UPDATE t SET x = CASE WHEN (t.id = %s) THEN NULL WHEN (t.id = %s) THEN %s ELSE NULL END WHERE t.id IN (%s, %s)",
    ),
    "NULL that is set": ("UPDATE t SET a = %s, b = NULL WHERE c = %s", "UPDATE t SET a = NULL, b = %s WHERE c = %s"),
    "numbers and strings that are compared with": ("SELECT a FROM t WHERE id = 7", "SELECT a FROM t WHERE id = 'x'"),
    "what is compared with, written or sent": ("SELECT a FROM t WHERE b<=-1.5", "SELECT a FROM t WHERE b<=%s"),
    "ranges": ("SELECT a FROM t WHERE id BETWEEN 1 AND 100", "SELECT a FROM t WHERE id BETWEEN 101 AND 200"),
    "patterns": ("SELECT a FROM t WHERE b LIKE '%%x%%'", "SELECT a FROM t WHERE b LIKE %s"),
    "comments": ("SELECT a FROM t", "SELECT a -- the name\nFROM t /* traceparent='00-4bf9' */"),
    "white space": ("SELECT a FROM t", "\n  SELECT a\n    FROM t\n"),
}

DIFFERENT = {
    "literals that are selected": ("SELECT 1 AS a FROM t", "SELECT 2 AS a FROM t"),
    "positions": ("SELECT a, b FROM t ORDER BY 1", "SELECT a, b FROM t ORDER BY 2"),
    "fields of JSON": ("SELECT a FROM t WHERE b ->> 'x' = %s", "SELECT a FROM t WHERE b ->> 'y' = %s"),
    "what JSON contains": ("SELECT a FROM t WHERE b @> 'x'", "SELECT a FROM t WHERE b @> 'y'"),
    "intervals": ("SELECT now() - INTERVAL '1 day'", "SELECT now() - INTERVAL '2 days'"),
    "casts": ("SELECT a::numeric(10, 2) FROM t", "SELECT a::numeric(10, 3) FROM t"),
    "IN and NOT IN": ("SELECT a FROM t WHERE b IN (%s)", "SELECT a FROM t WHERE b NOT IN (%s)"),
    "a list and a subselect": ("SELECT a FROM t WHERE b IN (%s)", "SELECT a FROM t WHERE b IN (SELECT c FROM u)"),
    "IS NULL and =": ("SELECT a FROM t WHERE b IS NULL", "SELECT a FROM t WHERE b = %s"),
    "IS NULL and = in an UPDATE": ("UPDATE t SET a = %s WHERE b IS NULL", "UPDATE t SET a = %s WHERE b = %s"),
    "OR of other columns": ("SELECT a FROM t WHERE b = %s OR c = %s", "SELECT a FROM t WHERE b = %s OR d = %s"),
    "one and several alternatives": ("SELECT a FROM t WHERE b = %s", "SELECT a FROM t WHERE b = %s OR b = %s"),
    "OR before AND": (
        "SELECT a FROM t WHERE b = %s OR b = %s AND c = %s",
        "SELECT a FROM t WHERE b IN (%s) AND c = %s",
    ),
    "OR after AND": (
        "SELECT a FROM t WHERE c = %s AND b = %s OR b = %s",
        "SELECT a FROM t WHERE c = %s AND b IN (%s)",
    ),
    "branches of a SELECT": (
        "SELECT CASE WHEN a = %s THEN %s ELSE 0 END FROM t",
        "SELECT CASE WHEN a = %s THEN %s WHEN a = %s THEN %s ELSE 0 END FROM t",
    ),
    "conditions of branches": (
        "UPDATE t SET x = CASE WHEN a = %s THEN %s WHEN a = %s THEN %s END",
        "UPDATE t SET x = CASE WHEN a = %s THEN %s WHEN b = %s THEN %s END",
    ),
    "what is updated on conflict": (
        "INSERT INTO t (a) VALUES (%s) ON DUPLICATE KEY UPDATE `a` = VALUES(`a`)",
        "INSERT INTO t (a) VALUES (%s) ON DUPLICATE KEY UPDATE `a` = VALUES(`b`)",
    ),
    "columns that are inserted": ("INSERT INTO t (a) VALUES (%s)", "INSERT INTO t (b) VALUES (%s)"),
    "names in quotes": ('SELECT "a b" FROM t', 'SELECT "a  b" FROM t'),
    "names that a rule would merge": ('SELECT "x LIMIT 1" FROM t', 'SELECT "x LIMIT 2" FROM t'),
    "limit and offset": ("SELECT a FROM t LIMIT 5", "SELECT a FROM t OFFSET 5"),
    "the kind of hint": ("SELECT /*+ INDEX(a) */ a FROM t", "SELECT /*+ INDEX(b) */ a FROM t"),
}


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME)
def test_two_runs_of_a_query_have_one_fingerprint(one, other):
    assert fingerprint(one) == fingerprint(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT.values(), ids=DIFFERENT)
def test_two_queries_have_two_fingerprints(one, other):
    assert fingerprint(one) != fingerprint(other)


@pytest.mark.parametrize(
    "kept",
    [
        "'O''Hara FROM (SELECT 1, 2) -- IN (3)'",
        "'x = 5 LIMIT 3 OFFSET 4 /* IN (1, 2) */'",
        "E'it\\'s IN (1, 2)'",
        "'it\\'s IN (1, 2)'",
        "'C:\\' || ' IN (1, 2)'",
        "$$IN (1, 2) = 5$$",
        "$tag$ IN (1, 2) $$ $tag$",
        '"IN (1, 2)"',
        '"a""b LIMIT 5"',
        "`a LIMIT 5 ``b``  c`",
        '"VALUES (1), (2)"',
        "' two  spaces '",
    ],
)
def test_literals_and_quoted_names_are_kept(kept):
    """No rule works within quotes, whatever they hold; what follows them is merged as ever."""
    before, after = "SELECT a, ", " FROM t WHERE b IN (%s, %s) LIMIT 5"
    assert fingerprint(before + kept + after) == f"{before}{kept} FROM t WHERE b IN (…) LIMIT …"


@pytest.mark.parametrize(
    "text", ["", ";", "'", '"', "(", ")", "VALUES", "IN (", "\\", "$$", "/*", "SELECT \0 '\00'", "%"]
)
def test_what_is_no_sql_does_no_harm(text):
    assert isinstance(fingerprint(text), str)
    assert tables_of(text) == ()


def test_the_fingerprint_of_a_fingerprint_is_itself():
    """So it may be compared with a recorded one."""
    for one, other in SAME.values():
        assert fingerprint(fingerprint(one)) == fingerprint(one)
        assert fingerprint(fingerprint(other)) == fingerprint(one)


@pytest.mark.parametrize(
    "sql",
    [
        f"INSERT INTO t (a, b) VALUES {', '.join(['(%s, f(%s))'] * 20_000)}",
        f"INSERT INTO t (a, b) VALUES {', '.join(['(%s, f((%s)'] * 20_000)}",
        f"SELECT a FROM t WHERE b IN ({', '.join(['%s'] * 20_000)})",
        f"SELECT a FROM t WHERE b IN ({', '.join(['%s'] * 20_000)}, c)",
        f"UPDATE t SET a = CASE {'WHEN (t.id = %s) THEN %s ' * 20_000} ELSE NULL END",
        f"UPDATE t SET a = CASE {' '.join(f'WHEN (t.id = %s) THEN a + {n} ' for n in range(5_000))} ELSE NULL END",
        "SELECT " + "'" * 20_001,
        "SELECT " + "(" * 20_000,
    ],
    ids=lambda sql: sql[:24] + sql[-12:],
)
def test_long_statements_take_no_more_than_their_length(sql):
    """Nothing is tried again and again: half a megabyte is done within a second."""
    started = time.process_time()
    fingerprint(sql)
    tables_of(sql)
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ('SELECT "a"."x" FROM "a" WHERE "a"."x" = %s', "a"),
        ("SELECT `a`.`x` FROM `a`", "a"),
        ("select x from a", "a"),
        ('SELECT x FROM "s"."a", s2.b', "s.a s2.b"),
        (
            'SELECT x FROM "a" INNER JOIN "b" ON ("a"."id" = "b"."a_id") LEFT OUTER JOIN "c" T4 ON (T4."id" = 1)',
            "a b c",
        ),
        ("SELECT x FROM a AS one, b two, a three WHERE one.x = two.x", "a b"),
        ("SELECT x FROM a JOIN b ON a.x = b.x, c", "a b c"),
        ("SELECT x FROM (a JOIN b USING (id)) JOIN c USING (id)", "a b c"),
        ("SELECT (SELECT COUNT(*) FROM b U0 WHERE U0.x = a.x) AS n, y FROM a", "b a"),
        ('SELECT COUNT(*) FROM (SELECT DISTINCT x, y FROM "a") subquery, b', "a b"),
        ("SELECT EXTRACT(YEAR FROM d), TRIM(BOTH 'x' FROM e) FROM a", "a"),
        ("SELECT x FROM a WHERE y IS DISTINCT FROM z AND w IS NOT DISTINCT FROM %s", "a"),
        ("SELECT 'x FROM b' FROM a -- FROM c", "a"),
        ("SELECT x FROM generate_series(1, 3) n, a, LATERAL f(a.x)", "a"),
        (
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n, b), m AS (SELECT x FROM c) SELECT i FROM n, m, a",
            "b c a",
        ),
        ("SELECT x FROM a UNION SELECT x FROM b ORDER BY x, y", "a b"),
        ("SELECT x FROM a GROUP BY x, y ORDER BY x, z LIMIT 5", "a"),
        ("SELECT x FROM a FOR UPDATE OF b, c", "a"),
        ("SELECT x::timestamp WITH TIME ZONE, y FROM y", "y"),
        ("SELECT REPLACE(x, %s, %s), y FROM a WHERE x LIKE %(FROM)s", "a"),
        ("INSERT INTO a (x, y) VALUES (%s, %s), (%s, %s) ON CONFLICT (x) DO UPDATE SET x = EXCLUDED.x, z = 1", "a"),
        ('UPDATE "a" SET "x" = "v"."x" FROM (VALUES (%s, %s)) AS "v"("id", "x"), "b" WHERE "a"."id" = "v"."id"', "a b"),
        ('WITH "n"("i") AS (SELECT 1), "m" AS (SELECT x FROM "c") SELECT "f"(1), x FROM "n", "m", "a"', "c a"),
        ("INSERT IGNORE INTO a(x) VALUES (1)", "a"),
        ("INSERT INTO a (x) SELECT y FROM b ON DUPLICATE KEY UPDATE x = VALUES(x), z = 1", "a b"),
        ('INSERT INTO "a" ("x") SELECT * FROM UNNEST((%s)::bigint[]) RETURNING "a"."id"', "a"),
        ("REPLACE INTO a (x) VALUES (1)", "a"),
        ('UPDATE "a" SET "x" = %s, "y" = (SELECT z FROM b) WHERE "a"."id" IN (%s, %s)', "a b"),
        ("UPDATE a SET x = v.x FROM (VALUES (%s, %s)) AS v(id, x), b WHERE a.id = v.id", "a b"),
        ("UPDATE a JOIN b ON a.x = b.x SET a.y = 1, a.z = 2", "a b"),
        ('DELETE FROM "a" WHERE "a"."id" IN (SELECT x FROM b)', "a b"),
        ("DELETE FROM a USING b, c WHERE a.x = b.x", "a b c"),
        (
            "MERGE INTO a USING b ON a.x = b.x WHEN MATCHED THEN UPDATE SET y = 1 WHEN NOT MATCHED THEN INSERT (x) VALUES (1)",
            "a b",
        ),
        ('TRUNCATE "a", "b"', "a b"),
        ("CREATE TABLE IF NOT EXISTS a (x integer REFERENCES b (id) ON DELETE CASCADE)", "a"),
        ("CREATE INDEX i ON a (x)", "a"),
        ("ALTER TABLE a ADD COLUMN x integer", "a"),
        ("COPY a (x, y) FROM STDIN", "a"),
        ('DECLARE "_django_curs_1_sync_1" NO SCROLL CURSOR WITH HOLD FOR SELECT x FROM a', "a"),
        ("FETCH FORWARD 100 FROM c", ""),
        ("EXPLAIN SELECT x FROM a", "a"),
        ("SELECT x FROM a; DELETE FROM b", "a b"),
        ('SAVEPOINT "s1"', ""),
        ("SELECT 1", ""),
    ],
)
def test_the_tables_of_a_statement(sql, tables):
    """Names without quotes, each once and in order; no alias, no function, nothing that the statement itself defines."""
    assert tables_of(sql) == tuple(tables.split())


def test_names_of_tables_may_be_odd():
    assert tables_of('SELECT x FROM "my ""table"" (old)", `a b`') == ('my "table" (old)', "a b")
