"""The queries of the running test, for ``--debug-sql``."""

from __future__ import annotations

import io
from typing import Any
from unittest.runner import _WritelnDecorator

from testkit.core.text import cut_middle
from testkit.execution.capture import LIMIT


class SqlLog:
    """The queries of the running test, as Django's ``--debug-sql`` logs and formats them."""

    def __init__(self) -> None:
        from django.test.runner import DebugSQLTextTestResult

        # Its handler and formatter differ between Django's versions, so it is asked rather than copied.
        self._result: Any = DebugSQLTextTestResult(_WritelnDecorator(io.StringIO()), False, 0)

    def start(self, test: Any) -> None:
        self._result.startTest(test)

    def stop(self, test: Any) -> str:
        self._result.stopTest(test)
        return cut_middle(self._result.handler.stream.getvalue(), LIMIT)

    @staticmethod
    def formatted(sql: str) -> str:
        import django

        if django.VERSION >= (6, 0):
            return sql  # its handler has formatted each query
        import sqlparse

        text: str = sqlparse.format(sql, reindent=True, keyword_case="upper")
        return text
