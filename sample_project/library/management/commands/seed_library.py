"""Fill the library with invented books, for trying out pages that need many."""

import logging

from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from library import seeding
from library.models import Author, Book, Copy, Loan
from testkit import VerbosityLogging, refuse_production

BATCH = 500
logger = logging.getLogger(__name__)


class Command(VerbosityLogging, BaseCommand):
    help = "Add invented books, copies and loans. The same seed gives the same rows; rows there are left alone."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--books", type=int, default=200, metavar="N", help="how many (default: 200)")
        parser.add_argument("--seed", type=int, default=1, metavar="S", help="which ones (default: 1)")
        parser.add_argument("--flush", action="store_true", help="first delete every book, author and loan")

    def handle(self, *, books: int, seed: int, flush: bool, **options) -> None:
        if not 0 <= books <= seeding.MAX_BOOKS:
            raise CommandError(f"--books must be from 0 to {seeding.MAX_BOOKS}.")
        if not 0 <= seed <= seeding.MAX_SEED:
            raise CommandError(f"--seed must be from 0 to {seeding.MAX_SEED}.")
        if flush:
            refuse_production()
        with transaction.atomic():
            if flush:
                flush_library()
            fill_library(seeding.catalogue(books, seed))


def flush_library() -> None:
    """Delete the catalogue and the loans; readers keep their accounts."""
    for model in (Loan, Copy, Book, Author):
        deleted, _ = model.objects.all().delete()
        logger.info("%s: %d rows deleted", model._meta.verbose_name_plural, deleted)


def fill_library(catalogue: seeding.Catalogue) -> None:
    """Save what is not there yet. An ISBN or a barcode that is there marks a row that is left alone."""
    known = set(Book.objects.values_list("isbn", flat=True))
    new_books = [book for book in catalogue.books if book.isbn not in known]
    add_books(catalogue, new_books)
    new_copies = add_copies(catalogue, new_books)
    add_loans(new_copies)


def add_books(catalogue: seeding.Catalogue, new_books: list[Book]) -> None:
    """Save the books and tie them to their authors, saving those of the authors who are new."""
    wanted = {catalogue.authorships[book.isbn] for book in new_books}
    known = set(Author.objects.filter(name__in=wanted).values_list("name", flat=True))
    new_authors = [catalogue.authors[name] for name in sorted(wanted - known)]
    Author.objects.bulk_create(new_authors, batch_size=BATCH)
    Book.objects.bulk_create(new_books, batch_size=BATCH)
    author_pks = dict(Author.objects.filter(name__in=wanted).values_list("name", "pk"))
    book_pks = pks_by("isbn", Book, [book.isbn for book in new_books])
    authorship = Book.authors.through
    ties = [
        authorship(book_id=book_pks[book.isbn], author_id=author_pks[catalogue.authorships[book.isbn]])
        for book in new_books
    ]
    authorship.objects.bulk_create(ties, batch_size=BATCH)
    logger.info("authors: %d rows added", len(new_authors))
    logger.info("books: %d rows added", len(new_books))


def add_copies(catalogue: seeding.Catalogue, new_books: list[Book]) -> list[Copy]:
    """Save the copies of the new books and return them as stored."""
    book_pks = pks_by("isbn", Book, [book.isbn for book in new_books])
    copies = []
    for book in new_books:
        for copy in catalogue.copies[book.isbn]:
            copy.book_id = book_pks[book.isbn]
            copies.append(copy)
    Copy.objects.bulk_create(copies, batch_size=BATCH)
    logger.info("copies: %d rows added", len(copies))
    return list(Copy.objects.filter(book_id__in=book_pks.values()))


def add_loans(copies: list[Copy]) -> None:
    """Save the history of the copies, lent to readers who cannot sign in."""
    user_model = get_user_model()
    known = set(user_model.objects.values_list("username", flat=True))
    user_model.objects.bulk_create(
        user_model(username=name, password=make_password(None)) for name in seeding.READERS if name not in known
    )
    pks = dict(user_model.objects.filter(username__in=seeding.READERS).values_list("username", "pk"))
    reader_pks = [pks[name] for name in seeding.READERS]
    loans = [loan for copy in copies for loan in seeding.loans_of(copy, reader_pks)]
    Loan.objects.bulk_create(loans, batch_size=BATCH)
    logger.info("loans: %d rows added", len(loans))


def pks_by(field: str, model: type[Book], values: list[str]) -> dict[str, int]:
    """Look keys up again after a bulk save, as not every database returns them."""
    return {value: row.pk for value, row in model.objects.in_bulk(values, field_name=field).items()}
