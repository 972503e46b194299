"""As many cores are used as the process may use."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from testkit.execution import cores
from testkit.execution.cores import usable_cores
from tests.projects import ROOT, clean_environment

V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
V1 = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Lay out the files of a machine with 64 cores and return how many of them are usable."""

    def lay_out(cgroup, mountinfo, files):
        for name, text in {"proc/self/cgroup": cgroup, "proc/self/mountinfo": mountinfo, **files}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")
        return usable_cores(tmp_path)

    monkeypatch.setattr(cores, "_bound_cores", lambda: 64)
    return lay_out


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("200001 100000", 3),
        ("50000 100000", 1),
        ("50000 25000", 2),
        ("max 100000", 64),
        ("12800000 100000", 64),
        ("", 64),
        ("100000 0", 64),
    ],
)
def test_a_limit_counts_whole_cores(machine, limit, expected):
    """A limit of processor time is a number of cores, a part of a core is one more, and never more than there are."""
    assert machine("0::/", V2, {"sys/fs/cgroup/cpu.max": limit}) == expected


def test_a_limit_of_a_group_above_counts(machine):
    """The tightest limit on the way up to the root holds, wherever it stands."""
    files = {
        "sys/fs/cgroup/system.slice/cpu.max": "300000 100000",
        "sys/fs/cgroup/system.slice/ci.service/cpu.max": "max 100000",
        "sys/fs/cgroup/system.slice/ci.service/job/cpu.max": "800000 100000",
        "sys/fs/cgroup/other.slice/cpu.max": "100000 100000",
    }
    assert machine("0::/system.slice/ci.service/job", V2, files) == 3


def test_version_1_is_read_where_it_is_mounted(machine):
    """The older interface counts, also beside an empty hierarchy of the newer one; -1 is no limit."""
    mounts = f"{V1}\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw"
    folder = "sys/fs/cgroup/cpu,cpuacct"
    files = {
        f"{folder}/docker/cpu.cfs_quota_us": "-1",
        f"{folder}/docker/cpu.cfs_period_us": "100000",
        f"{folder}/docker/abc/cpu.cfs_quota_us": "250000",
        f"{folder}/docker/abc/cpu.cfs_period_us": "100000",
    }
    groups = "5:cpu,cpuacct:/docker/abc\n3:cpuset:/docker\n0::/docker"
    assert machine(groups, mounts, files) == 3


@pytest.mark.parametrize(
    ("path", "mounted", "file"),
    [
        ("/docker/abc", "/docker/abc", "cpu.max"),
        ("/docker/abc/job", "/docker/abc", "job/cpu.max"),
        ("/docker/abc", "/docker/abcd", "cpu.max"),  # a namesake
        ("/docker/abc", "/", "cpu.max"),  # /proc is the host's, the mount is not
        ("/../../other", "/", "cpu.max"),  # outside of the namespace
    ],
)
def test_a_container_finds_its_own_group(machine, path, mounted, file):
    """The limit is found when the mount begins below the host's root, or shows another root than /proc tells of."""
    mount = V2.replace(" / ", f" {mounted} ", 1)
    assert machine(f"0::{path}", mount, {f"sys/fs/cgroup/{file}": "500000 100000"}) == 5


def test_no_control_groups_are_no_limit(tmp_path, monkeypatch):
    """Without /proc and /sys, as on macOS, what the process is bound to counts, and no core at all is one."""
    monkeypatch.setattr(cores, "_bound_cores", lambda: 64)
    assert usable_cores(tmp_path) == 64
    monkeypatch.setattr(cores, "_bound_cores", lambda: 0)
    assert usable_cores(tmp_path) == 1


def usable_in_new_process(*options, before="pass", **environment):
    script = f"import os; {before}; from testkit.execution.cores import usable_cores; print(usable_cores())"
    command = [sys.executable, *options, "-c", script]
    result = subprocess.run(
        command, env=clean_environment(**environment), cwd=ROOT, capture_output=True, text=True, check=True
    )
    return int(result.stdout)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes cannot be bound to cores here")
def test_a_process_bound_to_one_core_uses_one():
    """The cores that the process may run on count, not those of the machine."""
    assert 1 <= usable_in_new_process() <= len(os.sched_getaffinity(0))
    assert usable_in_new_process(before="os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])") == 1


@pytest.mark.skipif(sys.version_info < (3, 13), reason="Python has these from 3.13 on")
def test_python_can_be_told_how_many_cores_there_are():
    """``-X cpu_count`` and ``PYTHON_CPU_COUNT`` are respected."""
    assert usable_in_new_process("-X", "cpu_count=1") == 1
    assert usable_in_new_process(PYTHON_CPU_COUNT="1") == 1
