"""Compare testkit with stock Django on a real project: the same tests must have the same outcomes.

    cd some-project
    python .../benchmarks/same_outcomes.py manage.py test
    python .../benchmarks/same_outcomes.py --by-environment --again runtests.py --settings some.settings

The command is run by this Python with ``--testrunner`` for stock Django and then for testkit; with ``--by-environment``,
for programs without that flag, its settings take TEST_RUNNER from the environment instead. With ``--again`` testkit runs
a second time, with the databases from the templates that its first run has kept. Ends with 0 when nothing differs.
Parameters of subtests are not compared: many have addresses or times in them.
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
    command, flags = sys.argv[1:], set()  # not for argparse: all but the first flags are another program's
    while command and command[0] in ("--by-environment", "--again"):
        flags.add(command.pop(0))
    if not command or command[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    by_environment = "--by-environment" in flags
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "stock.json"
        run(command, "stock.RecordingRunner", by_environment, record)
        stock = of_stock(json.loads(record.read_text()))
    differs = False
    for title in ("testkit", "testkit again") if "--again" in flags else ("testkit",):
        run(command, "testkit.runner.TestkitRunner", by_environment, Path(os.devnull))
        ours = of_testkit(journal.read(Path("reports/journal")))
        tell(title, stock, ours)
        differs |= stock != ours
    return int(differs)


def tell(title: str, stock: Outcomes, ours: Outcomes) -> None:
    """Print what one run of testkit has otherwise than stock Django."""
    for whose, difference in (("only stock Django", stock - ours), (f"only {title}", ours - stock)):
        for (id, outcome), count in sorted(difference.items()):
            print(f"{whose}: {outcome:<20} {id}" + (f" ({count} times)" if count > 1 else ""))
    print(f"{sum(stock.values())} outcomes of stock Django, {sum(ours.values())} of {title}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
