"""Which annotations a step makes: of a kind, the service takes ten from each step and drops the others without a word."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from testkit.listeners.github.commands import Annotation
from testkit.summary import Failure, Flaky, Gathered

MOST_OF_A_KIND = 10
"""https://github.com/actions/toolkit/blob/main/docs/problem-matchers.md#limitations"""


class Annotations:
    """The annotations of a run: those in files that the change touches come first, and what is left out is counted."""

    def __init__(
        self,
        run: Gathered,
        folder: Path,
        root: Path,
        changed: Collection[str],
        told: Collection[str],
        *,
        is_part: bool = False,
    ) -> None:
        """Choose them.

        Args:
            run: what is known of it.
            folder: of the run, from which its paths are meant.
            root: of the repository, from which those of annotations are meant.
            changed: the files that the change touches, without links.
            told: what the parts of the run have annotated already: names of failures and of flaky tests.
            is_part: whether this run is a part, and others tell the rest.
        """
        self._run, self._folder, self._root = run, folder, os.path.realpath(root)
        self._changed, self._told, self._is_part = changed, told, is_part
        self.names: list[str] = []
        """The failures and flaky tests that :meth:`make` has made annotations for."""

    def is_changed(self, found: Failure | Flaky) -> bool:
        """Return whether ``found`` lies in a file that the change touches."""
        return bool(found.file) and os.path.realpath(self._folder / found.file) in self._changed

    def make(self, reason: str) -> list[Annotation]:
        """Return the annotations; ``reason`` is why the run failed other than by its tests."""
        errors = [Annotation("error", "Tests", reason)] if reason and not self._is_part else []
        failures = [failure for failure in self._run.failures if failure.name not in self._told]
        failures.sort(key=lambda failure: not self.is_changed(failure))
        warnings = list(self._warnings())
        room = MOST_OF_A_KIND - len(errors)
        errors += [self._of_failure(failure) for failure in failures[:room]]
        self.names += [failure.name for failure in failures[:room]]
        self.names += [name for name, _ in warnings[:MOST_OF_A_KIND] if name]
        notice = self._notice(len(failures[room:]), len(warnings[MOST_OF_A_KIND:]))
        return [*errors, *(annotation for _, annotation in warnings[:MOST_OF_A_KIND]), *notice]

    def _warnings(self) -> Iterator[tuple[str, Annotation]]:
        """Yield the warnings, with the test's name where it is of one: what the change touches stands first."""
        flaky = [flaky for flaky in self._run.flaky if flaky.id not in self._told]
        yield from ((each.id, self._of_flaky(each)) for each in flaky if self.is_changed(each))
        yield from (("", annotation) for annotation in self._of_uncovered())
        yield from ((each.id, self._of_flaky(each)) for each in flaky if not self.is_changed(each))

    def _of_failure(self, failure: Failure) -> Annotation:
        told = f"{failure.type}: {failure.message}" if failure.type else failure.message
        return Annotation("error", failure.name, f"{told}\n\n{failure.text}".rstrip(), *self._place(failure))

    def _of_flaky(self, flaky: Flaky) -> Annotation:
        message = f"It failed, and passed when it was tried again. {flaky.message}"
        return Annotation("warning", f"Flaky: {flaky.id}", message, *self._place(flaky))

    def _of_uncovered(self) -> Iterator[Annotation]:
        uncovered = self._run.measured.get("diff_coverage", {}).get("uncovered", {})
        for path, ranges in sorted(uncovered.items()):
            file = self._path(path)
            for first, last in ranges:
                several = last > first
                message = f"No test ran lines {first} to {last}." if several else "No test ran this line."
                yield Annotation("warning", "Not covered", message, file, first, last if several else 0)

    def _place(self, found: Failure | Flaky) -> tuple[str, int]:
        path = self._path(found.file) if found.file else ""
        return path, found.line if path else 0

    def _path(self, file: str) -> str:
        """Return a path of the run as it is from the root of the repository; empty if it does not lie in there."""
        path = os.path.relpath(os.path.realpath(self._folder / file), self._root)
        return "" if path == os.pardir or path.startswith(os.pardir + os.sep) else Path(path).as_posix()

    def _notice(self, errors: int, warnings: int) -> Sequence[Annotation]:
        counts = ((errors, "failure"), (warnings, "warning"))
        left = [f"{count} more {word}{'' if count == 1 else 's'}" for count, word in counts if count]
        if not left:
            return ()
        where = "the summary of the merged run" if self._is_part else "the summary of this step"
        message = f"{' and '.join(left)} could not be annotated: GitHub takes {MOST_OF_A_KIND} of a kind. See {where}."
        return [Annotation("notice", "Tests", message)]
