"""What the models keep true, by themselves and with the database."""

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.test import SimpleTestCase, TestCase, skipUnlessDBFeature

from library.models import Author, Book, Copy, Loan
from library.tests.factories import TODAY, days, make_author, make_book, make_copy, make_loan, make_reader


class StringTests(SimpleTestCase):
    def test_each_model_names_itself_for_a_reader(self):
        book = Book(title="Emma")
        copy = Copy(book=book, barcode="LIB-7")
        self.assertEqual(str(Author(name="Jane Austen")), "Jane Austen")
        self.assertEqual(str(book), "Emma")
        self.assertEqual(str(copy), "LIB-7 (Emma)")
        loan = Loan(copy=copy, borrower=get_user_model()(username="ada"), borrowed_on=TODAY)
        self.assertEqual(str(loan), "LIB-7 to ada on 2025-06-15")

    def test_years_are_printed_as_far_as_they_are_known(self):
        cases = [((1775, 1817), "1775–1817"), ((1948, None), "1948–"), ((None, 1400), "–1400")]
        for (born, died), expected in cases:
            with self.subTest(expected=expected):
                self.assertEqual(Author(born=born, died=died).years, expected)
        self.assertEqual(Author().years, "")


class BookTests(TestCase):
    def test_saving_keeps_the_derived_titles_in_step(self):
        book = make_book("The Mill on the Floss")
        self.assertEqual((book.sort_title, book.search_text), ("mill on the floss", "the mill on the floss"))
        book.title = "A New Title"
        book.save(update_fields=["title"])
        book.refresh_from_db()
        self.assertEqual(book.sort_title, "new title")

    def test_an_isbn_with_a_wrong_check_digit_is_refused(self):
        book = make_book()
        book.isbn = "9780306406158"
        with self.assertRaises(ValidationError) as caught:
            book.full_clean()
        self.assertEqual(list(caught.exception.message_dict), ["isbn"])


class AvailabilityTests(TestCase):
    def test_copies_and_those_that_are_in_are_counted_apart(self):
        book = make_book(copies=3)
        first, second, _ = book.copies.all()
        reader = make_reader()
        for _ in range(2):
            make_loan(reader, first, returned_on=TODAY)
        make_loan(reader, first)
        make_loan(reader, second, returned_on=TODAY)
        counted = Book.objects.with_availability().get()
        self.assertEqual((counted.copy_count, counted.available_count), (3, 2))

    def test_neither_a_second_author_nor_a_lack_of_copies_confuses_the_counts(self):
        make_book("Sagen", authors=(make_author("Jacob Grimm"), make_author("Wilhelm Grimm")), copies=2)
        make_book("Wanted")
        counts = Book.objects.for_cards().values_list("title", "copy_count", "available_count")
        self.assertEqual(list(counts), [("Sagen", 2, 2), ("Wanted", 0, 0)])


class LoanTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.reader = make_reader()
        cls.copy = make_copy()

    def test_open_and_overdue_loans_are_told_apart(self):
        returned_late = make_loan(self.reader, borrowed_on=TODAY - days(40), returned_on=TODAY)
        late = make_loan(self.reader, borrowed_on=TODAY - days(22))
        due_today = make_loan(self.reader, borrowed_on=TODAY - days(21))
        self.assertCountEqual(Loan.objects.open(), [late, due_today])
        self.assertCountEqual(Loan.objects.overdue(TODAY), [late])
        states = [loan.is_overdue(TODAY) for loan in (returned_late, late, due_today)]
        self.assertEqual(states, [False, True, False])

    @skipUnlessDBFeature("supports_partial_indexes")
    def test_the_database_refuses_a_second_open_loan_of_a_copy(self):
        make_loan(self.reader, self.copy)
        with self.assertRaises(IntegrityError), transaction.atomic():
            make_loan(make_reader("another"), self.copy)

    @skipUnlessDBFeature("supports_table_check_constraints")
    def test_the_database_refuses_days_that_run_backwards(self):
        for field in ("due_on", "returned_on"):
            with self.subTest(field=field), self.assertRaises(IntegrityError), transaction.atomic():
                make_loan(self.reader, self.copy, **{field: TODAY - days(1)})

    def test_what_has_a_history_cannot_be_deleted(self):
        make_loan(self.reader, self.copy, returned_on=TODAY)
        for row in (self.copy, self.reader):
            with self.subTest(row=row), self.assertRaises(ProtectedError):
                row.delete()
