"""Writes the findings of a run to a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from testkit.core.events import Fact, RunFinished
from testkit.core.paths import replacing
from testkit.listeners.findings.gather import Findings

Document = Callable[[Findings, RunFinished], Any]
"""Makes what is written, as plain data, from what a run has found and from its end."""


class Written:
    """Writes the findings of a run as JSON when it ends; the file is whole or absent."""

    def __init__(self, path: Path, document: Document) -> None:
        """Write to ``path`` what ``document`` makes of the findings."""
        self._path = path.absolute()  # a test may change the working directory
        self._document = document
        self._findings = Findings()

    def __call__(self, fact: Fact) -> None:
        """Take the next fact.

        Raises:
            OSError: the file cannot be written.
        """
        if self._findings.end is not None:
            return
        self._findings(fact)
        if (end := self._findings.end) is not None:
            with replacing(self._path) as file:
                json.dump(self._document(self._findings, end), file, indent=1)
                file.write("\n")
