"""The fifteen patterns of N+1 are found, each as one group from one line; what only looks like them is not."""

from django.db import connection
from django.db.models import Max, prefetch_related_objects
from django.test import TestCase

from shelf.models import Author, Book, Review, Tag
from testkit.queries.groups import describe, duplicates_of
from testkit.queries.recorder import Recording

ROWS = 5


class LibraryTestCase(TestCase):
    @classmethod
    def setUpTestData(cls):
        tags = [Tag.objects.create(name=f"tag {n}") for n in range(2)]
        for number in range(ROWS):
            author = Author.objects.create(name=f"author {number}")
            book = Book.objects.create(title=f"book {number}", author=author)
            book.tags.add(*tags)
            Review.objects.create(book=book, text="fine")

    def record(self, work):
        with Recording() as queries:
            work()
        return list(queries)


def foreign_key():
    for book in Book.objects.all():
        str(book.author.name)


def reverse_foreign_key():
    for author in Author.objects.all():
        list(author.books.all())


def many_to_many():
    for book in Book.objects.all():
        list(book.tags.all())


def get_by_key():
    for key in list(Author.objects.values_list("pk", flat=True)):
        Author.objects.get(pk=key)


def filter_in_a_loop():
    for author in Author.objects.all():
        list(Book.objects.filter(author=author, status="in"))


def count_of_related():
    for author in Author.objects.all():
        author.books.count()


def exists_of_related():
    for author in Author.objects.all():
        author.books.exists()


def first_of_related():
    for author in Author.objects.all():
        author.books.first()


def raw_cursor():
    for book in Book.objects.all():
        with connection.cursor() as cursor:
            cursor.execute("SELECT name FROM shelf_author WHERE id = %s", [book.author_id])
            cursor.fetchall()


def raw_cursor_with_values():
    for book in Book.objects.all():
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT name FROM shelf_author WHERE id = {book.author_id}")
            cursor.fetchall()


def prefetch_one_by_one():
    for author in Author.objects.all():
        prefetch_related_objects([author], "books")


def deferred_field():
    for book in Book.objects.only("id"):
        str(book.title)


def aggregate_in_a_loop():
    for author in Author.objects.all():
        author.books.aggregate(Max("pages"))


def filter_on_prefetched():
    for book in Book.objects.prefetch_related("tags"):
        list(book.tags.filter(name="tag 1"))


def update_in_a_loop():
    for book in Book.objects.all():
        book.pages += 1
        book.save()


def create_in_a_loop():
    for number in range(ROWS):
        Tag.objects.create(name=f"other {number}")


PATTERNS = [
    foreign_key,
    reverse_foreign_key,
    many_to_many,
    get_by_key,
    filter_in_a_loop,
    count_of_related,
    exists_of_related,
    first_of_related,
    raw_cursor,
    prefetch_one_by_one,
    deferred_field,
    aggregate_in_a_loop,
    filter_on_prefetched,
    update_in_a_loop,
    create_in_a_loop,
]


def two_gets_on_two_lines():
    one, other = Author.objects.values_list("pk", flat=True)[:2]
    Author.objects.get(pk=one)
    Author.objects.get(pk=other)


def select_related():
    for book in Book.objects.select_related("author"):
        str(book.author.name)


def prefetch_related():
    for author in Author.objects.prefetch_related("books__tags"):
        for book in author.books.all():
            list(book.tags.all())


def two_singles_on_one_line():
    one, other = Book.objects.order_by("pk")[:2]
    str(one.author.name + other.author.name)


LEGITIMATE = [two_gets_on_two_lines, select_related, prefetch_related, two_singles_on_one_line]


class DuplicatesTests(LibraryTestCase):
    def test_all_patterns(self):
        """Each loop leaves one group, of a query for each row, from the line in the loop."""
        self.assertEqual(len(PATTERNS), 15)
        for pattern in [*PATTERNS, raw_cursor_with_values]:
            with self.subTest(pattern=pattern.__name__):
                queries = self.record(pattern)
                groups = duplicates_of(queries, writes=True)
                self.assertEqual([group.count for group in groups], [ROWS], describe(queries))
                [(origin, count)] = groups[0].origins
                self.assertTrue(origin.endswith(f" in {pattern.__name__}"), origin)
                self.assertEqual(count, ROWS)

    def test_legitimate_code(self):
        for code in LEGITIMATE:
            with self.subTest(code=code.__name__):
                queries = self.record(code)
                self.assertGreater(len(queries), 0)
                self.assertEqual(duplicates_of(queries, writes=True), [], describe(queries))

    def test_writes_are_counted_only_if_asked_for(self):
        for pattern in (update_in_a_loop, create_in_a_loop):
            with self.subTest(pattern=pattern.__name__):
                self.assertEqual(duplicates_of(self.record(pattern)), [])

    def test_how_many_are_too_many(self):
        queries = self.record(foreign_key)
        self.assertEqual(len(duplicates_of(queries, at_least=ROWS)), 1)
        self.assertEqual(duplicates_of(queries, at_least=ROWS + 1), [])


class DescribeTests(LibraryTestCase):
    def test_a_loop(self):
        """The text has the number, the line that asked, and what would avoid it."""
        text = describe(self.record(foreign_key))
        self.assertRegex(
            text, r"^  5 × SELECT .*shelf_author.* +\d+\.\d ms\n      5 × \S+test_groups\.py:\d+ in foreign_key\n"
        )
        self.assertRegex(text, r'\n      N\+1: select_related\("author"\) on Book ')
        self.assertRegex(
            text, r"\n  1 × SELECT .*shelf_book.* +\d+\.\d ms\n      \S+test_groups\.py:\d+ in foreign_key$"
        )

    def test_hints_are_for_loops_only(self):
        """Legitimate code is given no advice."""
        for code in LEGITIMATE:
            with self.subTest(code=code.__name__):
                self.assertNotIn("N+1", describe(self.record(code)))

    def test_every_pattern_has_a_hint(self):
        for pattern in PATTERNS:
            with self.subTest(pattern=pattern.__name__):
                self.assertEqual(describe(self.record(pattern)).count("N+1: "), 1)
