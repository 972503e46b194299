"""Names the tests that left something behind, for ``--leaks``."""

from __future__ import annotations

from collections.abc import Sequence

from testkit.core.bus import PublishMeasured
from testkit.core.events import Fact, RunFinished, TestFinished
from testkit.core.text import visible

MOST_SHOWN = 50
"""How many tests are named on the console; the journal has all of them."""


class LeaksListener:
    """Collects the measure ``leaks`` of each test, and hands them over as a section ``leaks`` when the run ends.

    The section has the lines by test id as ``tests``, and what the console prints as ``text``.
    """

    def __init__(self, publish_measured: PublishMeasured) -> None:
        """``publish_measured`` is called once, with the section's name and its data."""
        self._publish_measured = publish_measured
        self._tests: dict[str, list[str]] = {}

    def __call__(self, fact: Fact) -> None:
        if isinstance(fact, TestFinished):
            for line in _lines(fact.measures.get("leaks", ())):
                # A test that is tried again may leave the same behind each time.
                known = self._tests.setdefault(fact.id, [])
                if line not in known:
                    known.append(line)
        elif isinstance(fact, RunFinished):
            self._publish_measured("leaks", {"tests": self._tests, "text": self._text()})

    def _text(self) -> str:
        count = len(self._tests)
        if not count:
            return "\nLeaks: no test left anything behind"
        parts = [f"\nLeaks: {count} test{'' if count == 1 else 's'} left something behind"]
        for id, lines in sorted(self._tests.items())[:MOST_SHOWN]:  # workers end in any order
            parts += [f"  {visible(id)}", *(f"    {visible(line)}" for line in lines)]
        if count > MOST_SHOWN:
            parts.append(f"  … and {count - MOST_SHOWN} more")
        return "\n".join(parts)


def _lines(measure: str | Sequence[str]) -> Sequence[str]:
    """Return the lines of a measure, which may be one text, as reports show properties."""
    return measure.splitlines() if isinstance(measure, str) else measure
