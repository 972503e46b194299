"""Fill the sorted and searched forms of the titles and names stored before those fields existed.

The rules are written out again rather than imported: a migration must go on doing what it did when it
was written, whatever becomes of library.text.
"""

import re
import unicodedata

from django.db import migrations

BATCH = 500
LEADING_ARTICLES = {
    "en": re.compile(r"(?:the|an?)\s+", re.IGNORECASE),
    "fr": re.compile(r"(?:l['’]|(?:les?|la|une?|des)\s+)", re.IGNORECASE),
    "de": re.compile(r"(?:der|die|das|eine?)\s+", re.IGNORECASE),
}


def normalise(text):
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    letters = (char for char in decomposed if not unicodedata.combining(char) and char not in "'’")
    return " ".join("".join(char if char.isalnum() else " " for char in letters).split())


def sort_title(title, language):
    article = LEADING_ARTICLES.get(language)
    found = article.match(title) if article else None
    return normalise(title[found.end() :] if found else title) or normalise(title)


def fill(apps, schema_editor):
    alias = schema_editor.connection.alias
    books = apps.get_model("library", "Book").objects.using(alias)
    authors = apps.get_model("library", "Author").objects.using(alias)
    changed_books = list(books.only("title", "language"))
    for book in changed_books:
        book.sort_title = sort_title(book.title, book.language)
        book.search_text = normalise(book.title)
    books.bulk_update(changed_books, ["sort_title", "search_text"], batch_size=BATCH)
    changed_authors = list(authors.only("name"))
    for author in changed_authors:
        author.search_text = normalise(author.name)
    authors.bulk_update(changed_authors, ["search_text"], batch_size=BATCH)


def clear(apps, schema_editor):
    alias = schema_editor.connection.alias
    apps.get_model("library", "Book").objects.using(alias).update(sort_title="", search_text="")
    apps.get_model("library", "Author").objects.using(alias).update(search_text="")


class Migration(migrations.Migration):
    dependencies = [("library", "0002_search_fields")]

    operations = [migrations.RunPython(fill, clear)]
