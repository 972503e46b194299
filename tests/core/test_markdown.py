"""Text of tests cannot leave the code that it stands in."""

from __future__ import annotations

import pytest
from markdown_it import MarkdownIt

from testkit.core.markdown import block, code

NASTY = [
    "`",
    "``",
    "a`",
    "`a``b`",
    "<b>",
    "@me #1 ![x](y)",
    "a\n\n# b",
    "",
    " ",
    "\\`",
    "a\r- b",
    "```\n~~~\n```",
    "&amp;",
]


@pytest.mark.parametrize("text", NASTY)
def test_a_parser_finds_one_span_and_one_block(text):
    """A parser of CommonMark finds a span, or a block, and nothing else, whatever is in it."""
    (paragraph,) = [token for token in MarkdownIt().parse(f"- {code(text)}") if token.type == "inline"]
    assert [leaf.type for leaf in paragraph.children] == ["code_inline"]
    (fence,) = MarkdownIt().parse(block(text))
    assert fence.type == "fence"
    if text.strip("\n") == text:
        assert fence.content.rstrip("\n") == text.replace("\r", "\\r")


def test_a_name_turns_nothing_round():
    """Characters that change the direction of text are spelled in a span."""
    assert code("a\u202eb\u2066c") == r"`a\u202eb\u2066c`"
