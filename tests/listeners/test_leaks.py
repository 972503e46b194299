"""What tests left behind is told once, at the end."""

from __future__ import annotations

import io

import pytest

from testkit.core.bus import Bus
from testkit.core.events import Outcome, RunFinished, RunMeasured, TestFinished
from testkit.core.tally import Tally
from testkit.listeners.console import ConsoleOptions
from testkit.listeners.console.plain import Console
from testkit.listeners.leaks import LeaksListener


def ended(name, *lines, **fields):
    measures = {"leaks": lines, "queries": 3} if lines else {"queries": 3}
    id = f"app.tests.Case.{name}"
    return TestFinished(
        id=id, class_id="app.tests.Case", at=0, seconds=1, outcome=Outcome.PASSED, measures=measures, **fields
    )


def section(*facts):
    """Return what is handed over after ``facts``."""
    handed = []
    listener = LeaksListener(lambda name, data: handed.append((name, data)))
    for fact in facts:
        listener(fact)
    assert handed == []
    listener(RunFinished(at=0, seconds=1))
    ((name, data),) = handed
    assert name == "leaks"
    return data


def test_lines_are_handed_over_by_test():
    """Each test that left something behind is there with its lines, the others are not."""
    thread = "thread 'mail' is still running"
    data = section(ended("test_a", thread, "settings.DEBUG was changed"), ended("test_b"), ended("test_c", thread))
    assert data["tests"] == {
        "app.tests.Case.test_a": [thread, "settings.DEBUG was changed"],
        "app.tests.Case.test_c": [thread],
    }
    assert data["text"].splitlines() == [
        "",
        "Leaks: 2 tests left something behind",
        "  app.tests.Case.test_a",
        "    thread 'mail' is still running",
        "    settings.DEBUG was changed",
        "  app.tests.Case.test_c",
        "    thread 'mail' is still running",
    ]


def test_attempts_of_a_test_are_told_together():
    """A test that was tried again is named once, with each line once; they may come as one text."""
    first = ended("test_a", "one", "two", final=False)
    second = ended("test_a", attempt=2)._replace(measures={"leaks": ["two", "three"]})
    third = ended("test_a", attempt=3)._replace(measures={"leaks": "three\nfour"})
    assert section(first, second, third)["tests"] == {"app.tests.Case.test_a": ["one", "two", "three", "four"]}


def test_a_run_without_leaks_says_that_it_looked():
    """Nothing found is told too, and the section is there for other listeners."""
    assert section(ended("test_a")) == {"tests": {}, "text": "\nLeaks: no test left anything behind"}


def test_many_tests_are_counted_rather_than_listed():
    """The console names so many tests and counts the others; the data has all of them."""
    data = section(*(ended(f"test_{number:02}", "a pipe is left open") for number in range(60)))
    assert len(data["tests"]) == 60
    assert data["text"].splitlines()[-1] == "  … and 10 more"
    assert "test_49" in data["text"]
    assert "test_50" not in data["text"]


@pytest.mark.parametrize("is_first", [True, False])
def test_the_console_prints_it_after_the_closing_line(is_first):
    """On a bus with the console, whichever of the two comes first, the section is published and printed once."""
    stream, told = io.StringIO(), []
    tally = Tally()
    bus = Bus([tally])
    console = Console(stream, ConsoleOptions(), tally)
    leaks = LeaksListener(lambda name, data: bus.publish(RunMeasured(section=name, data=data)))
    for listener in (leaks, console) if is_first else (console, leaks):
        bus.subscribe(listener)
    bus.subscribe(told.append)
    bus.publish(ended("test_a", "file /tmp/\x1b[1mx is left open"))
    bus.publish(RunFinished(at=0, seconds=1))
    assert [type(fact) for fact in told if isinstance(fact, RunMeasured)] == [RunMeasured]
    assert stream.getvalue().count("    file /tmp/\\x1b[1mx is left open\n") == 1
    assert is_first or stream.getvalue().index("\nOK\n") < stream.getvalue().index("Leaks: 1 test left")
