"""The version of testkit, for rooms that may not import the package around them."""

from __future__ import annotations

import sys


def own_version() -> str:
    """Return the version of testkit."""
    return str(sys.modules["testkit"].__version__)
