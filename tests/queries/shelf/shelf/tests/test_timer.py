"""A timed view writes what it took, whatever kind of view it is."""

import asyncio
import re

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.core.cache import cache
from django.db import connection
from django.http import HttpResponse
from django.template import engines
from django.template.response import TemplateResponse
from django.test import RequestFactory, TestCase, override_settings
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import cache_page
from django.views.generic import ListView

from shelf.models import Author
from testkit.queries.timer import view_timer

written: list[str] = []


def read(times):
    with connection.cursor() as cursor:
        for number in range(times):
            cursor.execute(f"SELECT {number}")


@view_timer
def ask(request, times):
    """Ask the database."""
    read(times)
    return HttpResponse(str(times))


@view_timer(prefix="slow: ", writer=written.append)
async def ask_async(request, times):
    for _ in range(times):
        await sync_to_async(read)(1)
        await asyncio.sleep(0.002)
    return HttpResponse(str(times))


@view_timer(writer=written.append)
def fail(request):
    read(2)
    raise RuntimeError("the view is broken")


@method_decorator(view_timer(writer=written.append), name="dispatch")
class Ask(View):
    def get(self, request, times):
        read(times)
        return HttpResponse(str(times))


class AskAsync(View):
    async def get(self, request, times):
        await sync_to_async(read)(times)
        return HttpResponse(str(times))


@method_decorator(view_timer(writer=written.append), name="dispatch")
class AskAsyncTimed(AskAsync):
    pass


class Authors(ListView):
    model = Author

    def render_to_response(self, context):
        template = engines["django"].from_string("{% for author in object_list %}{{ author.name }}{% endfor %}")
        return TemplateResponse(self.request, template, context)


urlpatterns = [
    path("ask/<int:times>/", ask),
    path("async/<int:times>/", ask_async),
    path("fail/", fail),
    path("class/<int:times>/", Ask.as_view()),
    path("class-async/<int:times>/", AskAsyncTimed.as_view()),
    path("as-view/<int:times>/", view_timer(writer=written.append)(AskAsync.as_view())),
    path("authors/", cache_page(60)(view_timer(writer=written.append)(Authors.as_view()))),
]


@override_settings(
    ROOT_URLCONF=__name__,
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
    CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
)
class TimerTests(TestCase):
    def setUp(self):
        written.clear()
        cache.clear()

    def assert_written(self, name, count, prefix=""):
        [text] = written
        self.assertRegex(
            text,
            rf"^{prefix}{re.escape(name)}: db_query_count={count}, db_query_time_ms=\d+\.\d{{3}}, duration_ms=\d+\.\d\d$",
        )

    def test_the_logger_gets_a_line_and_the_figures(self):
        with self.assertLogs("testkit.requests", "INFO") as logs:
            response = self.client.get("/ask/3/")
        self.assertEqual(response.content, b"3")
        [record] = logs.records
        self.assertRegex(record.getMessage(), r"^shelf\.tests\.test_timer\.ask: db_query_count=3, ")
        self.assertEqual(record.db_query_count, 3)
        self.assertGreater(record.duration_ms, record.db_query_time_ms)
        self.assertGreater(record.db_query_time_ms, 0)

    def test_a_writer_and_a_prefix_may_be_given(self):
        self.client.get("/async/2/")
        self.assert_written("shelf.tests.test_timer.ask_async", 2, prefix="slow: ")

    def test_a_view_stays_what_it_is(self):
        self.assertEqual((ask.__name__, ask.__doc__), ("ask", "Ask the database."))
        self.assertFalse(iscoroutinefunction(ask))
        self.assertTrue(iscoroutinefunction(ask_async))
        self.assertTrue(iscoroutinefunction(view_timer(AskAsync.as_view())))

    def test_a_view_that_raises_is_timed(self):
        with self.assertRaisesMessage(RuntimeError, "the view is broken"):
            self.client.get("/fail/")
        self.assert_written("shelf.tests.test_timer.fail", 2)

    def test_methods_of_classes_are_timed(self):
        self.client.get("/class/2/")
        self.assert_written("shelf.tests.test_timer.Ask.dispatch", 2)

    async def test_asynchronous_methods_are_timed_to_their_end(self):
        for url, name in {"/class-async/2/": "AskAsyncTimed.dispatch", "/as-view/2/": "AskAsync"}.items():
            with self.subTest(url):
                written.clear()
                await self.async_client.get(url)
                [text] = written
                self.assertIn(f"shelf.tests.test_timer.{name}: ", text)
                self.assertIn("db_query_count=2, ", text)

    async def test_concurrent_views_count_their_own(self):
        await asyncio.gather(*(self.async_client.get(f"/async/{times}/") for times in range(8)))
        counts = sorted(int(re.search(r"count=(\d+)", text)[1]) for text in written)
        self.assertEqual(counts, list(range(8)))

    def test_a_template_response_is_timed_until_it_is_rendered(self):
        """A list view asks for its objects in the template. The response can be pickled, as caches do."""
        Author.objects.create(name="Ann")
        for _ in range(2):
            self.assertEqual(self.client.get("/authors/").content, b"Ann")
        [text] = written
        self.assertIn("db_query_count=1, ", text)

    def test_timers_lie_within_each_other(self):
        inner, outer = [], []

        @view_timer(writer=outer.append)
        def view(request):
            read(1)
            return view_timer(writer=inner.append)(lambda request: ask(request, 2))(request)

        view(RequestFactory().get("/"))
        self.assertIn("db_query_count=2, ", inner[0])
        self.assertIn("db_query_count=3, ", outer[0])
