"""Texts of tests for the page: readable, each kept once, and no more of them than the page can take."""

from __future__ import annotations

from testkit.core.text import cut_middle, readable

SHORT = 300
"""Characters of a name or a reason."""
_LEAST = 160


class Texts:
    """The long texts of a page, which its data refer to by their places: many tests fail for one reason."""

    def __init__(self, most: int) -> None:
        """``most`` is how many characters there are at most, of all texts together."""
        self.all = [""]
        self.left_out = 0
        """How many texts were not taken any more."""
        self._left = most
        self._places: dict[str, int] = {}

    def keep(self, text: str, limit: int) -> int:
        """Take ``text``, of which ``limit`` characters are kept, and return its place.

        That is 0 when it is empty, or when there is no room for it: then it is counted.
        """
        if not text:
            return 0
        shown = _readable_ends(text, limit)
        place = self._places.get(shown)
        if place is not None:
            return place
        if len(shown) > self._left:
            self.left_out += 1
            return 0
        self._left -= len(shown)
        self._places[shown] = len(self.all)
        self.all.append(shown)
        return len(self.all) - 1

    def excerpt(self, text: str, limit: int) -> str:
        """Return ``text`` readable, of ``limit`` characters at most; of fewer, when there is no room left."""
        shown = short(text, limit if self._left > limit else _LEAST)
        self._left = max(self._left - len(shown), 0)
        return shown


def _readable_ends(text: str, limit: int) -> str:
    """Return ``text`` readable, and without its middle if it is longer than ``limit``.

    What is spelt out may be several times as long as it was, so it is cut afterwards; but not all of it is looked at.
    """
    if len(text) <= 2 * limit:
        return cut_middle(readable(text), limit)
    return cut_middle(readable(text[:limit]) + readable(text[-limit:]), limit, missing=len(text) - 2 * limit)


def short(text: str, limit: int = SHORT) -> str:
    """Return ``text`` readable, and cut if it is longer than ``limit`` characters."""
    shown = readable(text if len(text) <= limit else f"{text[:limit]}…")
    return shown if len(shown) <= 2 * limit else f"{shown[:limit]}…"
