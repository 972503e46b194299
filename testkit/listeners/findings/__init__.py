"""What is wrong, as services for static analysis take it: failures and guards, each with a place in the code.

Two formats of the same findings: SARIF 2.1.0 (GitHub's code scanning, Jenkins' warnings plugin, editors), and the Code
Quality report of GitLab.
"""

from __future__ import annotations

from pathlib import Path

from testkit.core.bus import Listener
from testkit.core.options import OptionGroup, option


class SarifOptions(OptionGroup):
    """Options of the SARIF file."""

    with_sarif: bool = option(default=False, help="Write failures and broken guards as SARIF 2.1.0.")
    sarif_file: Path = option(default=Path("reports/testkit.sarif"), help="Where the SARIF goes.", metavar="FILE")


class CodeQualityOptions(OptionGroup):
    """Options of GitLab's Code Quality report."""

    with_codequality: bool = option(
        default=False, help="Write failures and broken guards as a Code Quality report for GitLab."
    )
    codequality_file: Path = option(
        default=Path("reports/gl-code-quality-report.json"),
        help="Where the Code Quality report goes.",
        metavar="FILE",
    )


def sarif_listener(path: Path) -> Listener:
    """Return the listener that writes SARIF to ``path``."""
    from testkit.listeners.findings.sarif import log_of
    from testkit.listeners.findings.written import Written

    return Written(path, log_of)


def codequality_listener(path: Path) -> Listener:
    """Return the listener that writes a Code Quality report to ``path``."""
    from testkit.listeners.findings.codequality import report_of
    from testkit.listeners.findings.written import Written

    return Written(path, report_of)
