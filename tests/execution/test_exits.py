"""Processes that threads and exit handlers would keep for ever."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from tests.projects import ROOT

SCRIPT = """
import atexit, signal, sys, threading, time
from testkit.execution.exits import limit_exit
limit_exit(7, 0.5)
{left}
print("done")
sys.exit(7)
"""
STAYS = 60


def end_of(left: str) -> subprocess.CompletedProcess[str]:
    script = SCRIPT.format(left=left)
    return subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=STAYS)


def test_a_process_that_ends_by_itself_is_left_alone():
    ended = end_of("atexit.register(print, 'bye')")
    assert (ended.returncode, ended.stdout, ended.stderr) == (7, "done\nbye\n", "")


def test_a_thread_that_does_not_end_is_named():
    ended = end_of(f"threading.Thread(target=time.sleep, args=({STAYS * 2},), name='poller').start()")
    assert (ended.returncode, ended.stdout) == (7, "done\n")
    assert "did not end within 0.5 s" in ended.stderr
    assert "threads that do not end: poller. --leaks" in ended.stderr


def test_threads_that_end_in_time_are_waited_for():
    ended = end_of("threading.Thread(target=lambda: (time.sleep(0.2), print('late'))).start()")
    assert (ended.returncode, ended.stdout, ended.stderr) == (7, "done\nlate\n", "")


def test_an_exit_handler_that_does_not_return():
    ended = end_of(f"atexit.register(time.sleep, {STAYS * 2})")
    assert ended.returncode == 7
    assert "Kept by an exit handler." in ended.stderr


def test_a_process_that_handles_no_signals_ends_all_the_same():
    """With signals blocked only faulthandler's thread is left to end it, and shows why."""
    blocked = f"signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32)); atexit.register(time.sleep, {STAYS * 2})"
    ended = end_of(blocked)
    assert ended.returncode == 1
    assert "Timeout" in ended.stderr


def test_a_forked_child_has_its_own_end():
    """What a test forks is not ended by the run's limit."""
    ended = end_of(
        "import os\nif not os.fork():\n    atexit.register(lambda: (time.sleep(1), print('child')))\n    sys.exit(0)\nos.wait()"
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (7, "child\ndone\n", "")


@pytest.mark.parametrize("status", [0, 1])
def test_an_interpreter_that_does_not_end_its_processes_is_left_alone(status):
    """A program that goes on after the run, for example after ``call_command("test")``, has no limit."""
    started = time.monotonic()
    ended = end_of(f"time.sleep(1); sys.exit({status})")
    assert ended.returncode == status
    assert time.monotonic() - started > 1
