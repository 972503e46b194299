"""The queries that Django logs, on one readable line each."""

import logging
from contextlib import contextmanager
from logging.handlers import QueueHandler
from queue import Queue

from django.db import connection, transaction
from django.http import HttpResponse
from django.test import TestCase, override_settings
from django.urls import path

from shelf.models import Author, Book, Tag
from testkit.queries.formatter import ReadableSqlFormatter


def show_authors(request):
    return HttpResponse(" ".join(Author.objects.get(pk=pk).name for pk in request.GET.getlist("pk")))


async def show_authors_async(request):
    names = []
    for pk in request.GET.getlist("pk"):
        author = await Author.objects.aget(pk=pk)
        names.append(author.name)
    return HttpResponse(" ".join(names))


urlpatterns = [path("authors/", show_authors), path("async/", show_authors_async)]


class Lines(logging.Handler):
    """Keeps what is logged; being code of the project itself, it is no line that asks for queries."""

    def __init__(self):
        super().__init__()
        self.setFormatter(ReadableSqlFormatter())
        self.lines = []

    def emit(self, record):
        self.lines.append(self.format(record))


@contextmanager
def logged():
    """Log queries as while DEBUG is on; the lines are those of the block."""
    logger, handler = logging.getLogger("django.db.backends"), Lines()
    before = logger.level, logger.propagate
    logger.setLevel("DEBUG")
    logger.propagate = False
    logger.addHandler(handler)
    try:
        with override_settings(DEBUG=True):
            yield handler.lines
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]


@override_settings(ROOT_URLCONF=__name__)
class LogTests(TestCase):
    databases = {"default", "other"}

    @classmethod
    def setUpTestData(cls):
        cls.authors = [Author.objects.create(name=name) for name in ("Ann", "Ben", "Cid")]

    def quoted(self, text):
        return text.replace('"', connection.ops.quote_name("x")[0])

    def test_a_query_of_a_model_is_short(self):
        with logged() as lines:
            list(Book.objects.filter(title="it's FROM (me", note="a\nb"))
        [line] = lines
        self.assertRegex(line, r"^\d+\.\d ms  SELECT /\* 6 columns \*/ FROM ")
        self.assertIn("s FROM (me'", line)
        self.assertIn(self.quoted('"shelf_book"."title" = '), line)
        self.assertRegex(line, r"'a\\n+b'")
        self.assertRegex(line, r"   shelf/tests/test_log\.py:\d+ in LogTests\.test_a_query_of_a_model_is_short$")
        self.assertEqual(len(line.splitlines()), 1)

    def test_what_matters_of_a_query_is_seen(self):
        with logged() as lines:
            Book.objects.count()
            Book.objects.filter(pk=1).exists()
            list(Author.objects.distinct())
        self.assertIn("SELECT COUNT(*) AS ", lines[0])
        self.assertRegex(lines[1], "SELECT 1 AS .* LIMIT 1")
        self.assertRegex(lines[2], "SELECT DISTINCT ")

    def test_many_rows_are_one_and_their_number(self):
        with logged() as lines:
            Tag.objects.bulk_create(Tag(name="t" * 30) for _ in range(50))
            list(Tag.objects.filter(pk__in=range(90, 150)))
        inserted = next(line for line in lines if "INSERT" in line)
        self.assertLess(len(inserted), 500)
        self.assertIn("IN (90, 91, 92, /* 57 more */)", lines[-1])

    def test_the_repetition_of_a_query_is_counted_in_a_request(self):
        for url in ("/authors/", "/authors/"):
            with logged() as lines:
                self.client.get(url, {"pk": [author.pk for author in self.authors]})
            self.assertEqual([part_of(line) for line in lines], ["", "2nd time", "3rd time"])

    async def test_it_is_counted_in_an_async_request(self):
        for _ in range(2):
            with logged() as lines:
                await self.async_client.get("/async/", {"pk": [author.pk for author in self.authors]})
            self.assertEqual([part_of(line) for line in lines], ["", "2nd time", "3rd time"])

    async def test_an_async_request_has_its_line(self):
        with logged() as lines:
            await self.async_client.get("/async/", {"pk": [self.authors[0].pk]})
        self.assertRegex(lines[0], r"   shelf/tests/test_log\.py:\d+ in show_authors_async$")

    def test_a_queue_gets_the_line_from_the_thread_that_asks(self):
        """With the formatter on the handler that fills the queue, its listener has nothing to find out."""
        waiting = Queue()
        handler = QueueHandler(waiting)
        handler.setFormatter(ReadableSqlFormatter())
        logger = logging.getLogger("django.db.backends")
        logger.addHandler(handler)
        try:
            with logged():
                Book.objects.count()
        finally:
            logger.removeHandler(handler)
        message = waiting.get_nowait().getMessage()
        self.assertRegex(
            message, r"^\d+\.\d ms  SELECT COUNT.*   shelf/tests/test_log\.py:\d+ in LogTests\.test_a_queue"
        )

    def test_another_database_is_named(self):
        with logged() as lines:
            Author.objects.using("other").count()
        self.assertRegex(lines[0], r"^\d+\.\d ms  \[other\]  SELECT COUNT")

    def test_transactions_are_told_and_not_counted(self):
        with logged() as lines:
            for _ in range(3):
                with transaction.atomic():
                    pass
        savepoints = [line for line in lines if "SAVEPOINT" in line]
        self.assertEqual(len(savepoints), 6)
        self.assertEqual({part_of(line) for line in lines}, {""})


def part_of(line):
    """Return which time it is, by the line."""
    return next((part for part in line.split("   ") if part.endswith(" time")), "")
