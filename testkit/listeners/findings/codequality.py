"""GitLab's Code Quality report: https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format."""

from __future__ import annotations

import json
from pathlib import Path

from testkit.core.events import Fact
from testkit.core.paths import replacing
from testkit.listeners.findings.gather import Finding, Findings
from testkit.listeners.findings.rules import RULES


class CodeQuality:
    """Writes the findings of a run when it ends; the file is whole or absent."""

    def __init__(self, path: Path) -> None:
        """``path``: where the file goes."""
        self._path = path.absolute()  # a test may change the working directory
        self._findings = Findings()

    def __call__(self, fact: Fact) -> None:
        """Take the next fact.

        Raises:
            OSError: the file cannot be written.
        """
        had_ended = self._findings.end is not None
        self._findings(fact)
        if self._findings.end is not None and not had_ended:
            with replacing(self._path) as file:
                json.dump([_issue(finding) for finding in self._findings.found], file, indent=1)
                file.write("\n")


def _issue(finding: Finding) -> dict[str, object]:
    return {
        "description": finding.message,
        "check_name": f"testkit/{finding.rule}",
        "fingerprint": finding.fingerprint,
        "severity": RULES[finding.rule].severity,
        # It cannot be left out: what has no place is about the whole.
        "location": {"path": finding.file or ".", "lines": {"begin": max(finding.line, 1)}},
    }
