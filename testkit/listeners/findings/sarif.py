"""SARIF 2.1.0: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html (sections are named below)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from testkit.core.events import RunFinished
from testkit.core.version import own_version
from testkit.listeners.findings.gather import Finding, Findings
from testkit.listeners.findings.rules import RULES

MOST_RESULTS = 5_000
"""GitHub shows so many of a run and passes over the others: https://docs.github.com/code-security (SARIF support)."""
SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_ROOT = "%SRCROOT%"
_LINK = re.compile(r"\[[^\]]*\]\(")
_IDS = tuple(RULES)


def log_of(findings: Findings, end: RunFinished) -> dict[str, Any]:
    """Return the log of a run that has ended with ``end``.

    What has no place in the code is a notification of the tool, not a result: GitHub refuses a file in which one result
    has no physical location. So is how many results there are beyond :data:`MOST_RESULTS`.
    """
    placed = [finding for finding in findings.found if finding.file]
    shown, left = placed[:MOST_RESULTS], placed[MOST_RESULTS:]
    homeless = [finding for finding in findings.found if not finding.file]
    notes = [_note(RULES[finding.rule].level, finding.message) for finding in homeless[:MOST_RESULTS]]
    if len(homeless) > MOST_RESULTS:
        notes.append(_note("warning", f"{len(homeless) - MOST_RESULTS} more findings without a place are left out"))
    if left:
        notes.append(_note("warning", _cut(left)))
    if end.interrupted or end.stopped:
        why = f"interrupted by {end.interrupted}" if end.interrupted else end.stopped
        notes.append(_note("warning", f"the run ended early, {why}: {len(end.not_run)} tests did not run"))
    run = {
        "tool": {"driver": {"name": "testkit", "version": own_version(), "rules": [*map(_rule, RULES)]}},
        # Not the folder itself, which is of one machine (3.14.14).
        "originalUriBaseIds": {_ROOT: {"description": {"text": "The root of the repository."}}},
        "columnKind": "unicodeCodePoints",
        "invocations": [
            {
                # Whether the tests could be judged, and not whether they were good (3.20.14).
                "executionSuccessful": not (end.interrupted or end.lost or end.not_run),
                "startTimeUtc": _iso(findings.run.at or end.at),
                "endTimeUtc": _iso(end.at),
                "toolExecutionNotifications": notes,
            }
        ],
        "results": [*map(_result, shown)],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _cut(left: Sequence[Finding]) -> str:
    counts = Counter(finding.rule for finding in left)
    told = ", ".join(f"{count} {rule}" for rule, count in counts.items())
    return f"{len(left)} more findings are left out, as GitHub shows {MOST_RESULTS} of a run: {told}"


def _rule(id: str) -> dict[str, Any]:
    rule = RULES[id]
    return {
        "id": id,
        "name": "".join(word.capitalize() for word in id.split("-")),
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.help},
        "help": {"text": rule.help},
        "defaultConfiguration": {"level": rule.level},
        "properties": {"tags": ["tests"], "problem.severity": rule.level},
    }


def _result(finding: Finding) -> dict[str, Any]:
    region = {"region": {"startLine": finding.line}} if finding.line else {}
    return {
        "ruleId": finding.rule,
        "ruleIndex": _IDS.index(finding.rule),
        "level": RULES[finding.rule].level,
        "message": {"text": _plain(finding.message)},
        "locations": [
            {
                "physicalLocation": {"artifactLocation": _artifact(finding.file), **region},
                "logicalLocations": [{"fullyQualifiedName": finding.subject}],
            }
        ],
        # GitHub knows an alert again by the second one, and by the line's text if there is none.
        "partialFingerprints": {
            "testkit/v1": finding.fingerprint,
            "primaryLocationLineHash": f"{finding.fingerprint}:1",
        },
        **({"properties": {"traceback": finding.text}} if finding.text else {}),
    }


def _artifact(file: str) -> dict[str, str]:
    if file.startswith("/"):
        return {"uri": f"file://{quote(file)}"}
    return {"uri": quote(file), "uriBaseId": _ROOT}


def _plain(text: str) -> str:
    """Return ``text`` so that nothing in it is taken for a link, which is ``[text](target)`` (3.11.6)."""
    return re.sub(r"([\[\]])", r"\\\1", text) if _LINK.search(text) else text


def _note(level: str, text: str) -> dict[str, Any]:
    return {"level": level, "message": {"text": _plain(text)}}


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
