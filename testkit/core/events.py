"""The facts of a test run: what happened, as frozen records of plain data.

Whoever runs tests publishes these; everything that a person or a CI system sees is made from them and from nothing
else. They hold text, numbers and tuples only, so that nothing in them can fail to pickle or to encode: a traceback is
already text, made where it happened.

They are named tuples, of which a class takes a ninth of the time to make that a frozen dataclass takes, and a record a
half: every run pays for the classes at its start, and twice for each test. Name the fields when you make one.

Times are seconds: ``at`` is a Unix time stamp, ``seconds`` a duration measured where the test ran.
"""

import json
from collections.abc import Mapping
from enum import StrEnum
from json.encoder import encode_basestring_ascii as _quote
from math import isfinite
from typing import Any, NamedTuple

_NOTHING: Mapping[str, Any] = {}  # shared; facts are read only
_REQUIRED = object()
_encode = json.JSONEncoder(separators=(",", ":"), default=str).encode


class Outcome(StrEnum):
    """How a test, a subtest or a fixture ended; the words are unittest's."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"
    EXPECTED_FAILURE = "expected failure"
    UNEXPECTED_SUCCESS = "unexpected success"

    @property
    def is_bad(self) -> bool:
        """Whether this outcome fails the run."""
        return self in _BAD


_BAD = frozenset({Outcome.FAILED, Outcome.ERROR, Outcome.UNEXPECTED_SUCCESS})


class Problem(NamedTuple):
    """One exception of a test: unittest calls it a failure (an assertion) or an error (anything else).

    ``file`` and ``line`` are where a reader should look first: the last line of the test's own file in the traceback,
    or else the last line outside installed packages.
    """

    outcome: Outcome
    type: str
    message: str
    traceback: str
    file: str = ""
    line: int = 0


class RunStarted(NamedTuple):
    """The tests are collected and the run begins. ``ids`` is every collected test, in the order of the run."""

    run: str
    at: float
    ids: tuple[str, ...]
    python: str = ""
    django: str = ""
    hostname: str = ""
    directory: str = ""


class WorkerStarted(NamedTuple):
    """A worker process is ready for tests; a replacement has the ``worker`` name of the one before it."""

    worker: str
    at: float
    pid: int


class WorkerLost(NamedTuple):
    """A worker process ended, or was ended, before its work was done.

    ``reason`` says how (a signal, an exit status, a time limit); ``running`` is the id of the test, class or module
    that it was at, empty when it was at none; ``unsaved`` are the tests of its lease that had ended before: their
    coverage data went with it. ``stacks`` are those of its threads, if it could still tell. An empty ``worker`` is the
    process of the run itself.
    """

    worker: str
    at: float
    reason: str
    running: str = ""
    unsaved: tuple[str, ...] = ()
    stacks: str = ""


class FixtureStarted(NamedTuple):
    """A class's or module's set-up or tear-down begins; ``id`` is the class's or module's own."""

    id: str
    phase: str
    at: float
    worker: str = ""


class FixtureFinished(NamedTuple):
    """A class's or module's ``phase`` (``setUpClass``, ``tearDownModule``, …) ended.

    A bad or skipped set-up accounts for all tests whose id lies below ``id``, unless it was ``interrupted`` or is not
    ``final``: then the tests are going to be tried again.
    """

    id: str
    phase: str
    at: float
    seconds: float
    outcome: Outcome = Outcome.PASSED
    problems: tuple[Problem, ...] = ()
    reason: str = ""
    stdout: str = ""
    stderr: str = ""
    file: str = ""
    line: int = 0
    worker: str = ""
    interrupted: bool = False
    attempt: int = 1
    final: bool = True
    measures: Mapping[str, Any] = _NOTHING


class TestStarted(NamedTuple):
    """A test begins, before its set-up. ``summary`` is the first line of its docstring."""

    id: str
    class_id: str
    at: float
    summary: str = ""
    attempt: int = 1
    worker: str = ""


class SubTestFinished(NamedTuple):
    """A ``with self.subTest(...)`` block ended; ``test`` is the id of the test around it, ``final`` as that has it."""

    id: str
    test: str
    class_id: str
    at: float
    outcome: Outcome
    problem: Problem | None = None
    reason: str = ""
    file: str = ""
    line: int = 0
    attempt: int = 1
    final: bool = True
    worker: str = ""


class TestFinished(NamedTuple):
    """A test ended.

    ``at`` is when it began and ``seconds`` its own time: its set-up and tear-down included, its class's not.
    ``class_id`` is the class (or the doctest's module) it belongs to, empty for a module that could not be imported.
    ``summary`` is the first line of its docstring, ``reason`` why it was skipped. ``final`` is false for an attempt
    that is going to be repeated. ``subtests_failed`` says how many of its subtests were bad.
    """

    id: str
    class_id: str
    at: float
    seconds: float
    outcome: Outcome
    summary: str = ""
    problems: tuple[Problem, ...] = ()
    reason: str = ""
    subtests_failed: int = 0
    stdout: str = ""
    stderr: str = ""
    sql: str = ""
    file: str = ""
    line: int = 0
    attempt: int = 1
    final: bool = True
    worker: str = ""
    measures: Mapping[str, Any] = _NOTHING
    attachments: tuple[str, ...] = ()


class RunMeasured(NamedTuple):
    """Something that was measured about the whole run: a section's name and its plain data."""

    section: str
    data: Mapping[str, Any]


class RunFinished(NamedTuple):
    """The run is over.

    ``seconds`` is the time of the tests, as unittest's "Ran … in" gives it. ``interrupted`` names the signal that ended
    the run early, ``stopped`` says why it ended early otherwise (fail-fast). ``not_run`` are the tests that it therefore
    left out; ``lost`` are those that no fact accounts for although nothing ended the run early.
    """

    at: float
    seconds: float
    interrupted: str = ""
    stopped: str = ""
    not_run: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


Fact = (
    RunStarted
    | WorkerStarted
    | WorkerLost
    | FixtureStarted
    | FixtureFinished
    | TestStarted
    | SubTestFinished
    | TestFinished
    | RunMeasured
    | RunFinished
)

FACTS: Mapping[str, type[Fact]] = {
    cls.__name__: cls
    for cls in (
        RunStarted,
        WorkerStarted,
        WorkerLost,
        FixtureStarted,
        FixtureFinished,
        TestStarted,
        SubTestFinished,
        TestFinished,
        RunMeasured,
        RunFinished,
    )
}


for _cls in (TestStarted, TestFinished):
    setattr(_cls, "__test__", False)  # noqa: B010  # the names begin with "Test", but these are no test cases

# What is written for each class, beforehand: facts are written by the ten thousand.
_SHAPES: Mapping[type, tuple[tuple[str, Any], ...]] = {
    cls: tuple((f'"{name}":', cls._field_defaults.get(name, _REQUIRED)) for name in cls._fields)
    for cls in (*FACTS.values(), Problem)
}


def to_json(fact: Fact) -> str:
    """Return ``fact`` as a JSON object of ASCII characters: its name as ``fact``, and its fields.

    Fields that are at their default are left out. Lone surrogates, which UTF-8 cannot hold, are kept (``\\ud800``).
    """
    return f'{{"fact":"{type(fact).__name__}",{_members(fact)}}}'


def _members(record: Fact | Problem) -> str:
    # By hand, since most fields are at their default or short text: a third of the time of dicts and json.dumps.
    parts = [
        prefix + (_quote(value) if isinstance(value, str) else _json(value))
        for value, (prefix, default) in zip(record, _SHAPES[type(record)], strict=True)
        if value is not default and value != default
    ]
    return ",".join(parts)


def _json(value: Any) -> str:
    if type(value) is int or (type(value) is float and isfinite(value)):
        return repr(value)
    if isinstance(value, Problem):
        return f"{{{_members(value)}}}"
    if value and isinstance(value, tuple) and isinstance(value[0], Problem):
        return f"[{','.join(map(_json, value))}]"
    return _encode(value)


def from_plain(name: str, plain: Mapping[str, Any]) -> Fact:
    """Make the fact called ``name`` from the JSON object that ``to_json`` gave.

    Fields that this version does not know are passed over, so that an older testkit can read a newer journal.

    Raises:
        KeyError: there is no fact of that name.
        TypeError, ValueError: a field is missing or has a value that it cannot have.
    """
    cls = FACTS[name]
    return cls(**{key: _revive(key, plain[key]) for key in cls._fields if key in plain})


def _revive(name: str, value: Any) -> Any:
    if name == "outcome":
        return Outcome(value)
    if name == "problem":
        return _problem(value)
    if name == "problems":
        return tuple(_problem(item) for item in value)
    return tuple(value) if isinstance(value, list) else value


def _problem(plain: Mapping[str, Any]) -> Problem:
    return Problem(**{key: _revive(key, plain[key]) for key in Problem._fields if key in plain})
