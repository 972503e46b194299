"""Blazediff, where it is installed: it says in half of Pillow's time that two images are as equal as they must be.

It tells neither where they differ nor what lies outside of a region, and its rule for anti-aliasing is its own, so that
results would depend on whether it is there. See docs/decisions/0021-blazediff-says-equal.md.
"""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

_RGB = b"\x08\x02"  # 8 bits a channel, three channels


def says_equal(baseline: bytes, new: bytes, *, colour: float, pixels: float) -> bool:
    """Whether blazediff says that at most ``pixels`` differ by more than ``colour``.

    False also if it is not installed, or cannot tell. Both are PNG files of the same size, whose headers were checked:
    it ends the process when one claims to be of some 20000² pixels.
    """
    if not _is_plain(baseline) or not _is_plain(new):
        return False
    try:
        import blazediff
    except ImportError:
        return False
    with tempfile.TemporaryDirectory(prefix="testkit-") as folder:
        paths = [Path(folder, "baseline.png"), Path(folder, "new.png")]
        for path, data in zip(paths, (baseline, new), strict=True):
            path.write_bytes(data)
        with suppress(ValueError, OSError, RuntimeError):  # damaged: Pillow will say what is wrong
            result = blazediff.compare(*map(str, paths), threshold=colour)
            return bool(result.match_result or (result.reason == "pixel-diff" and result.diff_count <= pixels))
    return False


def _is_plain(data: bytes) -> bool:
    """Whether the image has neither transparency, which blazediff blends before white, nor 16 bits."""
    return data[24:26] == _RGB and b"tRNS" not in data
