"""Runs that go wrong: started, watched from outside, and cleared away whatever they leave behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from lxml import etree

from testkit.core.events import Outcome

HAS_PROC = Path("/proc/self/environ").exists()
NOT_RUN = "not run"
_MARK = "FAULT_RUN"
_OUTCOMES: Mapping[str, Outcome] = {
    "failure": Outcome.FAILED,
    "error": Outcome.ERROR,
    "rerunFailure": Outcome.FAILED,
    "skipped": Outcome.SKIPPED,
}


class FaultRun:
    """A command in a session of its own, whose processes are known by a mark in their environment.

    What it prints goes to files, since a process that is left over would hold a pipe open. When the block ends, so do
    all its processes.
    """

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self._mark = f"{_MARK}={uuid.uuid4().hex}"
        self._out, self._err = folder / "stdout.txt", folder / "stderr.txt"
        self.began = time.monotonic()
        with open(self._out, "wb") as out, open(self._err, "wb") as err:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env={**environment, _MARK: self._mark.partition("=")[2]},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for _ in range(20):  # what is stopped or forks meanwhile may need another round
            left = self.processes()
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if not left:
                break
            time.sleep(0.05)
        self.process.wait()

    @property
    def stdout(self) -> str:
        return self._out.read_text("utf-8", "backslashreplace")

    @property
    def stderr(self) -> str:
        return self._err.read_text("utf-8", "backslashreplace")

    @property
    def seconds(self) -> float:
        """How long the run has taken so far."""
        return time.monotonic() - self.began

    def wait(self, seconds: float) -> int:
        """Return the status of the process, which must end within ``seconds``; negative for a signal."""
        self.until(lambda: self.process.poll() is not None, seconds, "the run did not end")
        return self.process.returncode

    def until(self, is_so: Callable[[], bool], seconds: float, otherwise: str) -> None:
        """Wait until ``is_so``, for ``seconds`` at most.

        Raises:
            AssertionError: it did not come to be; ``otherwise`` and what was printed are in the message.
        """
        deadline = time.monotonic() + seconds
        while not is_so():
            if time.monotonic() > deadline:
                raise AssertionError(f"{otherwise} within {seconds:g} s\n{self.told()}")
            time.sleep(0.02)

    def told(self) -> str:
        """Return the status, the processes and the end of what was printed, for messages."""
        return "\n".join(
            [
                f"status: {self.process.poll()}",
                *(f"running: {pid} {command}" for pid, command in self.processes().items()),
                f"stdout: {self.stdout[-3000:]}",
                f"stderr: {self.stderr[-6000:]}",
            ]
        )

    def processes(self) -> dict[int, str]:
        """Return the command line of each living process of the run by its id."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended, or is another user's
                if self._mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
                    words = (folder / "cmdline").read_bytes().split(b"\0")
                    found[int(folder.name)] = b" ".join(words).decode(errors="replace").strip()
        return found

    def has_left(self) -> dict[int, str]:
        """Return the processes that go on although the run has ended, having waited a little for them."""
        deadline = time.monotonic() + 5
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left


class Case:
    """A test in an xunit file."""

    def __init__(self, element: etree._Element) -> None:
        class_name, name = element.get("classname") or "", element.get("name") or ""
        # A module that cannot be imported: ours calls the case "import", pytest has no class name for it.
        self.id = class_name if name == "import" else f"{class_name}.{name}".lstrip(".")
        child = next((child for child in element if child.tag in _OUTCOMES), None)
        self.message = "" if child is None else child.get("message") or ""
        kind = "" if child is None else child.get("type") or ""
        self.outcome: str = Outcome.PASSED if child is None else _OUTCOMES[str(child.tag)]
        if kind in ("unittest.expectedFailure", "XFAIL", "pytest.xfail"):
            self.outcome = Outcome.EXPECTED_FAILURE
        elif kind == "testkit.notRun":
            self.outcome = NOT_RUN
        self.text = "\n".join([self.message, *(str(text) for text in element.itertext())])

    @property
    def is_subtest(self) -> bool:
        """Whether it is one that our files have beside the case of its test."""
        return bool(re.search(r"[\s(\[]", self.id))


def xunit_cases(path: Path) -> list[Case]:
    """Return the tests in the xunit file ``path``, without subtests.

    Raises:
        OSError: there is no such file.
        lxml.etree.XMLSyntaxError: it is no XML.
    """
    with open(path, "rb") as file:
        root = etree.parse(file, etree.XMLParser(huge_tree=True)).getroot()
    return [case for case in map(Case, root.iter("testcase")) if not case.is_subtest]
