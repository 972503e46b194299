"""Fingerprints of what Django writes on this database: one for each query, whatever its parameters."""

from contextlib import contextmanager

from django.db import connection, transaction
from django.db.models import Count, F, Max, Q, Sum, Value
from django.db.models.functions import Coalesce
from django.test import TestCase

from shelf.models import Author, Book, Review, Tag
from testkit.queries.fingerprint import fingerprint, tables_of

SQL_IN_A_TITLE = "O'Hara FROM (SELECT 1, 2) -- IN (3)"


@contextmanager
def statements():
    """Give the SQL that Django sends to the database, transaction control included."""
    texts = []

    def note(execute, sql, params, many, context):
        texts.append(str(sql))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield texts


def fingerprints_of(query):
    with statements() as texts:
        result = query()
        if hasattr(result, "model"):
            list(result)
    assert texts, "no query ran"
    return [fingerprint(sql) for sql in texts]


class FingerprintTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        authors = Author.objects.bulk_create(Author(name=f"author {n}") for n in range(5))
        Book.objects.bulk_create(Book(title=f"book {n}", author=author) for n, author in enumerate(authors))
        cls.books = list(Book.objects.order_by("pk"))
        cls.tag = Tag.objects.create(name="tag")
        for book in cls.books:
            book.tags.add(cls.tag)

    def assert_merged(self, *queries):
        found = [fingerprints_of(query) for query in queries]
        for other in found[1:]:
            self.assertEqual(found[0], other)

    def assert_apart(self, one, other):
        self.assertNotEqual(fingerprints_of(one), fingerprints_of(other))

    # What must merge.

    def test_parameters(self):
        self.assert_merged(*(lambda title=title: Book.objects.filter(title=title) for title in ("a", "b")))

    def test_a_string_full_of_sql(self):
        self.assert_merged(*(lambda title=title: Book.objects.filter(title=title) for title in ("a", SQL_IN_A_TITLE)))

    def test_such_a_string_within_the_sql(self):
        """Raw SQL that has it inline keeps it, where it is not what is compared with, and merges what follows."""
        quoted = SQL_IN_A_TITLE.replace("'", "''")

        def read(number):
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT '{quoted}' FROM shelf_book WHERE id = {number} LIMIT {number}")
                return cursor.fetchall()

        self.assertEqual(list(read(self.books[0].pk)), [(SQL_IN_A_TITLE,)])
        self.assert_merged(lambda: read(1), lambda: read(2))
        self.assertIn(quoted, fingerprints_of(lambda: read(1))[0])

    def test_in_lists(self):
        self.assert_merged(*(lambda n=n: Book.objects.filter(pk__in=range(n)) for n in (1, 2, 50)))
        self.assert_merged(*(lambda n=n: Book.objects.exclude(title__in=map(str, range(n))) for n in (1, 2, 50)))

    def test_limits(self):
        self.assert_merged(*(lambda n=n: Book.objects.order_by("pk")[:n] for n in (10, 20)))

    def test_pages(self):
        self.assert_merged(*(lambda n=n: Book.objects.order_by("pk")[n : n + 2] for n in (0, 2, 4)))

    def test_offsets_alone(self):
        self.assert_merged(*(lambda n=n: Book.objects.order_by("pk")[n:] for n in (1, 2)))

    def test_savepoints(self):
        def keep():
            with transaction.atomic():
                pass

        def roll_back():
            sid = connection.savepoint()
            connection.savepoint_rollback(sid)

        self.assert_merged(keep, keep)
        self.assert_merged(roll_back, roll_back)
        self.assertEqual(len(fingerprints_of(keep)), 2)

    def test_bulk_create(self):
        self.assert_merged(*(lambda n=n: Book.objects.bulk_create(Book(title="x") for _ in range(n)) for n in (2, 5)))
        self.assert_merged(*(lambda n=n: Tag.objects.bulk_create([Tag(name="x")] * n) for n in (2, 5)))

    def test_create_and_bulk_create(self):
        self.assert_merged(
            lambda: Book.objects.create(title="x"), lambda: Book.objects.bulk_create([Book(title="y"), Book(title="z")])
        )

    def test_bulk_create_with_null_and_without(self):
        author = self.books[0].author
        self.assert_merged(
            lambda: Book.objects.bulk_create([Book(title="x"), Book(title="y")]),
            lambda: Book.objects.bulk_create([Book(title="x", author=author)]),
        )

    def test_bulk_update(self):
        def update(number, *fields):
            return lambda: Book.objects.bulk_update(self.books[:number], fields)

        self.assert_merged(update(1, "title"), update(2, "title"), update(5, "title"))
        self.assert_merged(update(2, "title", "pages", "author"), update(5, "title", "pages", "author"))
        self.assert_apart(update(2, "title"), update(2, "note"))

    def test_bulk_update_with_null_and_without(self):
        def update(*authors):
            for book, author in zip(self.books, authors, strict=False):
                book.author = author
            return lambda: Book.objects.bulk_update(self.books[: len(authors)], ["author"])

        author = self.books[0].author
        found = [fingerprints_of(update(*authors)) for authors in ((author, None, author), (None,), (author, author))]
        self.assertEqual(found, [found[0]] * 3)

    def test_server_side_cursors(self):
        self.assert_merged(*([lambda: list(Book.objects.iterator(chunk_size=2))] * 2))

    def test_names_of_cursors(self):
        if connection.vendor != "postgresql":
            self.skipTest("only PostgreSQL has them")

        def declare(name):
            with connection.cursor() as cursor:
                cursor.execute(f'DECLARE "{name}" NO SCROLL CURSOR FOR SELECT id FROM shelf_book')
                cursor.execute(f'FETCH FORWARD 2 FROM "{name}"')
                cursor.execute(f'CLOSE "{name}"')

        self.assert_merged(lambda: declare("_django_curs_139_sync_1"), lambda: declare("_django_curs_140_sync_22"))
        self.assert_apart(lambda: declare("mine"), lambda: declare("yours"))

    def test_prefetches(self):
        self.assert_merged(
            *(lambda n=n: Author.objects.filter(pk__lte=n).prefetch_related("books__tags") for n in self.some_authors())
        )

        self.assert_merged(*(lambda n=n: Book.objects.order_by("pk").prefetch_related("author")[:n] for n in (2, 5)))

    def some_authors(self):
        keys = list(Author.objects.order_by("pk").values_list("pk", flat=True))
        return keys[1], keys[4]

    def test_set_to_null_and_to_a_value(self):
        author = self.books[0].author
        self.assert_merged(*(lambda a=a: Book.objects.filter(pages=3).update(author=a) for a in (None, author)))
        self.assert_merged(
            *(lambda a=a: Book.objects.filter(pages=3).update(author=a, note="x") for a in (None, author))
        )

    def test_saves_with_null_and_without(self):
        book, author = self.books[0], self.books[0].author

        def save(value):
            book.author = value
            book.save()

        self.assert_merged(lambda: save(None), lambda: save(author))

    # What must stay apart.

    def test_other_columns(self):
        self.assert_apart(lambda: Book.objects.values("title"), lambda: Book.objects.values("note"))

    def test_more_columns(self):
        self.assert_apart(
            lambda: Book.objects.values_list("id", "title"), lambda: Book.objects.values_list("id", "title", "note")
        )

    def test_other_tables(self):
        self.assert_apart(Tag.objects.all, Author.objects.all)

    def test_other_conditions(self):
        self.assert_apart(lambda: Book.objects.filter(title="a"), lambda: Book.objects.filter(note="a"))

    def test_other_operators(self):
        self.assert_apart(lambda: Book.objects.filter(pages=1), lambda: Book.objects.filter(pages__lt=1))

    def test_null_and_a_value_in_a_condition(self):
        author = self.books[0].author
        self.assert_apart(lambda: Book.objects.filter(author=None), lambda: Book.objects.filter(author=author))
        self.assert_apart(
            lambda: Book.objects.filter(author=None).update(note="x"),
            lambda: Book.objects.filter(author=author).update(note="x"),
        )

    def test_other_orders(self):
        self.assert_apart(lambda: Book.objects.order_by("title"), lambda: Book.objects.order_by("note"))

    def test_other_directions(self):
        self.assert_apart(lambda: Book.objects.order_by("title"), lambda: Book.objects.order_by("-title"))

    def test_other_aggregates(self):
        self.assert_apart(
            lambda: Book.objects.aggregate(n=Count("pages")), lambda: Book.objects.aggregate(n=Sum("pages"))
        )

    def test_updates_of_other_columns(self):
        self.assert_apart(lambda: Book.objects.update(title="x"), lambda: Book.objects.update(note="x"))
        self.assert_apart(lambda: Book.objects.update(author=None), lambda: Book.objects.update(note=F("title")))

    def test_aggregates_with_a_filter(self):
        self.assert_apart(
            lambda: Book.objects.aggregate(n=Count("id")),
            lambda: Book.objects.aggregate(n=Count("id", filter=Q(status="in"))),
        )

    # Which tables a statement is about.

    def tables_of_all(self, query):
        with statements() as texts:
            result = query()
            if hasattr(result, "model"):
                list(result)
        return [tables_of(sql) for sql in texts]

    def test_tables(self):
        """Django's statements name their tables as the models do, on every database."""
        book = self.books[0]
        newest = Book.objects.values("author").annotate(n=Max("pk")).values("n")
        for query, tables in [
            (Book.objects.all, [("shelf_book",)]),
            (lambda: Book.objects.select_related("author"), [("shelf_book", "shelf_author")]),
            (lambda: book.tags.filter(books__author__name="x"), [
                ("shelf_tag", "shelf_book_tags", "shelf_book", "shelf_author")
            ]),
            (lambda: Book.objects.filter(pk__in=newest), [("shelf_book",)]),
            (lambda: Review.objects.filter(book__in=Book.objects.filter(note="x")), [("shelf_review", "shelf_book")]),
            (lambda: Author.objects.annotate(n=Coalesce(Count("books"), Value(0))), [("shelf_author", "shelf_book")]),
            (lambda: Book.objects.distinct().order_by()[:2].count(), [("shelf_book",)]),
            (lambda: Tag.objects.union(Tag.objects.filter(name="x")), [("shelf_tag",)]),
            (lambda: Tag.objects.create(name="x"), [("shelf_tag",)]),
            (lambda: Book.objects.bulk_create([Book(title="x"), Book(title="y")]), [("shelf_book",)]),
            (lambda: Book.objects.update(note="x"), [("shelf_book",)]),
            (lambda: Review.objects.filter(text="x").delete(), [("shelf_review",)]),
            (lambda: list(Book.objects.select_for_update().filter(pk=book.pk)), [("shelf_book",)]),
        ]:  # fmt: skip
            with self.subTest(tables=tables):
                found = [names for names in self.tables_of_all(query) if names]
                self.assertEqual(found, tables)
