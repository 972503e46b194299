"""Invented books, copies and loans, the same ones for the same seed."""

import datetime
import random
from dataclasses import dataclass

from library import isbn
from library.models import Author, Book, Copy, Genre, Language, Loan

MAX_BOOKS = 9_999
MAX_SEED = 9_999
FIRST_DAY = datetime.date(2024, 1, 1)
LOAN_DAYS = 21
READERS = tuple(f"reader{number:02}" for number in range(1, 9))
GIVEN_NAMES = ("Ada", "Bertram", "Clara", "Dorian", "Edith", "Felix", "Greta", "Hugo", "Ines", "Jasper")
FAMILY_NAMES = ("Ashdown", "Bellamy", "Crane", "Dunmore", "Eastlake", "Fairfax", "Grünwald", "Hallé")
ADJECTIVES = ("Silent", "Crooked", "Golden", "Forgotten", "Northern", "Painted", "Restless", "Winter")
NOUNS = (
    "Harbour",
    "Orchard",
    "Lantern",
    "Parish",
    "Voyage",
    "Garden",
    "Inheritance",
    "Mill",
    "Atlas",
    "Tide",
)
SHELVES = ("Main hall", "Gallery", "Reading room", "Basement")


@dataclass(frozen=True)
class Catalogue:
    """What one seed describes, none of it saved; keys stand for the rows the parts belong to."""

    authors: dict[str, Author]
    books: list[Book]
    authorships: dict[str, str]
    copies: dict[str, list[Copy]]


def catalogue(number: int, seed: int) -> Catalogue:
    """Describe `number` books; a smaller number describes the beginning of the same list."""
    authors = {author.name: author for author in _authors()}
    books, authorships, copies = [], {}, {}
    for index in range(number):
        chance = random.Random(f"book {seed} {index}")
        book = _book(chance, seed, index)
        books.append(book)
        authorships[book.isbn] = chance.choice(list(authors))
        copies[book.isbn] = _copies(chance, seed, index)
    return Catalogue(authors, books, authorships, copies)


def loans_of(copy: Copy, reader_pks: list[int]) -> list[Loan]:
    """Describe the history of a copy: up to four loans, one after another, all returned."""
    chance = random.Random(f"loans {copy.barcode}")
    day = FIRST_DAY + datetime.timedelta(days=chance.randrange(120))
    loans = []
    for _ in range(chance.randint(0, 4)):
        kept = datetime.timedelta(days=chance.randint(1, 30))
        due = day + datetime.timedelta(days=LOAN_DAYS)
        reader = chance.choice(reader_pks)
        loans.append(Loan(copy=copy, borrower_id=reader, borrowed_on=day, due_on=due, returned_on=day + kept))
        day += kept + datetime.timedelta(days=chance.randint(1, 90))
    return loans


def _authors() -> list[Author]:
    """Describe every combination of a given name and a family name."""
    authors = []
    for family in FAMILY_NAMES:
        for given in GIVEN_NAMES:
            author = Author(name=f"{given} {family}", sort_name=f"{family}, {given}")
            author.fill_search_text()
            authors.append(author)
    return authors


def _book(chance: random.Random, seed: int, index: int) -> Book:
    """Describe a book whose ISBN holds the seed and the index, which makes it easy to find again."""
    digits = f"9798{seed:04}{index:04}"
    book = Book(
        title=f"The {chance.choice(ADJECTIVES)} {chance.choice(NOUNS)}",
        isbn=digits + isbn.check_digit(digits),
        genre=chance.choice(Genre.values),
        published_year=chance.randint(1850, 1925),
        language=Language.ENGLISH,
        page_count=chance.randint(80, 720),
        added_on=FIRST_DAY - datetime.timedelta(days=chance.randint(1, 700)),
    )
    book.fill_search_fields()
    return book


def _copies(chance: random.Random, seed: int, index: int) -> list[Copy]:
    """Describe one to three copies, not yet tied to their book."""
    return [
        Copy(
            barcode=f"S{seed:04}-{index:04}-{number}",
            condition=chance.choice(Copy.Condition.values),
            location=f"{chance.choice(SHELVES)}, shelf {chance.randint(1, 40)}",
        )
        for number in range(1, chance.randint(1, 3) + 1)
    ]
