"""Measuring the coverage of a run: begin it before the project is imported, and end it with figures and reports.

coverage.py is imported when a measurement begins, since most runs have none.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testkit.core.errors import TestkitError
from testkit.core.events import Fact, FixtureFinished, FixtureStarted, TestFinished, TestStarted
from testkit.coverage.change import Base
from testkit.coverage.configuration import (
    DATA_FILE,
    configuration_file,
    configure,
    data_file,
    folders_or_packages,
    is_data,
    parts_of,
    sources,
)
from testkit.coverage.options import CoverageOptions
from testkit.coverage.report import CoverageResult, make_result

if TYPE_CHECKING:
    from coverage import Coverage

__all__ = ["CoverageOptions", "CoverageResult", "Measurement", "relaunch", "running", "start"]

_running: Measurement | None = None


class Measurement:
    """A measurement that is on, in this process.

    It is a listener, too: with ``--cover-contexts`` it names what runs by the id of the test or fixture that it hears
    of, set-up included.
    """

    def __init__(self, measuring: Coverage, options: CoverageOptions, messages: list[str], *, adopted: bool) -> None:
        """``adopted`` says that ``measuring`` belongs to somebody else, who will stop and save it."""
        self._coverage = measuring
        self._options = options
        self._messages = messages
        self._adopted = adopted
        self._folder = os.getcwd()

    def __call__(self, fact: Fact) -> None:
        if not self._options.cover_contexts:
            return
        if isinstance(fact, TestStarted | FixtureStarted):
            self._coverage.switch_context(fact.id)
        elif isinstance(fact, TestFinished | FixtureFinished):
            self._coverage.switch_context("")

    def save(self) -> None:
        """End the measurement and write what was measured, unless it is somebody else's, who does both."""
        if not self._adopted:
            self._coverage.stop()
            self._coverage.save()

    def checkpoint(self) -> None:
        """Write what was measured so far, and go on."""
        self._coverage.save()

    def for_workers(self) -> dict[str, Any]:
        """Return what :func:`testkit.coverage.workers.measured` needs to measure a part of this run."""
        for stale in parts_of(self._data_file) if self._adopted else ():
            stale.unlink(missing_ok=True)
        return {"options": vars(self._options), "file": str(self._data_file)}

    @property
    def _data_file(self) -> Path:
        return DATA_FILE.absolute() if self._adopted else Path(self._coverage.config.data_file)

    def finish(self, base: Base | None = None) -> CoverageResult:
        """End the measurement, write the reports that were asked for and return the figures.

        ``base`` is what the change is compared with, if its coverage is to be told.

        Raises:
            TestkitError: nothing was measured, a report cannot be made, or the change cannot be read.
        """
        from coverage.exceptions import CoverageException, NoDataError

        global _running
        _running = None
        # Paths are meant from where the run began; a test may have left the process in a folder that is gone.
        os.chdir(self._folder)
        try:
            with _heard(self._messages):
                self.save()
                reporter = self._reporter()
                result = make_result(reporter, self._options, base)
                reporter.get_data().close(force=True)
        except NoDataError:
            raise TestkitError(_nothing_measured(self._coverage, self._messages)) from None
        except CoverageException as error:
            raise TestkitError(
                f"coverage.py cannot report on this run: {error} (`omit` leaves files out and `ignore_errors` passes "
                f"over those that cannot be read; both belong to {configuration_file(self._coverage)})"
            ) from error
        return result._replace(warnings=tuple(dict.fromkeys(self._messages)))

    def keep(self, reports: Path) -> None:
        """Put all data into the folder ``reports``, for a merge with others; after ``finish``."""
        from testkit.coverage.merge import keep_data

        keep_data(self._coverage, reports, adopted=self._adopted)

    def _reporter(self) -> Coverage:
        """Return a second Coverage with all data of the run: reporting changes data, and these may not be ours."""
        from coverage import Coverage

        reporter = Coverage(data_file=None, config_file=False) if self._adopted else Coverage(config_file=False)
        reporter.config = self._coverage.config.copy()
        if self._adopted:
            self.take_in_parts()
            reporter.get_data().update(self._coverage.get_data())
            return reporter
        reporter.load()
        parts = parts_of(Path(reporter.config.data_file))
        if parts:
            reporter.combine([str(part) for part in parts])
        return reporter

    def take_in_parts(self) -> None:
        """Give what workers measured to the owner of an adopted measurement, who knows nothing of them."""
        from coverage import CoverageData

        for path in parts_of(self._data_file):
            part = CoverageData(basename=str(path))
            part.read()
            self._coverage.get_data().update(part)
            part.close(force=True)
            path.unlink()


def running() -> Measurement | None:
    """Return the measurement that is on in this process, or None."""
    return _running


def foreign() -> Measurement | None:
    """Return the measurement of this process that is somebody else's (``coverage run``), or None; nothing is reported."""
    loaded = sys.modules.get("coverage")
    current = loaded.Coverage.current() if loaded is not None else None
    return None if current is None else Measurement(current, CoverageOptions(), [], adopted=True)


def start(options: CoverageOptions, *, data_file: Path | None = None) -> Measurement:
    """Begin to measure this process, before any module of the project is imported.

    The project's own coverage configuration holds (``.coveragerc``, ``setup.cfg``, ``tox.ini``, ``pyproject.toml``);
    ``options`` go before it, and where neither says what to measure, that is the current folder. If the process is
    measured already (``coverage run manage.py test``), that measurement is adopted: its owner still gets all data.

    Args:
        options: how to measure and what to report in the end.
        data_file: of a process that measures its part of a run; name it like the run's, with a dot and more behind.

    Raises:
        TestkitError: coverage.py is missing, or cannot measure like this.
    """
    global _running
    if importlib.util.find_spec("coverage") is None:
        raise TestkitError("--with-cov needs coverage.py, which is not installed: `pip install coverage`")
    from coverage import Coverage
    from coverage.exceptions import CoverageException

    messages: list[str] = []
    try:
        with _heard(messages):
            current = Coverage.current()
            is_adopted = current is not None and data_file is None
            measuring = _adopt(current, options) if current and is_adopted else _begin(options, data_file)
    except (CoverageException, ImportError) as error:
        raise TestkitError(f"coverage.py cannot measure this run: {error} (check its configuration)") from error
    _running = Measurement(measuring, options, messages, adopted=is_adopted)
    return _running


def relaunch(options: CoverageOptions) -> Measurement:
    """Bring this process, which has imported the project already, under measurement.

    If somebody measures it, that is adopted. Otherwise its very command line is started anew, once, in its place and
    measured from the beginning: this function does not return then.

    Raises:
        TestkitError: it cannot be started anew.
    """
    from testkit.coverage.relaunch import start_process_anew

    loaded = sys.modules.get("coverage")
    if loaded is None or loaded.Coverage.current() is None:
        start_process_anew(options)
    return start(options)


def _begin(options: CoverageOptions, own_data_file: Path | None) -> Coverage:
    from coverage import Coverage

    measuring = Coverage(branch=options.cover_branches or None)
    configure(measuring, options)
    path = (own_data_file or data_file(measuring)).absolute()
    measuring.set_option("run:data_file", str(path))
    if own_data_file is None:
        _remove_stale(path)
    # It makes the folder of its data at once, also for what then comes to nothing: a mistake in the settings, --help.
    for folder in [folder for folder in reversed(path.parents) if not folder.exists()]:
        atexit.register(_remove_if_empty, folder, os.getpid())
    measuring.start()
    return measuring


def _remove_stale(path: Path) -> None:
    # An empty file is what a tempfile leaves for a name.
    if path.exists() and not is_data(path) and (not path.is_file() or path.stat().st_size):
        raise TestkitError(
            f"coverage's data are to be written to {path}, which is there and not coverage.py's: give another "
            "`data_file` in its configuration (or COVERAGE_FILE), or remove it"
        )
    for stale in (path, *parts_of(path)):
        stale.unlink(missing_ok=True)


def _remove_if_empty(folder: Path, process: int) -> None:
    if os.getpid() == process:  # a fork that ends must not take it from its parent
        with suppress(OSError):
            folder.rmdir()


def _adopt(current: Coverage, options: CoverageOptions) -> Coverage:
    import coverage

    if options.cover_package and set(folders_or_packages(options.cover_package)) != set(sources(current)):
        raise _refuse("--cover-package", "--source")
    if options.cover_branches and not current.get_option("run:branch"):
        raise _refuse("--cover-branches", "--branch")
    if options.cover_contexts and dict(current.sys_info())["core"] == "SysMonitor":
        raise TestkitError(
            "--cover-contexts: this process is measured already, with sys.monitoring, which reports each line for the "
            "first context only: set COVERAGE_CORE=ctrace, or start the tests without `coverage run`"
        )
    if getattr(coverage.process_startup, "coverage", None) is current:
        # coverage.py takes any second Coverage object, such as the one that reports, for a reason not to save this one.
        atexit.register(current.save)
    return current


def _refuse(flag: str, theirs: str) -> TestkitError:
    return TestkitError(
        f"{flag} comes too late: this process is measured already, without it. Give {theirs} to `coverage run` (or set "
        "it where that measurement was begun), or start the tests without it"
    )


def _nothing_measured(measuring: Coverage, messages: list[str]) -> str:
    return (
        f"coverage measured no file: nothing of {', '.join(sources(measuring)) or 'the project'} was run, as seen from "
        f"{os.getcwd()}. Name what to measure by --cover-package, or by `source` in {configuration_file(measuring)}"
        + "".join(f"\n  coverage.py: {message}" for message in messages)
    )


@contextmanager
def _heard(messages: list[str]) -> Iterator[None]:
    """Take the warnings of coverage.py, which would stand amid the run's output with lines of its source."""
    from coverage.exceptions import CoverageWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        finally:
            messages += [str(warning.message) for warning in caught if issubclass(warning.category, CoverageWarning)]
