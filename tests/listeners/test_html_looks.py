"""What the report page looks like: baselines of our own mixin, under screenshots/report-page.

The letters are those of a font that comes with the repository, since the page itself has the reader's. To write the baselines
anew: ``WRITE_BASELINES=1 python -m pytest tests/listeners/test_html_looks.py``.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from testkit.core.events import Outcome, RunMeasured, TestFinished
from testkit.listeners.html import html_listener
from tests.listeners.told import BEGAN, many, problem
from tests.projects import ROOT
from tests.screenshots.site import Ran, site
from tests.screenshots.web import PAGES
from tests.test_sample_project import OTHER_FONTS

BASELINES = ROOT / "screenshots" / "report-page"
FIGTREE = ROOT / "sample_project/library/static/library/fonts/figtree-latin-wght-normal.woff2"
SOURCE = "library/loans/tests/test_loans.py"
TEXT = """
class LoanTests(TestCase):

    def test_a_loan_can_be_extended_once(self):
        \'\'\'A member can extend a loan once, and not twice.\'\'\'
        self.client.post(f"/loans/{self.loan.pk}/extend/")
        response = self.client.post(f"/loans/{self.loan.pk}/extend/")
        self.assertEqual(response.status_code, 200)
        self.assertContains(response, "extended already")
"""
VIEWS = """
import re
from pathlib import Path
from django.http import FileResponse, HttpResponse
NAMES = ["home", "font"]
HERE = Path(__file__).parent
FONT = "@font-face { font-family: Figtree; src: url(/font/) } * { font-family: Figtree !important }"

def home(request):
    page = (HERE / "page.html").read_text()
    page = re.sub('<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)  # it lets no font in
    return HttpResponse(page.replace("</style>", FONT + "</style>", 1))

def font(request):
    return FileResponse(open(HERE / "figtree.woff2", "rb"), content_type="font/woff2")
"""
TESTS = """
from django.test import LiveServerTestCase
from testkit import NeedleTestCase, ResponsiveScreenshotMixin
from testkit.screenshots import Breakpoint

class ReportPageTest(ResponsiveScreenshotMixin, NeedleTestCase, LiveServerTestCase):
    def look(self, part, name, *sizes):
        self.driver.get("about:blank")
        self.driver.get(f"{self.live_server_url}/#{part}")
        self.assertResponsive("html", name, full_page=False, wait_for="[data-ready]", sizes=sizes)

    def test_light(self):
        self.look("failures", "failures", Breakpoint(1024, 800), Breakpoint(320, 640))

    def test_dark(self):
        self.look("tests", "tests", Breakpoint(1024, 800, scheme="dark"))
        self.look("workers", "workers", Breakpoint(1024, 800, scheme="dark"))
"""


def test_the_page_looks_as_its_baselines(chromium, tmp_path, monkeypatch):
    """Failures at 1024 and 320 pixels, the table and the timeline in the dark are as committed, on a machine without fonts."""
    project = site(tmp_path / "project", VIEWS, TESTS)
    place = project.folder / "shop"
    shutil.copy(FIGTREE, place / "figtree.woff2")
    monkeypatch.chdir(tmp_path)  # where the page finds the source
    write_page(place / "page.html")
    fonts = tmp_path / "fonts"
    fonts.mkdir()
    shutil.copy(PAGES / "blocks.ttf", fonts)
    (fonts / "fonts.conf").write_text(OTHER_FONTS.format(folder=fonts))
    anew = ["--with-save-baseline"] if os.environ.get("WRITE_BASELINES") else []
    flags = ("--baselines", str(BASELINES), "--missing-baselines", "fail", *anew)
    ran = Ran(project, *flags, FONTCONFIG_FILE=str(fonts / "fonts.conf"))
    assert ran.status == 0, ran.stderr
    counted = len(list(BASELINES.rglob("*.png")))
    assert counted == 4
    assert anew or f"Screenshots: {counted} passed" in ran.stderr


def write_page(path):
    """Write the page of a small run with something of everything on its first screens."""
    Path(SOURCE).parent.mkdir(parents=True)
    Path(SOURCE).write_text(TEXT)
    *told, ended, reports = many(160)
    broken = TestFinished(
        "library.loans.tests.test_loans.LoanTests.test_a_loan_can_be_extended_once",
        "library.loans.tests.test_loans.LoanTests",
        BEGAN + 1,
        0.75,
        Outcome.FAILED,
        "A member can extend a loan once, and not twice.",
        (problem(1, message="302 != 200 : the form was not shown again")._replace(file=SOURCE, line=8),),
        stdout="POST /loans/7/extend/\n",
        file=SOURCE,
        line=4,
        worker="3",
        measures={"queries": {"total": 9, "routes": {"POST /loans/<int:pk>/extend/": {"requests": 2, "queries": 7, "ms": 4.5}}}},
    )  # fmt: skip
    coverage = RunMeasured("coverage", {"percent": 87.4, "covered": 874, "statements": 1000})
    listener = html_listener(path)
    listener(told[0]._replace(ids=(*told[0].ids, broken.id)))
    for fact in (*told[1:2], broken, *told[2:], ended, coverage, reports):
        listener(fact)
