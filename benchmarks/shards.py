"""How evenly a large suite is divided, and how long the plan takes: 100,000 simulated tests over 64 shards.

    python benchmarks/shards.py [--tests N] [--shards N] [--seeds N]

No test is run. Durations are drawn as real suites have them: lognormal test times of which the median is 12 ms and the
mean some 50 ms; classes of a few tests mostly, and of hundreds at times; class set-ups with a quarter of all time, in a
third of the classes; a few modules with a set-up; files of one to a dozen classes.

The plan sees what a machine has before it imports a test module: the names of files, and the durations, read from their
file. These are a tenth off, test by test, and one class in a hundred of theirs is gone. What a shard takes is then
counted by the true times. How long new files take nobody can know: the rows with some show what is gained by merging
durations often.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from runs import table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from testkit.selection.durations import Durations, load, save
from testkit.selection.plan import (
    FILE_SECONDS,
    Plan,
    Source,
    inputs_hash,
    plan_sources,
)

GONE = 0.01
"""The share of classes that durations still know although they are gone."""


class Suite(NamedTuple):
    """A simulated suite: seconds of tests and of set-up by class, classes by file, and set-ups by module."""

    tests: dict[str, list[float]]
    set_ups: dict[str, float]
    files: dict[str, list[str]]
    modules: dict[str, float]


def make_suite(tests: int, chance: random.Random) -> Suite:
    """Return a suite of ``tests`` tests."""
    suite = Suite({}, {}, {}, {})
    left = tests
    while left:
        file = f"app{len(suite.files) % 97:02d}.tests.test_{len(suite.files):05d}"
        classes = suite.files[file] = []
        for number in range(min(12, 1 + int(chance.expovariate(0.5)))):
            size = min(left, 400, 1 + int(chance.lognormvariate(2.0, 1.0)))
            if not size:
                break
            left -= size
            class_id = f"{file}.Case{number:02d}"
            classes.append(class_id)
            suite.tests[class_id] = [min(60.0, chance.lognormvariate(-4.4, 1.7)) for _ in range(size)]
            if chance.random() < 1 / 3:
                suite.set_ups[class_id] = min(20.0, chance.lognormvariate(-1.1, 1.2))
        if chance.random() < 0.02:
            suite.modules[file] = min(10.0, chance.lognormvariate(-0.7, 1.0))
    return suite


def durations_of(suite: Suite, new_share: float, chance: random.Random) -> Durations:
    """Return what durations would know of ``suite``, of which a share of the files is new to them."""
    known = Durations({}, {})
    new = set(chance.sample(sorted(suite.files), int(len(suite.files) * new_share)))
    for file, classes in suite.files.items():
        gone = [f"{file}.Gone"] if chance.random() < GONE * len(classes) else []
        for class_id in () if file in new else (*classes, *gone):
            seconds = suite.tests.get(class_id, [0.05] * 8)
            known.tests.update(
                {f"{class_id}.test_{n:03d}": second * chance.uniform(0.9, 1.1) for n, second in enumerate(seconds)}
            )
            if class_id in suite.set_ups:
                known.fixtures[class_id] = suite.set_ups[class_id] * chance.uniform(0.9, 1.1)
    known.fixtures.update({file: seconds for file, seconds in suite.modules.items() if file not in new})
    return known


def true_loads(suite: Suite, plan: Plan) -> list[float]:
    """Return the seconds that each shard really takes: tests, set-ups of classes and modules, imports of files."""
    loads = [0.0] * plan.total
    holders: set[tuple[str, int]] = set()
    for file, classes in suite.files.items():
        holders.add((file, plan.owners[file]))
        for class_id in classes:
            shard = plan.shard_of(file, class_id)
            holders.add((file, shard))
            loads[shard - 1] += sum(suite.tests[class_id]) + suite.set_ups.get(class_id, 0.0)
    for file, shard in holders:
        # A shard that holds a class that is gone imports its file for nothing; that is in `sources_of` alone.
        loads[shard - 1] += suite.modules.get(file, 0.0)
    for shard in range(1, plan.total + 1):
        loads[shard - 1] += FILE_SECONDS * len(plan.sources_of(shard))
    return loads


def simulate(tests: int, shards: int, seeds: Sequence[int]) -> Iterator[list[str]]:
    """Yield a row of the table for each seed, without new files and with one in a hundred."""
    for seed, new_share in itertools.product(seeds, (0.0, 0.01)):
        chance = random.Random(seed)
        suite = make_suite(tests, chance)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "durations.json"
            save(path, durations_of(suite, new_share, chance))
            sources = [Source(file, f"{file}.py") for file in suite.files]
            started = time.perf_counter()
            known = load(path)
            loaded = time.perf_counter()
            plan = plan_sources(sources, known, shards)
            inputs_hash({"files": sorted(suite.files), "durations": hashlib.sha256(path.read_bytes()).hexdigest()})
            planned = time.perf_counter()
        assert plan is not None, "there are fewer classes than shards"
        foreseen, loads = plan.loads, true_loads(suite, plan)
        imports = sum(len(plan.sources_of(shard)) for shard in range(1, shards + 1))
        largest = max(sum(seconds) + suite.set_ups.get(class_id, 0.0) for class_id, seconds in suite.tests.items())
        yield [
            str(seed),
            f"{new_share:.0%}",
            f"{len(suite.tests):,} / {len(suite.files):,}",
            f"{statistics.mean(loads):.1f} s",
            f"{largest:.1f} s",
            f"{max(foreseen) / statistics.mean(foreseen):.3f}",
            f"{max(loads) / statistics.mean(loads):.3f}",
            f"{imports / len(suite.files):.2f}",
            f"{planned - loaded:.2f} s",
            f"{planned - started:.2f} s",
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tests", type=int, default=100_000)
    parser.add_argument("--shards", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    head = [
        "seed",
        "new files",
        "classes / files",
        "mean shard",
        "longest class",
        "worst / mean, foreseen",
        "worst / mean, true",
        "imports per file",
        "plan",
        "with reading",
    ]
    print(table(head, list(simulate(given.tests, given.shards, range(1, given.seeds + 1)))))


if __name__ == "__main__":
    main()
