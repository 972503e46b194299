"""Rows for the tests: each function fills in what a test does not care about."""

import datetime
import itertools
from unittest import mock

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser

from library import isbn
from library.models import Author, Book, Copy, Genre, Loan

TODAY = datetime.date(2025, 6, 15)
LONG_AGO = datetime.date(2024, 1, 1)
_numbers = itertools.count(1)


def days(number: int) -> datetime.timedelta:
    return datetime.timedelta(days=number)


def make_isbn() -> str:
    digits = f"97800{next(_numbers):07}"
    return digits + isbn.check_digit(digits)


def make_author(name: str = "Jane Austen", **fields) -> Author:
    *given, family = name.split()
    return Author.objects.create(name=name, sort_name=f"{family}, {' '.join(given)}", **fields)


def make_book(title: str = "Emma", *, authors: tuple[Author, ...] = (), copies: int = 0, **fields) -> Book:
    defaults = {
        "isbn": make_isbn(),
        "genre": Genre.NOVEL,
        "published_year": 1815,
        "page_count": 474,
        "added_on": LONG_AGO,
    }
    book = Book.objects.create(title=title, **{**defaults, **fields})
    book.authors.set(authors)
    for _ in range(copies):
        make_copy(book)
    return book


def make_copy(book: Book | None = None, **fields) -> Copy:
    defaults = {"barcode": f"T-{next(_numbers):06}", "location": "Main hall, shelf 1"}
    return Copy.objects.create(book=book or make_book(), **{**defaults, **fields})


def make_reader(username: str = "reader", **fields) -> AbstractBaseUser:
    """Create an account without a password; tests sign in by force."""
    return get_user_model().objects.create(username=username, **fields)


def make_loan(
    borrower: AbstractBaseUser,
    copy: Copy | None = None,
    *,
    borrowed_on: datetime.date = TODAY,
    due_on: datetime.date | None = None,
    returned_on: datetime.date | None = None,
) -> Loan:
    return Loan.objects.create(
        copy=copy or make_copy(),
        borrower=borrower,
        borrowed_on=borrowed_on,
        due_on=due_on or borrowed_on + days(21),
        returned_on=returned_on,
    )


class FixedTodayMixin:
    """Run each test of a class on `TODAY`, as the views see it."""

    def setUp(self) -> None:
        super().setUp()
        patcher = mock.patch("django.utils.timezone.localdate", return_value=TODAY)
        patcher.start()
        self.addCleanup(patcher.stop)
