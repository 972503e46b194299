"""Compare testkit with stock Django on a real project: the same tests must have the same outcomes.

    cd some-project
    python .../benchmarks/same_outcomes.py manage.py test
    python .../benchmarks/same_outcomes.py --by-environment runtests.py --settings some.settings

The command is run twice by this Python, with ``--testrunner`` for stock Django and for testkit; with
``--by-environment``, for programs without that flag, its settings take TEST_RUNNER from the environment instead. Ends
with 0 when nothing differs. Parameters of subtests are not compared: many have addresses or times in them.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from testkit.core import journal  # noqa: E402
from testkit.core.events import Fact, FixtureFinished, Outcome, SubTestFinished, TestFinished  # noqa: E402

Outcomes = Counter[tuple[str, str]]
_FIXTURE = re.compile(r"(\w+) \((.*)\)")
_STAND_IN = re.compile(r"unittest\.loader\.(_FailedTest|ModuleSkipped)\.")


def of_stock(told: Iterable[tuple[str, str]]) -> Outcomes:
    """Return what stock Django told, with our ids of fixtures and of modules that cannot be imported."""
    return Counter((_FIXTURE.sub(r"\2 \1", _STAND_IN.sub("", id)), outcome) for id, outcome in told)


def of_testkit(facts: Iterable[Fact]) -> Outcomes:
    """Return the facts as unittest tells them: each problem by itself, and nothing of a test beside its bad subtests."""
    told: Outcomes = Counter()
    silent = set()
    for fact in facts:
        match fact:
            case SubTestFinished():
                bare = fact.outcome is Outcome.SKIPPED
                told[fact.test, fact.outcome.value if bare else f"subtest {fact.outcome.value}"] += 1
                if fact.outcome is not Outcome.PASSED:
                    silent.add(fact.test)
            case FixtureFinished() if fact.outcome is not Outcome.PASSED:
                told[f"{fact.id} {fact.phase}", fact.outcome.value] += len(fact.problems) or 1
            case TestFinished() if fact.problems:
                told.update((fact.id, problem.outcome.value) for problem in fact.problems)
            case TestFinished() if fact.id not in silent:
                told[fact.id, fact.outcome.value] += 1
    return told


def run(command: list[str], runner: str, by_environment: bool, record: Path) -> None:
    """Run ``command`` with the runner of that dotted name."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "benchmarks"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "TEST_RUNNER": runner, "STOCK_RECORD": str(record)}
    flags = [] if by_environment else [f"--testrunner={runner}"]
    print(f"--- {runner}", file=sys.stderr, flush=True)
    subprocess.run([sys.executable, *command, *flags], env=environment, check=False)


def main() -> int:
    """Run both, compare, print what differs."""
    command = sys.argv[1:]  # not for argparse: all of it but one flag is another program's
    by_environment = command[:1] == ["--by-environment"]
    command = command[by_environment:]
    if not command or command[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "stock.json"
        run(command, "stock.RecordingRunner", by_environment, record)
        stock = of_stock(json.loads(record.read_text()))
    run(command, "testkit.runner.TestkitRunner", by_environment, Path(os.devnull))
    ours = of_testkit(journal.read(Path("reports/journal")))
    for title, difference in (("only stock Django", stock - ours), ("only testkit", ours - stock)):
        for (id, outcome), count in sorted(difference.items()):
            print(f"{title}: {outcome:<20} {id}" + (f" ({count} times)" if count > 1 else ""))
    print(f"{sum(stock.values())} outcomes of stock Django, {sum(ours.values())} of testkit")
    return int(stock != ours)


if __name__ == "__main__":
    sys.exit(main())
