"""What a front knows of a run beside testkit's own options."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from testkit.core.options import flag_of


class Host(NamedTuple):
    """What the front's own flags say of the run; the names are ``DiscoverRunner``'s."""

    verbosity: int = 1
    failfast: bool = False
    buffer: bool = False
    debug_sql: bool = False
    pdb: bool = False
    durations: int | None = None
    parts: int = 0
    """How many shards the run is joined from; 0 for one that runs its tests."""
    is_whole: bool = False
    """Whether all tests of the project were asked for, rather than some by label, tag or name."""
    has_console: bool = True
    """Whether testkit's console tells of the run, rather than something of the host's."""
    keeps_journal: bool = True
    """Whether the run keeps a journal, and remembers durations."""
    spell: Callable[[str], str] = flag_of
    """How the command line has the flag of an option."""
