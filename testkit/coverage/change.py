"""The coverage of a change: those of its lines that no test ran.

What git says of the change is read by diff-cover, which has met more kinds of diff than we have. The lines come from the
measurement itself and not from a report of it, so a change inside a statement of several lines counts as well.
"""

from __future__ import annotations

import importlib.util
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from testkit.core.errors import OptionError, TestkitError
from testkit.core.lines import Ranges, lines_in, ranges_of, spelled
from testkit.core.repository import Repository, RepositoryError, base_in
from testkit.coverage.options import CoverageOptions

if TYPE_CHECKING:
    from coverage.plugin import FileReporter

MOST_SHOWN = 20
"""How many files the console names."""
_NO_LINE_END = re.compile(r"^\\ .*\n?", re.MULTILINE)


class Base:
    """What a change is compared with: the commit at which a branch and HEAD parted."""

    def __init__(self, options: CoverageOptions, environ: Mapping[str, str], folder: Path) -> None:
        """Find it, and see that all is there which is needed after the tests.

        Args:
            options: may name the branch or commit.
            environ: where the CI service may name it.
            folder: of the run.

        Raises:
            OptionError: diff-cover is not installed, or there is nothing to compare with.
        """
        flag = "--cover-diff-base" if options.cover_diff_base else "--cover-diff"
        if importlib.util.find_spec("diff_cover") is None:
            raise OptionError(
                f"{flag} needs diff-cover, which is not installed: `python -m pip install 'django-testkit[diff]'`"
            )
        try:
            self._repository = Repository(folder)
            self.name = options.cover_diff_base or base_in(environ) or self._repository.usual_base()
            if not self.name:
                raise OptionError(
                    f"{flag}: no branch is known that this one is to be merged into: --cover-diff-base names it"
                    f"{self._repository.why_incomplete}"
                )
            self.commit = self._repository.merge_base(self.name)
        except RepositoryError as error:
            raise OptionError(f"{flag}: {error}") from error

    def changed_lines(self) -> ChangedLines:
        """Return the lines that the files in the working tree have, and the base has not.

        Raises:
            TestkitError: git, or diff-cover, fails.
        """
        from diff_cover.diff_reporter import GitDiffReporter
        from diff_cover.git_diff import GitDiffError

        difference = _Difference(self._repository, self.commit)
        reporter = GitDiffReporter(self.name, git_diff=difference, ignore_staged=True, ignore_unstaged=True)
        try:
            lines = {
                self._absolute(path): frozenset(reporter.lines_changed(path)) for path in reporter.src_paths_changed()
            }
        except GitDiffError as error:
            raise TestkitError(f"the change since {self.name} cannot be read: {error}") from error
        return ChangedLines(lines, frozenset(map(self._absolute, self._repository.untracked())))

    def _absolute(self, path: str) -> str:
        return os.path.realpath(self._repository.root / path)


class _Difference:
    """What diff-cover asks of git: all that differs in the working tree, in one diff.

    diff-cover's own tool asks for three (what is committed, what is staged, what is not), and joins them by line numbers
    that each of them counts anew.
    """

    range_notation = "..."

    def __init__(self, repository: Repository, commit: str) -> None:
        self._repository, self._commit = repository, commit

    def diff_committed(self, compare_branch: str) -> str:
        prefixes = ("--src-prefix=a/", "--dst-prefix=b/")
        flags = ("--no-color", "--no-ext-diff", "--no-textconv", "--no-relative", "--submodule=short", "-U0")
        diff = self._repository.git("diff", *flags, *prefixes, self._commit, "--")
        # "\ No newline at end of file" is no line of the file, but diff-cover counts it.
        return _NO_LINE_END.sub("", diff)


class ChangedLines(NamedTuple):
    """The changed lines by file, and the files that are new as a whole; paths are absolute, and without links."""

    lines: Mapping[str, frozenset[int]]
    new: frozenset[str]

    def of(self, file: str) -> frozenset[int] | None:
        """Return the changed lines of a file; None for all."""
        path = os.path.realpath(file)
        return None if path in self.new else self.lines.get(path, frozenset())


class Change(NamedTuple):
    """How a change is covered: how many statements of it there are, and its lines that no test ran, by file."""

    base: str
    statements: int
    missing: int
    uncovered: Mapping[str, Ranges]

    @property
    def percent(self) -> float | None:
        """How much of it tests ran, in percent; None if there is nothing to run."""
        return 100 * (self.statements - self.missing) / self.statements if self.statements else None

    def below(self, minimum: float) -> str:
        """Return in a sentence that it is less than ``minimum``; empty if it is not."""
        if self.percent is None or self.percent >= minimum:
            return ""
        return (
            f"{_shown(self.percent)} % of the change since {self.base} is covered, which is less than the {minimum:g} % "
            "that --cover-diff-min asks for"
        )

    def describe(self) -> str:
        """Return it as text for the console."""
        if self.percent is None:
            return f"Coverage of the change since {self.base}: it has no statements that are measured"
        statements = f"{self.statements} statement{'' if self.statements == 1 else 's'}"
        lines = [f"Coverage of the change since {self.base}: {_shown(self.percent)} % of {statements}"]
        worst = sorted(self.uncovered.items(), key=lambda item: (-lines_in(item[1]), item[0]))
        lines += [f"  {file}: {spelled(ranges)}" for file, ranges in worst[:MOST_SHOWN]]
        if len(worst) > MOST_SHOWN:
            lines.append(f"  … and {len(worst) - MOST_SHOWN} more files")
        return "\n".join(lines)

    def to_plain(self, minimum: float) -> dict[str, Any]:
        """Return it as the data of the section ``diff_coverage``."""
        return {
            "base": self.base,
            "percent": self.percent,
            "lines": self.statements,
            "missing": self.missing,
            "uncovered": dict(self.uncovered),
            "failing": self.below(minimum),
            "text": f"\n{self.describe()}",
        }


class Gathering:
    """Adds up the coverage of a change, file by file."""

    def __init__(self, base: str, changed: ChangedLines) -> None:
        self._base, self._changed = base, changed
        self._statements = self._missing = 0
        self._uncovered: dict[str, Ranges] = {}

    def add(self, file: FileReporter, name: str, statements: set[int], missing: set[int]) -> None:
        """Take a measured file: what coverage.py knows of it, its name for people, and the first lines of statements."""
        found = self._changed.of(file.filename)
        lines = range(1, file.source().count("\n") + 2) if found is None else found
        changed = file.translate_lines(lines) & statements
        unrun = changed & missing
        self._statements += len(changed)
        self._missing += len(unrun)
        if unrun:
            self._uncovered[name] = ranges_of(line for line in lines if file.translate_lines([line]) & unrun)

    def change(self) -> Change:
        """Return what it comes to."""
        return Change(self._base, self._statements, self._missing, self._uncovered)


def _shown(percent: float) -> str:
    return f"{math.floor(percent * 100) / 100:.2f}"  # never rounded up to the minimum that it misses
