"""Loans and returns per bucket of time."""

import datetime

from django.test import SimpleTestCase, TestCase
from django.urls import reverse

from library.params import ParameterError
from library.statistics import Period, bucket_start, next_start
from library.tests.factories import TODAY, FixedTodayMixin, make_copy, make_loan, make_reader


def day(text):
    return datetime.date.fromisoformat(text)


class BucketTests(SimpleTestCase):
    def test_a_bucket_begins_on_its_first_day(self):
        cases = [("day", "2025-06-15"), ("week", "2025-06-09"), ("month", "2025-06-01")]
        for bucket, expected in cases:
            with self.subTest(bucket=bucket):
                self.assertEqual(bucket_start(day("2025-06-15"), bucket), day(expected))

    def test_the_next_bucket_crosses_the_ends_of_months_and_years(self):
        cases = [
            ("day", "2024-02-28", "2024-02-29"),
            ("week", "2024-12-30", "2025-01-06"),
            ("month", "2024-12-01", "2025-01-01"),
            ("month", "2025-02-01", "2025-03-01"),
        ]
        for bucket, start, expected in cases:
            with self.subTest(bucket=bucket, start=start):
                self.assertEqual(next_start(day(start), bucket), day(expected))

    def test_without_parameters_the_period_is_the_year_until_today_by_month(self):
        period = Period.parse({}, TODAY)
        self.assertEqual(period, Period("month", day("2024-06-16"), TODAY))

    def test_periods_that_cannot_be_answered_are_refused(self):
        cases = [
            {"bucket": "hour"},
            {"from": "2025-06-16", "to": "2025-06-15"},
            {"bucket": "day", "from": "2020-01-01"},
            {"from": "yesterday"},
        ]
        for params in cases:
            with self.subTest(**params), self.assertRaises(ParameterError):
                Period.parse(params, TODAY)


class StatisticsEndpointTests(FixedTodayMixin, TestCase):
    @classmethod
    def setUpTestData(cls):
        reader, copy = make_reader(), make_copy()
        for borrowed, returned in (
            ("2025-01-06", "2025-01-10"),
            ("2025-01-12", "2025-02-02"),
            ("2025-03-31", "2025-04-01"),
            ("2025-06-15", None),
        ):
            make_loan(reader, copy, borrowed_on=day(borrowed), returned_on=returned and day(returned))

    def ask(self, **query):
        return self.client.get(reverse("library:statistics-data"), query)

    def rows(self, **query):
        return [(row["start"], row["loans"], row["returns"]) for row in self.ask(**query).json()["rows"]]

    def test_months_without_loans_are_zero(self):
        rows = self.rows(bucket="month", **{"from": "2025-01-01", "to": "2025-04-30"})
        expected = [("2025-01-01", 2, 1), ("2025-02-01", 0, 1), ("2025-03-01", 1, 0), ("2025-04-01", 0, 1)]
        self.assertEqual(rows, expected)

    def test_a_bucket_holds_its_first_and_last_day_and_no_day_outside_the_period(self):
        cases = [
            ("week", "2025-01-06", "2025-01-19", [("2025-01-06", 2, 1), ("2025-01-13", 0, 0)]),
            ("month", "2025-01-11", "2025-01-31", [("2025-01-01", 1, 0)]),
            ("day", "2025-06-15", "2025-06-15", [("2025-06-15", 1, 0)]),
        ]
        for bucket, first, last, expected in cases:
            with self.subTest(bucket=bucket):
                self.assertEqual(self.rows(bucket=bucket, **{"from": first, "to": last}), expected)

    def test_two_queries_give_the_rows_until_today_and_their_sums(self):
        with self.assertNumQueries(2):
            answer = self.ask(bucket="day", **{"from": "2025-01-01"}).json()
        self.assertEqual(answer["to"], "2025-06-15")
        self.assertEqual(answer["totals"], {"loans": 4, "returns": 3})
        self.assertEqual(sum(row["loans"] for row in answer["rows"]), 4)

    def test_bad_input_is_answered_with_status_400_and_a_reason(self):
        response = self.ask(bucket="decade")
        self.assertEqual(response.status_code, 400)
        self.assertEqual(response.json(), {"error": "bucket must be one of: day, week, month."})

    def test_the_page_offers_the_year_that_ends_with_the_newest_loan(self):
        response = self.client.get(reverse("library:statistics"))
        self.assertContains(response, 'name="to" value="2025-06-15"')
