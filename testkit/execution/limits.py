"""How long tests may take, and how often they are tried."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from testkit.core.errors import TestkitError
from testkit.core.marks import timeout_of
from testkit.execution.ids import test_id
from testkit.execution.options import ExecutionOptions


class Limits(NamedTuple):
    """How long things may take, in seconds; 0 stands for no limit."""

    test: float = 0.0
    """A test that says nothing else, and a fixture."""
    own: Mapping[str, float] = {}
    """Tests that say something else, by id."""
    slow: float = 0.0
    """After which a test that runs is told of."""

    def of(self, id: str) -> float:
        """Return the limit of the test or fixture ``id``."""
        return self.own.get(id, self.test)

    @classmethod
    def of_tests(cls, tests: Iterable[Any], options: ExecutionOptions) -> Limits:
        """Return the limits of ``tests``: their own ones, or else those of ``options``.

        Raises:
            TestkitError: a test has a tag with a limit that is no number of seconds.
        """
        own: dict[str, float] = {}
        for test in tests:
            try:
                limit = timeout_of(test)
            except ValueError as error:
                raise TestkitError(f"{test_id(test)}: {error}; mend the tag of the test or of its class") from None
            if limit is not None:
                own[test_id(test)] = limit
        return cls(test=options.timeout, own=own, slow=options.slow_after)


NO_LIMITS = Limits()

_random = random.Random()  # of our own: workers inherit the state of the shared one, which tests may have seeded


class Policy(NamedTuple):
    """How often tests are tried again, and after how many seconds (give or take a half of them)."""

    retries: int = 0
    delay: float = 0.0

    def pause(self) -> float:
        """Return the seconds to wait before an attempt."""
        return self.delay * _random.uniform(0.5, 1.5)


ONCE = Policy()
