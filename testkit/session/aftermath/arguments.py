"""What the commands that look at a past run have in common: their arguments, and what they print on."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from testkit.core.errors import TestkitError
from testkit.core.options import OptionGroup, Options, declared
from testkit.core.paths import replacing
from testkit.execution.options import ExecutionOptions
from testkit.session.options import GROUPS, RunOptions, resolve_options

_IN_ASCII = str.maketrans({"→": "->", "…": "...", "–": "-", "×": "x"})
"""What commands write besides ASCII, for a stream that cannot show it."""


class StatusOptions(OptionGroup):
    """Those options of a run that its exit status depends on."""

    allow_no_tests = RunOptions.declared["allow_no_tests"]
    flaky = ExecutionOptions.declared["flaky"]


def add_run_arguments(parser: ArgumentParser) -> None:
    """Give ``parser`` the flags that choose the run and say how the console is to look."""
    parser.add_argument("--run", metavar="RUN", help="The id of the run. Default: the newest one.")
    parser.add_argument(
        "--durations", type=int, metavar="N", help="Show the N slowest tests as Django's flag does (0: all)."
    )


def options_of(given: Namespace) -> Options:
    """Return the options by what was typed, the environment and the configuration files; no settings are read.

    Raises:
        OptionError: a value cannot be read, or a name is unknown.
    """
    typed = vars(given)
    return resolve_options({name: typed[name] for name in declared(GROUPS) if name in typed})


def with_values(options: Any, **values: Any) -> Any:
    """Return a copy of a filled group of options with some other ``values``."""
    return type(options)(**{**vars(options), **values})


@contextmanager
def opened(output: Path | None) -> Iterator[IO[bytes]]:
    """Open ``output``, which is whole or absent in the end; standard output when None.

    Raises:
        TestkitError: the file cannot be written.
    """
    if output is None:
        with readers_may_leave():
            yield sys.stdout.buffer
        return
    try:
        with replacing(output, "wb") as file:
            yield file
    except OSError as error:
        raise TestkitError(f"{output} cannot be written: {error.strerror}") from error


def write_text(text: str, output: Path | None) -> None:
    """Write ``text`` to ``output`` as UTF-8, or to standard output in what that can show.

    Raises:
        TestkitError: the file cannot be written.
    """
    encoding = "utf-8" if output is not None else sys.stdout.encoding or "ascii"
    try:
        data = text.encode(encoding)
    except UnicodeEncodeError:
        data = text.translate(_IN_ASCII).encode(encoding, "backslashreplace")
    with opened(output) as out:
        out.write(data)


@contextmanager
def readers_may_leave() -> Iterator[None]:
    """Let the block end quietly when nobody reads standard output any more, as behind ``| head``."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes once more at its end, and must not fail then.
        with suppress(OSError), open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), sys.stdout.fileno())
