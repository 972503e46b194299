"""The catalogue table, answered in the server-side protocol of DataTables."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import OuterRef, Subquery

from library.models import Author, Book, BookQuerySet
from library.params import ParameterError, read_choice, read_int

MAX_LENGTH = 100
DEFAULT_LENGTH = 10
ALL_ROWS = -1
MAX_SEARCH = 100
ORDER_FIELDS = {
    "title": "sort_title",
    "authors": "first_author",
    "genre": "genre",
    "year": "published_year",
    "language": "language",
    "pages": "page_count",
    "available": "available_count",
}


@dataclass(frozen=True)
class TableRequest:
    """What the table asks for, checked."""

    draw: int
    start: int
    length: int
    search: str
    order_by: str
    descending: bool

    @classmethod
    def parse(cls, params: Mapping[str, str]) -> "TableRequest":
        """Read the query string of a DataTables request."""
        return cls(
            draw=_at_least(0, "draw", read_int(params, "draw")),
            start=_at_least(0, "start", read_int(params, "start", default=0)),
            length=_length(params),
            search=_search(params),
            order_by=_order_field(params),
            descending=read_choice(params, "order[0][dir]", ("asc", "desc"), default="asc") == "desc",
        )


def answer(asked: TableRequest) -> dict[str, Any]:
    """Return the page of the table that was asked for."""
    books = Book.objects.all()
    total = books.count()
    found = books.search(asked.search)
    direction = "-" if asked.descending else ""
    page = _with_first_author(found).for_cards().order_by(f"{direction}{asked.order_by}", "sort_title", "pk")
    return {
        "draw": asked.draw,
        "recordsTotal": total,
        "recordsFiltered": found.count() if asked.search else total,
        "data": [_row(book) for book in page[asked.start : asked.start + asked.length]],
    }


def _with_first_author(books: BookQuerySet) -> BookQuerySet:
    """Add the name a book is filed under; a join would repeat books that have two authors."""
    authors = Author.objects.filter(books=OuterRef("pk")).order_by("sort_name", "pk")
    return books.annotate(first_author=Subquery(authors.values("sort_name")[:1]))


def _row(book: Book) -> dict[str, Any]:
    return {
        "title": book.title,
        "url": book.get_absolute_url(),
        "authors": book.author_names,
        "genre": book.get_genre_display(),
        "year": book.published_year,
        "language": book.get_language_display(),
        "language_code": book.language,
        "pages": book.page_count,
        "available": book.available_count,
        "copies": book.copy_count,
    }


def _at_least(least: int, name: str, value: int) -> int:
    if value < least:
        raise ParameterError(f"{name} must be at least {least}.")
    return value


def _length(params: Mapping[str, str]) -> int:
    """Return the number of rows, capped: a table that asks for everything gets the most there is to get."""
    length = read_int(params, "length", default=DEFAULT_LENGTH)
    if length == ALL_ROWS:
        return MAX_LENGTH
    return min(_at_least(1, "length", length), MAX_LENGTH)


def _search(params: Mapping[str, str]) -> str:
    search = params.get("search[value]", "").strip()
    if len(search) > MAX_SEARCH:
        raise ParameterError(f"search[value] must have at most {MAX_SEARCH} characters.")
    return search


def _order_field(params: Mapping[str, str]) -> str:
    """Return the field behind the column the table is ordered by; only known names reach the database."""
    column = _at_least(0, "order[0][column]", read_int(params, "order[0][column]", default=0))
    names = list(ORDER_FIELDS)
    default = names[column] if column < len(names) else ""
    name = params.get(f"columns[{column}][data]", default)
    if name not in ORDER_FIELDS:
        raise ParameterError("order[0][column] must be a column of this table.")
    return ORDER_FIELDS[name]
