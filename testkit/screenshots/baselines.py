"""Baselines: the images that people approved, kept as the browser made them.

They are in ``screenshots/baseline/<browser>-<platform>/<name>_<label>.png``; a name may have folders in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

FOLDER = Path("screenshots", "baseline")
"""Where they are when nothing else is said, from the working directory."""


class Baselines(NamedTuple):
    """The baselines of one browser on one platform."""

    folder: Path
    browser: str
    """``chromium``, ``firefox``, …"""
    platform: str
    """``linux``, ``macos``, ``windows``; see :func:`platform_name`."""

    def path(self, name: str, label: str = "") -> Path:
        """Return the file of the baseline ``name`` at the breakpoint ``label``.

        Raises:
            UnsafePathError: the name leads out of the folder, or is none that all file systems allow.
        """
        raise NotImplementedError

    def read(self, name: str, label: str = "") -> bytes | None:
        """Return the image, or None where there is none yet."""
        raise NotImplementedError

    def write(self, name: str, label: str, data: bytes) -> Path:
        """Write the image, whole or not at all, in the place of the one that was there."""
        raise NotImplementedError

    def create(self, name: str, label: str, data: bytes) -> bool:
        """Write the image if there is none, and return whether that was done; another process may have been faster."""
        raise NotImplementedError


def platform_name(system: str = "") -> str:
    """Return ``linux``, ``macos`` or ``windows`` for what Python or a remote browser calls ``system``, else that in lower case.

    Without ``system`` it is this machine.
    """
    raise NotImplementedError


def files_in(folder: Path) -> list[Path]:
    """Return all baselines below ``folder``, of all browsers, sorted."""
    raise NotImplementedError
