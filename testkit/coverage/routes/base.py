"""The endpoints that there were in an earlier commit, which is written into a folder and asked in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from testkit.core.errors import OptionError, TestkitError
from testkit.core.repository import Repository, RepositoryError
from testkit.coverage.routes import listing

LIMIT = 120
"""Seconds after which the project of the earlier commit is not waited for any more."""


class Base:
    """The earlier commit: the merge base of ``commit`` and HEAD, of the repository that ``folder`` lies in."""

    def __init__(self, commit: str, folder: Path) -> None:
        """Find it.

        Raises:
            OptionError: there is no such commit, or no repository.
        """
        self.name = commit
        self._folder = folder
        try:
            self._repository = Repository(folder)
            self._root, self.commit = self._repository.root, self._repository.merge_base(commit)
        except RepositoryError as error:
            raise OptionError(f"--routes-base {commit}: {error}") from error

    def endpoints(self) -> frozenset[str]:
        """Return the endpoints that there were.

        Raises:
            TestkitError: the project of that commit cannot be loaded.
        """
        with tempfile.TemporaryDirectory(prefix="testkit-base-") as place:
            folder = Path(place).resolve()
            try:
                self._repository.write_out(self.commit, folder)
                process = subprocess.run(
                    [sys.executable, listing.__file__, json.dumps(self._path_in(folder))],
                    cwd=folder / self._folder.relative_to(self._root),
                    env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    timeout=LIMIT,
                    check=True,
                )
                answer = json.loads(process.stdout.splitlines()[-1])
            except (OSError, ValueError, IndexError, subprocess.SubprocessError, RepositoryError) as error:
                raise TestkitError(f"{self._cannot()} {_last_words(error)}") from error
            if not Path(answer["urlconf"] or folder).resolve().is_relative_to(folder):
                raise TestkitError(
                    f"{self._cannot()} its URLs are imported from {answer['urlconf']}, where another state of the "
                    "project is installed"
                )
        return frozenset(answer["endpoints"])

    def _cannot(self) -> str:
        return f"the routes of {self.name} ({self.commit[:10]}) cannot be listed, so none is known to be new:"

    def _path_in(self, folder: Path) -> list[str]:
        """Return the import path of this process with the earlier state in the place of this one."""
        found = []
        for entry in map(os.path.abspath, sys.path):
            below = Path(entry)
            moved = folder / below.relative_to(self._root) if below.is_relative_to(self._root) else below
            found.append(str(moved if moved.exists() else below))  # an environment within the repository stays
        return found


def _last_words(error: Exception) -> str:
    lines = str(getattr(error, "stderr", "") or error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
