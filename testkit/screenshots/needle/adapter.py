"""Makes the real Needle 0.5.0 work on Selenium 4, for suites that say ``from needle.cases import NeedleTestCase``.

Needle asks for Selenium below 4, so it is installed by ``pip install --no-deps needle``. As it is, it then cannot be
imported; and on Selenium 3 its images are black below the fold of today's browsers, so that nothing there is compared.
Its classes stay what they are, with the methods of :mod:`testkit.screenshots.needle` in the place of their own.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from typing import Any

_VANISHED = ("opera", "phantomjs")
"""What Selenium 4 has no driver for, and Needle imports one of."""


def adapt() -> None:
    """Mend Needle's modules as they are imported, and those that are already; nothing is imported by this."""
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, _Finder())
    for name, mend in _MENDED.items():
        if name in sys.modules:
            mend(sys.modules[name])


@contextmanager
def adapted(worker: str, data: object) -> Iterator[None]:
    """:func:`adapt` in a worker process that is no fork of the run."""
    adapt()
    yield


class _Finder:
    """Finds Needle's modules as others do, and mends them once they are executed."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how the module ``name`` is imported, if it is one of those to be mended."""
        mend = _MENDED.get(name)
        if mend is None:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            spec = find(name, path, target) if find is not None and finder is not self else None
            if spec is not None:
                spec.loader = _Loader(spec.loader, mend)
                return spec  # type: ignore[no-any-return]
        return None


class _Loader:
    """Another loader, with something to do after it."""

    def __init__(self, loader: Any, mend: Callable[[types.ModuleType], None]) -> None:
        self._loader, self._mend = loader, mend

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> types.ModuleType | None:
        """Return a module, or None for an ordinary one."""
        return self._loader.create_module(spec)  # type: ignore[no-any-return]

    def exec_module(self, module: types.ModuleType) -> None:
        """Execute the module, and mend it."""
        with _vanished_modules():
            self._loader.exec_module(module)
        self._mend(module)


@contextmanager
def _vanished_modules() -> Iterator[None]:
    """Have modules for the drivers that Selenium does not have any more, for the block."""
    added = []
    for name in _VANISHED:
        for full in (f"selenium.webdriver.{name}", f"selenium.webdriver.{name}.webdriver"):
            if full not in sys.modules:
                added.append(full)
                sys.modules[full] = module = types.ModuleType(full)
                module.WebDriver = type("WebDriver", (), {})  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for full in added:
            sys.modules.pop(full, None)


def _mend_driver(module: types.ModuleType) -> None:
    """Have our classes, on Selenium 4's, under Needle's names."""
    from testkit.screenshots.needle import driver

    for name in driver.NAMES:
        setattr(module, name, getattr(driver, name))


def _mend_cases(module: types.ModuleType) -> None:
    """Have our methods on Needle's class."""
    from testkit.screenshots.needle.cases import AdaptedMethods

    cls: Any = module.NeedleTestCase
    if issubclass(cls, AdaptedMethods):
        return
    for name in [name for name in vars(cls) if hasattr(AdaptedMethods, name) and not _belongs_to_class(name)]:
        delattr(cls, name)
    cls.__bases__ = (AdaptedMethods, *cls.__bases__)


def _belongs_to_class(name: str) -> bool:
    return name in (
        "__module__",
        "__doc__",
        "__dict__",
        "__weakref__",
        "__qualname__",
        "__firstlineno__",
        "__static_attributes__",
    )


def _mend_engine(name: str) -> Callable[[types.ModuleType], None]:
    def mend(module: types.ModuleType) -> None:
        from testkit.screenshots import engines

        module.Engine = getattr(engines, name)  # type: ignore[attr-defined]

    return mend


_MENDED: Mapping[str, Callable[[types.ModuleType], None]] = {
    "needle.driver": _mend_driver,
    "needle.cases": _mend_cases,
    "needle.engines.pil_engine": _mend_engine("PillowEngine"),
    "needle.engines.imagemagick_engine": _mend_engine("ImageMagickEngine"),
    "needle.engines.perceptualdiff_engine": _mend_engine("PerceptualDiffEngine"),
}
