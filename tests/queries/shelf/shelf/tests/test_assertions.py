"""What each assertion takes for right and wrong, and what its failure says."""

import pickle
from pathlib import Path

from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection, connections, transaction
from django.http import HttpResponse
from django.test import LiveServerTestCase, SimpleTestCase, TestCase, TransactionTestCase, override_settings
from django.urls import path
from django.utils.connection import ConnectionDoesNotExist

from shelf.models import Author, Book, Review
from testkit.queries.assertions import (
    QueryAssertionsMixin,
    assert_constant_num_queries,
    assert_max_num_queries,
    assert_no_duplicate_queries,
    assert_num_queries,
)
from testkit.queries.recorder import Recording


def read(alias="default"):
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT 1")


def list_slowly(request=None):
    names = [book.author.name for book in Book.objects.order_by("id")]
    return HttpResponse(" ".join(names))


def list_quickly(request=None):
    names = [book.author.name for book in Book.objects.select_related("author").order_by("id")]
    return HttpResponse(" ".join(names))


def list_with_prefetch():
    return [list(author.books.all()) for author in Author.objects.prefetch_related("books")]


def make_books(number):
    for _ in range(number):
        Book.objects.create(title="t", author=Author.objects.create(name="n"))


urlpatterns = [path("slow/", list_slowly), path("quick/", list_quickly)]


def line_of(text):
    """The place of the only line of this file that begins with this text."""
    lines = Path(__file__).read_text().splitlines()
    (number,) = (number for number, line in enumerate(lines, 1) if line.strip().startswith(text))
    return f"shelf/tests/test_assertions.py:{number}"


class MessageCase(QueryAssertionsMixin, TestCase):
    databases = {"default", "other"}

    def assertFails(self, *parts):
        return FailureSays(self, parts)


class FailureSays:
    """A block that fails, by an error of one string that says all of this, in this order."""

    def __init__(self, case, parts):
        self.case, self.parts = case, parts

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        self.case.assertIs(kind, AssertionError, "the block should fail")
        self.case.assertEqual(str(pickle.loads(pickle.dumps(error))), str(error))
        (self.text,) = error.args
        rest = self.text
        for part in self.parts:
            self.case.assertIn(part, rest, self.text)
            rest = rest[rest.index(part) :]
        return True


class NumberTests(MessageCase):
    def test_the_right_number_passes_and_gives_the_recording(self):
        with self.assertNumQueries(2) as queries:
            read()
            read()
        self.assertIsInstance(queries, Recording)
        self.assertEqual([query.sql for query in queries], ["SELECT 1", "SELECT 1"])

    def test_it_calls_a_function_with_its_arguments(self):
        def ask(*args, **kwargs):
            given.append((args, kwargs))
            read()

        given = []
        self.assertNumQueries(1, ask, 1, 2, key=3)
        self.assertMaxNumQueries(1, ask, 1, 2, key=3)
        self.assertNoDuplicateQueries(ask, 1, 2, key=3)
        self.assertEqual(given, [((1, 2), {"key": 3})] * 3)

    def test_a_failure_names_numbers_queries_and_lines(self):
        with (
            self.assertFails(
                "Expected 1 query on default, but 3 queries ran:\n", "FROM", line_of("list(Author.objects.all())")
            ) as failure,
            self.assertNumQueries(1),
        ):
            list(Author.objects.all())
            Author.objects.count()
            Author.objects.count()
        self.assertIn("COUNT(*)", failure.text)

    def test_too_few_are_wrong_as_well(self):
        with self.assertFails("Expected 2 queries on default, but 1 query ran:\n", "SELECT 1"):
            self.assertNumQueries(2, read)

    def test_none_at_all_needs_no_list(self):
        with self.assertFails() as failure:
            self.assertNumQueries(1, str)
        self.assertEqual(failure.text, "Expected 1 query on default, but 0 queries ran.")

    def test_the_default_database_is_meant_as_in_djangos(self):
        with self.assertNumQueries(1), self.assertNumQueries(2, using="other"), self.assertNumQueries(3, using=None):
            read()
            read("other")
            read("other")
        with self.assertNumQueries(3, using=["default", "other"]):
            read()
            read("other")
            read("other")
        with self.assertFails("Expected 0 queries on default and other, but 1 query ran"):
            self.assertNumQueries(0, read, "other", using=["other", "default"])

    def test_an_alias_that_is_none_is_an_error(self):
        with self.assertRaises(ConnectionDoesNotExist):
            self.assertMaxNumQueries(1, using="othr")

    def test_transaction_control_does_not_count(self):
        with self.assertNumQueries(1), transaction.atomic(), transaction.atomic():
            read()

    def test_an_exception_in_the_block_goes_through(self):
        for block in (
            self.assertNumQueries(5),
            self.assertMaxNumQueries(0),
            self.assertNoDuplicateQueries(at_least=1),
            self.assertNumQueriesSnapshot(),
        ):
            with self.subTest(block=block), self.assertRaises(KeyError), block:
                read()
                raise KeyError

    def test_at_most_is_at_most(self):
        self.assertMaxNumQueries(2, read)
        self.assertMaxNumQueries(1, read)
        with self.assertFails("Expected at most 0 queries, but 1 query ran:\n", "SELECT 1", line_of("cursor.execute")):
            self.assertMaxNumQueries(0, read)

    def test_at_most_counts_all_databases_by_default(self):
        with self.assertFails("Expected at most 1 query, but 2 queries ran"), self.assertMaxNumQueries(1):
            read()
            read("other")
        with self.assertMaxNumQueries(1, using="other"):
            read()
            read("other")

    def test_the_failure_of_a_view_names_the_views_line(self):
        make_books(2)
        with override_settings(ROOT_URLCONF=__name__):
            with self.assertFails(
                "Expected 1 query on default, but 3 queries ran",
                line_of("names = [book.author.name for book in Book.objects.order_by"),
            ):
                self.assertNumQueries(1, self.client.get, "/slow/")
            self.assertNumQueries(1, self.client.get, "/quick/")

    async def test_it_works_in_async_tests(self):
        with self.assertNumQueries(1):
            await Book.objects.acount()
        with (
            self.assertFails("Expected 1 query on default, but 2 queries ran", line_of("await Book.objects.aexists()")),
            self.assertNumQueries(1),
        ):
            await Book.objects.aexists()
            await Book.objects.acount()
        await sync_to_async(self.assertNumQueries)(1, async_to_sync(Book.objects.all().acount))

    async def test_a_coroutine_function_is_refused_rather_than_not_run(self):
        with self.assertRaisesRegex(TypeError, "asynchronous, and has not run: await it in a with block"):
            self.assertNumQueries(0, Book.objects.acount)

    def test_tracebacks_end_at_the_line_of_the_test(self):
        result = self.defaultTestResult()

        class Failing(QueryAssertionsMixin, SimpleTestCase):
            def test(self):
                self.assertNumQueries(1, str)

        Failing("test").run(result)
        ((_, text),) = result.failures
        self.assertIn("self.assertNumQueries(1, str)", text)
        self.assertNotIn("assertions.py", text.replace("test_assertions.py", ""))


class DuplicateTests(MessageCase):
    def test_three_times_from_one_line_is_wrong(self):
        make_books(3)
        with self.assertFails(
            "Expected no line to ask for the same query 3 times or more, but 1 query was repeated (3 times); 4 queries ran:\n",
            "shelf_author",
            line_of("names = [book.author.name for book in Book.objects.order_by"),
        ):
            self.assertNoDuplicateQueries(list_slowly)
        self.assertNoDuplicateQueries(list_quickly)
        self.assertNoDuplicateQueries(list_slowly, at_least=4)

    def test_two_are_wrong_if_two_are_meant(self):
        make_books(2)
        self.assertNoDuplicateQueries(list_slowly)
        with self.assertFails("2 times or more, but 1 query was repeated (2 times)"):
            self.assertNoDuplicateQueries(list_slowly, at_least=2)

    def test_several_lines_are_not_a_loop(self):
        with self.assertNoDuplicateQueries():
            Book.objects.count()
            Book.objects.count()
            Book.objects.count()

    def test_writes_count_on_request(self):
        self.assertNoDuplicateQueries(make_books, 3)
        with self.assertFails("but 2 queries were repeated (3 times, 3 times)", "INSERT INTO"):
            self.assertNoDuplicateQueries(make_books, 3, writes=True)

    def test_it_can_look_at_one_database(self):
        make_books(3)
        self.assertNoDuplicateQueries(list_slowly, using="other")


class ConstantTests(MessageCase):
    def test_a_query_in_a_loop_is_found(self):
        with self.assertFails(
            "Expected the number of queries not to grow with the rows, "
            "but it was 3 after populate(2), 6 after populate(3).\n",
            "from 2 to 5: SELECT",
            "shelf_author",
            "5 × " + line_of("names = [book.author.name for book in Book.objects.order_by"),
            "What did not grow:\n",
            "shelf_book",
        ) as failure:
            self.assertConstantNumQueries(make_books, list_slowly)
        self.assertNotIn("from 1 to 1", failure.text)
        self.assertEqual(
            failure.text.count("shelf_author"), failure.text.partition("What did not")[0].count("shelf_author")
        )

    def test_the_failure_names_the_remedy(self):
        with self.assertFails("What grew", "select_related", "What did not grow:\n"):
            self.assertConstantNumQueries(make_books, list_slowly)

    def test_what_is_constant_passes(self):
        for func in (list_quickly, list_with_prefetch):
            with self.subTest(func=func):
                self.assertConstantNumQueries(make_books, func)

    def test_populate_may_make_the_state_for_n_rows(self):
        def make_state(number):
            Book.objects.all().delete()
            make_books(number)

        self.assertConstantNumQueries(make_state, list_quickly)
        with self.assertFails("it was 3 after populate(2), 4 after populate(3)"):
            self.assertConstantNumQueries(make_state, list_slowly)

    def test_a_scale_factor_of_0_is_refused_with_the_reason(self):
        with self.assertRaisesRegex(ValueError, r"scale_factors=\(0, 2\): .*prefetch_related\(\) sends no query"):
            self.assertConstantNumQueries(make_books, list_with_prefetch, scale_factors=(0, 2))

    def test_scale_factors_must_be_able_to_show_growth(self):
        for factors in ((), (2,), (3, 2), (2, 2)):
            with self.subTest(factors=factors), self.assertRaisesRegex(ValueError, "two or more, each greater"):
                self.assertConstantNumQueries(make_books, list_quickly, scale_factors=factors)

    def test_each_scale_is_measured(self):
        calls = []
        with self.assertFails("3 after populate(1), 5 after populate(2), 9 after populate(4)"):
            self.assertConstantNumQueries(
                lambda number: (calls.append(number), make_books(number)),
                lambda: (list_slowly(), list_quickly()),
                scale_factors=(1, 2, 4),
            )
        self.assertEqual(calls, [1, 2, 4])

    def test_the_warm_up_fills_caches(self):
        """What is read once for good looks like fewer queries later, and would hide growth; so it is read before."""

        def list_cached():
            if not cache:
                read()
                read()
                read()
                cache.append(True)
            list_slowly()

        cache = []
        self.assertConstantNumQueries(make_books, list_cached, warmup=False)
        cache.clear()
        with self.assertFails("it was 8 after populate(2), 11 after populate(3)"):
            self.assertConstantNumQueries(make_books, list_cached)

    def test_a_tolerance_is_how_many_more_there_may_be(self):
        def read_in_chunks():
            list(Author.objects.prefetch_related("books").iterator(chunk_size=2))

        self.assertConstantNumQueries(make_books, read_in_chunks, tolerance=2)
        Author.objects.all().delete()
        with self.assertFails(
            "not to grow with the rows (tolerance 1), but it was 2 after populate(2), 4 after populate(3)"
        ):
            self.assertConstantNumQueries(make_books, read_in_chunks, tolerance=1)

    def test_no_query_at_all_measures_nothing(self):
        with self.assertFails("none ran: does func read its results"):
            self.assertConstantNumQueries(make_books, Book.objects.all)

    def test_an_error_of_func_goes_through(self):
        with self.assertRaises(ZeroDivisionError):
            self.assertConstantNumQueries(make_books, lambda: 1 / 0)

    def test_it_can_look_at_one_database(self):
        self.assertConstantNumQueries(make_books, lambda: (list_slowly(), read("other")), using="other")

    async def test_async_functions_are_given_as_sync_ones(self):
        async def list_with_await():
            return [author async for author in Author.objects.all()]

        assert_constant = sync_to_async(self.assertConstantNumQueries)
        await assert_constant(make_books, async_to_sync(list_with_await))
        with self.assertRaisesRegex(TypeError, "is asynchronous"):
            await assert_constant(make_books, list_with_await)


class IndexTests(MessageCase):
    def test_a_query_by_primary_key_is_served_and_one_by_note_is_not(self):
        make_books(2)
        self.assertUsesIndex(Book.objects.filter(pk=1))
        with self.assertRaises(AssertionError):
            self.assertUsesIndex(Book.objects.filter(note="x"))
        with self.assertRaises(AssertionError):
            self.assertUsesIndex(Book.objects.filter(pk=1), "no_such_index", "default")


class FunctionTests(TestCase):
    """The same without a test case."""

    def test_functions_are_context_managers_and_callers(self):
        with assert_num_queries(1) as queries:
            read()
        self.assertEqual(len(queries), 1)
        self.assertEqual(len(assert_max_num_queries(1, read)), 1)
        self.assertEqual(len(assert_no_duplicate_queries(read)), 1)
        assert_constant_num_queries(make_books, list_quickly)

    def test_functions_fail(self):
        for wrong in (
            lambda: assert_num_queries(0, read),
            lambda: assert_max_num_queries(0, read),
            lambda: assert_no_duplicate_queries(read, at_least=1),
            lambda: assert_constant_num_queries(make_books, list_slowly),
        ):
            with self.assertRaises(AssertionError):
                wrong()


class SimpleTests(QueryAssertionsMixin, SimpleTestCase):
    databases = {"default"}

    def test_the_mixin_serves_simple_test_cases(self):
        self.assertNumQueries(1, read)


class CommittingTests(QueryAssertionsMixin, TransactionTestCase):
    def test_the_mixin_serves_transaction_test_cases(self):
        with self.assertNumQueries(1), transaction.atomic():
            Review.objects.count()
        self.assertFalse(connection.in_atomic_block)
        self.assertConstantNumQueries(make_books, list_quickly)


@override_settings(ROOT_URLCONF=__name__, STATIC_URL="/static/")
class LiveTests(QueryAssertionsMixin, LiveServerTestCase):
    def test_growth_is_found_through_a_live_server(self):
        from urllib.request import urlopen

        def get(name):
            with urlopen(f"{self.live_server_url}/{name}/") as response:
                response.read()

        self.assertConstantNumQueries(make_books, lambda: get("quick"))
        with self.assertRaisesRegex(AssertionError, "not to grow"):
            self.assertConstantNumQueries(make_books, lambda: get("slow"))
