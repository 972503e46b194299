"""The queries of a development server, readable: Django's logger ``django.db.backends`` on one short line for each.

::

    0.4 ms  SELECT /* 15 columns */ FROM "shelf_book" WHERE "id" = 7   3rd time   shelf/views.py:12 in index

Django logs queries while ``DEBUG`` is on. ``LOGGING = readable_sql_logging()`` shows them when ``SQL=1`` is in the
environment.
"""

from __future__ import annotations

import copy
import logging
import os
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from importlib.util import find_spec
from types import FrameType
from typing import Any, Literal

from django.core.signals import request_started
from django.db import DEFAULT_DB_ALIAS
from django.db.backends import utils

from testkit.queries.fingerprint import fingerprint
from testkit.queries.origins import find_origin
from testkit.queries.recorder import CONTROL, Query
from testkit.queries.shorten import shorten

LOGGER = "django.db.backends"
"""The logger that Django tells of queries."""

_FALSE = ("", "0", "false", "no", "off")
_MOST_COUNTED = 1000
"""How many different queries are counted at the same time."""


def readable_sql_logging(
    logging: Mapping[str, Any] | None = None, *, environ: Mapping[str, str] = os.environ
) -> dict[str, Any]:
    """Return ``LOGGING`` for a settings file: ``logging`` as it is, and with ``SQL=1`` in ``environ`` the queries too.

    They are printed to stderr, in colours if rich is installed. Handlers that ``logging`` gives to
    ``django.db.backends`` get them as well; those of ``django`` and the root logger do not, as they would print them
    once more. ``SQL=0``, ``false``, ``no``, ``off`` and the empty string are as if it were not set.
    """
    given = dict(logging or {})
    if environ.get("SQL", "").strip().lower() in _FALSE:
        return given
    loggers = dict(given.get("loggers", {}))
    known = dict(loggers.get(LOGGER, {}))
    known.update(level="DEBUG", propagate=False, handlers=[*known.get("handlers", ()), "testkit_sql"])
    formatter = {"()": "testkit.queries.formatter.ReadableSqlFormatter"}
    handler = "testkit.queries.handler.SqlHandler" if find_spec("rich") else "logging.StreamHandler"
    return {
        "version": 1,
        "disable_existing_loggers": False,
        **given,
        "formatters": {**given.get("formatters", {}), "testkit_sql": formatter},
        "handlers": {**given.get("handlers", {}), "testkit_sql": {"class": handler, "formatter": "testkit_sql"}},
        "loggers": {**loggers, LOGGER: known},
    }


class ReadableSqlFormatter(logging.Formatter):
    """Shows a query by its time, its shortened SQL, how often it ran before, and the line of code that asked for it.

    This text is the ``%(message)s`` of the format. It is "2nd time" if a query with the same fingerprint ran before in
    the same request; outside of requests, in the same thread or task. The line is known where the record is formatted
    in the thread that logs it, as all handlers do except the listener of a queue. The record is left as it is, and
    records of other loggers are formatted as by :class:`logging.Formatter`.
    """

    def __init__(
        self,
        fmt: str | None = None,
        datefmt: str | None = None,
        style: Literal["%", "{", "$"] = "%",
        validate: bool = True,
        *,
        defaults: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(fmt, datefmt, style, validate, defaults=defaults)
        request_started.connect(_forget, dispatch_uid="testkit.queries.formatter")

    def format(self, record: logging.LogRecord) -> str:
        if not is_query(record):
            return super().format(record)
        parts = (describe_query(record), _repeated(record), _origin())
        return super().format(_with_message(record, "   ".join(filter(None, parts))))


class ReadableSqlFilter(logging.Filter):
    """Lets every record pass; on Python 3.12 and later, a query's with the short SQL for its message.

    The name is known from project_runpy, whose filter rewrote the record, for all handlers that came later. This one
    gives a copy: on a handler to this handler, on a logger to all of its handlers. Python 3.11 knows no filters that
    exchange a record, so there the message stays long. :class:`ReadableSqlFormatter` works everywhere and shows more.
    """

    def filter(self, record: logging.LogRecord) -> Any:
        if sys.version_info < (3, 12) or not is_query(record):
            return True
        return _with_message(record, describe_query(record))


def is_query(record: logging.LogRecord) -> bool:
    """Return whether the record is one of Django's about a query."""
    return record.name == LOGGER and isinstance(getattr(record, "sql", None), str) and hasattr(record, "duration")


def describe_query(record: Any) -> str:
    """Return what a query took and its short SQL, ``0.4 ms  SELECT …``, with the alias unless it is the default."""
    alias = getattr(record, "alias", DEFAULT_DB_ALIAS)
    name = "" if alias == DEFAULT_DB_ALIAS else f"[{alias}]  "
    return f"{record.duration * 1000:.1f} ms  {name}{shorten(record.sql)}"


def _with_message(record: logging.LogRecord, message: str) -> logging.LogRecord:
    changed = copy.copy(record)
    changed.msg, changed.args = message, None
    return changed


class _Repeats:
    """How often each query ran: the thousand that ran last, so that a long-lived thread keeps no more."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._last: object = None
        self._times = 0

    def times(self, record: Any) -> int:
        """Return which time it is that the query of the record runs."""
        # Several handlers may format the same query, or copies of its record. All have the same object for the time
        # that it took, which no other query has while it is kept here.
        if record.duration is not self._last:
            self._last = record.duration
            self._times = self._count(f"{getattr(record, 'alias', '')} {fingerprint(record.sql)}")
        return self._times

    def forget(self) -> None:
        self._counts.clear()

    def _count(self, key: str) -> int:
        counts = self._counts
        times = counts.pop(key, 0) + 1
        if len(counts) >= _MOST_COUNTED:
            del counts[next(iter(counts))]
        counts[key] = times
        return times


_repeats: ContextVar[_Repeats | None] = ContextVar("testkit_queries_repeats", default=None)


def _repeats_here() -> _Repeats:
    repeats = _repeats.get()
    if repeats is None:
        repeats = _Repeats()
        _repeats.set(repeats)
    return repeats


def _forget(**_: Any) -> None:
    """A request begins."""
    # What there is is emptied: under ASGI this runs in a copy of the request's context, and sets nothing there.
    _repeats_here().forget()


def _repeated(record: Any) -> str:
    if record.sql.startswith(CONTROL):
        return ""
    times = _repeats_here().times(record)
    return f"{times}{_ending(times)} time" if times > 1 else ""


def _ending(number: int) -> str:
    """Return what makes a number an ordinal: ``nd`` for 2."""
    if number % 100 in (11, 12, 13):
        return "th"
    return {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")


def _origin() -> str:
    """Return the line that asks for the query of which Django's cursor is telling, if it is this thread's."""
    frame: FrameType | None = sys._getframe(1)
    # Above the cursor, as handlers and formatters may be the user's code too.
    while frame is not None and frame.f_code.co_filename != _CURSORS:
        frame = frame.f_back
    code, line = find_origin(frame)
    if code is None:
        return ""
    path, function = (code, "") if isinstance(code, str) else (code.co_filename, code.co_qualname)
    return Query("", None, "", "", 0, path, line, function).origin


_CURSORS = utils.__file__
