"""The runs that a path stands for: journals, folders of them, shards, and JSON documents of ``report``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from testkit.core import journal
from testkit.core.errors import JournalError
from testkit.core.events import Fact, FixtureFinished, RunStarted, SubTestFinished, TestFinished, from_plain
from testkit.session.aftermath import RecordedRun, completed, find_run
from testkit.session.aftermath.document import VERSION
from testkit.session.manifest import NAME, Manifest, is_manifest, read_manifest

T = TypeVar("T")
_DEPTH = 3
"""How many folders below one that is given a journal may lie, beside ``journal`` itself: CI systems nest artifacts."""
_HEAD = b'{"version":'
_ENDED = ("outcome", "seconds", "at", "problems")


class FoundRun(NamedTuple):
    """One run: its id, whether it is joined from shards, and what yields its facts, from the start to the end."""

    run: str
    is_joined: bool
    facts: Callable[[], Iterable[Fact]]

    def tell(self, listener: Callable[[Fact], None]) -> None:
        """Give ``listener`` all facts of the run.

        Raises:
            JournalError: they cannot be read.
        """
        for fact in self.facts():
            listener(fact)


def find_runs(place: Path) -> list[FoundRun]:
    """Return the runs of ``place``, the oldest first.

    Args:
        place: a file of a journal, a JSON document of ``report``, or a folder in which, or below which, there are some.
            Shards of one run that were not merged are joined.

    Raises:
        JournalError: there is none, or a file cannot be read.
        ManifestError: the manifest of a shard cannot be read.
    """
    if place.is_dir():
        found = _runs_below(place)
        if not found:
            raise JournalError(f"{place} has no journal, and nothing of `report --format json`: run the tests first")
        return [found[run] for run in sorted(found)]
    if _is_document(place):
        return [_of_document(place)]
    recorded = find_run(place)
    return [FoundRun(_run_of(recorded), False, lambda: light(recorded))]


def light(recorded: RecordedRun) -> Iterable[Fact]:
    """Return the facts of a run, complete, without what tests printed: of ten thousand tests that may be much.

    Raises:
        JournalError: they cannot be read.
    """
    return completed([_light(fact) for fact in recorded], str(recorded))


def _light(fact: Fact) -> Fact:
    if isinstance(fact, TestFinished):
        says_more = fact.problems or fact.stdout or fact.stderr or fact.sql
        return fact._replace(stdout="", stderr="", sql="", problems=()) if says_more else fact
    if isinstance(fact, FixtureFinished):
        return fact._replace(stdout="", stderr="", problems=())
    return fact._replace(problem=None) if isinstance(fact, SubTestFinished) else fact


# Folders


def _runs_below(place: Path) -> dict[str, FoundRun]:
    found: dict[str, FoundRun] = {}
    shards: dict[tuple[str, int], dict[int, RecordedRun]] = {}
    manifests = {path.parent: read_manifest(path) for path in _below(place, NAME) if is_manifest(path)}
    folders = {path.parent for path in _below(place, "*.jsonl")}
    # What else has the facts of a run, such as facts.jsonl, may have been cut off: its journal goes before.
    for folder in sorted(folders, key=lambda folder: (folder.name != "journal", folder)):
        manifest = manifests.get(folder.parent if folder.name == "journal" else folder)
        for name in journal.runs(folder):
            recorded = find_run(folder, name)
            if manifest is not None and manifest.run == name:
                _add_shard(shards, manifest, recorded)
            elif run := _begun(recorded):
                found.setdefault(run, FoundRun(run, False, _later(light, recorded)))
    of_shards = {_run_of(recorded) for parts in shards.values() for recorded in parts.values()}
    found = {run: each for run, each in found.items() if run not in of_shards}
    for parts in shards.values():
        joined = [parts[number] for number in sorted(parts)]
        found[_run_of(joined[0])] = FoundRun(_run_of(joined[0]), True, _later(_joined, joined))
    for path in sorted(_below(place, "*.json")):
        if _is_document(path):
            document = _of_document(path)
            if document.run not in of_shards:
                found.setdefault(document.run, document)
    return found


def _later(function: Callable[[T], Iterable[Fact]], given: T) -> Callable[[], Iterable[Fact]]:
    return lambda: function(given)


def _below(place: Path, pattern: str) -> Iterator[Path]:
    for depth in range(_DEPTH + 2):
        yield from place.glob("*/" * depth + pattern)


def _begun(recorded: RecordedRun) -> str:
    """Return the id of the run; empty if it is none: other tools write JSON lines, too."""
    starts = (next(journal.facts_in(path), None) for path in recorded.files)
    return next((fact.run for fact in starts if isinstance(fact, RunStarted)), "")


def _add_shard(
    shards: dict[tuple[str, int], dict[int, RecordedRun]], manifest: Manifest, recorded: RecordedRun
) -> None:
    plan, total = manifest.plan, manifest.shard.total
    # Of two runs by one plan, the shards of each are a run.
    times = next(
        n for n in range(len(shards) + 1) if manifest.shard.number not in shards.get((f"{n} {plan}", total), ())
    )
    shards.setdefault((f"{times} {plan}", total), {})[manifest.shard.number] = recorded


def _joined(parts: Iterable[RecordedRun]) -> Iterator[Fact]:
    for recorded in parts:
        yield from light(recorded)


def _run_of(recorded: RecordedRun) -> str:
    return recorded.files[0].name.rsplit(".", 2)[0]


# Documents


def _is_document(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            head = file.read(60)
    except OSError:
        return False  # whoever reads it says why
    return head.startswith(_HEAD) and b'"run":{' in head


def _of_document(path: Path) -> FoundRun:
    try:
        plain = json.loads(path.read_bytes())
        if plain["version"] != VERSION:
            raise ValueError(f"its version is {plain['version']!r}, and this testkit reads {VERSION}")
        run = str(plain["run"]["run"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise JournalError(f"{path} is no document of `report --format json`: {_said(error)}") from error
    return FoundRun(run, False, lambda: _facts_of(plain, path))


def _facts_of(plain: Mapping[str, Any], path: Path) -> list[Fact]:
    """Return the facts that a document was made from, as far as it has them.

    Raises:
        JournalError: something is missing in it, or is not what it should be.
    """
    try:
        return list(_told(plain))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise JournalError(f"{path} is no document of `report --format json`: {_said(error)}") from error


def _told(plain: Mapping[str, Any]) -> Iterator[Fact]:
    run = plain["run"]
    ids = [*(test["id"] for test in plain["tests"]), *plain["not_run"], *plain["lost"]]
    yield from_plain("RunStarted", {**run, "ids": ids})
    for fixture in plain["fixtures"]:
        yield from_plain("FixtureFinished", {**fixture, "problems": ()})
    for test in plain["tests"]:
        own = {**test, "problems": ()}
        for number, earlier in enumerate(test.get("earlier_attempts", ()), 1):
            attempt = {name: earlier[name] for name in _ENDED} | {"problems": (), "attempt": number, "final": False}
            yield from_plain("TestFinished", {"id": test["id"], "class_id": test["class_id"], **attempt})
        yield from_plain("TestFinished", {**own, "attempt": test["attempts"]})
    for section, data in plain["measured"].items():
        yield from_plain("RunMeasured", {"section": section, "data": data})
    yield from_plain("RunFinished", {**run, "not_run": plain["not_run"], "lost": plain["lost"]})


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, ValueError) and str(error) else f"{type(error).__name__}: {error}"
