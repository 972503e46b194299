"""What goes wrong in real test runs: each fault as a test of a real little project.

The project is that of ``tests/projects.py`` with three test modules. ``test_early`` and ``test_late`` are well-behaved;
between them is ``test_fault``, whose second test has the fault, within a transaction on an SQLite database in memory.
What becomes of the other tests is known, so nothing can be lost unseen.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from testkit.core.events import Outcome
from tests.projects import Project

PASSED, FAILED, ERROR, SKIPPED = Outcome.PASSED, Outcome.FAILED, Outcome.ERROR, Outcome.SKIPPED
MODULE = "shop.tests.test_fault"
CLASS = f"{MODULE}.FaultTests"
BEFORE, FAULT, AFTER = (f"{CLASS}.{name}" for name in ("test_1_before", "test_2_fault", "test_3_after"))
SET_UP = f"{CLASS}.setUpClass"
"""Where the set-up of the class has the fault, that accounts for its tests."""
TIMEOUT = 2.0
"""Seconds that a test may take where the fault is that it takes for ever."""

_GOOD = """
def test_1_creates(self):
    Item.objects.create(name="one")
    self.assertEqual(Item.objects.count(), 1)

def test_2_is_alone(self):
    self.assertEqual(Item.objects.count(), 0)
"""
_EARLY = f"""
from django.test import TestCase
from shop.models import Item

class EarlyTests(TestCase):
{textwrap.indent(_GOOD, "    ")}
"""
_LATE = f"""
import unittest
from django.test import SimpleTestCase, TestCase
from shop.models import Item

class LateTests(TestCase):
{textwrap.indent(_GOOD, "    ")}

class PlainTests(SimpleTestCase):
    def test_1_passes(self):
        pass

    @unittest.skip("not today")
    def test_2_is_skipped(self):
        pass

    @unittest.expectedFailure
    def test_3_fails_as_expected(self):
        self.fail("as expected")
"""
OTHERS: Mapping[str, Outcome] = {
    "shop.tests.test_early.EarlyTests.test_1_creates": PASSED,
    "shop.tests.test_early.EarlyTests.test_2_is_alone": PASSED,
    "shop.tests.test_late.LateTests.test_1_creates": PASSED,
    "shop.tests.test_late.LateTests.test_2_is_alone": PASSED,
    "shop.tests.test_late.PlainTests.test_1_passes": PASSED,
    "shop.tests.test_late.PlainTests.test_2_is_skipped": SKIPPED,
    "shop.tests.test_late.PlainTests.test_3_fails_as_expected": Outcome.EXPECTED_FAILURE,
}
"""The tests of the well-behaved modules."""

_IMPORTS = """
import atexit, collections, itertools, os, pathlib, re, resource, signal, subprocess, sys, tempfile, threading, time
from django.test import SimpleTestCase, TestCase
from shop.models import Item

resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # what crashes here is not to be kept

def kill():
    print("last words")
    os.kill(os.getpid(), signal.SIGKILL)
"""
_AROUND = """
class FaultTests(TestCase):
    def test_1_before(self):
        Item.objects.create(name="before")
        self.assertEqual(Item.objects.count(), 1)

    def test_2_fault(self):
        Item.objects.create(name="at fault")
{}

    def test_3_after(self):
        self.assertEqual(Item.objects.count(), 0)
"""


class Alone(Enum):
    """What becomes of a run in one process that has the fault."""

    GOES_ON = "the fault is its test's, and the run goes on"
    ENDS = "the process ends there"
    EITHER = "either, since it depends on what the fault lets a signal do"
    BLIND = "the run goes on without the files by which it tells of itself"


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault, and what a run with two workers tells of it.

    ``body`` is what the test at fault does, or ``module`` a test module in the place of the usual one, and ``tests`` is
    what becomes of the tests in it. ``words`` are regular expressions for what the report of the test says,
    ``message`` one for its message. ``lost`` is how many workers are lost by it, None where that is the engine's
    choice. ``status`` is that of a process that has the fault itself (negative for a signal), or that of the run where
    this goes on.
    """

    name: str
    title: str
    body: str = ""
    module: str = ""
    outcome: Outcome = ERROR
    tests: Mapping[str, Outcome] | None = None
    message: str = ""
    words: tuple[str, ...] = ()
    lost: int | None = 0
    timeout: float = 0.0
    alone: Alone = Alone.GOES_ON
    status: int = 1

    def expected(self) -> dict[str, Outcome]:
        """Return the outcome of every test in a run that goes on."""
        usual = {BEFORE: PASSED, FAULT: self.outcome, AFTER: PASSED}
        return {**OTHERS, **(usual if self.tests is None else self.tests)}

    def arguments(self) -> list[str]:
        """Return the arguments of testkit that the fault needs."""
        return [f"--timeout={self.timeout:g}"] if self.timeout else []

    def write(self, project: Project) -> None:
        """Write the test modules into ``project``."""
        body = textwrap.indent(textwrap.dedent(self.body).strip(), " " * 8)
        module = textwrap.dedent(self.module) if self.module else _AROUND.format(body)
        project.tests(_EARLY, "test_early")
        project.tests(_IMPORTS + module, "test_fault")
        project.tests(_LATE, "test_late")


_FULL = """
import resource
limits = resource.getrlimit(resource.RLIMIT_AS)
self.addCleanup(resource.setrlimit, resource.RLIMIT_AS, limits)
used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (128 << 20), limits[1]))
kept = []
"""
_TIME_LIMIT = r"(?i)time.?limit|time.?out|timed out|took (longer|more) than"
LAST_WORDS = "last words"
_STACK = r"test_fault\.py.*\btest_2_fault\b"

DEATHS = (
    Fault(
        "sigkill",
        "killed by SIGKILL, as the kernel does when memory is out",
        "kill()",
        message="SIGKILL",
        words=(LAST_WORDS,),
        lost=1,
        alone=Alone.ENDS,
        status=-9,
    ),
    Fault(
        "segfault",
        "a segmentation fault",
        'print("last words")\nimport ctypes; ctypes.string_at(0)',
        message="SIGSEGV",
        words=(LAST_WORDS, _STACK),
        lost=1,
        alone=Alone.ENDS,
        status=-11,
    ),
    Fault(
        "exit-0",
        "`os._exit(0)`",
        'print("last words"); os._exit(0)',
        message=r"(?i)exit",
        words=(LAST_WORDS,),
        lost=1,
        alone=Alone.ENDS,
        status=2,
    ),
    Fault(
        "exit-7",
        "`os._exit(7)`",
        'print("last words"); os._exit(7)',
        message=r"(?i)exit.*\b7\b",
        words=(LAST_WORDS,),
        lost=1,
        alone=Alone.ENDS,
        status=7,
    ),
    Fault(
        "memory-abort",
        "out of memory (RLIMIT_AS), upon which C code aborts",
        f"{_FULL}\ntry:\n    while True:\n        kept.append(bytearray(8 << 20))\nexcept MemoryError:\n    os.abort()",
        message="SIGABRT",
        words=(_STACK,),
        lost=1,
        alone=Alone.ENDS,
        status=-6,
    ),
    Fault(
        "cpu-limit",
        "out of CPU time (RLIMIT_CPU): the kernel kills it within C code",
        """
        limit = int(time.process_time()) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
        collections.deque(itertools.repeat(0), maxlen=0)
        """,
        message="SIGKILL|SIGXCPU",
        lost=1,
        alone=Alone.ENDS,
        status=-9,
    ),
    Fault(
        "two-killers",
        "two classes at once, each of which kills its worker",
        module="""
        class FaultTests(TestCase):
            def test_1_before(self): pass
            def test_2_fault(self): time.sleep(0.2); kill()
            def test_3_after(self): pass

        class OtherTests(FaultTests):
            pass
        """,
        tests={
            f"{MODULE}.{name}.{test}": outcome
            for name in ("FaultTests", "OtherTests")
            for test, outcome in (("test_1_before", PASSED), ("test_2_fault", ERROR), ("test_3_after", PASSED))
        },
        message="SIGKILL",
        lost=2,
        alone=Alone.ENDS,
        status=-9,
    ),
    Fault(
        "child-left",
        "killed by SIGKILL, with a child process left behind",
        'subprocess.Popen(["sleep", "1000"]); kill()',
        message="SIGKILL",
        lost=1,
        alone=Alone.ENDS,
        status=-9,
    ),
    Fault(
        "child-holds-pipes",
        "killed by SIGKILL, with a forked child that holds its open files",
        "if os.fork():\n    kill()\ntime.sleep(1000)",
        message="SIGKILL",
        lost=1,
        alone=Alone.ENDS,
        status=-9,
    ),
)
"""A test ends its process."""

HANGS = (
    Fault(
        "hang",
        "a test sleeps for ever",
        'print("last words")\nwhile True:\n    time.sleep(60)',
        message=_TIME_LIMIT,
        words=(LAST_WORDS, _STACK),
        timeout=TIMEOUT,
        lost=None,
    ),
    Fault(
        "hang-deadlock",
        "a deadlock of two locks",
        "lock = threading.Lock()\nlock.acquire()\nlock.acquire()",
        message=_TIME_LIMIT,
        words=(_STACK,),
        timeout=TIMEOUT,
        lost=None,
    ),
    Fault(
        "hang-regex",
        "a catastrophic regular expression",
        're.match(r"(a+)+$", "a" * 60 + "b")',
        message=_TIME_LIMIT,
        words=(_STACK,),
        timeout=TIMEOUT,
        lost=None,
        alone=Alone.EITHER,
    ),
    Fault(
        "hang-in-c",
        "a loop in C code that holds the GIL",
        'print("last words")\ncollections.deque(itertools.repeat(0), maxlen=0)',
        message=_TIME_LIMIT,
        words=(LAST_WORDS, _STACK),
        timeout=TIMEOUT,
        lost=None,
        alone=Alone.ENDS,
    ),
    Fault(
        "hang-blocked",
        "a hanging test that has blocked all signals",
        "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\nwhile True:\n    time.sleep(60)",
        message=_TIME_LIMIT,
        timeout=TIMEOUT,
        lost=None,
        alone=Alone.ENDS,
    ),
    Fault(
        "hang-deaf",
        "a hanging test that ignores SIGINT, SIGTERM, SIGALRM and SIGUSR1",
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGABRT):
            signal.signal(number, signal.SIG_IGN)
        while True:
            time.sleep(60)
        """,
        message=_TIME_LIMIT,
        timeout=TIMEOUT,
        lost=None,
        alone=Alone.EITHER,
    ),
    Fault(
        "hang-stubborn",
        "a hanging test that catches BaseException and goes on",
        "while True:\n    try:\n        time.sleep(60)\n    except BaseException:\n        pass",
        message=_TIME_LIMIT,
        words=(_STACK,),
        timeout=TIMEOUT,
        lost=None,
        alone=Alone.EITHER,
    ),
    Fault(
        "hang-swallowed",
        "a hanging test that takes what ends it for an answer, and passes",
        "try:\n    time.sleep(1000)\nexcept BaseException:\n    pass",
        message=_TIME_LIMIT,
        timeout=TIMEOUT,
        lost=None,
    ),
    Fault(
        "sigstop",
        "stopped by SIGSTOP",
        "os.kill(os.getpid(), signal.SIGSTOP)",
        message=_TIME_LIMIT,
        timeout=TIMEOUT,
        lost=None,
        alone=Alone.ENDS,
    ),
)
"""A test does not end."""

CLASSES = (
    Fault(
        "kill-in-setupclass",
        "a `setUpClass` that kills its worker",
        module="""
        class FaultTests(TestCase):
            @classmethod
            def setUpClass(cls):
                super().setUpClass()
                kill()
            def test_1_before(self): pass
            def test_2_fault(self): pass
            def test_3_after(self): pass
        """,
        tests={SET_UP: ERROR},
        message="SIGKILL",
        words=(LAST_WORDS,),
        lost=1,
        alone=Alone.ENDS,
        status=-9,
    ),
    Fault(
        "quarantine",
        "a class with two tests that kill their worker: its other tests do not run",
        module="""
        class FaultTests(TestCase):
            @classmethod
            def setUpClass(cls):  # so that no part of the class runs on another worker meanwhile
                super().setUpClass()
            def test_1_before(self): pass
            def test_2_fault(self): kill()
            def test_3_after(self): pass
            def test_4_kills(self): kill()
            def test_5_is_not_run(self): pathlib.Path("it-ran").touch()
            def test_6_is_not_run(self): pathlib.Path("it-ran").touch()
        """,
        tests={
            BEFORE: PASSED,
            FAULT: ERROR,
            AFTER: PASSED,
            f"{CLASS}.test_4_kills": ERROR,
            f"{CLASS}.test_5_is_not_run": ERROR,
            f"{CLASS}.test_6_is_not_run": ERROR,
        },
        message="SIGKILL",
        lost=2,
        alone=Alone.ENDS,
        status=-9,
    ),
)
"""A class ends one worker after the other."""

WORDS = (
    Fault(
        "unpicklable",
        "an exception that cannot be pickled",
        """
        class Local(Exception):
            def __init__(self, one, two):
                self.function = lambda: one
            def __reduce__(self):
                raise TypeError("not me")
        raise Local(1, 2)
        """,
        words=(r"\bLocal\b", _STACK),
    ),
    Fault(
        "bad-str",
        "an exception whose `str()` and `repr()` raise",
        """
        class Mute(Exception):
            def __str__(self):
                raise RuntimeError("no words")
            __repr__ = __str__
        raise Mute(lambda: None)
        """,
        words=(r"\bMute\b",),
    ),
    Fault(
        "subtest",
        "a failing subtest with a lambda as parameter",
        "for function in (len, lambda: 1):\n    with self.subTest(function=function):\n        self.assertIs(function, len)",
        outcome=FAILED,
    ),
    Fault(
        "memory-error",
        "out of memory (RLIMIT_AS): MemoryError",
        f"{_FULL}\nwhile True:\n    kept.append(bytearray(8 << 20))",
        words=("MemoryError", _STACK),
    ),
    Fault(
        "output",
        "50 MB of output",
        """
        line = "x" * 1023 + "\\n"
        for _ in range(25 << 10):
            sys.stdout.write(line)
            os.write(1, line.encode())
        self.fail("after 50 MB")
        """,
        outcome=FAILED,
        message="after 50 MB",
    ),
    Fault(
        "characters",
        r"output and a message with `\x00`, `\x1b`, `\ufffe` and lone surrogates",
        r"""
        print("nul \x00 esc \x1b[31m end ]]> not \ufffe")
        sys.stdout.buffer.write(b"half \xed\xa0\x80 bytes \xff\xfe\n")
        self.fail("nul \x00 esc \x1b[31m end ]]> not \ufffe half \ud800")
        """,
        outcome=FAILED,
        message=r"nul .* half ",
    ),
    Fault(
        "skip-reason",
        r"a skip reason with `\x01`",
        r'self.skipTest("reason \x01 of control")',
        outcome=SKIPPED,
        message="reason .* of control",
        status=0,
    ),
    Fault("sys-exit", "`sys.exit(0)` in a test", "sys.exit(0)", words=("SystemExit", _STACK)),
    Fault(
        "import",
        "a module that cannot be imported",
        module='raise ImportError("no such thing")',
        tests={MODULE: ERROR},
        words=("no such thing",),
    ),
)
"""What a test says is hard to pass on."""

SURROUNDINGS = (
    Fault(
        "fork-raises",
        "a forked child leaves its test by an exception",
        'child = os.fork()\nif not child:\n    raise ValueError("in the child")\nos.waitpid(child, 0)',
        outcome=PASSED,
        status=0,
    ),
    Fault(
        "fork-returns",
        "a forked child leaves its test by its end, and nobody waits for it",
        "os.fork()",
        outcome=PASSED,
        status=0,
    ),
    Fault(
        "closed-files",
        "a test closes all file descriptors",
        "os.closerange(0, 4096)",
        message="(?i)file descriptors|exit status",
        lost=None,
        alone=Alone.BLIND,
    ),
    Fault(
        "folder-gone",
        "a test goes to a folder and removes it",
        "folder = tempfile.mkdtemp()\nos.chdir(folder)\nos.rmdir(folder)",
        outcome=PASSED,
        status=0,
    ),
    Fault(
        "exit-handler",
        "an exit handler that does not return",
        "atexit.register(time.sleep, 1000)",
        outcome=PASSED,
        status=0,
    ),
    Fault(
        "thread",
        "a thread that does not end",
        "threading.Thread(target=time.sleep, args=(1000,)).start()",
        outcome=PASSED,
        status=0,
    ),
)
"""A test harms what is around it."""

FAULTS = (*DEATHS, *HANGS, *CLASSES, *WORDS, *SURROUNDINGS)

WAITING = """
import collections, itertools, os, pathlib, time
from django.test import TestCase
from shop.models import Item

class FirstTests(TestCase):
    def test_1_before(self):
        Item.objects.create(name="before")

    def test_2_waits(self):
        print("last words")
        pathlib.Path(f"here-{type(self).__name__}").touch()
        if os.environ["WAIT"] == "in C":
            collections.deque(itertools.repeat(0), maxlen=0)
        while not pathlib.Path("go").exists():
            time.sleep(0.01)

    def test_3_after(self):
        pass

class FurtherTests(FirstTests):
    pass

class LaterTests(TestCase):
    def test_1(self): pass
    def test_2(self): pass

class LatestTests(LaterTests):
    pass
"""
"""A test module of which two tests wait, in the first classes of the run: there, signals are sent to it."""
WAITING_CLASSES = ("FirstTests", "FurtherTests")
WAITING_IDS = [
    f"shop.tests.test_shop.{name}.{test}"
    for name, tests in (
        *((name, ("test_1_before", "test_2_waits", "test_3_after")) for name in WAITING_CLASSES),
        *((name, ("test_1", "test_2")) for name in ("LaterTests", "LatestTests")),
    )
    for test in tests
]
WAITS = [id for id in WAITING_IDS if id.endswith("waits")]
