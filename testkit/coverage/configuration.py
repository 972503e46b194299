"""What a measurement is made of: the project's coverage configuration, and what the options put before it."""

from __future__ import annotations

import importlib.util
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testkit.coverage.options import CoverageOptions

if TYPE_CHECKING:
    from coverage import Coverage

DATA_FILE = Path("reports/coverage.data")
"""Where the data go, unless the project says. No dot file: CI systems leave those out of what they keep of a run."""

_SOURCES = ("run:source", "run:source_pkgs", "run:source_dirs")
_TEMPLATE_PLUGINS = frozenset({"django_coverage_plugin", "testkit.coverage.templates"})


def configure(measuring: Coverage, options: CoverageOptions) -> None:
    """Put ``options`` before the configuration that ``measuring`` has read, and complete it."""
    _choose_source(measuring, options)
    _choose_tracer(measuring, options)


def _choose_source(measuring: Coverage, options: CoverageOptions) -> None:
    if options.cover_package:
        for name in (*_SOURCES, "run:include"):
            measuring.set_option(name, [])
        measuring.set_option("run:source", folders_or_packages(options.cover_package))
    elif not sources(measuring):
        measuring.set_option("run:source", ["."])


def _choose_tracer(measuring: Coverage, options: CoverageOptions) -> None:
    core = measuring.get_option("run:core")
    plugins = _texts(measuring, "run:plugins")
    is_python_tracer = core == "pytrace" or measuring.get_option("run:timid")
    can_trace_templates = not is_python_tracer and _is_installed("coverage.tracer")
    has_plugin = not _TEMPLATE_PLUGINS.isdisjoint(plugins)
    if can_trace_templates and not has_plugin and _is_installed("django_coverage_plugin"):
        plugins.append("testkit.coverage.templates")
        measuring.set_option("run:plugins", plugins)
    if options.cover_contexts:
        # The listener names the contexts; two that do are more than coverage.py takes.
        measuring.set_option("run:dynamic_context", None)
    if (plugins or options.cover_contexts) and core in (None, "sysmon"):
        # sys.monitoring, the default from Python 3.14 on, knows no plug-ins, and reports each line for the first
        # context only: https://coverage.readthedocs.io/en/latest/config.html#run-core
        measuring.set_option("run:core", "ctrace")


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def folders_or_packages(names: Sequence[str]) -> list[str]:
    """Return ``names`` with the folders of packages in the place of their dotted names, where they lie here.

    By its folder a package is measured whole, with its templates and the modules that were never imported.
    """
    candidates = {name: (name, name.replace(".", os.sep)) for name in names}
    return [next(filter(os.path.isdir, paths), name) for name, paths in candidates.items()]


def sources(measuring: Coverage) -> list[str]:
    """Return what ``measuring`` is to measure: folders, packages and patterns."""
    return [name for key in (*_SOURCES, "run:include") for name in _texts(measuring, key)]


def _texts(measuring: Coverage, setting: str) -> list[str]:
    value: Any = measuring.get_option(setting)
    return list(value or ())


def data_file(measuring: Coverage) -> Path:
    """Return where the data go: where the project's configuration or ``COVERAGE_FILE`` says, else ``reports/``."""
    named = str(measuring.get_option("run:data_file"))
    # Under `concurrency = multiprocessing`, children read the configuration by themselves and write where it says.
    is_multiprocessing = "multiprocessing" in _texts(measuring, "run:concurrency")
    is_named = named != ".coverage" or bool(os.environ.get("COVERAGE_FILE")) or is_multiprocessing
    return (Path(named) if is_named else DATA_FILE).absolute()


def parts_of(data_file: Path) -> list[Path]:
    """Return the data files of single processes that belong to ``data_file``: its name, a dot and more."""
    return [path for path in sorted(data_file.parent.glob(escape(data_file.name) + ".*")) if is_data(path)]


def is_data(path: Path) -> bool:
    """Return whether ``path`` is a data file of coverage.py's: others, by chance of such a name, are not to be touched.

    https://coverage.readthedocs.io/en/latest/dbschema.html
    """
    if not path.is_file():
        return False
    try:
        # "immutable": neither locked nor recovered, as it may be anybody's.
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as database:
            return bool(database.execute("SELECT 1 FROM sqlite_master WHERE name = 'coverage_schema'").fetchone())
    except sqlite3.Error:
        return False


def configuration_file(measuring: Coverage) -> str:
    """Return the file that configures coverage.py here, or the one that would."""
    return measuring.config.config_file or ".coveragerc"
