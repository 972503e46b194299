"""Which attempts of a test make its one case, and which subtests belong to each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from testkit.core.events import FixtureFinished, Outcome, SubTestFinished, TestFinished, TestStarted


class Attempts:
    """Keeps the attempts of tests and set-ups that are tried again, until there is one that counts.

    Subtests, which are told before their test is, are kept until that ends.
    """

    def __init__(self) -> None:
        self._tests: dict[str, list[TestFinished]] = {}
        self._set_ups: dict[tuple[str, str], list[FixtureFinished]] = {}
        self._subtests: dict[str, list[SubTestFinished]] = {}  # by test

    def __contains__(self, id: str) -> bool:
        """Return whether the test ``id`` was tried and waits for an attempt that counts."""
        return id in self._tests

    def hear(self, fact: TestStarted | SubTestFinished) -> None:
        """Take a subtest, or the start of a test, whose subtests are not those of an attempt that never ended."""
        if isinstance(fact, SubTestFinished):
            self._subtests.setdefault(fact.test, []).append(fact)
        elif self._subtests:
            self._subtests.pop(fact.id, None)

    def of_test(self, fact: TestFinished) -> tuple[list[TestFinished], list[SubTestFinished]]:
        """Take an attempt; return all attempts of the test, the oldest first, if this one counts, else none.

        The subtests are those of this attempt. One that does not count keeps their problems as its own.
        """
        subtests = self.take_subtests(fact.id)
        if fact.final:
            return ([*self._tests.pop(fact.id, ()), fact] if self._tests else [fact]), subtests
        # Else it had its outcome before, and has run again with its class for the sake of another test.
        if fact.attempt == 1 or fact.id in self._tests:
            problems = tuple(subtest.problem for subtest in subtests if subtest.problem is not None)
            self._tests.setdefault(fact.id, []).append(fact._replace(problems=fact.problems + problems))
        return [], subtests

    def take_subtests(self, test: str) -> list[SubTestFinished]:
        """Return the subtests of ``test`` that were told since it began, and keep them no longer."""
        return self._subtests.pop(test, []) if self._subtests else []

    def of_fixture(self, fact: FixtureFinished) -> list[FixtureFinished]:
        """Take an attempt at a fixture; return all of them, the oldest first, if this one counts, else nothing.

        A set-up that is bad to the end accounts for the tests below it, so what they were told to have failed by in the
        earlier attempts at it is forgotten.
        """
        name = fact.id, fact.phase
        if not fact.final:
            self._set_ups.setdefault(name, []).append(fact)
            return []
        earlier = self._set_ups.pop(name, []) if self._set_ups else []
        if earlier and fact.outcome is not Outcome.PASSED:
            self._forget_below(fact.id, [attempt.problems for attempt in earlier])
        return [*earlier, fact]

    def _forget_below(self, id: str, told: Sequence[object]) -> None:
        for test in [test for test in self._tests if test.startswith(f"{id}.")]:
            own = [attempt for attempt in self._tests[test] if attempt.problems not in told]
            if own:
                self._tests[test] = own
            else:
                del self._tests[test]

    def unfinished(self) -> Iterator[list[TestFinished]]:
        """Yield the attempts of each test that none counted of: the run has ended before."""
        yield from self._tests.values()

    def subtests_left(self) -> Iterable[list[SubTestFinished]]:
        """Return the subtests of each test that never ended."""
        return self._subtests.values()
