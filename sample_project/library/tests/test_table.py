"""The catalogue's endpoint, asked as DataTables asks."""

from django.test import SimpleTestCase, TestCase
from django.urls import reverse

from library.models import Genre
from library.params import ParameterError
from library.table import MAX_LENGTH, TableRequest
from library.tests.factories import make_author, make_book, make_loan, make_reader

COLUMNS = ("title", "authors", "genre", "year", "language", "pages", "available")


def asking(**changes):
    """Return the query of a first page, with some parameters changed."""
    query = {"draw": "1", "start": "0", "length": "10", "search[value]": ""}
    query.update({f"columns[{index}][data]": name for index, name in enumerate(COLUMNS)})
    query.update({"order[0][column]": "0", "order[0][dir]": "asc"})
    return {**query, **changes}


class TableRequestTests(SimpleTestCase):
    def test_the_length_is_capped(self):
        for asked, given in (("25", 25), ("100", 100), ("5000", MAX_LENGTH), ("-1", MAX_LENGTH)):
            with self.subTest(length=asked):
                self.assertEqual(TableRequest.parse(asking(length=asked)).length, given)

    def test_the_column_is_the_one_the_request_names_at_that_place(self):
        query = asking(**{"order[0][column]": "2", "columns[2][data]": "pages"})
        self.assertEqual(TableRequest.parse(query).order_by, "page_count")

    def test_bad_parameters_are_refused(self):
        cases = [
            {"draw": ""},
            {"draw": "<script>"},
            {"draw": "-1"},
            {"start": "-10"},
            {"length": "0"},
            {"length": "ten"},
            {"order[0][column]": "99"},
            {"order[0][column]": "-1"},
            {"columns[0][data]": "borrower__password"},
            {"order[0][dir]": "sideways"},
            {"search[value]": "x" * 101},
        ]
        for changes in cases:
            with self.subTest(**changes), self.assertRaises(ParameterError):
                TableRequest.parse(asking(**changes))


class TableEndpointTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        austen, hugo = make_author("Jane Austen"), make_author("Victor Hugo")
        cls.emma = make_book("Emma", authors=(austen,), published_year=1815, copies=2)
        make_book("Les Misérables", authors=(hugo,), published_year=1862, page_count=1664, language="fr", copies=1)
        make_book("The Contemplations", authors=(hugo,), published_year=1856, genre=Genre.POETRY)

    def ask(self, **changes):
        response = self.client.get(reverse("library:catalogue-data"), asking(**changes))
        self.assertEqual(response.status_code, 200)
        return response.json()

    def titles(self, **changes):
        return [row["title"] for row in self.ask(**changes)["data"]]

    def test_a_row_has_what_the_table_shows(self):
        make_loan(make_reader(), self.emma.copies.first())
        row = next(row for row in self.ask()["data"] if row["title"] == "Emma")
        expected = {
            "title": "Emma",
            "url": self.emma.get_absolute_url(),
            "authors": "Jane Austen",
            "genre": "Novel",
            "year": 1815,
            "language": "English",
            "language_code": "en",
            "pages": 474,
            "available": 1,
            "copies": 2,
        }
        self.assertEqual(row, expected)

    def test_each_column_orders_the_rows_both_ways(self):
        for index, name in enumerate(COLUMNS):
            with self.subTest(column=name):
                ascending = self.titles(**{"order[0][column]": str(index)})
                descending = self.titles(**{"order[0][column]": str(index), "order[0][dir]": "desc"})
                self.assertCountEqual(ascending, descending)
                self.assertNotEqual(ascending, descending)

    def test_the_search_narrows_the_rows_and_keeps_the_total(self):
        answer = self.ask(draw="7", **{"search[value]": "hugo"})
        self.assertEqual((answer["recordsTotal"], answer["recordsFiltered"]), (3, 2))
        self.assertEqual(answer["draw"], 7)

    def test_pages_follow_one_another_in_the_order_of_the_titles(self):
        pages = [self.titles(start=str(start), length="2") for start in (0, 2, 4)]
        self.assertEqual([len(page) for page in pages], [2, 1, 0])
        self.assertEqual(pages[0] + pages[1], ["The Contemplations", "Emma", "Les Misérables"])

    def test_bad_input_is_answered_with_status_400_and_a_reason(self):
        response = self.client.get(reverse("library:catalogue-data"), asking(length="lots"))
        self.assertEqual(response.status_code, 400)
        self.assertEqual(response.json(), {"error": "length must be a whole number."})

    def test_the_number_of_queries_does_not_grow_with_the_rows(self):
        """One each for the total, the filtered total, the rows and their authors."""
        with self.assertNumQueries(4):
            self.ask(**{"search[value]": "e"})
