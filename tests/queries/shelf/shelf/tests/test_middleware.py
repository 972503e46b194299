"""Each request is one line of the log, with its own queries and no others, however it is answered."""

import asyncio
import logging
import threading
from contextlib import contextmanager
from functools import partial
from unittest import mock

from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.http import HttpResponse, StreamingHttpResponse
from django.test import AsyncClient, Client, RequestFactory, SimpleTestCase, TestCase, override_settings
from django.urls import path

from shelf.models import Author, Book
from testkit.queries.middleware import RequestLogMiddleware


def read(times):
    try:
        with connection.cursor() as cursor:
            for number in range(times):
                cursor.execute(f"SELECT {number}")
    finally:
        if threading.current_thread() is not threading.main_thread():
            # The connection is that of the request. An SQLite in memory is left open by its own close().
            BaseDatabaseWrapper.close(connection)


def ask(request, times):
    read(times)
    return HttpResponse("a body")


def ask_in_thread(request, times):
    thread = threading.Thread(target=read, args=(times,))
    thread.start()
    thread.join()
    return HttpResponse()


async def ask_slowly(request, times):
    """Ask for one thing after the other, so that concurrent requests mingle."""
    for _ in range(times):
        await sync_to_async(read)(1)
        await asyncio.sleep(0.002)
    return HttpResponse("a body")


def stream(request, times):
    read(1)

    def parts():
        for _ in range(times):
            read(1)
            yield b"part"

    return StreamingHttpResponse(parts())


async def stream_async(request, times):
    async def parts():
        for _ in range(times):
            await sync_to_async(read)(1)
            await asyncio.sleep(0.002)
            yield b"part"

    await sync_to_async(read)(1)
    return StreamingHttpResponse(parts())


async def stream_for_ever(request):
    async def parts():
        yield b"part"
        await asyncio.sleep(3600)

    return StreamingHttpResponse(parts())


def stream_and_raise(request):
    def parts():
        read(1)
        yield b"part"
        raise OSError("the disk is full")

    return StreamingHttpResponse(parts())


def fail(request):
    read(2)
    raise RuntimeError("the view is broken")


def list_books(request):
    return HttpResponse(" ".join(book.author.name for book in Book.objects.all()))


def answer_with_timing(request):
    return HttpResponse(headers={"Server-Timing": "cache;dur=1"})


urlpatterns = [
    path("ask/<int:times>/", ask),
    path("thread/<int:times>/", ask_in_thread),
    path("slowly/<int:times>/", ask_slowly),
    path("stream/<int:times>/", stream),
    path("stream-async/<int:times>/", stream_async),
    path("for-ever/", stream_for_ever),
    path("broken/", stream_and_raise),
    path("fail/", fail),
    path("books/", list_books),
    path("timing/", answer_with_timing),
]

LOGGER = "testkit.requests"
MIDDLEWARE = "testkit.queries.middleware.RequestLogMiddleware"
with_middleware = override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=[MIDDLEWARE])


@with_middleware
class LineTests(TestCase):
    def log(self, level="INFO"):
        return self.assertLogs(LOGGER, level)

    def test_a_request_is_one_line(self):
        with self.log() as logs:
            self.client.get("/ask/3/?secret=1")
        [record] = logs.records
        self.assertRegex(
            record.getMessage(),
            r"^Received request GET /ask/3/, status 200, db_query_count=3, "
            r"db_query_time_ms=\d+\.\d{3}, duration_ms=\d+\.\d\d$",
        )
        self.assertEqual(record.levelname, "INFO")

    def test_the_figures_are_attributes_of_the_record(self):
        with self.log() as logs:
            self.client.post("/ask/3/?secret=1")
        [record] = logs.records
        self.assertEqual(
            (record.method, record.path, record.route, record.status_code, record.db_query_count),
            ("POST", "/ask/3/", "ask/<int:times>/", 200, 3),
        )
        self.assertGreater(record.db_query_time_ms, 0)
        self.assertGreater(record.duration_ms, record.db_query_time_ms)

    def test_each_request_counts_from_nought(self):
        with self.log() as logs:
            for times in (3, 0, 2):
                self.client.get(f"/ask/{times}/")
        self.assertEqual([record.db_query_count for record in logs.records], [3, 0, 2])

    def test_threads_of_the_view_count(self):
        with self.log() as logs:
            self.client.get("/thread/2/")
        self.assertEqual(logs.records[0].db_query_count, 2)

    def test_a_page_that_is_not_there_has_no_route(self):
        with self.log() as logs:
            self.client.get("/nowhere/")
        self.assertEqual((logs.records[0].status_code, logs.records[0].route), (404, ""))

    def test_a_request_cannot_forge_the_log(self):
        """Neither a line, nor colours of a terminal, nor a field: the path is one word."""
        with self.log() as logs:
            self.client.get("/a%0AReceived%20request%1B[31m, status 200, db_query_count=0\u2028/b%C3%BC/")
        [record] = logs.records
        expected = "/a%0AReceived%20request%1B[31m,%20status%20200,%20db_query_count=0%E2%80%A8/bü/"
        self.assertEqual(record.path, expected)
        self.assertTrue(record.getMessage().startswith(f"Received request GET {expected}, status 404, "))

    def test_a_view_that_raises_is_logged(self):
        client = Client(raise_request_exception=False)
        with self.log() as logs, self.assertLogs("django.request"):
            client.get("/fail/")
        self.assertEqual((logs.records[0].status_code, logs.records[0].db_query_count), (500, 2))

    async def test_an_async_view_that_raises_is_logged(self):
        client = AsyncClient(raise_request_exception=False)
        with self.log() as logs, self.assertLogs("django.request"):
            await client.get("/fail/")
        self.assertEqual((logs.records[0].status_code, logs.records[0].db_query_count), (500, 2))

    def test_what_ends_a_process_is_logged(self):
        """What no handler of Django makes a response of goes on, and has left its line."""

        def answer(request):
            read(1)
            raise KeyboardInterrupt

        with self.log() as logs, self.assertRaises(KeyboardInterrupt):
            RequestLogMiddleware(answer)(RequestFactory().get("/x/"))
        self.assertIn("GET /x/, no response (KeyboardInterrupt), db_query_count=1, ", logs.output[0])
        self.assertIsNone(logs.records[0].status_code)


@contextmanager
def keeping_connections():
    """Let the test's connections be open when a response is closed, as the test client does for its own."""
    request_started.disconnect(close_old_connections)
    request_finished.disconnect(close_old_connections)
    try:
        yield
    finally:
        request_started.connect(close_old_connections)
        request_finished.connect(close_old_connections)


@with_middleware
class StreamingTests(TestCase):
    def test_a_body_counts_to_its_end(self):
        with self.assertLogs(LOGGER) as logs:
            response = self.client.get("/stream/3/")
            self.assertEqual(logs.records, [])
            # What runs in between, in the same thread, is not of the request.
            for part in response.streaming_content:
                self.assertEqual(part, b"part")
                read(1)
        self.assertEqual([record.db_query_count for record in logs.records], [4])

    def test_a_body_that_is_closed_early_is_logged_then(self):
        with self.assertLogs(LOGGER) as logs, keeping_connections():
            response = RequestLogMiddleware(partial(stream, times=3))(RequestFactory().get("/x/"))
            next(iter(response))
            self.assertEqual(logs.records, [])
            response.close()
        self.assertEqual([record.db_query_count for record in logs.records], [2])

    def test_a_body_that_is_not_read_is_logged(self):
        """As of HEAD: the server takes the headers alone, and closes the response."""
        with self.assertLogs(LOGGER) as logs:
            self.assertEqual(list(self.client.head("/stream/3/").streaming_content), [])
        self.assertEqual([record.db_query_count for record in logs.records], [1])

    def test_a_body_that_breaks_off_is_logged(self):
        with self.assertLogs(LOGGER) as logs, self.assertRaisesMessage(OSError, "the disk is full"):
            list(self.client.get("/broken/").streaming_content)
        self.assertEqual(len(logs.records), 1)
        self.assertIn("/broken/, status 200 broken off (OSError), db_query_count=1", logs.output[0])

    async def test_an_async_body_counts_to_its_end(self):
        with self.assertLogs(LOGGER) as logs:
            response = await self.async_client.get("/stream-async/3/")
            self.assertEqual(logs.records, [])
            self.assertEqual([part async for part in response.streaming_content], [b"part"] * 3)
        self.assertEqual([record.db_query_count for record in logs.records], [4])

    def test_a_wsgi_server_gets_the_same_body(self):
        started = mock.Mock()
        with self.assertLogs(LOGGER) as logs, keeping_connections():
            response = WSGIHandler()(RequestFactory()._base_environ(PATH_INFO="/stream/3/"), started)
            self.assertEqual(b"".join(response), b"partpartpart")
            response.close()
        self.assertEqual([record.db_query_count for record in logs.records], [4])


async def request_asgi(handler, url, leave_after=None):
    """Ask a real ASGI application as a server does; return the body. The client leaves after so many parts."""
    asked, left, body = False, asyncio.Event(), []

    async def receive():
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        if message.get("body"):
            body.append(message["body"])
            if len(body) == leave_after:
                left.set()

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "path": url,
        "query_string": b"",
        "headers": [(b"host", b"testserver")],
    }
    await handler(scope, receive, send)
    return b"".join(body)


def serve(*urls, leave_after=None):
    """Ask for all of them at once, in an event loop like a server's; return the bodies."""

    async def ask_for_all():
        handler = ASGIHandler()
        return await asyncio.gather(*(request_asgi(handler, url, leave_after) for url in urls))

    return asyncio.run(asyncio.wait_for(ask_for_all(), 60))


@with_middleware
class AsgiTests(TestCase):
    def assert_own_queries(self, records, plus=0):
        """Each record counts what the number in its own path says."""
        for record in records:
            self.assertEqual(record.db_query_count, int(record.path.split("/")[2]) + plus, record.getMessage())

    async def test_concurrent_requests_count_their_own(self):
        with self.assertLogs(LOGGER) as logs:
            await asyncio.gather(*(self.async_client.get(f"/slowly/{times % 7}/") for times in range(30)))
        self.assertEqual(len(logs.records), 30)
        self.assert_own_queries(logs.records)

    def test_so_they_do_under_a_real_handler(self):
        """Views of both kinds at once: asynchronous ones in tasks, others each in a thread of its own."""
        urls = [f"/{name}/{times % 7}/" for name in ("slowly", "ask") for times in range(15)]
        with self.assertLogs(LOGGER) as logs:
            bodies = serve(*urls)
        self.assertEqual(set(bodies), {b"a body"})
        self.assertEqual(sorted(record.path for record in logs.records), sorted(urls))
        self.assert_own_queries(logs.records)

    def test_concurrent_streams_count_their_own(self):
        with self.assertLogs(LOGGER) as logs:
            bodies = serve(*(f"/stream-async/{times}/" for times in range(7)))
        self.assertEqual(bodies, [b"part" * times for times in range(7)])
        self.assertEqual(len(logs.records), 7)
        self.assert_own_queries(logs.records, plus=1)

    def test_a_synchronous_body_counts_there_too(self):
        """Django reads it in a thread, and warns that it is no asynchronous one."""
        with self.assertLogs(LOGGER) as logs, self.assertWarnsMessage(Warning, "must consume synchronous iterators"):
            bodies = serve("/stream/3/")
        self.assertEqual(bodies, [b"partpartpart"])
        self.assertEqual([record.db_query_count for record in logs.records], [4])

    def test_a_client_that_leaves_is_logged(self):
        with self.assertLogs(LOGGER) as logs:
            serve("/for-ever/", leave_after=1)
        self.assertEqual(len(logs.records), 1)
        self.assertIn("/for-ever/, status 200 broken off (CancelledError), db_query_count=0", logs.output[0])

    @override_settings(MIDDLEWARE=[MIDDLEWARE, f"{__name__}.plain_middleware"])
    def test_a_synchronous_middleware_in_between_does_no_harm(self):
        with self.assertLogs(LOGGER) as logs:
            bodies = serve(*(f"/slowly/{times}/" for times in range(5)))
        self.assertEqual(bodies, [b"a body"] * 5)
        self.assert_own_queries(logs.records)


def plain_middleware(get_response):
    return lambda request: get_response(request)


@with_middleware
class WarningTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        for name in ("Ann", "Ben", "Cid"):
            Book.objects.create(title=f"Of {name}", author=Author.objects.create(name=name))

    @override_settings(TESTKIT_REQUEST_LOG={"MAX_QUERIES": 3})
    def test_too_many_queries_are_a_warning_with_the_duplicates(self):
        with self.assertLogs(LOGGER) as logs:
            self.client.get("/books/")
        [record] = logs.records
        first, *rest = record.getMessage().splitlines()
        self.assertEqual(record.levelname, "WARNING")
        self.assertIn("GET /books/, status 200, db_query_count=4, ", first)
        self.assertTrue(first.endswith(": more than MAX_QUERIES = 3"), first)
        self.assertRegex(rest[0], r"^ *3 × SELECT .*shelf_author")
        self.assertRegex("\n".join(rest), r"shelf/tests/test_middleware\.py:\d+ in list_books")

    @override_settings(TESTKIT_REQUEST_LOG={"MAX_QUERIES": 4})
    def test_as_many_as_allowed_are_none(self):
        with self.assertLogs(LOGGER) as logs:
            self.client.get("/books/")
        self.assertEqual(logs.records[0].levelname, "INFO")

    @override_settings(TESTKIT_REQUEST_LOG={"MAX_QUERIES": 0})
    def test_without_duplicates_it_is_said(self):
        with self.assertLogs(LOGGER) as logs:
            self.client.get("/ask/1/")
        self.assertTrue(
            logs.output[0].endswith(": more than MAX_QUERIES = 0, no line of code asks for the same three times"),
            logs.output,
        )

    @override_settings(TESTKIT_REQUEST_LOG={"MAX_QUERIES": 3})
    def test_the_warning_comes_where_lines_of_level_info_do_not(self):
        logger = logging.getLogger(LOGGER)
        with self.assertLogs(LOGGER, "WARNING") as logs:
            self.client.get("/ask/3/")
            self.client.get("/ask/4/")
            self.assertFalse(logger.isEnabledFor(logging.INFO))
        self.assertEqual([record.path for record in logs.records], ["/ask/4/"])


@with_middleware
class ServerTimingTests(TestCase):
    def test_there_is_no_header_by_default(self):
        self.assertNotIn("Server-Timing", self.client.get("/ask/2/"))

    @override_settings(TESTKIT_REQUEST_LOG={"SERVER_TIMING": True})
    def test_the_header_has_the_times(self):
        header = self.client.get("/ask/2/")["Server-Timing"]
        self.assertRegex(header, r'^db;dur=\d+\.\d{3};desc="2 queries", total;dur=\d+\.\d\d$')

    @override_settings(TESTKIT_REQUEST_LOG={"SERVER_TIMING": True})
    async def test_async_responses_have_it(self):
        response = await self.async_client.get("/slowly/2/")
        self.assertIn('desc="2 queries"', response["Server-Timing"])

    @override_settings(TESTKIT_REQUEST_LOG={"SERVER_TIMING": True})
    def test_what_another_has_put_there_stays(self):
        self.assertTrue(self.client.get("/timing/")["Server-Timing"].startswith("cache;dur=1, db;dur="))


class SettingsTests(SimpleTestCase):
    def assert_refused(self, options, message):
        with override_settings(TESTKIT_REQUEST_LOG=options), self.assertRaisesMessage(ImproperlyConfigured, message):
            RequestLogMiddleware(lambda request: HttpResponse())

    def test_unknown_keys_are_refused_with_a_guess(self):
        self.assert_refused({"MAX_QUERY": 3}, "has an unknown key 'MAX_QUERY'. Did you mean 'MAX_QUERIES'?")
        self.assert_refused({"x": 3}, "has an unknown key 'x'. It may have 'SERVER_TIMING' and 'MAX_QUERIES'.")

    def test_values_of_another_kind_are_refused(self):
        self.assert_refused({"MAX_QUERIES": "3"}, "TESTKIT_REQUEST_LOG['MAX_QUERIES'] in the settings is '3'")
        self.assert_refused({"MAX_QUERIES": True}, "must be a number of queries from 0 on, or None")
        self.assert_refused({"MAX_QUERIES": -1}, "is -1")
        self.assert_refused(
            {"SERVER_TIMING": 1}, "TESTKIT_REQUEST_LOG['SERVER_TIMING'] in the settings is 1: it must be"
        )
        self.assert_refused(["MAX_QUERIES"], "it must be a dict")
