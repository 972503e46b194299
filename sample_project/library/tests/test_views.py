"""The pages, as a reader sees them."""

from urllib.request import urlopen

from django.contrib.staticfiles.testing import StaticLiveServerTestCase
from django.test import TestCase, override_settings, tag
from django.urls import reverse

from library.models import Genre
from library.tests.factories import (
    TODAY,
    FixedTodayMixin,
    days,
    make_author,
    make_book,
    make_loan,
    make_reader,
)


class HomeTests(TestCase):
    def test_an_empty_library_has_a_home_page(self):
        self.assertContains(self.client.get("/"), "The shelves are still empty.")

    def test_it_shows_featured_and_recent_books_and_counts_what_is_in(self):
        chosen = make_book("Chosen", featured=True, copies=3)
        make_loan(make_reader(), chosen.copies.first())
        make_book("Newest", added_on=TODAY)
        response = self.client.get("/")
        self.assertEqual([book.title for book in response.context["featured"]], ["Chosen"])
        self.assertEqual([book.title for book in response.context["recent"]], ["Newest", "Chosen"])
        counts = {"Books": 2, "Authors": 0, "Copies": 3, "Available now": 2}
        self.assertEqual(response.context["counts"], counts)


class BookListTests(TestCase):
    url = "/books/"

    @classmethod
    def setUpTestData(cls):
        author = make_author()
        for number in range(14):
            make_book(f"Novel {number:02}", authors=(author,), copies=2)
        make_book("Verses", genre=Genre.POETRY)

    def test_twelve_books_are_on_a_page_and_no_page_comes_after_the_last(self):
        first, second = self.client.get(self.url), self.client.get(self.url, {"page": 2})
        self.assertEqual([len(page.context["books"]) for page in (first, second)], [12, 3])
        self.assertEqual(self.client.get(self.url, {"page": 3}).status_code, 404)

    def test_a_genre_filters_the_books_and_stays_on_the_next_page(self):
        response = self.client.get(self.url, {"genre": "poetry"})
        self.assertEqual([book.title for book in response.context["books"]], ["Verses"])
        self.assertContains(self.client.get(self.url, {"genre": "novel"}), "?genre=novel&amp;page=2")
        unknown = self.client.get(self.url, {"genre": "cookery"})
        self.assertEqual(unknown.context["paginator"].count, 15)

    def test_the_number_of_queries_does_not_grow_with_the_books(self):
        """One each for the count, the books and their authors."""
        with self.assertNumQueries(3):
            self.client.get(self.url)
        with self.assertNumQueries(3):
            self.client.get(self.url, {"genre": "poetry"})


class BookDetailTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        grimms = (make_author("Jacob Grimm"), make_author("Wilhelm Grimm"))
        cls.book = make_book("Deutsche Sagen", authors=grimms, copies=2, language="de")

    def get(self):
        return self.client.get(self.book.get_absolute_url())

    def test_both_authors_are_linked(self):
        response = self.get()
        for author in self.book.authors.all():
            self.assertContains(response, f'<a href="{author.get_absolute_url()}">{author.name}</a>', html=True)

    def test_a_copy_on_loan_shows_its_day_and_no_button_a_returned_one_does(self):
        copy, returned = self.book.copies.all()
        reader = make_reader()
        make_loan(reader, copy, borrowed_on=TODAY)
        make_loan(reader, returned, returned_on=TODAY)
        response = self.get()
        self.assertContains(response, "On loan until 6 Jul 2025")
        self.assertNotContains(response, reverse("library:borrow", args=[copy.pk]))
        self.assertContains(response, reverse("library:borrow", args=[returned.pk]))

    def test_the_number_of_queries_does_not_grow_with_the_copies(self):
        """One each for the book, its authors, its copies and their open loans."""
        make_loan(make_reader(), self.book.copies.first())
        with self.assertNumQueries(4):
            self.get()


class AuthorTests(TestCase):
    def test_authors_are_filed_by_family_name_with_their_numbers(self):
        hugo, austen = make_author("Victor Hugo"), make_author("Jane Austen", born=1775, died=1817)
        make_book("Emma", authors=(austen,))
        response = self.client.get(reverse("library:authors"))
        self.assertEqual(list(response.context["authors"]), [austen, hugo])
        self.assertContains(response, "1775–1817 · 1 book<")
        self.assertContains(response, "0 books")

    def test_the_books_of_an_author_are_in_the_order_they_appeared(self):
        austen = make_author()
        make_book("Emma", authors=(austen,), published_year=1815)
        make_book("Sense and Sensibility", authors=(austen,), published_year=1811)
        response = self.client.get(austen.get_absolute_url())
        titles = [book.title for book in response.context["author"].books.all()]
        self.assertEqual(titles, ["Sense and Sensibility", "Emma"])


class MyLoansTests(FixedTodayMixin, TestCase):
    url = "/loans/"

    @classmethod
    def setUpTestData(cls):
        cls.reader = make_reader()

    def setUp(self):
        super().setUp()
        self.client.force_login(self.reader)

    def test_the_readers_own_open_loans_come_first_and_overdue_ones_say_so(self):
        make_loan(make_reader("another"))
        later = make_loan(self.reader, borrowed_on=TODAY)
        late = make_loan(self.reader, borrowed_on=TODAY - days(30))
        past = make_loan(self.reader, borrowed_on=TODAY - days(90), returned_on=TODAY - days(80))
        response = self.client.get(self.url)
        self.assertEqual(response.context["open_loans"], [late, later])
        self.assertEqual(list(response.context["past_loans"]), [past])
        self.assertContains(response, "Overdue", count=1)

    def test_the_number_of_queries_does_not_grow_with_the_loans(self):
        """Two for the reader, two for each list of loans and one for their pages."""
        for _ in range(3):
            make_loan(self.reader)
            make_loan(self.reader, returned_on=TODAY)
        with self.assertNumQueries(7):
            self.client.get(self.url)


class OtherPagesTests(TestCase):
    @override_settings(DEBUG=False)
    def test_a_missing_page_is_answered_in_the_look_of_the_library(self):
        response = self.client.get("/books/999/")
        self.assertContains(response, "This page is not on our shelves", status_code=404)
        self.assertTemplateUsed(response, "base.html")

    def test_each_page_has_one_main_heading_a_skip_link_and_nothing_from_elsewhere(self):
        for name in ("home", "books", "authors", "search", "catalogue", "statistics"):
            with self.subTest(page=name):
                response = self.client.get(reverse(f"library:{name}"))
                self.assertContains(response, "<h1", count=1)
                self.assertContains(response, 'href="#content"')
                self.assertNotContains(response, "://")


@tag("slow")
class LiveTests(StaticLiveServerTestCase):
    def test_a_real_server_delivers_the_home_page_and_its_style_sheet(self):
        make_book("Silas Marner", featured=True)
        with urlopen(f"{self.live_server_url}/", timeout=10) as response:
            self.assertEqual(response.status, 200)
            self.assertIn("Silas Marner", response.read().decode())
        with urlopen(f"{self.live_server_url}/static/library/css/library.css", timeout=10) as response:
            self.assertEqual(response.headers.get_content_type(), "text/css")
