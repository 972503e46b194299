"""What the pages ask the database: not more with more books, nothing twice, and by an index."""

from unittest import skipUnless

from django.db import connection
from django.db.models import Count, Q
from django.test import TestCase

from library.models import Author, Book, Genre, Loan
from library.tests.factories import TODAY, FixedTodayMixin, make_author, make_book, make_copy, make_loan, make_reader
from testkit import QueryAssertionsMixin


class ListQueriesTests(QueryAssertionsMixin, TestCase):
    def populate(self, count: int) -> None:
        for number in range(count):
            make_book(f"Novel {number}", authors=(make_author(f"Author {number}"),), copies=2)

    def test_more_books_need_no_more_queries(self):
        for url in ("/", "/books/", "/search/?q=novel", "/catalogue/data/?draw=1&start=0&length=10"):
            with self.subTest(url):
                self.assertConstantNumQueries(self.populate, lambda url=url: self.client.get(url))

    def test_more_authors_need_no_more_queries(self):
        self.assertConstantNumQueries(self.populate, lambda: self.client.get("/authors/"))

    def test_a_book_and_its_copies_need_four_at_most(self):
        book = make_book(authors=(make_author(),), copies=5)
        self.assertMaxNumQueries(4, self.client.get, book.get_absolute_url())


class ReaderQueriesTests(FixedTodayMixin, QueryAssertionsMixin, TestCase):
    def setUp(self):
        super().setUp()
        self.reader = make_reader()
        self.client.force_login(self.reader)

    def test_no_line_asks_twice_for_the_loans_of_a_reader(self):
        for _ in range(5):
            make_loan(self.reader, returned_on=TODAY)
            make_loan(self.reader)
        with self.assertNoDuplicateQueries():
            self.client.get("/loans/")

    @skipUnless(connection.vendor == "sqlite", "the snapshot has SQLite's SQL")
    def test_what_the_page_of_loans_asks_is_known(self):
        make_loan(self.reader)
        with self.assertNumQueriesSnapshot():
            self.client.get("/loans/")

    def test_borrowing_needs_nine(self):
        """Session and reader; the copy; locks on reader and copy; what the reader and the copy are at; the loan."""
        copy = make_copy()
        with self.assertNumQueries(9):
            self.client.post(f"/copies/{copy.pk}/borrow/")

    def test_a_visitor_who_wants_to_borrow_needs_one(self):
        self.client.logout()
        copy = make_copy()
        with self.assertNumQueries(1):
            self.client.post(f"/copies/{copy.pk}/borrow/")


class IndexTests(QueryAssertionsMixin, TestCase):
    def test_lists_and_look_ups_have_an_index(self):
        self.assertUsesIndex(Book.objects.filter(isbn="9780141439587"))
        self.assertUsesIndex(
            Book.objects.filter(genre=Genre.POETRY).order_by("sort_title"), index="book_genre_title_idx"
        )
        self.assertUsesIndex(Loan.objects.open().filter(borrower_id=1), index="loan_borrower_returned_idx")
        self.assertUsesIndex(Author.objects.order_by("sort_name")[:10])

    def test_words_within_a_title_have_none(self):
        """The search reads every title; the library is small."""
        with self.assertRaises(AssertionError):
            self.assertUsesIndex(Book.objects.filter(search_text__contains="emma"))

    def test_a_count_with_a_filter_reads_every_loan(self):
        """`Count(filter=…)` looks at all rows; the filter of a query set can go by the index."""
        late = Q(returned_on__isnull=True, due_on__lt=TODAY)
        self.assertUsesIndex(Loan.objects.filter(late).values("pk"))
        with self.assertRaises(AssertionError):
            self.assertUsesIndex(Loan.objects.values("copy__condition").annotate(late=Count("pk", filter=late)))
