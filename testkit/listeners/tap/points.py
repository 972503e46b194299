"""The lines of TAP: test points, their directives, and their diagnostics as YAML.

All text of tests is spelled so that it stays where it is: a description is one line without an unescaped ``#``, and
diagnostics are YAML whose text is double-quoted, line by line, where nothing can end the block or the document.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from testkit.core.text import cut_middle, one_line, readable

LONGEST_NAME = 1_000  # characters
LONGEST_TEXT = 20_000  # characters of a traceback, or of an output; the xunit file and the journal have more
NESTED = "    "

# Readers that know no escapes take this for a directive, even behind a backslash.
_DIRECTIVE = re.compile(r"#(?=\s*(?:skip|todo))", re.IGNORECASE)


def description(text: str) -> str:
    """Return ``text`` as a test point or a directive has it."""
    shown = one_line(text, LONGEST_NAME) or "?"
    return _DIRECTIVE.sub(r"\\x23", shown).replace("\\", "\\\\").replace("#", "\\#")


def point(ok: bool, number: int, name: str, directive: str = "", reason: str = "") -> str:
    """Return the line of a test point; ``directive`` is ``SKIP``, ``TODO`` or nothing, and ``reason`` says why."""
    line = f"{'ok' if ok else 'not ok'} {number} - {description(name)}"
    return f"{line} # {directive} {description(reason) if reason else ''}".rstrip() if directive else line


def diagnostic(told: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a YAML block with those of ``told`` that say something; none if nothing does."""
    said = {name: value for name, value in told.items() if value not in ("", 0, None, [], {})}
    if said:
        yield "  ---"
        for name, value in said.items():
            yield from _yaml(f"  {name}:", value, "    ")
        yield "  ..."


def lines_of(text: str) -> list[str]:
    """Return ``text`` as the lines that a block has of it."""
    return readable(cut_middle(text, LONGEST_TEXT)).rstrip("\n").split("\n") if text else []


def _yaml(key: str, value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield key
        for name, item in value.items():
            yield from _yaml(f"{indent}{name}:", item, f"{indent}  ")
    elif isinstance(value, Sequence) and not isinstance(value, str):
        yield key
        for item in value:
            if isinstance(item, Mapping):
                pairs = [line for name, inner in item.items() for line in _yaml(f"{name}:", inner, "  ")]
                yield from (f"{indent}{'- ' if not at else '  '}{line}" for at, line in enumerate(pairs))
            else:
                yield f"{indent}- {_scalar(item)}"
    else:
        yield f"{key} {_scalar(value)}"


def _scalar(value: Any) -> str:
    """Return a number, or text as a double-quoted scalar: JSON, of which all that might end a line is spelled."""
    if not isinstance(value, str):
        return json.dumps(value)
    quoted = json.dumps(value, ensure_ascii=False)
    return quoted if quoted.isprintable() else "".join(map(_spelled, quoted))


def _spelled(character: str) -> str:
    if character.isprintable():
        return character
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}"
