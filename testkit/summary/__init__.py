"""A run in short, for the page that a CI service shows of a job, or for a comment: from its facts, live or recorded."""

from testkit.summary.gathered import Failure, Flaky, Gathered
from testkit.summary.markdown import MOST_BYTES, summary

__all__ = ["MOST_BYTES", "Failure", "Flaky", "Gathered", "summary"]
