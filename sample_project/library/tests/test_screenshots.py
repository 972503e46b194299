"""What the pages look like. Run with ``--with-needle``; the baselines are under ``screenshots/``."""

from django.contrib.staticfiles.testing import StaticLiveServerTestCase

from library.tests.pages import BookListPage, CataloguePage, HomePage, StatisticsPage
from testkit import NeedleTestCase, ResponsiveScreenshotMixin
from testkit.screenshots import Breakpoint


class LibraryInBrowser(ResponsiveScreenshotMixin, NeedleTestCase, StaticLiveServerTestCase):
    """The library of the fixture, at a live server."""

    fixtures = ["library.json"]


class PagesTest(LibraryInBrowser):
    def test_home(self):
        HomePage.open(self)
        self.assertResponsive("html", "home")
        self.assertScreenshot(".book-card", "book-card")

    def test_book_list(self):
        BookListPage.open(self)
        self.assertResponsive("html", "books")

    def test_book(self):
        BookListPage.open(self).open_first()
        self.assertResponsive("html", "book")

    def test_catalogue(self):
        page = CataloguePage.open(self)
        self.assertResponsive("html", "catalogue")
        page.filter("verne")
        self.assertResponsive("html", "catalogue-filtered", sizes=[(320, 540)])

    def test_statistics(self):
        StatisticsPage.open(self)
        self.assertResponsive("html", "statistics")


class DarkPagesTest(LibraryInBrowser):
    SIZES = (Breakpoint(1024, 800, scheme="dark"), Breakpoint(320, 540, scheme="dark"))

    def test_statistics(self):
        StatisticsPage.open(self)
        self.assertResponsive("html", "statistics")
