"""Checks beside the tests say what Django's say before them, touch nothing of the run, and never outlive it."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dj_database_url
import pytest

from tests.projects import FRONTS, Project, clean_environment

OWN = "--testrunner=runner.Runner"
RUNNER = """
import os, sys, threading
from django.test.runner import DiscoverRunner
from testkit.databases.checks import Beside

class Runner(DiscoverRunner):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.beside = Beside()

    def run_checks(self, databases):
        sys.stdout.write("buffered;")
        if "THREAD" in os.environ:
            threading.Thread(target=threading.Event().wait, daemon=True).start()
        is_beside = self.beside.start(
            lambda: super(Runner, self).run_checks(databases),
            apart="IN_LINE" not in os.environ,
            missing=os.environ.get("MISSING", "ignore"),
        )
        print("beside" if is_beside else "in line")

    def run_suite(self, suite, **kwargs):
        result = super().run_suite(suite, **kwargs)
        timeout = os.environ.get("TIMEOUT")
        self.beside.finish(float(timeout) if timeout else None)
        return result

    def teardown_databases(self, *args, **kwargs):
        self.beside.end()
        super().teardown_databases(*args, **kwargs)
"""
TESTS = """
import atexit, pathlib
from django.test import TestCase
from shop.models import Item

atexit.register(lambda: print("at exit"))

class A(TestCase):
    def test_1(self):
        self.assertEqual(Item.objects.count(), 0)
        pathlib.Path("tested").touch()
"""
PROCESS = re.compile(r"process (\d+)")


@pytest.fixture
def project(project: Project) -> Project:
    project.settings("INSTALLED_APPS[-1] = 'shop.apps.Config'")
    project.write({"runner.py": RUNNER})
    project.tests(TESTS)
    write_check(project)
    return project


def write_check(project: Project, *lines: str) -> None:
    """Let a system check of the app do ``lines``, which may return what it finds."""
    body = "\n".join(f"    {line}" for line in lines)
    project.write(
        {
            "shop/checks.py": "import os, pathlib, signal, subprocess, sys, time\n"
            "from django.core import checks\nfrom django.core.management import CommandError\n"
            f"@checks.register\ndef look(app_configs, **kwargs):\n{body}\n    return []\n",
            "shop/apps.py": "from django.apps import AppConfig\nclass Config(AppConfig):\n    name = 'shop'\n"
            "    def ready(self):\n        from shop import checks\n",
        }
    )


def run(project: Project, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return project.run(OWN, *arguments, front="manage.py", **environment)


def was_tested(project: Project) -> bool:
    return (project.folder / "tested").exists()


# What they say


FINDS = {
    "error": ["return [checks.Error('No shelf \\u2713.', hint='Buy one.', id='shop.E001')]"],
    "critical and warning": [
        "return [checks.Critical('No roof.', id='shop.C001'), checks.Warning('It rains.', id='shop.W001')]"
    ],
    "warning": ["return [checks.Warning('No lamp.', id='shop.W002')]"],
    "nothing": [],
}


@pytest.mark.parametrize("found", FINDS)
def test_the_same_is_said(found, project):
    """What the checks find is printed as Django prints it, and an error ends the run with Django's status and text."""
    write_check(project, *FINDS[found])
    stock = project.run(front="stock")
    result = run(project)
    assert "beside" in result.stdout
    assert result.returncode == stock.returncode

    def said(text: str) -> str:
        return text[text.index("System") :].split("\n\nDestroying")[0].split("\nDestroying")[0].split("\n.\n---")[0]

    if found == "nothing":  # which is no news when the tests have passed
        assert "System check" not in result.stdout + result.stderr
    else:
        assert said(stock.stderr).splitlines()[:6] == said(result.stderr).splitlines()[:6]


@pytest.mark.parametrize("found", ["error", "warning"])
def test_the_colours_are_those_of_the_terminal(found, project):
    """On a terminal the text has the colours that it has with Django's runner."""
    write_check(project, *FINDS[found])
    stock = on_terminal(project, FRONTS["stock"])
    own = on_terminal(project, [*FRONTS["manage.py"], OWN])
    message = r"\x1b\[[\d;]*m(?:SystemCheckError: .*?|\?: \(shop.W002\) No lamp\.)\x1b\[0m"
    colours = re.findall(message, stock, re.DOTALL)
    assert colours
    assert re.findall(message, own, re.DOTALL) == colours


def on_terminal(project: Project, command: list[str]) -> str:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        command, cwd=project.folder, env=clean_environment(TERM="xterm"), stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    text = b""
    while True:
        try:
            data = os.read(master, 65536)
        except OSError:  # EIO: the last end is closed
            break
        if not data:
            break
        text += data
    os.close(master)
    process.wait(30)
    return text.decode(errors="replace")


def test_what_checks_print_is_printed(project):
    """Output of checks, and of programs that they start, comes to the stream that it was written to, and is not lost."""
    write_check(
        project,
        "print('said', isinstance(sys.stdin.read(), str), 'x' * 200_000)",
        "sys.stderr.write('complained \\udc80\\n')",
        "subprocess.run('echo started; echo wrong >&2', shell=True)",
    )
    result = run(project)
    assert result.returncode == 0, result.stderr
    assert "said True" in result.stdout
    assert "x" * 200_000 in result.stdout
    assert "\nstarted\n" in result.stdout
    assert "complained \\udc80" in result.stderr
    assert "wrong" in result.stderr


def test_the_process_leaves_the_runs_own_output_and_exit_alone(project):
    """What the run had not written yet is written once, and its exit hooks run once."""
    result = run(project)
    assert result.stdout.count("buffered;") == 1
    assert result.stdout.count("at exit") == 1


@pytest.mark.parametrize(
    ("line", "status", "told"),
    [
        ("raise ValueError('no sum')", 1, r"TestkitError: the system checks failed: ValueError: no sum\nTraceback"),
        ("raise CommandError('not today', returncode=7)", 7, r"^CommandError: not today$"),
        ("sys.exit(5)", 5, ""),
        ("sys.exit('enough')", 1, r"^enough$"),
        ("os._exit(0)", 1, r"ended with exit status 0 before they were done; --no-checks"),
        ("os.kill(os.getpid(), signal.SIGKILL)", 1, r"was ended by SIGKILL; --no-checks"),
        ("import ctypes; ctypes.string_at(0)", 1, r"(?s)Segmentation fault.*line \d+ in look.*was ended by SIGSEGV"),
    ],
)
def test_checks_that_break_fail_the_run(line, status, told, project):
    """Whatever a check does instead of returning, the run does not pass, and says what it was."""
    write_check(project, line)
    result = run(project)
    assert result.returncode == status
    assert re.search(told, result.stderr, re.MULTILINE), result.stderr


def test_checks_that_never_end(project):
    """When the time is over the process is ended, with what it has started, and the stack says where it was."""
    write_check(
        project,
        "child = subprocess.Popen(['sleep', '60'])",
        "print('process', child.pid, flush=True)",
        "time.sleep(60)",
    )
    result = run(project, TIMEOUT="0.5")
    assert result.returncode == 1
    assert "the system checks did not end within 0.5 s" in result.stderr
    assert re.search(r"checks\.py\", line \d+ in look", result.stderr), result.stderr
    assert is_gone(int(PROCESS.search(result.stdout)[1]))


def test_programs_that_checks_leave_do_not_hold_the_run(project):
    """A process that was started by a check, and outlives it, is no reason to wait: also when the check is killed."""
    write_check(
        project,
        "if not os.fork():",
        "    time.sleep(20)",
        "    os._exit(0)",
        "os.kill(os.getpid(), signal.SIGKILL)",
    )
    started = time.monotonic()
    result = subprocess.run(
        [*FRONTS["manage.py"], OWN],
        cwd=project.folder,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    assert "was ended by SIGKILL" in result.stderr
    assert time.monotonic() - started < 15


# Where they run


@pytest.mark.parametrize("environment", [{"IN_LINE": "1"}, {"THREAD": "1"}])
def test_in_line_they_are_djangos(environment, project):
    """Without a core for them, or where threads make a fork unsafe, they run before the tests, which an error keeps off."""
    write_check(project, *FINDS["error"], "")
    result = run(project, **environment)
    assert result.returncode == 1
    assert "SystemCheckError" in result.stderr
    assert not was_tested(project)


def test_a_projects_own_run_checks_is_kept(project):
    """What a runner of the project's does around the checks is done beside, too."""
    project.write(
        {
            "own.py": """
        from django.test.runner import DiscoverRunner
        class Own(DiscoverRunner):
            def run_checks(self, databases):
                print("own", sorted(databases))
                super().run_checks(databases)
        """,
            "runner.py": RUNNER.replace("DiscoverRunner)", "Own)").replace(
                "import os,", "from own import Own\nimport os,"
            ),
        }
    )
    result = run(project)
    assert result.returncode == 0, result.stderr
    assert "own ['default']" in result.stdout


def test_the_urlconf_is_imported_by_the_run_too(project):
    """Receivers that a URLconf's modules connect are there in tests, as they are when Django has checked it."""
    project.settings("ROOT_URLCONF = 'urls'")
    project.write({"urls.py": "urlpatterns = []"})
    project.tests("""
    import sys
    from django.test import SimpleTestCase
    class A(SimpleTestCase):
        def test_1(self): self.assertIn("urls", sys.modules)
    """)
    result = run(project)
    assert result.returncode == 0, result.stderr
    assert "beside" in result.stdout


def test_failure_is_known_while_tests_run(project):
    """A poll between tests tells of it without waiting, and a child that a test forks neither hears nor ends it."""
    write_check(project, "time.sleep(1)", *FINDS["error"])
    project.write(
        {
            "script.py": """
        import os, time, django
        django.setup()
        from django.core.management import call_command, CommandError
        from testkit.databases.checks import Beside
        beside = Beside()
        assert beside.start(lambda: call_command("check"), apart=True, missing="ignore")
        started = time.monotonic()
        assert beside.poll() is None
        assert time.monotonic() - started < 0.5
        child = os.fork()
        if not child:
            assert beside.poll() is None
            beside.finish()
            beside.end()
            os._exit(3)
        assert os.waitpid(child, 0)[1] == 3 << 8
        while beside.poll() is None:
            assert time.monotonic() - started < 30
            time.sleep(0.01)
        assert "No shelf" in beside.poll().text
        try:
            beside.finish()
        except CommandError as error:
            print("raised", type(error).__name__)
        assert beside.process == 0
        beside.end()
        again = Beside()
        again.start(lambda: time.sleep(60), apart=True)
        process = again.process
        again.end()
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            print("gone")
        """
        }
    )
    done = subprocess.run(
        [FRONTS["stock"][0], "script.py"],
        cwd=project.folder,
        env=clean_environment(DJANGO_SETTINGS_MODULE="settings"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "raised SystemCheckError\ngone\n", done.stderr


# How they end


SLEEPS = ("print('process', os.getpid(), flush=True)", "pathlib.Path('checks').write_text(str(os.getpid()))")


@contextmanager
def checking(project: Project) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Give a run whose checks do not end, and the id of their process."""
    write_check(project, *SLEEPS, "time.sleep(60)")
    process = project.start(OWN, front="manage.py")
    place = project.folder / "checks"
    until(lambda: place.exists() and place.read_text())
    until(lambda: was_tested(project))
    try:
        yield process, int(place.read_text())
    finally:
        process.kill()
        process.communicate()


def until(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_gone(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_killed_run_takes_its_checks_with_it(project):
    """After SIGKILL to the run no process of checks is left."""
    with checking(project) as (process, checks):
        assert not is_gone(checks)
        process.kill()
        until(lambda: is_gone(checks), 10)


def test_an_interrupt_is_the_runs(project):
    """Ctrl-C does not reach the checks; the run that it ends also ends them."""
    with checking(project) as (process, checks):
        os.kill(checks, signal.SIGINT)
        assert os.getpgid(checks) == checks != os.getpgid(process.pid)
        time.sleep(0.3)
        assert not is_gone(checks)
        process.send_signal(signal.SIGINT)  # which unittest takes for a request to stop
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        until(lambda: is_gone(checks), 10)


# Databases


QUERIES = [
    "from django.contrib.contenttypes.models import ContentType",
    "from django.db import connections, transaction",
    "from shop.models import Item",
    "assert not Item.objects.exists()",
    "with transaction.atomic():",  # the test beside may look at any moment
    "    Item.objects.create(name='by a check').delete()",
    "print('asked', sorted(t.model for t in ContentType.objects.filter(app_label='shop')))",
    "try:",
    "    connections['other'].cursor()",
    "except AssertionError as error:",
    "    print('blocked', 'no test asked for it' in str(error))",
]
GUARDED = (
    RUNNER
    + """
from django.db import connection
from testkit.databases import guard

class Guarded(Runner):
    def setup_databases(self, **kwargs):
        guard.check_before({"default"}, guard.GuardOptions())
        made = super().setup_databases(**kwargs)
        guard.block(guard.check_after({"default"}))
        connection.ensure_connection()
        connection.opened = id(connection.connection)
        return made

    def teardown_databases(self, *args, **kwargs):
        guard.block({"default"}, setting_up=True)
        super().teardown_databases(*args, **kwargs)
"""
)


@pytest.mark.parametrize("place", ["memory", "file", "postgres_url", "mysql_url"])
def test_checks_that_ask_the_database(place, project, request):
    """They see the test database by connections of their own, blocked ones stay blocked, the run's session goes on, and
    nothing is in the way when the database is dropped."""
    if place.endswith("_url"):
        project.settings(f"DATABASES['default'] = {dj_database_url.parse(request.getfixturevalue(place))!r}")
        project.settings(f"DATABASES['default']['TEST'] = {{'NAME': 'test_checks_{os.getpid()}'}}")
    elif place == "file":
        project.settings("DATABASES['default']['TEST'] = {'NAME': 'test.sqlite3'}")
    project.settings("DATABASES['other'] = {**DATABASES['default'], 'NAME': 'other', 'TEST': {}}")
    write_check(project, *QUERIES)
    project.write({"runner.py": GUARDED})
    # Long enough for the checks to end, so that what they do to the run's session would be seen.
    project.tests(
        TESTS + "        import time; time.sleep(1.5)\n"
        "        self.assertEqual(Item.objects.count(), 0)\n"
        "        from django.db import connection\n"
        "        print('same connection', id(connection.connection) == connection.opened)\n"
    )
    result = project.run("--testrunner=runner.Guarded", "--noinput", front="manage.py")
    assert result.returncode == 0, result.stderr
    assert "beside" in result.stdout
    assert "asked ['item']" in result.stdout
    assert "blocked True" in result.stdout
    assert "same connection True" in result.stdout


# Migrations


SLOW = """
import time
from django.test import SimpleTestCase
class A(SimpleTestCase):
    def test_1(self): time.sleep(2)
"""
CHANGED = """
from django.db import models
class Item(models.Model):
    name = models.CharField(max_length=20)
    price = models.IntegerField()
"""
PACKAGE = {
    "site-packages/addon/__init__.py": "",
    "site-packages/addon/models.py": "from django.db import models\nclass Thing(models.Model):\n"
    "    size = models.IntegerField()\n",
    "site-packages/addon/migrations/__init__.py": "",
}


def make_conflict(project: Project) -> None:
    for name in ("0002_one", "0002_two"):
        project.write(
            {
                f"shop/migrations/{name}.py": "from django.db import migrations\nclass Migration(migrations.Migration):\n"
                "    dependencies = [('shop', '0001_initial')]\n"
            }
        )


def in_project(project: Project, code: str) -> str:
    done = subprocess.run(
        [
            FRONTS["stock"][0],
            "-c",
            f"import django\ndjango.setup()\nfrom testkit.databases.migrations import *\n{code}",
        ],
        cwd=project.folder,
        env=clean_environment(DJANGO_SETTINGS_MODULE="settings"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_conflicts_are_told_with_their_remedy(project):
    """Apps with two last migrations are named with these, as the command that joins them is; without a database."""
    assert in_project(project, "print(repr(conflicts()))") == "''"
    make_conflict(project)
    project.settings("DATABASES['default'] = {'ENGINE': 'django.db.backends.postgresql', 'HOST': '/nowhere'}")
    text = in_project(project, "print(conflicts())")
    assert "0002_one, 0002_two in shop" in text
    assert text.endswith("manage.py makemigrations --merge shop")


def test_a_missing_migration_is_a_warning(project):
    """It is one line that names the command, though Django's command would have asked for a default."""
    project.write({"shop/models.py": CHANGED})
    project.tests(SLOW)
    result = run(project, MISSING="warn")
    assert result.returncode == 0, result.stderr
    assert "testkit: models have changes without a migration: manage.py makemigrations shop\n" in result.stderr
    assert "without a migration" not in run(project, MISSING="ignore").stderr
    assert "without a migration" not in run(project, MISSING="warn", IN_LINE="1").stderr


def test_a_warning_is_not_waited_for(project):
    """Where it takes long to tell (here by the project's own makemigrations), a run of few tests ends without."""
    project.write(
        {
            "shop/management/commands/makemigrations.py": """
            import pathlib, time
            from django.core.management.commands import makemigrations
            from django.db.migrations.autodetector import MigrationAutodetector

            class Detector(MigrationAutodetector):
                def changes(self, graph):
                    pathlib.Path("began").touch()
                    time.sleep(30)
                    return {}

            class Command(makemigrations.Command):
                autodetector = Detector
            """
        }
    )
    project.settings("SILENCED_SYSTEM_CHECKS = ['commands.E001']")  # migrate has another one
    project.tests(SLOW)
    started = time.monotonic()
    result = run(project, MISSING="warn")
    assert result.returncode == 0, result.stderr
    assert (project.folder / "began").exists()
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("environment", [{}, {"IN_LINE": "1"}])
def test_a_missing_migration_can_fail_the_run(environment, project):
    """With the option it does, beside the tests and in line."""
    project.write({"shop/models.py": CHANGED})
    project.tests(SLOW)
    result = run(project, MISSING="fail", **environment)
    assert result.returncode == 1
    assert "--fail-on-missing-migrations: models have changes without a migration" in result.stderr


def test_nothing_is_missing(project):
    """Neither for what an installed package lacks, nor for models that tests define, nor where migrations are off."""
    project.write(PACKAGE)
    project.settings("import sys; sys.path.append('site-packages'); INSTALLED_APPS.append('addon')")
    project.tests("""
    from django.db import models
    from django.test import SimpleTestCase
    class Made(models.Model):
        class Meta:
            app_label = "shop"
    class A(SimpleTestCase):
        def test_1(self): pass
    """)
    result = run(project, MISSING="fail")
    assert result.returncode == 0, result.stderr
    assert "beside" in result.stdout
    project.write({"shop/models.py": CHANGED})
    assert in_project(project, "print(missing_migrations())") == "['shop']"
    project.settings("MIGRATION_MODULES = {'shop': None}")
    assert in_project(project, "print(missing_migrations())") == "[]"


@pytest.mark.parametrize(("missing", "status"), [("warn", 0), ("fail", 1)])
def test_migrations_that_cannot_be_read_are_told(missing, status, project):
    """A warning that cannot be given is no reason to fail; a promise that cannot be kept is."""
    project.settings("DATABASES['default']['TEST'] = {'MIGRATE': False}")
    project.write({"shop/migrations/0002_bad.py": "from nowhere import nothing\n"})
    project.tests(SLOW)
    result = run(project, MISSING=missing)
    assert result.returncode == status, result.stderr
    assert "whether migrations are missing cannot be told: ModuleNotFoundError" in result.stderr


@pytest.mark.parametrize("flags", [[], ["--parallel=2"]], ids=["beside", "in line"])
def test_models_of_tests_need_no_migrations(flags, project):
    """A model that a test module defines is no change of the project's, in a whole run; one of the project's is."""
    project.tests("""
    from django.db import models
    from django.test import TestCase
    class OfTests(models.Model):
        class Meta:
            app_label = "shop"
    class A(TestCase):
        def test_1(self): pass
    class B(A): pass
    """)
    result = project.run("--fail-on-missing-migrations", *flags)
    assert result.returncode == 0, result.stderr
    project.write({"shop/models.py": (project.folder / "shop/models.py").read_text().replace("=20", "=21")})
    result = project.run("--fail-on-missing-migrations", *flags)
    assert result.returncode == 2
    assert "manage.py makemigrations shop" in result.stderr
