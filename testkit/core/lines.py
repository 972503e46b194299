"""Lines of files as rows of lines that follow each other: ``[[3, 5], [9, 9]]``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Ranges = list[list[int]]
"""Lines as the first and the last of each row of them."""


def ranges_of(lines: Iterable[int]) -> Ranges:
    """Return ``lines`` as rows of lines that follow each other."""
    ranges: Ranges = []
    for line in sorted(lines):
        if ranges and ranges[-1][1] == line - 1:
            ranges[-1][1] = line
        else:
            ranges.append([line, line])
    return ranges


def spelled(ranges: Iterable[Sequence[int]]) -> str:
    """Return rows of lines as people write them: ``3-5, 9``."""
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def lines_in(ranges: Iterable[Sequence[int]]) -> int:
    """Return how many lines there are in ``ranges``."""
    return sum(last - first + 1 for first, last in ranges)
