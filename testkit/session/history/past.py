"""The past runs that a command looks at: of the history, or of any journals."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from testkit.core.readers import whole_number
from testkit.core.results import Recorder, RunRecord
from testkit.listeners.history import HistoryOptions
from testkit.session.comparison.reading import find_runs
from testkit.session.history import store
from testkit.session.history.store import Choice, HistoryError
from testkit.session.options import resolve_options

_MOST = 20


class Past:
    """Past runs, in the order in which they began. A history alone is read run by run: it may be large."""

    def __init__(self, places: Sequence[Path], choice: Choice) -> None:
        """``places`` are files of history, and journals as ``compare`` takes them; the project's history without any.

        Raises:
            OptionError: what says where the project's history is, is wrong.
        """
        default = resolve_options({})[HistoryOptions].history_file
        self._places = list(places) or [default]
        self._history = None if places else default
        """The one file of history that is read, if it is that alone."""
        self._choice = choice
        self._known: list[RunRecord] | None = None

    def __str__(self) -> str:
        return ", ".join(map(str, self._places))

    def runs(self, *, only_failed: bool = False) -> Iterator[RunRecord]:
        """Yield the runs; with ``only_failed`` tests that never failed may be left out.

        Raises:
            TestkitError: there are none, or a file cannot be read.
        """
        if self._history is None and len(self._places) == 1 and store.is_history(self._places[0]):
            self._history = self._places[0]
        if self._history is not None:
            records = store.load(self._history, self._choice, only_failed=only_failed)
        else:
            if self._known is None:
                self._known = self._read_all()
            records = iter(self._known)
        count = 0
        for count, record in enumerate(records, 1):  # noqa: B007
            yield record
        if not count:
            of_branch = f" of the branch {self._choice.branch}" if self._choice.branch else ""
            raise HistoryError(f"{self} has no run{of_branch}")

    def _read_all(self) -> list[RunRecord]:
        found: dict[str, RunRecord] = {}
        for place in self._places:
            for record in store.load(place) if store.is_history(place) else _of_journals(place):
                found.setdefault(record.run, record)
        branch = self._choice.branch
        wanted = [record for record in found.values() if branch in ("", record.branch)]
        return sorted(wanted, key=lambda record: (record.at, record.run))[-self._choice.runs :]  # of 0 all


def _of_journals(place: Path) -> Iterator[RunRecord]:
    for found in find_runs(place):
        recorder = Recorder()
        found.tell(recorder)
        yield recorder.record


def past_parser(command: str, description: str, formats: Sequence[str]) -> ArgumentParser:
    """Return a parser of the arguments that choose past runs, and the format of what is told of them."""
    parser = ArgumentParser(f"python -m testkit {command}", description=description)
    default = HistoryOptions.declared["history_file"].default
    parser.add_argument(
        "paths",
        type=Path,
        nargs="*",
        metavar="PATH",
        help=f"A file of history, a journal, or a folder that holds journals. Default: {default}.",
    )
    parser.add_argument("--branch", default="", metavar="NAME", help="Take the runs of this branch alone.")
    parser.add_argument("--runs", type=_whole, default=0, metavar="N", help="Take the newest N runs. Default: all.")
    parser.add_argument("--format", choices=formats, default="text", help="Default: text.")
    parser.add_argument("--output", type=Path, metavar="FILE", help="Where it goes. Default: standard output.")
    parser.add_argument(
        "--most", type=_whole, default=_MOST, metavar="N", help=f"Show so many tests, 0 for all. Default: {_MOST}."
    )
    return parser


def _whole(text: str) -> int:
    try:
        return whole_number(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r}: {error}") from None


def past_of(given: Namespace) -> Past:
    """Return the runs that the arguments choose.

    Raises:
        OptionError: what says where the project's history is, is wrong.
    """
    return Past(given.paths, Choice(given.branch, given.runs))


def day(at: float) -> str:
    """Return the day of a Unix time, in UTC."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}"


def minute(at: float) -> str:
    """Return the minute of a Unix time, in UTC."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}"
