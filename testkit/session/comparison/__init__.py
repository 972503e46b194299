"""Comparing the runs of two states of the code: ``python -m testkit compare``."""

from testkit.session.comparison.command import compare_parser, compare_runs

__all__ = ["compare_parser", "compare_runs"]
