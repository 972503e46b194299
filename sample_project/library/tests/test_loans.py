"""Borrowing and returning: the rules, the pages, and several readers at once."""

import threading
from unittest import mock

from django.db import connection, transaction
from django.test import TestCase, TransactionTestCase, skipUnlessDBFeature, tag
from django.urls import reverse

from library import lending
from library.models import Loan
from library.tests.factories import (
    TODAY,
    FixedTodayMixin,
    days,
    make_book,
    make_copy,
    make_loan,
    make_reader,
)


class BorrowingRulesTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.reader = make_reader()
        cls.copy = make_copy()

    def test_a_book_is_lent_for_three_weeks_and_logged_once_that_is_certain(self):
        with self.captureOnCommitCallbacks() as callbacks:
            loan = lending.borrow_copy(self.copy, self.reader, TODAY)
        self.assertEqual((loan.borrowed_on, loan.due_on), (TODAY, TODAY + days(21)))
        with self.assertLogs("library.lending", "INFO") as logs:
            callbacks[0]()
        self.assertIn(f"Copy {self.copy.barcode} lent until 2025-07-06", logs.output[0])

    def test_the_sixth_book_is_refused_and_a_return_makes_room(self):
        loans = [make_loan(self.reader) for _ in range(5)]
        with self.assertRaises(lending.TooManyLoans):
            lending.borrow_copy(self.copy, self.reader, TODAY)
        lending.return_loan(loans[0], TODAY)
        self.assertTrue(lending.borrow_copy(self.copy, self.reader, TODAY).is_open)

    def test_an_overdue_book_is_an_obstacle_from_the_day_after_it_is_due(self):
        due = make_loan(self.reader, borrowed_on=TODAY - days(21)).due_on
        with self.assertRaises(lending.ReaderOverdue):
            lending.borrow_copy(self.copy, self.reader, due + days(1))
        self.assertFalse(self.copy.loans.exists())
        self.assertTrue(lending.borrow_copy(self.copy, self.reader, due).is_open)

    @skipUnlessDBFeature("supports_partial_indexes")
    def test_the_constraint_decides_when_the_check_came_too_early(self):
        make_loan(make_reader("another"), self.copy)
        with mock.patch("library.lending._check_copy"), self.assertRaises(lending.CopyUnavailable):
            lending.borrow_copy(self.copy, self.reader, TODAY)

    def test_a_loan_is_returned_once(self):
        loan = make_loan(self.reader, borrowed_on=TODAY - days(3))
        self.assertEqual(lending.return_loan(loan, TODAY).returned_on, TODAY)
        with self.assertRaises(lending.AlreadyReturned):
            lending.return_loan(loan, TODAY + days(1))
        loan.refresh_from_db()
        self.assertEqual(loan.returned_on, TODAY)


class LendingPagesTests(FixedTodayMixin, TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.reader = make_reader()
        cls.book = make_book("Emma")
        cls.copy = make_copy(cls.book)

    def setUp(self):
        super().setUp()
        self.client.force_login(self.reader)

    def borrow(self, **kwargs):
        return self.client.post(reverse("library:borrow", args=[self.copy.pk]), **kwargs)

    def give_back(self, loan, **kwargs):
        return self.client.post(reverse("library:return", args=[loan.pk]), **kwargs)

    def test_borrowing_leads_to_the_loans_and_says_when_it_is_due(self):
        response = self.borrow(follow=True)
        self.assertRedirects(response, reverse("library:my-loans"))
        self.assertContains(response, "You have borrowed Emma. Please return it by 6 Jul 2025.")

    def test_a_refusal_leads_back_to_the_book_and_says_why(self):
        make_loan(make_reader("another"), self.copy)
        response = self.borrow(follow=True)
        self.assertRedirects(response, self.book.get_absolute_url())
        self.assertContains(response, "This copy is on loan.")

    def test_a_visitor_signs_in_and_comes_back_to_the_book(self):
        self.client.logout()
        self.assertRedirects(self.borrow(), f"/accounts/login/?next={self.book.get_absolute_url()}")
        self.assertFalse(Loan.objects.exists())

    def test_following_a_link_neither_borrows_nor_returns(self):
        loan = make_loan(self.reader, self.copy)
        for url in (
            reverse("library:borrow", args=[self.copy.pk]),
            reverse("library:return", args=[loan.pk]),
        ):
            with self.subTest(url=url):
                self.assertEqual(self.client.get(url).status_code, 405)

    def test_returning_closes_the_loan_today(self):
        loan = make_loan(self.reader, self.copy, borrowed_on=TODAY - days(2))
        response = self.give_back(loan, follow=True)
        self.assertContains(response, "Thank you for returning Emma.")
        loan.refresh_from_db()
        self.assertEqual(loan.returned_on, TODAY)

    def test_nobody_returns_the_book_of_another(self):
        loan = make_loan(make_reader("another"), self.copy)
        self.assertEqual(self.give_back(loan).status_code, 404)
        loan.refresh_from_db()
        self.assertTrue(loan.is_open)


@tag("slow")
class LendingTransactionTests(TransactionTestCase):
    def test_a_loan_rolled_back_is_not_logged(self):
        reader, copy = make_reader(), make_copy()
        with self.assertNoLogs("library.lending", "INFO"), transaction.atomic():
            lending.borrow_copy(copy, reader, TODAY)
            transaction.set_rollback(True)
        self.assertFalse(Loan.objects.exists())

    @skipUnlessDBFeature("has_select_for_update")
    def test_of_two_readers_at_the_same_moment_one_gets_the_copy(self):
        copy, readers = make_copy(), [make_reader("first"), make_reader("second")]
        outcomes = run_together(lambda reader: lending.borrow_copy(copy, reader, TODAY), readers)
        self.assertCountEqual(outcomes, ["Loan", "CopyUnavailable"])

    @skipUnlessDBFeature("has_select_for_update")
    def test_a_reader_cannot_slip_past_the_limit_in_two_windows(self):
        reader, copies = make_reader(), [make_copy(), make_copy()]
        for _ in range(lending.MAX_OPEN_LOANS - 1):
            make_loan(reader)
        outcomes = run_together(lambda copy: lending.borrow_copy(copy, reader, TODAY), copies)
        self.assertCountEqual(outcomes, ["Loan", "TooManyLoans"])


def run_together(action, arguments):
    """Run an action in a thread per argument, all at once; return the type names of what came of it."""
    barrier, outcomes = threading.Barrier(len(arguments)), []

    def work(argument):
        try:
            barrier.wait(timeout=10)
            outcomes.append(type(action(argument)).__name__)
        except lending.LendingError as error:
            outcomes.append(type(error).__name__)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(argument,)) for argument in arguments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    return outcomes
