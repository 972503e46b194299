"""Providing the databases of a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.utils.module_loading import import_string

from testkit.core.bus import Listener
from testkit.core.clock import clock
from testkit.databases.options import DatabaseOptions
from testkit.databases.targets import family_of, is_in_memory, name_of, shown

if TYPE_CHECKING:
    from testkit.databases.templates import Templates


_INITIAL = "testkit.databases.initial.restored_initial_data"


def templates(options: DatabaseOptions, cache: Path, **given: Any) -> Templates:
    """Return the templates of a run; the arguments are those of :class:`testkit.databases.templates.Templates`."""
    from testkit.databases.templates import Templates  # here, as a run without databases needs nothing of it

    return Templates(options, cache, **given)


def surroundings(options: DatabaseOptions) -> Iterator[tuple[str, Any]]:
    """Yield what is to be around tests that use databases, in whatever process: the dotted path of a function that takes
    the worker's name and plain data and returns a context manager, and the data.
    """
    yield "testkit.databases.holders.followed", None
    if options.selective_flush:
        yield (
            "testkit.databases.flush.selective",
            {
                "lock_timeout": options.flush_timeout,
                "row_receivers": list(options.row_receivers),
            },
        )
    if options.restore_rows:
        yield _INITIAL, {}
        yield "testkit.databases.fixtures.bundled_fixtures", {}


def remembered(options: DatabaseOptions) -> AbstractContextManager[None]:
    """Return what is to be around making the databases and all that follows, so that their first rows are remembered."""
    if not options.restore_rows:
        return nullcontext()
    restored: AbstractContextManager[None] = import_string(_INITIAL)("", {})
    return restored


@contextmanager
def surrounded(options: DatabaseOptions) -> Iterator[list[Listener]]:
    """Open all :func:`surroundings` in this process, and give those that have to hear the facts of the run."""
    with ExitStack() as stack:
        opened = [stack.enter_context(import_string(path)("", data)) for path, data in surroundings(options)]
        yield [companion for companion in opened if companion is not None]


@contextmanager
def timed(aliases: Iterable[str] | None, templates: Templates | None = None) -> Iterator[dict[str, Any]]:
    """Give a dict that describes, when the block has set the databases up, which they are and how long it took.

    It stays empty when there are none. ``seconds`` is wall time; ``text`` is the one line for the console.
    """
    report: dict[str, Any] = {}
    started = clock.seconds()
    yield report
    names = {alias: _describe(alias, templates) for alias in (connections if aliases is None else aliases)}
    if names:
        seconds = round(clock.seconds() - started, 3)
        listed = ", ".join(f"{alias} ({name})" for alias, name in names.items())
        made = templates.provided if templates is not None else {}
        digests = {alias: each.template.digest for alias, each in made.items() if each.template is not None}
        report |= {
            "databases": names,
            "fingerprints": digests,
            "seconds": seconds,
            "text": f"Databases: {listed} in {seconds:.2f} s",
        }


def _describe(alias: str, templates: Templates | None) -> str:
    connection = connections[alias]
    family, name = family_of(connection), name_of(connection)
    place = "in memory" if family == "sqlite3" and is_in_memory(name) else shown(name, family)
    made = templates.provided.get(alias) if templates is not None else None
    return f"{connection.display_name}, {place}" + (f", {made.how}" if made else "")
