"""Finding books and authors."""

from django.test import TestCase
from django.urls import reverse

from library.models import Book
from library.tests.factories import make_author, make_book


class SearchTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.charlotte = make_author("Charlotte Brontë")
        cls.hugo = make_author("Victor Hugo")
        cls.jane_eyre = make_book("Jane Eyre", authors=(cls.charlotte,))
        cls.villette = make_book("Villette", authors=(cls.charlotte,))
        cls.miserables = make_book("Les Misérables", authors=(cls.hugo,), language="fr")

    def found(self, query):
        return [book.title for book in Book.objects.search(query)]

    def page(self, query):
        return self.client.get(reverse("library:search"), {"q": query})

    def test_words_are_found_without_their_accents_and_capitals(self):
        self.assertEqual(self.found("MISERABLES"), ["Les Misérables"])
        self.assertEqual(self.found("misérables"), ["Les Misérables"])

    def test_every_word_has_to_be_found_in_title_or_author(self):
        self.assertEqual(self.found("bronte"), ["Jane Eyre", "Villette"])
        self.assertEqual(self.found("bronte eyre"), ["Jane Eyre"])
        self.assertEqual(self.found("hugo eyre"), [])

    def test_a_book_with_two_matching_authors_is_found_once(self):
        grimms = (make_author("Jacob Grimm"), make_author("Wilhelm Grimm"))
        make_book("Deutsche Sagen", authors=grimms, language="de")
        self.assertEqual(self.found("grimm"), ["Deutsche Sagen"])

    def test_an_isbn_is_found_with_and_without_hyphens(self):
        number = self.villette.isbn
        self.assertEqual(self.found(number), ["Villette"])
        self.assertEqual(self.found(f"{number[:3]}-{number[3:]}"), ["Villette"])

    def test_the_page_shows_authors_and_books(self):
        response = self.page("Brontë")
        self.assertContains(response, "2 books")
        self.assertContains(response, self.charlotte.get_absolute_url())
        self.assertNotContains(response, "Les Misérables")

    def test_nothing_is_listed_before_something_is_typed(self):
        for query in ("", "   ", "?!"):
            with self.subTest(query=query):
                response = self.page(query)
                self.assertEqual(list(response.context["books"]), [])
                self.assertContains(response, "Type a title")

    def test_what_was_typed_is_escaped(self):
        response = self.page("<script>alert(1)</script>")
        self.assertNotContains(response, "<script>alert")
        self.assertContains(response, "&lt;script&gt;")
