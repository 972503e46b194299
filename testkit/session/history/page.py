"""The trends as one page of HTML: no script, nothing from elsewhere, and text of tests as text alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isnan
from pathlib import Path
from typing import NamedTuple

from testkit import pages
from testkit.core.markdown import LONGEST_NAME
from testkit.core.text import one_line
from testkit.session.history.past import day, minute
from testkit.session.history.trends import ABSENT, FAILED, FLAKY, PASSED, SKIPPED, RunPoint, TestTrend, Trends

_HERE = Path(__file__).parent
_WIDTH, _HEIGHT = 600.0, 60.0
_LEAST = 1.5
"""How high a bar of next to nothing is, so that it can be seen."""
_CLASSES = {PASSED: "passed", FAILED: "failed", FLAKY: "flaky", SKIPPED: "skipped", ABSENT: "absent"}


class Bar(NamedTuple):
    """A bar of a plot, in the units of its picture."""

    x: str
    y: str
    width: str
    height: str
    kind: str
    title: str


class Plot(NamedTuple):
    """A plot of something over runs."""

    title: str
    note: str
    bars: Sequence[Bar]


def render(found: Trends, most: int, *, chosen: bool = False) -> str:
    """Return the page, with the plots of up to ``most`` tests of each kind (0: all).

    ``chosen``: the tests were, and all of them are shown, whatever became of them.
    """
    from django.template import Context
    from django.utils.safestring import mark_safe

    css = pages.asset(pages.BASE_CSS) + pages.asset(_HERE / "page.css")
    context = {
        "css": mark_safe(css),
        "policy": pages.policy(css),
        "count": len(found.runs),
        "first": day(found.runs[0].at),
        "last": day(found.runs[-1].at),
        "suite": list(_suite(found.runs)),
        "lists": [_all(found, most)] if chosen else [each for each in _lists(found, most) if each[1]],
        "width": _WIDTH,
        "height": _HEIGHT,
    }
    return str(pages.template(_HERE / "page.html").render(Context(context, use_l10n=False, use_tz=False)))


def _suite(runs: Sequence[RunPoint]) -> Iterator[Plot]:
    kinds = [FAILED if run.failed else FLAKY if run.flaky else PASSED for run in runs]
    for title, values, unit in (
        ("Seconds", [run.seconds for run in runs], " s"),
        ("Tests", [float(run.tests) for run in runs], ""),
        ("Failed", [float(run.failed) for run in runs], ""),
        ("Flaky", [float(run.flaky) for run in runs], ""),
    ):
        note = f"{values[0]:g}{unit} → {values[-1]:g}{unit}" if not unit else f"{values[0]:.1f} s → {values[-1]:.1f} s"
        yield Plot(title, note, list(_bars(values, kinds, runs, unit)))


def _lists(found: Trends, most: int) -> Iterator[tuple[str, list[Plot], int]]:
    some = most or None
    failing = found.failing()
    yield "Failed", [_plot(test, found.runs) for test in failing[:some]], len(failing)
    for title, timings in (("Slower", found.timings.slower), ("Faster", found.timings.faster)):
        yield title, [_plot(found.tests[each.name], found.runs) for each in timings[:some]], len(timings)


def _all(found: Trends, most: int) -> tuple[str, list[Plot], int]:
    tests = list(found.tests.values())
    return "Tests", [_plot(test, found.runs) for test in tests[: most or None]], len(tests)


def _plot(test: TestTrend, runs: Sequence[RunPoint]) -> Plot:
    values = [None if isnan(seconds) else seconds for seconds in test.seconds]
    took = f", {test.ends[0]:.2f} s → {test.ends[1]:.2f} s" if test.ends else ""
    note = f"failed in {test.failed} of {test.ran} runs{took}"
    return Plot(one_line(test.name, LONGEST_NAME), note, list(_bars(values, test.states.decode(), runs, " s")))


def _bars(values: Sequence[float | None], kinds: Sequence[str], runs: Sequence[RunPoint], unit: str) -> Iterator[Bar]:
    highest = max((value for value in values if value is not None), default=0.0) or 1.0
    step = _WIDTH / len(runs)
    for number, (value, kind, run) in enumerate(zip(values, kinds, runs, strict=True)):
        if kind == ABSENT:
            continue
        height = max((value or 0.0) / highest * _HEIGHT, _LEAST)
        took = "" if value is None else f"{value:.3f}{unit}" if unit else f"{value:g}"
        said = (minute(run.at), _CLASSES[kind], took, one_line(run.commit, LONGEST_NAME)[:10])
        yield Bar(
            x=f"{number * step:.2f}",
            y=f"{_HEIGHT - height:.2f}",
            width=f"{max(step - 1, 0.5):.2f}",
            height=f"{height:.2f}",
            kind=_CLASSES[kind],
            title=", ".join(filter(None, said)),
        )
