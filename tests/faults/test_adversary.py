"""Tests that do to their process what no fault of the catalogue does: each once, in a run of its own."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks at /proc")


def test_signals_of_its_own_are_a_tests_own(project):
    """A test that handles SIGTERM, which it sends to its process, changes nothing for the tests behind it."""
    project.tests("""
        import os, signal, time
        from django.test import SimpleTestCase

        class Signals(SimpleTestCase):
            def test_1_its_own(self):
                before = signal.signal(signal.SIGTERM, lambda *_: None)
                os.kill(os.getpid(), signal.SIGTERM)
                signal.signal(signal.SIGTERM, before)
            def test_2_a_line_end(self):
                before = signal.signal(signal.SIGUSR1, lambda *_: None)  # its number is that of a line end
                os.kill(os.getpid(), signal.SIGUSR1)
                signal.signal(signal.SIGUSR1, before)
            def test_3_innocent(self): time.sleep(5)
            def test_4_limited(self): time.sleep(60)
    """)
    result = project.run("--timeout", "6")
    assert result.returncode == 1, result.stderr
    assert "FAILED (errors=1)" in result.stderr
    assert "its limit of 6 s" in result.stderr


@pytest.mark.parametrize("flags", [[], ["--parallel", "2"]], ids=["serial", "parallel"])
@pytest.mark.parametrize("name", ["os.getpid", "os.write"])
def test_functions_that_are_patched_for_a_class(project, name, flags):
    """A class that patches what the runner itself uses has its outcomes told, and those of the others."""
    value = "return_value=4242" if name == "os.getpid" else "side_effect=OSError"
    project.tests(f"""
        from unittest import mock
        from django.test import SimpleTestCase

        class Patched(SimpleTestCase):
            @classmethod
            def setUpClass(cls):
                super().setUpClass()
                cls.enterClassContext(mock.patch("{name}", {value}))
            def test_1(self): pass
            def test_2(self): self.fail("no")

        class Other(SimpleTestCase):
            def test_1(self): pass
    """)
    result = project.run(*flags)
    assert result.returncode == 1, result.stderr
    assert "Ran 3 tests" in result.stderr
    assert "FAILED (failures=1)" in result.stderr


def test_a_channel_that_is_written_to_without_end(project):
    """A worker whose test writes into its pipe is ended, and the others' results are whole."""
    project.tests("""
        import os
        from django.test import SimpleTestCase

        class Noise(SimpleTestCase):
            def test_noise(self):
                names = {int(fd): f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")}
                pipes = [fd for fd, name in names.items() if os.path.exists(name) and "pipe:" in os.readlink(name)]
                while True:
                    for fd in pipes:
                        try: os.write(fd, b"noise\\n")
                        except OSError: pass

        class Other(SimpleTestCase):
            def test_1(self): pass
            def test_2(self): pass
    """)
    result = project.run("--parallel", "2", "--timeout", "20", timeout=60)
    assert result.returncode == 1, result.stderr
    assert "FAILED (errors=1)" in result.stderr
    assert "something else than facts came from it" in result.stderr


def test_children_in_sessions_of_their_own_end_with_their_worker(project):
    """What a test has started outlives neither its worker's death nor its end, whatever session it is in."""
    project.tests("""
        import os, subprocess
        from django.test import SimpleTestCase

        def start(name):
            child = subprocess.Popen(["sleep", "300"], start_new_session=True)
            open(name, "w").write(str(child.pid))

        class Killed(SimpleTestCase):
            def test_killed(self):
                start("of-killed")
                os._exit(3)

        class Ended(SimpleTestCase):
            def test_ended(self): start("of-ended")
    """)
    assert project.run("--parallel", "2").returncode == 1
    for name in ("of-killed", "of-ended"):
        assert not is_running(int((project.folder / name).read_text())), name


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_there_is_a_time_limit_without_a_journal(project):
    """A run that can keep no journal ends a test that takes too long all the same."""
    project.tests("""
        import time
        from django.test import SimpleTestCase

        class Slow(SimpleTestCase):
            def test_slow(self): time.sleep(60)
    """)
    (project.folder / "reports").write_text("in the way")
    result = project.run("--timeout", "1", timeout=30)
    assert result.returncode == 1, result.stderr
    assert "its limit of 1 s" in result.stderr


def test_apps_of_spawned_workers_meet_no_real_database(project):
    """An app that writes as soon as it is ready, in a worker that is not forked, does not write to a real database."""
    project.tests("""
        from django.test import TestCase

        class Here(TestCase):
            def test_1(self): pass

        class There(TestCase):
            def test_1(self): pass
    """)
    project.write(
        {
            "shop/apps.py": """
        import os
        from django.apps import AppConfig

        class Shop(AppConfig):
            name = "shop"
            def ready(self):
                if "TESTKIT_WORKER" in os.environ:
                    from django.db import connection
                    with connection.cursor() as cursor:
                        cursor.execute("CREATE TABLE IF NOT EXISTS written (id integer)")
    """
        }
    )
    project.settings(
        "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': 'real.sqlite3', "
        "'TEST': {'NAME': 'test.sqlite3'}}}"
    )
    result = project.run("--parallel", "2", "--start-method", "spawn", "--noinput")
    assert not (project.folder / "real.sqlite3").exists() or not (project.folder / "real.sqlite3").stat().st_size
    assert "Ran 2 tests" in result.stderr, result.stderr


def test_signals_that_come_while_a_pool_ends(project):
    """Ctrl-C again and again neither hangs a parallel run nor leaves a worker."""
    project.tests("""
        import os, time
        from django.test import SimpleTestCase

        class Slow(SimpleTestCase):
            def test_slow(self):
                open(f"begun-{type(self).__name__}", "w").write(str(os.getpid()))
                time.sleep(60)

        class Slower(Slow): pass
        class Slowest(Slow): pass
    """)
    process = project.start("--parallel", "2")
    while len(list(project.folder.glob("begun-*"))) < 2:
        time.sleep(0.05)
    time.sleep(0.2)
    for _ in range(3):
        os.kill(process.pid, signal.SIGINT)
        time.sleep(0.1)
        if process.poll() is not None:
            break
    _, output = process.communicate(timeout=30)
    assert process.returncode == 130, output
    for file in project.folder.glob("begun-*"):
        assert not is_running(int(file.read_text()))
