"""GitLab's Code Quality report: https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format."""

from __future__ import annotations

from typing import Any

from testkit.core.events import RunFinished
from testkit.listeners.findings.gather import Finding, Findings
from testkit.listeners.findings.rules import RULES


def report_of(findings: Findings, _: RunFinished) -> list[dict[str, Any]]:
    """Return the report of a run that has ended."""
    return [_issue(finding) for finding in findings.found]


def _issue(finding: Finding) -> dict[str, Any]:
    return {
        "description": finding.message,
        "check_name": f"testkit/{finding.rule}",
        "fingerprint": finding.fingerprint,
        "severity": RULES[finding.rule].severity,
        # It cannot be left out: what has no place is about the whole.
        "location": {"path": finding.file or ".", "lines": {"begin": max(finding.line, 1)}},
    }
