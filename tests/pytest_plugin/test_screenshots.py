"""Screenshots under pytest, in a real browser: the fixtures, their markers, and tests that are skipped unless asked for."""

from __future__ import annotations

from testkit.core.events import TestFinished
from tests.projects import Project

TESTS = """
import os
import pytest

@pytest.mark.breakpoints((320, 240), (640, 480))
def test_responsive(responsive_screenshot, live_server):
    responsive_screenshot.open(f"{live_server.url}/?colour={os.environ.get('COLOUR', 'white')}")
    responsive_screenshot("home")

def test_of_a_part(screenshot, live_server):
    screenshot.open(live_server.url)
    assert screenshot.driver.title == "shop"
    screenshot("part", "h1")

def test_without(): pass
"""
URLS = """
from django.http import HttpResponse
from django.urls import path

def home(request):
    colour = request.GET.get("colour", "white")
    return HttpResponse(f"<!doctype html><title>shop</title><body style='background: {colour}'><h1>Shop</h1>")

urlpatterns = [path("", home)]
"""


def test_screenshots_are_compared(project: Project, run, chromium):
    """Baselines are written once, and what differs fails at each breakpoint, also in workers; without the flag they are skipped."""
    project.write({"urls.py": URLS})
    project.settings("ROOT_URLCONF = 'urls'\nALLOWED_HOSTS = ['*']\nSTATIC_URL = '/static/'")
    project.settings("INSTALLED_APPS += ['django.contrib.staticfiles']")
    project.tests(TESTS)
    environment = {"TESTKIT_BROWSER_BINARY": chromium.binary, "TESTKIT_BROWSER_DRIVER": chromium.driver}
    result = run(**environment)
    assert "1 passed, 2 skipped" in result.stdout
    assert "--testkit-needle" in result.stdout
    result = run("--testkit-needle", "--testkit-missing-baselines=write", "-m", "screenshots", **environment)
    assert "2 passed, 1 deselected" in result.stdout, result.stdout
    baselines = {path.name for path in project.folder.glob("screenshots/baseline/*/*.png")}
    assert baselines == {"home_320.png", "home_640.png", "part.png"}
    result = run("--testkit-needle", "--testkit-journal", "-n2", COLOUR="red", **environment)
    assert "1 failed, 2 passed" in result.stdout, result.stdout
    assert "2 of 2 screenshots of 'home' differ from their baselines (chromium)" in result.stdout
    assert "screenshots: reports/screenshots/index.html" in result.stdout
    states = [fact.measures.get("screenshots") for fact in project.facts() if isinstance(fact, TestFinished)]
    assert {"changed": 2} in states
    assert {"passed": 1} in states
