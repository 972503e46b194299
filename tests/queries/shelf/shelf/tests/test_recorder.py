"""Every query counts once, for whoever records, wherever it runs; and is put down to the line that asked for it."""

import asyncio
import gc
import tempfile
import threading
import time
import urllib.request
import weakref
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from unittest import mock, skipUnless

from asgiref.sync import sync_to_async
from django.core.paginator import Paginator
from django.db import DatabaseError, connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.template import Context, Engine
from django.test import LiveServerTestCase, SimpleTestCase, TestCase, TransactionTestCase, override_settings
from django.urls import path
from django.views.generic import ListView

from shelf.models import Author, Book
from testkit.queries.recorder import Recording, Scope, query_of


def read(alias="default", number=1):
    with connections[alias].cursor() as cursor:
        cursor.execute(f"SELECT {number}")


def read_and_close(alias="default"):
    try:
        read(alias)
    finally:
        close(alias)


def close(alias="default"):
    """Close the connection of this thread, also to an SQLite in memory, which its own close() leaves open."""
    BaseDatabaseWrapper.close(connections[alias])


def read_in_thread(target=read_and_close):
    thread = threading.Thread(target=target)
    thread.start()
    thread.join()


def list_books(request):
    books = list(Book.objects.order_by("title"))  # listed here
    return HttpResponse(" ".join(book.title for book in books))


def show_page(request):
    return render(request, "page.html", {"books": Book.objects.all()})


def read_elsewhere(request):
    read_in_thread()
    return HttpResponse()


def stream_books(request):
    def lines():
        for number in range(3):
            read(number=number)
            yield b"x"

    return StreamingHttpResponse(lines())


def change_in_transactions(request):
    with transaction.atomic():
        book = Book.objects.select_for_update().get(title="a")
        with transaction.atomic():
            book.pages += 1
            book.save(update_fields=["pages"])
        try:
            with transaction.atomic():
                Book.objects.update(pages=0)
                raise KeyError
        except KeyError:
            Author.objects.create(name="n")
    return HttpResponse()


async def count_books(request):
    count = await Book.objects.acount()  # awaited count
    async for book in Book.objects.all():  # awaited loop
        count += book.pages
    await sync_to_async(read)()
    await sync_to_async(read_and_close, thread_sensitive=False)()
    return HttpResponse(str(count))


urlpatterns = [
    path("books/", list_books),
    path("elsewhere/", read_elsewhere),
    path("stream/", stream_books),
    path("change/", change_in_transactions),
    path("count/", count_books),
    path("page/", show_page),
    path("generic/", ListView.as_view(model=Book, allow_empty=False)),
]


def origin_of(mark, function):
    """What the origin must be: the line of this file that ends in the comment."""
    lines = Path(__file__).read_text().splitlines()
    (number,) = (number for number, line in enumerate(lines, 1) if line.endswith(f"  # {mark}"))
    return f"shelf/tests/test_recorder.py:{number} in {function}"


class CountingTests(TestCase):
    databases = {"default", "other"}

    @classmethod
    def setUpTestData(cls):
        Book.objects.bulk_create([Book(title="a"), Book(title="b")])

    def test_nested_recordings_each_count(self):
        with Recording() as outer:
            read()
            with Recording() as inner:
                read()
            read()
        read()
        self.assertEqual((len(outer), len(inner)), (3, 1))

    def test_a_recording_that_is_used_again_begins_anew(self):
        recording = Recording()
        for _ in range(2):
            with recording:
                read()
        self.assertEqual(len(recording), 1)

    def test_an_error_ends_the_recording(self):
        with self.assertRaises(KeyError), Recording() as queries:
            read()
            raise KeyError
        read()
        self.assertEqual(len(queries), 1)

    def test_other_threads_count(self):
        with Recording() as queries:
            read_in_thread()
            read()
        read_in_thread()
        self.assertEqual(len(queries), 2)

    def test_a_recording_takes_one_alias_several_or_all(self):
        with Recording("other") as one, Recording(["default", "other"]) as both, Recording() as every:
            read("default")
            read("other")
            read("other")
        self.assertEqual((len(one), len(both), len(every)), (2, 3, 3))
        self.assertEqual([query.alias for query in every], ["default", "other", "other"])
        self.assertEqual([query.vendor for query in one], ["sqlite", "sqlite"])
        self.assertEqual(one[0].sql, "SELECT 1")
        self.assertEqual(len(one[:1]), 1)

    def test_there_is_no_limit_to_what_is_counted(self):
        with Recording() as queries, connection.cursor() as cursor:
            for _ in range(10_000):
                cursor.execute("SELECT 1")
        self.assertEqual(len(queries), 10_000)

    def test_a_query_that_fails_counts(self):
        with Recording() as queries, self.assertRaises(DatabaseError), transaction.atomic():
            connection.cursor().execute("SELECT * FROM no_such_table")
        self.assertEqual([query.sql for query in queries], ["SELECT * FROM no_such_table"])

    def test_executemany_counts_once(self):
        with Recording() as queries, connection.cursor() as cursor:
            cursor.executemany("INSERT INTO shelf_tag (name) VALUES (%s)", [["a"], ["b"], ["c"]])
        self.assertEqual([query.many for query in queries], [True])

    def test_transaction_control_is_no_query(self):
        with Recording() as queries, transaction.atomic(), suppress(KeyError), transaction.atomic():
            with transaction.atomic():
                pass
            raise KeyError
        self.assertEqual(list(queries), [])

    def test_constraint_checks_that_are_put_off_are_no_query(self):
        with Recording() as queries, connection.constraint_checks_disabled():
            pass
        self.assertEqual(list(queries), [])

    def test_a_frozen_clock_does_not_stop_ours(self):
        with Recording() as queries, mock.patch.object(time, "perf_counter", return_value=0.0):
            list(Book.objects.all())
        self.assertGreater(queries[0].seconds, 0)

    def test_nothing_is_kept_while_nobody_records(self):
        class Parameters(list):
            """A list that weakref can follow."""

        with Recording():
            read()
        parameters = Parameters([7])
        kept = weakref.ref(parameters)
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s", parameters)
        del parameters, cursor
        gc.collect()
        self.assertIsNone(kept())


@override_settings(ROOT_URLCONF=__name__)
class ViewTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        Book.objects.bulk_create([Book(title="a"), Book(title="b")])

    def test_views_count(self):
        with Recording() as queries:
            self.client.get("/books/")
        self.assertEqual(len(queries), 1)
        self.assertEqual(queries[0].origin, origin_of("listed here", "list_books"))

    def test_threads_of_a_view_count(self):
        with Recording() as queries:
            self.client.get("/elsewhere/")
        self.assertEqual(len(queries), 1)

    def test_a_streamed_body_counts_when_it_is_read_in_the_block(self):
        with Recording() as queries:
            response = self.client.get("/stream/")
            self.assertEqual(len(queries), 0)
            self.assertEqual(b"".join(response.streaming_content), b"xxx")
        self.assertEqual(len(queries), 3)

    def test_the_number_is_the_same_on_every_database(self):
        with Recording() as queries:
            self.client.get("/change/")
        verbs = [query.sql.split()[0] for query in queries]
        self.assertEqual(verbs, ["SELECT", "UPDATE", "UPDATE", "INSERT"])

    async def test_async_views_count(self):
        with Recording() as queries:
            response = await self.async_client.get("/count/")
        self.assertEqual(response.content, b"4")
        self.assertEqual(len(queries), 4)

    def test_async_views_count_for_the_sync_client(self):
        with Recording() as queries:
            self.client.get("/count/")
        self.assertEqual(len(queries), 4)

    async def test_what_an_async_view_awaits_is_put_down_to_its_line(self):
        with Recording() as queries:
            await self.async_client.get("/count/")
        expected = [origin_of("awaited count", "count_books"), origin_of("awaited loop", "count_books")]
        self.assertEqual([query.origin for query in queries][:2], expected)

    def test_so_it_is_for_the_sync_client(self):
        with Recording() as queries:
            self.client.get("/count/")
        expected = [origin_of("awaited count", "count_books"), origin_of("awaited loop", "count_books")]
        self.assertEqual([query.origin for query in queries][:2], expected)


@override_settings(ROOT_URLCONF=__name__, STATIC_URL="/static/")
class LiveServerTests(LiveServerTestCase):
    def test_requests_to_a_live_server_count(self):
        Book.objects.create(title="a")
        with Recording() as queries, urllib.request.urlopen(f"{self.live_server_url}/books/") as response:
            self.assertEqual(response.read(), b"a")
        self.assertEqual(len(queries), 1)
        self.assertEqual(queries[0].origin, origin_of("listed here", "list_books"))


class RequestScopeTests(TestCase):
    async def test_concurrent_tasks_count_their_own(self):
        async def answer(number):
            rows = []
            with Scope(rows.append, is_request=True):
                for _ in range(number):
                    await sync_to_async(read)(number=number)
                    await asyncio.sleep(0)
            return [query_of(row).sql for row in rows]

        with Recording() as queries:
            answers = await asyncio.gather(*(answer(number) for number in (1, 2, 3)))
        self.assertEqual(answers, [["SELECT 1"], ["SELECT 2"] * 2, ["SELECT 3"] * 3])
        self.assertEqual(len(queries), 6)

    def test_a_thread_counts_for_the_only_request(self):
        rows = []
        with Scope(rows.append, is_request=True):
            read_in_thread()
        read_in_thread()
        self.assertEqual(len(rows), 1)

    def test_a_thread_counts_for_each_scope_of_the_only_request(self):
        outer, inner = [], []
        with Scope(outer.append, is_request=True), Scope(inner.append, is_request=True):
            read_in_thread()
        self.assertEqual((len(outer), len(inner)), (1, 1))

    async def test_a_thread_counts_for_no_request_while_there_are_two(self):
        """Nobody can tell whose it is; the recording around both counts it."""
        rows = {1: [], 2: []}
        both, read_by_thread = asyncio.Barrier(2), asyncio.Event()

        async def answer(number):
            with Scope(rows[number].append, is_request=True):
                await both.wait()
                if number == 2:
                    await sync_to_async(read_in_thread)()
                    read_by_thread.set()
                await read_by_thread.wait()

        with Recording() as queries:
            await asyncio.gather(answer(1), answer(2))
        self.assertEqual(rows, {1: [], 2: []})
        self.assertEqual(len(queries), 1)

    async def test_a_thread_counts_for_the_request_that_is_left(self):
        rows, entered, left = [], asyncio.Event(), asyncio.Event()

        async def answer_first():
            with Scope([].append, is_request=True):
                await entered.wait()
            left.set()

        async def answer_second():
            with Scope(rows.append, is_request=True):
                entered.set()
                await left.wait()
                await sync_to_async(read_in_thread)()

        await asyncio.gather(answer_first(), answer_second())
        self.assertEqual(len(rows), 1)

    async def test_a_task_that_goes_on_after_the_block_counts_no_more(self):
        async def go_on():
            await sync_to_async(read)()
            await ended.wait()
            await sync_to_async(read)()

        ended = asyncio.Event()
        with Recording() as queries:
            task = asyncio.create_task(go_on())
            while not queries:
                await asyncio.sleep(0.001)
        ended.set()
        await task
        self.assertEqual(len(queries), 1)


class OriginTests(TestCase):
    def assertOrigins(self, queries, mark):
        self.assertEqual([query.origin for query in queries], [origin_of(mark, self.id().removeprefix(f"{__name__}."))])

    def test_the_origin_is_the_line_that_asked(self):
        with Recording() as queries:
            Book.objects.count()  # asked here
        self.assertOrigins(queries, "asked here")

    def test_one_query_of_several_lines_by_turns_is_put_down_to_each(self):
        def deeper():
            return Book.objects.count()  # by turns, deeper

        with Recording() as queries:
            for _ in range(3):
                Book.objects.count()  # by turns, one
                Book.objects.count()  # by turns, other
                deeper()
        names = [self.id().removeprefix(f"{__name__}.")] * 2 + [deeper.__qualname__]
        marks = ["by turns, one", "by turns, other", "by turns, deeper"]
        expected = [origin_of(mark, name) for mark, name in zip(marks, names, strict=True)]
        self.assertEqual([query.origin for query in queries], expected * 3)

    def test_a_library_in_between_is_not_the_origin(self):
        with Recording() as queries:
            _ = Paginator(Book.objects.order_by("id"), 2).count  # by a library
        self.assertOrigins(queries, "by a library")

    def test_a_template_in_between_is_not_the_origin(self):
        template = Engine().from_string("{% for book in books %}{{ book.title }}{% endfor %}")
        with Recording() as queries:
            template.render(Context({"books": Book.objects.all()}))  # rendered here
        self.assertOrigins(queries, "rendered here")

    def test_a_template_file_has_the_line_that_asks(self):
        """Also behind a view, which has only handed the query set over, and of the template that is included."""
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "page.html").write_text("<h1>Books</h1>\n\n{% include 'rows.html' %}")
            Path(folder, "rows.html").write_text("<ul>\n{% for book in books %}{{ book.author.name }}{% endfor %}</ul>")
            author = Author.objects.create(name="a")
            Book.objects.create(title="b", author=author)
            with (
                override_settings(
                    ROOT_URLCONF=__name__,
                    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [folder]}],
                ),
                Recording() as queries,
            ):
                self.client.get("/page/")
            expected = f"{Path(folder, 'rows.html')}:2"
            self.assertEqual([query.origin for query in queries], [expected, expected])

    def test_what_makes_a_request_asks_for_none_of_its_queries(self):
        """Behind a view of a library there is no line of the user's but that of the test, which would say nothing."""
        with override_settings(ROOT_URLCONF=__name__), Recording() as queries:
            self.client.get("/generic/")
        self.assertIn("django/", queries[0].path)
        self.assertNotIn("core/handlers", queries[0].path)

    def test_a_thread_has_its_own_line(self):
        def ask():
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")  # in a thread
            close()

        with Recording() as queries:
            read_in_thread(ask)
        self.assertEqual([query.origin for query in queries], [origin_of("in a thread", ask.__qualname__)])

    async def test_a_task_has_its_own_line(self):
        async def ask():
            await Book.objects.acount()  # in a task

        with Recording() as queries:
            await asyncio.gather(ask(), ask())
        self.assertEqual({query.origin for query in queries}, {origin_of("in a task", ask.__qualname__)})

    def test_without_a_line_of_the_users_the_origin_is_a_librarys(self):
        with Recording() as queries, connection.cursor() as cursor:
            read_in_thread(partial(cursor.execute, "SELECT 1"))
        self.assertEqual(Path(queries[0].path).name, "threading.py")


class OpeningTests(SimpleTestCase):
    """A connection of its own for each test, which can be closed: that of an SQLite in memory cannot."""

    databases = {"default"}

    def setUp(self):
        self.fresh = connection.copy()
        if connection.vendor == "sqlite":
            self.fresh.settings_dict["NAME"] = self.enterContext(tempfile.TemporaryDirectory()) + "/db.sqlite3"
        self.addCleanup(self.fresh.close)

    def read(self, number=1):
        with self.fresh.cursor() as cursor:
            cursor.execute(f"SELECT {number}")

    def test_what_opens_a_connection_is_no_query_however_often(self):
        with Recording() as queries:
            for _ in range(3):
                self.read()
                self.fresh.close()
        self.assertEqual([query.sql for query in queries], ["SELECT 1"] * 3)

    def test_what_a_receiver_sends_when_a_connection_opens_is_no_query(self):
        """Neither of one that was connected before ours nor of one that was after it."""

        def prepare(connection, **kwargs):
            with connection.cursor() as cursor:
                cursor.execute("SELECT 7")

        with ExitStack() as stack:
            receivers = connection_created.receivers
            connection_created.connect(prepare)
            stack.callback(connection_created.disconnect, prepare)
            for first in (False, True):
                if first:
                    receivers.insert(0, receivers.pop())
                with Recording() as queries:
                    for _ in range(3):
                        self.read()
                        self.fresh.close()
                self.assertEqual([query.sql for query in queries], ["SELECT 1"] * 3)

    def test_a_connection_that_opens_in_anothers_execute_wrapper_block_stays_recorded(self):
        def count(execute, *arguments):
            seen.append(1)
            return execute(*arguments)

        seen = []
        with Recording() as queries:
            with self.fresh.execute_wrapper(count):
                self.read()
            self.read(2)
        self.assertEqual([query.sql for query in queries], ["SELECT 1", "SELECT 2"])
        self.assertEqual(self.fresh.execute_wrappers.count(count), 0)

    @skipUnless(connection.vendor == "postgresql", "it is psycopg that composes")
    def test_composed_sql_is_text_even_when_the_connection_is_closed(self):
        from psycopg import sql

        with Recording() as queries, self.fresh.cursor() as cursor:
            cursor.execute(sql.SQL("SELECT {} AS {}").format(sql.Literal("it's"), sql.Identifier("na me")))
        for close in (str, self.fresh.connection.close, self.fresh.close):
            close()
            self.assertEqual([query.sql for query in queries], ["""SELECT 'it''s' AS "na me\""""])
        self.assertIn('AS "na me"', queries[0].fingerprint)

    def test_a_connection_opened_before_the_first_recording_counts_once(self):
        self.read()
        with Recording() as queries:
            self.read()
            self.fresh.close()
            self.read()
        self.assertEqual(len(queries), 2)


class CommittingTests(TransactionTestCase):
    def test_a_real_transaction_counts_what_it_asks(self):
        with Recording() as queries:
            with transaction.atomic():
                Book.objects.create(title="a")
            with self.assertRaises(KeyError), transaction.atomic():
                Book.objects.update(pages=2)
                raise KeyError
        self.assertEqual([query.sql.split()[0] for query in queries], ["INSERT", "UPDATE"])
