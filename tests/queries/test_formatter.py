from __future__ import annotations

import asyncio
import contextvars
import copy
import logging
import sys
import threading

import pytest

from testkit.queries.formatter import ReadableSqlFilter, ReadableSqlFormatter, readable_sql_logging

COLUMNS = ", ".join(f'"shelf_book"."column_{number}"' for number in range(15))
SQL = f'SELECT {COLUMNS} FROM "shelf_book" WHERE "shelf_book"."id" = '


def record_of(sql: str = f"{SQL}1", milliseconds: float = 0.4, alias: str = "default", **changed) -> logging.LogRecord:
    """Return a record as Django's CursorDebugWrapper makes it."""
    extra = {"duration": milliseconds / 1000, "sql": sql, "params": (1,), "alias": alias, **changed}
    arguments = (extra["duration"], sql, (1,), alias)
    return logging.getLogger("django.db.backends").makeRecord(
        "django.db.backends", logging.DEBUG, "utils.py", 1, "(%.3f) %s; args=%s; alias=%s", arguments, None, extra=extra
    )


def in_context(function):
    """Run it where no query has been counted."""
    return contextvars.Context().run(function)


def formatted(*records: logging.LogRecord, formatter: logging.Formatter | None = None) -> list[str]:
    formatter = formatter or ReadableSqlFormatter()
    return in_context(lambda: [formatter.format(record) for record in records])


def test_a_query_is_one_short_line_with_its_time():
    """A record that Django's cursor is not just telling of, as when it comes from a queue, has no line of code."""
    [line] = formatted(record_of(milliseconds=0.44))
    assert line == '0.4 ms  SELECT /* 15 columns */ FROM "shelf_book" WHERE "shelf_book"."id" = 1'


def test_the_same_query_is_counted_whatever_its_values_are():
    lines = formatted(*(record_of(f"{SQL}{number}") for number in range(1, 24)), record_of("SELECT 1"))
    counted = [next((part for part in line.split("   ") if part.endswith(" time")), "") for line in lines]
    assert counted[:5] == ["", "2nd time", "3rd time", "4th time", "5th time"]
    assert counted[10:13] == ["11th time", "12th time", "13th time"]
    assert counted[20:] == ["21st time", "22nd time", "23rd time", ""]


def test_another_alias_is_named_and_counted_apart():
    first, second = formatted(record_of(), record_of(alias="replica"))
    assert "2nd time" not in second
    assert " ms  [replica]  SELECT" in second
    assert "[default]" not in first


def test_several_handlers_count_a_query_once():
    """Also when they have formatters of their own, and when a filter has given one of them a copy of the record."""
    one, another = ReadableSqlFormatter(), ReadableSqlFormatter()
    first, second = record_of(), record_of()

    def format_all():
        return [format(record) for record in (first, second) for format in (one.format, another.format, one.format)] + [
            one.format(copy.copy(second))
        ]

    lines = in_context(format_all)
    assert ["2nd time" in line for line in lines] == [False] * 3 + [True] * 4


def test_tasks_and_threads_count_by_themselves():
    formatter = ReadableSqlFormatter()

    async def ask():
        lines = []
        for _ in range(3):
            lines.append(formatter.format(record_of()))
            await asyncio.sleep(0)
        return lines

    async def ask_at_once():
        return await asyncio.gather(*(asyncio.create_task(ask()) for _ in range(5)))

    for lines in in_context(lambda: asyncio.run(ask_at_once())):
        assert ["2nd" in line for line in lines] == [False, True, False]
    lines = []
    threads = [threading.Thread(target=lambda: lines.append(formatter.format(record_of()))) for _ in range(3)]
    for thread in threads:
        thread.start()
        thread.join()
    assert not any("2nd" in line for line in lines)


def test_transactions_are_not_counted():
    lines = formatted(
        *(record_of("SAVEPOINT s1", params=None) for _ in range(3)), record_of("BEGIN"), record_of("BEGIN")
    )
    assert not any(" time" in line for line in lines)


def test_what_is_counted_does_not_grow_for_ever():
    """Of very many different queries in one thread, the ones that ran last are remembered."""
    different = [record_of(f"SELECT a{number} FROM t") for number in range(1500)]
    *_, old, new = formatted(*different, record_of("SELECT a0 FROM t"), record_of("SELECT a1400 FROM t"))
    assert "2nd time" not in old
    assert "2nd time" in new


def test_the_record_is_left_as_it_is():
    record = record_of()
    before = dict(vars(record))
    formatted(record, formatter=ReadableSqlFormatter("%(asctime)s %(message)s"))
    assert vars(record) == before
    assert logging.Formatter().format(record).startswith('(0.000) SELECT "shelf_book"."column_0", ')


def test_the_text_is_the_message_of_the_format():
    formatter = ReadableSqlFormatter("{levelname} {name} {message} {sql}", style="{")
    [line] = formatted(record_of("SELECT 1"), formatter=formatter)
    assert line == "DEBUG django.db.backends 0.4 ms  SELECT 1 SELECT 1"


@pytest.mark.parametrize(
    "record",
    [
        logging.makeLogRecord({"name": "shop", "msg": "%d sold", "args": (3,), "sql": "SELECT 1", "duration": 1.0}),
        logging.makeLogRecord({"name": "django.db.backends", "msg": "%d sold", "args": (3,)}),
        logging.makeLogRecord({"name": "django.db.backends.schema", "msg": "%d sold", "args": (3,), "sql": "CREATE"}),
        logging.makeLogRecord(
            {"name": "django.db.backends", "msg": "%d sold", "args": (3,), "sql": None, "duration": 0}
        ),
    ],
)
def test_other_records_are_formatted_as_ever(record):
    assert formatted(record) == ["3 sold"]


def test_a_percent_sign_in_sql_is_text():
    [line] = formatted(record_of("SELECT 'a %s %d {message} $message'"))
    assert "SELECT 'a %s %d {message} $message'" in line


class TestFilter:
    """The filter of that name in project_runpy rewrote the record; this one leaves it to the other handlers."""

    def test_every_record_passes_and_stays_as_it_is(self):
        record = record_of()
        before = dict(vars(record))
        assert ReadableSqlFilter().filter(record)
        assert vars(record) == before

    def test_a_record_without_arguments_passes(self):
        record = logging.makeLogRecord({"name": "django.db.backends", "msg": "a message"})
        assert ReadableSqlFilter().filter(record) is True

    @pytest.mark.skipif(sys.version_info < (3, 12), reason="filters exchange records from Python 3.12 on")
    def test_its_handler_gets_the_short_message(self):
        messages: dict[str, str] = {}

        class Keep(logging.Handler):
            def emit(self, record):
                messages[self.name] = record.getMessage()

        logger = logging.Logger("django.db.backends")
        for name, filters in {"before": [], "filtered": [ReadableSqlFilter()], "after": []}.items():
            handler = Keep()
            handler.name, handler.filters = name, filters
            logger.addHandler(handler)
        logger.handle(record_of("SELECT a, b, c FROM t"))
        assert messages["filtered"] == "0.4 ms  SELECT /* 3 columns */ FROM t"
        assert messages["before"] == messages["after"] == "(0.000) SELECT a, b, c FROM t; args=(1,); alias=default"


class TestSettings:
    GIVEN = {
        "version": 1,
        "disable_existing_loggers": True,
        "handlers": {"file": {"class": "logging.NullHandler"}},
        "loggers": {"django.db.backends": {"handlers": ["file"], "level": "INFO"}, "shop": {"level": "INFO"}},
    }

    @pytest.mark.parametrize("value", [None, "", "0", "false", "No", " off "])
    def test_without_sql_the_settings_stay(self, value):
        environ = {} if value is None else {"SQL": value}
        assert readable_sql_logging(environ=environ) == {}
        assert readable_sql_logging(self.GIVEN, environ=environ) == self.GIVEN

    def test_with_sql_the_queries_are_added(self):
        before = copy.deepcopy(self.GIVEN)
        logging_settings = readable_sql_logging(self.GIVEN, environ={"SQL": "1"})
        assert before == self.GIVEN
        assert logging_settings["disable_existing_loggers"] is True
        assert logging_settings["loggers"]["shop"] == {"level": "INFO"}
        assert logging_settings["loggers"]["django.db.backends"] == {
            "handlers": ["file", "testkit_sql"],
            "level": "DEBUG",
            "propagate": False,
        }
        assert logging_settings["handlers"]["testkit_sql"]["class"] == "testkit.queries.handler.SqlHandler"
