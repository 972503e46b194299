"""Normalised titles and ISBNs: plain functions, no database."""

from django.core.exceptions import ValidationError
from django.test import SimpleTestCase

from library import isbn, text
from library.params import ParameterError, read_date, read_int


class NormaliseTests(SimpleTestCase):
    def test_accents_case_and_punctuation_make_no_difference(self):
        cases = {
            "Brontë": "bronte",
            "  Les   MISÉRABLES ": "les miserables",
            "A Child’s Garden": "a childs garden",
            "Straße": "strasse",
            "quatre-vingts": "quatre vingts",
            "?!": "",
        }
        for typed, expected in cases.items():
            with self.subTest(typed=typed):
                self.assertEqual(text.normalise(typed), expected)


class SortTitleTests(SimpleTestCase):
    def test_the_article_of_the_language_is_left_out_and_nothing_else(self):
        cases = [
            ("The Time Machine", "en", "time machine"),
            ("A Tale of Two Cities", "en", "tale of two cities"),
            ("Les Misérables", "fr", "miserables"),
            ("L’Île mystérieuse", "fr", "ile mysterieuse"),
            ("Die Verwandlung", "de", "verwandlung"),
            ("Die Laughing", "en", "die laughing"),
            ("Theodore", "en", "theodore"),
            ("Anne of Green Gables", "en", "anne of green gables"),
            ("The", "en", "the"),
        ]
        for title, language, expected in cases:
            with self.subTest(title=title):
                self.assertEqual(text.sort_title(title, language), expected)


class IsbnTests(SimpleTestCase):
    def test_printed_numbers_are_valid_once_their_hyphens_are_out(self):
        for printed in ("978-0-306-40615-7", "978-0-000-00004-0", "979 10 90636 07 1"):
            with self.subTest(printed=printed):
                self.assertIsNone(isbn.validate_isbn(isbn.compact(printed)))

    def test_each_kind_of_mistake_has_its_own_code(self):
        cases = {
            "978030640615": "isbn_digits",
            "978-0306406157": "isbn_digits",
            "٩٧٨٠٣٠٦٤٠٦١٥٧": "isbn_digits",
            "1230306406157": "isbn_prefix",
            "9780306406158": "isbn_check",
        }
        for typed, code in cases.items():
            with self.subTest(typed=typed), self.assertRaises(ValidationError) as caught:
                isbn.validate_isbn(typed)
            self.assertEqual(caught.exception.code, code)


class ParameterTests(SimpleTestCase):
    def test_only_the_plain_forms_of_numbers_and_dates_are_taken(self):
        for value in ("", "1.0", "1e3", " 1", "1_000", "０", "9999999999", "--1"):
            with self.subTest(number=value), self.assertRaises(ParameterError):
                read_int({"n": value}, "n")
        for value in ("20250615", "2025-W24-7", "2025-6-5", "2025-02-30", "today", "9999-12-31"):
            with self.subTest(date=value), self.assertRaisesMessage(ParameterError, "to must be a date"):
                read_date({"to": value}, "to", default=None)
