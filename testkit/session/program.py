"""What started the run, as one would type it again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path


def program_of(argv: Sequence[str]) -> str:
    """Return what is typed before test labels: ``python manage.py test``, ``python -m testkit`` or a script of the project's.

    ``argv`` is the process's ``sys.argv``; settings that were named there are named again.
    """
    script = Path(argv[0] if argv else "")
    if script.name == "__main__.py":
        program = f"python -m {script.parent.name}"  # testkit, or nose2
    elif script.suffix == ".py":
        given = os.path.relpath(script)
        program = f"python {given if not given.startswith('..') else script.name}"
        program += " test" if script.name == "manage.py" else ""
    else:
        # nose2 puts what was typed into the place of its file.
        program = "python -m nose2" if "nose2" in script.name else "python -m testkit"
    settings = [word for word in argv[1:] if word.startswith("--settings=")]
    if "--settings" in argv[1:-1]:
        settings = [f"--settings={argv[argv.index('--settings') + 1]}"]
    return " ".join([program, *(word for word in settings if word.isprintable() and " " not in word)])
