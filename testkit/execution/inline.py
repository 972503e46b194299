"""Running tests in this process."""

# mypy: disable-error-code="attr-defined,misc"
# The hooks of unittest's suite are underscored, and not in its stubs; Django and nose2 build on them as well.

from __future__ import annotations

import sys
import unittest
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from testkit.execution.recorder import Recorder


class RecordedSuite(unittest.TestSuite):
    """unittest's suite, which tells a :class:`Recorder` where each test and each fixture begins and ends.

    With any other result it is unittest's own.
    """

    def run(self, result: Any, debug: bool = False) -> Any:
        if debug or not isinstance(result, Recorder):
            return super().run(result, debug)
        top_level = not getattr(result, "_testRunEntered", False)
        result._testRunEntered = True
        for index, test in enumerate(self):
            if result.shouldStop:
                break
            if isinstance(test, unittest.BaseTestSuite):
                test(result)
            elif self._set_up_for(test, result) and not result.shouldStop:
                self._run_test(test, result)
            if self._cleanup:
                self._removeTestAtIndex(index)
        if top_level:
            self._tearDownPreviousClass(None, result)
            self._handleModuleTearDown(result)
            result._testRunEntered = False
        return result

    def _run_test(self, test: Any, result: Recorder) -> None:
        """Run ``test``, whose fixtures are set up; for a host that has more to do around it."""
        result.run_test(test)

    def _set_up_for(self, test: Any, result: Any) -> bool:
        """Run the fixtures due before ``test`` as unittest does, and return whether it can run."""
        if type(test) is not getattr(result, "_previousTestClass", None):
            self._change_class(test, result)
        return not (getattr(type(test), "_classSetupFailed", False) or getattr(result, "_moduleSetUpFailed", False))

    def _change_class(self, test: Any, result: Any) -> None:
        self._tearDownPreviousClass(test, result)
        self._handleModuleFixture(test, result)
        self._handleClassSetUp(test, result)
        result._previousTestClass = type(test)

    def _handleClassSetUp(self, test: Any, result: Any) -> None:
        with _fixture(result, type(test), "setUpClass"):
            super()._handleClassSetUp(test, result)

    def _tearDownPreviousClass(self, test: Any, result: Any) -> None:
        with _fixture(result, getattr(result, "_previousTestClass", None), "tearDownClass"):
            super()._tearDownPreviousClass(test, result)

    def _handleModuleFixture(self, test: Any, result: Any) -> None:
        with _fixture(result, sys.modules.get(type(test).__module__), "setUpModule"):
            super()._handleModuleFixture(test, result)

    def _handleModuleTearDown(self, result: Any) -> None:
        with _fixture(result, sys.modules.get(self._get_previous_module(result) or ""), "tearDownModule"):
            super()._handleModuleTearDown(result)


def _fixture(result: Any, owner: Any, phase: str) -> AbstractContextManager[None]:
    return result.fixture(owner, phase) if isinstance(result, Recorder) and owner is not None else nullcontext()
