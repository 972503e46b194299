"""Suites that tell nose2's plugins of their tests, and put its layers around them."""

from __future__ import annotations

import sys
import unittest
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, NamedTuple
from unittest.suite import _ErrorHolder  # type: ignore[attr-defined]  # as which unittest reports fixtures
from unittest.util import strclass

from nose2.plugins.layers import Layers
from nose2.suite import LayerSuite

from testkit.execution.ids import iterate
from testkit.execution.inline import RecordedSuite
from testkit.execution.recorder import Recorder
from testkit.nose2_plugin.result import HookedResult

__unittest = True  # unittest leaves what is above a test out of its tracebacks by this


class LayerNotSetUp(Exception):
    """The set-up of a layer failed, so a class below it was not run."""


class Hosting(NamedTuple):
    """What runs tests as nose2 would, in this process; a forked worker has it from the run."""

    result: HookedResult
    execute: Callable[[Any, Any], Any]
    """How nose2 or one of its plugins runs a suite with a result."""
    layers: Layers | None
    """nose2's plugin for layers, if it is on."""


class HookedSuite(RecordedSuite):
    """A suite of nose2's tests, run in whatever process: its plugins are told, and its layers are set up.

    It takes the tests one beside the other and puts them into the suites of their layers when it runs.
    """

    hosting: ClassVar[Hosting | None] = None

    def run(self, result: Any, debug: bool = False) -> Any:
        hosting = self.hosting
        if hosting is None or not isinstance(result, Recorder):
            return super().run(result, debug)
        hosting.result.stand_before(result)
        tests = list(self)
        self._tests.clear()  # what a test leaves on itself may go when it has run
        if hosting.layers is not None:
            tests = [_recorded(part) for part in hosting.layers.make_suite(tests, RecordedSuite)]
        hosting.execute(RecordedSuite(tests), result)
        return result


def _recorded(part: Any) -> Any:
    return RecordedLayer(part) if isinstance(part, LayerSuite) else part


class RecordedLayer(RecordedSuite, LayerSuite):  # type: ignore[misc]  # nose2 is not typed
    """nose2's suite of a layer, whose set-up and tear-down are facts.

    Unlike nose2's it runs the fixtures of the classes in the layer, without which Django's test cases have no
    transaction; and what the layer does around each test (``testSetUp``) is the test's, with its time and its problems.
    """

    def __init__(self, layered: LayerSuite) -> None:
        """Take the place of ``layered``."""
        LayerSuite.__init__(self, layered.session, layer=layered.layer)
        for part in layered:
            self.addTest(_recorded(part))

    def run(self, result: Any, debug: bool = False) -> Any:
        self._end_class(result)
        if self._fixture(result, "setUp"):
            super().run(result, debug)
        else:
            self._tell_classes(result)
        self._end_class(result)
        if self.wasSetup:
            self._fixture(result, "tearDown")
        return result

    def _end_class(self, result: Any) -> None:
        self._tearDownPreviousClass(None, result)
        self._handleModuleTearDown(result)
        result._previousTestClass = None

    def _fixture(self, result: Recorder, phase: str) -> bool:
        """Set the layer up, or tear it down, and return whether that went well."""
        is_good = False
        with result.fixture(self.layer, phase):
            result._setupStdout()
            try:
                getattr(LayerSuite, phase)(self)
                is_good = True
            except Exception:
                result.addError(_ErrorHolder(f"{phase} ({strclass(self.layer)})"), sys.exc_info())
            finally:
                result._restoreStdout()
        return is_good

    def _tell_classes(self, result: Recorder) -> None:
        """Say of each class in the layer that it cannot run; for the tests' ids tell nothing of their layer."""
        for cls in dict.fromkeys(type(test) for test in iterate(self)):
            with result.fixture(cls, "setUpClass"):
                result._setupStdout()
                try:
                    raise LayerNotSetUp(f"the set-up of its layer {strclass(self.layer)} failed (see there)")
                except LayerNotSetUp:
                    result.addError(_ErrorHolder(f"setUpClass ({strclass(cls)})"), sys.exc_info())
                result._restoreStdout()

    def _run_test(self, test: Any, result: Recorder) -> None:
        result.run_test(test, partial(self._run_within, test))

    def _run_within(self, test: Any, result: Recorder) -> None:
        try:
            self.setUpTest(test)
        except Exception:
            result.startTest(test)  # for plugins, which count tests by it
            result.addError(test, sys.exc_info())
            result.stopTest(test)
            return
        try:
            test(result)
        finally:
            try:
                self.tearDownTest(test)
            except Exception:
                result.addError(test, sys.exc_info())


def name_after_source(test: Any) -> Any:
    """Give what nose2 has made for ``test`` the names that its id has, and what could not be imported unittest's form.

    nose2 makes a class for each test function, and for each method of a class that is no ``TestCase``.
    """
    cls = type(test)
    if cls.__module__ == "nose2.loader":
        name = test._testMethodName
        try:
            getattr(test, name)()
        except Exception as error:
            return unittest.loader._FailedTest(name, error)  # type: ignore[attr-defined]  # not in the stubs
    if "<locals>" in cls.__qualname__:
        whole = str(test.id()).partition("\n")[0].removeprefix(f"{cls.__module__}.")
        cls.__qualname__ = whole.rpartition(".")[0] or whole
        if hasattr(test, "obj"):
            test._testFunc = getattr(test.obj, test.method)
    return test
