"""Groups of queries and their text; tests/queries/shelf has them for queries that ran."""

import pytest

from testkit.queries.groups import Group, describe, duplicates_of, groups_of
from testkit.queries.hints import hint_of
from testkit.queries.recorder import Query

BOOKS = 'SELECT "book"."id", "book"."title" FROM "book"'
AUTHOR = 'SELECT "author"."name" FROM "author" WHERE "author"."id" = %s'


def query(sql, line=1, *, seconds=0.001, alias="default", function="view"):
    return Query(sql, (), alias, "sqlite", seconds, "/views.py", line, function)


def test_the_most_repeated_come_first():
    """Among equals it is the order in which they ran."""
    queries = [query(sql) for sql in ("SELECT a FROM t", "SELECT b FROM t", "SELECT c FROM t", "SELECT b FROM t")]
    assert [(group.fingerprint, group.count) for group in groups_of(iter(queries))] == [
        ("SELECT b FROM t", 2),
        ("SELECT a FROM t", 1),
        ("SELECT c FROM t", 1),
    ]


def test_a_group_knows_its_queries():
    queries = [query(f"SELECT a FROM t WHERE id = {n}", line) for n, line in enumerate((7, 8, 8))]
    [group] = groups_of(queries)
    assert group == Group("SELECT a FROM t WHERE id = %s", tuple(queries))
    assert group.count == 3
    assert group.seconds == pytest.approx(0.003)
    assert group.origins == [("/views.py:8 in view", 2), ("/views.py:7 in view", 1)]


def test_duplicates_are_of_one_line():
    lines = [1, 2, 3, 4, 4, 4]
    [group] = duplicates_of([query(AUTHOR, line) for line in lines])
    assert (group.fingerprint, group.count, {q.line for q in group.queries}) == (AUTHOR, 3, {4})


@pytest.mark.parametrize(
    ("sql", "is_read"),
    [
        ("SELECT 1", True),
        ("select 1", True),
        ("(SELECT 1) UNION (SELECT 2)", True),
        ("WITH a AS (SELECT 1) SELECT * FROM a", True),
        ("WITH a AS (DELETE FROM b RETURNING id) SELECT * FROM a", False),
        ("INSERT INTO a (b) VALUES (%s)", False),
        ("UPDATE a SET b = %s", False),
        ("DELETE FROM a WHERE b = %s", False),
    ],
)
def test_writes_are_duplicates_only_if_asked_for(sql, is_read):
    queries = [query(sql)] * 3
    assert len(duplicates_of(queries)) == is_read
    assert len(duplicates_of(queries, writes=True)) == 1


def test_the_text_is_aligned():
    queries = [query(BOOKS, 3, seconds=0.0123)] + [query(AUTHOR, 5, seconds=0.0005, function="name")] * 10
    assert describe(queries) == (
        '  10 × SELECT "author"."name" FROM "author" WHERE "author"."id" = %s   5.0 ms\n'
        "       10 × /views.py:5 in name\n"
        '   1 × SELECT "book"."id", "book"."title" FROM "book"                 12.3 ms\n'
        "       /views.py:3 in view"
    )


def test_the_text_of_nothing():
    assert describe([]) == "  no queries"


def test_aliases_are_named_if_there_are_several():
    one, other = query(BOOKS), query(BOOKS, alias="other")
    assert "[" not in describe([one, one])
    assert "[" not in describe([other])
    assert "  2 × SELECT a FROM t [default]" in describe([query("SELECT a FROM t")] * 2 + [other])
    assert '"book" [default 2, other 1]  ' in describe([one, one, other])


def test_long_sql_is_cut_in_the_middle():
    """What is read and which rows remain, with whole names; lines are not endless."""
    joins = " ".join(f'INNER JOIN "table_{n}" ON ("book"."id" = "table_{n}"."book_id")' for n in range(9))
    line = describe([query(f'{BOOKS} {joins} WHERE "book"."title" = %s')]).splitlines()[0]
    assert line.startswith(f"  1 × {BOOKS} INNER JOIN … ")
    assert line.endswith('"table_8"."book_id") WHERE "book"."title" = %s  1.0 ms')
    assert len(line) < 140
    endless = describe([query(f'SELECT "{"x" * 500}"')]).splitlines()[0]
    assert endless.startswith('  1 × SELECT "xxx')
    assert 100 < len(endless) < 140


def test_many_groups_are_not_all_shown():
    queries = [query(f"SELECT a{n} FROM t") for n in range(25)] + [query("SELECT b FROM t")] * 2
    lines = describe(queries).splitlines()
    assert len(lines) == 2 * 20 + 1
    assert lines[0].startswith("  2 × SELECT b FROM t")
    assert lines[-1] == "  and 6 more, of 6 queries"


def test_many_origins_are_not_all_shown():
    lines = describe([query(BOOKS, n) for n in range(9)]).splitlines()
    assert len(lines) == 1 + 5 + 1
    assert lines[-1] == "      and 4 more lines of code"


def test_hints_need_no_django_that_is_set_up():
    """Without models nothing can be told, and the text remains."""
    queries = [query(BOOKS), *[query(AUTHOR)] * 5]
    assert hint_of(groups_of(queries)[0], queries) == ""
    assert "N+1" not in describe(queries)
