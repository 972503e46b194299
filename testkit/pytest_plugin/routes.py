"""The coverage of routes under pytest."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from testkit.coverage.routes.hooks import heard


class Routes:
    """Notes on tests which routes they ask for, in each process where tests run."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self) -> Generator[None, Any, Any]:
        with heard():
            return (yield)
