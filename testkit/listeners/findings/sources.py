"""Where modules lie, as far as the facts of a run tell."""

from __future__ import annotations

import os
from pathlib import Path


class Sources:
    """Learns from each test's class and file where packages are, to say where a module should be that has no place.

    The class ``library.tests.LoanTests`` in ``sample_project/library/tests.py`` says that ``library.views`` is
    ``sample_project/library/views.py``.
    """

    def __init__(self) -> None:
        self._roots: dict[str, str] = {}  # by package

    def learn(self, dotted: str, file: str) -> None:
        """Take that what is called ``dotted``, a class or a module, is in ``file``."""
        package, *rest = dotted.split(".")
        if package in self._roots or not file:
            return
        stem = f"/{file.removesuffix('.py').removesuffix('/__init__')}"
        for length in range(len(rest), -1, -1):
            tail = "/".join(("", package, *rest[:length]))
            if stem.endswith(tail):
                self._roots[package] = stem.removesuffix(tail)[1:]
                return

    def module(self, dotted: str) -> str:
        """Return the file of the module ``dotted``."""
        root = self._roots.get(dotted.partition(".")[0], "")
        return f"{root}{'/' if root else ''}{dotted.replace('.', '/')}.py"

    def holder(self, dotted: str) -> str:
        """Return the file of the module that has the class or function ``dotted``; classes have capitals."""
        parts = dotted.split(".")
        is_class = [part[:1].isupper() for part in parts]
        length = is_class.index(True) if True in is_class else len(parts) - 1
        return self.module(".".join(parts[: max(length, 1)]))


def prefix_of(directory: str) -> str:
    """Return the path of ``directory``, in which a run began, from the root of its repository; empty for that itself.

    The services look at a repository; the paths of facts begin where the run began.
    """
    folder = Path(directory)
    for parent in (folder, *folder.parents) if directory else ():
        if os.path.exists(parent / ".git"):  # which is False, and raises nothing, where one may not look
            inside = folder.relative_to(parent).as_posix()
            return "" if inside == "." else f"{inside}/"
    return ""
