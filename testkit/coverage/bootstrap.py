"""Begins to measure, then runs a program as Python itself would have. ``relaunch`` starts this file as a script.

Its arguments are the program and the program's arguments, as they stood on Python's command line. Nothing of the
program may notice that it did not begin here.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from collections.abc import Mapping
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec
from pkgutil import get_importer
from types import ModuleType
from typing import Any

PLAN = "TESTKIT_COVERAGE_PLAN"
"""The environment variable that says how to measure; the program does not see it."""
MEASURED = "TESTKIT_COVERAGE_PID"
"""The environment variable that says which process was started anew; children, which inherit it, have other ids."""


def main() -> None:
    """Measure as the plan in the environment says, and run the program that the command line names."""
    plan = json.loads(os.environ.pop(PLAN))
    os.environ[MEASURED] = str(os.getpid())
    program = sys.argv[1:]
    del sys.orig_argv[-len(sys.argv)]
    # Python has put the folder of this file first; the program's own is to stand there, unless Python was told not to.
    own_path = sys.path[:] if sys.flags.safe_path else [_first_on_path(program), *sys.path[1:]]
    # Whatever could be imported when the measurement was decided on: the program may extend the path by itself.
    sys.path[:] = plan["path"]
    _measure(plan["options"])
    sys.path[:] = own_path
    if program[0] == "-m":
        sys.argv = program[1:]
        runpy.run_module(program[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = program
        _run_file(program[0])


def _first_on_path(program: list[str]) -> str:
    if program[0] == "-m":
        return os.getcwd()
    # A folder or archive with a `__main__.py` is on the path itself.
    return _absolute(program[0]) if get_importer(program[0]) else os.path.dirname(os.path.realpath(program[0]))


def _measure(options: Mapping[str, Any]) -> None:
    from testkit.core.errors import TestkitError
    from testkit.core.options import from_file, resolve
    from testkit.coverage import measure

    filled = resolve([measure.CoverageOptions], [from_file(PLAN, options)])[measure.CoverageOptions]
    try:
        measure.start(filled)
    except TestkitError as error:
        print(f"testkit: {error}", file=sys.stderr)
        sys.exit(error.status)


def _run_file(path: str) -> None:
    # Not by `runpy.run_path`, by which the program's `__file__` would be relative if its path is.
    file = _absolute(path)
    importer = get_importer(file)
    spec = importer.find_spec("__main__") if importer else None
    loader: Any
    if spec:
        loader = spec.loader
        module, code = module_from_spec(spec), loader.get_code("__main__")
    else:
        loader = SourceFileLoader("__main__", file)
        module, code = ModuleType("__main__"), loader.source_to_code(loader.get_data(file), file)
        module.__file__, module.__loader__ = file, loader
    sys.modules["__main__"] = module
    exec(code, module.__dict__)


def _absolute(path: str) -> str:
    # As Python does it for a script: with all dots that stand in the path.
    return os.path.join(os.getcwd(), path)


if __name__ == "__main__":
    main()
