"""The fingerprints of a test's queries, kept in a file beside the test, so that a change of them is one that is seen.

Each snapshot is a file of its own: branches that add tests merge without conflict, and tests that run at the same time
never write to the same file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from difflib import unified_diff
from hashlib import blake2s
from pathlib import Path
from typing import NamedTuple

from django.db import DEFAULT_DB_ALIAS

from testkit.core.paths import path_below, replacing
from testkit.core.text import visible
from testkit.queries.recorder import Query

UPDATE = "TESTKIT_UPDATE_QUERY_SNAPSHOTS"
"""The variable of the environment that has snapshots written rather than compared."""
FOLDER = "query_snapshots"

_TITLE = "# Queries in their order, recorded by testkit on "
_LONGEST = 150  # characters of a name, which is cut there; what tells it from others follows


class Snapshot(NamedTuple):
    """What a file keeps: the databases' kind, and a line for each query."""

    vendors: str
    lines: list[str]


def snapshot_path(module_file: str | os.PathLike[str], test: str, name: str = "") -> Path:
    """Return the file of a snapshot: ``query_snapshots/<module>/<test>.<name>.txt`` beside the test's module.

    ``test`` is the name of the test within its module; ``name`` tells several snapshots of a test apart.
    """
    module = Path(module_file)
    folder = path_below(module.parent, FOLDER, module.stem)
    wanted = f"{test}.{name}" if name else test
    path = path_below(folder, f"{wanted}.txt")
    if path.name == f"{wanted}.txt" and len(wanted) <= _LONGEST:
        return path
    # Names that differ only in what file names cannot have, or at their end, must not share a file.
    return path_below(folder, f"{wanted[:_LONGEST]}-{blake2s(wanted.encode(), digest_size=4).hexdigest()}.txt")


def compare_with_snapshot(queries: Sequence[Query], path: Path, *, command: str) -> None:
    """Compare the queries with the snapshot at ``path``, or write it if the environment says so (:data:`UPDATE`).

    ``command`` runs the test, and is shown as the way to accept the queries.

    Raises:
        AssertionError: the queries differ from those in the file, or there is no such file.
    """
    found = snapshot_of(queries)
    recorded = read_snapshot(path)
    if recorded is not None and recorded.lines == found.lines:
        return
    if os.environ.get(UPDATE, "0") not in ("", "0"):
        write_snapshot(found, path)
        return
    raise AssertionError(_text_of(queries, found, recorded, path, command))


def snapshot_of(queries: Sequence[Query]) -> Snapshot:
    """Return what is kept of the queries; nothing of it differs from run to run, or from machine to machine."""
    vendors = ", ".join(sorted({query.vendor for query in queries}))
    return Snapshot(vendors, [_line_of(query) for query in queries])


def _line_of(query: Query) -> str:
    prefix = "" if query.alias == DEFAULT_DB_ALIAS else f"{query.alias}: "
    return prefix + " ".join(visible(query.fingerprint).split())


def read_snapshot(path: Path) -> Snapshot | None:
    """Return what is in the file, or None if there is no such file."""
    try:
        title, *lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        return None
    return Snapshot(title.removeprefix(_TITLE), [line for line in lines if line])


def write_snapshot(snapshot: Snapshot, path: Path) -> None:
    """Write the file, whole or not at all; its folder is made if it is missing."""
    with replacing(path) as file:
        file.writelines(f"{line}\n" for line in (_TITLE + (snapshot.vendors or "no database"), *snapshot.lines))


def _text_of(queries: Sequence[Query], found: Snapshot, recorded: Snapshot | None, path: Path, command: str) -> str:
    from testkit.queries.groups import describe

    shown = os.path.relpath(path)
    accept = f"{UPDATE}=1 {command}"
    if recorded is None:
        parts = [f"Expected the queries of {shown}, which is missing; {len(queries)} ran."]
    else:
        counts = f"{len(recorded.lines)} recorded, {len(queries)} ran"
        parts = [f"Expected the queries of {shown}, which are not those that ran ({counts})."]
        if recorded.vendors != found.vendors and recorded.lines and found.lines:
            parts.append(f"They were recorded on {recorded.vendors}; this run is on {found.vendors}.")
        parts.append("\n".join(unified_diff(recorded.lines, found.lines, "recorded", "now", lineterm="")))
    parts += [describe(queries)] if queries else []
    parts.append(f"If this is what the test shall do, record it, and commit the file:\n    {accept}")
    return "\n\n".join(parts)
