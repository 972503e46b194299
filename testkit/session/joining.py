"""The files of shards that become those of the run that joins them: what tests have attached, and their screenshots."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from testkit.core.paths import path_below
from testkit.screenshots import results
from testkit.selection.shards import Shard
from testkit.session.options import REPORTS

if TYPE_CHECKING:
    from testkit.session.merging import ShardReports

_SCREENSHOTS = results.FOLDER.name


def brought(attachment: str, shard: ShardReports) -> str:
    """Copy an attachment from the reports of ``shard`` into the joined ones, and return its path there.

    One that did not come with the reports keeps its path, and so does an image that was joined by its screenshot.
    """
    inside = os.path.relpath(os.path.join(shard.manifest.directory, attachment), shard.manifest.directory)
    below = Path(inside).parts[1:] if Path(inside).parts[:1] == REPORTS.parts else ()
    source = shard.folder.joinpath(*below)
    if not below or ".." in below or not source.is_file():
        return attachment
    if below[0] == _SCREENSHOTS and REPORTS.joinpath(*below).is_file():
        return str(REPORTS.joinpath(*below))
    target = path_below(REPORTS, f"shard-{shard.shard.number}", *below)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    return str(target)


def join_screenshots(shards: Iterable[ShardReports], kept: Mapping[str, Shard]) -> dict[Shard, int]:
    """Have the shards' screenshots as those of this run, and return how many came from each.

    ``kept`` is the shard that counts of those that ran the same class. What an earlier run has left in the folder, if
    this one took none, is passed over.
    """
    came = {}
    for shard in shards:
        place = shard.folder / _SCREENSHOTS
        found = [result for result in results.read(place) if result.at >= shard.started.at]
        came[shard.shard] = len(found)
        for result in found:
            if kept.get(result.test.rpartition(".")[0], shard.shard) == shard.shard:
                results.adopt(result, place)
    return came
