"""Which shard a run is: as the command line says it, or the variables of a CI system."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from testkit.core.errors import OptionError
from testkit.core.options import OptionGroup, option

AUTO = "auto"
_FORM = "give INDEX/TOTAL, such as 2/5 for the second of five shards, or auto"


class Shard(NamedTuple):
    """One of ``total`` shards; ``number`` counts from 1."""

    number: int
    total: int

    def __str__(self) -> str:
        return f"{self.number}/{self.total}"


def read_shard(value: Any) -> str:
    """Read the value of ``--shard``: ``INDEX/TOTAL`` or ``auto``."""
    text = str(value).strip()
    return text if text == AUTO else str(parse_shard(text))


def parse_shard(text: str) -> Shard:
    """Return the shard that ``INDEX/TOTAL`` names.

    Raises:
        ValueError: it names none.
    """
    index, _, total = text.partition("/")
    if not (index.isascii() and index.isdecimal() and total.isascii() and total.isdecimal()):
        raise ValueError(_FORM)
    shard = Shard(int(index), int(total))
    if not 1 <= shard.number <= shard.total:
        raise ValueError(f"{_FORM}; INDEX goes from 1 to TOTAL")
    return shard


class ShardOptions(OptionGroup):
    """Options of a run that is one of several."""

    shard: str = option(
        default="",
        metavar="INDEX/TOTAL|auto",
        parse=read_shard,
        help="Run one of TOTAL shards, balanced by how long the classes took before; auto: the one that GitLab, "
        "CircleCI, Buildkite or Bazel says by its variables.",
    )
    shard_from: str = option(
        default="",
        metavar="FILE",
        help="Run what this manifest of the same shard recorded, where there is such a file: for a node that is run "
        "again.",
    )


class _Variables(NamedTuple):
    """How a CI system tells a job which of several it is; ``mark`` must be set, too, if it is named."""

    system: str
    number: str
    total: str
    first: int
    mark: str = ""


# Bazel first: its tests may run within a job of any of the others.
_SYSTEMS = (
    _Variables("Bazel", "TEST_SHARD_INDEX", "TEST_TOTAL_SHARDS", 0),
    _Variables("Buildkite", "BUILDKITE_PARALLEL_JOB", "BUILDKITE_PARALLEL_JOB_COUNT", 0),
    _Variables("CircleCI", "CIRCLE_NODE_INDEX", "CIRCLE_NODE_TOTAL", 0),
    # Heroku CI has the same two names, and counts from 0.
    _Variables("GitLab", "CI_NODE_INDEX", "CI_NODE_TOTAL", 1, mark="GITLAB_CI"),
)


def shard_in(environ: Mapping[str, str]) -> Shard:
    """Return the shard that the variables of a CI system in ``environ`` name.

    Raises:
        OptionError: there are none, or they name no shard.
    """
    for system in _SYSTEMS:
        if not environ.get(system.total) or (system.mark and not environ.get(system.mark)):
            continue
        total = environ[system.total]
        # GitLab sets the total, to 1, for jobs that are not parallel, too.
        index = environ.get(system.number) or (str(system.first) if total == "1" else "")
        try:
            return parse_shard(f"{int(index) - system.first + 1}/{total}")
        except ValueError:
            raise OptionError(
                f"--shard auto: {system.system} says {system.number}={index} and {system.total}={total}, which name no "
                f"shard: give --shard INDEX/TOTAL"
            ) from None
    raise OptionError(
        f"--shard auto: none of {', '.join(system.total for system in _SYSTEMS)} is set (CI_NODE_TOTAL counts on GitLab "
        f"alone): give --shard INDEX/TOTAL"
    )
