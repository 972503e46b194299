"""Of the stacks that faulthandler writes, a reader gets what is the test's."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import testkit.execution
from testkit.execution.stacks import forget_stacks, shortened, stacks_in
from tests.projects import clean_environment

OWN = os.path.dirname(testkit.execution.__file__)


def frame(function, file="/srv/shop/tests.py"):
    return f'  File "{file}", line 7 in {function}'


def test_the_runner_is_left_out():
    """Of each thread that runs a test there is what lies within the test; other threads stay as they are."""
    stacks = [
        "Current thread 0x00007f (most recent call first):",
        frame("helper"),
        frame("test_hangs"),
        frame("_callTestMethod", "/usr/lib/python3/unittest/case.py"),
        frame("run", "/usr/lib/python3/unittest/case.py"),
        frame("run_test", f"{OWN}/recorder.py"),
        frame("<module>", "/srv/shop/manage.py"),
        "",
        "Thread 0x00007e (most recent call first):",
        frame("wait", "/usr/lib/python3/threading.py"),
        frame("serve"),
        "Extension modules: lxml.etree (total: 1)",
    ]
    assert shortened("\n".join(stacks)).splitlines() == [*stacks[:3], *stacks[7:]]


def test_frames_that_cannot_be_told():
    """Frames without a file or line do not end what is left out, nor are they left out among the test's own."""
    stacks = [
        "Current thread 0x00007f (most recent call first):",
        "  File ???, line ??? in ???",
        frame("test_hangs"),
        frame("run_test", f"{OWN}/recorder.py"),
        "  File ???, line 3 in outer",
        frame("<module>", "/srv/shop/manage.py"),
    ]
    assert shortened("\n".join(stacks)).splitlines() == stacks[:3]


def test_a_fixture_is_shown_from_its_own_frames():
    """Of a test that hangs in its set-up, tear-down or a cleanup, what calls that is left out."""
    for caller in ("_callSetUp", "_callTearDown", "_callCleanup"):
        stacks = [frame("connect"), frame("setUp"), frame(caller, "/usr/lib/python3/unittest/case.py"), frame("run")]
        assert shortened("\n".join(stacks)).splitlines() == stacks[:2]


def test_the_names_of_a_users_functions_do_not_matter():
    """A function of the project that is called like one of unittest's is shown."""
    stacks = [frame("_callTestServer"), frame("test_it"), frame("run_test", f"{OWN}/recorder.py")]
    assert shortened("\n".join(stacks)).splitlines() == stacks[:2]


def test_real_stacks(tmp_path: Path):
    """What faulthandler writes of a real test that runs by our suite ends with the test."""
    path = tmp_path / "stacks"
    program = """
        import faulthandler, sys, unittest
        from testkit.execution.capture import Capture
        from testkit.execution.inline import RecordedSuite
        from testkit.execution.recorder import Recorder

        class Case(unittest.TestCase):
            def test_tells(self):
                with open(sys.argv[1], "w") as file:
                    faulthandler.dump_traceback(file)

        RecordedSuite([Case("test_tells")]).run(Recorder(lambda fact: None, Capture(show=True)))
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(path)]
    subprocess.run(command, check=True, env=clean_environment())
    assert "unittest" in path.read_text()
    told = stacks_in(path).splitlines()
    assert (len(told), told[1].split(" in ")[1]) == (2, "test_tells")


def test_files(tmp_path: Path):
    """A file that is missing has no stacks, and one that is emptied none any more; no byte in it is too odd."""
    path = tmp_path / "stacks"
    assert stacks_in(path) == ""
    forget_stacks(path)
    assert not path.exists()
    path.write_bytes(b"Fatal Python error: \xff\n\n")
    assert stacks_in(path) == r"Fatal Python error: \xff"
    forget_stacks(path)
    assert stacks_in(path) == ""
