"""Which files and folders this process reads, heard from Python itself by an audit hook.

A hook cannot be taken back, so there is one, added on first use, that returns at once while nobody listens.
https://docs.python.org/3/library/audit_events.html
"""

from __future__ import annotations

import genericpath
import glob
import linecache
import os
import sys
import tokenize
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import source_from_cache
from threading import local
from types import FrameType
from typing import Any

from testkit.databases.dependencies.digests import MISSING, digest_of_file, digest_of_folder, digest_of_pattern
from testkit.databases.dependencies.places import is_installed_code, is_own_code, is_python_code, says_nothing

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_IMPORT = "<frozen importlib"
# They read sources to show them.
_SHOWS = frozenset({linecache.__file__, tokenize.__file__})
_BYTECODE = ".pyc"
# Through these, code asks for a path of its own; pathlib is a package in some versions.
_ASKS_FOR_OTHERS = frozenset(
    {
        "<frozen genericpath>",
        genericpath.__file__,
        *(str(module.__file__) for name, module in [*sys.modules.items()] if name.partition(".")[0] == "pathlib"),
    }
)


class Reads:
    """The files that are read while it listens, with their digests at that moment."""

    def __init__(self, folder: str) -> None:
        """Listen for a project whose working directory is ``folder``."""
        self._folder = folder
        self._own = local()
        self.found: dict[tuple[str, str], str] = {}
        """Digests by kind and absolute path."""
        self.written: set[str] = set()
        """What was opened for writing, renamed to, or made as a folder."""

    def hear(self, event: str, args: tuple[Any, ...], frame: FrameType) -> None:
        """Note an audit event that was raised in ``frame``."""
        if not getattr(self._own, "is_busy", False) and not is_own_code(_name(caller_of(frame, is_python_code))):
            self._own.is_busy = True  # what is read for a digest raises events, too
            try:
                _EVENTS[event](self, args, frame)
            finally:
                self._own.is_busy = False

    def hear_missing(self, path: Any, frame: FrameType) -> None:
        """Note that ``os.stat`` has not found ``path``, for code in ``frame``."""
        caller = _name(caller_of(frame, _ASKS_FOR_OTHERS.__contains__))
        if not is_python_code(caller) and not is_own_code(caller):
            self._note("file", _absolute(path), lambda path: MISSING)

    def _opened(self, args: tuple[Any, ...], frame: FrameType) -> None:
        path, mode, flags = args
        if isinstance(path, int):
            return
        path, caller = _absolute(path), _name(frame)
        if (set(mode) & set("wax+")) if isinstance(mode, str) else (flags & _WRITES):
            self.written.add(path)
        elif caller.startswith(_IMPORT):
            self._imported(path)
        elif caller not in _SHOWS:
            self._note("file", path, digest_of_file)

    def _imported(self, path: str) -> None:
        if path.endswith(_BYTECODE):
            try:
                path = source_from_cache(path)
            except ValueError:
                return
        # pkgutil.get_data() reads other files by the loader of a module.
        if not (path.endswith(".py") and is_installed_code(path)):
            self._note("file", path, digest_of_file)

    def _listed(self, args: tuple[Any, ...], frame: FrameType) -> None:
        path, caller = args[0], _name(frame)
        if not isinstance(path, int) and not caller.startswith(_IMPORT) and caller != glob.__file__:
            self._note("folder", _absolute("." if path is None else path), digest_of_folder)

    def _globbed(self, args: tuple[Any, ...], frame: FrameType) -> None:
        pattern, _, root, _ = args
        self._pattern(os.path.join(glob.escape(os.fsdecode(root or os.getcwd())), os.fsdecode(pattern)))

    def _path_globbed(self, args: tuple[Any, ...], frame: FrameType) -> None:
        self._pattern(os.path.join(glob.escape(_absolute(args[0])), os.fsdecode(args[1])))

    def _path_globbed_below(self, args: tuple[Any, ...], frame: FrameType) -> None:
        self._pattern(os.path.join(glob.escape(_absolute(args[0])), "**", os.fsdecode(args[1])))

    def _pattern(self, pattern: str) -> None:
        self._note("pattern", os.path.normpath(pattern), digest_of_pattern)

    def _made(self, args: tuple[Any, ...], frame: FrameType) -> None:
        self.written.add(_absolute(args[0]))

    def _renamed(self, args: tuple[Any, ...], frame: FrameType) -> None:
        self.written.add(_absolute(args[1]))

    def _note(self, kind: str, path: str, digest: Callable[[str], str]) -> None:
        if (kind, path) not in self.found and path not in self.written and not says_nothing(path, self._folder):
            self.found[kind, path] = digest(path)


_EVENTS: dict[str, Callable[[Reads, tuple[Any, ...], FrameType], None]] = {
    "open": Reads._opened,
    "os.listdir": Reads._listed,
    "os.scandir": Reads._listed,
    "glob.glob/2": Reads._globbed,
    "pathlib.Path.glob": Reads._path_globbed,
    "pathlib.Path.rglob": Reads._path_globbed_below,
    "os.mkdir": Reads._made,
    "os.rename": Reads._renamed,
}
_listener: Reads | None = None
_is_hooked = False


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if _listener is not None and event in _EVENTS:
        with suppress(Exception):  # else the call that raised the event would fail by it
            _listener.hear(event, args, sys._getframe(1))


def caller_of(frame: FrameType, is_passed: Callable[[str], bool]) -> FrameType:
    """Return the first frame, from ``frame`` outwards, whose file name is not one that ``is_passed`` says."""
    caller: FrameType | None = frame
    while caller is not None and is_passed(caller.f_code.co_filename):
        caller = caller.f_back
    return caller or frame


def _name(frame: FrameType) -> str:
    return frame.f_code.co_filename


def _absolute(path: Any) -> str:
    return os.path.abspath(os.fsdecode(path))


@contextmanager
def listening(reads: Reads) -> Iterator[None]:
    """Let ``reads`` hear of what all threads of this process read in the block."""
    global _listener, _is_hooked
    if not _is_hooked:
        sys.addaudithook(_hook)
        _is_hooked = True
    before, _listener = _listener, reads
    try:
        with _noting_missing(reads):
            yield
    finally:
        _listener = before


@contextmanager
def _noting_missing(reads: Reads) -> Iterator[None]:
    """Replace ``os.stat``, by which ``exists()``, ``is_file()`` and the like look for files: it raises no audit event."""
    stat = os.stat

    def stat_and_note(path: Any, *args: Any, **kwargs: Any) -> os.stat_result:
        try:
            return stat(path, *args, **kwargs)
        except (FileNotFoundError, NotADirectoryError):
            with suppress(Exception):
                reads.hear_missing(path, sys._getframe(1))
            raise

    sets: list[set[Any]] = [os.supports_fd, os.supports_dir_fd, os.supports_follow_symlinks]
    told = [functions for functions in sets if stat in functions]
    os.stat = stat_and_note
    try:
        for functions in told:
            functions.add(stat_and_note)
        yield
    finally:
        os.stat = stat
        for functions in told:
            functions.discard(stat_and_note)
