"""Baselines from another branch or commit: its tests are run in a worktree of it, and write this project's baselines."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from testkit.core.errors import ExitStatus
from testkit.core.repository import Repository, RepositoryError
from testkit.screenshots import options, results
from testkit.screenshots.options import TAG
from testkit.screenshots.results import State

_PATIENCE = 30  # seconds for a run that was interrupted to write its reports


def make_baselines(revision: str, labels: Sequence[str], flags: Sequence[str], say: Callable[[str], None]) -> int:
    """Run the tests with screenshots of ``revision`` and let them write baselines here; return the run's exit status.

    Whatever stands in the working tree is left alone, changes that are not committed included.

    Args:
        revision: a branch, a tag or a commit of this folder's git repository.
        labels: which tests; all with screenshots without any.
        flags: further flags of the run.
        say: is given what is being done, a line each.

    Raises:
        RepositoryError: this is no git checkout, there is no such revision, or git cannot make a worktree of it.
    """
    repository = Repository(Path.cwd())
    top = repository.root
    below = Path.cwd().resolve().relative_to(top.resolve())
    commit = repository.commit(revision)
    if not commit:
        raise RepositoryError(
            f"--from {revision}: git knows no such branch, tag or commit here (a branch of a remote is origin/{revision}; "
            "`git fetch` brings what is only there)"
        )
    baselines = options.current().baselines.absolute()
    with _terminating_by_exception(), _worktree(repository, commit) as tree:
        place = tree / below
        if not place.is_dir():
            raise RepositoryError(f"{revision} has no folder {below}: go to a folder of the project that it has, too")
        say(f"The tests of {revision} ({commit[:10]}) write their baselines into {baselines} …")
        status = _run(place, [*(labels or [f"--tag={TAG}"]), *flags], _environment(top, tree, baselines))
        found = results.read(place / results.FOLDER)
    written = {Path(result.baseline) for result in found if result.state in (State.NEW, State.PASSED)}
    kept = [path for path in written if path.is_absolute()]  # those below the other tree are told without it
    say(f"Written: {len(kept)} baselines of {revision}, in {baselines}. Now run this tree's tests with --with-needle.")
    if len(kept) < len(written):
        say(
            f"{len(written) - len(kept)} others went with the worktree: their tests name a folder of baselines themselves."
        )
    if not kept and not status:
        say(f"The tests of {revision} have written no baseline here.")
        return ExitStatus.RUN_FAILED
    if status:
        say(
            f"The run of {revision} ended with status {status}: what did not come to its screenshots has no new baseline."
        )
    return status


@contextmanager
def _worktree(repository: Repository, commit: str) -> Iterator[Path]:
    """Check ``commit`` out into a temporary folder, which goes when the block ends, however it does."""
    folder = Path(tempfile.mkdtemp(prefix="testkit-baseline-"))
    tree = folder / repository.root.name
    try:
        repository.git("worktree", "add", "--detach", "--quiet", str(tree), commit)
        yield tree
    finally:
        with suppress(RepositoryError):
            repository.git("worktree", "remove", "--force", str(tree))
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(RepositoryError):
            repository.git("worktree", "prune")


def _run(place: Path, arguments: Sequence[str], environment: dict[str, str]) -> int:
    """Run the tests in ``place``, and see them end when this process is interrupted."""
    sys.stdout.flush()
    command = [sys.executable, "-m", "testkit", "run", "--with-needle", "--with-save-baseline", *arguments]
    # In a process group of its own, so that Ctrl-C comes to it once, by us, and not from the terminal as well.
    process = subprocess.Popen(command, cwd=place, env=environment, stdin=subprocess.DEVNULL, process_group=0)
    try:
        return process.wait()
    except BaseException:
        process.terminate()
        with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            process.wait(_PATIENCE)
        process.kill()
        process.wait()
        raise


def _environment(top: Path, tree: Path, baselines: Path) -> dict[str, str]:
    """Return the environment of a run in ``tree``.

    Where modules of this checkout are on the import path, as with an editable install, those of the tree come first.
    """
    theirs = [tree / Path(entry).relative_to(top) for entry in sys.path if entry and Path(entry).is_relative_to(top)]
    path = [str(entry) for entry in theirs if entry.is_dir()]
    given = os.environ.get("PYTHONPATH")
    environment = {**os.environ, "TESTKIT_BASELINES": str(baselines)}
    environment["PYTHONPATH"] = os.pathsep.join([*path, *([given] if given else [])])
    environment.pop(results.RUN, None)
    environment.pop("GITHUB_ACTIONS", None)  # what the service is told is of the run of this tree
    return environment


@contextmanager
def _terminating_by_exception() -> Iterator[None]:
    """Let SIGTERM end the block by an exception, so that it is cleaned up."""

    def terminate(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(ExitStatus.TERMINATED)

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
