"""A worker process: it asks for a lease, runs it, and tells what happens as it happens."""

from __future__ import annotations

import builtins
import copy
import faulthandler
import functools
import importlib
import mmap
import os
import signal
import sys
import traceback
import unittest
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from testkit.core.clock import clock
from testkit.core.errors import TestkitError
from testkit.core.events import Fact, Outcome, Problem, TestFinished
from testkit.execution.channel import Channel, ChannelBroken, PipeChannel
from testkit.execution.ids import Tests, iterate, tests_by_id
from testkit.execution.inline import RecordedSuite
from testkit.execution.outputs import Files, OutputFiles
from testkit.execution.processes import DUMP
from testkit.execution.recorder import Recorder

CUT_OFF = 75
"""The exit status of a worker that cannot reach the run any more (EX_TEMPFAIL of sysexits.h)."""


class Surrounding(NamedTuple):
    """Something to set up in each worker: the dotted path of a function, and plain data for it.

    The function takes the worker's name and the data, and returns a context manager; what that yields may be a
    :class:`Companion`, or lines to tell the user.
    """

    path: str
    data: Any


class Companion(Protocol):
    """What goes along with the tests of a worker."""

    def __call__(self, fact: Fact) -> None:
        """Hear a fact."""

    def save(self) -> None:
        """Write what was gathered, after each lease: a worker may be killed in the next one."""


class Assignment(NamedTuple):
    """All that a worker process is told when it is started: plain data and its ends of two pipes."""

    worker: str
    mark: str
    """What the environment of whatever it starts has in it: ``NAME=value``."""
    files: Files
    control: Path
    leases: Connection
    facts: Connection
    surroundings: tuple[Surrounding, ...]
    suite: str
    """The dotted path of the suite class that runs the tests."""
    recording: Mapping[str, bool]
    """Options of the recorder."""
    path: tuple[str, ...]
    """``sys.path`` of the run."""


class Control:
    """A byte that the run and its workers share: whether to stop after the test that runs now."""

    def __init__(self, path: Path) -> None:
        """Share the file ``path``, which has at least one byte."""
        with open(path, "r+b") as file:
            self._byte = mmap.mmap(file.fileno(), 1)

    @property
    def stops(self) -> bool:
        """Whether no further test is to begin."""
        return self._byte[0] != 0

    def stop(self) -> None:
        """Say so."""
        self._byte[0] = 1


class WorkerRecorder(Recorder):
    """A recorder that stops when the run says so."""

    control: Control | None = None
    _stops = False

    @property
    def shouldStop(self) -> bool:
        return self._stops or (self.control is not None and self.control.stops)

    @shouldStop.setter
    def shouldStop(self, value: bool) -> None:
        self._stops = value

    @property
    def was_stopped(self) -> bool:
        """Whether a test stopped it, or its failure did."""
        return self._stops


def main(assignment: Assignment, inherited: Tests | None = None, strangers: Iterable[int] = ()) -> None:
    """Be a worker process until the run has no more leases for it.

    Args:
        assignment: what to be.
        inherited: the tests, in a forked process; another one imports those that it gets.
        strangers: file descriptors of the run that a fork has, and that are not its own.
    """
    output = _begin_process(assignment, strangers)
    channel = PipeChannel(assignment.leases.fileno(), assignment.facts.fileno())
    try:
        with ExitStack() as stack:
            companions = _surround(assignment, channel, stack)
            channel.send("ready", pid=os.getpid())
            _serve(assignment, channel, output, companions, inherited)
    except ChannelBroken:
        os._exit(CUT_OFF)
    except BaseException as error:
        # Told rather than raised: a traceback of ours in the middle of the console would help nobody.
        channel.send("failed", text=str(error) if isinstance(error, TestkitError) else traceback.format_exc())
        os._exit(1)


def _begin_process(assignment: Assignment, strangers: Iterable[int]) -> OutputFiles:
    os.setpgid(0, 0)  # what tests start belongs to the worker, and ends with it
    for descriptor in strangers:
        os.close(descriptor)
    name, _, value = assignment.mark.partition("=")
    os.environ[name] = value
    os.environ["TESTKIT_WORKER"] = assignment.worker  # for settings, which a spawned worker has yet to import
    # The run's own handlers are not for its workers.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    output = OutputFiles(assignment.files)
    # Kept open by faulthandler, which wants a descriptor that is not closed before the process ends.
    stacks = open(assignment.files.stacks, "a")  # noqa: SIM115
    faulthandler.enable(stacks)
    faulthandler.register(DUMP, stacks)
    sys.path[:] = assignment.path
    return output


def _surround(assignment: Assignment, channel: Channel, stack: ExitStack) -> list[Companion]:
    companions = []
    for path, data in assignment.surroundings:
        module, _, name = path.rpartition(".")
        surrounding: AbstractContextManager[Any] = getattr(importlib.import_module(module), name)(
            assignment.worker, data
        )
        given = stack.enter_context(surrounding)
        if isinstance(given, tuple):
            channel.send("told", lines=given)
        elif given is not None:
            companions.append(given)
    return companions


def _serve(
    assignment: Assignment,
    channel: Channel,
    output: OutputFiles,
    companions: Sequence[Companion],
    inherited: Tests | None,
) -> None:
    def publish(fact: Fact) -> None:
        channel.publish(fact)
        for companion in companions:
            companion(fact)

    recording = dict(assignment.recording)
    if recording.pop("leaks", False):
        from testkit.execution.leaks import LeakProbe

        recording["leaks"] = LeakProbe()  # type: ignore[assignment]
    recorder = WorkerRecorder(publish, output, worker=assignment.worker, **recording)  # type: ignore[arg-type]
    recorder.control = Control(assignment.control)
    suite_class = _imported(assignment.suite)
    output.take()  # what the surroundings printed is no test's
    while (message := channel.receive()) is not None and message.kind == "lease":
        recorder.attempt = message.data["attempt"]
        failed = message.data["failed"]
        tests = [_found(id, place, inherited, failed) for id, place in message.data["tests"]]
        # Copies: a test case that is run keeps what it set on itself, and may be run again.
        suite_class([copy.copy(test) for test in tests if test is not None]).run(recorder)
        for (id, _), test in zip(message.data["tests"], tests, strict=True):
            if test is None:
                publish(_not_found(id, assignment.worker, recorder.attempt))
        recorder._previousTestClass = None  # type: ignore[attr-defined]  # the next lease sets its classes up anew
        for companion in companions:
            companion.save()
        channel.send("done", stopped=recorder.was_stopped)


def _imported(path: str) -> type[unittest.TestSuite]:
    module, _, name = path.rpartition(".")
    try:
        found: type[unittest.TestSuite] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):  # made within a function; its tests run all the same
        return RecordedSuite
    return found


def _found(id: str, place: int, inherited: Tests | None, failed: Mapping[str, Sequence[str]]) -> Any:
    """Return the test case ``id``, or None when it cannot be found by its id.

    ``failed`` has the type and the message of what came of the ids that could not be imported.
    """
    if inherited is not None:
        return inherited[id][place]
    if id in failed:
        kind, text = failed[id]
        return unittest.loader._FailedTest(id, getattr(builtins, kind, ImportError)(text))  # type: ignore[attr-defined]
    try:
        return _test_in(_module_of(id), id, place)
    except unittest.SkipTest as skipped:
        return unittest.loader._make_skipped_test(id, skipped, list)[0]  # type: ignore[attr-defined]
    except Exception:
        return None


def _module_of(id: str) -> str:
    """Return the longest beginning of ``id`` that is a module, and import that."""
    name = ""
    for part in id.split("."):
        longer = f"{name}.{part}".lstrip(".")
        try:
            importlib.import_module(longer)
        except ModuleNotFoundError as error:
            if error.name != longer:
                raise
            break
        name = longer
    return name


def _test_in(module: str, id: str, place: int) -> Any:
    """Return the test case ``id`` as discovery makes it, or else by its name in ``module``; None when it is not there.

    Not by ``loadTestsFromName``, which calls what is neither a class nor a method: the function of a doctest.
    """
    tests = _discovered(module).get(id)
    if tests:
        return tests[min(place, len(tests) - 1)]
    owner, _, method = id.removeprefix(f"{module}.").rpartition(".")
    cls: Any = functools.reduce(getattr, owner.split("."), importlib.import_module(module))
    return cls(method) if isinstance(cls, type) and issubclass(cls, unittest.TestCase) else None


@functools.cache
def _discovered(module: str) -> Tests:
    return tests_by_id(iterate([unittest.defaultTestLoader.loadTestsFromModule(importlib.import_module(module))]))


def _not_found(id: str, worker: str, attempt: int) -> TestFinished:
    text = (
        f"{id} cannot be found by its name in a worker process that was not forked: it was made while the tests were "
        "collected. Give --start-method=fork, or no --parallel."
    )
    return TestFinished(
        id=id,
        class_id=id.rpartition(".")[0],
        at=clock.now(),
        seconds=0.0,
        outcome=Outcome.ERROR,
        problems=(Problem(Outcome.ERROR, "testkit.NotFound", text, text),),
        attempt=attempt,
        worker=worker,
    )
