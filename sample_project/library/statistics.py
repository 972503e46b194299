"""How many books were lent and returned, in buckets of time."""

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Count
from django.db.models.functions import Trunc

from library.models import Loan
from library.params import ParameterError, read_choice, read_date

BUCKETS = ("day", "week", "month")
DEFAULT_SPAN = datetime.timedelta(days=364)
MAX_BUCKETS = 400


@dataclass(frozen=True)
class Period:
    """The days asked about, both ends included, and the size of the buckets."""

    bucket: str
    first: datetime.date
    last: datetime.date

    @classmethod
    def parse(cls, params: Mapping[str, str], today: datetime.date) -> "Period":
        """Read the query string; without dates the period is the year that ends today."""
        last = read_date(params, "to", default=today)
        first = read_date(params, "from", default=last - DEFAULT_SPAN)
        period = cls(read_choice(params, "bucket", BUCKETS, default="month"), first, last)
        period.check()
        return period

    def check(self) -> None:
        """Refuse a period that runs backwards or would fill too long an answer."""
        if self.first > self.last:
            raise ParameterError("from must not be after to.")
        days = {"day": 1, "week": 7, "month": 28}[self.bucket]
        if (self.last - self.first).days // days >= MAX_BUCKETS:
            raise ParameterError(f"The period is too long: at most {MAX_BUCKETS} buckets of a {self.bucket}.")

    def starts(self) -> Iterator[datetime.date]:
        """Yield the first day of each bucket; the first one may begin before the period."""
        start = bucket_start(self.first, self.bucket)
        while start <= self.last:
            yield start
            start = next_start(start, self.bucket)


def bucket_start(day: datetime.date, bucket: str) -> datetime.date:
    """Return the first day of the bucket `day` is in; weeks begin on Monday."""
    if bucket == "week":
        return day - datetime.timedelta(days=day.weekday())
    return day.replace(day=1) if bucket == "month" else day


def next_start(start: datetime.date, bucket: str) -> datetime.date:
    """Return the first day of the bucket after the one that begins on `start`."""
    if bucket == "month":
        return (start + datetime.timedelta(days=31)).replace(day=1)
    return start + datetime.timedelta(days=7 if bucket == "week" else 1)


def report(period: Period) -> dict[str, Any]:
    """Return the numbers per bucket, zeros included, and their sums."""
    loans = _counts("borrowed_on", period)
    returns = _counts("returned_on", period)
    return {
        "bucket": period.bucket,
        "from": period.first.isoformat(),
        "to": period.last.isoformat(),
        "rows": [
            {"start": start.isoformat(), "loans": loans.get(start, 0), "returns": returns.get(start, 0)}
            for start in period.starts()
        ],
        "totals": {"loans": sum(loans.values()), "returns": sum(returns.values())},
    }


def _counts(field: str, period: Period) -> dict[datetime.date, int]:
    """Count the loans by the bucket of one of their dates, in one query."""
    dated = Loan.objects.filter(**{f"{field}__range": (period.first, period.last)})
    grouped = dated.annotate(start=Trunc(field, period.bucket)).values("start").annotate(number=Count("pk"))
    return dict(grouped.order_by("start").values_list("start", "number"))
