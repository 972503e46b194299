"""All facts of a run as one file of JSON lines, for programs: the journal's lines behind a header.

The journal is our own: several files, and text as the tests have left it. This file is for others: its first line names
the format and its version, and each line is I-JSON (RFC 7493), which every parser takes. ``facts.schema.json`` beside this
module describes the lines.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from testkit.core.events import Fact, to_json
from testkit.core.options import OptionGroup, option
from testkit.core.version import own_version

NAME, VERSION = "testkit facts", 1
"""The version goes up when a field changes its meaning or vanishes; fields and facts may be added."""
# Escapes of lone surrogates are a few of those that this finds, and numbers that JSON has not may be text as well.
_DOUBTFUL = re.compile(r"\\ud[89a-f]|NaN|Infinity")


class JsonlOptions(OptionGroup):
    """Options of the file of JSON lines."""

    with_jsonl: bool = option(default=False, help="Write all facts of the run as JSON lines.")
    jsonl_file: Path = option(default=Path("reports/facts.jsonl"), help="Where the JSON lines go.", metavar="FILE")


class JsonLines:
    """Writes each fact as it happens, also what is measured when the tests are over; :meth:`close` ends the file.

    A file without a RunFinished is of a run that was killed.
    """

    def __init__(self, path: Path) -> None:
        """``path``: where the file goes."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(path, "wb", buffering=0)  # noqa: SIM115  # open for the run; see close()
        self._write({"format": NAME, "version": VERSION, "testkit": own_version()})

    def __call__(self, fact: Fact) -> None:
        line = to_json(fact)
        if _DOUBTFUL.search(line):
            self._write(_interchangeable(json.loads(line)))
        else:
            self._file.write(f"{line}\n".encode("ascii"))

    def _write(self, plain: Any) -> None:
        line = json.dumps(plain, separators=(",", ":"), allow_nan=False)
        self._file.write(f"{line}\n".encode("ascii"))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _interchangeable(value: Any) -> Any:
    """Return plain data with text in the place of what I-JSON has not: infinity, NaN and lone surrogates."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, float):
        return value if isfinite(value) else repr(value)
    if isinstance(value, Mapping):
        return {_interchangeable(key): _interchangeable(item) for key, item in value.items()}
    return [_interchangeable(item) for item in value] if isinstance(value, list) else value
