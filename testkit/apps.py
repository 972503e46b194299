"""testkit as an app of a project, for what has to be there under any test runner."""

from __future__ import annotations

import os

from django.apps import AppConfig


class TestkitConfig(AppConfig):
    """``"testkit"`` in ``INSTALLED_APPS``."""

    name = "testkit"
    verbose_name = "testkit"
    __test__ = False  # the name begins with "Test", but this is no test case

    def ready(self) -> None:
        if "TESTKIT_QUERY_BUDGETS" in os.environ:  # here, as other processes need nothing of it
            from testkit.queries.budgets import stock

            stock.begin(os.environ)
