"""The stacks that faulthandler writes, without the frames that are the runner's."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

_OWN_FOLDER = os.path.dirname(__file__) + os.sep
_FRAME = re.compile(r'  File (?:"(?P<file>.*)"|\?\?\?), line (?:\d+|\?\?\?) in (?P<function>.*)')
_CALLERS = ("_callTestMethod", "_callSetUp", "_callTearDown", "_callCleanup")
"""What of unittest calls a test's own code."""


def stacks_in(path: Path) -> str:
    """Return the stacks of all threads that the file at ``path`` has, from the tests' frames inward; empty for none."""
    with suppress(OSError):
        return shortened(path.read_text("utf-8", "backslashreplace")).strip()
    return ""


def shortened(stacks: str) -> str:
    """Return ``stacks`` (most recent call first) without what lies outside of a test: unittest, Django, the runner."""
    shown: list[str] = []
    is_outside = is_within = False
    for line in stacks.splitlines():
        frame = _FRAME.fullmatch(line)
        is_own = frame is not None and (frame["file"] or "").startswith(_OWN_FOLDER)
        if frame is None:
            is_outside = is_within = False
        elif is_own and not is_within:
            continue  # the runner's, called by the test: a subtest's end, say
        elif is_own or frame["function"] in _CALLERS:
            is_outside = True
        else:
            is_within = True
        if not is_outside:
            shown.append(line)
    return "\n".join(shown)


def forget_stacks(path: Path) -> None:
    """Empty the file of stacks: earlier ones say nothing of what happens now."""
    with suppress(OSError):
        os.truncate(path, 0)
