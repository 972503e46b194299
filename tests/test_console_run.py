"""What a run prints: off a terminal what stock Django prints, on one a live line below all else."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from testkit.core.events import TestFinished
from tests.projects import FRONTS, clean_environment

MIXED = """
import unittest
from django.test import SimpleTestCase, TestCase, TransactionTestCase

class Databases(TestCase):
    def test_documented(self):
        \"\"\"Its first line.

        Its second.
        \"\"\"
    def test_errs(self):
        print("printed, and no newline", end="")
        try:
            1 / 0
        except ZeroDivisionError as error:
            raise KeyError("x") from error
    def test_fails(self):
        \"\"\"Fails, and says so.\"\"\"
        print("printed by a failing test")
        self.assertEqual([1], [2], "message")

class Plain(SimpleTestCase):
    @unittest.skip("not today")
    def test_skipped(self): pass
    def test_skips_itself(self):
        self.skipTest("it's naïve")
    @unittest.expectedFailure
    def test_expected(self): self.fail()
    @unittest.expectedFailure
    def test_unexpected(self): pass
    @unittest.expectedFailure
    def test_unexpected_too(self):
        \"\"\"Also unexpected.\"\"\"
    def test_subtests(self):
        \"\"\"Has subtests.\"\"\"
        for number in range(4):
            with self.subTest("part", number=number):
                if number == 3:
                    self.skipTest("three")
                if number == 2:
                    raise ValueError("two")
                self.assertNotEqual(number, 1)
    def test_subtest_skipped(self):
        with self.subTest(a=1):
            self.skipTest("a")
    def test_subtest_fails_and_test_too(self):
        with self.subTest(a=1):
            self.fail("within")
        self.fail("behind")
    def test_two_problems(self):
        self.addCleanup(lambda: 1 / 0)
        self.fail("first")

class SetUpErrs(TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        print("printed by a set-up")
        raise RuntimeError("no class")
    def test_never(self): pass

class SetUpSkips(SimpleTestCase):
    @classmethod
    def setUpClass(cls):
        raise unittest.SkipTest("no browser")
    def test_never(self): pass

class TearDownErrs(SimpleTestCase):
    @classmethod
    def tearDownClass(cls):
        raise RuntimeError("no tear-down")
    def test_good(self): pass

@unittest.skip("the whole class")
class SkippedClass(TestCase):
    def test_never(self): pass

class FixtureMissing(TransactionTestCase):
    fixtures = ["there_is_none"]
    def test_never(self): pass
"""

OUR_OWN = re.compile(r"^Databases: .*\n|\nSlowest:\n(  .*\n)+", re.MULTILINE)
OUR_FRAMES = re.compile(r'^  File "[^"]*/testkit/databases/.*\n(    .*\n)+', re.MULTILINE)
"""Of a fixture that cannot be loaded: what loads it stands between Django's functions."""
NO_ISSUES = "System check identified no issues (0 silenced).\n"
"""Stock says it before the tests; we do not where the checks run beside them."""
ABOUT_DATABASES = re.compile(r"^(Creating|Destroying) test database .*\n", re.MULTILINE)


def as_we_say_it(stock: str) -> str:
    """Return what stock Django printed with our documented improvements: clear ids, a named set-up, no chatter."""
    text = re.sub(r"([\w.]+) \(unittest\.loader\.\w+\.\1\)", r"\1", ABOUT_DATABASES.sub("", stock))
    return text.replace(
        "\nskipped 'no browser'", "\nsetUpClass (shop.tests.test_shop.SetUpSkips) ... skipped 'no browser'"
    )


def without_seconds(text: str) -> str:
    return re.sub(r"in \d+\.\d{3}s$", "in 0.000s", text, flags=re.MULTILINE)


@pytest.mark.skipif(sys.version_info[:3] == (3, 12, 1), reason="its unittest miscounts (python/cpython#106584)")
def test_off_a_terminal_the_output_is_stock_djangos(project):
    """Byte for byte, but for the documented improvements: dots, -v 0, -v 2 and --buffer; stdout too."""
    project.tests(MIXED)
    project.tests("import nothing_of_that_name", module="test_broken")
    project.tests(
        """
        from unittest import TestCase
        def setUpModule(): raise RuntimeError("no module")
        class T(TestCase):
            def test_never(self): pass
        """,
        module="test_module",
    )
    for flags in ([], ["-v0"], ["-v2"], ["--buffer"]):
        stock = project.run(*flags, front="stock")
        ours = project.run("--no-templates", *flags)
        said = OUR_FRAMES.sub("", OUR_OWN.sub("", ABOUT_DATABASES.sub("", ours.stderr)))
        assert without_seconds(said) == without_seconds(as_we_say_it(stock.stderr)), flags
        if flags != ["-v2"]:
            assert not ABOUT_DATABASES.search(ours.stderr)
        assert "FAILED (failures=5, errors=8, skipped=6, expected failures=1, unexpected successes=2)" in ours.stderr
        if "--buffer" not in flags:  # stock prints the output twice then: when the test ends, and in its block
            assert ours.stdout.replace(NO_ISSUES, "") == stock.stdout.replace(NO_ISSUES, ""), flags


def test_output_is_shown_as_it_comes_and_kept(project):
    """A slow test's print can be read before it ends; prints, bytes and Django's own log records are its, not others'."""
    project.settings("""
    LOGGING = {
        "version": 1, "disable_existing_loggers": False,
        "handlers": {"console": {"class": "logging.StreamHandler"}},
        "loggers": {"shop": {"handlers": ["console"]}},
    }
    """)
    project.tests("""
    import logging, pathlib, sys, threading, time, unittest
    from contextlib import redirect_stdout
    import io
    class T(unittest.TestCase):
        def test_1_slow(self):
            print("it begins")
            while not pathlib.Path("go").exists():
                time.sleep(0.01)
            logging.getLogger("shop").warning("a record")
            sys.stdout.buffer.write("bytes: é\\n".encode())
        def test_2_redirects(self):
            with redirect_stdout(io.StringIO()) as own:
                print("for the test alone")
            self.assertEqual(own.getvalue(), "for the test alone\\n")
            thread = threading.Thread(target=print, args=("from a thread",))
            thread.start()
            thread.join()
            threading.Thread(target=self.print_late, args=(sys.stdout,), daemon=True).start()
        later, told = threading.Event(), threading.Event()
        def print_late(self, stream):
            self.later.wait(30)
            print("late", file=stream)
            self.told.set()
        def test_3_big(self):
            self.later.set()
            self.told.wait(30)
            for number in range(150_000):
                sys.stderr.write(f"{number:09}\\n")
    """)
    process = project.start(TESTKIT_SLOWEST="0", FORCE_COLOR="1")
    lines = iter(process.stdout.readline, "")
    assert "it begins\n" in lines
    assert process.poll() is None
    (project.folder / "go").touch()
    stdout, stderr = process.communicate(timeout=60)
    assert "bytes: é\n" in stdout
    assert "for the test alone" not in stdout
    assert "a record\n" in stderr
    assert "000075000\n" in stderr
    assert stderr.endswith("\n\n\x1b[32mOK\x1b[0m\n")
    slow, redirects, big = (fact for fact in project.facts() if isinstance(fact, TestFinished))
    assert (slow.stdout, slow.stderr) == ("it begins\nbytes: é\n", "a record\n")
    assert (redirects.stdout, big.stdout) == ("from a thread\n", "late\n")
    assert len(big.stderr) <= 1_000_000
    assert re.search(r"\n\[… \d+ characters cut …\]\n", big.stderr)
    assert big.stderr.startswith("000000000\n")
    assert big.stderr.endswith("000149999\n")


def test_an_ascii_world_and_failures_now(project):
    """Without a terminal and without Unicode a run with non-ASCII names ends well; --failures now tells at once."""
    project.tests("""
    import unittest
    class Prüfung(unittest.TestCase):
        def test_größe(self):
            \"\"\"Groß.\"\"\"
            self.fail("naïve")
        def test_last(self): pass
    """)
    result = project.run(
        "-v2",
        "--failures",
        "now",
        PYTHONIOENCODING="ascii",
        LANG="C",
        LC_ALL="C",
        PYTHONUTF8="0",
        PYTHONCOERCECLOCALE="0",
    )
    assert result.returncode == 1, result.stderr
    assert "\n".join([r"Gro\xdf. ... FAIL", "=" * 70, r"FAIL: test_gr\xf6\xdfe"]) in result.stderr
    assert r"AssertionError: na\xefve" in result.stderr
    assert result.stderr.index("AssertionError") < result.stderr.index("test_last")
    assert "\x1b" not in result.stderr


class Terminal:
    """A run on a pseudo-terminal of its own."""

    def __init__(self, project, *arguments: str, rows: int = 24, columns: int = 80, **environment: str) -> None:
        self._ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen(
            [*FRONTS["testkit"], *arguments],
            cwd=project.folder,
            env=clean_environment(**{"TERM": "xterm", "CI": "", "LANG": "C.UTF-8", **environment}),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._bytes = b""
        self._seen = 0

    @property
    def text(self) -> str:
        """All that the terminal was sent."""
        return self._bytes.decode("utf-8", "backslashreplace").replace("\r\n", "\n")

    def wait_for(self, text: str, seconds: float = 30) -> None:
        """Read until ``text`` came behind what was waited for before."""
        deadline = time.monotonic() + seconds
        while text not in self.text[self._seen :]:
            assert time.monotonic() < deadline, f"{text!r} did not come: {self.text[-2000:]!r}"
            assert self._read(), f"the run ended without {text!r}: {self.text[-2000:]!r}"
        self._seen = self.text.index(text, self._seen) + len(text)

    def _read(self) -> bool:
        if not select.select([self._ours], [], [], 0.1)[0]:
            return True
        try:
            data = os.read(self._ours, 65536)
        except OSError:  # Linux says this when the other end is closed
            return False
        self._bytes += data
        return bool(data)

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def end(self, seconds: float = 60) -> int:
        """Read to the end, and return the exit status."""
        deadline = time.monotonic() + seconds
        while self._read():
            assert time.monotonic() < deadline, f"the run did not end: {self.text[-2000:]!r}"
        return self.process.wait(10)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)


@pytest.fixture
def on_terminal(project) -> Iterator[Callable[..., Terminal]]:
    """Start runs of the project on terminals of their own."""
    with ExitStack() as undo:

        def start(*arguments: str, **settings: Any) -> Terminal:
            terminal = Terminal(project, *arguments, **settings)
            undo.callback(terminal.close)
            return terminal

        yield start


def drawn(text: str, rows: int) -> list[str]:
    """Return each state of the live line, without colours."""
    frame = rf"\x1b7\x1b\[1;{rows - 1}r\x1b\[{rows};1H\x1b\[0m\x1b\[2K\x1b\[\?7l(.*?)\x1b\[0m\x1b\[\?7h\x1b8"
    return [re.sub(r"\x1b\[\d*m", "", line) for line in re.findall(frame, text)]


def scrolled(text: str) -> str:
    """Return what was written beside the live line, which is drawn between ESC 7 and ESC 8 alone."""
    return re.sub(r"\x1b7.*?\x1b8", "", text, flags=re.DOTALL).replace("\x1bD\x1b[A", "", 1)


def gave_back(text: str, rows: int) -> bool:
    """Whether the last thing done to the row was to clear it and to let the terminal scroll as a whole."""
    return re.findall(r"\x1b7.*?\x1b8", text)[-1] == f"\x1b7\x1b[r\x1b[{rows};1H\x1b[0m\x1b[2K\x1b8"


def test_on_a_terminal_there_is_a_live_line(project, on_terminal):
    """It counts and tells what runs, failures stand above it at once, and whatever is printed scrolls by untouched."""
    project.tests("""
    import pathlib, subprocess, sys, time, unittest
    class T(unittest.TestCase):
        def test_1_fails(self): self.fail("boom")
        def test_2_slow(self):
            while not pathlib.Path("go").exists():
                time.sleep(0.01)
        @unittest.skip("x")
        def test_3_skipped(self): pass
        def test_4_prints(self):
            print("no newline", end="", flush=True)
            time.sleep(0.3)
            print("\\rreturned \\x1b[35mcoloured\\x1b[0m")
            sys.stdout.buffer.write(b"bytes \\xc3\\xa9\\n")
            sys.stdout.flush()
            subprocess.run(["echo", "a child's"])
            print("long " * 100)
    """)
    for run in (1, 2):
        (project.folder / "go").unlink(missing_ok=True)
        terminal = on_terminal(rows=24, columns=90)
        terminal.wait_for("AssertionError: boom")
        terminal.wait_for(" 1s ")
        (project.folder / "go").touch()
        assert terminal.end() == 1
        text = terminal.text
        lines = drawn(text, rows=24)
        assert lines[0].startswith("░" * 20 + " 0/4")
        assert any(line.startswith("█" * 5 + "░" * 15 + " 1/4 1 failed ") for line in lines), lines
        assert any(line.endswith(" 1s shop.tests.test_shop.T.test_2_slow") for line in lines), lines
        assert any(" 3/4 1 failed 1 skipped " in line for line in lines), lines
        # What passed is remembered, and what failed or was skipped is taken to be like it.
        assert any(re.search(r" \d:\d\d left ", line) for line in lines) is (run == 2)
        above = scrolled(text)
        assert not re.search("[█░]|/4", above)
        assert "no newline\rreturned \x1b[35mcoloured\x1b[0m\nbytes é\na child's\n" + "long " * 100 + "\n" in above
        assert above.count("AssertionError: boom") == 1
        assert "AssertionError: boom\n\nno newline" in above  # with no dots between them
        assert "\n\x1b[31mFAILED (failures=1, skipped=1)\x1b[0m\n\nSlowest:\n" in above
        assert "\x1b[?25l" not in text
        assert gave_back(text, rows=24)


def test_a_narrow_terminal_without_colours(project, on_terminal):
    """On 20 columns the line is what fits; NO_COLOR leaves it without colours; an interrupt gives the row back."""
    project.tests("""
    import time, unittest
    class T(unittest.TestCase):
        def test_1(self): pass
        def test_2(self): time.sleep(60)
    """)
    terminal = on_terminal(rows=5, columns=20, NO_COLOR="1", PYTHONIOENCODING="ascii")
    terminal.wait_for("1/2 1s ...p.T.test_2")
    for _ in range(2):
        os.kill(terminal.process.pid, 2)
        terminal.wait_for("SIGINT")
    assert terminal.end() == 130
    lines = drawn(terminal.text, rows=5)
    assert max(map(len, lines)) <= 20
    ours, _, _djangos = terminal.text.partition("CommandError")
    assert set(re.findall(r"\x1b\[[\d;]*m", ours.rpartition("\n")[0])) == {"\x1b[0m"}
    assert "\nFAILED (errors=1, interrupted by SIGINT)\n" in scrolled(terminal.text)
    assert gave_back(terminal.text, rows=5)


def test_a_debugger_and_a_prompt_have_the_terminal(project, on_terminal):
    """input() works below the live line; breakpoint() takes it away, shows what --buffer hid, and goes on with dots."""
    project.tests("""
    import pdb, unittest
    class T(unittest.TestCase):
        def test_1_asks(self):
            self.assertEqual(input("name? "), "bob")
        def test_2_stops(self):
            answer = 41
            breakpoint()
            self.assertEqual(answer, 42)
        def test_3_stops_too(self):
            pdb.set_trace()
    """)
    for flags in ([], ["--buffer"]):
        terminal = on_terminal(*flags)
        terminal.wait_for("name? ")
        terminal.type("bob\n")
        terminal.wait_for("-> self.assertEqual(answer, 42)" if sys.version_info < (3, 13) else "-> breakpoint()")
        terminal.wait_for("(Pdb) ")
        assert gave_back(terminal.text, rows=24)
        terminal.type("p answer + 100\n")
        terminal.wait_for("p answer + 100")  # echoed
        terminal.wait_for("\n141\n")
        terminal.type("answer = 42\n")
        terminal.wait_for("(Pdb) ")
        terminal.type("c\n")
        terminal.wait_for("pdb.set_trace()\n(Pdb) ")
        terminal.type("c\n")
        assert terminal.end() == 0
        assert "c\n." in terminal.text
        assert "\nRan 3 tests in " in terminal.text
        assert len(drawn(terminal.text, rows=24)) == len(drawn(terminal.text.partition("(Pdb)")[0], rows=24))


def test_a_dumb_terminal_and_pdb_have_dots(project, on_terminal):
    """TERM=dumb, CI and --pdb have no live line; failures are still told at once, and --pdb stops where it failed."""
    project.tests("""
    import unittest
    class T(unittest.TestCase):
        def test_1(self): pass
        def test_2(self):
            answer = 42
            self.fail("boom")
        def test_3(self): pass
    """)
    terminal = on_terminal(TERM="dumb")
    assert terminal.end() == 1
    assert "\x1b[1;" not in terminal.text
    assert re.search(r"\n\.F\n=+\nFAIL: .*AssertionError: boom\n\n\.\n-+\nRan 3", terminal.text, re.DOTALL)
    terminal = on_terminal("--pdb", CI="true")
    terminal.wait_for("(Pdb) ")
    terminal.type("p answer * 10\n")
    terminal.wait_for("\n420\n")
    terminal.type("c\n")
    assert terminal.end() == 1
    assert "\x1b[1;" not in terminal.text
