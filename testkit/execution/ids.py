"""Stable ids of tests and subtests, what they are about, and where their code is."""

from __future__ import annotations

import inspect
import os
import re
import sys
import unittest
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any
from unittest.util import strclass

from testkit.core.verdict import class_of

Tests = Mapping[str, Sequence[Any]]
"""The test cases of a run by id; several may have one id."""

_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")
_FRAME = re.compile(r'^ *File "(.+)", line (\d+)', re.MULTILINE)
_LONGEST_REPR = 300
_INSTALLED = (os.sep + "site-packages" + os.sep, os.sep + "dist-packages" + os.sep)


def is_failed_import(test: Any) -> bool:
    """Return whether ``test`` stands in for something that could not be imported or found."""
    return isinstance(test, unittest.loader._FailedTest)  # type: ignore[attr-defined]  # not in the stubs


def test_id(test: Any) -> str:
    """Return the id of ``test``: unittest's, but the module's own for one that could not be imported.

    It is one line. Where a host's ids have more (nose2's have the parameters of a test there, which may have addresses),
    the first is the name by which the test can be asked for.
    """
    if type(test).__module__ == "unittest.loader":
        # _FailedTest and ModuleSkipped stand in for a module (or a name in it), and their method has its name.
        return str(test._testMethodName)
    return str(test.id()).partition("\n")[0]


def class_id(test: Any) -> str:
    """Return the id of the class of ``test``: of the module for a doctest or a function, empty for what could not be
    imported.
    """
    cls = type(test)
    if cls.__module__ == "unittest.loader":
        return ""
    if hasattr(test, "_dt_test"):
        return str(test.id()).rpartition(".")[0]
    # The class that stands for a function has a name of its own, which is in no id.
    return class_of(test_id(test)) if isinstance(test, unittest.FunctionTestCase) else strclass(cls)


def summary_of(test: Any) -> str:
    """Return the first line of the docstring of ``test``, or else what its host's id has beside the name: the parameters.

    Empty where there is neither, or it cannot be had.
    """
    try:
        return str(test.shortDescription() or "") or _ADDRESS.sub("", str(test.id()).partition("\n")[2])
    except Exception:
        return ""


def subtest_id(subtest: Any) -> str:
    """Return the id of a ``unittest`` subtest: its test's, its message and its parameters, without addresses."""
    parts = [test_id(subtest.test_case)]
    message = subtest._message
    if isinstance(message, str):  # otherwise it is unittest's sentinel for none
        parts.append(f"[{message}]")
    params: Mapping[str, Any] = subtest.params
    if params:
        parts.append(f"({', '.join(f'{name}={_repr(value)}' for name, value in params.items())})")
    return " ".join(parts) if len(parts) > 1 else f"{parts[0]} (<subtest>)"


def _repr(value: object) -> str:
    try:
        text = _ADDRESS.sub("", repr(value))
    except Exception:
        return f"<{type(value).__name__}>"
    if len(text) <= _LONGEST_REPR:
        return text
    # Whole documents are given as parameters; an id is a name, and stands in every report.
    half = _LONGEST_REPR // 2
    return f"{text[:half]}…({len(text):,} characters)…{text[-half:]}"


class Locator:
    """Finds the file and line of tests, with files relative to the folder in which the run began."""

    def __init__(self) -> None:
        self._directory = os.getcwd() + os.sep
        self._files: dict[str, str] = {}

    def of_test(self, test: Any) -> tuple[str, int]:
        """Return the file and line where ``test`` is defined; ("", 0) where that cannot be told."""
        doctest = getattr(test, "_dt_test", None)
        if doctest is not None:
            return self._file(doctest.filename or ""), (doctest.lineno or 0) + 1
        if is_failed_import(test):
            return self._of_text(str(test._exception))
        name = getattr(test, "_testMethodName", "")
        # The function that a FunctionTestCase stands for; the method; or what was made for this one test.
        found = getattr(test, "_testFunc", None) or getattr(type(test), name, None) or getattr(test, name, None)
        return self.of_function(found)

    def of_function(self, function: Any) -> tuple[str, int]:
        """Return the file and line of ``function``, of what it wraps if it is a decorator's."""
        function = getattr(function, "__func__", function)
        if hasattr(function, "__wrapped__"):
            function = inspect.unwrap(function)
        code = getattr(function, "__code__", None)
        return (self._file(code.co_filename), code.co_firstlineno) if code else ("", 0)

    def of_owner(self, owner: Any, phase: str) -> tuple[str, int]:
        """Return the file and line of the fixture ``phase`` of a class or module, or else of the owner itself."""
        file, line = self.of_function(getattr(owner, phase, None))
        module = sys.modules.get(owner.__module__) if isinstance(owner, type) else owner
        own_file = getattr(module, "__file__", None)
        if own_file and file != self._file(own_file) and isinstance(owner, type):
            # Inherited from a base class elsewhere (Django's): the class itself is where a reader would look.
            try:
                return self._file(own_file), inspect.getsourcelines(owner)[1]
            except (OSError, TypeError):
                return self._file(own_file), 0
        return file or self._file(own_file or ""), line

    def of_problem(self, traceback: TracebackType | None, test_file: str) -> tuple[str, int]:
        """Return where a reader of ``traceback`` should look first.

        That is its last line in ``test_file``, or else the last one that is not in an installed package.
        """
        found = ("", 0)
        for file, line in _frames(traceback):
            name = self._file(file)
            is_found = bool(test_file) and found[0] == test_file
            if name == test_file or not (is_found or any(part in file for part in _INSTALLED)):
                found = (name, line)
        return found

    def _of_text(self, text: str) -> tuple[str, int]:
        """Return the last place in ``text``, which has a traceback in it, that is in the folder of the run."""
        for file, line in reversed(_FRAME.findall(text)):
            if file.startswith(self._directory) and not any(part in file for part in _INSTALLED):
                return self._file(file), int(line)
        return "", 0

    def _file(self, name: str) -> str:
        if name not in self._files:
            absolute = os.path.abspath(name) if name else ""
            self._files[name] = absolute.removeprefix(self._directory).replace(os.sep, "/")
        return self._files[name]


def _frames(traceback: TracebackType | None) -> Iterable[tuple[str, int]]:
    while traceback is not None:
        yield traceback.tb_frame.f_code.co_filename, traceback.tb_lineno
        traceback = traceback.tb_next


def iterate(suite: Iterable[Any]) -> Iterable[Any]:
    """Yield the test cases of ``suite`` in order, however deep they are nested."""
    for test in suite:
        if isinstance(test, unittest.BaseTestSuite):
            yield from iterate(test)
        else:
            yield test


def tests_by_id(tests: Iterable[Any]) -> Tests:
    """Return ``tests`` by id, in their order; several may have one id."""
    found: dict[str, list[Any]] = {}
    for test in tests:
        found.setdefault(test_id(test), []).append(test)
    return found
