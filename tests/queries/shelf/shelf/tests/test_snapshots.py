"""``assertNumQueriesSnapshot`` in a test case, on every database."""

import os
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from unittest import mock

from django.db import connection
from django.test import SimpleTestCase, TestCase

from shelf.models import Author, Book
from testkit.queries.assertions import QueryAssertionsMixin

UPDATE = "TESTKIT_UPDATE_QUERY_SNAPSHOTS"


class SnapshotTests(TestCase):
    """Each test runs an inner test case, whose module lies in a folder of its own."""

    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        module = ModuleType("test_inner")
        module.__file__ = str(self.folder / "test_inner.py")
        self.enterContext(mock.patch.dict(sys.modules, test_inner=module))
        Book.objects.create(title="t", author=Author.objects.create(name="n"))

    def run_inner(self, body, update=False, mixin=QueryAssertionsMixin, run=1):
        """Run a test of this body and return its result."""
        case = type("InnerTests", (mixin, SimpleTestCase), {"databases": {"default", "other"}, "test": body})
        case.__module__, case.__qualname__ = "test_inner", "InnerTests"
        test, result = case("test"), self.defaultTestResult()
        with mock.patch.dict(os.environ, {UPDATE: "1" if update else "0"}):
            for _ in range(run):
                test(result)
        return result

    def assertGreen(self, result):
        self.assertEqual(result.errors + result.failures, [])

    def files(self):
        return {path.relative_to(self.folder).as_posix(): path.read_text() for path in self.folder.rglob("*.txt")}

    def test_what_was_recorded_passes(self):
        def body(test):
            with test.assertNumQueriesSnapshot():
                list(Book.objects.filter(pk__in=[1, 2]))

        self.assertGreen(self.run_inner(body, update=True))
        ((name, text),) = self.files().items()
        self.assertEqual(name, "query_snapshots/test_inner/InnerTests.test.txt")
        self.assertIn(f"on {connection.vendor}\n", text)
        self.assertIn("IN (…)", text)
        self.assertGreen(self.run_inner(body))

    def test_other_values_are_the_same_queries(self):
        def body(test):
            with test.assertNumQueriesSnapshot():
                list(Book.objects.filter(pk__in=keys)[: len(keys)])

        keys = [1, 2]
        self.assertGreen(self.run_inner(body, update=True))
        keys = [3, 4, 5]
        self.assertGreen(self.run_inner(body))

    def test_another_query_fails_and_names_the_line_and_the_command(self):
        def body(test):
            with test.assertNumQueriesSnapshot():
                for book in books:
                    str(book.author.name)

        books = Book.objects.select_related("author")
        self.assertGreen(self.run_inner(body, update=True))
        books = Book.objects.all()
        ((_, text),) = self.run_inner(body).failures
        line = body.__code__.co_firstlineno + 3
        for part in (
            "Expected the queries of ",
            "InnerTests.test.txt, which are not those that ran (1 recorded, 2 ran).",
            "\n-SELECT",
            "\n+SELECT",
            f"shelf/tests/test_snapshots.py:{line} in ",
            f"    {UPDATE}=1 python ",
            " test_inner.InnerTests.test",
        ):
            self.assertIn(part, text)

    def test_a_block_that_raises_records_nothing(self):
        def body(test):
            with test.assertNumQueriesSnapshot():
                Book.objects.count()
                raise KeyError

        ((_, text),) = self.run_inner(body, update=True).errors
        self.assertIn("KeyError", text)
        self.assertEqual(self.files(), {})

    def test_the_same_name_twice_is_an_error(self):
        def body(test):
            for _ in range(2):
                with test.assertNumQueriesSnapshot("page"):
                    Book.objects.count()

        ((_, text),) = self.run_inner(body, update=True).errors
        self.assertIn("has used the snapshot InnerTests.test.page.txt already: give each a name of its own", text)

    def test_a_test_object_may_run_again(self):
        def body(test):
            with test.assertNumQueriesSnapshot():
                Book.objects.count()

        self.assertGreen(self.run_inner(body, update=True, run=2))

    def test_names_have_files_of_their_own(self):
        def body(test):
            for page in (1, 2):
                with test.assertNumQueriesSnapshot(f"page{page}"):
                    Book.objects.count()

        self.assertGreen(self.run_inner(body, update=True))
        self.assertEqual(
            sorted(self.files()),
            [f"query_snapshots/test_inner/InnerTests.test.page{page}.txt" for page in (1, 2)],
        )

    def test_it_can_look_at_one_database(self):
        def body(test):
            with test.assertNumQueriesSnapshot(using="other"):
                Book.objects.count()
                Book.objects.using("other").count()

        self.assertGreen(self.run_inner(body, update=True))
        ((_, text),) = self.files().items()
        self.assertEqual(len(text.splitlines()), 2)
        self.assertTrue(text.splitlines()[1].startswith("other: SELECT COUNT(*)"))

    def test_it_works_in_async_tests(self):
        async def body(test):
            with test.assertNumQueriesSnapshot():
                await Book.objects.acount()

        self.assertGreen(self.run_inner(body, update=True))
        self.assertGreen(self.run_inner(body))
        self.assertEqual(len(self.files()), 1)

    databases = {"default", "other"}
