"""Lines as rows."""

from __future__ import annotations

from testkit.core.lines import lines_in, ranges_of, spelled


def test_lines_are_put_together_to_rows():
    """Lines that follow each other are one row, in any order, and are written and counted as such."""
    rows = ranges_of({9, 3, 4, 5, 1})
    assert rows == [[1, 1], [3, 5], [9, 9]]
    assert (spelled(rows), lines_in(rows)) == ("1, 3-5, 9", 5)
    assert (ranges_of(()), spelled([]), lines_in([])) == ([], "", 0)
