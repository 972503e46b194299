"""Text: what is invisible is shown, and what is too long is cut."""

import re

import pytest
from lxml import etree

from testkit.core.text import cut_middle, first_line, one_line, readable, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x00\x1b[0m\x7f\x9b", r"\x00\x1b[0m\x7f\x9b"),
        ("\udc80\ud800", r"\udc80\ud800"),
        ("\ufffe\uffff\ufdd0\U0001ffff", r"\ufffe\uffff\ufdd0\U0001ffff"),
    ],
    ids=["controls", "surrogates", "noncharacters"],
)
def test_invisible(text: str, shown: str) -> None:
    """What XML or a terminal cannot take is spelled as Python spells it."""
    assert visible(f"a{text}\n") == f"a{shown}\n"


def test_what_misleads_is_spelled() -> None:
    """Marks that turn the direction of a line, and ends of line that not all see, are spelled as well."""
    text = "a\u202eb\u2066c\u200f\u061c\u2028d\x85e\x1bf\n"
    assert readable(text) == r"a\u202eb\u2066c\u200f\u061c\u2028d\x85e\x1bf" + "\n"


def test_one_line() -> None:
    """A text becomes one line, with a note in the place of its middle when it is too long; or its first line alone."""
    assert one_line(" a\r\n\tb \u202e", 100) == r"a b \u202e"
    assert re.fullmatch(r"x+ \[… \d+ characters cut …\] x+", one_line("x" * 500, 100))
    assert first_line("\n  first \nsecond") == "first "


@pytest.mark.parametrize("text", ["", "a\tb\r\nc\x85d", "]]> & <", "é 漢 \u00ad\u200d 😀\u202e", "\ue000\U0010fffd"])
def test_untouched(text: str) -> None:
    """Text with line ends, markup, other scripts and private characters stays as it is."""
    assert visible(text) == text


def test_every_character_is_xml() -> None:
    """Of all code points, none that is left makes text that XML cannot hold."""
    everything = "".join(map(chr, range(0x110000)))
    element = etree.Element("all")
    element.text = visible(everything)
    parsed = etree.fromstring(etree.tostring(element, encoding="utf-8"), etree.XMLParser(huge_tree=True))
    assert parsed.text == element.text


def test_short_text_is_not_cut() -> None:
    """Text within the limit stays as it is."""
    assert cut_middle("x" * 100, 100) == "x" * 100


def test_cut() -> None:
    """Of text that is too long both ends stay, and the note between them says how much was cut."""
    text = "begin" + "x" * 10_000 + "end"
    cut = cut_middle(text, 100)
    head, note, tail = cut.split("\n")
    assert len(cut) <= 100
    assert text.startswith(head)
    assert head.startswith("begin")
    assert tail.endswith("xend")
    assert note == f"[… {len(text) - len(head) - len(tail)} characters cut …]"


def test_cut_twice() -> None:
    """Text that was cut is not cut again by the same limit."""
    cut = cut_middle("x" * 1000, 60)
    assert cut_middle(cut, 60) == cut


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\tb\nc é 書 🎉", "a\tb\nc é 書 🎉"),
        ("right\u202eto\u2066left", r"right\u202eto\u2066left"),
        ("zero\u200bwidth \ufeff", r"zero\u200bwidth \ufeff"),
        ("\x1b[0m\x00\n\ud800 \u2028", "\\x1b[0m\\x00\n\\ud800 \\u2028"),
    ],
)
def test_readable(text: str, shown: str) -> None:
    """What a browser would act on, or would not show, is spelled; what has a glyph, tabs and line ends stay."""
    assert readable(text) == shown


def test_cut_to_nothing() -> None:
    """A limit that is shorter than the note leaves the note."""
    assert cut_middle("x" * 1000, 3) == "\n[… 1000 characters cut …]\n"
