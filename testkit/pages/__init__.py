"""What the HTML pages that testkit writes have in common: one file each, which needs no server and loads nothing.

A page's style, script and data stand in it, and its content security policy names the first two by their hashes: what
tests are called, print and raise can neither run in it nor send anything away.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django.template.base import Template

BASE_CSS = Path(__file__).parent / "base.css"
"""The colours of all pages, and what their buttons look like."""


def policy(styles: str, script: str = "", sources: Mapping[str, str] | None = None) -> str:
    """Return a content security policy: the page's own ``styles`` and ``script``, and nothing else.

    ``sources`` adds directives: ``{"img-src": "data:"}``. No script may make markup of text (trusted types).
    """
    directives = {
        "default-src": "'none'",
        "style-src": hash_of(styles),
        **({"script-src": hash_of(script)} if script else {}),
        **(sources or {}),
        "base-uri": "'none'",
        "form-action": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in directives.items())


def hash_of(text: str) -> str:
    """Return the hash of a style or script as a policy has it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@functools.cache
def asset(path: Path) -> str:
    """Return the text of a file that belongs to a page."""
    return path.read_text(encoding="utf-8")


@functools.cache
def template(path: Path) -> Template:
    """Return the template in the file ``path``; no settings are needed, and everything in it is escaped."""
    from django.template import Engine

    lines = asset(path).splitlines()  # a large part of a large page would be the indentation
    return Engine(autoescape=True).from_string("\n".join(filter(None, map(str.strip, lines))))


def embedded(data: Any) -> str:
    """Return ``data`` as JSON for a ``<script type="application/json">``, which nothing in it can end.

    See https://html.spec.whatwg.org/#restrictions-for-contents-of-script-elements: ``<!--``, ``<script`` and
    ``</script`` all begin with what JSON can spell otherwise. Not everything is ASCII here, as in the journal: that
    would triple the size of what is not English.
    """
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
