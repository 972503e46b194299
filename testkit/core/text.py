"""Text for people and files: nothing invisible in it, and no longer than asked for."""

from __future__ import annotations

import functools
import re

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


def readable(text: str) -> str:
    """Return ``text`` as :func:`visible` does, also without what turns the direction of writing or has no width.

    For pages, where a browser would act on such characters; tabs and line ends stay.
    """
    if text.isprintable():
        return text
    # By lines, of which most are printable: this says so of them at once.
    return "\n".join(line if line.isprintable() else _spelt(line) for line in text.split("\n"))


def _spelt(line: str) -> str:
    return "".join(char if char.isprintable() or char == "\t" else ascii(char)[1:-1] for char in line)


def one_line(text: str, limit: int) -> str:
    """Return ``text`` on one line as :func:`readable` has it, without its middle if it is longer than ``limit``."""
    return readable(" ".join(cut_middle(text, limit).split()))


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
