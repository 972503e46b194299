"""Coverage data of several runs as one: kept by each shard, joined when the shards are merged."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from testkit.core.errors import TestkitError
from testkit.core.events import Fact
from testkit.core.paths import replacing
from testkit.coverage.change import Base
from testkit.coverage.configuration import (
    DATA_FILE,
    configuration_file,
    configure,
    data_file,
    is_data,
    parts_of,
)
from testkit.coverage.options import CoverageOptions
from testkit.coverage.report import CoverageResult, make_result

if TYPE_CHECKING:
    from coverage import Coverage


def keep_data(measuring: Coverage, reports: Path, *, adopted: bool) -> None:
    """Put all data of a measurement that is over into the folder ``reports``, where a merge looks for them.

    ``adopted`` says that somebody else saves the data of ``measuring``.
    """
    from coverage import CoverageData

    target = reports / DATA_FILE.name
    written = Path(str(measuring.get_option("run:data_file")))
    if adopted:
        target.unlink(missing_ok=True)
        data = CoverageData(basename=str(target))
        data.update(measuring.get_data())
        data.close(force=True)
    elif written.resolve() != target.resolve():
        with replacing(target, "wb") as file:
            file.write(written.read_bytes())


def data_in(reports: Path) -> list[Path]:
    """Return the coverage data files that a shard's folder has: those of single processes, too, if it was killed."""
    whole = reports / DATA_FILE.name
    return [path for path in (whole, *parts_of(whole)) if is_data(path)]


class JoinedMeasurement:
    """Coverage data of several runs, in the place of a measurement: its end makes the figures and the reports."""

    def __init__(self, options: CoverageOptions, files: Sequence[Path], directories: Sequence[str]) -> None:
        """``files``: the data; ``directories``: the folders in which the runs were, the project's on each machine."""
        self._options = options
        self._files = files
        self._directories = directories

    def __call__(self, fact: Fact) -> None:
        """Nothing is measured any more."""

    def finish(self, base: Base | None = None) -> CoverageResult:
        """Join the data, write the reports that were asked for and return the figures.

        ``base`` is what the change is compared with, if its coverage is to be told.

        Raises:
            TestkitError: there are no data, a report cannot be made, or the change cannot be read.
        """
        from coverage import Coverage
        from coverage.exceptions import CoverageException

        reporter = Coverage(branch=self._options.cover_branches or None)
        try:
            configure(reporter, self._options)
            reporter.set_option("run:data_file", str(_target(reporter)))
            self._map_paths(reporter)
            reporter.combine([str(path) for path in self._files], strict=True, keep=True)
            result = make_result(reporter, self._options, base)
            reporter.get_data().close(force=True)
        except (CoverageException, ImportError) as error:
            raise TestkitError(
                f"the coverage of the shards cannot be joined: {error} (merge where the code that they ran is checked "
                f"out; the configuration is {configuration_file(reporter)})"
            ) from error
        return result

    def _map_paths(self, reporter: Coverage) -> None:
        """Let the project's folder on each machine be the current one."""
        here = os.getcwd()
        others = sorted({folder for folder in self._directories if folder and folder != here})
        if others:
            paths = dict(reporter.config.paths)
            paths["testkit"] = [here, *others]
            reporter.set_option("paths", paths)


def _target(reporter: Coverage) -> Path:
    path = data_file(reporter)
    if path.exists() and not is_data(path):
        raise TestkitError(
            f"the joined coverage data are to be written to {path}, which is there and not coverage.py's: give another "
            "`data_file` in its configuration (or COVERAGE_FILE), or remove it"
        )
    for stale in (path, *parts_of(path)):
        stale.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
