"""The rules of borrowing and returning.

A loan is decided under row locks, so two requests at the same moment cannot both take the last copy
or the last of a reader's places. Where the database has no row locks, the unique constraint decides.
"""

import datetime
import logging

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, models, transaction

from library.models import Copy, Loan

LOAN_PERIOD = datetime.timedelta(days=21)
MAX_OPEN_LOANS = 5

logger = logging.getLogger(__name__)


class LendingError(Exception):
    """A rule forbids the loan; the message is for the reader."""


class CopyUnavailable(LendingError):
    """Somebody has the copy."""


class TooManyLoans(LendingError):
    """The reader has as many books as one may have."""


class ReaderOverdue(LendingError):
    """The reader must bring back an overdue book first."""


class AlreadyReturned(LendingError):
    """The loan is already closed."""


def borrow_copy(copy: Copy, borrower: AbstractBaseUser, today: datetime.date) -> Loan:
    """Lend `copy` to `borrower`, or raise the `LendingError` that forbids it."""
    with transaction.atomic():
        _lock(get_user_model(), borrower.pk)
        _lock(Copy, copy.pk)
        _check_reader(borrower, today)
        _check_copy(copy)
        loan = Loan(copy=copy, borrower=borrower, borrowed_on=today, due_on=today + LOAN_PERIOD)
        _save_open_loan(loan)
        transaction.on_commit(lambda: logger.info("Copy %s lent until %s", copy.barcode, loan.due_on))
    return loan


def return_loan(loan: Loan, today: datetime.date) -> Loan:
    """Close `loan` on the day `today`; the answer is the loan as stored."""
    with transaction.atomic():
        stored = Loan.objects.select_for_update().get(pk=loan.pk)
        if not stored.is_open:
            raise AlreadyReturned("This book has already been returned.")
        stored.returned_on = today
        stored.save(update_fields=["returned_on"])
        transaction.on_commit(lambda: logger.info("Copy %s returned", loan.copy.barcode))
    return stored


def _lock(model: type[models.Model], pk: int) -> None:
    """Hold a row until the end of the transaction; always the reader first, then the copy."""
    model._default_manager.select_for_update().get(pk=pk)


def _check_reader(borrower: AbstractBaseUser, today: datetime.date) -> None:
    """Refuse a reader who is late or has enough books."""
    loans = Loan.objects.filter(borrower=borrower)
    if loans.overdue(today).exists():
        raise ReaderOverdue("You have an overdue book. Please return it before you borrow another.")
    if loans.open().count() >= MAX_OPEN_LOANS:
        raise TooManyLoans(f"You have {MAX_OPEN_LOANS} books on loan, the most a reader may have.")


def _check_copy(copy: Copy) -> None:
    """Refuse a copy that is out."""
    if Loan.objects.open().filter(copy=copy).exists():
        raise CopyUnavailable("This copy is on loan.")


def _save_open_loan(loan: Loan) -> None:
    """Save the loan; a conflict means that somebody was quicker than the check."""
    try:
        with transaction.atomic():
            loan.save()
    except IntegrityError as error:
        raise CopyUnavailable("This copy has just been lent to somebody else.") from error
