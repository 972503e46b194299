"""What nose2's front does in each kind of project: guarded, without Django, off, set up by its tests, with plugins."""

from __future__ import annotations

import subprocess
import sys

import pytest

from testkit.core.events import TestFinished
from tests.projects import Project, clean_environment
from tests.test_imports import loaded

PLAIN = """
import sys, unittest
import testkit

class PlainTests(unittest.TestCase):
    def test_modules(self):
        print(*(name for name in sys.modules if name.startswith(("testkit", "django"))))

    def test_fails(self):
        self.fail("no")
"""
DATABASE = """
from django.test import TestCase, TransactionTestCase
from shop.models import Item

class WritingTests(TestCase):
    def test_1(self):
        Item.objects.create(name="pen")

class FlushingTests(TransactionTestCase):
    def test_2(self):
        self.assertEqual(Item.objects.count(), 0)
"""


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path / "project")


def outcomes(project: Project) -> dict[str, str]:
    return {fact.id: str(fact.outcome) for fact in project.facts() if isinstance(fact, TestFinished)}


def test_without_a_django_project(tmp_path):
    """Where there are no settings nose2 is as without us, and what needs Django says what is missing."""
    project = Project.__new__(Project)
    project.folder = tmp_path
    project.write({"test_plain.py": PLAIN})
    project.nose2()
    result = project.run(front="nose2")
    assert result.returncode == 1
    assert "Ran 2 tests" in result.stderr
    assert "FAILED (failures=1)" in result.stderr
    assert "django" not in result.stdout
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "__pycache__") == [
        "test_plain.py",
        "unittest.cfg",
    ]
    asked = project.run("--with-xunit", front="nose2")
    assert asked.returncode == 2
    assert "--with-xunit is for Django projects, and no settings were found: give --settings" in asked.stderr
    assert "Traceback" not in asked.stderr


def test_the_guard_refuses_before_a_test_runs(project):
    """A database on a host that is not local ends the run with status 2, and nothing has connected."""
    project.settings(
        'DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "shop", "HOST": "db.example.com"}}'
    )
    project.tests(DATABASE)
    project.nose2()
    result = project.run(front="nose2")
    assert result.returncode == 2, result.stderr
    assert "refused:" in result.stderr
    assert "db.example.com" in result.stderr
    assert "Traceback" not in result.stderr


def test_off_unless_it_is_asked_for(project):
    """With ``always-on = no`` nothing of ours runs, and no database is made; ``--with-testkit`` turns it on."""
    project.tests(PLAIN)
    project.nose2(testkit="always-on = no")
    result = project.run("--fail-fast", front="nose2")
    assert "FAILED (failures=1)" in result.stderr
    assert not {"django", "testkit.runner", "testkit.session.run"} & set(result.stdout.split())
    assert not (project.folder / "reports").exists()
    project.tests(DATABASE)
    project.make_real_rows()
    result = project.run("--with-testkit", front="nose2")
    assert result.returncode == 0, result.stderr
    assert set(outcomes(project).values()) == {"passed"}
    assert project.real_rows() == [("real",)]


def test_tests_that_set_django_up_themselves(project):
    """A package of tests that calls django.setup() is served as well, when its tests are loaded, and so are our flags."""
    (project.folder / "manage.py").unlink()
    setup = "import django, os\nos.environ['DJANGO_SETTINGS_MODULE'] = 'settings'\ndjango.setup()\n"
    project.write({"shop/tests/__init__.py": setup})
    project.tests(DATABASE)
    project.make_real_rows()
    project.nose2()
    result = project.run("--with-xunit", front="nose2")
    assert result.returncode == 0, result.stderr
    assert set(outcomes(project).values()) == {"passed"}
    assert project.xunit().get("tests") == "2"
    assert project.real_rows() == [("real",)]


def test_statuses_that_nose2_does_not_know(project):
    """No test is 4, a mistake in the options is 2 and names the nearest option, settings that fail are 2."""
    project.nose2()
    nothing = project.run(front="nose2")
    assert (nothing.returncode, "no test ran" in nothing.stderr) == (4, True)
    project.nose2(testkit="with_xunitt = yes")
    slip = project.run(front="nose2")
    assert (slip.returncode, "did you mean with_xunit?" in slip.stderr) == (2, True)
    project.nose2()
    project.settings("raise OSError('no secrets')")
    broken = project.run(front="nose2")
    assert (broken.returncode, "no secrets" in broken.stderr) == (2, True)


PLUGIN = """
import collections, json
from nose2 import events

class Counting(events.Plugin):
    alwaysOn = True

    def __init__(self):
        self.heard = collections.Counter()

    def startTest(self, event):
        self.heard["started"] += 1

    def setTestOutcome(self, event):
        if event.exc_info and event.exc_info[0] is NotImplementedError:
            event.outcome, event.reason, event.exc_info = "skipped", "to do", None

    def testOutcome(self, event):
        self.heard[event.outcome] += 1
        event.handled = True

    def outcomeDetail(self, event):
        event.extraDetail.append("what the plugin knows")

    def afterTestRun(self, event):
        with open("heard.json", "w") as file:
            json.dump(self.heard, file)
"""
RUNNER = """
from django.conf import settings
from django.test.runner import DiscoverRunner

class ShopRunner(DiscoverRunner):
    def setup_test_environment(self, **kwargs):
        super().setup_test_environment(**kwargs)
        settings.SET_BY = "the project's runner"
"""
URLS = """
from django.http import HttpResponse
from django.urls import path

urlpatterns = [path("never/", lambda request: HttpResponse(""))]
"""
JUDGED = """
from django.conf import settings
from django.test import SimpleTestCase, tag

known_when_loaded = settings.SET_BY

class JudgedTests(SimpleTestCase):
    def test_1_to_do(self):
        raise NotImplementedError
    def test_2_fails(self):
        self.fail("no")
    @tag("slow")
    def test_3_passes(self):
        pass
"""


def test_plugins_of_nose2_are_heard_and_hear(project):
    """A plugin changes an outcome before it is a fact, adds to a failure, and cannot keep it from us; -F ends the run.

    Before tests are loaded, the project's own runner has made the environment.
    """
    project.write({"counting.py": PLUGIN, "shop/runner.py": RUNNER})
    project.write({"urls.py": URLS})
    project.settings('TEST_RUNNER = "shop.runner.ShopRunner"\nROOT_URLCONF = "urls"')
    project.tests(JUDGED)
    project.nose2("counting", "nose2.plugins.attrib")
    result = project.run("--exclude-tag=slow", front="nose2")
    assert result.returncode == 1, result.stderr
    name = "shop.tests.test_shop.JudgedTests"
    assert outcomes(project) == {f"{name}.test_1_to_do": "skipped", f"{name}.test_2_fails": "failed"}
    assert "what the plugin knows" in result.stderr
    heard = (project.folder / "heard.json").read_text()
    assert heard == '{"started": 2, "skipped": 1, "failed": 1}'
    some = project.run("--with-routes", "--nose2-report", "-A", "!slow", front="nose2")
    assert "Routes: tests ask for 0 of 1" in some.stderr
    assert "Which ones no test asks for is told after a run of all tests" in some.stderr
    result = project.run("-F", "--nose2-report", "-v", front="nose2")
    assert result.returncode == 1, result.stderr
    assert f"{name}.test_3_passes" not in outcomes(project)
    assert "test_2_fails" in result.stderr
    assert "testkit:" not in result.stderr


def test_a_module_that_nobody_uses_costs_little():
    """Importing the plugin brings nothing of ours but its package, and takes 5 ms of processor time at most beside nose2."""
    assert not {"django", "coverage", "lxml"} & loaded("import testkit.nose2_plugin")
    code = (
        "import time, nose2.events, testkit; started = time.process_time()\n"
        "import testkit.nose2_plugin; print(time.process_time() - started)"
    )
    seconds = [float(subprocess.check_output([sys.executable, "-c", code], env=clean_environment())) for _ in range(5)]
    assert min(seconds) < 0.005
