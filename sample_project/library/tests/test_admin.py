"""The admin site, as a librarian uses it."""

from django.db import connection
from django.test import TestCase
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from library.models import Book, Loan
from library.tests.factories import (
    TODAY,
    FixedTodayMixin,
    days,
    make_author,
    make_book,
    make_copy,
    make_loan,
    make_reader,
)


class AdminTests(FixedTodayMixin, TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.librarian = make_reader("librarian", is_staff=True, is_superuser=True)
        cls.author = make_author("Victor Hugo")
        cls.book = make_book("Les Misérables", authors=(cls.author,), language="fr", copies=1)

    def setUp(self):
        super().setUp()
        self.client.force_login(self.librarian)

    def changelist(self, model, **query):
        return self.client.get(reverse(f"admin:library_{model}_changelist"), query)

    def listed(self, model, **query):
        return list(self.changelist(model, **query).context["cl"].result_list)

    def count_queries(self, model):
        with CaptureQueriesContext(connection) as captured:
            self.changelist(model)
        return len(captured)

    def test_every_list_and_form_opens(self):
        make_loan(self.librarian, self.book.copies.get())
        rows = {
            "author": self.author,
            "book": self.book,
            "copy": self.book.copies.get(),
            "loan": Loan.objects.get(),
        }
        for model, row in rows.items():
            with self.subTest(model=model):
                self.assertContains(self.changelist(model), f"/admin/library/{model}/{row.pk}/change/")
                form = reverse(f"admin:library_{model}_change", args=[row.pk])
                self.assertEqual(self.client.get(form).status_code, 200)

    def test_readers_have_no_business_in_the_admin(self):
        self.client.force_login(make_reader())
        response = self.changelist("loan")
        self.assertRedirects(response, "/admin/login/?next=/admin/library/loan/")

    def test_books_are_found_without_accents_and_by_author(self):
        make_book("Emma", authors=(make_author(),))
        for query in ("miserables", "hugo", self.book.isbn):
            with self.subTest(query=query):
                self.assertEqual(self.listed("book", q=query), [self.book])

    def test_a_printed_isbn_is_stored_without_its_hyphens(self):
        form = {
            "title": "Villette",
            "authors": [self.author.pk],
            "isbn": "978-0-306-40615-7",
            "genre": "novel",
            "published_year": "1853",
            "language": "en",
            "page_count": "573",
            "added_on": "2025-06-15",
            "copies-TOTAL_FORMS": "0",
            "copies-INITIAL_FORMS": "0",
        }
        self.assertRedirects(self.client.post(reverse("admin:library_book_add"), form), "/admin/library/book/")
        self.assertTrue(Book.objects.filter(isbn="9780306406157", sort_title="villette").exists())

    def test_loans_are_filtered_by_their_state(self):
        returned = make_loan(self.librarian, returned_on=TODAY)
        late = make_loan(self.librarian, borrowed_on=TODAY - days(30))
        fresh = make_loan(self.librarian)
        cases = {"open": [fresh, late], "overdue": [late], "returned": [returned]}
        for state, expected in cases.items():
            with self.subTest(state=state):
                self.assertCountEqual(self.listed("loan", state=state), expected)

    def test_marking_loans_returned_leaves_closed_ones_alone(self):
        closed_on = TODAY - days(5)
        closed = make_loan(self.librarian, borrowed_on=TODAY - days(9), returned_on=closed_on)
        still_open = make_loan(self.librarian, borrowed_on=TODAY - days(9))
        chosen = {"action": "mark_returned", "_selected_action": [closed.pk, still_open.pk]}
        response = self.client.post(reverse("admin:library_loan_changelist"), chosen, follow=True)
        self.assertContains(response, "Loans marked as returned: 1.")
        days_of_return = dict(Loan.objects.values_list("pk", "returned_on"))
        self.assertEqual(days_of_return, {closed.pk: closed_on, still_open.pk: TODAY})

    def test_the_list_of_loans_needs_no_query_per_loan(self):
        make_loan(self.librarian, make_copy())
        few = self.count_queries("loan")
        for _ in range(4):
            make_loan(self.librarian, make_copy())
        self.assertEqual(self.count_queries("loan"), few)
