"""What pytest's reports do not say of a test, put on them in the process where it runs.

pytest tells of a test by reports, which pytest-xdist carries from its workers to the process of the run. On each goes,
as text, what is known only here: the exceptions as unittest would judge them, what a class's or module's own fixtures
did and how long that took, and what the test noted about itself. :mod:`testkit.pytest_plugin.facts` makes facts of it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from traceback import format_exception
from types import TracebackType
from typing import Any, NamedTuple
from unittest import SkipTest

import pytest
from _pytest.outcomes import Failed, Skipped

from testkit.core import current
from testkit.core.clock import clock
from testkit.core.events import FixtureFinished, FixtureStarted, Outcome, Problem, to_json
from testkit.core.paths import replacing
from testkit.core.text import without_addresses
from testkit.execution.ids import Locator
from testkit.pytest_plugin.ids import class_name, in_browser, module_at, name_of
from testkit.pytest_plugin.state import State

ATTRIBUTE = "testkit"
"""Of a report: JSON in ASCII characters, which every channel takes."""
COLLECTED = "collected.json"
"""In the folder of the run: what each collected test is called, by its node id, and which need a browser."""
_OF_CLASSES = ("_unittest_setUpClass_fixture_", "_xunit_setup_class_fixture_")
_OF_MODULES = ("_xunit_setup_module_fixture_",)
_FUNCTIONS = {
    "unittest_setup_class_fixture": "Class",
    "xunit_setup_class_fixture": "Class",
    "xunit_setup_module_fixture": "Module",
}
"""pytest's functions that call what these fixtures are called by; a traceback through one of them is the fixture's."""
_GROUPS = ("errors while tearing down", "errors during test teardown")


class _Fixture(NamedTuple):
    """A set-up or tear-down of a class or module."""

    id: str
    kind: str
    """``Class`` or ``Module``."""
    owner: Any


class Annotator:
    """The part of the plugin that is in each process where tests run."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._locator = Locator()
        self._notes = current.Notes()
        self._made: list[tuple[pytest.TestReport, list[str]]] = []
        """Reports that were made and not told yet, with the facts that go before each."""
        self._depth = 0
        self._began = 0.0
        self._outer_seconds = 0.0
        """Of fixtures that serve more than one test, within the phase that runs now."""
        self._set_up_errors: dict[_Fixture, BaseException] = {}
        self._torn_down: dict[_Fixture, tuple[float, float, list[BaseException]]] = {}
        """With the time stamp, the seconds and the errors of each."""

    # Collecting

    def pytest_deselected(self) -> None:
        self._state.is_whole = False

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Tell the process of the run, which collects nothing itself, what the tests are called."""
        place = self._state.folder / COLLECTED
        if self._state.worker and not place.exists():
            with replacing(place) as file:
                names = {item.nodeid: name_of(item) for item in session.items}
                told = {"names": names, "in_browser": in_browser(session.items), "is_whole": self._state.is_whole}
                json.dump(told, file)

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Generator[None, Any, Any]:
        report = yield
        call = getattr(report, "call", None)
        if not report.passed and call is not None and call.excinfo is not None:
            cause = call.excinfo.value.__cause__ or call.excinfo.value
            plain: dict[str, Any] = {"id": _collector_id(collector)}
            if report.failed:
                # unittest's words for the same.
                text = "".join(format_exception(cause))
                message = f"Failed to import test module: {plain['id']}\n{text}"
                plain["problems"] = [Problem(Outcome.ERROR, "ImportError", message, text)]
            setattr(report, ATTRIBUTE, json.dumps(plain))
        return report

    # Tests

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self) -> Generator[None, Any, Any]:
        self._notes = current.enter()
        try:
            return (yield)
        finally:
            current.leave()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        if self._notes.measures or self._notes.attachments:  # of an attempt before this one
            self._notes = current.enter()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, Any, pytest.TestReport]:
        raised = call.excinfo.value if call.excinfo else None  # before pytest makes its own skip of unittest's
        report: pytest.TestReport = yield
        plain: dict[str, Any] = {}
        if call.when == "setup":
            plain |= self._description(item)
        if call.when == "setup" and self._is_accounted_for(plain["id"], raised):
            plain["cause"] = "fixture"
        elif call.excinfo is not None:
            plain |= self._of_exception(item, call.excinfo, is_teardown=call.when == "teardown")
        if call.when == "teardown":
            self._tell_torn_down()
            plain |= {"measures": self._notes.measures, "attachments": self._notes.attachments}
        if report.when == call.when and call.duration:
            plain["outer"], self._outer_seconds = self._outer_seconds, 0.0
        self._made.append((report, self._state.lines[:]))
        self._state.lines.clear()
        setattr(report, ATTRIBUTE, json.dumps(plain, default=str))
        return report

    @pytest.hookimpl(tryfirst=True)  # before pytest-xdist sends it
    def pytest_runtest_logreport(self, report: Any) -> None:
        made = [id(each) for each, _ in self._made]
        if id(report) in made:  # and with it what no other report tells: who runs a test once more leaves some out
            count = made.index(id(report)) + 1
            lines = [line for _, lines in self._made[:count] for line in lines]
            del self._made[:count]
            setattr(report, ATTRIBUTE, json.dumps({**json.loads(getattr(report, ATTRIBUTE)), "facts": lines}))
        context = getattr(report, "context", None)
        if context is not None:  # of a subtest
            plain = {**json.loads(getattr(report, ATTRIBUTE, "{}")), "subtest": _shown(context.msg, context.kwargs)}
            setattr(report, ATTRIBUTE, json.dumps(plain))

    @pytest.hookimpl(wrapper=True)
    def pytest_report_to_serializable(self, report: Any) -> Generator[None, Any, Any]:
        data = yield
        # execnet, by which pytest-xdist sends it, takes no lone surrogates: the failure would be lost, and the run pass.
        return _encodable(data) if report.failed and self._state.worker else data

    def _is_accounted_for(self, id: str, raised: BaseException | None) -> bool:
        """Return whether ``raised`` is told by a class's or module's fixture that the test lies below.

        That is not so for a case that was imported: unittest gives it the place where it is defined.
        """
        return any(raised is error and id.startswith(f"{of.id}.") for of, error in self._set_up_errors.items())

    def _description(self, item: pytest.Item) -> dict[str, Any]:
        name = name_of(item)
        function = getattr(item, "function", None)
        file, line = self._locator.of_function(function)
        document = (getattr(function, "__doc__", None) or "").strip()
        return {
            "id": name.id,
            "class_id": name.class_id,
            "file": file or item.location[0],
            "line": line or (item.location[1] or 0) + 1,
            "summary": document.partition("\n")[0].strip(),
        }

    def _of_exception(
        self, item: pytest.Item, excinfo: pytest.ExceptionInfo[BaseException], *, is_teardown: bool
    ) -> dict[str, Any]:
        """Return what is to be said of an exception, as unittest would judge it."""
        first = excinfo.tb.tb_frame
        # What unittest tells pytest's stand-in for its result, pytest tells itself by exceptions of its own.
        if first.f_code.co_name == "addExpectedFailure":
            return {"cause": "expected", "reason": "".join(format_exception(*first.f_locals["rawexcinfo"]))}
        if first.f_code.co_name == "addUnexpectedSuccess":
            return {"cause": "unexpected"}
        problems = []
        for error in _leaves(excinfo.value) if is_teardown else [excinfo.value]:
            kind = _kind_of(error.__traceback__) if is_teardown else ""
            broken = [errors for fixture, (_, _, errors) in self._torn_down.items() if fixture.kind == kind]
            if broken:
                broken[-1].append(error)
            else:
                problems.append(self._problem(item, error))
        return {"problems": problems}

    def _problem(self, item: pytest.Item, error: BaseException) -> Problem:
        failures = getattr(getattr(item, "cls", None), "failureException", None) or AssertionError
        is_failure = isinstance(error, (failures, Failed)) or hasattr(item, "dtest")  # as unittest has it of doctests
        outcome = Outcome.FAILED if is_failure else Outcome.ERROR
        return self._described(error, outcome, self._locator.of_function(getattr(item, "function", None))[0])

    def _described(self, error: BaseException, outcome: Outcome, test_file: str) -> Problem:
        kind = type(error)
        file, line = self._locator.of_problem(error.__traceback__, test_file)
        try:
            message = str(error)
        except Exception as second:
            message = f"(str() of the exception raised {type(second).__name__})"
        name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
        # The traceback is pytest's, which the report has, but for those of which pytest makes none.
        return Problem(outcome, name, message, "", file, line)

    # Fixtures that serve more than one test

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Generator[None, Any, Any]:
        if fixturedef.scope == "function":
            return (yield)
        fixture = _fixture_of(fixturedef.argname, request)
        started: list[tuple[float, float]] = []

        def begin_tear_down() -> None:
            started.append((clock.now(), clock.seconds()))
            self._enter()

        def end_tear_down() -> None:
            if not started:
                return
            self._leave()
            at, seconds = started.pop()
            if fixture is not None and self._set_up_errors.pop(fixture, None) is None:
                self._torn_down[fixture] = (at, clock.seconds() - seconds, [])

        fixturedef.addfinalizer(end_tear_down)  # the first to be added is the last to run
        self._enter()
        try:
            with self._setting_up(fixture) if fixture is not None else nullcontext():
                return (yield)
        finally:
            self._leave()
            fixturedef.addfinalizer(begin_tear_down)

    def _enter(self) -> None:
        self._depth += 1
        if self._depth == 1:
            self._began = clock.seconds()

    def _leave(self) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._outer_seconds += clock.seconds() - self._began

    @contextmanager
    def _setting_up(self, fixture: _Fixture) -> Iterator[None]:
        at, started = clock.now(), clock.seconds()
        phase = f"setUp{fixture.kind}"
        self._state.lines.append(to_json(FixtureStarted(fixture.id, phase, at, self._state.worker)))
        error: BaseException | None = None
        try:
            yield
        except BaseException as raised:
            error = self._set_up_errors[fixture] = raised
            raise
        finally:
            self._tell(fixture, phase, at, clock.seconds() - started, [error] if error is not None else [])

    def _tell_torn_down(self) -> None:
        for fixture, (at, seconds, errors) in self._torn_down.items():
            phase = f"tearDown{fixture.kind}"
            self._state.lines.append(to_json(FixtureStarted(fixture.id, phase, at, self._state.worker)))
            self._tell(fixture, phase, at, seconds, errors)
        self._torn_down.clear()

    def _tell(self, fixture: _Fixture, phase: str, at: float, seconds: float, errors: Sequence[BaseException]) -> None:
        is_skip = any(isinstance(error, (SkipTest, Skipped)) for error in errors)
        file, line = self._locator.of_owner(fixture.owner, phase) if errors else ("", 0)
        # To unittest whatever a fixture raises is an error.
        problems = [] if is_skip else [self._described(error, Outcome.ERROR, file) for error in errors]
        texts = ["".join(format_exception(error)) for error in errors]
        fact = FixtureFinished(
            id=fixture.id,
            phase=phase,
            at=at,
            seconds=seconds,
            outcome=Outcome.SKIPPED if is_skip else Outcome.ERROR if errors else Outcome.PASSED,
            problems=tuple(each._replace(traceback=text) for each, text in zip(problems, texts, strict=False)),
            reason=str(errors[0]) if is_skip else "",
            file=file,
            line=line,
            worker=self._state.worker,
        )
        self._state.lines.append(to_json(fact))


def _fixture_of(argname: str, request: pytest.FixtureRequest) -> _Fixture | None:
    """Return the class's or module's own fixture that pytest has made the fixture ``argname`` of, if it is one."""
    if argname.startswith(_OF_CLASSES):
        node = request.node.getparent(pytest.Class)
        return _Fixture(class_name(node), "Class", request.cls) if node is not None else None
    if argname.startswith(_OF_MODULES):
        return _Fixture(request.module.__name__, "Module", request.module)
    return None


def _shown(message: str | None, parameters: Mapping[str, str]) -> str:
    """Return what tells a subtest from the others of its test, as :func:`testkit.execution.ids.subtest_id` has it."""
    shown = ", ".join(f"{name}={without_addresses(value)}" for name, value in parameters.items())
    parts = ([f"[{message}]"] if message is not None else []) + ([f"({shown})"] if parameters else [])
    return " ".join(parts)


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(inner) for key, inner in value.items()}
    return type(value)(map(_encodable, value)) if type(value) in (list, tuple) else value


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors of several tear-downs that pytest has put together."""
    if isinstance(error, BaseExceptionGroup) and str(error.message).startswith(_GROUPS):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _kind_of(traceback: TracebackType | None) -> str:
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if code.co_name in _FUNCTIONS and f"{os.sep}_pytest{os.sep}" in code.co_filename:
            return _FUNCTIONS[code.co_name]
        traceback = traceback.tb_next
    return ""


def _collector_id(collector: pytest.Collector) -> str:
    if isinstance(collector, pytest.Class):
        return class_name(collector)
    return module_at(collector.path, collector.config)
