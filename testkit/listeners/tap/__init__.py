"""The run in the Test Anything Protocol, version 14 (https://testanything.org/tap-version-14-specification.html)."""

from __future__ import annotations

from pathlib import Path

from testkit.core.bus import Listener
from testkit.core.options import OptionGroup, option


class TapOptions(OptionGroup):
    """Options of the TAP file."""

    with_tap: bool = option(default=False, help="Write a TAP file (Test Anything Protocol, version 14).")
    tap_file: Path = option(default=Path("reports/tests.tap"), help="Where the TAP file goes.", metavar="FILE")


def tap_listener(path: Path) -> Listener:
    """Return the listener that writes to ``path``."""
    from testkit.listeners.tap.document import Tap

    return Tap(path)
