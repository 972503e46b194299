"""The console prints facts in unittest's words; what it adds stands below, or where unittest says nothing."""

from __future__ import annotations

import fcntl
import io
import os
import struct
import termios

import pytest

from testkit.core.events import (
    FixtureFinished,
    Outcome,
    Problem,
    RunFinished,
    RunMeasured,
    RunStarted,
    SubTestFinished,
    TestFinished,
    TestStarted,
)
from testkit.core.tally import Tally
from testkit.listeners.console import Console, ConsoleOptions, wants_colour, wants_live_line

CLASS = "app.tests.Case"
RULE = "-" * 70


class Told:
    """A console that was told facts, and what it printed."""

    def __init__(self, *, stream=None, failures="auto", slowest=5, **settings):
        self.stream = stream or io.StringIO()
        self.tally = Tally()
        options = ConsoleOptions(failures=failures, slowest=slowest)
        self.console = Console(self.stream, options, self.tally, **settings)

    def tell(self, *facts):
        for fact in facts:
            self.tally(fact)
            self.console(fact)
        return self

    @property
    def text(self):
        return self.stream.getvalue()


def problem(outcome=Outcome.FAILED, text="boom"):
    return Problem(outcome=outcome, type="E", message=text, traceback=f"Traceback of {text}\n")


def started(name, **fields):
    return TestStarted(id=f"{CLASS}.{name}", class_id=CLASS, at=0.0, **fields)


def finished(name, outcome=Outcome.PASSED, **fields):
    fields.setdefault("seconds", 0.01)
    return TestFinished(id=f"{CLASS}.{name}", class_id=CLASS, at=0.0, outcome=outcome, **fields)


def subtest(name, parameters, outcome=Outcome.FAILED, **fields):
    id = f"{CLASS}.{name}"
    return SubTestFinished(id=f"{id} {parameters}", test=id, class_id=CLASS, at=0.0, outcome=outcome, **fields)


def end(**fields):
    return RunFinished(at=1.0, seconds=1.5, **fields)


def test_blocks_stand_in_unittests_order():
    """After the dots come errors, then failures, then unexpected successes, whatever the order of the tests."""
    told = Told().tell(
        started("a"),
        finished("a", Outcome.UNEXPECTED_SUCCESS),
        finished("b", Outcome.FAILED, problems=(problem(),)),
        finished("c", Outcome.ERROR, problems=(problem(), problem(Outcome.ERROR, "second"))),
        finished("d", Outcome.SKIPPED, reason="x"),
        finished("e", Outcome.EXPECTED_FAILURE),
        end(),
    )
    dots, *blocks = told.text.split("=" * 70)
    assert dots == "uFFEsx\n"
    assert [block.split("\n")[1] for block in blocks] == [
        "ERROR: c (app.tests.Case.c)",
        "FAIL: b (app.tests.Case.b)",
        "FAIL: c (app.tests.Case.c)",
        "UNEXPECTED SUCCESS: a (app.tests.Case.a)",
    ]
    assert told.text.endswith(
        f"\n{RULE}\nRan 5 tests in 1.500s\n\n"
        "FAILED (failures=2, errors=1, skipped=1, expected failures=1, unexpected successes=1)\n"
    )


def test_a_failure_can_be_printed_when_it_happens():
    """With --failures now each block follows its mark, on a line of its own, and is not repeated at the end."""
    told = Told(failures="now").tell(finished("a"), finished("b", Outcome.FAILED, problems=(problem(),)))
    assert told.text == f".F\n{'=' * 70}\nFAIL: b (app.tests.Case.b)\n{RULE}\nTraceback of boom\n\n"
    told.tell(finished("c"), end())
    assert told.text.count("Traceback of boom") == 1


def test_lines_of_workers_do_not_run_into_each_other():
    """With -v 2 a worker's line is printed whole when its test ends; subtests name theirs with its docstring."""
    told = Told(verbosity=2).tell(
        started("a", worker="1", summary="Says a."),
        started("b", worker="2"),
        subtest("a", "(n=1)", problem=problem(), worker="1"),
        finished("b", worker="2"),
        finished("a", Outcome.FAILED, worker="1", subtests_failed=1, summary="Says a."),
    )
    assert told.text == (
        "  a (app.tests.Case.a) (n=1)\nSays a. ... FAIL\n"  # and no line for the test: unittest has none either
        "b (app.tests.Case.b) ... ok\n"
    )


def test_what_buffer_kept_back_is_shown_once():
    """Under --buffer the output of a test with two problems, or with bad subtests alone, is shown one time."""
    told = Told(buffer=True).tell(
        finished("a", Outcome.ERROR, problems=(problem(), problem(Outcome.ERROR)), stdout="of a", stderr="too\n"),
        subtest("b", "(n=1)", problem=problem()),
        finished("b", Outcome.FAILED, subtests_failed=1, stdout="of b\n"),
        finished("c", stdout="of c"),
        FixtureFinished(
            id="m",
            phase="setUpModule",
            at=0.0,
            seconds=0.0,
            outcome=Outcome.ERROR,
            problems=(problem(),),
            stdout="of m",
        ),
        end(),
    )
    assert told.text.count("Traceback of boom\n\nStdout:\nof a\n\nStderr:\ntoo\n\n") == 1
    assert told.text.count("OUTPUT: b (app.tests.Case.b)\n" + RULE + "\n\nStdout:\nof b\n\n") == 1
    assert told.text.count("\nStdout:\nof m\n") == 1
    assert "of c" not in told.text


def test_a_run_that_was_cut_short_is_never_ok():
    """Interrupted, not run and lost are in the closing line, which says FAILED, and the tests are named."""
    ids = tuple(f"app.T.test_{number}" for number in range(5))
    told = Told().tell(finished("a"), end(interrupted="SIGINT", not_run=ids))
    assert "\n\nFAILED (not run=5, interrupted by SIGINT)\n\nNot run:\n  app.T.test_0\n" in told.text
    assert told.text.endswith("  … and 2 more\n")
    told = Told().tell(finished("a"), end(lost=ids[:1]))
    assert "\n\nFAILED (lost=1)\n\nLost: collected, and never reported:\n  app.T.test_0\n" in told.text
    assert "\nRan 1 test in 1.500s\n\nFAILED (interrupted by SIGTERM)\n" in (
        Told().tell(finished("a"), end(interrupted="SIGTERM")).text
    )
    assert Told().tell(end()).text.endswith("Ran 0 tests in 1.500s\n\nNO TESTS RAN\n")


def test_the_slowest_and_the_reports_stand_below_the_closing_line():
    """The slowest are sorted, class set-ups counted apart; each report has its line; what is quick is left out."""
    told = Told(slowest=2).tell(
        finished("quick"),
        finished("slow", seconds=2.0),
        finished("slower", seconds=3.0),
        finished("middling", seconds=1.0),
        FixtureFinished(id=CLASS, phase="setUpClass", at=0.0, seconds=2.5),
        end(),
        RunMeasured(section="coverage", data={"text": "Coverage: 91 %"}),
        RunMeasured(section="reports", data={"xunit": "reports/xunit.xml", "coverage": "htmlcov"}),
    )
    assert told.text.partition("\nOK\n")[2] == (
        "\nSlowest:\n"
        "    3.000s  app.tests.Case.slower\n"
        "    2.500s  app.tests.Case (setUpClass)\n"
        "Coverage: 91 %\n"
        "\nReports:\n"
        "  xunit     reports/xunit.xml\n"
        "  coverage  htmlcov\n"
    )
    assert "Slowest" not in Told(slowest=0).tell(finished("a", seconds=9.0), end()).text


def test_durations_are_unittests_table():
    """Django's --durations gives the table of Python 3.12's unittest, above the closing lines."""
    facts = (finished("a", seconds=0.0004), finished("b", seconds=0.02), finished("c", seconds=0.03), end())
    for durations, verbosity, expected in (
        (1, 1, ["0.030s     c (app.tests.Case.c)", ""]),
        (2, 1, ["0.030s     c (app.tests.Case.c)", "0.020s     b (app.tests.Case.b)", ""]),
        (
            0,
            1,
            [
                "0.030s     c (app.tests.Case.c)",
                "0.020s     b (app.tests.Case.b)",
                "",
                "(durations < 0.001s were hidden; use -v to show these durations)",
            ],
        ),
        (
            0,
            2,
            [
                "0.030s     c (app.tests.Case.c)",
                "0.020s     b (app.tests.Case.b)",
                "0.000s     a (app.tests.Case.a)",
                "",
            ],
        ),
    ):
        text = Told(durations=durations, verbosity=verbosity).tell(*facts).text
        table = text.partition(f"Slowest test durations\n{RULE}\n")[2].partition(f"{RULE}\nRan 3")[0]
        assert table.splitlines() == expected, (durations, verbosity)


def test_verbosity_0_prints_failures_and_closing_lines_alone():
    """-v 0 has neither dots nor the slowest nor the reports."""
    told = Told(verbosity=0).tell(
        RunMeasured(section="databases", data={"text": "Databases: x"}),
        finished("a", seconds=5.0),
        end(),
        RunMeasured(section="reports", data={"xunit": "x.xml"}),
    )
    assert told.text == f"{RULE}\nRan 1 test in 1.500s\n\nOK\n"


def test_a_stream_without_the_characters_does_not_end_the_run():
    """On an ASCII stream ids, docstrings and reasons that it cannot hold are escaped, and control characters always."""
    bytes_ = io.BytesIO()
    told = Told(stream=io.TextIOWrapper(bytes_, "ascii", newline=""), verbosity=2)
    told.tell(
        started("tëst", summary="Grüße \x1b[2J"),
        finished("tëst", Outcome.SKIPPED, summary="Grüße \x1b[2J", reason="naïve"),
        end(not_run=("ünd",)),
    )
    printed = bytes_.getvalue().decode("ascii")
    assert printed.startswith(
        r"t\xebst (app.tests.Case.t\xebst)" + "\n" + r"Gr\xfc\xdfe \x1b[2J ... skipped 'na\xefve'"
    )
    assert r"  \xfcnd" in printed


def test_colours_do_not_touch_what_tools_look_for():
    """With colours every line still begins on a line of its own, and dots of passing tests stay plain."""
    told = Told(colour=True, verbosity=1).tell(
        finished("a"), finished("b", Outcome.FAILED, problems=(problem(),)), end()
    )
    assert told.text.startswith(".\x1b[31mF\x1b[0m\n")
    assert told.text.endswith("\n\n\x1b[31mFAILED (failures=1)\x1b[0m\n")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("environ", "on_terminal", "off_terminal"),
    [
        ({}, True, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": ""}, True, False),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": "0"}, False, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False),
        ({"TERM": "dumb"}, False, False),
    ],
)
def test_colours_are_asked_for_by_the_environment(environ, on_terminal, off_terminal):
    """NO_COLOR goes before FORCE_COLOR, which goes before what the stream is."""
    assert wants_colour(Terminal(), environ) is on_terminal
    assert wants_colour(io.StringIO(), environ) is off_terminal


@pytest.mark.parametrize(
    ("environ", "size", "expected"),
    [
        ({"TERM": "xterm"}, (24, 80), True),
        ({"TERM": "xterm", "NO_COLOR": "1", "CI": "false"}, (3, 10), True),
        ({"TERM": "dumb"}, (24, 80), False),
        ({}, (24, 80), False),
        ({"TERM": "xterm", "CI": "true"}, (24, 80), False),
        ({"TERM": "xterm"}, (2, 80), False),
        ({"TERM": "xterm"}, (0, 0), False),
    ],
)
def test_a_live_line_wants_a_terminal_with_room_and_a_reader(environ, size, expected):
    """No live line on a dumb terminal, on one of unknown or tiny size, in CI, or off a terminal."""
    ours, theirs = os.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
        with open(theirs, "w", closefd=False) as stream:
            assert wants_live_line(stream, environ) is expected
        with open(os.devnull, "w") as stream:
            assert wants_live_line(stream, environ) is False
    finally:
        os.close(ours)
        os.close(theirs)


def test_the_run_may_have_been_empty():
    """A run of no tests is told like any other."""
    assert Told().tell(RunStarted(run="r", at=0.0, ids=()), end()).text == (
        f"\n{RULE}\nRan 0 tests in 1.500s\n\nNO TESTS RAN\n"
    )


def failed(name, **fields):
    return finished(name, Outcome.FAILED, problems=(problem(),), **fields)


def test_a_test_that_is_tried_again_has_a_mark_of_its_own():
    """An attempt that is repeated is R, not F; the test is OK in the end, counted and listed as flaky, with its reason."""
    told = Told().tell(
        failed("a", final=False), finished("b"), failed("a", attempt=2, final=False), finished("a", attempt=3), end()
    )
    assert told.text == (
        f"R.R.\n{RULE}\nRan 2 tests in 1.500s\n\nOK (flaky=1)\n\n"
        "Flaky: failed, and passed when tried again:\n  a (app.tests.Case.a): boom\n"
    )


def test_a_test_that_fails_to_the_end_is_not_flaky():
    """The last attempt is told like that of any test that fails, and once."""
    told = Told().tell(failed("a", final=False), failed("a", attempt=2), end())
    assert told.text.startswith("RF\n")
    assert told.text.count("Traceback of boom") == 1
    assert told.text.endswith("\n\nFAILED (failures=1)\n")


def test_attempts_have_a_line():
    """With -v 2 each attempt has its line, that of a worker too, which says what follows."""
    for worker in ("", "1"):
        told = Told(verbosity=2).tell(
            started("a", worker=worker),
            failed("a", final=False, worker=worker),
            started("a", worker=worker, attempt=2),
            finished("a", attempt=2, worker=worker),
        )
        assert told.text == "a (app.tests.Case.a) ... FAIL, to be tried again\na (app.tests.Case.a) ... ok\n"


@pytest.mark.parametrize(("verbosity", "expected"), [(0, ""), (1, ".R.")])
def test_tests_that_run_again_for_another_one_have_no_mark(verbosity, expected):
    """When a class runs again for one of its tests, the others are told once, whatever becomes of them."""
    told = Told(verbosity=verbosity).tell(
        finished("a"), failed("b", final=False), failed("a", attempt=2, final=False), finished("b", attempt=2)
    )
    assert told.text == expected
    told.tell(end())
    assert "Case.a" not in told.text
    assert "Ran 2 tests in 1.500s\n\nOK (flaky=1)\n" in told.text


@pytest.mark.parametrize("worker", ["", "1"])
def test_tests_that_run_again_for_another_one_end_their_lines(worker):
    """With -v 2 such a test has a line that says why it ran again, and the next test begins on a new one."""
    told = Told(verbosity=2).tell(
        started("a", worker=worker, attempt=2),
        finished("a", attempt=2, final=False, worker=worker),
        started("b", worker=worker, attempt=2),
        finished("b", Outcome.SKIPPED, attempt=2, final=False, worker=worker, reason="odd"),
        started("c", worker=worker, attempt=2),
        failed("c", attempt=2, final=False, worker=worker),
    )
    assert told.text == (
        "a (app.tests.Case.a) ... ok, again with its class\n"
        "b (app.tests.Case.b) ... skipped 'odd', again with its class\n"
        "c (app.tests.Case.c) ... FAIL, again with its class\n"
    )


def test_a_set_up_that_is_tried_again_is_told_by_its_tests():
    """A broken set-up that is repeated is told by the attempts of its tests alone, subtests of an attempt not at all."""
    broken = FixtureFinished(
        id=CLASS,
        phase="setUpClass",
        at=0.0,
        seconds=9.0,
        outcome=Outcome.ERROR,
        problems=(problem(Outcome.ERROR),),
        final=False,
    )
    told = Told().tell(
        broken,
        finished("a", Outcome.ERROR, problems=broken.problems, final=False),
        subtest("a", "(n=1)", problem=problem(), attempt=2, final=False),
        finished("a", Outcome.FAILED, subtests_failed=1, attempt=2, final=False),
        finished("a", attempt=3),
        end(),
    )
    assert told.text.startswith("RR.\n")
    assert "setUpClass" not in told.text
    assert told.text.endswith("\n  a (app.tests.Case.a): boom\n")


def test_the_list_of_flaky_tests_is_short():
    """Of many flaky tests twenty are named, with what is visible of the first line of their messages."""
    facts = []
    for number in range(23):
        bad = (problem(text=f"boom {number}\x1b[2J\nmore"),)
        facts.append(finished(f"t{number}", Outcome.FAILED, problems=bad, final=False))
        facts.append(finished(f"t{number}", attempt=2))
    text = Told().tell(*facts, end()).text
    assert "OK (flaky=23)" in text
    assert r"  t19 (app.tests.Case.t19): boom 19\x1b[2J" + "\n  … and 3 more\n" in text
    assert "\x1b" not in text


def test_what_a_worker_printed_is_shown_in_one_piece():
    """Without --buffer the output of a worker's test or fixture is shown when it ends; here it was shown as it came."""
    fixture = FixtureFinished(id=CLASS, phase="setUpClass", at=0.0, seconds=0.0, stdout="made\n", worker="1")
    facts = (
        fixture,
        finished("a", stdout="of a", worker="1"),
        finished("b", stderr="of b\n", worker="2"),
        finished("c", worker="2"),
    )
    told = Told().tell(*facts)
    assert told.text == (
        "\nsetUpClass (app.tests.Case):\nStdout:\nmade\n"
        "\na (app.tests.Case.a):\nStdout:\nof a\n."
        "\nb (app.tests.Case.b):\nStderr:\nof b\n.."
    )
    assert Told(buffer=True).tell(*facts).text == "..."
    assert Told().tell(*(fact._replace(worker="") for fact in facts)).text == "..."


def test_what_a_failing_test_of_a_worker_printed_stands_below_its_problem():
    """With or without --buffer, the output of what failed in a worker is shown once, with the traceback."""
    for buffer in (False, True):
        told = Told(buffer=buffer).tell(failed("a", stdout="of a\n", worker="1"), end())
        assert told.text.count("of a") == 1
        assert "Traceback of boom\n\nStdout:\nof a\n" in told.text


def test_the_output_of_an_attempt_is_not_shown():
    """What an attempt printed that is repeated, or that runs for another test, is left to the reports."""
    facts = (failed("a", stdout="one\n", worker="1", final=False), finished("b", stdout="two", attempt=2, final=False))
    assert Told().tell(*facts).text == "R"
