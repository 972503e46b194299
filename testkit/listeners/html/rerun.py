"""The command that runs just one test again, as it is typed into a shell."""

from __future__ import annotations

import re
import shlex
from pathlib import PurePosixPath

PROGRAM = "python -m testkit"
"""What runs tests where the facts do not say what did."""


_PROGRAM = re.compile(r"python[\d.]* (-m )?[\w./-]+( test)?( --settings=[\w.]+)?", re.ASCII)


def is_program(text: str) -> bool:
    """Whether ``text`` is what testkit calls a program: a journal may come from a stranger, and people copy commands."""
    return _PROGRAM.fullmatch(text) is not None


def command_for(program: str, id: str, class_id: str = "", file: str = "") -> str:
    """Return the command; empty when there is none, or when pasting it could do something else.

    Args:
        program: what started the run: ``python manage.py test``.
        id: the id of the test, class or module.
        class_id: the class or module that it belongs to.
        file: where it is defined; pytest's command line has that.
    """
    label = _node(id, class_id, file) if "pytest" in program else id
    # A terminal acts on control characters, however they are quoted.
    if not label or not label.isprintable() or label.startswith("-"):
        return ""
    return f"{program} {shlex.quote(label)}"


def _node(id: str, class_id: str, file: str) -> str:
    """Return pytest's node id of a test: its file, its classes, its name."""
    stem = PurePosixPath(file).stem
    holder = class_id or id
    names = holder.split(".")
    if not file.endswith(".py") or stem not in names:
        return ""
    classes = names[names.index(stem) + 1 :]
    name = [id[len(class_id) + 1 :]] if class_id and id.startswith(f"{class_id}.") else []
    return "::".join([file, *classes, *name])
