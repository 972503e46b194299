"""What indexes can serve passes and what reads a table whole fails, however few rows there are."""

import pickle
from contextlib import contextmanager

from django.db import DatabaseError, connection
from django.db.models import Count, Exists, Index, Min, OuterRef, Q
from django.test import TestCase, TransactionTestCase, skipUnlessDBFeature

from shelf.models import Author, Book, Review, Tag
from testkit.queries.explain import assert_uses_index
from testkit.queries.recorder import Query, Recording

books = Book.objects
SERVED = {
    "primary key": lambda: books.filter(pk=1),
    "primary key that no row has": lambda: books.filter(pk=10**9),
    "several primary keys": lambda: books.filter(pk__in=range(20)),
    "foreign key": lambda: books.filter(author=1),
    "indexed column": lambda: books.filter(status="in"),
    "range of an indexed column": lambda: books.filter(status__gt="in"),
    "one of two indexes": lambda: books.filter(Q(status="in") | Q(pk=3)),
    "indexed and other column": lambda: books.filter(status="in", note="x"),
    "count": lambda: lambda: books.filter(status="in").count(),
    "exists": lambda: lambda: books.filter(status="in").exists(),
    "first": lambda: lambda: books.filter(status="in").first(),
    "aggregate of filtered rows": lambda: (
        lambda: books.filter(author=1).aggregate(n=Count("id", filter=Q(status="in")))
    ),
    "smallest": lambda: lambda: books.aggregate(Min("id")),
    "count of groups": lambda: (
        lambda: books.filter(status="in").annotate(n=Count("tags")).filter(n__gt=0).values("pk").count()
    ),
    "join from the one side": lambda: books.filter(author__pk=1),
    "join from the many side": lambda: Review.objects.filter(book__status="in"),
    "join to load": lambda: books.filter(status="in").select_related("author"),
    "many-to-many": lambda: books.filter(tags__name="x"),
    "IN subquery": lambda: books.filter(author__in=Author.objects.filter(pk__gt=1)),
    "EXISTS subquery": lambda: Author.objects.filter(
        Exists(books.filter(author=OuterRef("pk"), status="in")), pk__lt=5
    ),
    "UNION": lambda: books.filter(pk=1).union(books.filter(status="in")),
    "first rows by primary key": lambda: books.order_by("id")[:10],
    "last rows by primary key": lambda: books.order_by("-id")[:10],
    "first rows by an indexed column": lambda: books.order_by("status")[:10],
    "first rows with what belongs to them": lambda: Review.objects.select_related("book").order_by("id")[:10],
    "condition and another order": lambda: books.filter(status__gt="in").order_by("id")[:3],
    "several values and another order": lambda: books.filter(status__in=["in", "out"]).order_by("id"),
    "join and another order": lambda: Review.objects.filter(book__status__gt="in").order_by("id")[:3],
    "condition and groups": lambda: books.filter(status__gt="in").values("author").annotate(n=Count("id")),
}
NOTE, TEXT, MOVE = "Add an index on shelf_book.note", "What looks into a text", "put it into .filter()"
NONE = "It has no condition"
SCANNED = {
    "unindexed column": (lambda: books.filter(note="x"), "shelf_book", NOTE),
    "part of an unindexed column": (lambda: books.filter(note__icontains="x"), "shelf_book", TEXT),
    "part of an indexed column": (lambda: books.filter(status__icontains="i"), "shelf_book", TEXT),
    "one of two columns": (lambda: books.filter(Q(status="in") | Q(note="x")), "shelf_book", NOTE),
    "first rows of some": (lambda: books.filter(note="x").order_by("id")[:3], "shelf_book", NOTE),
    "first rows by an unindexed column": (lambda: books.order_by("note")[:3], "shelf_book", NOTE),
    "exists": (lambda: lambda: books.filter(note="x").exists(), "shelf_book", NOTE),
    "all": (lambda: books.all(), "shelf_book", NONE),
    "all in order": (lambda: books.order_by("id"), "shelf_book", NONE),
    "count of all": (lambda: books.count, "shelf_book", NONE),
    "condition of an aggregate": (
        lambda: lambda: books.aggregate(n=Count("id", filter=Q(status="in"))),
        "shelf_book",
        MOVE,
    ),
    "condition of an aggregate of groups": (
        lambda: Author.objects.annotate(n=Count("books", filter=Q(books__status="in"))),
        "shelf_author",
        MOVE,
    ),
    "join": (lambda: books.filter(author__name="x"), "", "Add an index on shelf_author.name"),
    "join for the first rows": (
        lambda: books.filter(author__name="x").order_by("id")[:3],
        "",
        "Add an index on shelf_author.name",
    ),
    "join of everything": (lambda: Review.objects.select_related("book"), "", NONE),
    "IN subquery": (
        lambda: books.filter(author__in=Author.objects.filter(name="x")),
        "",
        "Add an index on shelf_author.name",
    ),
}


def fill(number=6):
    authors = Author.objects.bulk_create(Author(name=f"author {i}") for i in range(3))
    tag = Tag.objects.create(name="x")
    made = books.bulk_create(
        Book(title=f"book {i}", status="in" if i % 3 else "out", note=f"note {i}", author=authors[i % 3])
        for i in range(number)
    )
    Review.objects.bulk_create(Review(book=book, text="good") for book in books.all())
    books.first().tags.add(tag)
    return made


def analyze():
    """Let the planner know how few rows there are."""
    with connection.cursor() as cursor:
        if connection.vendor == "mysql":
            cursor.execute("ANALYZE TABLE shelf_book, shelf_author, shelf_review, shelf_tag, shelf_book_tags")
        else:
            cursor.execute("ANALYZE")


def session():
    """Return the settings of the session and the statistics, as far as they bear on plans."""
    queries = {
        "postgresql": "SELECT name, setting FROM pg_settings WHERE name LIKE 'enable%%' OR name LIKE 'max_parallel%%'",
        "mysql": "SHOW SESSION VARIABLES WHERE Variable_name LIKE '%optimizer%' OR Variable_name LIKE '%max_%'",
        "sqlite": "SELECT * FROM sqlite_stat1",
    }
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT count(*) FROM sqlite_master WHERE name = 'sqlite_stat1'")
            if cursor.fetchone() == (0,):
                return []
        cursor.execute(queries[connection.vendor].replace("%%", "%"))
        return sorted(cursor.fetchall(), key=repr)


def plan_of_planner():
    """Return what the planner chooses by itself where a scan and an index compete."""
    return books.filter(status__in=["in", "out"]).order_by("id").explain()


def name_of_index(model, column):
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, model._meta.db_table)
    return min(name for name, facts in constraints.items() if facts["index"] and facts["columns"] == [column])


class Cases:
    """The same cases whatever is in the tables."""

    def test_what_indexes_can_serve_passes(self):
        for label, make in SERVED.items():
            with self.subTest(label):
                assert_uses_index(make())

    def test_what_reads_a_table_whole_fails_with_the_remedy(self):
        for label, (make, table, remedy) in SCANNED.items():
            with self.subTest(label):
                with self.assertRaises(AssertionError) as caught:
                    assert_uses_index(make())
                self.assertRegex(str(caught.exception), f"^No index serves this query: all of .*{table}.* is read.\n")
                self.assertIn(remedy, str(caught.exception))


class EmptyTablesTests(Cases, TestCase):
    pass


class FewRowsTests(Cases, TestCase):
    @classmethod
    def setUpTestData(cls):
        fill()


class AnalyzedFewRowsTests(Cases, TransactionTestCase):
    """Outside of a transaction, and with statistics."""

    rows = 6

    def setUp(self):
        fill(self.rows)
        analyze()
        if connection.vendor == "sqlite":
            self.addCleanup(self.drop_statistics)

    def drop_statistics(self):
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE sqlite_stat1")
            cursor.execute("ANALYZE sqlite_master")

    def test_statistics_settings_and_plans_are_as_before(self):
        """Also after a failure and an error, and no transaction is left open."""
        before = session(), plan_of_planner(), Author.objects.count()
        assert_uses_index(books.filter(author__in=Author.objects.filter(pk__gt=1)))
        with self.assertRaises(AssertionError):
            assert_uses_index(books.filter(note="x"))
        with self.assertRaises(DatabaseError):
            assert_uses_index(Query("SELECT nothing FROM nowhere", None, "default", connection.vendor, 0.0))
        self.assertEqual((session(), plan_of_planner(), Author.objects.count()), before)
        self.assertTrue(connection.get_autocommit())
        self.assertFalse(connection.in_atomic_block)


class AnalyzedManyRowsTests(AnalyzedFewRowsTests):
    rows = 900


class SessionTests(TestCase):
    def test_settings_are_as_before_within_a_transaction(self):
        """Also after a failure and an error, and the transaction goes on."""
        fill()
        before = session(), plan_of_planner()
        assert_uses_index(books.filter(status__in=["in", "out"]).order_by("id"))
        with self.assertRaises(AssertionError):
            assert_uses_index(books.filter(note="x"))
        with self.assertRaises(DatabaseError):
            assert_uses_index(Query("SELECT nothing FROM nowhere", None, "default", connection.vendor, 0.0))
        self.assertEqual((session(), plan_of_planner()), before)
        self.assertEqual(books.count(), 6)


class IndexNameTests(TransactionTestCase):
    @contextmanager
    def index(self, **options):
        index = Index(name="shelf_test_index", **options)
        with connection.schema_editor() as editor:
            editor.add_index(Book, index)
        try:
            yield index.name
        finally:
            with connection.schema_editor() as editor:
                editor.remove_index(Book, index)

    def test_the_named_index_has_to_be_used(self):
        fill()
        author = name_of_index(Book, "author_id")
        assert_uses_index(books.filter(author=1), index=author)
        assert_uses_index(lambda: list(books.filter(status="in").prefetch_related("author__books")), index=author)
        with self.assertRaises(AssertionError) as caught:
            assert_uses_index(books.filter(author=1), index="no_such_index")
        self.assertIn("The index no_such_index is not used.\nUsed: ", str(caught.exception))
        self.assertIn(author, str(caught.exception))

    def test_the_named_index_may_give_the_order(self):
        with self.index(fields=["pages"]) as name:
            assert_uses_index(books.order_by("pages")[:10], index=name)
        with self.assertRaisesMessage(AssertionError, "Add an index on shelf_book.pages"):
            assert_uses_index(books.order_by("pages")[:10])

    def test_an_index_of_two_columns_serves_conditions_on_the_first(self):
        fill()
        with self.index(fields=["pages", "note"]) as name:
            assert_uses_index(books.filter(pages=1), index=name)
            assert_uses_index(books.filter(pages=1, note="x"), index=name)
            with self.assertRaises(AssertionError) as caught:
                assert_uses_index(books.filter(note="x"))
            self.assertIn(NOTE, str(caught.exception))

    def test_the_named_index_is_found_among_several_that_fit(self):
        if connection.vendor == "postgresql":
            self.skipTest("PostgreSQL has no hints: its planner chooses.")
        with self.index(fields=["status", "pages"]) as name:
            assert_uses_index(books.filter(status="in"), index=name)
            assert_uses_index(books.filter(status="in"), index=name_of_index(Book, "status"))

    def test_a_partial_index_serves_its_own_condition(self):
        if connection.vendor != "postgresql":
            self.skipTest("SQLite does not see that a parameter fits; MariaDB has no partial indexes.")
        fill()
        with self.index(fields=["pages"], condition=Q(note="x")) as name:
            assert_uses_index(books.filter(note="x"), index=name)
            with self.assertRaises(AssertionError):
                assert_uses_index(books.filter(note="y"))


class SubjectTests(TestCase):
    databases = {"default", "other"}

    @classmethod
    def setUpTestData(cls):
        fill()

    def query(self, sql, params=None):
        return Query(sql, params, "default", connection.vendor, 0.0)

    def test_a_recorded_query_is_explained_with_its_parameters(self):
        with Recording() as queries:
            books.filter(status="in").count()
            books.filter(note="what was looked for").count()
        assert_uses_index(queries[0])
        with self.assertRaisesMessage(AssertionError, "'what was looked for'"):
            assert_uses_index(queries[1])

    def test_every_query_of_a_function_has_to_be_served(self):
        def pages():
            return books.filter(pk=1).first(), list(books.filter(note="x"))

        with self.assertRaisesMessage(AssertionError, NOTE):
            assert_uses_index(pages)

    def test_plain_sql_is_understood(self):
        assert_uses_index(
            self.query("select b.title from shelf_book b join shelf_author a on a.id = b.author_id where b.id = 1;")
        )
        with self.assertRaises(AssertionError):
            assert_uses_index(
                self.query("SELECT b.id FROM shelf_book AS b JOIN shelf_review r ON r.text = b.title WHERE b.id > 0")
            )

    def test_an_index_that_is_made_for_the_query_does_not_count(self):
        """SQLite makes one for a join without an index, from all rows."""
        sql = "SELECT b.id FROM shelf_author a, shelf_book b WHERE a.id < 3 AND b.note = a.name"
        with self.assertRaises(AssertionError):
            assert_uses_index(self.query(sql))

    def test_other_databases(self):
        assert_uses_index(Book.objects.using("other").filter(pk=1))
        assert_uses_index(Book.objects.filter(pk=1), using="other")
        with self.assertRaisesMessage(AssertionError, "Plan of SQLite"):
            assert_uses_index(Book.objects.filter(note="x"), using="other")
        assert_uses_index(lambda: (books.get(note="note 1"), books.using("other").filter(pk=1).first()), using="other")

    @skipUnlessDBFeature("has_select_for_update")
    def test_a_select_that_locks_is_a_select(self):
        assert_uses_index(books.select_for_update().filter(pk=1))

    def test_words_of_writing_in_values_and_names_are_no_writing(self):
        assert_uses_index(
            self.query(
                "SELECT id AS \"DELETE FROM\" FROM shelf_book WHERE status = '; UPDATE'".replace(
                    '"', connection.ops.quote_name("x")[0]
                )
            )
        )

    def test_what_is_no_select_is_refused_and_not_run(self):
        for sql in (
            "DELETE FROM shelf_book",
            "INSERT INTO shelf_author (name) VALUES ('x')",
            "UPDATE shelf_book SET note = 'x'",
            "SELECT 1; DELETE FROM shelf_book",
            "WITH gone AS (DELETE FROM shelf_book RETURNING id) SELECT * FROM gone",
            "ANALYZE",
        ):
            with self.subTest(sql), self.assertRaisesMessage(ValueError, f"This is another statement: {sql}"):
                assert_uses_index(self.query(sql))
        self.assertEqual(books.exclude(note="x").count(), 6)

    def test_a_queryset_that_asks_nothing_is_refused(self):
        for queryset in (books.none(), books.filter(pk__in=[])):
            with self.assertRaisesMessage(ValueError, "empty by its conditions"):
                assert_uses_index(queryset)
        with self.assertRaisesMessage(ValueError, "the function has made none"):
            assert_uses_index(lambda: None)

    def test_what_is_no_query_is_refused(self):
        with self.assertRaisesMessage(TypeError, "but a str."):
            assert_uses_index("SELECT 1")
        with self.assertRaisesMessage(TypeError, "give its .all()"):
            assert_uses_index(Book.objects)

    def test_the_message_has_everything_in_one_string(self):
        with self.assertRaises(AssertionError) as caught:
            assert_uses_index(books.filter(note="x").only("id"))
        lines = str(caught.exception).splitlines()
        sql, params = books.filter(note="x").only("id").query.get_compiler("default").as_sql()
        self.assertEqual(lines[0], "No index serves this query: all of shelf_book is read.")
        self.assertEqual(lines[1], sql)
        self.assertEqual(lines[2], f"Parameters: {params!r}")
        self.assertEqual(lines[3], f"Plan of {connection.display_name}, where scans were to be avoided:")
        self.assertIn("shelf_book", lines[4])
        self.assertEqual(lines[-1], "Add an index on shelf_book.note (db_index=True, or Meta.indexes).")
        self.assertEqual(pickle.loads(pickle.dumps(caught.exception)).args, (str(caught.exception),))
