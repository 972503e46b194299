"""Reading the values of options: text from a command line, or what settings hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Parse = Callable[[Any], Any]
"""Returns the value that text or a settings value stands for; raises ValueError with what is accepted."""


def boolean(value: Any) -> bool:
    """Read a yes or no: a bool, or ``1 true yes on`` / ``0 false no off`` and nothing, in any case."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in {"1", "true", "yes", "on"}:
        return True
    if word in {"", "0", "false", "no", "off"}:
        return False
    raise ValueError("give true or false")


def whole_number(value: Any) -> int:
    """Read a whole number of at least 0."""
    try:
        number = int(str(value))
    except ValueError:
        number = -1
    if number < 0:
        raise ValueError("give a whole number, 0 or more")
    return number


def seconds(value: Any) -> float:
    """Read a number of seconds of at least 0."""
    try:
        number = float(str(value))
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise ValueError("give a number of seconds, 0 or more")
    return number


def percentage(value: Any) -> float:
    """Read a number from 0 to 100."""
    try:
        number = float(str(value))
    except ValueError:
        number = -1
    if not 0 <= number <= 100:
        raise ValueError("give a number from 0 to 100")
    return number


def text(value: Any) -> str:
    """Read text, which may not be empty."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("give some text")
    return value


def path(value: Any) -> Path:
    """Read the path of a file or folder."""
    if not isinstance(value, str | Path) or not str(value).strip():
        raise ValueError("give a path")
    return Path(value)


def names(value: Any) -> tuple[str, ...]:
    """Read names: text with commas between them, or a list of such (a flag may be repeated)."""
    parts = [value] if isinstance(value, str) else value
    if not isinstance(parts, list | tuple | set | frozenset) or not all(isinstance(part, str) for part in parts):
        raise ValueError("give names, separated by commas (in settings: a list of text)")
    return tuple(name.strip() for part in parts for name in part.split(",") if name.strip())


def one_of(*choices: str) -> Parse:
    """Return a reader that takes one of ``choices``."""

    def read(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"give one of {', '.join(choices)}")
        return str(value)

    return read


READERS: Mapping[type, Parse] = {
    bool: boolean,
    int: whole_number,
    float: seconds,
    str: text,
    tuple: names,
    type(Path()): path,
}
"""The reader that goes with the type of an option's default."""
