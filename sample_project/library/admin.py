"""The library in the admin site."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from library import isbn
from library.models import Author, Book, BookQuerySet, Copy, Loan, LoanQuerySet


class BookForm(forms.ModelForm):
    """Take an ISBN as it is printed; the model's validator sees it without hyphens."""

    isbn = forms.CharField(label="ISBN", max_length=20, help_text="Thirteen digits; hyphens are taken out.")

    class Meta:
        model = Book
        fields = (
            "title",
            "authors",
            "isbn",
            "genre",
            "published_year",
            "language",
            "page_count",
            "description",
            "featured",
            "added_on",
        )

    def clean_isbn(self) -> str:
        return isbn.compact(self.cleaned_data["isbn"])


class CopyInline(admin.TabularInline):
    model = Copy
    extra = 0


class LoanInline(admin.TabularInline):
    model = Loan
    extra = 0
    raw_id_fields = ("borrower",)


@admin.register(Author)
class AuthorAdmin(admin.ModelAdmin):
    list_display = ("sort_name", "name", "born", "died")
    search_fields = ("name", "sort_name", "search_text")


@admin.register(Book)
class BookAdmin(admin.ModelAdmin):
    form = BookForm
    inlines = (CopyInline,)
    list_display = ("title", "author_names", "genre", "published_year", "language", "available", "featured")
    list_filter = ("genre", "language", "featured")
    search_fields = ("title", "search_text", "isbn", "authors__name", "authors__search_text")
    autocomplete_fields = ("authors",)

    def get_queryset(self, request: HttpRequest) -> BookQuerySet:
        return super().get_queryset(request).for_cards()

    @admin.display(description="Available")
    def available(self, book: Book) -> str:
        return f"{book.available_count} of {book.copy_count}"


@admin.register(Copy)
class CopyAdmin(admin.ModelAdmin):
    inlines = (LoanInline,)
    list_display = ("barcode", "book", "condition", "location")
    list_filter = ("condition",)
    list_select_related = ("book",)
    search_fields = ("barcode", "book__title", "book__search_text")
    autocomplete_fields = ("book",)


class LoanStateFilter(admin.SimpleListFilter):
    """Loans by what the desk has to do about them."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return [("open", "On loan"), ("overdue", "Overdue"), ("returned", "Returned")]

    def queryset(self, request: HttpRequest, queryset: LoanQuerySet) -> QuerySet[Any]:
        match self.value():
            case "open":
                return queryset.open()
            case "overdue":
                return queryset.overdue(timezone.localdate())
            case "returned":
                return queryset.filter(returned_on__isnull=False)
        return queryset


@admin.register(Loan)
class LoanAdmin(admin.ModelAdmin):
    actions = ("mark_returned",)
    date_hierarchy = "borrowed_on"
    list_display = ("barcode", "book", "borrower", "borrowed_on", "due_on", "returned_on")
    list_filter = (LoanStateFilter, "borrowed_on")
    list_select_related = ("copy__book", "borrower")
    search_fields = ("copy__barcode", "copy__book__title", "borrower__username")
    autocomplete_fields = ("copy",)
    raw_id_fields = ("borrower",)

    @admin.display(ordering="copy__barcode")
    def barcode(self, loan: Loan) -> str:
        return loan.copy.barcode

    @admin.display(ordering="copy__book__sort_title")
    def book(self, loan: Loan) -> str:
        return loan.copy.book.title

    @admin.action(description="Mark returned today", permissions=["change"])
    def mark_returned(self, request: HttpRequest, queryset: LoanQuerySet) -> None:
        """Close the chosen loans that are open; the others keep the day they were closed on."""
        number = queryset.open().update(returned_on=timezone.localdate())
        self.message_user(request, f"Loans marked as returned: {number}.", messages.SUCCESS)
