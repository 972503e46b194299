"""The kinds of findings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Rule(NamedTuple):
    """A kind of finding: what it is called, and how grave it is in the words of SARIF and of GitLab."""

    title: str
    level: str
    severity: str
    help: str


RULES: Mapping[str, Rule] = {
    "import-failed": Rule(
        "Test module cannot be imported", "error", "blocker", "None of the tests in this module can run."
    ),
    "fixture-failed": Rule(
        "Set-up or tear-down failed",
        "error",
        "critical",
        "setUpClass, setUpModule or what tears down after them raised; after a set-up that failed no test below it runs.",
    ),
    "query-budget": Rule(
        "Query budget exceeded",
        "error",
        "major",
        "A request made more queries than query-budgets.toml allows: load what it needs at once, or raise the budget.",
    ),
    "untested-route": Rule(
        "Untested route", "error", "minor", "No test asks for this route, and --fail-untested-routes wants one."
    ),
    "test-lost": Rule("Test was lost", "error", "critical", "The test was collected, and how it ended was never told."),
    "test-error": Rule("Test error", "error", "critical", "The test raised something other than a failed assertion."),
    "test-failed": Rule("Test failure", "error", "major", "An assertion of the test did not hold."),
    "unexpected-success": Rule(
        "Unexpected success", "error", "minor", "The test is marked as an expected failure, and passed."
    ),
    "leak": Rule(
        "Test left something behind",
        "warning",
        "minor",
        "A thread, file, connection or setting outlives the test, and may change how others end.",
    ),
}
"""By id, and first what is to be told even where not all can be."""
