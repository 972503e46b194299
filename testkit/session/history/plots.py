"""Small plots made of characters."""

from __future__ import annotations

from collections.abc import Sequence

_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII = "_.-~=+*#"
_GAP = " "
WIDEST = 40
"""Characters; of more figures, neighbours are put together."""


class Plotter:
    """Draws lines of bars with the characters that an encoding has."""

    def __init__(self, encoding: str | None) -> None:
        try:
            _BLOCKS.encode(encoding or "ascii")
            self._bars = _BLOCKS
        except (UnicodeEncodeError, LookupError):
            self._bars = _ASCII

    def line(self, values: Sequence[float | None]) -> str:
        """Return a bar for each of ``values``, or for neighbours together their largest; from 0 up. None is a gap."""
        values = _thinned(values)
        highest = max((value for value in values if value is not None), default=0.0)
        return "".join(_GAP if value is None else self._bar(value, highest) for value in values)

    def _bar(self, value: float, highest: float) -> str:
        if value <= 0 or highest <= 0:
            return self._bars[0]
        return self._bars[min(int(value / highest * len(self._bars)), len(self._bars) - 1)]


def _thinned(values: Sequence[float | None]) -> Sequence[float | None]:
    count = len(values)
    if count <= WIDEST:
        return values
    cells = [values[count * cell // WIDEST : count * (cell + 1) // WIDEST] for cell in range(WIDEST)]
    return [max((value for value in cell if value is not None), default=None) for cell in cells]
