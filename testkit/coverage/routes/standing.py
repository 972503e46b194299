"""What the tests of a run ask for, joined with the routes there are."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from testkit.endpoints.routes import Route
from testkit.endpoints.views import ANY


class Endpoint(NamedTuple):
    """A method of a route: ``POST /loans/<int:pk>/return/``.

    The method ``ANY`` is of a view that does not tell which ones it takes: it is one endpoint, whatever is asked.
    """

    method: str
    path: str
    view: str = ""
    name: str = ""
    is_own: bool = True

    @property
    def key(self) -> str:
        return f"{self.method} {self.path}"


def endpoints_of(routes: Iterable[Route]) -> list[Endpoint]:
    """Return an endpoint for each method of each route."""
    return [
        Endpoint(method, route.path, route.view, route.name, route.is_own)
        for route in routes
        for method in route.methods
    ]


class State(StrEnum):
    """How an endpoint is tested."""

    TESTED = "tested"
    ERRORS = "errors"
    """Each answer had a status of 400 or more."""
    CALLED = "called"
    """No test asks for it; its view was called past its route."""
    UNTESTED = "untested"

    @property
    def is_asked(self) -> bool:
        """Whether a test asks for the endpoint."""
        return self in (State.TESTED, State.ERRORS)


class Asked:
    """What tests ask for: from the measures of their facts."""

    def __init__(self) -> None:
        self.statuses: dict[str, dict[int, None]] = {}
        """By method and route."""
        self.tests: dict[str, dict[str, None]] = {}
        self.with_user: set[str] = set()
        self.callers: dict[str, dict[str, None]] = {}
        """The tests that call a view past its routes, by the view."""

    def add(self, test: str, measure: Any) -> None:
        """Take the measure ``routes`` of ``test``, or of a fixture."""
        if not isinstance(measure, Mapping):  # a test may have noted something of its own by that name
            return
        for key, by_user in measure.get("asked", {}).items():
            self.tests.setdefault(key, {})[test] = None
            for kind, statuses in by_user.items():
                self.statuses.setdefault(key, {}).update(dict.fromkeys(statuses))
                if kind == "user":
                    self.with_user.add(key)
        for view in measure.get("called", ()):
            self.callers.setdefault(view, {})[test] = None


class Standing(NamedTuple):
    """How one endpoint is tested.

    ``tests`` are the ids of those that ask for it, ``callers`` of those that call its view past it. ``is_anonymous``
    says that all asked without a user, ``is_new`` that the route was not there in the commit that one compares with,
    ``is_known`` that the file allows it to be untested.
    """

    endpoint: Endpoint
    state: State
    statuses: tuple[int, ...] = ()
    tests: tuple[str, ...] = ()
    callers: tuple[str, ...] = ()
    is_anonymous: bool = False
    is_new: bool = False
    is_known: bool = False


def standings_of(
    endpoints: Iterable[Endpoint], asked: Asked, *, before: Collection[str] | None = None, known: Collection[str] = ()
) -> list[Standing]:
    """Return how each of ``endpoints`` is tested.

    Args:
        endpoints: all there are.
        asked: what the tests ask for.
        before: the endpoints that there were in an earlier commit, if that is known.
        known: those that may be untested.
    """
    by_path: dict[str, list[str]] = {}
    for key in sorted(asked.tests):
        by_path.setdefault(_path_of(key), []).append(key)
    is_new = _Novelty(before)
    return [
        _standing(
            endpoint,
            by_path.get(endpoint.path, []) if endpoint.method == ANY else [endpoint.key],
            asked,
            is_new=is_new(endpoint),
            is_known=endpoint.key in known,
        )
        for endpoint in endpoints
    ]


def _standing(endpoint: Endpoint, keys: list[str], asked: Asked, **given: bool) -> Standing:
    statuses = sorted({status for key in keys for status in asked.statuses.get(key, ())})
    tests = tuple(sorted({test for key in keys for test in asked.tests.get(key, ())}))
    callers = tuple(sorted(asked.callers.get(endpoint.view, ())))
    if statuses:
        state = State.TESTED if statuses[0] < 400 else State.ERRORS
    else:
        state = State.CALLED if callers else State.UNTESTED
    is_anonymous = bool(statuses) and asked.with_user.isdisjoint(keys)
    return Standing(endpoint, state, tuple(statuses), tests, callers, is_anonymous, **given)


class _Novelty:
    """Whether an endpoint was not there before; one whose view has only come to tell its methods was."""

    def __init__(self, before: Collection[str] | None) -> None:
        self._before, self._paths = before, frozenset(map(_path_of, before or ()))

    def __call__(self, endpoint: Endpoint) -> bool:
        if self._before is None:
            return False
        if endpoint.method == ANY:
            return endpoint.path not in self._paths
        return endpoint.key not in self._before and f"{ANY} {endpoint.path}" not in self._before


def others(endpoints: Collection[Endpoint], asked: Asked) -> list[str]:
    """Return what was asked for and is no endpoint: methods that a view does not take, or does not tell of."""
    known = {endpoint.key for endpoint in endpoints}
    return [key for key in sorted(asked.tests) if known.isdisjoint((key, f"{ANY} {_path_of(key)}"))]


def _path_of(key: str) -> str:
    return key.partition(" ")[2]
