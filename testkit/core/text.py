"""Text for people and files: nothing invisible in it, and no longer than asked for."""

from __future__ import annotations

import functools
import re

_MISLEADING = re.compile("[\x85\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")


@functools.cache  # made when first needed: it takes as long as all else that a run imports from here
def _invisible() -> re.Pattern[str]:
    # All code points but control characters (tab and line ends stay), lone surrogates and what Unicode calls noncharacters.
    # XML 1.0 forbids most of these (https://www.w3.org/TR/xml/#charsets, "Char") and discourages the others (the note
    # there); terminals act on them. ASCII stands first: ranges are tried in their order, and most text is found there.
    later_planes = "".join(f"{chr(plane << 16)}-{chr((plane << 16) + 0xFFFD)}" for plane in range(1, 17))
    return re.compile(f"[^ -~\t\n\r\x85\xa0-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd{later_planes}]")


def visible(text: str) -> str:
    r"""Return ``text`` with what XML, UTF-8 or a terminal cannot take as Python would spell it: ``\x1b``, ``\udc80``.

    Tabs, line ends and everything that has a glyph stay as they are.
    """
    # Most texts are names on one line, and this says of them in a twentieth of the time that nothing is to be done.
    return text if text.isprintable() else _invisible().sub(_spell, text)


def _spell(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def unmistakable(text: str) -> str:
    r"""Return ``text`` as :func:`visible` has it, with what changes the look of a line spelled, too: ``\u202e``.

    These are marks that turn its direction (https://www.unicode.org/reports/tr9/), by which a page shows something else
    than is in it, and ends of line that only some programs take for one.
    """
    return _MISLEADING.sub(_spell, visible(text))


def one_line(text: str, limit: int) -> str:
    """Return ``text`` on one line as :func:`unmistakable` has it, without its middle if it is longer than ``limit``."""
    return " ".join(unmistakable(cut_middle(text, limit)).split())


def first_line(text: str) -> str:
    """Return the first line of ``text`` that says something."""
    return text.strip().partition("\n")[0]


def cut_middle(text: str, limit: int, missing: int = 0) -> str:
    """Return ``text``, or its two ends with how many characters were cut between them if it is longer than ``limit``.

    Args:
        text: what may be too long; output says most at its beginning and at its end, so both are kept.
        limit: the most characters that the result has, the note about the cut included (which stays whole even
            when the limit is shorter than it). So a text that was cut is not cut again by the same limit.
        missing: how many characters of it are gone already, with ``limit`` characters or more left on each side.
    """
    length = len(text) + missing
    if length <= limit:
        return text
    kept = max(limit - len(_note(length)), 0)
    tail = kept // 2
    return text[: kept - tail] + _note(length - kept) + text[len(text) - tail :]


def _note(characters: int) -> str:
    return f"\n[… {characters} characters cut …]\n"


def without_addresses(text: str) -> str:
    """Return ``text``, a ``repr``, without the addresses of objects in it, which differ from run to run."""
    return _ADDRESS.sub("", text)
