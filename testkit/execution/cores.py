"""How many cores this process may use, which in a container is less than the machine has."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


def usable_cores(root: Path = Path("/")) -> int:
    """Return how many processes can work at the same time here, at least 1.

    It is the least of the cores that the process is bound to (``taskset``, cpusets; with Python 3.13 also
    ``-X cpu_count`` and ``PYTHON_CPU_COUNT``) and of the processor time that its control group, or one above it, is
    allowed: Docker's ``--cpus``, Kubernetes' ``limits.cpu``, systemd's ``CPUQuota``. What cannot be read sets no limit.

    A part of a core counts as one, as in the JVM and in Go: of 1.5 cores a single worker would leave a third unused,
    while two of them use all of it and wait in between. Rust rounds down, for programs that must answer in time; tests
    only have to be done soon. Go's least number of two is for its garbage collector, so it is not followed.

    Args:
        root: the folder that has ``proc`` and ``sys``.
    """
    limits = [group.limit() for group in _control_groups(root)]
    return max(1, min([_bound_cores(), *(math.ceil(limit) for limit in limits if limit is not None)]))


def _bound_cores() -> int:
    if hasattr(os, "process_cpu_count"):  # from Python 3.13 on
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Group(NamedTuple):
    """A control group: its folder, and which version of the interface the files in it have."""

    folder: Path
    version: int

    def limit(self) -> float | None:
        """Return how many cores' time the group may take, or None where it is not limited or not known."""
        try:
            if self.version == 2:
                quota, period = (self.folder / "cpu.max").read_text().split()
            else:
                quota = (self.folder / "cpu.cfs_quota_us").read_text()
                period = (self.folder / "cpu.cfs_period_us").read_text()
            # No limit is the word "max" in version 2, which is no number, and -1 in version 1.
            cores = int(quota) / int(period)
        except (OSError, ValueError, ZeroDivisionError):
            return None
        return cores if cores > 0 else None


def _control_groups(root: Path) -> Iterator[_Group]:
    """Yield the control groups of this process that may limit processor time, with all above them."""
    paths = dict(_own_paths(root))
    for version, mounted, mount_point in _mounts(root):
        path = paths.get(version)
        if path is None:
            continue
        # In a container, the mount may begin at a group further down than the host's path; and where /proc tells of
        # the host's groups but the mount does not, its own top is the container's.
        below = path.removeprefix(mounted.rstrip("/")) if f"{path}/".startswith(f"{mounted.rstrip('/')}/") else ""
        top = root / mount_point.lstrip("/")
        names = [name for name in below.split("/") if name]
        if ".." in names:  # the group is outside of what this process's namespace shows
            names = []
        yield from (_Group(top.joinpath(*names[:depth]), version) for depth in range(len(names), -1, -1))


def _own_paths(root: Path) -> Iterator[tuple[int, str]]:
    """Yield the version and the path of each hierarchy that can limit processor time (``man 7 cgroups``)."""
    for line in _lines(root / "proc/self/cgroup"):
        number, controllers, path = line.split(":", 2)
        if number == "0":
            yield 2, path
        elif "cpu" in controllers.split(","):
            yield 1, path


def _mounts(root: Path) -> Iterator[tuple[int, str, str]]:
    """Yield each mount of such a hierarchy: its version, the path in it that is mounted, and where (``man 5 proc``)."""
    for line in _lines(root / "proc/self/mountinfo"):
        mount, _, system = line.partition(" - ")
        fields, kind = mount.split(), system.split()
        if len(fields) < 5 or len(kind) < 3:
            continue
        if kind[0] == "cgroup2":
            yield 2, fields[3], fields[4]
        elif kind[0] == "cgroup" and "cpu" in kind[2].split(","):
            yield 1, fields[3], fields[4]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
