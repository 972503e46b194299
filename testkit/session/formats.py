"""The reports for others that are made of the facts alone, each as one file: the page, JSON lines, TAP and others.

Whoever makes reports goes by this table, so that a run, a merge and ``report`` make the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from testkit.core.bus import Listener
from testkit.core.options import OptionGroup, Options
from testkit.listeners.findings import CodeQualityOptions, SarifOptions, codequality_listener, sarif_listener
from testkit.listeners.html import HtmlOptions, html_listener
from testkit.listeners.jsonl import JsonLines, JsonlOptions
from testkit.listeners.tap import TapOptions, tap_listener


class Format(NamedTuple):
    """A report: what lists of reports call it, its options ``with_NAME`` and ``NAME_file``, and what writes it."""

    title: str
    options: type[OptionGroup]
    listener: Callable[[Path], Listener]


FORMATS: Mapping[str, Format] = {
    "html": Format("report page", HtmlOptions, html_listener),
    "jsonl": Format("JSON lines", JsonlOptions, JsonLines),
    "tap": Format("TAP", TapOptions, tap_listener),
    "sarif": Format("SARIF", SarifOptions, sarif_listener),
    "codequality": Format("Code Quality", CodeQualityOptions, codequality_listener),
}
"""By the name that ``--format`` and the flags have."""
FORMAT_GROUPS = tuple(each.options for each in FORMATS.values())


def wanted(options: Options) -> Iterator[tuple[str, Path]]:
    """Yield the name and the path of each of these reports that ``options`` ask for."""
    for name in FORMATS:
        if options.settings[f"with_{name}"].value:
            yield name, options.settings[f"{name}_file"].value


def listening(name: str, path: Path, stack: ExitStack) -> Listener:
    """Return what writes the report called ``name`` to ``path``; ``stack`` ends it."""
    listener = FORMATS[name].listener(path)
    close = getattr(listener, "close", None)
    if close is not None:
        stack.callback(close)
    return listener


def flags(options: Options) -> list[str]:
    """Return the flags by which another command makes the same of these reports."""
    places = dict(wanted(options))
    return [
        flag
        for name in FORMATS
        for flag in ([f"--with-{name}", f"--{name}-file={places[name]}"] if name in places else [f"--no-with-{name}"])
    ]
