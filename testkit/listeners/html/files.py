"""What the page shows of files: the lines around a failure, and images. Only files below the folder of the run are read.

A journal may come from another machine: what it calls a file of the project could be any file of this one.
"""

from __future__ import annotations

import base64
import functools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from testkit.core.text import readable

BEFORE, AFTER = 5, 3
"""Lines that are shown around the one in question."""
_LONGEST_LINE = 200
_LARGEST_SOURCE = 2_000_000  # bytes
_LARGEST_IMAGE = 600_000
_ALL_IMAGES = 4_000_000
_TYPES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}


class Files:
    """Reads files in and below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = os.path.realpath(folder)
        self._images_left = _ALL_IMAGES
        self._lines = functools.lru_cache(maxsize=32)(self._read_lines)

    def _inside(self, path: str) -> str | None:
        """Return where ``path`` leads to, if that is a file in the folder."""
        if not path or "\0" in path:
            return None
        found = os.path.realpath(os.path.join(self._folder, path))
        return found if found.startswith(self._folder + os.sep) and os.path.isfile(found) else None

    def excerpt(self, path: str, line: int) -> dict[str, Any] | None:
        """Return the lines around ``line`` of a Python file as it is now: where they begin, and what they are."""
        found = self._inside(path) if line > 0 and path.endswith(".py") else None
        lines = self._lines(found) if found else ()
        if not 0 < line <= len(lines):
            return None
        first, last = max(line - BEFORE, 1), min(line + AFTER, len(lines))
        while first < line and not lines[first - 1].strip():
            first += 1
        while last > line and not lines[last - 1].strip():
            last -= 1
        shown = [readable(text)[:_LONGEST_LINE] for text in lines[first - 1 : last]]
        return {"first": first, "line": line, "lines": shown}

    def _read_lines(self, path: str) -> Sequence[str]:
        try:
            if os.path.getsize(path) > _LARGEST_SOURCE:
                return ()
            with open(path, encoding="utf-8", errors="replace") as file:
                return file.read().split("\n")
        except OSError:
            return ()

    def images(self, paths: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield each of ``paths``, and the image itself if it is one, is not too large, and there is room left."""
        for path in paths:
            yield {"path": readable(path), "src": self._image(path)}

    def _image(self, path: str) -> str:
        found = self._inside(path)
        try:
            size = os.path.getsize(found) if found else 0
            if found is None or size > min(_LARGEST_IMAGE, self._images_left):
                return ""
            data = Path(found).read_bytes()
        except OSError:
            return ""
        kind = next((kind for start, kind in _TYPES.items() if data.startswith(start)), "")
        if not kind:
            return ""
        self._images_left -= size
        return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
