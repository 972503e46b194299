"""What a front knows of a run beside testkit's own options."""

from __future__ import annotations

from typing import NamedTuple


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
