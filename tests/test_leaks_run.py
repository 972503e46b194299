"""--leaks, as a whole run has it."""

from __future__ import annotations

import pytest

TESTS = """
    import os, threading, time
    from django.test import SimpleTestCase

    class Tidy(SimpleTestCase):
        def test_nothing(self): pass

    class Untidy(SimpleTestCase):
        def test_variable(self): os.environ["LEFT_BEHIND"] = "secret"
        def test_thread(self): threading.Thread(target=time.sleep, args=(5,), name="lingering", daemon=True).start()
        def test_file(self): type(self).file = open(__file__)
"""
SAID = """Leaks: 3 tests left something behind
  shop.tests.test_shop.Untidy.test_file
    file {folder}/shop/tests/test_shop.py is left open
  shop.tests.test_shop.Untidy.test_thread
    thread 'lingering' is still running
  shop.tests.test_shop.Untidy.test_variable
    environment variable LEFT_BEHIND was added
"""


@pytest.mark.parametrize("flags", [[], ["--parallel", "2"]], ids=["serial", "parallel"])
def test_what_tests_leave_behind_is_named(project, flags):
    """The tests that left something behind are named with it at the end, and the outcomes stay; no value is told."""
    project.tests(TESTS)
    result = project.run("--leaks", *flags)
    assert result.returncode == 0, result.stderr
    assert SAID.format(folder=project.folder.resolve()) in result.stderr
    assert "secret" not in result.stderr
    assert "Leaks" not in project.run(*flags).stderr
