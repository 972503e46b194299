"""Our ids for pytest's tests: ``path/test_x.py::Class::test[param]`` is ``path.test_x.Class.test[param]``.

The module is called what Python calls it, and a test case what unittest calls it, so that one is the same test under
every runner.
"""

from __future__ import annotations

import unittest
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pytest


class Name(NamedTuple):
    """What a test is called: its id, and that of the class (or module) that it belongs to."""

    id: str
    class_id: str


def name_of(item: pytest.Item) -> Name:
    """Return what ``item`` is called."""
    module = item.getparent(pytest.Module)
    if module is None:
        return name_of_nodeid(item.nodeid)
    if hasattr(item, "dtest"):  # a doctest's name has its module's in it, but for one in a text file
        is_text = item.path.suffix != ".py"
        name = item.nodeid.partition("::")[0].replace("/", ".") if is_text else item.name
        return _below(*name.rpartition(".")[::2])
    parent = item.getparent(pytest.Class)
    return _below(class_name(parent) if parent is not None else module_of(module), item.name)


def in_browser(items: Iterable[pytest.Item]) -> list[str]:
    """Return the ids of the tests that need a browser."""
    return [name_of(item).id for item in items if item.get_closest_marker("screenshots") is not None]


def class_name(node: pytest.Class) -> str:
    """Return the id of a class of tests."""
    if issubclass(node.obj, unittest.TestCase):
        return f"{node.obj.__module__}.{node.obj.__qualname__}"  # of a case that is imported from elsewhere, that place
    names = [above.name for above in node.listchain() if isinstance(above, pytest.Class)]
    module = node.getparent(pytest.Module)
    return ".".join([module_of(module), *names] if module is not None else names)


def module_of(module: pytest.Module) -> str:
    """Return the name of ``module``, which need not be importable."""
    try:
        return str(module.obj.__name__)
    except Exception:
        return module_at(module.path, module.config)


def module_at(path: Path, config: pytest.Config) -> str:
    """Return the dotted name that pytest imports the file (or package) at ``path`` by."""
    names = [path.stem] if path.name != "__init__.py" else []
    folder = path.parent
    if config.getoption("importmode", "prepend") == "importlib":
        root = config.rootpath
        above = folder.relative_to(root).parts if folder.is_relative_to(root) else ()
        return ".".join([*above, *names])
    while (folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    return ".".join(names)


def name_of_nodeid(nodeid: str) -> Name:
    """Return what a test is called that is known by its node id alone."""
    head, bracket, parameters = nodeid.partition("[")
    path, *names = head.split("::")
    module = path.removesuffix(".py").replace("/", ".")
    if not names:
        return Name(module + bracket + parameters, "")
    return _below(".".join([module, *names[:-1]]), names[-1] + bracket + parameters)


def _below(class_id: str, name: str) -> Name:
    return Name(f"{class_id}.{name}" if class_id else name, class_id)
