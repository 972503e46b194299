"""``-v`` for management commands: what a command logs is printed as far as its verbosity says.

The command's own logger is the one named like its module, ``logging.getLogger(__name__)``. While the command runs

=======  ==========================================================
``-v 0``  nothing is printed
``-v 1``  INFO and above of the command's logger (Django's default)
``-v 2``  DEBUG and above of it
``-v 3``  DEBUG and above of the root logger, and so of all that reach it
=======  ==========================================================

on the command's stderr, which leaves stdout to its result. Handlers of the project that print to the console keep
silent about these records meanwhile, so that no line comes twice, and at ``-v 0`` none. All its other handlers (files,
Sentry, pytest's caplog) get every record as before, as propagation stays as it is; and as a logger's level is lowered
where it must be, they may get more.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django.core.management.base import BaseCommand

    _Base = BaseCommand
else:
    _Base = object

_NOTHING = logging.CRITICAL + 1
_LEVELS = {0: _NOTHING, 1: logging.INFO, 2: logging.DEBUG, 3: logging.DEBUG}


class VerbosityLogging(_Base):
    """Maps ``-v`` of a management command to logging: ``class Command(VerbosityLogging, BaseCommand)``, in this order."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run the command with its logging; levels, handlers and filters are as before when it has ended, or raised."""
        given = options.get("verbosity")
        force_color = bool(options.get("force_color"))
        with _printing(CommandHandler(self, force_color), type(self).__module__, 1 if given is None else int(given)):
            return super().execute(*args, **options)


class CommandHandler(logging.Handler):
    """Prints log records on a command's stderr, in its colours for errors and warnings.

    The stream is looked up for each record: ``execute()`` exchanges it when ``call_command(stderr=…)`` gives one.
    """

    def __init__(self, command: BaseCommand, force_color: bool = False) -> None:
        super().__init__()
        self._command = command
        self._force_color = force_color

    def emit(self, record: logging.LogRecord) -> None:
        try:
            # `str` in the place of stderr's own style, which is that of an error.
            self._command.stderr.write(self._style_of(record)(self.format(record)), str)
        except Exception:
            self.handleError(record)

    def _style_of(self, record: logging.LogRecord) -> Callable[[str], str]:
        style = self._command.style  # without colours when --no-color says so
        if record.levelno >= logging.WARNING and (self._force_color or self._command.stderr.isatty()):
            return style.ERROR if record.levelno >= logging.ERROR else style.WARNING
        return str


@contextmanager
def _printing(handler: CommandHandler, name: str, verbosity: int) -> Iterator[None]:
    """Print, within the block, what the logger ``name`` (from 3 on: and the root logger) gets, by ``handler`` alone."""
    level = _LEVELS[min(max(verbosity, 0), 3)]
    own, root = logging.getLogger(name), logging.getLogger()
    loggers = [own] if verbosity < 3 else [root] if _reaches(name, {root}) else [own, root]
    handler.setLevel(level)
    handler.setFormatter(logging.Formatter("%(message)s" if verbosity < 2 else "%(levelname)s %(name)s: %(message)s"))

    def leave_to_handler(record: logging.LogRecord) -> bool:
        return not _reaches(record.name, set(loggers))

    with ExitStack() as undo:
        for other in _console_handlers(handler):
            other.addFilter(leave_to_handler)
            undo.callback(other.removeFilter, leave_to_handler)
        for logger in {own, *loggers}:
            # Lowered at most: what other handlers get must not become less.
            if logger.getEffectiveLevel() > level:
                undo.callback(logger.setLevel, logger.level)
                logger.setLevel(level)
        for logger in loggers:
            logger.addHandler(handler)
            undo.callback(logger.removeHandler, handler)
        yield


def _reaches(name: str, loggers: set[logging.Logger]) -> bool:
    """Return whether a record of the logger ``name`` comes to one of ``loggers``, its own or those it propagates to."""
    current: logging.Logger | None = logging.getLogger(name)
    while current is not None and current not in loggers:
        current = current.parent if current.propagate else None
    return current is not None


def _console_handlers(handler: CommandHandler) -> list[logging.Handler]:
    """Return the handlers that print to the console, the one of a command that calls this command among them."""
    command = handler._command
    streams = (
        sys.stdout,
        sys.stderr,
        sys.__stdout__,
        sys.__stderr__,
        *(getattr(out, "_out", None) for out in (command.stdout, command.stderr)),
    )
    known = [item for item in logging.root.manager.loggerDict.values() if isinstance(item, logging.Logger)]
    found = {other: None for logger in [logging.root, *known] for other in logger.handlers}
    return [
        other
        for other in found
        if isinstance(other, CommandHandler) or any(_stream_of(other) is stream for stream in streams if stream)
    ]


def _stream_of(handler: logging.Handler) -> object:
    # rich's handler is no StreamHandler, but has a console.
    return getattr(handler, "stream", None) or getattr(getattr(handler, "console", None), "file", None)
