"""Each test of this folder runs once, or ``TESTKIT_FAULT_RUNS`` times: what goes wrong may do so now and then only."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.faults.running import HAS_PROC, FaultRun
from tests.projects import FRONTS, Project, clean_environment

RUNS = int(os.environ.get("TESTKIT_FAULT_RUNS", "1"))


@pytest.fixture(autouse=True, params=range(1, RUNS + 1))
def turn(request: pytest.FixtureRequest) -> int:
    """Which of the runs this is."""
    if not HAS_PROC:
        pytest.skip("needs /proc, to find the processes that a run leaves behind")
    return int(request.param)


@pytest.fixture
def start(project: Project) -> Iterator[Callable[..., FaultRun]]:
    """Starts testkit in the project, with an xunit file; what is left of it ends with the test."""
    with ExitStack() as stack:

        def start(*arguments: str, **environment: str) -> FaultRun:
            command = [*FRONTS["testkit"], "--with-xunit", *arguments]
            return stack.enter_context(FaultRun(command, project.folder, clean_environment(**environment)))

        yield start
