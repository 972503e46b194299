"""``python -m testkit merge``: the reports of shards become the reports of one run.

The facts that the shards' journals hold go to the listeners that a run has, one shard after the other; so whatever a
run writes, a merge writes too, and in the same way.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from testkit.core.configuration import configuration_sources
from testkit.core.errors import ExitStatus, JournalError, OptionError, TestkitError
from testkit.core.events import (
    Fact,
    FixtureFinished,
    FixtureStarted,
    Outcome,
    RunFinished,
    RunMeasured,
    RunStarted,
    SubTestFinished,
    TestFinished,
    TestStarted,
)
from testkit.core.options import Options, Source, add_arguments, declared, from_command_line, from_environment, resolve
from testkit.coverage.options import CoverageOptions
from testkit.listeners import screenshots
from testkit.listeners.console import ConsoleOptions
from testkit.listeners.github import GithubOptions
from testkit.selection.shards import Shard, ShardOptions
from testkit.session.aftermath import RecordedRun, completed, find_run
from testkit.session.aftermath.arguments import StatusOptions
from testkit.session.aftermath.completion import PROCESS_DIED
from testkit.session.host import Host
from testkit.session.joining import brought, join_screenshots
from testkit.session.manifest import NAME, Manifest, is_manifest, read_manifest
from testkit.session.options import GROUPS, REPORTS, RunOptions
from testkit.session.proof import Placed, ids_in_order, problems_of, twins_of
from testkit.session.sharding import MERGED_GROUPS
from testkit.session.telling import Telling

if TYPE_CHECKING:
    from testkit.coverage.change import Base

_DEPTH = 3
"""How many folders below one that is given a manifest may lie: CI systems put artifacts into folders of their own."""
_OWN_SECTIONS = frozenset({"coverage", "databases", "diff_coverage", "reports", "status"})
"""What a shard measured for itself; the joined run has its own, or none."""


class MergeError(TestkitError):
    """What was given is not the shards of one run."""


class ShardReports(NamedTuple):
    """The reports of one shard: its manifest, the folder that this lies in, and the facts of its run."""

    manifest: Manifest
    folder: Path
    facts: RecordedRun
    started: RunStarted

    @property
    def shard(self) -> Shard:
        return self.manifest.shard


def merge_parser() -> ArgumentParser:
    """Return the parser of the command's arguments."""
    parser = ArgumentParser(
        "python -m testkit merge",
        description="Join the reports of all shards of a run into one reports/, as a run would have written it.",
    )
    parser.add_argument(
        "folders",
        type=Path,
        nargs="+",
        metavar="DIR",
        help="A folder that a shard's reports/ came in, or one that holds such folders.",
    )
    parser.add_argument(
        "-v", "--verbosity", type=int, choices=(0, 1, 2, 3), default=1, help="As in Django's commands. Default: 1."
    )
    parser.add_argument(
        "--durations", type=int, metavar="N", help="Show the N slowest tests as Django's flag does (0: all)."
    )
    parser.add_argument("--settings", help="The settings module, if listeners of the project's own need it.")
    parser.add_argument("--pythonpath", help="A folder to put on the import path.")
    add_arguments(parser, (*MERGED_GROUPS, ConsoleOptions, GithubOptions, StatusOptions))
    return parser


def merge(arguments: Sequence[str]) -> ExitStatus:
    """Join the reports that ``arguments`` name into ``reports/``, and return the exit status of the joined run.

    Raises:
        TestkitError: they are not the shards of one run, a report cannot be made, or an option is wrong.
    """
    given = merge_parser().parse_args(arguments)
    placed = find_manifests(given.folders)
    typed = {name: value for name, value in vars(given).items() if name in declared(GROUPS)}
    options = _resolve(typed, [shard.manifest for shard in placed])
    if options[RunOptions].listeners:
        import django

        django.setup()  # they are the project's
    host = Host(given.verbosity, buffer=True, durations=given.durations, parts=len(placed), is_whole=True)
    try:
        return _merge(placed, options, host)
    except KeyboardInterrupt as error:
        return ExitStatus.TERMINATED if str(error) == "SIGTERM" else ExitStatus.INTERRUPTED


def _merge(placed: Sequence[Placed], options: Options, host: Host) -> ExitStatus:
    problems = problems_of(placed, allow_empty=options[RunOptions].allow_no_tests)
    reports: list[ShardReports] = []
    if not problems:
        reports, problems = _read_journals(placed)
    with MergedRun(options, host, reports) as run:  # which takes the last run's reports away
        if problems:
            raise MergeError("\n  ".join(["these are not the shards of one run, and nothing is merged:", *problems]))
        run.replay()
        run.finish()
        status, reason = run.status()
    if reason:
        print(f"testkit: {reason}", file=sys.stderr)
    return status


def find_manifests(folders: Sequence[Path]) -> list[Placed]:
    """Return the manifests in ``folders``, and in folders below them, by the indexes of their shards.

    Raises:
        MergeError: a folder has none, or is the one that the merge writes to.
        ManifestError: a manifest cannot be read.
    """
    found: dict[Path, Placed] = {}
    for folder in folders:
        paths = [path for depth in range(_DEPTH + 1) for path in folder.glob("*/" * depth + NAME) if is_manifest(path)]
        if not paths:
            raise MergeError(f"{folder} has no {NAME} of a shard: give the folders that the shards' reports/ came in")
        for path in paths:
            if path.parent.resolve() == REPORTS.resolve():
                raise MergeError(
                    f"{path} lies where the joined reports go: move that shard's {REPORTS}/ into a folder of its own"
                )
            found[path.resolve()] = Placed(read_manifest(path), str(path.parent))
    return sorted(found.values(), key=lambda placed: placed.manifest.shard)


def _resolve(typed: Mapping[str, Any], manifests: Sequence[Manifest]) -> Options:
    """Return the options of the merge; what it is not told otherwise is as all of the shards had it."""
    first = manifests[0].options
    common = {
        name: value
        for name, value in first.items()
        if name in declared(GROUPS) and all(manifest.options.get(name) == value for manifest in manifests)
    }
    shards = Source("the shards' manifests", common, lambda name: name)
    given = [from_command_line(typed), from_environment(os.environ), shards, *configuration_sources(Path.cwd())]
    return resolve(GROUPS, [_without_shard(source) for source in given])


def _without_shard(source: Source) -> Source:
    """Return ``source`` without what makes a run a shard: where a project sets that once, a merge sees it, too."""
    return source._replace(
        values={name: value for name, value in source.values.items() if name not in ShardOptions.declared}
    )


def _read_journals(placed: Sequence[Placed]) -> tuple[list[ShardReports], list[str]]:
    reports, problems = [], []
    for shard in placed:
        manifest, folder = shard.manifest, Path(shard.folder)
        try:
            facts = find_run(folder, manifest.run)
            started = next((fact for fact in facts if isinstance(fact, RunStarted)), None)
        except JournalError as error:
            problems.append(f"{shard}: {error}")
            continue
        if started is None or started.ids != manifest.ids:
            problems.append(f"{shard}: its journal is cut off in its first line, or is not that of its manifest")
        else:
            reports.append(ShardReports(manifest, folder, facts, started))
    return reports, problems


class MergedRun(Telling):
    """A run whose facts come from the journals of shards."""

    def __init__(self, options: Options, host: Host, shards: Sequence[ShardReports]) -> None:
        measurement = None
        if options[CoverageOptions].with_cov:
            from testkit.coverage.merge import JoinedMeasurement, data_in

            files = {shard.shard: data_in(shard.folder) for shard in shards}
            self._without_coverage = [str(shard) for shard, found in files.items() if not found]
            measurement = JoinedMeasurement(
                options[CoverageOptions],
                [path for found in files.values() for path in found],
                [shard.manifest.directory for shard in shards],
            )
        else:
            self._without_coverage = []
        super().__init__(options, host, cast(Any, measurement))
        self._shards = shards
        self._ends: dict[Shard, RunFinished] = {}
        self._bad_fixtures: dict[tuple[str, str], Shard] = {}
        self._screenshots: Mapping[Shard, int] = {}
        """How many screenshots came with each shard."""

    def replay(self) -> None:
        """Publish the facts of the shards as those of one run, from RunStarted to RunFinished."""
        shards = self._shards
        manifests = [shard.manifest for shard in shards]
        twins = twins_of(manifests)
        for class_id, runners in twins.items():
            # Django takes a class once, however many files import it; a shard cannot know what the others import.
            self.notice(f"{class_id} ran on shards {', '.join(map(str, runners))}, which import it: it counts once")
        kept = _chosen(shards, twins)
        self._screenshots = join_screenshots(shards, kept)
        self.listen(is_parallel=False)
        self._bus.publish(_joined_start(self.run_id, shards, ids_in_order(manifests, kept)))
        for shard in shards:
            for fact in completed(shard.facts, str(shard.folder)):
                self._take(fact, shard, kept)
        self._finished = self._joined_end()
        self._bus.publish(self._finished)

    def _take(self, fact: Fact, shard: ShardReports, kept: Mapping[str, Shard]) -> None:
        """Publish ``fact`` of ``shard``, unless the joined run has one of its own in its place."""
        if isinstance(fact, RunFinished):
            self._ends[shard.shard] = fact
            return
        if isinstance(fact, RunStarted) or (isinstance(fact, RunMeasured) and fact.section in _OWN_SECTIONS):
            return
        if isinstance(fact, RunMeasured) and fact.section == screenshots.SECTION:
            if self._misses_screenshots(fact, shard):
                return
            fact = fact._replace(data=screenshots.told_of_part(fact.data))
        if kept.get(_class_of(fact), shard.shard) != shard.shard or self._is_told(fact, shard.shard):
            return
        if isinstance(fact, TestFinished) and fact.attachments:
            fact = fact._replace(attachments=tuple(brought(path, shard) for path in fact.attachments))
        worker = getattr(fact, "worker", None)
        if worker is not None:
            # Workers of different shards have the same names.
            name = f"{shard.shard.number}.{worker}" if worker else str(shard.shard.number)
            fact = cast(Fact, cast(Any, fact)._replace(worker=name))
        self._bus.publish(fact)

    def _misses_screenshots(self, told: RunMeasured, shard: ShardReports) -> bool:
        """Return whether ``shard`` took screenshots that did not come with its reports, and say so."""
        if self._screenshots[shard.shard] or not screenshots.comparisons_in(told.data):
            return False
        self.notice(
            f"the screenshots of shard {shard.shard} are not reviewed: {shard.folder} has none; keep all of {REPORTS}/"
        )
        return True

    def _is_told(self, fact: Fact, shard: Shard) -> bool:
        """Return whether ``fact`` is of a fixture that failed on another shard already: one run has it once."""
        if not isinstance(fact, FixtureStarted | FixtureFinished):
            return False
        fixture = fact.id, fact.phase
        if self._bad_fixtures.get(fixture, shard) != shard:
            return True
        if isinstance(fact, FixtureFinished) and fact.outcome is not Outcome.PASSED and fact.final:
            self._bad_fixtures[fixture] = shard
        return False

    def _joined_end(self) -> RunFinished:
        ends = list(self._ends.values())
        told = {id for end in ends for id in end.not_run}
        left = self._tally.unaccounted()
        return RunFinished(
            at=max(end.at for end in ends),
            seconds=max(end.seconds for end in ends),
            interrupted=next((end.interrupted for end in ends if end.interrupted), ""),
            stopped=next((end.stopped for end in ends if end.stopped), ""),
            not_run=tuple(id for id in left if id in told),
            lost=tuple(id for id in left if id not in told),
        )

    def _base_of_change(self) -> Base | None:
        try:
            return super()._base_of_change()
        except OptionError as error:
            self._below_minimum.append(str(error))  # the tests have run: what they came to is joined all the same
            return None

    def _judge(self, failures: int | None = None) -> tuple[ExitStatus, str]:
        """Return how the process should end; that a shard did not come to its end goes before what its tests say."""
        cut = [f"shard {shard} was cut short: {_cause(end)}" for shard, end in self._ends.items() if _cause(end)]
        cut += [f"shard {shard} has no coverage data" for shard in self._without_coverage]
        if cut and not self.interrupts.received:
            return ExitStatus.RUN_FAILED, "; ".join(cut)
        return super()._judge(failures)


def _cause(end: RunFinished) -> str:
    if end.interrupted:
        return f"interrupted by {end.interrupted}, {len(end.not_run)} tests not run"
    return end.stopped if end.stopped.startswith(PROCESS_DIED) else ""


def _class_of(fact: Fact) -> str:
    """Return the class that ``fact`` is about, or the module of a fixture; empty when it is about neither."""
    if isinstance(fact, TestStarted | TestFinished | SubTestFinished):
        return fact.class_id
    return fact.id if isinstance(fact, FixtureStarted | FixtureFinished) else ""


def _chosen(shards: Sequence[ShardReports], twins: Mapping[str, Sequence[Shard]]) -> dict[str, Shard]:
    """Return, for each class that several shards ran, the first on which something of it went wrong, or the first."""
    chosen: dict[str, Shard] = {}
    for shard in shards if twins else ():
        for fact in shard.facts:
            if isinstance(fact, TestFinished | FixtureFinished) and fact.outcome.is_bad and _class_of(fact) in twins:
                chosen.setdefault(_class_of(fact), shard.shard)
    return {class_id: chosen.get(class_id, runners[0]) for class_id, runners in twins.items()}


def _joined_start(run: str, shards: Sequence[ShardReports], ids: tuple[str, ...]) -> RunStarted:
    first = min((shard.started for shard in shards), key=lambda started: started.at)
    hosts = {shard.started.hostname for shard in shards}
    hostname = first.hostname if len(hosts) == 1 else ""
    return first._replace(run=run, ids=ids, hostname=hostname, directory=os.getcwd())
