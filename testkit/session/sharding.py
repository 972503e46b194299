"""A run that is one shard of several: what it loads, what it keeps of that, and the manifest that says so."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from testkit.core.errors import OptionError, TestkitError
from testkit.core.options import OptionGroup, Options, declared
from testkit.coverage.options import CoverageOptions
from testkit.coverage.routes.options import RouteOptions
from testkit.execution.ids import test_id
from testkit.listeners.history import HistoryOptions
from testkit.listeners.xunit import XunitOptions
from testkit.queries.options import QueryOptions
from testkit.selection import durations
from testkit.selection.durations import Durations
from testkit.selection.plan import Plan, Unit, plan_classes, plan_sources
from testkit.selection.rerun import RerunOptions
from testkit.selection.shards import AUTO, Shard, ShardOptions, parse_shard, shard_in
from testkit.session.formats import FORMAT_GROUPS
from testkit.session.manifest import NAME, Manifest, SeenClass, read_manifest, shortened, write_manifest
from testkit.session.sources import PartLoading, Sources, find_sources

MERGED_GROUPS: tuple[type[OptionGroup], ...] = (
    XunitOptions,
    *FORMAT_GROUPS,
    HistoryOptions,
    CoverageOptions,
    RouteOptions,
    QueryOptions,
)
"""The groups whose options a merge takes over from the shards, so that it writes what the run would have."""
_MERGED_OPTIONS = (*declared(MERGED_GROUPS), "allow_no_tests", "flaky", "listeners")


def sharding_of(options: Options, reports: Path, known: Path, environ: Mapping[str, str]) -> Sharding | None:
    """Return what makes a run with ``options`` a shard; None if it is not to be one.

    Args:
        options: of the run.
        reports: the folder that the manifest goes to.
        known: the file of durations.
        environ: where ``--shard auto`` looks.

    Raises:
        OptionError: the options do not go together, or a CI system's variables name no shard.
        ManifestError: the recorded manifest cannot be read.
    """
    given = options[ShardOptions]
    if not given.shard and not given.shard_from:
        return None
    if options[RerunOptions].last_failed:
        raise OptionError("--last-failed with --shard: the shards would not be complete; leave one of them out")
    place = Path(given.shard_from) if given.shard_from else None
    recorded = read_manifest(place) if place is not None and place.exists() else None
    if given.shard:
        shard = shard_in(environ) if given.shard == AUTO else parse_shard(given.shard)
    elif recorded is not None:
        shard = recorded.shard
    else:
        raise OptionError(f"--shard-from {place}: there is no such file; give --shard, too")
    if recorded is not None and shard != recorded.shard:
        raise OptionError(f"--shard-from {place} is the manifest of shard {recorded.shard}, and --shard says {shard}")
    return Sharding(shard, reports.absolute() / NAME, known, options_for_merge(options), recorded)


def options_for_merge(options: Options) -> dict[str, Any]:
    """Return what was set of the options that a merge is to know, as plain data."""
    return {name: _plain(options.settings[name].value) for name in _MERGED_OPTIONS if _is_set(options, name)}


def _is_set(options: Options, name: str) -> bool:
    return options.settings[name].origin != "default"


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


class Sharding:
    """What makes a run one shard of several.

    Call ``begin``; load the tests within ``loading``; take what ``select`` leaves; and call ``write`` when they start.
    """

    def __init__(
        self,
        shard: Shard,
        manifest: Path,
        known: Path,
        options: Mapping[str, Any],
        recorded: Manifest | None = None,
    ) -> None:
        """``manifest``: where it goes; ``known``: the file of durations; ``options``: those that a merge is to know."""
        self.shard = shard
        self._path = manifest
        self._known = known
        self._options = options
        self._recorded = recorded
        self._sources = Sources({}, {})
        self._inputs: Mapping[str, Any] = {}
        self._figures = Durations({}, {})
        self._plan: Plan | None = None
        self._loading: PartLoading | None = None
        self._seen: dict[str, tuple[SeenClass, ...]] = {}
        self.may_be_empty = False
        """Whether this shard is rightly without tests, since there are more shards than classes."""

    def begin(self) -> None:
        """Remove the manifest of an earlier run, and tell Bazel that its variables are heeded."""
        self._path.unlink(missing_ok=True)
        status_file = os.environ.get("TEST_SHARD_STATUS_FILE")
        if status_file:
            # https://bazel.build/reference/test-encyclopedia#test-sharding
            Path(status_file).touch()

    # Loading

    @contextmanager
    def loading(self, runner: Any, labels: Sequence[str]) -> Iterator[None]:
        """Let ``runner`` (a ``DiscoverRunner``) load, within the block, no more than this shard may have to run.

        Raises:
            OptionError: the recorded manifest is of another run.
        """
        labels = labels or ["."]
        self._sources = find_sources(runner, labels)
        self._figures = figures = durations.load(self._known)
        names = {"tags": runner.tags, "exclude_tags": runner.exclude_tags, "names": runner.test_name_patterns or ()}
        self._inputs = {
            "total": self.shard.total,
            "files": sorted(self._sources.by_name),
            "labels": list(labels),
            "pattern": runner.pattern,
            "top_level": runner.top_level,
            **{name: sorted(chosen) for name, chosen in names.items()},
            "durations": hash_of(self._known) if figures.tests else "",
            "django": _version_of("django"),
            "testkit": _version_of("testkit"),
        }
        if self._recorded is not None:
            self._take_over(self._recorded)
            wanted = frozenset(self._recorded.seen)
        else:
            sources = list(self._sources.by_name.values())
            # By tags and patterns there is less to run than durations know: then only the tests themselves tell.
            is_cut = any(names.values())
            self._plan = None if is_cut else plan_sources(sources, figures, self.shard.total)
            wanted = self._plan.sources_of(self.shard.number) if self._plan else frozenset(self._sources.by_name)
        self._loading = PartLoading(self._sources, wanted)
        with self._loading.by(runner):
            yield

    def _take_over(self, recorded: Manifest) -> None:
        now = {**self._inputs, "durations": recorded.inputs["durations"]}
        different = [name for name in now if now[name] != recorded.inputs.get(name)]
        if different:
            raise OptionError(
                f"--shard-from: the manifest of shard {recorded.shard} was recorded with other {', '.join(different)}; "
                f"give the labels and options of that run, on the same code"
            )
        self._inputs = recorded.inputs

    def leaves_out(self, label: str) -> bool:
        """Return whether ``label`` leads to nothing that this shard has a part in, and so is not to be loaded."""
        return self._loading is not None and self._loading.leaves_out(label)

    # Selecting

    def select(self, tests: Sequence[Any], rank_of: Callable[[Any], int]) -> list[Any]:
        """Return those of ``tests`` that this shard runs, in their order.

        ``rank_of`` gives the rank of a test in Django's order.

        Raises:
            TestkitError: tests of the recorded list are not there.
        """
        loading = self._loading
        if loading is None:
            raise TestkitError("the tests of this shard were not loaded as a shard's: build_suite() was not asked")
        units = [loading.unit_of(test) for test in tests]
        ids = [test_id(test) for test in tests]
        self._seen = _group(tests, units, ids, rank_of, loading.loaded)
        self._loading = None  # and with it the tests that others run
        if self._recorded is not None:
            return self._select_recorded(tests, ids, self._recorded)
        plan = self._plan or self._plan_classes(units, ids)
        return [test for test, unit in zip(tests, units, strict=True) if plan.shard_of(*unit) == self.shard.number]

    def _select_recorded(self, tests: Sequence[Any], ids: Sequence[str], recorded: Manifest) -> list[Any]:
        wanted = frozenset(recorded.ids)
        missing = sorted(wanted.difference(ids))
        if missing:
            raise TestkitError(
                f"--shard-from: {len(missing)} tests of shard {recorded.shard} are not there any more "
                f"({shortened(missing)}): run it on the code that it was recorded with"
            )
        self.may_be_empty = not wanted
        return [test for test, id in zip(tests, ids, strict=True) if id in wanted]

    def _plan_classes(self, units: Sequence[Unit], ids: Sequence[str]) -> Plan:
        classes: dict[Unit, list[str]] = {}
        for unit, id in zip(units, ids, strict=True):
            classes.setdefault(unit, []).append(id)
        self.may_be_empty = len(classes) < self.shard.total
        self._plan = plan_classes(classes, self._figures, self.shard.total)
        return self._plan

    def describe(self, selected: int) -> str:
        """Return a line on this shard, which has ``selected`` tests."""
        if self._recorded is not None:
            return f"shard {self.shard}: {selected} tests, as recorded"
        foreseen = ""
        if self._plan is not None and self._figures.tests:
            foreseen = f", {self._plan.loads[self.shard.number - 1]:.1f} s as foreseen"
        return f"shard {self.shard}: {selected} tests{foreseen}"

    # Telling

    def write(self, run: str, ids: Sequence[str]) -> None:
        """Write the manifest of the run ``run``, whose tests are ``ids`` in their order."""
        by_name = self._sources.by_name
        write_manifest(
            self._path,
            Manifest(
                shard=self.shard,
                run=run,
                inputs=self._inputs,
                files={name: source.path for name, source in by_name.items()},
                shared=tuple(name for name, source in by_name.items() if source.is_shared),
                seen=self._seen,
                ids=tuple(ids),
                options=self._options,
                directory=os.getcwd(),
            ),
        )


def _group(
    tests: Sequence[Any],
    units: Sequence[Unit],
    ids: Sequence[str],
    rank_of: Callable[[Any], int],
    loaded: Mapping[str, None],
) -> dict[str, tuple[SeenClass, ...]]:
    """Return the classes seen in each loaded source; a source that is not (an import brought it) tells too little."""
    classes: dict[Unit, tuple[int, list[str]]] = {}
    for test, unit, id in zip(tests, units, ids, strict=True):
        if unit not in classes:
            classes[unit] = rank_of(test), []
        classes[unit][1].append(id)
    seen: dict[str, list[SeenClass]] = {source: [] for source in loaded}
    for (source, class_id), (rank, below) in classes.items():
        if source in loaded or not source:
            seen.setdefault(source, []).append(SeenClass(class_id, rank, tuple(below)))
    return {source: tuple(below) for source, below in seen.items()}


def hash_of(path: Path) -> str:
    """Return the hash of a file's contents."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _version_of(package: str) -> str:
    return str(sys.modules[package].__version__)  # both are running
