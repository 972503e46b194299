"""Trends over runs: figures of the suite and of tests, plots of characters, and JSON."""

from __future__ import annotations

import json
from math import isnan

from testkit.core.events import Outcome
from testkit.core.results import Result, RunRecord
from testkit.session.history.plots import WIDEST, Plotter
from testkit.session.history.trends import trends_of
from testkit.session.history.trends_command import as_json, as_text
from tests.session.comparison.made import NASTY

BAD, FLAKY, SKIPPED = Result(Outcome.FAILED, bad=1), Result(Outcome.PASSED, 2, 1, 0.5), Result(Outcome.SKIPPED)


def good(seconds=0.5):
    return Result(Outcome.PASSED, seconds=seconds)


def runs(*each):
    return [
        RunRecord(f"r{number}", 86_400.0 * number, 10.0 + number, results, f"commit{number}", "main", True)
        for number, results in enumerate(each)
    ]


FOUR = runs(
    {"a.T.one": good(), "a.T.two": BAD, "a.T (setUpClass)": good()},
    {"a.T.one": good(), "a.T.two": FLAKY},
    {"a.T.one": SKIPPED},
    {"a.T.one": BAD, "a.T.two": good(), "b.T.new": good()},
)


def test_figures_are_those_of_the_runs():
    """Of each run the tests, failures and flaky ones are counted, of each test its runs, failures and letters."""
    found = trends_of(FOUR)
    assert [(run.tests, run.failed, run.flaky, run.seconds) for run in found.runs] == [
        (2, 1, 0, 10.0), (2, 0, 1, 11.0), (1, 0, 0, 12.0), (3, 1, 0, 13.0),
    ]  # fmt: skip
    one, two, new = (found.tests[name] for name in ("a.T.one", "a.T.two", "b.T.new"))
    assert (one.states, two.states, new.states) == (b"ppsF", b"Ff-p", b"---p")
    assert (one.ran, one.failed, two.ran, two.failed, new.rate) == (3, 1, 3, 2, 0.0)
    assert [isnan(seconds) for seconds in one.seconds] == [False, False, True, False]
    assert two.ends == (0.5, 0.5)
    assert [test.name for test in found.failing()] == ["a.T.two", "a.T.one"]


def test_a_test_that_got_slower_is_found():
    """The newest runs are compared with the oldest ones by the rule of `compare`."""
    other = {f"a.o{number}": 0.2 for number in range(30)}
    many = runs(*({"a.slow": good(0.2 if n < 6 else 0.9), **{k: good(v) for k, v in other.items()}} for n in range(12)))
    found = trends_of(many)
    assert [each.name for each in found.timings.slower] == ["a.slow"]
    assert found.timings.faster == ()
    text = as_text(found, Plotter("utf-8"), 20, by_run=False)
    assert "\nSlower: 1\n  0.20 s → 0.90 s  ▂▂▂▂▂▂██████  a.slow\n" in text
    assert trends_of(many[:1]).timings == (1.0, (), ())


def test_tests_are_chosen_by_what_they_are_below():
    """A test, a class and a module choose what is below them, with its set-up, and nothing that only begins alike."""
    told = runs({name: good() for name in ("a.T.one", "a.T (setUpClass)", "a.Two.x", "a.T", "ab.T.one", "b.T.one")})
    assert set(trends_of(told, ["a.T"]).tests) == {"a.T.one", "a.T (setUpClass)", "a.T"}
    assert set(trends_of(told, ["a.T.one", "b"]).tests) == {"a.T.one", "b.T.one"}
    assert trends_of(told, ["a.T"]).runs[0].tests == 5


def test_text_has_a_line_for_each_run_of_a_chosen_test():
    """Day, outcome, seconds and code of each run of the test stand below its plots."""
    text = as_text(trends_of(FOUR, ["a.T.one"]), Plotter("ascii"), 20, by_run=True)
    assert text.startswith("4 runs, 1970-01-01 to 1970-01-04\n\n  tests    ++-#  2 → 3\n")
    assert "\na.T.one\n  failed in 1 of 3 runs (33%)  __ #\n" in text
    assert "\n    1970-01-01 00:00  passed       0.500 s  commit0 main\n" in text
    assert "\n    1970-01-03 00:00  skipped               commit2 main\n" in text


def test_lines_of_bars_have_what_the_encoding_has():
    """Blocks where the encoding has them, else ASCII; gaps stay gaps, zeros are low, and many figures are put together."""
    assert Plotter("utf-8").line([0, 1, None, 2, 4]) == "▁▃ ▅█"
    for encoding in ("ascii", "latin-1", None, "no-such"):
        assert Plotter(encoding).line([0, 1, None, 2, 4]) == "_- =#"
    assert Plotter("utf-8").line([]) == ""
    assert Plotter("utf-8").line([0.0, 0.0, None]) == "▁▁ "
    long = Plotter("utf-8").line([0.0] * 999 + [5.0])
    assert long == "▁" * (WIDEST - 1) + "█"


def test_json_and_text_take_every_name():
    """The document is ASCII and gives names back whole; text stays on its lines."""
    told = trends_of(runs({NASTY: BAD}, {NASTY: good()}))
    document = as_json(told)
    assert document.isascii()
    (test,) = json.loads(document)["tests"]
    assert test == {"name": NASTY, "ran": 2, "failed": 1, "rate": 0.5, "states": "Fp", "seconds": [0.0, 0.5]}
    for by_run in (True, False):
        text = as_text(told, Plotter("utf-8"), 20, by_run=by_run)
        assert text.replace("\n", "").isprintable()
        assert "\\x1b[31m" in text
