"""Whether shards were one run: all there, each once, planned from the same inputs, disjoint and complete.

Only the manifests are asked, so that a merge knows it before it writes anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from testkit.selection.shards import Shard
from testkit.session.manifest import Manifest, SeenClass, shortened


class Placed(NamedTuple):
    """A manifest, and the folder that it came in."""

    manifest: Manifest
    folder: str

    def __str__(self) -> str:
        return f"shard {self.manifest.shard} in {self.folder}"


def problems_of(shards: Sequence[Placed], *, allow_empty: bool = False) -> list[str]:
    """Return what keeps ``shards`` from being one run, a line for each problem; nothing if they are one.

    ``allow_empty``: a shard may be without tests although there were enough classes.
    """
    # Of shards that do not belong together, the rest says nothing.
    return [*_strangers(shards)] or [*_doubled(shards), *_missing(shards)] or [*_gaps(shards, allow_empty)]


def _strangers(shards: Sequence[Placed]) -> Iterator[str]:
    """Tell of shards that were planned from other inputs than most."""
    plans = Counter(shard.manifest.plan for shard in shards)
    usual = plans.most_common(1)[0][0]
    others = next(shard for shard in shards if shard.manifest.plan == usual)
    for shard in shards:
        if shard.manifest.plan != usual:
            theirs, ours = shard.manifest.inputs, others.manifest.inputs
            different = sorted(name for name in {*theirs, *ours} if theirs.get(name) != ours.get(name))
            yield f"{shard} is foreign: its {', '.join(different)} are not those of {others}"


def _doubled(shards: Sequence[Placed]) -> Iterator[str]:
    by_shard: dict[Shard, list[str]] = {}
    for shard in shards:
        by_shard.setdefault(shard.manifest.shard, []).append(shard.folder)
    for name, folders in sorted(by_shard.items()):
        if len(folders) > 1:
            yield f"shard {name} is there {len(folders)} times: in {', '.join(folders)}"


def _missing(shards: Sequence[Placed]) -> Iterator[str]:
    total = shards[0].manifest.shard.total
    present = {shard.manifest.shard.number for shard in shards}
    for index in range(1, total + 1):
        if index not in present:
            yield (
                f"shard {Shard(index, total)} is missing: its tests did not begin, or its reports/ is in none of the "
                f"folders"
            )


def _gaps(shards: Sequence[Placed], allow_empty: bool) -> Iterator[str]:
    """Tell of what no shard ran, and of what more than one did."""
    manifests = [shard.manifest for shard in shards]
    yield from _unloaded(manifests)
    yield from _disagreements(manifests)
    runners = _runners(manifests)
    explained = _sources_of_ids(manifests)
    doubled = [id for id, runs in runners.items() if len(runs) > 1 and len(explained.get(id, ())) < 2]
    if doubled:
        who = ", ".join(f"{shard}" for shard in runners[doubled[0]])
        yield f"{len(doubled)} tests ran on more than one shard ({who}): {shortened(doubled)}"
    left = [id for id in explained if id not in runners]
    if left:
        yield f"{len(left)} tests were seen, and run by no shard: {shortened(left)}"
    classes = len(
        {(source, seen.id) for manifest in manifests for source, below in manifest.seen.items() for seen in below}
    )
    for manifest in manifests:
        if not (manifest.ids or allow_empty) and classes >= manifest.shard.total:
            yield f"shard {manifest.shard} is empty, although there are {classes} classes: the durations are out of date"


def _unloaded(manifests: Sequence[Manifest]) -> Iterator[str]:
    loaded = {source for manifest in manifests for source in manifest.seen}
    shared = {source for manifest in manifests for source in manifest.shared}
    left = [path or name for name, path in manifests[0].files.items() if name not in loaded and name not in shared]
    if left:
        yield f"{len(left)} test files were imported by no shard: {shortened(left)}"


def _disagreements(manifests: Sequence[Manifest]) -> Iterator[str]:
    """Tell of modules in which shards saw different tests: they ran different code."""
    first: dict[str, tuple[Manifest, Mapping[str, Sequence[str]]]] = {}
    told = set()
    for manifest in manifests:
        for source, below in manifest.seen.items():
            # Which importer of a class defined elsewhere shows it depends on what else is imported.
            own = {seen.id: seen.ids for seen in below if seen.id == source or seen.id.startswith(f"{source}.")}
            other, theirs = first.setdefault(source, (manifest, own))
            if own != theirs and source not in told:
                told.add(source)
                yield f"shards {other.shard} and {manifest.shard} saw different tests in {source}: they ran different code"


def _runners(manifests: Iterable[Manifest]) -> dict[str, list[Shard]]:
    runners: dict[str, list[Shard]] = {}
    for manifest in manifests:
        for id in dict.fromkeys(manifest.ids):
            runners.setdefault(id, []).append(manifest.shard)
    return runners


def _sources_of_ids(manifests: Iterable[Manifest]) -> dict[str, set[str]]:
    sources: dict[str, set[str]] = {}
    for _, source, seen in _seen(manifests):
        for id in seen.ids:
            sources.setdefault(id, set()).add(source)
    return sources


def _seen(manifests: Iterable[Manifest]) -> Iterator[tuple[Manifest, str, SeenClass]]:
    for manifest in manifests:
        for source, below in manifest.seen.items():
            for seen in below:
                yield manifest, source, seen


# What follows for the joined run


def twins_of(manifests: Sequence[Manifest]) -> dict[str, list[Shard]]:
    """Return the classes that more than one shard ran, with these shards.

    Such a class is defined where no tests are looked for, and imported by test files that went to different shards. Run
    as one, Django takes it once.
    """
    runners = {id: shards for id, shards in _runners(manifests).items() if len(shards) > 1}
    return {seen.id: runners[id] for _, _, seen in _seen(manifests) for id in seen.ids if id in runners}


def ids_in_order(manifests: Sequence[Manifest], kept: Mapping[str, Shard]) -> tuple[str, ...]:
    """Return the ids of all tests in the order of a run that is not divided.

    ``kept`` has the shard that counts for each class that several ran.
    """
    places: dict[str, tuple[int, int, int]] = {}
    classes: dict[str, str] = {}
    order = {source: number for number, source in enumerate(manifests[0].files)}
    for manifest in manifests:
        for source, below in manifest.seen.items():
            number = order.get(source, len(order))
            for position, seen in enumerate(below):
                for id in seen.ids:
                    place = (seen.rank, number, position)
                    places[id] = min(place, places.get(id, place))
                    classes[id] = seen.id
    last = (len(order), 0, 0)
    ids = [
        id
        for manifest in manifests
        for id in manifest.ids
        if kept.get(classes.get(id, ""), manifest.shard) == manifest.shard
    ]
    # A class's tests come from one shard, in their order: sorting leaves that alone.
    return tuple(sorted(ids, key=lambda id: places.get(id, last)))
