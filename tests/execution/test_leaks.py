"""Tests that leave something behind are found, and nobody else is accused."""

from __future__ import annotations

import json
import subprocess
import sys

import dj_database_url
import pytest

from tests.projects import clean_environment

SCRIPT = """
import gc, json, os, sys, time, unittest, warnings
import django
from testkit.execution.capture import Capture
from testkit.execution.ids import iterate
from testkit.execution.inline import RecordedSuite
from testkit.execution.leaks import LeakProbe
from testkit.execution.recorder import Recorder

class Probing(Recorder):
    def run_test(self, test):
        probe.before()
        super().run_test(test)
        started = time.perf_counter()
        told[test._testMethodName] = probe.after()
        seconds.append(time.perf_counter() - started)

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
    django.setup()
    from django.test.utils import setup_databases, setup_test_environment
    setup_test_environment()
    old = setup_databases(verbosity=0, interactive=False)
    tests = unittest.defaultTestLoader.loadTestsFromName("shop.tests.test_shop")
    told, facts, seconds = {}, [], []
    gc.freeze()  # as the runner does
    shown, filters = warnings.showwarning, list(warnings.filters)
    capture = Capture(show=False)
    if "WITHOUT_PROBE" in os.environ:
        recorder = Recorder(facts.append, capture)
    else:
        probe = LeakProbe()
        recorder = Probing(facts.append, capture)
    with capture:
        RecordedSuite(list(iterate(tests))).run(recorder)
    outcomes = {fact.id.rpartition(".")[2]: fact.outcome for fact in facts if type(fact).__name__ == "TestFinished"}
    stderr = "".join(getattr(fact, "stderr", "") for fact in facts)
    if "WITHOUT_PROBE" not in os.environ:
        probe.close()
    clean = warnings.showwarning == shown and warnings.filters == filters
    with open("told.json", "w") as file:
        json.dump([told, outcomes, stderr, clean, seconds], file)
    os._exit(0)  # threads that tests left behind are not waited for
"""


class Told:
    """What was told of each test by its name, the outcomes, and what all of them printed on stderr."""

    def __init__(self, lines, outcomes, stderr, clean, seconds):
        self.lines, self.outcomes, self.stderr, self.clean, self.seconds = lines, outcomes, stderr, clean, seconds


@pytest.fixture
def told_of(project):
    """Run test cases in the project with a probe around each test."""

    def run(code, *options, passing=True, **environment):
        project.tests(code)
        (project.folder / "script.py").write_text(SCRIPT)
        result = subprocess.run(
            [sys.executable, *options, "script.py"],
            cwd=project.folder,
            env=clean_environment(**environment),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert result.returncode == 0, result.stderr
        told = Told(*json.loads((project.folder / "told.json").read_text()))
        assert told.clean
        if passing:
            assert set(told.outcomes.values()) <= {"passed"}, (told.outcomes, result.stderr)
        return told

    run.project = project
    return run


def test_each_kind_of_leak_is_told_with_its_test(told_of):
    """Threads, environment, settings, transactions, files, pipes, sockets and warnings are told where they arose."""
    told_of.project.settings(
        """
        DATABASES["other"] = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
        CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "unix://cache.sock?db=1"}}
        ALLOWED_HOSTS = []
        SPARE = 1
        DEEP = {"a": {"b": {1, 2}}}
        """
    )
    told = told_of(
        """
        import os, socket, tempfile, threading
        from django.conf import settings
        from django.db import connections, transaction
        from django.test import SimpleTestCase, TransactionTestCase, override_settings

        kept = []

        class Leaking(SimpleTestCase):
            def test_01_thread(self):
                kept.append(threading.Event())
                threading.Thread(target=kept[-1].wait, name="left over", daemon=True).start()

            def test_02_clean(self):
                pass

            def test_03_environment(self):
                os.environ["SECRET_ADDED"] = "hidden value"
                os.environ["SECRET_CHANGED"] = "hidden value"
                del os.environ["SECRET_REMOVED"]

            def test_04_settings(self):
                settings.DEBUG = not settings.DEBUG
                settings.NEW_ONE = 1
                settings.ALLOWED_HOSTS.append("more")
                settings.DEEP["a"]["b"].add(3)
                override_settings(LANGUAGE_CODE="fr").enable()
                del settings.SPARE

            def test_05_file(self):
                kept.append(open("left.txt", "w"))

            def test_06_pipe_and_sockets(self):
                kept.append(os.pipe())
                kept.append(socket.create_server(("127.0.0.1", 0)))
                kept.append(socket.create_connection(kept[-1].getsockname()))
                kept.append(socket.socketpair())

            def test_07_warning(self):
                open("unclosed.txt", "w")

            def test_08_garbage(self):
                cycle = [open("cycle.txt", "w")]
                cycle.append(cycle)

            def test_09_twice(self):
                for _ in range(2):
                    open("twice.txt", "w")

            def test_10_clean(self):
                pass

        class Transactions(TransactionTestCase):
            databases = {"default", "other"}

            def test_11_transaction(self):
                transaction.atomic(using="other").__enter__()

            def test_12_autocommit(self):
                connections["default"].set_autocommit(False)

            def test_13_clean(self):
                connections["default"].set_autocommit(True)

            def test_14_clean(self):
                # Not even Django closes a connection to a database in memory.
                thread = threading.Thread(target=lambda: connections["default"].ensure_connection())
                thread.start()
                thread.join()

        class Services(SimpleTestCase):
            @classmethod
            def setUpClass(cls):
                super().setUpClass()
                for name in (".s.PGSQL.5432", "cache.sock", "other.sock"):
                    server = socket.socket(socket.AF_UNIX)
                    server.bind(name)
                    server.listen()
                    kept.append(server)

            def connect(self, name):
                kept.append(socket.socket(socket.AF_UNIX))
                kept[-1].connect(name)

            def test_15_clean(self):
                self.connect(".s.PGSQL.5432")
                self.connect("cache.sock")

            def test_16_service(self):
                self.connect("other.sock")
        """,
        SECRET_CHANGED="before",
        SECRET_REMOVED="before",
    )
    lines = told.lines
    assert lines["test_01_thread"] == ["thread 'left over' is still running"]
    assert lines["test_03_environment"] == [
        "environment variable SECRET_ADDED was added",
        "environment variable SECRET_CHANGED was changed",
        "environment variable SECRET_REMOVED was removed",
    ]
    assert lines["test_04_settings"] == [
        "settings.ALLOWED_HOSTS was changed",
        "settings.DEBUG was changed",
        "settings.DEEP was changed",
        "settings.LANGUAGE_CODE was changed",
        "settings.NEW_ONE was added",
        "settings.SPARE was removed",
    ]
    assert lines["test_05_file"] == [f"file {told_of.project.folder}/left.txt is left open"]
    sockets = lines["test_06_pipe_and_sockets"]
    assert sorted(line.rstrip("0123456789") for line in sockets if " port " not in line) == [
        "a pipe is left open (2 times)",
        "a socket is left open (2 times)",
    ]
    assert len([line for line in sockets if line.startswith("a socket at port")]) == 1
    assert len([line for line in sockets if line.startswith("a connection to 127.0.0.1 port")]) == 1
    assert len(sockets) in (4, 5)  # the server's end of the connection is not accepted yet
    for name, file in {"test_07_warning": "unclosed", "test_08_garbage": "cycle"}.items():
        (line,) = lines[name]
        assert line.startswith("ResourceWarning: unclosed file <_io.")
        assert f"{file}.txt" in line
    (line,) = lines["test_09_twice"]
    assert line.endswith("(2 times)")
    assert lines["test_11_transaction"] == ["connection 'other' is left open in a transaction"]
    assert lines["test_12_autocommit"] == ["connection 'default' is left open in a transaction"]
    assert lines["test_16_service"] == ["a socket at other.sock is left open"]
    assert {name: lines[name] for name in lines if name.endswith("clean") and lines[name]} == {}
    assert len(lines) == 16
    assert "hidden" not in json.dumps(lines)
    assert told.stderr == ""  # ResourceWarning is ignored by default


def test_connections_of_threads_are_told(told_of):
    """A thread that opens a connection and does not close it is named, also when it has ended; one that does is not."""
    told_of.project.settings('DATABASES["default"]["TEST"] = {"NAME": "test.sqlite3"}')
    told = told_of(
        """
        import threading
        from concurrent.futures import ThreadPoolExecutor
        from django.db import connection
        from django.test import TransactionTestCase
        from shop.models import Item

        def query():
            Item.objects.count()

        def query_and_close():
            try:
                query()
            finally:
                connection.close()

        class Threads(TransactionTestCase):
            def in_thread(self, work):
                thread = threading.Thread(target=work, name="counting")
                thread.start()
                thread.join()

            def test_1_left(self):
                self.in_thread(query)

            def test_2_closed(self):
                self.in_thread(query_and_close)

        class Class(TransactionTestCase):
            @classmethod
            def setUpClass(cls):
                super().setUpClass()
                cls.executor = ThreadPoolExecutor(1)
                cls.executor.submit(int).result()
                cls.addClassCleanup(cls.executor.shutdown)

            def test_3_of_the_class(self):
                self.executor.submit(query).result()
        """
    )
    first, *more = told.lines.pop("test_1_left")
    assert first == "connection 'default' was opened by thread 'counting' and not closed"
    assert [line for line in more if "unclosed database" not in line] == []  # as SQLite has it from Python 3.13 on
    assert told.lines == {"test_2_closed": [], "test_3_of_the_class": []}


def test_django_is_not_accused(told_of):
    """What Django and its libraries open once and keep is no leak: connections, caches, mail, a live server, async."""
    told_of.project.settings(
        """
        DATABASES["default"]["TEST"] = {"NAME": "test.sqlite3"}
        DATABASES["other"] = {"ENGINE": "django.db.backends.sqlite3", "NAME": "o", "TEST": {"NAME": "other.sqlite3"}}
        CACHES = {"default": {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": "cached"}}
        LOGGING = {
            "version": 1,
            "handlers": {"file": {"class": "logging.FileHandler", "filename": "log.txt", "delay": True}},
            "loggers": {"shop": {"handlers": ["file"]}},
        }
        ROOT_URLCONF = "shop.urls"
        MIDDLEWARE = ["django.middleware.locale.LocaleMiddleware", "django.middleware.common.CommonMiddleware"]
        TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
        STATIC_URL = "/static/"
        """
    )
    told_of.project.write(
        {
            "shop/urls.py": """
                from django.http import HttpResponse
                from django.urls import path
                from shop.models import Item
                urlpatterns = [path("", lambda request: HttpResponse(str(Item.objects.count())))]
            """,
            # A connection of its own for each page, and none of them closed.
            "browser.py": """
                import http.client, sys
                kept = []
                for _ in sys.stdin:
                    kept.append(http.client.HTTPConnection(*sys.argv[1:]))
                    kept[-1].request("GET", "/")
                    print(kept[-1].getresponse().read().decode(), flush=True)
            """,
        }
    )
    told = told_of(
        """
        import logging, multiprocessing.resource_tracker, subprocess, sys, tempfile, threading, time
        from asgiref.sync import sync_to_async
        from django.conf import settings
        from django.core.cache import cache
        from django.core.mail import send_mail
        from django.db import connections, transaction
        from django.test import LiveServerTestCase, TestCase, TransactionTestCase, override_settings
        from django.utils.translation import gettext, override
        from shop.models import Item

        class Rows(TestCase):
            databases = {"default", "other"}

            @classmethod
            def setUpTestData(cls):
                cls.item = Item.objects.create(name="x")

            def test_rows(self):
                with transaction.atomic():
                    self.item.save()
                Item.objects.using("other").create(name="y")

            def test_mail_cache_and_texts(self):
                send_mail("subject", "text", "a@example.com", ["b@example.com"])
                cache.set("k", 1)
                with override("de"):
                    gettext("Yes")
                self.client.get("/")
                logging.getLogger("shop").warning("first line of the log file")

            @override_settings(DEBUG=True, TIME_ZONE="Europe/Berlin", ALLOWED_HOSTS=["x"])
            def test_settings(self):
                with self.settings(LANGUAGE_CODE="fr"), self.modify_settings(MIDDLEWARE={"append": "x"}):
                    pass

            async def test_async(self):
                await sync_to_async(Item.objects.count)()
                await self.async_client.get("/")

            def test_closed_in_time(self):
                thread = threading.Thread(target=time.sleep, args=[0.02])
                thread.start()
                with tempfile.TemporaryFile() as file:
                    file.write(b"x")

            def test_multiprocessing(self):
                multiprocessing.resource_tracker.ensure_running()

            def test_expected_warning(self):
                with self.assertWarns(ResourceWarning):
                    open("expected.txt", "w")

        class Committed(TransactionTestCase):
            def test_commit(self):
                connections["default"].close()
                Item.objects.create(name="x")

            def test_flushed(self):
                self.assertEqual(Item.objects.count(), 0)

        @override_settings(DEBUG=True)
        class Live(LiveServerTestCase):
            @classmethod
            def setUpClass(cls):
                super().setUpClass()
                cls.browser = subprocess.Popen(
                    [sys.executable, "browser.py", cls.server_thread.host, str(cls.server_thread.port)],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                )
                cls.log = open("class.txt", "w")

            @classmethod
            def tearDownClass(cls):
                cls.browser.communicate()
                cls.log.close()
                super().tearDownClass()

            def test_page(self):
                print("one more", file=self.browser.stdin, flush=True)
                self.assertEqual(self.browser.stdout.readline(), "0\\n")
        """
    )
    assert {name: lines for name, lines in told.lines.items() if lines} == {}
    assert len(told.lines) == 10


def test_what_a_fixture_left_is_not_the_tests(told_of):
    """Garbage of setUpClass, not collected yet, is not told of with the first test, nor are files held by the class."""
    told = told_of(
        """
        import gc
        from django.test import SimpleTestCase

        class Held(SimpleTestCase):
            @classmethod
            def setUpClass(cls):
                super().setUpClass()
                gc.disable()
                cls.addClassCleanup(gc.enable)
                cls.held = open("held.txt", "w")
                cls.addClassCleanup(cls.held.close)
                cycle = [open("cycle.txt", "w")]
                cycle.append(cycle)

            def test_first(self):
                self.held.write("x")
        """
    )
    assert told.lines == {"test_first": []}


RUN_FILTERS = """
import warnings
from django.test import SimpleTestCase

def leak():
    open("x.txt", "w")

class Warned(SimpleTestCase):
    def test_1(self):
        leak()

    def test_2(self):
        leak()

    def test_3(self):
        warnings.warn("closing is due", ResourceWarning)

    def test_4(self):
        for _ in range(3):
            warnings.warn("old", DeprecationWarning)

    def test_5(self):
        leak()

    def test_6(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            leak()
"""


@pytest.mark.parametrize(
    "options",
    ["", "default::ResourceWarning", "always", "error::ResourceWarning", "ignore error:closing"],
)
def test_the_filters_of_the_run_hold(told_of, options):
    """What is printed, and what is an error, is as without the probe, while every leak is told with its own test."""
    arguments = [part for option in options.split() for part in ("-W", option)]
    told = told_of(RUN_FILTERS, *arguments, passing=False)
    bare = told_of(RUN_FILTERS, *arguments, passing=False, WITHOUT_PROBE="1")
    assert told.outcomes == bare.outcomes
    # Where an error cannot be raised, in the end of a file, Python prints it, and from where it came.
    assert _without_frames(told.stderr) == _without_frames(bare.stderr)
    assert ("closing" in bare.stderr) == (options in ("default::ResourceWarning", "always"))
    warned = [name for name, lines in told.lines.items() if lines]
    assert warned == ["test_1", "test_2", "test_3", "test_5"]
    assert told.lines["test_3"] == ["ResourceWarning: closing is due"]


def _without_frames(text):
    return [line for line in text.splitlines() if not line.startswith(("  File", "    ", "Traceback"))]


def test_a_test_that_changes_the_filters_blinds_nobody(told_of):
    """After filters that a test put in front of the others, or the removal of all, leaks of the next one are told."""
    told = told_of(
        """
        import warnings
        from django.test import SimpleTestCase

        FILTERS = list(warnings.filters)

        class Changing(SimpleTestCase):
            def test_1_ignored(self):
                warnings.simplefilter("ignore")

            def test_2_leak(self):
                open("x.txt", "w")

            def test_3_reset(self):
                warnings.resetwarnings()
                warnings.simplefilter("ignore")

            def test_4_leak(self):
                open("x.txt", "w")

            def test_5_restored(self):
                warnings.filters[:] = FILTERS
        """
    )
    assert [name for name, lines in told.lines.items() if lines] == ["test_2_leak", "test_4_leak"]
    assert told.stderr == ""


def test_a_look_is_quick(told_of):
    """The look at the end of a test takes some milliseconds, where what was loaded before the tests is frozen."""
    told = told_of(
        """
        from django.test import SimpleTestCase

        class Many(SimpleTestCase):
            pass

        for number in range(50):
            setattr(Many, f"test_{number}", lambda self: None)
        """
    )
    assert len(told.seconds) == 50
    assert sorted(told.seconds)[25] < 0.02


def test_a_database_server_is_not_a_leak(told_of, postgres_url):
    """Connections that Django opens to its server and keeps are no leak, those of threads are, by name."""
    database = dj_database_url.parse(postgres_url)
    told_of.project.settings(f'DATABASES["default"] = DATABASES["other"] = {dict(database)!r}')
    told_of.project.settings('DATABASES["other"] = DATABASES["other"] | {"TEST": {"MIRROR": "default"}}')
    told = told_of(
        """
        import socket, threading
        from django.db import connections
        from django.test import TestCase, TransactionTestCase
        from shop.models import Item

        class Rows(TestCase):
            def test_rows(self):
                Item.objects.create(name="x")

        class Committed(TransactionTestCase):
            databases = {"default", "other"}

            def test_reopened(self):
                connections["default"].close()
                Item.objects.using("other").create(name="x")

            def test_thread(self):
                thread = threading.Thread(target=Item.objects.count, name="counting")
                thread.start()
                thread.join()
        """
    )
    first, *more = told.lines.pop("test_thread")
    assert first == "connection 'default' was opened by thread 'counting' and not closed"
    assert [line for line in more if not line.startswith("ResourceWarning: ")] == []
    assert told.lines == {"test_rows": [], "test_reopened": []}
