"""Starting a process anew under measurement, since what the project has imported by now cannot be measured any more.

``manage.py test`` has imported the settings, the models and more before the runner learns that coverage is wanted.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from testkit.core.errors import TestkitError
from testkit.coverage import bootstrap
from testkit.coverage.options import CoverageOptions


def start_process_anew(options: CoverageOptions) -> NoReturn:
    """Run the command line of this process once more, in its place, measured as ``options`` say from its beginning.

    The interpreter's flags, the folder it was started in, standard input and the exit status stay what they are.

    Raises:
        TestkitError: this was done already, or the process was started in a way that cannot be repeated.
    """
    flags, program = split_command_line(sys.orig_argv)
    if os.environ.get(bootstrap.MEASURED) == str(os.getpid()):
        raise TestkitError(
            "coverage: this process was started anew under measurement, and that has ended: only the first test run "
            "of a process can be measured. Run the others by commands of their own"
        )
    if not sys.executable or not _is_test_command(program):
        raise TestkitError(
            "--with-cov: the project is imported already, and this process cannot be started anew under measurement, "
            f"since it is no test command (it is {' '.join(sys.orig_argv)!r}): use `python -m testkit`, or "
            "`coverage run` before your program"
        )
    given = {name: value for name, value in vars(options).items() if value != options.declared[name].default}
    plan = json.dumps({"options": given, "path": sys.path}, default=str)
    environment = {**os.environ, bootstrap.PLAN: plan}
    command = [sys.executable, *flags, bootstrap.__file__, *program]
    os.chdir(_first_folder(program[0]))
    # What stands in the buffers would be lost with this process.
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "nt":
        import subprocess

        # There, exec starts a second process and lets whoever waits for the first one go on.
        sys.exit(subprocess.call(command, env=environment))
    os.execve(sys.executable, command, environment)


def split_command_line(command: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split an interpreter's command line into its flags and the program with its arguments.

    The program is a path, or ``-m`` or ``-c`` with what follows: ``python -Bm app x`` gives ``["-B"]`` and
    ``["-m", "app", "x"]``. https://docs.python.org/3/using/cmdline.html
    """
    flags: list[str] = []
    rest = list(command[1:])
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest[0]
        length = 2 if word == "--check-hash-based-pycs" else 1
        letters = "" if word.startswith("--") else word
        for position, letter in enumerate(letters[1:], 1):
            attached = letters[position + 1 :]
            if letter in "cm":
                before = [word[:position]] if position > 1 else []
                return flags + before, [f"-{letter}", *([attached] if attached else []), *rest[1:]]
            if letter in "WX":
                length = 1 if attached else 2
                break
        flags += rest[:length]
        del rest[:length]
    return flags, rest


def _is_test_command(program: Sequence[str]) -> bool:
    """Whether running ``program`` again can only mean to run the tests again."""
    if not program or program[0] in ("-", "-c"):
        return False
    return any(word == "test" or word.startswith("--with-cov") for word in program[1:])


def _first_folder(script: str) -> str:
    """Return the folder in which this process began, as far as its script tells; the current one otherwise."""
    file = getattr(sys.modules["__main__"], "__file__", None) or ""
    # Python has put that folder before the script's path as it was given.
    is_telling = not os.path.isabs(script) and file.endswith(os.sep + script)
    return file.removesuffix(script) if is_telling else os.getcwd()
