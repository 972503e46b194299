"""The facts of a test run: what happened, as frozen records of plain data.

Whoever runs tests publishes these; everything that a person or a CI system sees is made from them and from nothing
else. They hold text, numbers and tuples only, so that nothing in them can fail to pickle or to encode: a traceback is
already text, made where it happened.

Times are seconds: ``at`` is a Unix time stamp, ``seconds`` a duration measured where the test ran.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from json.encoder import encode_basestring_ascii as _quote
from math import isfinite
from operator import attrgetter
from typing import Any, NamedTuple

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """The tests are collected and the run begins. ``ids`` is every collected test, in the order of the run."""

    run: str
    at: float
    ids: tuple[str, ...]
    python: str = ""
    django: str = ""
    hostname: str = ""
    directory: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FixtureStarted:
    """A class's or module's set-up or tear-down begins; ``id`` is the class's or module's own."""

    id: str
    phase: str
    at: float
    worker: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FixtureFinished:
    """A class's or module's ``phase`` (``setUpClass``, ``tearDownModule``, …) ended.

    A bad or skipped set-up accounts for all tests whose id lies below ``id``.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class TestStarted:
    """A test begins, before its set-up. ``summary`` is the first line of its docstring."""

    __test__ = False

    id: str
    class_id: str
    at: float
    summary: str = ""
    attempt: int = 1
    worker: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubTestFinished:
    """A ``with self.subTest(...)`` block ended; ``test`` is the id of the test around it."""

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
    worker: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TestFinished:
    """A test ended.

    ``at`` is when it began and ``seconds`` its own time: its set-up and tear-down included, its class's not.
    ``class_id`` is the class (or the doctest's module) it belongs to, empty for a module that could not be imported.
    ``summary`` is the first line of its docstring, ``reason`` why it was skipped. ``final`` is false for an attempt
    that is going to be repeated. ``subtests_failed`` says how many of its subtests were bad.
    """

    __test__ = False

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
    measures: Mapping[str, Any] = field(default_factory=dict)
    attachments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunMeasured:
    """Something that was measured about the whole run: a section's name and its plain data."""

    section: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished:
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
        FixtureStarted,
        FixtureFinished,
        TestStarted,
        SubTestFinished,
        TestFinished,
        RunMeasured,
        RunFinished,
    )
}


class _Shape(NamedTuple):
    """What is known of a record's class beforehand, since facts are written by the ten thousand."""

    values: Callable[[Any], tuple[Any, ...]]
    names: tuple[str, ...]
    prefixes: tuple[str, ...]
    defaults: tuple[Any, ...]


def _shape(cls: type) -> _Shape:
    names = tuple(item.name for item in fields(cls))
    defaults = tuple({} if item.default_factory is not MISSING else item.default for item in fields(cls))
    return _Shape(attrgetter(*names), names, tuple(f'"{name}":' for name in names), defaults)


_SHAPES = {cls: _shape(cls) for cls in (*FACTS.values(), Problem)}


def to_json(fact: Fact) -> str:
    """Return ``fact`` as a JSON object of ASCII characters: its name as ``fact``, and its fields.

    Fields that are at their default are left out. Lone surrogates, which UTF-8 cannot hold, are kept (``\\ud800``).
    """
    return f'{{"fact":"{type(fact).__name__}",{_members(fact)}}}'


def _members(record: Fact | Problem) -> str:
    # By hand, since most fields are at their default or short text: a third of the time of dicts and json.dumps.
    shape = _SHAPES[type(record)]
    parts = []
    for prefix, value, default in zip(shape.prefixes, shape.values(record), shape.defaults, strict=True):
        if value is not default and value != default:
            parts.append(prefix + _json(value))
    return ",".join(parts)


def _json(value: Any) -> str:
    if isinstance(value, str):
        return _quote(value)
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
    return cls(**{key: _revive(key, plain[key]) for key in _SHAPES[cls].names if key in plain})


def _revive(name: str, value: Any) -> Any:
    if name == "outcome":
        return Outcome(value)
    if name == "problem":
        return _problem(value)
    if name == "problems":
        return tuple(_problem(item) for item in value)
    return tuple(value) if isinstance(value, list) else value


def _problem(plain: Mapping[str, Any]) -> Problem:
    return Problem(**{key: _revive(key, plain[key]) for key in _SHAPES[Problem].names if key in plain})
