"""Finding the Django project that a command is to work for."""

from __future__ import annotations

import re
from pathlib import Path

_IN_MANAGE_PY = re.compile(r"""DJANGO_SETTINGS_MODULE["']\s*,\s*["']([\w.]+)["']""")


def settings_of_manage_py(path: Path = Path("manage.py")) -> str:
    """Return the settings module that the ``manage.py`` at ``path`` names; empty if there is none."""
    try:
        found = _IN_MANAGE_PY.search(path.read_text(encoding="utf-8"))
    except OSError:
        return ""
    return found[1] if found else ""
