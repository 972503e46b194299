"""The manifest of a shard: what it ran, what there was, and what its plan was made from.

It is written into ``reports/`` beside the journal when the shard's tests begin, so that a killed shard has one, too.
By the manifests alone a merge can tell whether the shards were one run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from testkit.core.errors import TestkitError
from testkit.core.paths import replacing
from testkit.selection.plan import inputs_hash
from testkit.selection.shards import Shard

NAME = "manifest.json"
"""The name of a manifest in the folder of a shard's reports."""
_KIND = "testkit shard"
_VERSION = 1
_NAMED = 5  # of many things of a kind, in a message


class ManifestError(TestkitError):
    """A manifest cannot be read, or is not of the run that it is wanted for."""


class SeenClass(NamedTuple):
    """A class that a shard saw in a module that it imported, whether it runs it or not.

    ``rank`` is its place among the kinds that Django runs one after the other; ``ids`` are its tests in their order.
    """

    id: str
    rank: int
    ids: tuple[str, ...]


class Manifest(NamedTuple):
    """What a shard was, in plain data.

    ``inputs`` is what the plan was made from, by name, with the durations as their hash. ``files`` are the paths of all
    modules that were discovered, by dotted name; ``shared`` names those that every shard loads. ``seen`` has, for each
    module that this shard loaded, what was in it. ``ids`` are the tests of this shard in the order of its run.
    ``options`` are options of the run that a merge needs; ``directory`` is where it ran.
    """

    shard: Shard
    run: str
    inputs: Mapping[str, Any]
    files: Mapping[str, str]
    shared: tuple[str, ...]
    seen: Mapping[str, tuple[SeenClass, ...]]
    ids: tuple[str, ...]
    options: Mapping[str, Any]
    directory: str

    @property
    def plan(self) -> str:
        """The hash of what the plan was made from."""
        return inputs_hash(self.inputs)


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write ``manifest`` to ``path``, whole or not at all."""
    plain = {"kind": _KIND, "version": _VERSION, "plan": manifest.plan, **manifest._asdict()}
    with replacing(path) as file:
        json.dump(plain, file, separators=(",", ":"))
        file.write("\n")


def is_manifest(path: Path) -> bool:
    """Return whether ``path`` is a manifest of ours: other tools have files of that name."""
    try:
        with open(path, encoding="ascii") as file:
            return _KIND in file.read(len(_KIND) + 20)
    except (OSError, UnicodeDecodeError):
        return False


def read_manifest(path: Path) -> Manifest:
    """Read the manifest at ``path``.

    Raises:
        ManifestError: it cannot be read, or has been changed since.
    """
    try:
        plain = json.loads(path.read_bytes())
        if (plain["kind"], plain["version"]) != (_KIND, _VERSION):
            raise ValueError(f"it is a {plain['kind']!r} of version {plain['version']!r}, not a {_KIND} of {_VERSION}")
        fields = {name: plain[name] for name in Manifest._fields}
        seen = {
            name: tuple(SeenClass(id, rank, tuple(ids)) for id, rank, ids in fields["seen"][name])
            for name in fields["seen"]
        }
        lists = {name: tuple(fields[name]) for name in ("shared", "ids")}
        manifest = Manifest(**{**fields, **lists, "seen": seen, "shard": Shard(*fields["shard"])})
        if manifest.plan != plain["plan"]:
            raise ValueError("its hash is not that of what it says")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ManifestError(
            f"{path} is no manifest of a shard that can be read ({type(error).__name__}: {error}): give the folder that "
            f"the shard's reports/ came in, whole"
        ) from error
    return manifest


def shortened(names: Sequence[str]) -> str:
    """Return the first of ``names``, and how many there are besides."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
