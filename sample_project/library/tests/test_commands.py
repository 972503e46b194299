"""The seed command and the fixture."""

import os
import subprocess
import sys
from importlib.util import find_spec
from io import StringIO
from unittest import skipUnless

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db.models import Count
from django.test import TestCase, tag

from library import text
from library.models import Author, Book, Copy, Loan
from library.tests.factories import TODAY, make_book, make_loan, make_reader


def seed(*options):
    call_command("seed_library", *options, verbosity=0)


def snapshot():
    """Return what the seeded rows say, without their keys."""
    return {
        "books": list(Book.objects.order_by("isbn").values_list("isbn", "title", "authors__name", "added_on")),
        "copies": list(Copy.objects.values_list("barcode", "book__isbn", "condition", "location")),
        "loans": list(
            Loan.objects.order_by("copy__barcode", "borrowed_on").values_list(
                "copy__barcode", "borrower__username", "borrowed_on", "returned_on"
            )
        ),
    }


class SeedTests(TestCase):
    def test_it_adds_books_with_an_author_and_copies_and_readers_who_cannot_sign_in(self):
        seed("--books=12")
        books = Book.objects.annotate(
            author_count=Count("authors", distinct=True), copies_count=Count("copies", distinct=True)
        )
        self.assertEqual(len(books), 12)
        for book in books:
            book.full_clean()
            self.assertEqual(book.author_count, 1)
            self.assertIn(book.copies_count, (1, 2, 3))
        usable = [user.has_usable_password() for user in get_user_model().objects.all()]
        self.assertEqual(usable, [False] * 8)

    def test_a_second_run_adds_nothing_and_a_larger_one_adds_to_it(self):
        seed("--books=8")
        before = snapshot()
        with self.assertLogs("library.management.commands.seed_library", "INFO") as logs:
            seed("--books=8")
        self.assertEqual(snapshot(), before)
        self.assertTrue(all(record.getMessage().endswith(": 0 rows added") for record in logs.records))
        seed("--books=10")
        self.assertLess(set(before["books"]), set(snapshot()["books"]))

    @skipUnless(find_spec("psycopg"), "psycopg is not installed")
    def test_flushing_is_refused_where_the_database_is_not_local(self):
        url = "postgres://librarian:secret@db.example.com/library"
        refused = subprocess.run(
            [sys.executable, "manage.py", "seed_library", "--flush"],
            cwd=settings.BASE_DIR,
            env={**os.environ, "DATABASE_URL": url, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(refused.returncode, 2, refused.stderr)
        self.assertIn("db.example.com", refused.stderr)
        self.assertNotIn("secret", refused.stderr)

    def test_the_verbosity_says_how_much_is_told(self):
        told = {}
        for verbosity in (0, 1):
            err = StringIO()
            call_command("seed_library", "--books=2", "--flush", verbosity=verbosity, stderr=err)
            told[verbosity] = err.getvalue()
        self.assertEqual(told[0], "")
        self.assertIn("books: 2 rows added\n", told[1])

    def test_the_same_seed_gives_the_same_rows_another_seed_other_rows(self):
        seed("--books=6", "--seed=4", "--flush")
        first = snapshot()
        seed("--books=6", "--seed=4", "--flush")
        self.assertEqual(snapshot(), first)
        seed("--books=6", "--seed=5")
        self.assertEqual(Book.objects.count(), 12)

    def test_flush_deletes_the_catalogue_and_keeps_the_readers(self):
        reader = make_reader()
        make_loan(reader, make_book(copies=1).copies.get(), returned_on=TODAY)
        seed("--books=0", "--flush")
        self.assertFalse(Book.objects.exists() or Author.objects.exists() or Loan.objects.exists())
        self.assertTrue(get_user_model().objects.filter(pk=reader.pk).exists())

    def test_numbers_out_of_range_are_refused(self):
        for option in ("--books=-1", "--books=10000", "--seed=-1", "--seed=10000"):
            with self.subTest(option=option), self.assertRaises(CommandError):
                seed(option)


@tag("slow")
class FixtureTests(TestCase):
    fixtures = ("library",)

    def test_it_holds_a_small_library(self):
        models = (Author, Book, Copy, Loan, get_user_model())
        self.assertEqual([model.objects.count() for model in models], [12, 30, 60, 40, 3])

    def test_every_row_is_valid_and_its_derived_texts_are_up_to_date(self):
        """Loading a fixture does not call save(), so the file itself has to be right."""
        for model in (Author, Book, Copy, Loan):
            for row in model.objects.all():
                with self.subTest(row=row):
                    row.full_clean()
        for book in Book.objects.all():
            self.assertEqual(book.sort_title, text.sort_title(book.title, book.language))
            self.assertEqual(book.search_text, text.normalise(book.title))
        for author in Author.objects.all():
            self.assertEqual(author.search_text, text.normalise(author.name))
