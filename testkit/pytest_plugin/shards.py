"""A run of pytest that is one shard of several: it collects all tests, and runs the classes that fall to it.

A module's functions are a class of their own. The plan is made of what was collected and how long that took before, so
that each shard, and each worker of it, makes the same one. ``python -m testkit merge`` joins the shards' reports.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

import testkit
from testkit.core.errors import TestkitError
from testkit.pytest_plugin.ids import module_of, name_of
from testkit.pytest_plugin.state import State
from testkit.selection import durations
from testkit.selection.plan import plan_classes
from testkit.selection.shards import AUTO, Shard, ShardOptions, parse_shard, shard_in
from testkit.session.manifest import NAME, Manifest, SeenClass, read_manifest, write_manifest
from testkit.session.options import CACHE, REPORTS
from testkit.session.sharding import hash_of, options_for_merge


class Sharding:
    """The part of the plugin that selects the tests of a shard, in each process that collects."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._shard = shard_of(state)
        self._known = CACHE.absolute() / "durations.json"

    @pytest.hookimpl(trylast=True)  # what others leave out or sort is none of the shards'
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        figures = durations.load(self._known)
        classes: dict[tuple[str, str], list[str]] = {}
        units = []
        for item in items:
            name = name_of(item)
            module = item.getparent(pytest.Module)
            units.append((module_of(module) if module is not None else name.class_id, name.class_id))
            classes.setdefault(units[-1], []).append(name.id)
        plan = plan_classes(classes, figures, self._shard.total)
        mine = [plan.shard_of(*unit) == self._shard.number for unit in units]
        left = [item for item, is_mine in zip(items, mine, strict=True) if not is_mine]
        items[:] = [item for item, is_mine in zip(items, mine, strict=True) if is_mine]
        if left:
            is_whole = self._state.is_whole
            config.hook.pytest_deselected(items=left)
            self._state.is_whole = is_whole  # what falls to the other shards is not left out
        self._state.notice(f"shard {self._shard}: {len(items)} of {len(items) + len(left)} tests")
        self._write(config, classes, [name_of(item).id for item in items])

    def _write(self, config: pytest.Config, classes: dict[tuple[str, str], list[str]], ids: list[str]) -> None:
        seen: dict[str, list[SeenClass]] = {}
        for (module, class_id), below in classes.items():
            seen.setdefault(module, []).append(SeenClass(class_id, 0, tuple(below)))
        inputs: dict[str, Any] = {
            "total": self._shard.total,
            "files": list(seen),
            "labels": [_below_root(argument, config) for argument in config.args],
            "keyword": config.option.keyword,
            "markers": config.option.markexpr,
            "durations": hash_of(self._known) if self._known.exists() else "",
            "pytest": pytest.__version__,
            "testkit": testkit.__version__,
        }
        manifest = Manifest(
            shard=self._shard,
            run="",  # only the process of the run knows it
            inputs=inputs,
            files={module: module for module in seen},
            shared=(),
            seen={module: tuple(below) for module, below in seen.items()},
            ids=tuple(ids),
            options=options_for_merge(self._state.options),
            directory=os.getcwd(),
        )
        write_manifest(self._state.folder / NAME, manifest)


def _below_root(argument: str, config: pytest.Config) -> str:
    """Return ``argument`` as it is in every checkout of the project, wherever that lies."""
    place, colons, names = argument.partition("::")
    path = (config.invocation_params.dir / place).resolve()
    if not path.exists() or not path.is_relative_to(config.rootpath.resolve()):
        return argument
    return path.relative_to(config.rootpath.resolve()).as_posix() + colons + names


def falls_to(id: str, state: State) -> bool:
    """Return whether a module that cannot be collected falls to this shard."""
    shard = shard_of(state)
    return crc32(id.encode()) % shard.total + 1 == shard.number


def shard_of(state: State) -> Shard:
    """Return which shard this run is.

    Raises:
        pytest.UsageError: it is to be found out, and nothing here tells.
    """
    given = state.options[ShardOptions].shard
    try:
        return shard_in(os.environ) if given == AUTO else parse_shard(given)
    except TestkitError as error:
        raise pytest.UsageError(f"testkit: {error}") from None


def finish_manifest(folder: Path, run: str, ids: tuple[str, ...]) -> bool:
    """Write the manifest of ``run``, whose selection lies in ``folder``; return whether it is right to be empty."""
    manifest = read_manifest(folder / NAME)._replace(run=run, ids=ids)
    write_manifest(REPORTS.absolute() / NAME, manifest)
    return sum(map(len, manifest.seen.values())) < manifest.shard.total
