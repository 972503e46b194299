"""Stock Django's ``DiscoverRunner``, noting what it tells its result: the oracle of ``same_outcomes.py``."""

from __future__ import annotations

import json
import os
from typing import Any

from django.test.runner import DiscoverRunner


class RecordingRunner(DiscoverRunner):
    """Runs as Django does, and writes ``[id, outcome]`` for each call of the result to the file in ``STOCK_RECORD``."""

    def get_resultclass(self) -> Any:
        from unittest import TextTestResult

        told: list[tuple[str, str]] = []
        self.told = told

        def note(name: str, outcome: str) -> Any:
            def method(result: Any, test: Any, *arguments: Any) -> None:
                getattr(base, name)(result, test, *arguments)
                told.append((test.id() if not hasattr(test, "test_case") else test.test_case.id(), outcome))

            return method

        base = super().get_resultclass() or TextTestResult
        methods = {
            "addSuccess": note("addSuccess", "passed"),
            "addFailure": note("addFailure", "failed"),
            "addError": note("addError", "error"),
            "addSkip": note("addSkip", "skipped"),
            "addExpectedFailure": note("addExpectedFailure", "expected failure"),
            "addUnexpectedSuccess": note("addUnexpectedSuccess", "unexpected success"),
        }

        def add_subtest(result: Any, test: Any, subtest: Any, error: Any) -> None:
            base.addSubTest(result, test, subtest, error)
            kind = "passed" if error is None else "failed" if issubclass(error[0], test.failureException) else "error"
            told.append((test.id(), f"subtest {kind}"))

        return type("RecordingResult", (base,), {**methods, "addSubTest": add_subtest})

    def run_suite(self, suite: Any, **kwargs: Any) -> Any:
        try:
            return super().run_suite(suite, **kwargs)
        finally:
            path = os.environ.pop("STOCK_RECORD", None)  # not for a run that a test starts
            if path:
                with open(path, "w") as file:
                    json.dump(self.told, file)
