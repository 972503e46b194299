"""nose2's own plugins whose work testkit does: what they were told is carried over, and they hear no event."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from nose2 import util
from nose2.events import Plugin
from nose2.session import Session

from testkit.execution.cores import usable_cores

_BUFFER, _COVERAGE = "nose2.plugins.buffer", "nose2.plugins.coverage"
_DEBUGGER, _FAIL_FAST = "nose2.plugins.debugger", "nose2.plugins.failfast"
_ATTRIBUTES = "nose2.plugins.attrib"
_LAYERS, _PROCESSES, _REPORT = "nose2.plugins.layers", "nose2.plugins.mp", "nose2.plugins.result"


class Asked(NamedTuple):
    """What nose2's own flags and configuration ask for; the names are those of ``DiscoverRunner``."""

    buffer: bool
    failfast: bool
    pdb: bool
    parallel: int
    """How many worker processes; 0 for none."""


def registered(session: Session, module: str) -> list[Plugin]:
    """Return the plugins of ``module`` that are on."""
    return [plugin for plugin in session.plugins if type(plugin).__module__ == module and plugin.registered]


def take_over(session: Session) -> Asked:
    """Take the place of nose2's plugins for output, the debugger and processes, and return what they were told."""
    processes = registered(session, _PROCESSES)
    asked = Asked(
        buffer=bool(registered(session, _BUFFER)),
        failfast=bool(registered(session, _FAIL_FAST)),
        pdb=bool(registered(session, _DEBUGGER)),
        parallel=(processes[0]._procs or usable_cores()) if processes else 0,
    )
    for module in (_BUFFER, _FAIL_FAST, _DEBUGGER, _PROCESSES):
        _silence(session, module)
    return asked


def coverage_asked(session: Session, args: Any) -> dict[str, Any]:
    """Return the options of ours that nose2's coverage plugin, which nose2 gives up, was asked for."""
    if not registered(session, _COVERAGE):
        return {}
    (plugin,) = registered(session, _COVERAGE)
    _silence(session, _COVERAGE)
    sources = args.coverage_source or plugin.config.as_list("coverage", [])
    reports = args.coverage_report or plugin.config.as_list("coverage-report", [])
    return {
        "with_cov": True,
        **({"cover_package": sources} if sources else {}),
        **{f"cover_{kind}": True for kind in ("html", "xml") if kind in reports},
    }


def layers_of(session: Session) -> Any:
    """Return nose2's plugin for layers, if it is on; its suites are made anew wherever tests run."""
    found = [plugin for plugin in registered(session, _LAYERS) if hasattr(plugin, "make_suite")]
    return found[0] if found else None


def only_collects(session: Session) -> bool:
    """Return whether nose2 is not to run the tests (``--collect-only``)."""
    return bool(registered(session, "nose2.plugins.collect"))


def chooses(session: Session) -> bool:
    """Return whether nose2 was told to take some of the tests only: by attributes, or by another folder than the usual."""
    by_attributes = any(plugin.attribs or plugin.eval_attribs for plugin in registered(session, _ATTRIBUTES))
    return by_attributes or session.startDir != session.unittest.as_str("start-dir", ".")


def silence_report(session: Session) -> None:
    """Let nose2's reporter, whose events other plugins hear, write nothing."""
    for plugin in registered(session, _REPORT):
        plugin.stream = _Silence()


@contextmanager
def tolerant_loading() -> Iterator[None]:
    """Let nose2 load classes with attributes that raise AttributeError, which end its loading with a traceback.

    It asks each test class for all of them, and Django's live server classes have no ``live_server_url`` before set-up.
    """

    def iter_attrs(obj: Any) -> Iterator[tuple[str, Any]]:
        for name in dir(obj):
            try:
                value = getattr(obj, name)
            except AttributeError:
                continue
            yield name, value

    before, util.iter_attrs = util.iter_attrs, iter_attrs
    try:
        yield
    finally:
        util.iter_attrs = before


class _Silence:
    """A stream that goes nowhere, as nose2's reporter wants it."""

    def write(self, text: str) -> None:
        """Write nothing."""

    def writeln(self, text: str = "") -> None:
        """Write nothing."""

    def flush(self) -> None:
        """Do nothing."""


def _silence(session: Session, module: str) -> None:
    for plugin in registered(session, module):
        for hook in session.hooks.hooks.values():
            if plugin in hook.plugins:
                hook.plugins.remove(plugin)
