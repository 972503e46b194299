"""The plan of a sharded run: which shard runs which classes, foreseen from how long they took before.

Every machine makes the same plan from the same inputs, so that none has to ask another. It is made over classes and
files by name, before any test module is imported: what a shard has no part in, it need not import.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple
from zlib import crc32

from testkit.core.verdict import class_of
from testkit.selection.durations import Durations

FILE_SECONDS = 0.02
"""What a shard pays for each test file that it imports: between the 4 and the 40 ms that real suites take."""
_UNKNOWN_SECONDS = 1.0  # of a file or test when nothing at all is known: only how they compare matters then
_WHOLE_SHARE = 0.05
"""A file that takes less than this share of a shard stays whole: so many items of that size can be spread evenly."""


class Source(NamedTuple):
    """A module that tests come from, by its dotted name.

    ``path`` is its file, empty where only the name is known. Every shard loads one that ``is_shared`` (a package, which
    importing anything below it imports). ``labels`` are those that name something in it, when only that is wanted.
    """

    name: str
    path: str = ""
    is_shared: bool = False
    labels: tuple[str, ...] = ()

    def covers(self, id: str) -> bool:
        """Whether the test ``id`` is wanted, if it is one of this module."""
        return not self.labels or any(id == label or id.startswith(f"{label}.") for label in self.labels)


Unit = tuple[str, str]
"""A source's name and the id of a class in it: what is never divided."""


class Plan(NamedTuple):
    """Who runs what, as indexes from 1.

    ``classes`` has the shards of the classes that were planned; ``owners`` has, for each source that is not shared, the
    shard that runs what else turns up in it; ``loads`` are the seconds that each shard is expected to take.
    """

    total: int
    classes: Mapping[Unit, int]
    owners: Mapping[str, int]
    loads: tuple[float, ...]

    def shard_of(self, source: str, class_id: str) -> int:
        """Return the shard that runs the class ``class_id`` of ``source``, planned or not."""
        planned = self.classes.get((source, class_id)) or self.owners.get(source)
        # Of what no file brought, all shards know: any rule will do on which they agree.
        return planned or crc32(class_id.encode("utf-8", "backslashreplace")) % self.total + 1

    def sources_of(self, shard: int) -> frozenset[str]:
        """Return the names of the sources that ``shard`` has a part in."""
        owned = {name for name, owner in self.owners.items() if owner == shard}
        return frozenset(owned | {source for (source, _), index in self.classes.items() if index == shard})


def plan_sources(sources: Sequence[Source], durations: Durations, total: int) -> Plan | None:
    """Divide ``sources`` among ``total`` shards by what ``durations`` know of them, and by nothing else.

    Classes go to the shard with the least to do, the longest first. The cost of a file (to import it, its
    ``setUpModule``) is paid by each shard that has a class of it, so files stay together unless that would leave the
    shards uneven. A file of which nothing is known counts like
    the mean one.

    Returns:
        None if there is too little to go by: some shard would have nothing, though there may be enough classes.
    """
    recorded = _recorded(sources, durations)
    costs = {source.name: _cost(source, durations) for source in sources}
    known = {name: costs[name] + sum(classes.values()) for name, classes in recorded.items()}
    usual = round(fmean(known.values())) if known else _microseconds(_UNKNOWN_SECONDS)
    files = {source.name: known.get(source.name, usual) for source in sources if not source.is_shared}
    whole = sum(files.values()) / total * _WHOLE_SHARE
    items = []
    for source in sources:
        classes = recorded.get(source.name, {})
        if source.is_shared or sum(classes.values()) > whole:
            items += [_Item(seconds, source.name, (id,)) for id, seconds in classes.items()]
        else:
            items.append(_Item(max(1, files[source.name] - costs[source.name]), source.name, tuple(classes)))
    if len(items) < total:
        return None
    shared = {source.name for source in sources if source.is_shared}
    return _divide(items, costs, total, shared)


def plan_classes(classes: Mapping[Unit, Sequence[str]], durations: Durations, total: int) -> Plan:
    """Divide ``classes``, of which every test id is known, among ``total`` shards.

    All shards have imported all files by then, so that only ``setUpModule`` is paid for twice when a module is divided.
    """
    known = durations.tests
    usual = fmean(known.values()) if known else _UNKNOWN_SECONDS
    items = [
        _Item(
            sum(_microseconds(known.get(id, usual)) for id in ids)
            + _microseconds(durations.fixtures.get(class_id, 0.0)),
            source,
            (class_id,),
        )
        for (source, class_id), ids in classes.items()
    ]
    costs = {source: _microseconds(durations.fixtures.get(source, 0.0)) for source, _ in classes}
    return _divide(items, costs, total, shared=costs.keys())


def _microseconds(seconds: float) -> int:
    """Return ``seconds`` in whole microseconds, at least one: sums of whole numbers are alike on all machines."""
    return max(1, round(seconds * 1e6))


def _cost(source: Source, durations: Durations) -> int:
    set_up = durations.fixtures.get(source.name, 0.0)
    return _microseconds(set_up if source.is_shared else set_up + FILE_SECONDS)


def _recorded(sources: Iterable[Source], durations: Durations) -> dict[str, dict[str, int]]:
    """Return the classes that ``durations`` know in ``sources``, with their microseconds, set-up included."""
    by_name = {source.name: source for source in sources}
    places: dict[str, tuple[Source | None, str]] = {}  # by what is before the last dot: mostly a class
    classes: dict[Unit, int] = {}
    for id, seconds in durations.tests.items():
        above = id.rpartition(".")[0]
        if above not in places:
            class_id = class_of(id)  # parameters at the end of an id may have dots of their own
            places[above] = _home(class_id, by_name), class_id
        source, class_id = places[above]
        if source is not None and (not source.labels or source.covers(id)):
            unit = source.name, class_id
            classes[unit] = classes.get(unit, 0) + _microseconds(seconds)
    found: dict[str, dict[str, int]] = {}
    for (name, class_id), microseconds in classes.items():
        set_up = durations.fixtures.get(class_id)
        found.setdefault(name, {})[class_id] = microseconds + (_microseconds(set_up) if set_up else 0)
    return found


def _home(class_id: str, by_name: Mapping[str, Source]) -> Source | None:
    name = class_id
    while name:
        source = by_name.get(name)
        if source is not None:
            # Below a package, what has another dot is of a module in it that is no source.
            is_elsewhere = source.is_shared and "." in class_id[len(name) + 1 :]
            return None if is_elsewhere else source
        name = name.rpartition(".")[0]
    return None


class _Item(NamedTuple):
    """What is given to one shard at once: classes of a source (none: whatever is in it) and their microseconds."""

    weight: int
    source: str
    classes: tuple[str, ...]


def _divide(items: Iterable[_Item], costs: Mapping[str, int], total: int, shared: Iterable[str]) -> Plan:
    """Give each item, the heaviest first, to the shard with the least to do.

    One that has paid for the item's source goes before it, if the item fits in there; but none is left empty for that.
    """
    by_weight = sorted(items, key=lambda item: (-item.weight, item.source, item.classes))
    first = {item.source: item for item in reversed(by_weight)}  # with which the cost of its source comes
    order = sorted(by_weight, key=lambda item: -item.weight - (costs[item.source] if first[item.source] is item else 0))
    fair = sum(item.weight for item in order) + sum(costs[source] for source in first)
    loads = [0] * total
    held: dict[str, dict[int, int]] = {}  # by source, what each shard that has a part in it has
    classes: dict[Unit, int] = {}
    for weight, source, ids in order:
        cost, parts = costs[source], held.setdefault(source, {})
        place = loads.index(min(loads))
        if parts and loads[place] and place not in parts:
            holder = min(parts, key=lambda index: (loads[index], index))
            has_room = (loads[holder] + weight) * total <= fair
            is_cheaper = loads[holder] < loads[place] + cost and (loads[place] + cost + weight) * total > fair
            place = holder if has_room or is_cheaper else place
        loads[place] += weight + (0 if place in parts else cost)
        parts[place] = parts.get(place, 0) + weight
        classes.update(((source, id), place + 1) for id in ids)
    loaded_by_all = frozenset(shared)
    owners = {
        source: max(parts, key=lambda index: (parts[index], -index)) + 1
        for source, parts in held.items()
        if source not in loaded_by_all
    }
    return Plan(total, classes, owners, tuple(load / 1e6 for load in loads))


# What a plan was made from


def inputs_hash(inputs: Mapping[str, Any]) -> str:
    """Return the hash of what a plan was made from: plain data by name."""
    return hashlib.sha256(json.dumps(inputs, separators=(",", ":"), sort_keys=True).encode("ascii")).hexdigest()
