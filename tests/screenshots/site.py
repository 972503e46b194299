"""A little site for tests that look at it in a real browser."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from testkit.core.events import Outcome, TestFinished
from tests.projects import Project

SETTINGS = """
ROOT_URLCONF = "shop.urls"
ALLOWED_HOSTS = ["*"]
STATIC_URL = "/static/"
STATIC_ROOT = BASE / "static-root"
INSTALLED_APPS += ["django.contrib.staticfiles"]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
"""
HEAD = "<!doctype html><html lang=en><link rel=icon href='data:,'><title>Shop</title>"
STYLE = "<style>body { margin: 0; font: 16px monospace } .card { width: 120px; height: 60px; background: #cde }</style>"
URLS = """
from django.urls import path
from shop import views

urlpatterns = [path(f"{name}/" if name != "home" else "", getattr(views, name)) for name in views.NAMES]
"""


def site(folder: Path, views: str, tests: str) -> Project:
    """Return a project in ``folder`` with the functions of ``views`` by their names in ``NAMES``, and ``tests``."""
    project = Project(folder)
    project.settings("from pathlib import Path\nBASE = Path(__file__).parent")
    project.settings(SETTINGS)
    project.write({"shop/urls.py": URLS, "shop/views.py": views})
    project.tests(tests)
    return project


class Ran:
    """What a run told."""

    def __init__(self, project: Project, *arguments: str, **options: Any) -> None:
        self.project = project
        options.setdefault("timeout", 240)  # seconds; browsers take their time where others compute as well
        done = project.run("--with-needle", *arguments, **options)
        self.status, self.stdout, self.stderr = done.returncode, done.stdout, done.stderr

    @functools.cached_property
    def tests(self) -> Mapping[str, TestFinished]:
        """How each test ended, by its class and name."""
        facts = [fact for fact in self.project.facts() if isinstance(fact, TestFinished)]
        return {fact.id.removeprefix("shop.tests.test_shop."): fact for fact in facts}

    @property
    def outcomes(self) -> Mapping[str, Outcome]:
        """The outcome of each test."""
        return {id: fact.outcome for id, fact in self.tests.items()}

    def message(self, id: str) -> str:
        """Return what the problems of a test say."""
        return "\n".join(problem.message for problem in self.tests[id].problems)


def plain(text: str) -> str:
    """Return ``text`` without what differs from run to run."""
    return re.sub(r"\.[0-9a-f]{12}\.png", ".….png", text)
