"""The library's catalogue and its loans."""

import datetime
from collections.abc import Collection
from typing import Self

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Count, Exists, F, OuterRef, Q
from django.urls import reverse
from django.utils import timezone

from library import isbn, text


class Genre(models.TextChoices):
    """The shelves of the library."""

    NOVEL = "novel", "Novel"
    GOTHIC = "gothic", "Gothic"
    SCIENCE_FICTION = "scifi", "Science fiction"
    ADVENTURE = "adventure", "Adventure"
    POETRY = "poetry", "Poetry"
    FOLKLORE = "folklore", "Folklore"
    TRAVEL = "travel", "Travel"


class Language(models.TextChoices):
    """The languages books are held in, by ISO 639-1 code."""

    ENGLISH = "en", "English"
    FRENCH = "fr", "French"
    GERMAN = "de", "German"


class AuthorQuerySet(models.QuerySet["Author"]):
    """The questions the pages ask about authors."""

    def search(self, query: str) -> Self:
        """Return the authors whose name holds every word of `query`."""
        authors = self
        for word in text.normalise(query).split():
            authors = authors.filter(search_text__contains=word)
        return authors


class Author(models.Model):
    """A person who wrote books of the library."""

    name = models.CharField(max_length=120, help_text="As printed on a title page.")
    sort_name = models.CharField(max_length=120, help_text="As filed: family name first.")
    search_text = models.CharField(max_length=160, blank=True, default="", editable=False)
    born = models.SmallIntegerField(null=True, blank=True)
    died = models.SmallIntegerField(null=True, blank=True)
    biography = models.TextField(blank=True)

    objects = AuthorQuerySet.as_manager()

    class Meta:
        ordering = ["sort_name", "pk"]
        indexes = [models.Index(fields=["sort_name"], name="author_sort_name_idx")]
        constraints = [
            models.CheckConstraint(
                condition=Q(born__isnull=True) | Q(died__isnull=True) | Q(died__gte=F("born")),
                name="author_died_after_birth",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args, update_fields: Collection[str] | None = None, **kwargs) -> None:
        """Keep the searched form of the name in step with the name."""
        self.fill_search_text()
        if update_fields is not None and "name" in update_fields:
            update_fields = {*update_fields, "search_text"}
        super().save(*args, update_fields=update_fields, **kwargs)

    def get_absolute_url(self) -> str:
        return reverse("library:author", args=[self.pk])

    def fill_search_text(self) -> None:
        """Set the searched form; code that saves in bulk calls this itself."""
        self.search_text = text.normalise(self.name)

    @property
    def years(self) -> str:
        """The years of life as printed after a name, or nothing when both are unknown."""
        if self.born is None and self.died is None:
            return ""
        return f"{'' if self.born is None else self.born}–{'' if self.died is None else self.died}"


class BookQuerySet(models.QuerySet["Book"]):
    """The questions the pages ask about books."""

    def search(self, query: str) -> Self:
        """Return the books with every word of `query` in the title or an author's name, or with that ISBN."""
        number = isbn.compact(query)
        if isbn.looks_like_isbn(number):
            return self.filter(isbn=number)
        books = self
        for word in text.normalise(query).split():
            by_author = Author.objects.filter(books=OuterRef("pk"), search_text__contains=word)
            books = books.filter(Q(search_text__contains=word) | Q(Exists(by_author)))
        return books

    def with_availability(self) -> Self:
        """Add `copy_count` and `available_count`, so that a list needs no query per book.

        A grouped query forgets the order of its model, so the order is stated again.
        """
        on_loan = Count("copies__loans", filter=Q(copies__loans__returned_on__isnull=True), distinct=True)
        copies = Count("copies", distinct=True)
        return self.annotate(copy_count=copies, available_count=copies - on_loan).order_by("sort_title", "pk")

    def for_cards(self) -> Self:
        """Load what the card of a book shows."""
        return self.with_availability().prefetch_related("authors")


class Book(models.Model):
    """An edition; the things on the shelves are its copies."""

    title = models.CharField(max_length=200)
    sort_title = models.CharField(max_length=250, blank=True, default="", editable=False)
    search_text = models.CharField(max_length=250, blank=True, default="", editable=False)
    authors = models.ManyToManyField(Author, related_name="books")
    isbn = models.CharField("ISBN", max_length=13, unique=True, validators=[isbn.validate_isbn])
    genre = models.CharField(max_length=12, choices=Genre)
    published_year = models.SmallIntegerField()
    language = models.CharField(max_length=2, choices=Language, default=Language.ENGLISH)
    page_count = models.PositiveSmallIntegerField(validators=[MinValueValidator(1)])
    description = models.TextField(blank=True)
    featured = models.BooleanField(default=False, help_text="Shown at the top of the home page.")
    added_on = models.DateField(default=timezone.localdate)

    objects = BookQuerySet.as_manager()

    class Meta:
        ordering = ["sort_title", "pk"]
        indexes = [
            models.Index(fields=["sort_title"], name="book_sort_title_idx"),
            models.Index(fields=["genre", "sort_title"], name="book_genre_title_idx"),
            models.Index(fields=["-added_on"], name="book_added_on_idx"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(page_count__gte=1), name="book_has_pages"),
        ]

    def __str__(self) -> str:
        return self.title

    def save(self, *args, update_fields: Collection[str] | None = None, **kwargs) -> None:
        """Keep the sorted and searched forms of the title in step with the title."""
        self.fill_search_fields()
        if update_fields is not None and {"title", "language"} & set(update_fields):
            update_fields = {*update_fields, "sort_title", "search_text"}
        super().save(*args, update_fields=update_fields, **kwargs)

    def get_absolute_url(self) -> str:
        return reverse("library:book", args=[self.pk])

    def fill_search_fields(self) -> None:
        """Set the derived forms of the title; code that saves in bulk calls this itself."""
        self.sort_title = text.sort_title(self.title, self.language)
        self.search_text = text.normalise(self.title)

    @property
    def author_names(self) -> str:
        """The authors in one line; uses what was prefetched."""
        return ", ".join(author.name for author in self.authors.all())


class Copy(models.Model):
    """One thing on a shelf, with a barcode of its own."""

    class Condition(models.TextChoices):
        NEW = "new", "New"
        GOOD = "good", "Good"
        WORN = "worn", "Worn"
        DAMAGED = "damaged", "Damaged"

    book = models.ForeignKey(Book, on_delete=models.CASCADE, related_name="copies")
    barcode = models.CharField(max_length=20, unique=True)
    condition = models.CharField(max_length=8, choices=Condition, default=Condition.GOOD)
    location = models.CharField(max_length=40)

    class Meta:
        ordering = ["barcode"]
        verbose_name_plural = "copies"

    def __str__(self) -> str:
        return f"{self.barcode} ({self.book})"


class LoanQuerySet(models.QuerySet["Loan"]):
    """The states a loan can be in."""

    def open(self) -> Self:
        """Return the loans whose copy has not come back."""
        return self.filter(returned_on__isnull=True)

    def overdue(self, on: datetime.date) -> Self:
        """Return the open loans that should have come back before the day `on`."""
        return self.open().filter(due_on__lt=on)


class Loan(models.Model):
    """The lending of a copy to a reader; kept after the return, as history."""

    copy = models.ForeignKey(Copy, on_delete=models.PROTECT, related_name="loans")
    borrower = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="loans")
    borrowed_on = models.DateField()
    due_on = models.DateField()
    returned_on = models.DateField(null=True, blank=True)

    objects = LoanQuerySet.as_manager()

    class Meta:
        ordering = ["-borrowed_on", "-pk"]
        indexes = [
            models.Index(fields=["borrower", "returned_on"], name="loan_borrower_returned_idx"),
            models.Index(fields=["borrowed_on"], name="loan_borrowed_on_idx"),
            models.Index(fields=["returned_on", "due_on"], name="loan_returned_due_idx"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["copy"], condition=Q(returned_on__isnull=True), name="loan_one_open_per_copy"
            ),
            models.CheckConstraint(condition=Q(due_on__gte=F("borrowed_on")), name="loan_due_after_borrowed"),
            models.CheckConstraint(
                condition=Q(returned_on__isnull=True) | Q(returned_on__gte=F("borrowed_on")),
                name="loan_returned_after_borrowed",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.copy.barcode} to {self.borrower} on {self.borrowed_on:%Y-%m-%d}"

    @property
    def is_open(self) -> bool:
        return self.returned_on is None

    def is_overdue(self, on: datetime.date) -> bool:
        """Say whether the copy should have come back before the day `on` and has not."""
        return self.is_open and self.due_on < on
