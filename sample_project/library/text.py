"""Text helpers: the forms of a title or a name that are sorted and searched."""

import re
import unicodedata

APOSTROPHES = "'’"
LEADING_ARTICLES = {
    "en": re.compile(r"(?:the|an?)\s+", re.IGNORECASE),
    "fr": re.compile(r"(?:l['’]|(?:les?|la|une?|des)\s+)", re.IGNORECASE),
    "de": re.compile(r"(?:der|die|das|eine?)\s+", re.IGNORECASE),
}


def normalise(text: str) -> str:
    """Return `text` in lower case without accents or punctuation.

    Databases disagree on whether "é" equals "e", so the answer is settled here, once for all of them.
    """
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    letters = (char for char in decomposed if not unicodedata.combining(char) and char not in APOSTROPHES)
    return " ".join("".join(char if char.isalnum() else " " for char in letters).split())


def sort_title(title: str, language: str) -> str:
    """Return the key a title is filed under: normalised, and without the article it opens with.

    The language matters: "Die" opens a German title with an article and an English one with a verb.
    """
    article = LEADING_ARTICLES.get(language)
    found = article.match(title) if article else None
    filed = title[found.end() :] if found else title
    return normalise(filed) or normalise(title)
