"""The summary of a run in Markdown: the verdict and the failures first, then what else a reader may want to act on."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from testkit.core.errors import ExitStatus
from testkit.core.events import Outcome
from testkit.core.lines import spelled
from testkit.core.markdown import block, cell, code, listed, table
from testkit.core.text import visible
from testkit.summary.gathered import Failure, Gathered

MOST_BYTES = 1_000_000
"""GitHub drops a whole summary of more than 1 MiB, GitLab and others have limits near that."""
MOST_FAILURES = 50
"""Failures that are shown with their tracebacks; the others are named."""
MOST_NAMED = 500
MOST_NAMES = 20
"""How much of any other list is shown."""
_PROGRAM = "python -m testkit"
MOST_LABELS, LONGEST_COMMAND = 50, 8000
"""Above which the command that runs the failed tests again would fit no shell, and no reader."""
_WORDS = {
    ExitStatus.PASSED: "passed",
    ExitStatus.TESTS_FAILED: "failed",
    ExitStatus.RUN_FAILED: "the run failed",
    ExitStatus.NOTHING_RAN: "none ran",
    ExitStatus.INTERRUPTED: "interrupted",
    ExitStatus.TERMINATED: "interrupted",
}


def summary(
    run: Gathered,
    status: int,
    reason: str,
    *,
    limit: int = MOST_BYTES,
    is_first: Callable[[Failure], bool] | None = None,
    again: str = "",
) -> str:
    """Return the summary of ``run`` in Markdown.

    Args:
        run: what is known of it.
        status: its exit status.
        reason: why that is not the status of its tests alone.
        limit: the most bytes; what does not fit is left out, and a note says so.
        is_first: which failures stand before the others.
        again: the command that runs the failed tests again, where that takes no names of ours.
    """
    page = _Page(limit)
    page.add(f"## Tests: {_WORDS.get(ExitStatus(status), 'ended')}", _table(run))
    if reason:
        page.add(block(reason) if "\n" in reason else code(reason))
    rest = list(_after_failures(run))
    page.reserve(rest)
    if run.failures:
        failures = sorted(run.failures, key=lambda failure: not is_first(failure)) if is_first else run.failures
        _add_failures(page, failures, again or _command(failures))
    page.release()
    for parts in rest:
        page.add(*parts)
    return page.text()


class _Page:
    """Markdown of at most so many bytes: what does not fit is left out, and counted."""

    _NOTE = "_This summary is cut, as it would be too long: {} parts are left out. The log and the reports have all._"

    def __init__(self, limit: int) -> None:
        self._room = limit - len(self._NOTE) - 20
        self._parts: list[str] = []
        self._left_out = self._reserved = 0

    def add(self, *parts: str) -> bool:
        """Add ``parts``, which belong together, if there is room for them."""
        size = _size(parts)
        if size > self._room - self._reserved:
            self._left_out += 1
            return False
        self._room -= size
        self._parts += parts
        return True

    def reserve(self, groups: Iterable[Sequence[str]]) -> None:
        """Keep room for what comes later; not more than a third of what there is."""
        self._reserved = min(sum(map(_size, groups)), self._room // 3)

    def release(self) -> None:
        """Give up what was kept."""
        self._reserved = 0

    def text(self) -> str:
        """Return all of it."""
        note = [self._NOTE.format(self._left_out)] if self._left_out else []
        return "\n\n".join([*self._parts, *note]) + "\n"


def _size(parts: Iterable[str]) -> int:
    return sum(len(part.encode("utf-8", "backslashreplace")) + 2 for part in parts)


def _table(run: Gathered) -> str:
    cells = {"tests": str(run.tests)}
    cells |= {outcome.value: str(count) for outcome in Outcome if (count := run.outcomes[outcome])}
    counts = {"not run": len(run.not_run), "lost": len(run.end.lost), "flaky": len(run.flaky)}
    cells |= {name: str(count) for name, count in counts.items() if count}
    coverage = run.measured.get("coverage", {})
    if "percent" in coverage:
        cells["coverage"] = f"{coverage['percent']:.1f} %"
    cells["seconds"] = f"{run.end.seconds:.1f}"
    return table(list(cells), [list(cells.values())], numbers=len(cells))


# Failures


def _add_failures(page: _Page, failures: Sequence[Failure], again: str) -> None:
    page.add("### Failures")
    shown = 0
    for failure in failures[:MOST_FAILURES]:
        if not page.add(*_shown(failure)):
            break
        shown += 1
    others = [failure.name for failure in failures[shown:]]
    if others:
        page.add(f"… and {len(others)} more:", listed(others, MOST_NAMED))
    page.add("Run just these again:", block(again, "console"))


def _shown(failure: Failure) -> Iterator[str]:
    yield f"#### {code(failure.name)}"
    at = f" at {code(f'{failure.file}:{failure.line}')}" if failure.file else ""
    yield f"{code(failure.type)}: {code(failure.message)}{at}"
    if failure.text:
        yield block(failure.text)


def _command(failures: Iterable[Failure]) -> str:
    """Return the command that runs the tests of ``failures`` and no other ones; if these are many, by the journal."""
    labels = dict.fromkeys(failure.label for failure in failures if failure.label)
    command = f"{_PROGRAM} {shlex.join(map(visible, labels))}"
    if not labels or len(labels) > MOST_LABELS or len(command) > LONGEST_COMMAND:
        return f"{_PROGRAM} --last-failed"
    return command


# What comes after them


def _after_failures(run: Gathered) -> Iterator[list[str]]:
    for title, ids in (("Lost", run.end.lost), ("Not run", run.not_run)):
        if ids:
            yield [f"### {title}: {len(ids)}", listed(ids, MOST_NAMES)]
    if run.flaky:
        rows = [(cell(flaky.id), cell(flaky.message)) for flaky in run.flaky[:MOST_NAMES]]
        yield [
            f"### Flaky, passed when tried again: {len(run.flaky)}",
            table(("test", "how it failed first"), rows),
            *_more(run.flaky),
        ]
    if run.slowest:
        rows = [(f"{seconds:.2f} s", cell(name)) for seconds, name in run.slowest]
        yield ["### Slowest", table(("time", "test or fixture"), rows, numbers=1)]
    yield from _budgets(run.measured.get("budgets", {}))
    yield from _coverage(run.measured)
    yield from _routes(run.measured.get("routes", {}))
    yield from _screenshots(run)


def _more(items: Sequence[Any]) -> list[str]:
    return [f"… and {len(items) - MOST_NAMES} more"] if len(items) > MOST_NAMES else []


def _budgets(data: Mapping[str, Any]) -> Iterator[list[str]]:
    over = list(data.get("over", {}).items())
    if over:
        rows = [(cell(endpoint), cell(how)) for endpoint, how in over[:MOST_NAMES]]
        yield [f"### Queries over budget: {len(over)}", table(("endpoint", "queries"), rows), *_more(over)]


def _coverage(measured: Mapping[str, Mapping[str, Any]]) -> Iterator[list[str]]:
    coverage, change = measured.get("coverage", {}), measured.get("diff_coverage", {})
    if "percent" in coverage:
        statements = f"{coverage['covered']} of {coverage['statements']} statements"
        yield ["### Coverage", f"{coverage['percent']:.2f} %, {statements}"]
    if not change:
        return
    since = f"### Coverage of the change since {code(change['base'])}"
    if change["percent"] is None:
        yield [since, "It has no statements that are measured."]
        return
    lines = [f"{change['percent']:.2f} % of {change['lines']} statements"]
    if change["failing"]:
        lines.append(f"**{code(change['failing'])}**")
    uncovered = sorted(change["uncovered"].items())
    if uncovered:
        rows = [(cell(file), cell(spelled(ranges))) for file, ranges in uncovered[:MOST_NAMES]]
        lines += [table(("file", "lines that no test ran"), rows), *_more(uncovered)]
    yield [since, *lines]


def _routes(data: Mapping[str, Any]) -> Iterator[list[str]]:
    figures, failing = data.get("figures"), data.get("failing", ())
    if figures:
        yield ["### Routes", f"Tests ask for {figures['asked']} of {figures['endpoints']} routes."]
    if failing:
        yield [f"#### No test asks for: {len(failing)}", listed(failing, MOST_NAMES)]


def _screenshots(run: Gathered) -> Iterator[list[str]]:
    if not run.screenshots:
        return
    rows = [
        (cell(test), ", ".join(f"{count} {state}" for state, count in counts.items()))
        for test, counts in list(run.screenshots.items())[:MOST_NAMES]
    ]
    yield [
        f"### Screenshots that are not as their baselines: {len(run.screenshots)} tests",
        table(("test", "screenshots"), rows),
        *_more(list(run.screenshots)),
        "To look at them, from the folder in which `reports/` of this run lies:",
        block("python -m testkit screenshots review", "console"),
    ]
