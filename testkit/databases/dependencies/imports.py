"""What a migration file imports that its outcome depends on, read from its text."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import ast

WITHOUT_EFFECT = frozenset(
    {
        "choices",
        "editable",
        "error_messages",
        "help_text",
        "limit_choices_to",
        "related_name",
        "related_query_name",
        "storage",
        "upload_to",
        "validators",
        "verbose_name",
        "verbose_name_plural",
    }
)
"""Arguments of fields that change neither a table nor a row."""
_IMPORT = re.compile(
    rb"(?:^|[;:])[ \t]*(?:from(?=[ \t\\.])[ \t\\\n]*([.\w]+)|import(?=[ \t\\])([^\n;#]+))", re.MULTILINE
)


class _Import(NamedTuple):
    bound: str
    """The dotted name by which it is used; empty when that is not known."""
    names: tuple[str, ...]
    """The modules that it may mean."""


def imported_names(source: bytes) -> list[str]:
    """Return what the text of a migration imports and uses for more than what has no effect on the database.

    ``from shop import sizes`` gives ``shop`` and ``shop.sizes``, which may be a module or not. Relative names keep their
    dots. Django and the standard library are left out: their versions tell what they are. An import is passed over when
    all that it is used for are arguments such as ``upload_to=shop.models.path_of``, which ``makemigrations`` writes;
    else each change of ``shop/models.py`` would be a change of the database.
    """
    if not any(is_of_a_project(name) for name in _quickly(source)):
        return []
    import ast  # here, as what is remembered needs no parser

    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return []  # Django will say so
    used, deciding = set(_used(tree, decides=False)), set(_used(tree, decides=True))
    names: set[str] = set()
    for found in _imports(tree):
        if not found.bound or _has(deciding, found.bound) or not _has(used, found.bound):
            names.update(filter(is_of_a_project, found.names))
    return sorted(names)


def _quickly(source: bytes) -> Iterator[str]:
    """Yield at least all names that follow ``import`` and ``from``; to parse takes a hundred times as long."""
    for origin, names in _IMPORT.findall(source):
        for name in (origin or names).split(b","):
            yield (name.split() or [b""])[0].decode(errors="replace")


def is_of_a_project(name: str) -> bool:
    """Return whether the module ``name`` is neither Django's nor of the standard library."""
    top = name.partition(".")[0]
    return top != "django" and top not in sys.stdlib_module_names


def _imports(tree: ast.AST) -> Iterator[_Import]:
    import ast

    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield _Import(alias.asname or alias.name, (alias.name,))
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            for alias in node.names:
                if alias.name == "*":
                    yield _Import("", (origin,))
                else:
                    within = f"{origin}{alias.name}" if origin.endswith(".") else f"{origin}.{alias.name}"
                    yield _Import(alias.asname or alias.name, (origin, within))


def _used(tree: ast.AST, *, decides: bool) -> Iterator[str]:
    """Yield the dotted names that are used in ``tree``; with ``decides`` without those that have no effect."""
    import ast

    nodes: list[tuple[ast.AST, bool]] = [(tree, False)]
    while nodes:
        node, is_migration = nodes.pop()
        name = _dotted(node)
        if name:
            yield name
            continue
        if isinstance(node, ast.ClassDef) and node.name == "Migration":
            is_migration = True
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            is_migration = False  # what code does with an argument of this name nobody knows
        for child in ast.iter_child_nodes(node):
            if decides and is_migration and isinstance(child, ast.keyword) and child.arg in WITHOUT_EFFECT:
                continue
            nodes.append((child, is_migration))


def _dotted(node: ast.AST) -> str:
    import ast

    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(names)]) if isinstance(node, ast.Name) else ""


def _has(used: set[str], bound: str) -> bool:
    return any(name == bound or name.startswith(f"{bound}.") for name in used)
