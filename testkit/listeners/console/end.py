"""What the console says below the tests: unittest's closing line, and what took longest."""

from __future__ import annotations

import heapq

from testkit.core.events import RunFinished
from testkit.core.tally import Tally
from testkit.core.text import visible

RULE = "-" * 70


def closing_line(tally: Tally, fact: RunFinished) -> tuple[str, str]:
    """Return unittest's last line, with what it does not know, and its colour. A run that was cut short is never OK."""
    counts = (
        ("failures", tally.failures),
        ("errors", tally.errors),
        ("skipped", tally.skipped),
        ("expected failures", tally.expected_failures),
        ("unexpected successes", tally.unexpected_successes),
        ("flaky", tally.flaky),
        ("not run", len(fact.not_run)),
        ("lost", len(fact.lost)),
    )
    infos = [f"{name}={count}" for name, count in counts if count]
    if fact.interrupted:
        infos.append(f"interrupted by {fact.interrupted}")
    if not tally.is_good or fact.interrupted or fact.lost or fact.not_run:
        word, colour = "FAILED", "bad"
    elif tally.nothing_ran:
        word, colour = "NO TESTS RAN", "bad"
    else:
        word, colour = "OK", "good"
    return word + (f" ({', '.join(infos)})" if infos else "") + "\n", colour


class Slowest:
    """The longest durations seen: ``count`` of them (None: all) that are at least ``shortest`` seconds."""

    def __init__(self, count: int | None, shortest: float = 0.0) -> None:
        self._count = count
        self._shortest = shortest
        self._heap: list[tuple[float, str]] = []

    def add(self, seconds: float, name: str) -> None:
        if seconds < self._shortest:
            return
        if self._count is None or len(self._heap) < self._count:
            heapq.heappush(self._heap, (seconds, name))
        elif self._count and seconds > self._heap[0][0]:
            heapq.heapreplace(self._heap, (seconds, name))

    def table(self) -> str:
        rows = [f"{seconds:>9.3f}s  {visible(name)}\n" for seconds, name in sorted(self._heap, reverse=True)]
        return f"\nSlowest:\n{''.join(rows)}" if rows else ""

    def unittest_table(self, all: bool) -> str:
        """Return the table of unittest's own ``--durations``; unless ``all``, durations below 1 ms are left out."""
        rows = sorted(self._heap, key=lambda row: row[0], reverse=True)
        shown = "".join(f"{f'{seconds:.3f}s':<10} {name}\n" for seconds, name in rows if all or seconds >= 0.001)
        is_cut = not all and any(seconds < 0.001 for seconds, _ in rows)
        hint = "(durations < 0.001s were hidden; use -v to show these durations)\n" if is_cut else ""
        return f"Slowest test durations\n{RULE}\n{shown}\n{hint}" if rows else ""
