"""Beside a browser: the process that starts its WebDriver server, and ends all that came of it in the end.

It is run as a script by a bare interpreter, so that it starts in milliseconds and needs nothing of the project.
Arguments: the process that uses the browser, the folder that is the browser's own, and the server's command line.
"""

import os
import select
import signal
import sys
from contextlib import suppress

PERIOD = 0.5
"""Seconds between two looks, where the kernel does not tell of the end of a process."""
PATIENCE = 200
"""How often it is looked for processes that are left, before they are left."""
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER, prctl(2)


def main(user: int, folder: str, command: list[str]) -> None:
    """Run ``command`` until it ends, ``user`` is gone, or something comes by standard input; then leave nothing of it."""
    with suppress(PermissionError):  # it leads one already
        os.setsid()  # Ctrl+C is for the run, which tells when it has ended its tests
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Whoever ends all processes of a group by a signal ends `user` too; what is here is to be cleared up then.
        signal.signal(number, signal.SIG_IGN)
    _adopt_orphans()
    server = os.posix_spawn(
        command[0],
        command,
        dict(os.environ, TMPDIR=folder),
        file_actions=[(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)],
        setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP],
        setpgroup=0,
    )
    _wait(user, server)
    for _ in range(PATIENCE):
        for process in _descendants(os.getpid()):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        if _is_childless():
            break
        select.select([], [], [], 0.01)
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def _adopt_orphans() -> None:
    """Become the parent of what the browser's processes leave behind, where there is such a thing: on Linux."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)


def _wait(user: int, server: int) -> None:
    """Wait for the end of either process, or for standard input, by which ``user`` says that it is done."""
    watched = [0]
    if hasattr(os, "pidfd_open"):
        try:
            watched += [os.pidfd_open(user), os.pidfd_open(server)]
        except ProcessLookupError:
            return
        except OSError:  # an old kernel, or a sandbox
            watched = [0]
    # Processes that `user` forks keep its end of the pipe open: the pipe alone would not tell of its death.
    while os.getppid() == user:
        ready, _, _ = select.select(watched, [], [], PERIOD if len(watched) == 1 else None)
        if ready or (len(watched) == 1 and os.waitpid(server, os.WNOHANG) != (0, 0)):
            return


def _descendants(process: int) -> list[int]:
    """Return the processes below ``process``."""
    children: dict[int, list[int]] = {}
    for child, parent in _processes():
        children.setdefault(parent, []).append(child)
    found = [process]
    for parent in found:
        found += children.get(parent, [])
    return found[1:]


def _processes() -> list[tuple[int, int]]:
    """Return all processes, each with its parent."""
    if not os.path.isdir("/proc/self"):
        import subprocess

        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], stdout=subprocess.PIPE, check=False).stdout
        return [(int(child), int(parent)) for child, parent in (line.split() for line in listed.splitlines())]
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                found.append((int(name), int(file.read().rpartition(b")")[2].split()[1])))
    return found


def _is_childless() -> bool:
    """Bury the children that are dead; return whether there are no others."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
        return False
    return True


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
