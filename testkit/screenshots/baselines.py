"""Baselines: the images that people approved, kept as the browser made them.

They are in ``screenshots/baseline/<browser>-<platform>/<name>_<label>.png``; a name may have folders in it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NamedTuple

from testkit.core.errors import UnsafePathError
from testkit.core.paths import path_below, replacing

SUFFIX = ".png"
LONGEST = 300
"""The most characters of a name and its label: Windows allows 260 for a whole path, unless it is told otherwise."""

# What tests of this process asked for, by the file as a file system has it that does not tell "A" from "a".
_asked: dict[str, tuple[str, str]] = {}


class Baselines(NamedTuple):
    """The baselines of one browser on one platform."""

    folder: Path
    browser: str
    """``chromium``, ``firefox``, …"""
    platform: str
    """``linux``, ``macos``, ``windows``; see :func:`platform_name`."""

    @property
    def home(self) -> Path:
        """The folder of this browser and platform."""
        return path_below(self.folder, f"{self.browser}-{self.platform}", exact=True)

    def path(self, name: str, label: str = "") -> Path:
        """Return the file of the baseline ``name`` at the breakpoint ``label``.

        Raises:
            UnsafePathError: the name leads out of the folder, is none that all file systems allow, or has the file of
                another one (``home_1024`` that of ``home`` at ``1024``; on some systems ``Home`` that of ``home``).
        """
        stem = f"{name}_{label}" if label else name
        if len(stem) > LONGEST:
            raise UnsafePathError(
                f"{stem[:40] + '…'!r} cannot be the name of a baseline: it has {len(stem)} characters, and {LONGEST} "
                "is the most"
            )
        if not name or name.endswith("/") or "/" in label:
            raise UnsafePathError(f"{name!r} with the label {label!r} cannot be the name of a baseline")
        home = self.home
        *_, last = parts = name.split("/")
        path_below(home, last, exact=True)  # it is no name either if only the label makes it one
        path = path_below(home, *parts[:-1], stem.rpartition("/")[2], exact=True)
        path = path.with_name(path.name + SUFFIX)
        if len(parts) > 1 and not path.parent.resolve().is_relative_to(home.resolve()):
            raise UnsafePathError(f"{name!r} cannot be the name of a baseline: {path.parent} is a link out of {home}")
        self._claim(path, name, label)
        return path

    def _claim(self, path: Path, name: str, label: str) -> None:
        other = _asked.setdefault(os.path.abspath(path).casefold(), (name, label))
        if other != (name, label):
            names = " and ".join(
                f"{name!r} at {label!r}" if label else f"{name!r}" for name, label in (other, (name, label))
            )
            raise UnsafePathError(f"the baselines {names} would have the same file, {path}: rename one")

    def read(self, name: str, label: str = "") -> bytes | None:
        """Return the image, or None where there is none yet."""
        try:
            return self.path(name, label).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, label: str, data: bytes) -> Path:
        """Write the image, whole or not at all, in the place of the one that was there."""
        path = self.path(name, label)
        with replacing(path, "wb") as file:
            file.write(data)
        return path

    def create(self, name: str, label: str, data: bytes) -> bool:
        """Write the image if there is none, and return whether that was done; another process may have been faster."""
        path = self.path(name, label)
        if path.exists():
            return False
        new = path.with_name(f".{path.name}.{os.getpid()}.new")
        try:
            with replacing(new, "wb") as file:
                file.write(data)
            os.link(new, path)  # unlike a move it never takes the place of a file
        except FileExistsError:
            return False
        except OSError:  # no links on this file system
            with replacing(path, "wb") as file:
                file.write(data)
        finally:
            new.unlink(missing_ok=True)
        return True


def platform_name(system: str = "") -> str:
    """Return ``linux``, ``macos`` or ``windows`` for what Python or a browser calls ``system``, else that in lower case.

    Without ``system`` it is this machine.
    """
    name = (system or sys.platform).lower()
    if name.startswith("win"):
        return "windows"
    if name.startswith(("mac", "darwin", "os x")):
        return "macos"
    return "linux" if name.startswith("linux") else "".join(part if part.isalnum() else "-" for part in name)


def files_in(folder: Path) -> list[Path]:
    """Return all baselines below ``folder``, of all browsers, sorted; and those in it, as suites of Needle itself have them."""
    return sorted(path for path in folder.glob(f"**/*{SUFFIX}") if not path.name.startswith("."))
