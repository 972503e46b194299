"""Coverage in worker processes: each measures itself, and writes what it measured after each lease."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testkit.core.events import Fact
from testkit.coverage import measure
from testkit.coverage.options import CoverageOptions

if TYPE_CHECKING:
    from coverage import Coverage


class WorkerMeasurement:
    """The measurement of a worker, which goes along with its tests."""

    def __init__(self, measurement: measure.Measurement) -> None:
        self._measurement = measurement

    def __call__(self, fact: Fact) -> None:
        self._measurement(fact)

    def save(self) -> None:
        """Write what was measured so far; the measurement goes on."""
        self._measurement.checkpoint()


@contextmanager
def measured(worker: str, data: Mapping[str, Any]) -> Iterator[WorkerMeasurement]:
    """Measure this process, a worker's, for the block.

    ``data`` has the ``options`` of the run's measurement and the ``file`` of its data; the worker's own get its name
    with more behind.
    """
    from coverage import Coverage

    # Of a process that took the place of another, the data must not take the place of that one's.
    file = Path(f"{data['file']}.worker{worker}-{os.getpid()}")
    options = CoverageOptions(**data["options"])
    inherited = Coverage.current()
    if inherited is None:
        measurement = measure.start(options, data_file=file)
    else:
        inherited.stop()  # the run's own, which a fork has as well: its data are the run's to write
        measurement = measure.Measurement(_like(inherited, file), options, [], adopted=False)
    yield WorkerMeasurement(measurement)
    measurement.save()


def _like(inherited: Coverage, file: Path) -> Coverage:
    """Begin a measurement with the configuration of ``inherited``, whoever gave it that."""
    from coverage import Coverage

    own = Coverage(data_file=str(file), config_file=False)
    own.config = inherited.config.copy()
    own.set_option("run:data_file", str(file))
    own.set_option("run:patch", [])  # they are in force already
    own.start()
    return own
