"""SIGINT and SIGTERM: never OK, reports whole, in whatever phase of a run they come."""

from __future__ import annotations

import re
import signal
import threading
import time

import pytest

from testkit.core.events import FixtureFinished, Outcome, RunFinished, TestFinished
from testkit.execution.interrupts import GRACE, Interrupted, Interrupts

TESTS = """
import os, pathlib, signal, time, unittest
from django.test import SimpleTestCase

signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as a badly-behaved module might

def come_to(place):
    if os.environ.get("WAIT_IN") == place:
        pathlib.Path("here").touch()
        deadline = time.monotonic() + 60
        while not pathlib.Path("go").exists() and time.monotonic() < deadline:
            try:
                time.sleep(0.01)
            except KeyboardInterrupt:
                if os.environ.pop("CATCH", ""):
                    continue
                raise

class A(SimpleTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        come_to("setUpClass")
    def test_1(self): pass
    def test_2(self):
        unittest.installHandler()
        print("printed by test_2")
        come_to("test")
    def test_3(self): pass
class B(SimpleTestCase):
    def test_4(self): pass
come_to("import")
"""
IDS = tuple(f"shop.tests.test_shop.{name}" for name in ("A.test_1", "A.test_2", "A.test_3", "B.test_4"))


class Run:
    """A run that waits somewhere; signals can be sent to it, and how it ended be looked at."""

    def __init__(self, project, wait_in: str, **environment: str) -> None:
        self._project = project
        for name in ("here", "go"):
            (project.folder / name).unlink(missing_ok=True)
        self._process = project.start("--with-xunit", WAIT_IN=wait_in, **environment)
        self._until((project.folder / "here").exists)

    def _until(self, is_there) -> None:
        deadline = time.monotonic() + 30
        while not is_there():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._process.kill()
                raise AssertionError(self._process.communicate())
            time.sleep(0.01)

    def send(self, number: int, answer: str = "") -> Run:
        """Send a signal, and wait until stderr has ``answer``."""
        self._process.send_signal(number)
        if answer:
            line = ""
            while answer not in line:
                line = self._process.stderr.readline()
                assert line, "the run ended"
        return self

    def go_on(self) -> Run:
        (self._project.folder / "go").touch()
        return self

    def end(self, seconds: float = 30) -> Run:
        started = time.monotonic()
        self.stdout, self.stderr = self._process.communicate(timeout=60)
        assert time.monotonic() - started < seconds
        self.status = self._process.returncode
        return self

    @property
    def finish(self) -> RunFinished:
        return next(fact for fact in self._project.facts() if isinstance(fact, RunFinished))

    @property
    def ran(self) -> list[str]:
        return [fact.id for fact in self._project.facts() if isinstance(fact, TestFinished)]

    def xunit_not_run(self) -> list[str]:
        """Return the tests of which the xunit file says that they did not run."""
        return [
            f"{case.get('classname')}.{case.get('name')}"
            for case in self._project.xunit().iter("testcase")
            if case.find("skipped[@type='testkit.notRun']") is not None
        ]


def test_the_first_lets_the_test_end_and_the_second_ends_it(project):
    """Exit 130, a closing line that says so, and journal and xunit that name what did not run; also in setUpClass."""
    project.tests(TESTS)
    run = Run(project, "test").send(signal.SIGINT, "the running test has 30 s to end").go_on().end()
    assert run.status == 130
    assert "\nFAILED (not run=2, interrupted by SIGINT)\n" in run.stderr
    assert (run.finish.interrupted, run.finish.not_run, run.ran) == ("SIGINT", IDS[2:], list(IDS[:2]))
    assert run.xunit_not_run() == list(IDS[2:])

    run = Run(project, "test").send(signal.SIGINT, "again: end it now").send(signal.SIGINT).end(seconds=10)
    assert run.status == 130
    # Of the test that was ended, it is told where it was.
    assert "\nFAILED (errors=1, not run=2, interrupted by SIGINT)\n" in run.stderr
    assert re.search(r'ERROR: test_2 .*\n-+\nTraceback[^=]*shop/tests/test_shop.py", line \d+, in', run.stderr)
    assert (run.finish.not_run, run.ran, run.xunit_not_run()) == (IDS[2:], list(IDS[:2]), list(IDS[2:]))

    run = Run(project, "setUpClass").send(signal.SIGINT, "again").send(signal.SIGTERM).end(seconds=10)
    assert run.status == 130
    assert (run.finish.interrupted, run.finish.not_run, run.xunit_not_run()) == ("SIGINT", IDS, list(IDS))
    # A set-up that was interrupted has not passed, and does not account for the tests that it was for.
    fixture = next(fact for fact in project.facts() if isinstance(fact, FixtureFinished))
    assert (fixture.phase, fixture.outcome, fixture.interrupted) == ("setUpClass", Outcome.ERROR, True)


def test_sigterm_leaves_reports_within_five_seconds(project):
    """A test that would sleep on, and even catches the first interrupt, is ended in time; exit 143."""
    project.tests(TESTS)
    run = Run(project, "test", CATCH="1").send(signal.SIGTERM, "the running test has 3 s").end(seconds=5)
    assert run.status == 143
    assert "\nFAILED (errors=1, not run=2, interrupted by SIGTERM)\n" in run.stderr
    assert (run.finish.interrupted, run.finish.not_run, run.xunit_not_run()) == ("SIGTERM", IDS[2:], list(IDS[2:]))


def test_before_the_tests_a_signal_ends_the_run_at_once(project):
    """During collection (where unittest takes any exception for a broken module) and while databases are made."""
    project.tests(TESTS)
    run = Run(project, "import").send(signal.SIGINT).end(seconds=10)
    assert (run.status, "interrupted by SIGINT" in run.stderr) == (130, True)
    assert "Ran " not in run.stderr
    assert not (project.folder / "reports").exists()
    project.tests("""
    from django.test import TestCase
    class T(TestCase):
        def test_1(self): pass
    """)
    project.write(
        {
            "shop/migrations/0002_slow.py": """
        import pathlib, time
        from django.db import migrations
        def wait(apps, editor):
            pathlib.Path("here").touch()
            time.sleep(60)
        class Migration(migrations.Migration):
            dependencies = [("shop", "0001_initial")]
            operations = [migrations.RunPython(wait)]
        """
        }
    )
    run = Run(project, "migration").send(signal.SIGTERM).end(seconds=10)
    assert (run.status, "interrupted by SIGTERM" in run.stderr) == (143, True)
    assert "Ran " not in run.stderr


def test_while_reports_are_written_the_first_is_only_noted(project):
    """All reports are written, and the run still does not say that all was well; the second ends it."""
    project.tests(TESTS)
    project.settings('TESTKIT = {"LISTENERS": ["shop.slow.listener"]}')
    project.write(
        {
            "shop/slow.py": """
        import os
        from shop.tests.test_shop import come_to
        def listener(fact):
            come_to(type(fact).__name__)
        """
        }
    )
    run = Run(project, "RunFinished").send(signal.SIGINT, "SIGINT: writing the reports first").go_on().end()
    assert run.status == 130
    assert "xunit  reports/xunit.xml" in run.stderr
    assert (run.ran, run.finish.not_run, run.xunit_not_run()) == (list(IDS), (), [])
    run = Run(project, "RunFinished").send(signal.SIGTERM, "writing the reports").send(signal.SIGTERM).end(seconds=10)
    assert run.status == 143


def test_a_child_that_a_test_forked_ends_when_it_is_told_to(project):
    """The run's handlers are not its children's: multiprocessing can terminate a worker of the test's own."""
    project.tests("""
    import multiprocessing, time, unittest
    class T(unittest.TestCase):
        def test_1(self):
            context = multiprocessing.get_context("fork")
            ready, child_ready = context.Pipe()
            child = context.Process(target=lambda: (child_ready.send(1), time.sleep(60)))
            child.start()
            ready.recv()
            child.terminate()
            child.join(10)
            self.assertEqual(child.exitcode, -15)
    """)
    result = project.run()
    assert result.returncode == 0, result.stderr


@pytest.fixture
def calls() -> list[str]:
    return []


def test_handlers_and_threads_are_gone_afterwards(calls):
    """The handlers from before are put back, and no thread waits to send a signal."""
    before = {number: signal.getsignal(number) for number in GRACE}
    threads = threading.enumerate()
    with Interrupts() as interrupts:
        with interrupts.stopping(lambda: calls.append("stop")):
            signal.raise_signal(signal.SIGINT)
            assert calls == ["stop"]
            assert len(threading.enumerate()) == len(threads) + 1
        assert interrupts.received == "SIGINT"
        signal.raise_signal(signal.SIGINT)  # only noted
        with pytest.raises(Interrupted, match="SIGTERM"):
            signal.raise_signal(signal.SIGTERM)
    assert {number: signal.getsignal(number) for number in GRACE} == before
    deadline = time.monotonic() + 5
    while threading.enumerate() != threads:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_check_says_what_was_swallowed():
    """A signal that came before the tests, and was caught on its way, is not forgotten."""
    with Interrupts() as interrupts:
        interrupts.check()
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Interrupted, match="SIGTERM"):
            interrupts.check()


def test_only_the_main_thread_has_signals():
    """In another thread, where Python allows no handlers, entering changes nothing."""
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def enter() -> None:
        with Interrupts() as interrupts, interrupts.stopping(lambda: None):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [before]
