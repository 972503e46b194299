"""Where the tests of a run come from: found without importing them, and loaded in part.

unittest's discovery asks its loader about each file before it imports it (``TestLoader._match_path``, made to be
overridden). A first walk notes the files and refuses them all; a second one takes those that a shard needs. Packages
are imported by both, as discovery does, and their ``load_tests`` are called by both.
"""

# mypy: disable-error-code="attr-defined"
# The hooks of unittest's loader are underscored, and not in its stubs.

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, NamedTuple

from testkit.execution.ids import class_id, iterate, test_id
from testkit.selection.plan import Source, Unit


class Sources(NamedTuple):
    """The sources of a run by dotted name, in the order of discovery, and the source of each label that is a name."""

    by_name: dict[str, Source]
    of_label: dict[str, str]


def find_sources(runner: Any, labels: Sequence[str]) -> Sources:
    """Return where the tests that ``labels`` name come from, without importing modules that are no packages.

    ``runner`` is a ``DiscoverRunner``, whose own way from a label to tests is followed.
    """
    found = Sources({}, {})
    start = os.getcwd() + os.sep

    def note_file(name: str, path: str) -> bool:
        if name not in found.by_name or not found.by_name[name].is_shared:
            found.by_name[name] = Source(name, path.removeprefix(start).replace(os.sep, "/"))
        return False

    def note_package(module: Any) -> None:
        file = os.path.abspath(getattr(module, "__file__", None) or module.__name__)
        found.by_name[module.__name__] = Source(
            module.__name__, file.removeprefix(start).replace(os.sep, "/"), is_shared=True
        )

    with _loading_by(runner, hooked(runner.test_loader, note_file, note_package)):
        for label in labels:
            module, is_package = _module_of(label)
            if not module or (is_package and module == label):
                runner.load_tests_for_label(label, _discover_arguments(runner))
            else:
                _note_label(found, label, module, is_package)
    return found


def _discover_arguments(runner: Any) -> dict[str, Any]:
    given = {"pattern": runner.pattern, "top_level_dir": runner.top_level}  # as DiscoverRunner.build_suite has it
    return {name: value for name, value in given.items() if value is not None}


def _module_of(label: str) -> tuple[str, bool]:
    """Return the module that a dotted ``label`` leads to, which is not imported, and whether it is a package.

    Empty for a path. A name that leads nowhere is returned as it is: what is wrong with it, loading it will tell.
    """
    if os.path.exists(os.path.abspath(label)):
        return "", False
    name = ""
    for part in label.split("."):
        deeper = f"{name}.{part}" if name else part
        try:
            spec = find_spec(deeper)  # imports the packages above, as loading does
        except Exception:
            return label, False
        if spec is None:
            return (name, True) if name else (label, False)
        name = deeper
        if spec.submodule_search_locations is None:
            return name, False
    return name, True


def _note_label(found: Sources, label: str, module: str, is_package: bool) -> None:
    found.of_label[label] = module
    known = found.by_name.get(module)
    if known is not None and not known.labels:
        return  # all of it is wanted already
    labels = () if label == module else (*(known.labels if known else ()), label)
    found.by_name[module] = Source(module, is_shared=is_package, labels=labels)


def hooked(loader: Any, wants: Callable[[str, str], bool], loads: Callable[[Any], None]) -> Any:
    """Return a copy of a unittest loader that asks ``wants`` about each file that discovery would import.

    It is asked with the file's dotted name and path; ``loads`` is told of each module whose tests are about to be
    loaded.
    """
    own = copy.copy(loader)
    own.errors, own._loading_packages = [], set()
    matches, load = own._match_path, own.loadTestsFromModule

    def match_path(path: str, full_path: str, pattern: str) -> bool:
        return bool(matches(path, full_path, pattern)) and wants(own._get_name_from_path(full_path), full_path)

    def load_module(module: Any, *args: Any, **kwargs: Any) -> Any:
        loads(module)
        return load(module, *args, **kwargs)

    own._match_path, own.loadTestsFromModule = match_path, load_module
    return own


@contextmanager
def _loading_by(runner: Any, loader: Any) -> Iterator[None]:
    before = vars(runner).get("test_loader")
    runner.test_loader = loader
    try:
        yield
    finally:
        if before is None:
            del runner.test_loader
        else:
            runner.test_loader = before


class PartLoading:
    """Loads those of ``sources`` that are wanted, and remembers which source each test came from."""

    def __init__(self, sources: Sources, wanted: frozenset[str]) -> None:
        """``wanted``: names of sources. Shared ones, and those that the first walk did not find, are loaded anyway."""
        self._sources = sources
        self._wanted = wanted
        # With the tests, lest another be made in the place of one that was dropped.
        self._origins: dict[int, tuple[Any, str]] = {}
        self._found: dict[tuple[str, type], bool] = {}
        self.loaded: dict[str, None] = {}

    @contextmanager
    def by(self, runner: Any) -> Iterator[None]:
        """Let ``runner`` load by this within the block."""
        loader = hooked(runner.test_loader, self._wants, lambda module: None)
        load_module, load_name = loader.loadTestsFromModule, loader.loadTestsFromName

        def load_tests_from_module(module: Any, *args: Any, **kwargs: Any) -> Any:
            return self._noted(load_module(module, *args, **kwargs), module.__name__)

        def load_tests_from_name(name: str, *args: Any, **kwargs: Any) -> Any:
            return self._noted(load_name(name, *args, **kwargs), self._sources.of_label.get(name, ""))

        loader.loadTestsFromModule, loader.loadTestsFromName = load_tests_from_module, load_tests_from_name
        with _loading_by(runner, loader):
            yield

    def leaves_out(self, label: str) -> bool:
        """Return whether ``label`` names something in a source that is not loaded."""
        name = self._sources.of_label.get(label)
        return name is not None and not self._is_loaded(name)

    def _is_loaded(self, name: str) -> bool:
        source = self._sources.by_name.get(name)
        is_loaded = source is None or source.is_shared or name in self._wanted
        if is_loaded and source is not None:
            self.loaded[name] = None
        return is_loaded

    def _wants(self, name: str, path: str) -> bool:
        return self._is_loaded(name)

    def _noted(self, tests: Any, name: str) -> Any:
        if name in self._sources.by_name:
            self.loaded[name] = None
            for test in iterate(tests or ()):
                self._origins.setdefault(id(test), (test, name))
        return tests

    def unit_of(self, test: Any) -> Unit:
        """Return the source and the class of ``test``; what no source brought has an empty name for one.

        A class belongs to the module that defines it, if that is a source, however many others import it: Django runs
        it once.
        """
        id_, class_ = test_id(test), class_id(test)
        _, origin = self._origins.get(id(test), (None, ""))
        by_name = self._sources.by_name
        if not class_:  # a module that could not be imported, or a label that leads nowhere
            return (id_ if id_ in by_name else origin, id_)
        home = by_name.get(class_ if hasattr(test, "_dt_test") else type(test).__module__)
        if home is not None and (home.name == origin or (home.covers(id_) and self._has(home.name, type(test)))):
            return home.name, class_
        return origin, class_

    def _has(self, module: str, cls: type) -> bool:
        """Return whether unittest finds ``cls`` in ``module``."""
        if (module, cls) not in self._found:
            names = vars(sys.modules[module]) if module in sys.modules else {}
            self._found[module, cls] = any(value is cls for value in names.values())
        return self._found[module, cls]
