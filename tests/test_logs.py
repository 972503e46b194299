"""``-v`` for management commands: what is printed where, and that logging is as before afterwards."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import UserSettingsHolder, global_settings, settings
from django.core.management import BaseCommand, CommandError, call_command

from testkit.logs import CommandHandler, VerbosityLogging

own = logging.getLogger("shop.management.commands.sync")
other = logging.getLogger("shop.warehouse")
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class Command(VerbosityLogging, BaseCommand):
    """Logs each level by its own logger and by another one; ``then`` is what it does besides."""

    requires_system_checks = ()

    def __init__(self, then: Any = lambda: None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.then = then

    def handle(self, **options: Any) -> str:
        for name, level in LEVELS.items():
            own.log(level, "own %s", name)
            other.log(level, "other %s", name)
        self.then()
        return "the result"


Command.__module__ = own.name


class Other(Command):
    """Another command, whose logger is "shop.warehouse"."""

    def handle(self, **options: Any) -> None:
        other.debug("inner debug")
        other.info("inner info")


Other.__module__ = other.name


@pytest.fixture(autouse=True)
def configured() -> Iterator[None]:
    """Django settings for the commands, and loggers that are as they were afterwards."""
    before, settings._wrapped = settings._wrapped, UserSettingsHolder(global_settings)
    state = logging_state()
    yield
    settings._wrapped = before
    assert logging_state() == state


def logging_state() -> list[Any]:
    return [
        (
            logger.level,
            logger.propagate,
            logger.disabled,
            list(logger.handlers),
            [list(h.filters) for h in logger.handlers],
        )
        for logger in (logging.getLogger(), own, other)
    ]


class Console(logging.StreamHandler):  # type: ignore[type-arg]
    """A handler on the present stderr: capsys has another one in a test than in its fixtures."""

    stream = property(lambda self: sys.stderr, lambda self, value: None)  # type: ignore[assignment]


@pytest.fixture
def console() -> Iterator[logging.Handler]:
    """A console handler on the root logger, as a project's LOGGING has one."""
    handler = Console()
    handler.setFormatter(logging.Formatter("console: %(message)s"))
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)


def printed(verbosity: int, command: BaseCommand | None = None, **options: Any) -> list[str]:
    stderr, stdout = StringIO(), StringIO()
    call_command(command or Command(), verbosity=verbosity, stderr=stderr, stdout=stdout, **options)
    assert stdout.getvalue() in {"the result\n", ""}
    return stderr.getvalue().splitlines()


@pytest.mark.parametrize(
    ("verbosity", "lines"),
    [
        (0, []),
        (1, ["own info", "own warning", "own error"]),
        (2, [f"{name.upper()} {own.name}: own {name}" for name in LEVELS]),
        (3, [f"{n.upper()} {log.name}: {word} {n}" for n in LEVELS for log, word in ((own, "own"), (other, "other"))]),
    ],
)
@pytest.mark.parametrize("has_console", [False, True])
def test_verbosity(
    verbosity: int,
    lines: list[str],
    has_console: bool,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each verbosity prints its levels of its loggers on the command's stderr, whatever the project's LOGGING is."""
    if has_console:
        request.getfixturevalue("console")
    assert printed(verbosity) == lines
    # Only what is not the command's own business is left to the project's console.
    left = ["other warning", "other error"] if verbosity < 3 else []
    assert capsys.readouterr().err.splitlines() == [f"console: {line}" for line in left if has_console]


def test_default_verbosity() -> None:
    """Without ``-v`` the verbosity is Django's default, 1."""
    stderr = StringIO()
    call_command(Command(), stderr=stderr, stdout=StringIO())
    assert stderr.getvalue().splitlines() == ["own info", "own warning", "own error"]


def test_console_on_the_own_logger(console: logging.Handler, capsys: pytest.CaptureFixture[str]) -> None:
    """A console handler of the command's own logger, which does not propagate, prints nothing twice either."""
    logging.getLogger().removeHandler(console)
    own.addHandler(console)
    own.propagate = False
    try:
        assert printed(1) == ["own info", "own warning", "own error"]
        assert printed(3)[:3] == [
            f"DEBUG {own.name}: own debug",
            f"DEBUG {other.name}: other debug",
            f"INFO {own.name}: own info",
        ]
        assert capsys.readouterr().err == ""
    finally:
        own.removeHandler(console)
        own.propagate = True


def test_console_that_the_root_does_not_reach(console: logging.Handler, capsys: pytest.CaptureFixture[str]) -> None:
    """The console of a logger that propagates to nobody goes on printing, since nobody else would."""
    logging.getLogger().removeHandler(console)
    other.addHandler(console)
    other.propagate = False
    try:
        assert not [line for line in printed(3) if "other" in line]
        assert capsys.readouterr().err.splitlines() == [f"console: other {name}" for name in LEVELS]
    finally:
        other.removeHandler(console)
        other.propagate = True


@pytest.mark.parametrize("verbosity", [0, 1, 2, 3])
def test_other_handlers(verbosity: int, caplog: pytest.LogCaptureFixture) -> None:
    """Handlers that do not print, such as Sentry's or caplog, get at least what they got without ``-v``."""
    with caplog.at_level(logging.DEBUG, own.name):
        printed(verbosity)
    assert [record.message for record in caplog.records if record.name == own.name] == [f"own {n}" for n in LEVELS]


@pytest.mark.parametrize("error", [CommandError("no"), KeyboardInterrupt()])
@pytest.mark.parametrize("verbosity", [0, 3])
def test_restored_after_an_exception(
    error: BaseException, verbosity: int, console: logging.Handler, capsys: pytest.CaptureFixture[str]
) -> None:
    """Levels, handlers and filters are as before when the command raises."""

    def fail() -> None:
        raise error

    before = logging_state()
    with pytest.raises(type(error)):
        printed(verbosity, Command(then=fail))
    assert logging_state() == before
    capsys.readouterr()
    own.warning("afterwards")
    assert capsys.readouterr().err == "console: afterwards\n"


def test_state_changes_within() -> None:
    """While the command runs its logging is another, or the tests that it comes back would prove nothing."""
    before, seen = logging_state(), []
    printed(2, Command(then=lambda: seen.append(logging_state())))
    assert seen[0] != before
    assert logging_state() == before


@pytest.mark.parametrize(
    ("inner", "inner_lines", "outer_lines"),
    [
        (0, [], []),
        (1, ["inner info"], []),
        (2, [f"DEBUG {other.name}: inner debug", f"INFO {other.name}: inner info"], []),
    ],
)
@pytest.mark.parametrize("outer", [1, 3])
def test_nested(outer: int, inner: int, inner_lines: list[str], outer_lines: list[str]) -> None:
    """A command that calls another one: each line is printed once, by the inner one as its own verbosity says."""
    found: list[str] = []
    lines = printed(outer, Command(then=lambda: found.extend(printed(inner, Other()))))
    assert found == inner_lines
    assert [line for line in lines if "inner" in line] == outer_lines
    assert [line for line in lines if "own error" in line]


def test_nested_in_itself() -> None:
    """A command that calls itself prints each line once, the inner call's on the inner stderr."""
    inner: list[str] = []
    outer = printed(1, Command(then=lambda: inner.extend(printed(0)) or inner.extend(printed(1))))
    assert inner == outer == ["own info", "own warning", "own error"]


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("options", "stream", "is_coloured"),
    [
        ({"force_color": True}, StringIO, True),
        ({"no_color": True}, Terminal, False),
        ({}, StringIO, False),
    ],
)
def test_colours(options: dict[str, bool], stream: type[StringIO], is_coloured: bool) -> None:
    """Errors and warnings are coloured as Django's options say, and information never is."""
    stderr = stream()
    call_command(Command(), verbosity=1, stderr=stderr, stdout=StringIO(), **options)
    info, warning, error = stderr.getvalue().splitlines()
    assert info == "own info"
    assert [line.startswith("\x1b[") for line in (warning, error)] == [is_coloured] * 2


def test_no_colours_of_stderr() -> None:
    """Lines are neither in the style of stderr, which is an error's, nor coloured for a stderr that is no terminal."""
    for stream, is_coloured in ((Terminal(), True), (StringIO(), False)):
        call_command(Command(stderr=stream, stdout=StringIO(), force_color=True), verbosity=1)
        info, warning, error = stream.getvalue().splitlines()
        assert info == "own info"
        assert [line.startswith("\x1b[") for line in (warning, error)] == [is_coloured] * 2


def test_level_of_its_own() -> None:
    """A level that the project gave the command's logger is lowered too."""
    own.setLevel(logging.ERROR)
    try:
        assert f"DEBUG {own.name}: own debug" in printed(3)
        assert own.level == logging.ERROR
    finally:
        own.setLevel(logging.NOTSET)


class Broken(StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_handler_does_not_raise(capsys: pytest.CaptureFixture[str]) -> None:
    """A line that cannot be written is reported as logging does, and the command goes on."""
    stdout = StringIO()
    call_command(Command(), stderr=Broken(), stdout=stdout)
    assert stdout.getvalue() == "the result\n"
    assert "--- Logging error ---" in capsys.readouterr().err


def test_from_the_command_line(tmp_path: Path) -> None:
    """A real command prints its logs on stderr and its result on stdout, and nothing at ``-v 0``, warnings neither."""
    commands = tmp_path / "shop" / "management" / "commands"
    commands.mkdir(parents=True)
    for folder in (tmp_path / "shop", tmp_path / "shop" / "management", commands):
        (folder / "__init__.py").touch()
    (commands / "sync.py").write_text(
        "import logging\n"
        "from django.core.management import BaseCommand\n"
        "from testkit.logs import VerbosityLogging\n"
        "logger = logging.getLogger(__name__)\n"
        "class Command(VerbosityLogging, BaseCommand):\n"
        "    def handle(self, **options):\n"
        "        logger.debug('a detail')\n"
        "        logger.info('a step')\n"
        "        logger.warning('a warning')\n"
        "        return 'the result'\n"
    )
    program = (
        "import sys, django\n"
        "from django.conf import settings\n"
        "settings.configure(INSTALLED_APPS=['shop'])\n"
        "from django.core.management import execute_from_command_line\n"
        "execute_from_command_line(['manage.py', 'sync', '-v', sys.argv[1]])\n"
    )
    root = str(Path(__file__).parents[1])
    for verbosity, lines in (("0", []), ("1", ["a step", "a warning"])):
        ended = subprocess.run(
            [sys.executable, "-W", "error", "-c", program, verbosity],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([root, str(tmp_path)])},
            capture_output=True,
            text=True,
            check=True,
        )
        assert ended.stderr.splitlines() == lines
        assert ended.stdout == "the result\n"


def test_handler_follows_the_command() -> None:
    """The handler writes to the stderr that the command has when a record comes."""
    command = Command(stderr=StringIO())
    handler = CommandHandler(command)
    command.stderr = (late := Command(stderr=StringIO())).stderr
    handler.emit(logging.makeLogRecord({"msg": "text", "levelno": logging.INFO}))
    assert late.stderr.getvalue() == "text\n"
