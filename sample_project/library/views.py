"""The pages of the library, and the two endpoints their scripts read."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.views import redirect_to_login
from django.db.models import Count, Prefetch
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.formats import date_format
from django.views.decorators.http import require_GET, require_POST
from django.views.generic import DetailView, ListView, TemplateView

from library import lending, statistics, table, text
from library.models import Author, Book, BookQuerySet, Copy, Genre, Loan, LoanQuerySet
from library.params import json_errors

FEATURED_BOOKS = 4
RECENT_BOOKS = 8
FOUND_AUTHORS = 6
MAX_QUERY = 100


@require_GET
def home(request: HttpRequest) -> HttpResponse:
    """Show a choice of books and how large the library is."""
    copies, on_loan = Copy.objects.count(), Loan.objects.open().count()
    context = {
        "featured": Book.objects.for_cards().filter(featured=True)[:FEATURED_BOOKS],
        "recent": Book.objects.for_cards().order_by("-added_on", "sort_title")[:RECENT_BOOKS],
        "counts": {
            "Books": Book.objects.count(),
            "Authors": Author.objects.count(),
            "Copies": copies,
            "Available now": copies - on_loan,
        },
    }
    return render(request, "library/home.html", context)


class BookListView(ListView):
    """All books in the order of their titles, or those of one genre."""

    template_name = "library/book_list.html"
    context_object_name = "books"
    paginate_by = 12

    def get_queryset(self) -> BookQuerySet:
        books = Book.objects.for_cards()
        return books.filter(genre=self.genre) if self.genre else books

    def get_context_data(self, **kwargs) -> dict[str, Any]:
        return super().get_context_data(genres=Genre.choices, genre=self.genre, **kwargs)

    @property
    def genre(self) -> str:
        """The genre asked for; an unknown one is no filter, as old links should not break."""
        asked = self.request.GET.get("genre", "")
        return asked if asked in Genre.values else ""


class BookDetailView(DetailView):
    """A book and which of its copies are in."""

    template_name = "library/book_detail.html"

    def get_queryset(self) -> BookQuerySet:
        open_loans = Prefetch("loans", queryset=Loan.objects.open(), to_attr="open_loans")
        copies = Prefetch("copies", queryset=Copy.objects.prefetch_related(open_loans))
        return Book.objects.for_cards().prefetch_related(copies)


class SearchView(ListView):
    """Books, and a few authors, that match what was typed."""

    template_name = "library/search.html"
    context_object_name = "books"
    paginate_by = 12

    def get_queryset(self) -> BookQuerySet:
        return Book.objects.for_cards().search(self.query) if self.query else Book.objects.none()

    def get_context_data(self, **kwargs) -> dict[str, Any]:
        authors = Author.objects.search(self.query)[:FOUND_AUTHORS] if self.query else []
        return super().get_context_data(query=self.query, authors=authors, **kwargs)

    @property
    def query(self) -> str:
        """What was typed, or nothing when it holds no letter or digit to look for."""
        typed = self.request.GET.get("q", "").strip()[:MAX_QUERY]
        return typed if text.normalise(typed) else ""


class AuthorListView(ListView):
    """All authors, as filed, with the number of their books."""

    template_name = "library/author_list.html"
    context_object_name = "authors"
    paginate_by = 40
    queryset = Author.objects.annotate(book_count=Count("books")).order_by("sort_name", "pk")


class AuthorDetailView(DetailView):
    """An author and the books by them."""

    template_name = "library/author_detail.html"
    queryset = Author.objects.prefetch_related(
        Prefetch("books", queryset=Book.objects.for_cards().order_by("published_year", "sort_title"))
    )


class MyLoansView(LoginRequiredMixin, ListView):
    """What the reader has at home, and what they had."""

    template_name = "library/my_loans.html"
    context_object_name = "past_loans"
    paginate_by = 20

    def loans(self) -> LoanQuerySet:
        loans = Loan.objects.filter(borrower=self.request.user).select_related("copy__book")
        return loans.prefetch_related("copy__book__authors")

    def get_queryset(self) -> LoanQuerySet:
        return self.loans().filter(returned_on__isnull=False)

    def get_context_data(self, **kwargs) -> dict[str, Any]:
        today = timezone.localdate()
        open_loans = list(self.loans().open().order_by("due_on", "pk"))
        for loan in open_loans:
            loan.late = loan.is_overdue(today)
        limit = lending.MAX_OPEN_LOANS
        return super().get_context_data(open_loans=open_loans, limit=limit, **kwargs)


@require_POST
def borrow(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Lend a copy to the reader; a visitor signs in first and comes back to the book, not to this URL."""
    copy = get_object_or_404(Copy.objects.select_related("book"), pk=pk)
    book_url = copy.book.get_absolute_url()
    if not request.user.is_authenticated:
        return redirect_to_login(book_url)
    try:
        loan = lending.borrow_copy(copy, request.user, timezone.localdate())
    except lending.LendingError as error:
        messages.error(request, str(error))
        return redirect(book_url)
    messages.success(request, f"You have borrowed {copy.book}. Please return it by {date_format(loan.due_on)}.")
    return redirect("library:my-loans")


@require_POST
@login_required
def give_back(request: HttpRequest, pk: int) -> HttpResponse:
    """Return one of the reader's own loans."""
    loan = get_object_or_404(Loan.objects.select_related("copy__book"), pk=pk, borrower=request.user)
    try:
        lending.return_loan(loan, timezone.localdate())
    except lending.LendingError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"Thank you for returning {loan.copy.book}.")
    return redirect("library:my-loans")


class CatalogueView(TemplateView):
    """The whole catalogue as a table that sorts and filters."""

    template_name = "library/catalogue.html"


class StatisticsView(TemplateView):
    """A chart of the loans and returns."""

    template_name = "library/statistics.html"

    def get_context_data(self, **kwargs) -> dict[str, Any]:
        """Offer the year that ends with the newest loan, so that the first chart shows something."""
        newest = Loan.objects.order_by("-borrowed_on").values_list("borrowed_on", flat=True).first()
        period = statistics.Period.parse({}, newest or timezone.localdate())
        return super().get_context_data(period=period, buckets=statistics.BUCKETS, **kwargs)


@require_GET
@json_errors
def catalogue_data(request: HttpRequest) -> JsonResponse:
    """Answer the catalogue table."""
    return JsonResponse(table.answer(table.TableRequest.parse(request.GET)))


@require_GET
@json_errors
def statistics_data(request: HttpRequest) -> JsonResponse:
    """Answer the statistics chart."""
    return JsonResponse(statistics.report(statistics.Period.parse(request.GET, timezone.localdate())))
