"""Running commands turn by turn and comparing what they cost."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run of a command cost: wall and CPU time in seconds, peak memory in MiB."""

    wall: float
    cpu: float
    memory: float


def _environment() -> dict[str, str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    # Installed packages come compiled; this checkout must be allowed to be, too.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return environment


def cost_of(command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> Cost:
    """Run ``command`` in ``folder`` and return its cost.

    Raises:
        RuntimeError: it exited with another status than 0; its output is in the message.
    """
    output = folder / "output.txt"
    with open(output, "wb") as file:
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**_environment(), **(environment or {})},
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{command} exited with {process.returncode}:\n{output.read_text(errors='replace')[-2000:]}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def alternate(
    commands: Mapping[str, Sequence[str]], folder: Path, rounds: int, environment: Mapping[str, str] | None = None
) -> dict[str, list[Cost]]:
    """Run all ``commands`` once to warm up and then in turn, ``rounds`` times, and return the costs by name.

    Machines are noisy and their speed drifts: only what ran side by side is compared.
    """
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for round_number in range(-1, rounds):
        for name, command in commands.items():
            cost = cost_of(command, folder, environment)
            if round_number >= 0:
                costs[name].append(cost)
        print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return costs


def median(costs: Sequence[Cost], what: str) -> float:
    """Return the median of one figure (``wall``, ``cpu`` or ``memory``)."""
    return statistics.median(getattr(cost, what) for cost in costs)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
