"""Finding the tests after which another one fails."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence

from testkit.core.errors import TestkitError

FailsAfter = Callable[[Sequence[str]], bool]
"""Whether the test in question fails when these run before it, in this order, in a process of its own."""


class UnsteadyError(TestkitError):
    """The same tests in the same order ended otherwise when they ran a second time."""


def find_polluters(candidates: Sequence[str], fails_after: FailsAfter) -> tuple[str, ...]:
    """Return the fewest of ``candidates``, in their order, after which a test fails.

    The fewest means that the test passes as soon as any one of them is left out; there may be another such set. It is
    empty when the test fails on its own.

    Each question costs a process and the time of the tests asked about, so none is asked twice but for the last two,
    which look whether the answers can be relied on. One polluter among ``n`` tests takes log2(n) + 4 questions, about
    all of which together run ``n`` tests; of several, each takes log2(n) + 2 or so, and log2(n) more are lost at first.

    Args:
        candidates: the ids of the tests that ran before it, in their order. It is known that the test fails after them.
        fails_after: whether the test fails after these of the candidates, run in this order.

    Raises:
        UnsteadyError: what was found does not do it again.
    """
    ask = _Answers(fails_after, candidates)
    if ask(()):
        polluters: tuple[str, ...] = ()
    else:
        polluters = _find_one(candidates, ask)
        if not ask(polluters):
            polluters = _leave_out(_find_several(candidates, ask), ask)
    _check_again(polluters, fails_after)
    return polluters


class _Answers:
    """Asks, and asks nothing twice."""

    def __init__(self, fails_after: FailsAfter, candidates: Sequence[str]) -> None:
        self._fails_after = fails_after
        self._known = {tuple(candidates): True}

    def __call__(self, tests: Sequence[str]) -> bool:
        key = tuple(tests)
        if key not in self._known:
            self._known[key] = self._fails_after(key)
        return self._known[key]


def _find_one(candidates: Sequence[str], ask: _Answers) -> tuple[str, ...]:
    """Return the polluter if there is only one: it is in the second half when it is not in the first."""
    left = tuple(candidates)
    while len(left) > 1:
        first, second = left[: len(left) // 2], left[len(left) // 2 :]
        left = first if ask(first) else second
    return left


def _find_several(candidates: Sequence[str], ask: _Answers) -> tuple[str, ...]:
    """Return some of ``candidates`` after which the test fails, each of them found by halving.

    Of the shortest beginning of the list after which the test fails, the last one is needed. It is kept, and the
    shortest beginning is looked for that does it together with those kept; until these do it alone. Whether leaving a
    test out can make the failure come back does not matter here: the test fails after what is left at each step.
    """
    kept: tuple[str, ...] = ()
    left = tuple(candidates)
    while not ask(kept):
        passes, fails = 0, len(left)
        while fails - passes > 1:
            middle = (passes + fails) // 2
            if ask((*left[:middle], *kept)):
                fails = middle
            else:
                passes = middle
        kept = (left[fails - 1], *kept)
        left = left[: fails - 1]
    return kept


def _leave_out(tests: tuple[str, ...], ask: _Answers) -> tuple[str, ...]:
    """Return what stays of ``tests`` when each is left out that the failure does not need."""
    index = 0
    while index < len(tests):
        fewer = tests[:index] + tests[index + 1 :]
        if ask(fewer):
            # Those that were needed before may not be needed any more.
            tests, index = fewer, 0
        else:
            index += 1
    return tests


def _check_again(polluters: tuple[str, ...], fails_after: FailsAfter) -> None:
    what = f"after the {len(polluters)} found" if len(polluters) > 1 else f"after {''.join(polluters)}"
    if not fails_after(polluters):
        raise UnsteadyError(
            f"the test failed {what if polluters else 'on its own'} once and passed the second time: something else "
            "than the tests before it makes it fail (time, chance, a thread); run it alone with --until-fail"
        )
    if polluters and fails_after(()):
        raise UnsteadyError(
            "the test passed on its own once and failed the second time: something else than the tests before it makes "
            "it fail (time, chance, a thread); run it alone with --until-fail"
        )


def command(program: str, polluters: Sequence[str], test: str, options: Sequence[str] = ()) -> str:
    """Return the command that runs ``polluters`` and then ``test``, to be pasted into a shell.

    Tests keep the order in which they are named, as long as no option changes it (``--shuffle``, ``--reverse``) and
    the kinds that Django runs one after the other (TestCase before TransactionTestCase) are in its order.

    Args:
        program: what starts a run, as it is typed: ``python manage.py test``.
        polluters: the ids to run first, in order.
        test: the id of the test that fails after them.
        options: further arguments of the run, such as ``--settings=ci``.
    """
    return f"{program} {shlex.join([*options, *polluters, test])}"
