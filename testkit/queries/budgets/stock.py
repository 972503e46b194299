"""Query budgets under a runner that is not testkit's: ``TESTKIT_QUERY_BUDGETS=check python manage.py test``.

Each process of the run appends what its requests cost to a file of its own; the main one joins these files at its exit,
reports, and records new budgets if it was asked to. ``testkit`` has to be in ``INSTALLED_APPS``.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, MutableMapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from testkit.core.errors import OptionError
from testkit.endpoints.routes import all_paths
from testkit.queries.budgets import file
from testkit.queries.budgets.costs import Cost, from_plain, join
from testkit.queries.budgets.hooks import Ledger, following
from testkit.queries.budgets.report import describe_standing, standing_of
from testkit.queries.options import FILE

MODE, PLACE = "TESTKIT_QUERY_BUDGETS", "TESTKIT_QUERY_BUDGETS_FILE"
PARTS = "TESTKIT_QUERY_BUDGETS_PARTS"
"""In the environment of a run's processes: the folder of their files."""
_MODES = ("auto", "check", "record")

_undo = ExitStack()


def begin(environ: MutableMapping[str, str]) -> None:
    """Check requests from now on if ``environ`` asks for it.

    Raises:
        OptionError: it asks for something else, or the file of budgets is not as it should be.
    """
    mode = environ.get(MODE) or "off"
    # testkit's own runner, and its workers, see to it themselves.
    if mode == "off" or "TESTKIT_WORKER" in environ or "testkit.cli" in sys.modules:
        return
    if mode not in _MODES:
        raise OptionError(f"{MODE}={mode}: give auto, check, record or off")
    place = Path(environ.get(PLACE) or FILE).absolute()
    if mode != "record" and not place.exists():
        if mode == "auto":
            return
        raise OptionError(f"{MODE}=check, and there is no file {place}: {MODE}=record writes it")
    budgets = file.read(place)
    parts = environ.get(PARTS)
    if parts is None:
        parts = environ[PARTS] = tempfile.mkdtemp(prefix="testkit-budgets-")
        main = Main(Path(parts), place, records=mode == "record")
        atexit.register(main.conclude)
        _undo.callback(atexit.unregister, main.conclude)
        _undo.callback(environ.pop, PARTS, None)
        _undo.callback(shutil.rmtree, parts, ignore_errors=True)
    _undo.enter_context(following(Ledger(budgets, Part(Path(parts)))))


def withdraw() -> None:
    """Leave the budgets to testkit's own runner."""
    _undo.close()


class Part:
    """What one process tells: a line of JSON for each endpoint that cost more than before."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._costs: dict[str, Cost] = {}

    def __call__(self, test: Any, measure: dict[str, Any]) -> None:
        """Take the measure of a test: a ledger publishes by this."""
        changed = {key: plain for key, plain in measure["routes"].items() if self._adds(key, from_plain(plain))}
        if changed:
            with open(self._folder / f"{os.getpid()}.jsonl", "a", encoding="utf-8") as lines:
                lines.write(json.dumps(changed) + "\n")

    def _adds(self, key: str, cost: Cost) -> bool:
        before = self._costs.get(key)
        join(self._costs, key, cost)
        after = self._costs[key]
        if before is None or (before.queries, before.aliases) != (after.queries, after.aliases):
            return True
        return after.seconds > before.seconds * 1.5  # for the advice on time, which a line for each would not help


class Main:
    """What the main process does at its exit."""

    def __init__(self, parts: Path, place: Path, *, records: bool) -> None:
        self._process = os.getpid()
        self._parts, self._place, self._records = parts, place, records

    def conclude(self) -> None:
        """Join what all processes told, and report."""
        if os.getpid() != self._process:  # a child that a test forked
            return
        costs: dict[str, Cost] = {}
        for key, cost in self._told():
            join(costs, key, cost)
        shutil.rmtree(self._parts, ignore_errors=True)
        if not costs:
            return  # no test ran: manage.py was asked for something else
        budgets = file.read(self._place)
        standing = standing_of(budgets, costs, all_paths(), is_whole=False)
        print(f"\n{describe_standing(standing, budgets, records=self._records)}", file=sys.stderr)
        if self._records:
            try:
                print(f"  Recorded: {len(file.record(self._place, costs))} new", file=sys.stderr)
            except OSError as error:
                print(f"  Not written: {error}; {PLACE} names another file", file=sys.stderr)

    def _told(self) -> Iterator[tuple[str, Cost]]:
        for path in sorted(self._parts.glob("*.jsonl")):
            for line in path.read_text(encoding="utf-8").splitlines():
                for key, plain in json.loads(line).items():
                    yield key, from_plain(plain)
